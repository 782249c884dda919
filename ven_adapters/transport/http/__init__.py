"""Speak to automakers over HTTP: sessions, retries, problems, webhooks, the reference contract on the wire."""
