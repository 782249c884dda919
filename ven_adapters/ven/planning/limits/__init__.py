"""Limits of sites, transformers, feeders and zones, held inside every plan. Pure."""
