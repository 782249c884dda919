"""What drivers agreed to: read from files and from the enrolment store, and kept in step."""
