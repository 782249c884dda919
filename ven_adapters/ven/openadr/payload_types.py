"""What one event payload means to a fleet of cars: a dimension and a number in that dimension's unit, or why not.

A table over `units`. Nothing is guessed: a unit that the type does not have, a value out of range, a type that asks
for something cars cannot do are answered with the field and the rule in words. Types of the standard are compared
exactly, because VTNs compare them so; one that is nearly spelt is named. Knows nothing of time or of cars.
Readings: TR-77 (signs), TR-78 and TR-79 (fractions), TR-80 (capacity names), TR-85 (unit names).
"""

import dataclasses
import enum
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ven_adapters.ven.openadr.units import (
    Quantity,
    emissions_g,
    energy_kwh,
    folded,
    number,
    power_kw,
    price,
    quantity_of,
    share,
)
from vtn.wire.enumerations import EventPayload as P
from vtn.wire.values import EventPayloadDescriptor


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


D = Dimension


@dataclasses.dataclass(frozen=True, slots=True)
class PayloadValue:
    """A payload understood; `currency` of a price, where anybody said which."""

    dimension: Dimension
    value: float
    currency: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PayloadContext:
    """Units and currency of one payload type, as its descriptors say; `fault` where they contradict each other."""

    units: str | None = None
    currency: str | None = None
    fault: str | None = None


Reader = Callable[[float, PayloadContext], PayloadValue | str]

LEVEL_SHARE = (1.0, 0.66, 0.33, 0.0)
"""SIMPLE 0..3: the share of the flexible load that may charge."""

ALIASES: Mapping[str, str] = {
    "CAPACITY_SUBSCRIPTION": P.IMPORT_CAPACITY_SUBSCRIPTION,
    "CAPACITY_RESERVATION": P.IMPORT_CAPACITY_RESERVATION,
    "CAPACITY_LIMIT": P.IMPORT_CAPACITY_LIMIT,
}
UNDESCRIBED = PayloadContext()


def meaning(payload_type: str, values: Sequence[Any], described: PayloadContext = UNDESCRIBED) -> PayloadValue | str:
    """What a payload asks, or why nobody acts on it: the field, a colon and the rule."""
    name = ALIASES.get(payload_type, payload_type)
    if name in ALERTS:
        return ALERTS[name]
    reader = _READERS.get(name)
    if reader is None:
        near = _NEAR.get(folded(payload_type))
        if near is not None and near != payload_type:
            return f"type: is not spelt as in the standard, which has {near}"
        return "type: no action of a car is defined for it"
    if described.fault is not None:
        return described.fault
    if len(values) != 1:
        return "values: needs one number"
    told = number(values[0])
    return told if isinstance(told, str) else reader(told, described)


def canonical(payload_type: str) -> str:
    """The standard's name of a type, also of an older name and of one that is nearly spelt; a private one as it is."""
    name = _NEAR.get(folded(payload_type), payload_type)
    return ALIASES.get(name, name)


def binds(payload_type: str) -> bool:
    """Whether its sender counts on a payload being acted on: orders, limits, levels, alerts and prices do."""
    return canonical(payload_type) in BINDING


def limit_of(payload_type: str) -> Dimension | None:
    """The dimension that a type limits, whatever its value and units."""
    return _LIMITS.get(canonical(payload_type))


def described(
    payload_type: str, event: Iterable[EventPayloadDescriptor], program: Iterable[EventPayloadDescriptor]
) -> PayloadContext:
    """What the descriptors say of a type: the event's, and the program's for what the event's leave open."""
    found = [_described(payload_type, descriptors) for descriptors in (event, program)]
    if fault := next((one.fault for one in found if one.fault is not None), None):
        return PayloadContext(fault=fault)
    units, currency = (
        next((value for one in found if (value := getattr(one, name)) is not None), None)
        for name in ("units", "currency")
    )
    return PayloadContext(units, currency)


def _described(payload_type: str, descriptors: Iterable[EventPayloadDescriptor]) -> PayloadContext:
    near = [one for one in descriptors if folded(one.payload_type) == folded(payload_type)]
    mine = [one for one in near if one.payload_type == payload_type] or near
    if len({(folded(one.units or ""), folded(one.currency or "")) for one in mine}) > 1:
        return PayloadContext(fault="payloadDescriptors: describe it twice, and not alike")
    return PayloadContext(_said(mine[-1].units), _said(mine[-1].currency)) if mine else UNDESCRIBED


def _said(text: str | None) -> str | None:
    return text if text is not None and folded(text) else None


def _kw(dimension: Dimension, least: float = -math.inf) -> Reader:
    def read(value: float, described: PayloadContext) -> PayloadValue | str:
        kw = power_kw(value, described.units)
        if isinstance(kw, str):
            return kw
        return PayloadValue(dimension, kw) if kw >= least else "values: may not be negative"

    return read


def _money(dimension: Dimension) -> Reader:
    def read(value: float, described: PayloadContext) -> PayloadValue | str:
        found = price(value, described.units, described.currency)
        return found if isinstance(found, str) else PayloadValue(dimension, found.per_kwh, found.currency)

    return read


