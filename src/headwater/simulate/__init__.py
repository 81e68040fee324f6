"""A simulated short-video app with known truth."""
