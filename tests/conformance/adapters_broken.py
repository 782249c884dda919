"""All broken adapters; importing this module registers them."""

import adapters_broken_effects
import adapters_broken_manners
import adapters_broken_orders
import adapters_broken_reads
from adapters_breaking import BROKEN

FILES = (adapters_broken_effects, adapters_broken_manners, adapters_broken_orders, adapters_broken_reads)

__all__ = ["BROKEN", "FILES"]
