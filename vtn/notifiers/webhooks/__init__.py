"""The webhook side: owed deliveries in order, hosts that are slow or gone, signed calls."""
