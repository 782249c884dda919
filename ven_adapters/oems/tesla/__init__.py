"""Tesla's Fleet API: `backend` is what the adapter loads; `shapes` reads what is polled, `fields` what streams."""
