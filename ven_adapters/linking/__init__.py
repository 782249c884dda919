"""Owners let us in: the command that shows a vendor's consent page, catches the return and keeps the grant."""
