"""OpenADR's objects as a fleet needs them: programs, events, payload types, notifications, registration."""
