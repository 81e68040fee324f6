"""SQL as values, and the engines that run it: the only rooms that open a connection."""
