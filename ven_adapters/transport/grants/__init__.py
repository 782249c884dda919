"""Whose cars we may reach: OAuth grants, renewed and kept sealed in private files."""
