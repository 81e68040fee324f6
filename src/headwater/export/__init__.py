"""Exporters: a document becomes a file. They see blocks only, and each file appears whole or not at all."""
