"""A black-box conformance kit for any OpenADR 3.1 VTN: it knows the standard, and nothing of our own server."""
