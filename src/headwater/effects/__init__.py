"""Effects: what acting on users does to them, from experiments and from what was observed."""
