"""Graphs of NIR next to the frameworks that read and write them."""
