"""The stages of shipped adapters, one module per kind of interface; the clouds themselves stand in `simulator`."""
