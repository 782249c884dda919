"""Checks of tokens, scopes and targeting: who may do and see what."""
