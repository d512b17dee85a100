"""Run the command as ``python -m lavadl_ref.cli``."""

from lavadl_ref.cli.main import main

main()
