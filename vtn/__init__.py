"""The OpenADR 3 virtual top node."""
