"""From vendors' words and units to readings of the vehicle contract."""
