"""One life cycle of a directive, for the engine and for every transport: its states, and what counts as evidence."""
