"""Automakers' backends over real HTTP: cars that obey physics, drivers who change their minds, and field faults."""
