"""The command ``lavadl-ref``: `main` has its subcommands, `demo` and `doctor` what two of them do."""
