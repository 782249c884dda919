"""The adapter kit: judge any automaker's adapter by what it does, and record real answers for its fixtures."""
