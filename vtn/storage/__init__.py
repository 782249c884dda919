"""Objects, the change log and everything else that must survive a restart. SQL of the VTN stands here alone."""
