"""What happens to commands and runs under attack."""
