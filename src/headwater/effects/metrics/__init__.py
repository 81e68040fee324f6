"""Kinds of metrics: one file is one kind."""
