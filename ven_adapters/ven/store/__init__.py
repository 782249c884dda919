"""What an adapter must still know after a restart. Only this room speaks SQL."""
