"""Enrolment beside the adapter: who agreed to what, and the only place that knows whose car it is."""
