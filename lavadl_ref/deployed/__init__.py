"""A described network as it runs when deployed: kernel parameters and scales, weighted sums, the integer reference."""
