"""The cars of one adapter as columns: enrolments, capabilities, telemetry, metered energy."""
