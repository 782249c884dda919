"""HTTP in and out: bytes to values and back, statuses and headers; every decision is taken elsewhere."""
