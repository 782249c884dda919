"""What an adapter must still know after a restart. SQL of the engine stands here alone."""
