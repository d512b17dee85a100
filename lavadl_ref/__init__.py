"""Exact CPU implementation of Lava-DL: slayer, netx and an integer reference."""

__version__ = "0.1.0"
