"""OpenADR 3.1 JSON: one file per object, explicit aliases, frozen; what is true of a message by itself."""
