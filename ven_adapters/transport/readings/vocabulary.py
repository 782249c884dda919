"""Vendors' words and units: what is documented becomes the contract's; what is not is no reading, and is said once.

A word that nobody documented is never taken for a state that it resembles, and a number in a unit that nobody
documented is never taken for one in another. Each is logged the first time that a vendor says it, and counted ever
after.
"""

import collections
import logging
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from ven_adapters.contract import BackendError, ErrorCode

T = TypeVar("T")

MOST_REMEMBERED = 1_000
NOTHING = "an answer in which nothing was understood"
# Words of a vendor's own language and nothing that could be a place, a name or a key.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_:%/ -]{0,39}")

counts: collections.Counter[tuple[str, str]] = collections.Counter()
_log = logging.getLogger(__name__)


def note(source: str, what: str) -> None:
    """Count something of a vendor's that is not understood; the first time it is logged."""
    if (source, what) not in counts:
        if len(counts) >= MOST_REMEMBERED:
            return
        _log.warning("%s: %s", source, what)
    counts[(source, what)] += 1


def word(source: str, field: str, table: Mapping[Any, T], raw: Any) -> T | None:
    """What a vendor's word means by its table; None for one that is missing, or that nobody documented."""
    if raw is None:
        return None
    if isinstance(raw, str | bool) and raw in table:
        return table[raw]
    note(source, f"{field}: {shown(raw)} is not a word that is known")
    return None


def measured(source: str, field: str, raw: Any, unit: Any, units: Mapping[str, float]) -> float | None:
    """A number times what its unit is worth; None when there is none, or in a unit that nobody documented.

    A value whose unit is not told is in the first unit of the table. Raises BACKEND_TRANSIENT for what is no number.
    """
    if raw is None:
        return None
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"the vendor's reading: {field} must be a number")
    if unit is None:
        return raw * next(iter(units.values()))
    scale = units.get(re.sub(r"[\s_-]", "", unit).lower()) if isinstance(unit, str) else None
    if scale is None:
        note(source, f"{field}: {shown(unit)} is not a unit that is known")
        return None
    return raw * scale


def shown(raw: Any) -> str:
    """A vendor's word for a log: as it is when it is plain, else what kind of thing came."""
    return repr(raw) if isinstance(raw, str) and _PLAIN.fullmatch(raw) else f"what came ({type(raw).__name__})"


PERCENT: Mapping[str, float] = {"percent": 1.0, "%": 1.0}
WATTS: Mapping[str, float] = {
    "watts": 1.0,
    "watt": 1.0,
    "w": 1.0,
    "kilowatts": 1000.0,
    "kilowatt": 1000.0,
    "kw": 1000.0,
}
WATT_HOURS: Mapping[str, float] = {
    "kilowatthours": 1000.0,
    "kilowatthour": 1000.0,
    "kwh": 1000.0,
    "watthours": 1.0,
    "watthour": 1.0,
    "wh": 1.0,
}
VOLTS: Mapping[str, float] = {"volts": 1.0, "volt": 1.0, "v": 1.0}
AMPERES: Mapping[str, float] = {"amperes": 1.0, "ampere": 1.0, "amps": 1.0, "amp": 1.0, "a": 1.0}
SECONDS: Mapping[str, float] = {
    "minutes": 60.0,
    "minute": 60.0,
    "min": 60.0,
    "seconds": 1.0,
    "second": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "hours": 3600.0,
    "hour": 3600.0,
    "h": 3600.0,
}
