"""How good predictions were, and which model that speaks for. Models come in as arrays or as a Protocol."""
