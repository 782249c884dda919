"""Work on a connection: what is inserted, read, counted and archived."""
