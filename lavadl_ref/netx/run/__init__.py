"""Runs of Lava networks, on Lava's runtime in a child process or in this process."""
