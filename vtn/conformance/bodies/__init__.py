"""Request bodies that any reasonable VTN takes, and every way to spoil one field of them."""
