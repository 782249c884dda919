"""The engine that every automaker's adapter shares: OpenADR in, directives out, telemetry back."""
