"""Checks of the six kinds of objects and of what stands in them."""
