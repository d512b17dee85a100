"""What tests and validation share: oracles, families, generators, matrices."""
