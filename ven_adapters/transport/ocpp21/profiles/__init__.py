"""Directives as charging profiles at stations: made, installed, read back, taken away."""
