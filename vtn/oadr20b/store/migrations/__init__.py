"""Revisions of the bridges' store, oldest first."""
