"""From the change log to the world: webhooks, MQTT and the broker. Nothing here is told anything but by the log."""
