"""What differs between SQLite and PostgreSQL: connections, errors, upserts, opening."""
