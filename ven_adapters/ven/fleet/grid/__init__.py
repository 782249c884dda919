"""The grid that cars hang from: its file, its tree, and where homes stand in it."""
