"""The revisions of the top node's schema, in order."""
