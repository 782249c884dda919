"""What was decided and why, for people: decision log, statistics, and the command `explain`."""
