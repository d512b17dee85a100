"""Scripts written for Lava-DL's API, which know nothing of this package; `test_clients` runs them on both."""
