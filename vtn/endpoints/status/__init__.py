"""How this server is, for operators: health, metrics, and who may ask."""
