"""Charging stations that speak OCPP 2.1, 2.0.1 or 1.6J over real websockets; same cars, physics, drivers and faults."""
