"""The command ``lavadl-ref``: `main` has its subcommands, `demo` and `doctor` the work of two of them."""
