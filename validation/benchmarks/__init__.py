"""Speed next to lava-dl: every figure is a ratio measured in one process and one run."""
