"""General learners, wrapped once."""
