"""Who talks to the VTN in a run: clients, an MQTT listener, a webhook receiver."""
