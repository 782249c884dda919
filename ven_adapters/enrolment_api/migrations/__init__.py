"""The revisions of the enrolment store's schema, in order."""
