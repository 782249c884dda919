"""Checks of webhooks, MQTT and discovery."""
