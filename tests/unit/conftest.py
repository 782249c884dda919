"""How many examples hypothesis tries: few in the everyday run, many with `--hypothesis-profile laws`."""

from hypothesis import settings

# Thirty times the default of a hundred: the laws of planning then see more than 20,000 examples.
settings.register_profile("laws", max_examples=3_000, deadline=None)
