"""All mutations; importing this module registers them."""

import mutants_lists
import mutants_notifications
import mutants_objects
import mutants_privacy
from breaking import MUTANTS

FILES = (mutants_lists, mutants_notifications, mutants_objects, mutants_privacy)

__all__ = ["FILES", "MUTANTS"]
