"""The faults that automakers' interfaces show in the field: a table, and one pure hook for each."""
