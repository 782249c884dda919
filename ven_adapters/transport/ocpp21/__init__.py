"""An OCPP 2.1 central system: frames, lines, the listening door, charging profiles and what stations told."""
