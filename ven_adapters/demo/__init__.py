"""One July evening, end to end: a real VTN, a broker, four automaker clouds, four adapters and a utility's client."""