def _emissions(value: float, described: PayloadContext) -> PayloadValue | str:
    grams = emissions_g(value, described.units)
    return grams if isinstance(grams, str) else PayloadValue(D.GHG_G, grams)


def _relative(value: float, described: PayloadContext) -> PayloadValue | str:
    if described.units is None or quantity_of(described.units) is not Quantity.SHARE:
        return _kw(D.RELATIVE_KW)(value, described)
    part = share(value, described.units)
    return part if isinstance(part, str) else PayloadValue(D.RELATIVE_SHARE, part)


def _simple(value: float, _described: PayloadContext) -> PayloadValue | str:
    return PayloadValue(D.SIMPLE_LEVEL, value) if value in (0, 1, 2, 3) else "values: the level is not 0, 1, 2 or 3"


def _charge_state(value: float, described: PayloadContext) -> PayloadValue | str:
    units = described.units
    if value < 0:
        return "values: may not be negative"
    if units is not None and quantity_of(units) is Quantity.ENERGY:
        kwh = energy_kwh(value, units)
        return kwh if isinstance(kwh, str) else PayloadValue(D.CHARGE_ENERGY_KWH, kwh)
    if units is None and value > 1:
        return "units: are missing, so that a value above 1 may be percent or kWh"
    part = share(value, units)
    if isinstance(part, str):
        return part
    return PayloadValue(D.CHARGE_STATE, part) if part <= 1 else "values: is more than 100 %"


ALERTS: Mapping[str, PayloadValue] = {
    P.ALERT_GRID_EMERGENCY: PayloadValue(D.ALERT_LEVEL, 3),
    P.ALERT_BLACK_START: PayloadValue(D.ALERT_LEVEL, 3),
    P.ALERT_FLEX_ALERT: PayloadValue(D.ALERT_LEVEL, 2),
    P.ALERT_POSSIBLE_OUTAGE: PayloadValue(D.PRE_CHARGE, 1),
    P.ALERT_FIRE: PayloadValue(D.PRE_CHARGE, 1),
    P.ALERT_FREEZING: PayloadValue(D.PRE_CHARGE, 1),
    P.ALERT_WIND: PayloadValue(D.PRE_CHARGE, 1),
    P.ALERT_TSUNAMI: PayloadValue(D.PRE_CHARGE, 1),
    P.ALERT_AIR_QUALITY: PayloadValue(D.NOTICE, 0),
    P.ALERT_OTHER: PayloadValue(D.NOTICE, 0),
}
_READERS: Mapping[str, Reader] = {
    P.DISPATCH_SETPOINT: _kw(D.DISPATCH_KW),
    P.DISPATCH_SETPOINT_RELATIVE: _relative,
    P.SIMPLE: _simple,
    P.CHARGE_STATE_SETPOINT: _charge_state,
    P.PRICE: _money(D.PRICE),
    P.EXPORT_PRICE: _money(D.EXPORT_PRICE),
    P.GHG: _emissions,
    P.IMPORT_CAPACITY_LIMIT: _kw(D.IMPORT_LIMIT_KW, 0),
    P.IMPORT_CAPACITY_SUBSCRIPTION: _kw(D.IMPORT_SUBSCRIPTION_KW, 0),
    P.IMPORT_CAPACITY_RESERVATION: _kw(D.IMPORT_RESERVATION_KW, 0),
    P.EXPORT_CAPACITY_LIMIT: _kw(D.EXPORT_LIMIT_KW, 0),
    P.EXPORT_CAPACITY_SUBSCRIPTION: _kw(D.EXPORT_SUBSCRIPTION_KW, 0),
    P.EXPORT_CAPACITY_RESERVATION: _kw(D.EXPORT_RESERVATION_KW, 0),
}
BINDING = frozenset(_READERS.keys() | ALERTS.keys()) - {P.GHG}
LOADS = frozenset(
    {
        P.DISPATCH_SETPOINT,
        P.DISPATCH_SETPOINT_RELATIVE,
        P.SIMPLE,
        P.IMPORT_CAPACITY_LIMIT,
        P.EXPORT_CAPACITY_LIMIT,
        P.ALERT_GRID_EMERGENCY,
        P.ALERT_BLACK_START,
        P.ALERT_FLEX_ALERT,
    }
)
"""The types that ask for load now, of which it is told unasked what can be done; tariffs and subscriptions are none."""
_LIMITS: Mapping[str, Dimension] = {
    P.IMPORT_CAPACITY_LIMIT: D.IMPORT_LIMIT_KW,
    P.IMPORT_CAPACITY_SUBSCRIPTION: D.IMPORT_SUBSCRIPTION_KW,
    P.EXPORT_CAPACITY_LIMIT: D.EXPORT_LIMIT_KW,
    P.EXPORT_CAPACITY_SUBSCRIPTION: D.EXPORT_SUBSCRIPTION_KW,
}
_NEAR: Mapping[str, str] = {folded(name): str(name) for name in (*P, *ALIASES)}
