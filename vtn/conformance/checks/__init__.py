"""The checks, one file per section of the requirements; `CHECKS.chosen` imports them, which registers them."""
