"""Keep a directive's window over interfaces that only take single commands."""
