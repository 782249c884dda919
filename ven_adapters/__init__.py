"""VENs that turn OpenADR events into directives for enrolled cars: one engine, one file per automaker."""
