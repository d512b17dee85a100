"""Networks as C programs, beside the reference and beside what a chip recorded."""
