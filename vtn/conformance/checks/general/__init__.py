"""Checks of what is the same for every request: errors, filters, paging, versions."""
