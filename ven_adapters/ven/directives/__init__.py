"""The life of directives: reconciled, sent, confirmed by telemetry, kept as history."""
