"""What the bridges must not forget: one store for both, with revisions of its own, in SQLite or PostgreSQL."""
