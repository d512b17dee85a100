"""Graphs of NIR."""
