"""Cars and drivers: fleets, physics, and what really happened to every kilowatt-hour."""
