"""A VTN at a customer's site announces itself on its own network."""
