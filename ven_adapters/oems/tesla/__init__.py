"""Tesla, over its Fleet API: `backend` is what the adapter loads."""
