"""The revisions of the adapter store's schema, in order."""
