"""Objects, the change log and everything else that must survive a restart. Only this room speaks SQL."""
