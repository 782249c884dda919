"""Charging stations that speak OCPP 2.1 over real websockets, with the same cars, physics, drivers and faults."""
