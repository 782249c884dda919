"""What one event payload means to a fleet of cars: a dimension and a number in that dimension's unit, or why not.

A table and a few unit rules. Nothing is guessed: a unit that the type does not have, a value out of range, a type that
asks for something cars cannot do are answered with the reason in words. Knows nothing of time or of cars.
Readings: TR-77 (signs), TR-78 and TR-79 (fractions), TR-80 (capacity names), TR-85 (unit names).
"""

import dataclasses
import enum
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vtn.wire.enumerations import EventPayload as P


class Dimension(enum.Enum):
    """What is asked, and the unit of the number: kW, share of load, level 0..3, fraction, kWh, money or g per kWh."""

    DISPATCH_KW = "dispatch"
    RELATIVE_KW = "relative"
    RELATIVE_SHARE = "relative share"
    IMPORT_LIMIT_KW = "import limit"
    IMPORT_SUBSCRIPTION_KW = "import subscription"
    IMPORT_RESERVATION_KW = "import reservation"
    EXPORT_LIMIT_KW = "export limit"
    EXPORT_SUBSCRIPTION_KW = "export subscription"
    EXPORT_RESERVATION_KW = "export reservation"
    SIMPLE_LEVEL = "simple"
    ALERT_LEVEL = "alert"
    PRE_CHARGE = "pre-charge"
    NOTICE = "notice"
    CHARGE_STATE = "charge state"
    CHARGE_ENERGY_KWH = "charge energy"
    PRICE = "price"
    EXPORT_PRICE = "export price"
    GHG_G = "ghg"


@dataclasses.dataclass(frozen=True, slots=True)
class Meaning:
    """A payload understood."""

    dimension: Dimension
    value: float


Reader = Callable[[float, str | None], Meaning | str]

_PERCENT = frozenset({"PERCENT", "PERCENTAGE"})
LEVEL_SHARE = (1.0, 0.66, 0.33, 0.0)
"""SIMPLE 0..3: the share of the flexible load that may charge."""

ALIASES: Mapping[str, str] = {
    "CAPACITY_SUBSCRIPTION": P.IMPORT_CAPACITY_SUBSCRIPTION,
    "CAPACITY_RESERVATION": P.IMPORT_CAPACITY_RESERVATION,
    "CAPACITY_LIMIT": P.IMPORT_CAPACITY_LIMIT,
}


def meaning(payload_type: str, values: Sequence[Any], units: str | None) -> Meaning | str:
    """What a payload asks, or in words why nobody acts on it."""
    name = ALIASES.get(payload_type, payload_type)
    if name in _ALERTS:
        return _ALERTS[name]
    reader = _READERS.get(name)
    if reader is None:
        return "no action of a car is defined for this type"
    if len(values) != 1 or isinstance(values[0], bool) or not isinstance(values[0], (int, float)):
        return "needs one number"
    number = float(values[0])
    return reader(number, units) if math.isfinite(number) else "needs a finite number"


def _kw(dimension: Dimension, least: float = -math.inf) -> Reader:
    def read(value: float, units: str | None) -> Meaning | str:
        if units not in (None, "KW"):
            return f"units {units} are not KW"
        return Meaning(dimension, value) if value >= least else "may not be negative"

    return read


def _per_kwh(dimension: Dimension, units_known: frozenset[str | None]) -> Reader:
    def read(value: float, units: str | None) -> Meaning | str:
        return Meaning(dimension, value) if units in units_known else f"units {units} are not per kWh"

    return read


def _relative(value: float, units: str | None) -> Meaning | str:
    if units in _PERCENT:
        return Meaning(Dimension.RELATIVE_SHARE, _fraction(value))
    return _kw(Dimension.RELATIVE_KW)(value, units)


def _simple(value: float, _units: str | None) -> Meaning | str:
    return Meaning(Dimension.SIMPLE_LEVEL, value) if value in (0, 1, 2, 3) else "the level is not 0, 1, 2 or 3"


def _charge_state(value: float, units: str | None) -> Meaning | str:
    if value < 0:
        return "may not be negative"
    if units == "KWH":
        return Meaning(Dimension.CHARGE_ENERGY_KWH, value)
    if units not in _PERCENT and (units is not None or value > 1):
        return f"units {units} are neither PERCENT nor KWH"
    return Meaning(Dimension.CHARGE_STATE, _fraction(value)) if _fraction(value) <= 1 else "is more than 100 %"


def _fraction(value: float) -> float:
    return value / 100 if abs(value) > 1 else value


_ALERTS: Mapping[str, Meaning] = {
    P.ALERT_GRID_EMERGENCY: Meaning(Dimension.ALERT_LEVEL, 3),
    P.ALERT_BLACK_START: Meaning(Dimension.ALERT_LEVEL, 3),
    P.ALERT_FLEX_ALERT: Meaning(Dimension.ALERT_LEVEL, 2),
    P.ALERT_POSSIBLE_OUTAGE: Meaning(Dimension.PRE_CHARGE, 1),
    P.ALERT_FIRE: Meaning(Dimension.PRE_CHARGE, 1),
    P.ALERT_FREEZING: Meaning(Dimension.PRE_CHARGE, 1),
    P.ALERT_WIND: Meaning(Dimension.PRE_CHARGE, 1),
    P.ALERT_TSUNAMI: Meaning(Dimension.PRE_CHARGE, 1),
    P.ALERT_AIR_QUALITY: Meaning(Dimension.NOTICE, 0),
    P.ALERT_OTHER: Meaning(Dimension.NOTICE, 0),
}
_READERS: Mapping[str, Reader] = {
    P.DISPATCH_SETPOINT: _kw(Dimension.DISPATCH_KW),
    P.DISPATCH_SETPOINT_RELATIVE: _relative,
    P.SIMPLE: _simple,
    P.CHARGE_STATE_SETPOINT: _charge_state,
    P.PRICE: _per_kwh(Dimension.PRICE, frozenset({None, "KWH"})),
    P.EXPORT_PRICE: _per_kwh(Dimension.EXPORT_PRICE, frozenset({None, "KWH"})),
    P.GHG: _per_kwh(Dimension.GHG_G, frozenset({None, "GHG", "KWH"})),
    P.IMPORT_CAPACITY_LIMIT: _kw(Dimension.IMPORT_LIMIT_KW, 0),
    P.IMPORT_CAPACITY_SUBSCRIPTION: _kw(Dimension.IMPORT_SUBSCRIPTION_KW, 0),
    P.IMPORT_CAPACITY_RESERVATION: _kw(Dimension.IMPORT_RESERVATION_KW, 0),
    P.EXPORT_CAPACITY_LIMIT: _kw(Dimension.EXPORT_LIMIT_KW, 0),
    P.EXPORT_CAPACITY_SUBSCRIPTION: _kw(Dimension.EXPORT_SUBSCRIPTION_KW, 0),
    P.EXPORT_CAPACITY_RESERVATION: _kw(Dimension.EXPORT_RESERVATION_KW, 0),
}
