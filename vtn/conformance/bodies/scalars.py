"""The types of the OpenADR 3.1 schema as values to try: what each takes, and what it refuses (section TYP).

Fractions are sums of powers of two, because `format: float` allows a VTN to keep no more than 32 bits.
"""

from typing import Any

from vtn.conformance.bodies.field_cases import VALID, Fresh, Rule
from vtn.conformance.bodies.valid_bodies import INTERVAL, PERIOD_OF_EVENT, START, VALUES_MAP

LONGEST_NAME = 128
LONGEST_URI = 8000
INT32_MAX, INT32_MIN = 2**31 - 1, -(2**31)

GOOD_DURATIONS = ("PT1H", "P9999Y", "P7D", "PT0.5S")
BAD_DURATIONS = ("P12H", "P0S", "PT1.5H", "P", "PT", "pt1h")
BAD_DATE_TIMES = ("17:15:16", "2026-07-15", "2026-07-15T16:00:00", "2026-13-01T00:00:00Z", "tomorrow")

TOO_LONG = "x" * (LONGEST_NAME + 1)
NO_NAMES = ("", TOO_LONG, 7)


def uri_of(length: int) -> str:
    """A URI of so many characters."""
    return "https://example.org/".ljust(length, "x")


def one_of(*constants: str) -> Rule:
    """An enumeration."""
    return Rule(constants, ("FOO", 7))


def list_of(*good: Any, bad: tuple[Any, ...]) -> Rule:
    """An array: these items are good; each of the bad ones spoils it, and so does no array at all.

    That an array may be empty is a reading, and tried by a check of its own.
    """
    return Rule((list(good),), ("x", {"x": 1}, *([item] for item in bad)))


NAME = Rule(("x", "x" * LONGEST_NAME), NO_NAMES)
NEW_NAME = Rule((Fresh(), Fresh(LONGEST_NAME)), NO_NAMES)
OWN_NAME = Rule((VALID,), NO_NAMES)
OBJECT_ID = Rule((VALID,), (*NO_NAMES, "not an id!"))
FREE_TEXT = Rule(("x", "x" * 1000), (7, {"x": 1}))
URI = Rule((uri_of(25), uri_of(LONGEST_URI)), ("x", uri_of(LONGEST_URI + 1), "not a URI", 7))
BOOLEAN = Rule((True, False), ("true", 1))
NUMBER = Rule((0, -1.5, 0.25), ("x", True))
INT32 = Rule((0, INT32_MIN, INT32_MAX), (1.5, "1", INT32_MAX + 1))
NATURAL = Rule((0, 1, 1000), (-1, 1.5, "1"))
PERCENT = Rule((0, 100), (-1, 101, 1.5, "1", INT32_MAX + 1))
DURATION = Rule(GOOD_DURATIONS, (*BAD_DURATIONS, 7))
DATE_TIME = Rule(("2026-07-15T16:00:00Z", "2026-07-15T16:00:00.5+02:00"), (*BAD_DATE_TIMES, 7))
TARGETS = list_of("x", "x" * LONGEST_NAME, bad=("", TOO_LONG, 7, None))

VALUES_MAPS = list_of(VALUES_MAP, bad=({}, {"type": "X"}, 7, None))
VALUES = list_of(*(1, 1.5, "x", "1", True, {"x": 1, "y": 2}), bad=(None, [1], {"x": 1}))
PERIOD = Rule(
    ({"start": "2026-07-15T16:00:00Z", "duration": "PT1H", "randomizeStart": "PT5M"}, PERIOD_OF_EVENT),
    ([], "x", 7, {"start": "x"}, {"start": START, "duration": "x"}),
)
INTERVALS = list_of(INTERVAL, bad=({}, {"id": 0}, {"payloads": []}, 7, None))
