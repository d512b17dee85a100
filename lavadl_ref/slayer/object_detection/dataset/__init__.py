"""Clips and their annotations."""
