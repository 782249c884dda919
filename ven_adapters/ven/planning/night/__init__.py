"""When a zone charges over the night: the problem, the linear programme that solves it, and the cars that fill it."""
