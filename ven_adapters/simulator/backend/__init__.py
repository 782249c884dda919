"""An automaker's own backend over the reference HTTP contract."""
