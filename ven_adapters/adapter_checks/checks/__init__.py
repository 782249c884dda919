"""All checks of adapters; `CHECKS.chosen` imports the modules, which registers them."""
