"""The table of signals: a signalName with its signalType is a payload type of 3.1, and which of them come back as what.

Numbers are scaled by the signal's siScaleCode and turned into kW, kWh or the currency's whole unit. What has no payload
type in 3.1 has a private one (`X_20B_`), which travels beside the others and which VENs that do not know it pass over.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping

from vtn.oadr20b.codec.messages import ItemBase

SI = {"p": -12, "n": -9, "micro": -6, "m": -3, "c": -2, "d": -1, "none": 0, "k": 3, "M": 6, "G": 9, "T": 12}
POWER_ATTRIBUTES = (60.0, 240.0, True)
PERCENT = "PERCENT"
LEVELS = (0, 1, 2, 3)


class SignalUnit(enum.StrEnum):
    """What a signal's numbers are in, by the element of its unit."""

    NONE = ""
    POWER = "powerReal"
    ENERGY = "energyReal"
    PER_KWH = "currencyPerKWh"
    PER_KW = "currencyPerKW"
    OWN = "the signal's own"


@dataclasses.dataclass(frozen=True, slots=True)
class SignalRule:
    """One row. `back`: the payload type is written as this signal to 2.0b VENs; `load` calls for less or more load."""

    name: str
    kind: str
    payload: str
    units: str | None
    unit: SignalUnit = SignalUnit.NONE
    back: bool = False
    load: bool = False
    note: str = ""

    @property
    def private(self) -> bool:
        """Whether 3.1 has no payload type for it."""
        return self.payload.startswith("X_20B_")


_TARIFF = "needs the tariff: private, for adapters that know it"
_CHARGE = "needs the charge level: private, for adapters that know it"
SIGNALS: tuple[SignalRule, ...] = (
    SignalRule("SIMPLE", "level", "SIMPLE", None, back=True, load=True),
    SignalRule("ELECTRICITY_PRICE", "price", "PRICE", "KWH", SignalUnit.PER_KWH, back=True),
    SignalRule("ENERGY_PRICE", "price", "PRICE", "KWH", SignalUnit.PER_KWH, note="comes back as ELECTRICITY_PRICE"),
    SignalRule(
        "ELECTRICITY_PRICE", "priceRelative", "X_20B_PRICE_RELATIVE", "KWH", SignalUnit.PER_KWH, back=True, note=_TARIFF
    ),
    SignalRule("ELECTRICITY_PRICE", "priceMultiplier", "X_20B_PRICE_MULTIPLIER", None, back=True, note=_TARIFF),
    SignalRule("ENERGY_PRICE", "priceRelative", "X_20B_PRICE_RELATIVE", "KWH", SignalUnit.PER_KWH, note=_TARIFF),
    SignalRule("ENERGY_PRICE", "priceMultiplier", "X_20B_PRICE_MULTIPLIER", None, note=_TARIFF),
    SignalRule(
        "DEMAND_CHARGE",
        "price",
        "X_20B_DEMAND_CHARGE",
        "KW",
        SignalUnit.PER_KW,
        back=True,
        note="a second PRICE descriptor would clash",
    ),
    SignalRule("LOAD_DISPATCH", "setpoint", "DISPATCH_SETPOINT", "KW", SignalUnit.POWER, back=True, load=True),
    SignalRule(
        "LOAD_DISPATCH",
        "delta",
        "DISPATCH_SETPOINT_RELATIVE",
        "KW",
        SignalUnit.POWER,
        back=True,
        load=True,
        note="the sign is kept",
    ),
    SignalRule(
        "LOAD_DISPATCH",
        "multiplier",
        "X_20B_LOAD_DISPATCH_MULTIPLIER",
        None,
        back=True,
        load=True,
        note="a share of the own forecast: private",
    ),
    SignalRule(
        "LOAD_DISPATCH", "level", "CONTROL_LEVEL_OFFSET", None, load=True, note="comes back as x-loadControlLevelOffset"
    ),
    SignalRule("LOAD_CONTROL", "x-loadControlLevelOffset", "CONTROL_LEVEL_OFFSET", None, back=True, load=True),
    SignalRule(
        "LOAD_CONTROL",
        "x-loadControlCapacity",
        "DISPATCH_SETPOINT",
        PERCENT,
        load=True,
        note="a share of the nameplate, 1 is all; known by its unit PERCENT when it comes back",
    ),
    SignalRule(
        "LOAD_CONTROL",
        "x-loadControlPercentOffset",
        "CONTROL_LEVEL_OFFSET_PERCENT",
        PERCENT,
        back=True,
        load=True,
        note="the program says what the sign means",
    ),
    SignalRule("LOAD_CONTROL", "x-loadControlSetpoint", "CONTROL_SETPOINT", None, SignalUnit.OWN, back=True, load=True),
    SignalRule("CHARGE_STATE", "setpoint", "CHARGE_STATE_SETPOINT", "KWH", SignalUnit.ENERGY, back=True, load=True),
    SignalRule(
        "CHARGE_STATE",
        "delta",
        "X_20B_CHARGE_STATE_DELTA",
        "KWH",
        SignalUnit.ENERGY,
        back=True,
        load=True,
        note=_CHARGE,
    ),
    SignalRule("CHARGE_STATE", "multiplier", "X_20B_CHARGE_STATE_MULTIPLIER", None, back=True, load=True, note=_CHARGE),
)
REFUSED: Mapping[str, str] = {
    "BID_PRICE": "3.1 has no bids",
    "BID_LOAD": "3.1 has no bids",
    "BID_ENERGY": "3.1 has no bids",
    "x-...": "private names of a utility mean what it says: refused until a release knows them",
}
"""Signals that are answered 460 with optOut."""
LIMITS: Mapping[str, str] = {
    "IMPORT_CAPACITY_LIMIT": "x-loadControlCapacity, the limit as a share of the VEN's nameplate; without one, the"
    " LOAD_DISPATCH setpoint",
    "OLS": "x-loadControlCapacity",
}
"""Payload types of 3.1 that have no signal of their own in 2.0b, and what stands for them."""
UNTOLD: Mapping[str, str] = {
    "EXPORT_PRICE, EXPORT_CAPACITY_*": "2.0b has no word for what is fed back",
    "GHG": "2.0b has no signal of emissions",
    "CURVE, *_RESERVATION, *_FEE, *_AVAILABLE": "2.0b has no such signal",
    "CTA2045_*": "2.0b has no such signal",
}
"""Payload types that 2.0b VENs are not told of; they are logged and counted."""
ALERTS = "ALERT_"
CARRIED: Mapping[str, str] = {
    "X_20B_NOTIFICATION": "x-eiNotification, a duration",
    "X_20B_RAMP_UP": "x-eiRampUp, a duration",
    "X_20B_RECOVERY": "x-eiRecovery, a duration",
    "X_20B_TEST_EVENT": "testEvent: the event stands in a program of its own, which no VEN is granted",
    "X_20B_COMMENT": "vtnComment",
    "X_20B_MARKET_CONTEXT": "marketContext, an attribute of the program",
    "X_20B_VTN_ID": "vtnID, an attribute of the program",
    "X_20B_CONNECTION": "the name of the utility here, an attribute of the program",
    "X_20B_RESPONSE_REQUIRED": "oadrResponseRequired, an attribute of the program",
    "X_20B_SIMPLE_LEVEL": "the SIMPLE level beside load events and alerts, an attribute of the program",
    "X_20B_OPT": "optType, in reports on the event",
    "X_20B_OPT_REASON": "optReason, in reports on the event",
    "X_20B_QUALITY": "oadrDataQuality, in its own words beside DATA_QUALITY",
}
"""What of 2.0b is carried under a private name of a payload or an attribute."""

KEEPS_LAST = frozenset({"price"})
"""Types of signals whose last value goes on where an event says nothing."""
NEUTRAL: Mapping[str, float] = {
    "level": 0.0,
    "x-loadControlCapacity": 1.0,
    "x-loadControlLevelOffset": 0.0,
    "x-loadControlPercentOffset": 0.0,
    "delta": 0.0,
    "multiplier": 1.0,
    "priceRelative": 0.0,
    "priceMultiplier": 1.0,
}
"""What asks for nothing, by the type of a signal. A set-point has no such value: there an event is cut in two."""
ALERT_LEVELS: Mapping[str, int] = {"ALERT_GRID_EMERGENCY": 3, "ALERT_BLACK_START": 3, "ALERT_FLEX_ALERT": 2}
"""The SIMPLE level of an alert where the program does not name one; 1 for all others."""
KILO_UNITS: Mapping[str, float] = {"W": 1e-3, "KW": 1.0, "MW": 1e3, "WH": 1e-3, "KWH": 1.0, "MWH": 1e3}
"""What a payload's units are in kW or kWh."""

UP: Mapping[tuple[str, str], SignalRule] = {(rule.name, rule.kind): rule for rule in SIGNALS}
DOWN: Mapping[str, SignalRule] = {rule.payload: rule for rule in SIGNALS if rule.back}
CAPACITY = UP["LOAD_CONTROL", "x-loadControlCapacity"]
SETPOINT = UP["LOAD_DISPATCH", "setpoint"]
_PRICES = frozenset({SignalUnit.PER_KWH, SignalUnit.PER_KW})
_KILO = frozenset({SignalUnit.POWER, SignalUnit.ENERGY})
_OWN_UNITS = {"celsius": "CELSIUS", "fahrenheit": "FAHRENHEIT", "A": "AMPS", "V": "VOLTS", "W": "W", "Hz": "HZ"}
_OWN_ITEMS = {
    "CELSIUS": ItemBase("temperature", "temperature", "celsius"),
    "FAHRENHEIT": ItemBase("temperature", "temperature", "fahrenheit"),
    "AMPS": ItemBase("current", "Current", "A"),
    "VOLTS": ItemBase("voltage", "Voltage", "V"),
    "W": ItemBase("powerReal", "RealPower", "W", "none", POWER_ATTRIBUTES),
    "HZ": ItemBase("frequency", "Frequency", "Hz"),
}
_OF_UNIT: Mapping[SignalUnit, Callable[[str], ItemBase | None]] = {
    SignalUnit.NONE: lambda _: None,
    SignalUnit.POWER: lambda _: ItemBase("powerReal", "RealPower", "W", "k", POWER_ATTRIBUTES),
    SignalUnit.ENERGY: lambda _: ItemBase("energyReal", "RealEnergy", "Wh", "k"),
    SignalUnit.PER_KWH: lambda currency: ItemBase("currencyPerKWh", "currencyPerKWh", currency or "USD"),
    SignalUnit.PER_KW: lambda currency: ItemBase("currencyPerKW", "currencyPerKW", currency or "USD"),
    SignalUnit.OWN: lambda units: _OWN_ITEMS.get(units) or ItemBase("customUnit", units or "none", units or "none"),
}


def scaled(value: float, item: ItemBase | None) -> float:
    """A number in the whole unit of its item: 5 of scale k is 5,000."""
    return round(value * 10.0 ** SI.get(item.scale if item is not None else "none", 0), 9)


def value_up(rule: SignalRule, value: float, item: ItemBase | None) -> float | int:
    """A signal's number as 3.1 has it: kW, kWh, money, or the plain number."""
    if rule.unit in _KILO:
        return round(scaled(value, item) / 1000.0, 9)
    if rule.unit is not SignalUnit.NONE:
        return scaled(value, item)
    return int(value) if rule.kind in {"level", "x-loadControlLevelOffset"} and float(value).is_integer() else value


def descriptor(rule: SignalRule, item: ItemBase | None) -> dict[str, str]:
    """The payload descriptor of a signal."""
    made = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": rule.payload}
    if rule.units:
        made["units"] = rule.units
    if rule.unit in _PRICES and item is not None:
        made["currency"] = item.unit
    if rule.unit is SignalUnit.OWN and item is not None:
        made["units"] = _OWN_UNITS.get(item.unit, item.unit) or "none"
    return made


def item_of(rule: SignalRule, units: str, currency: str) -> ItemBase | None:
    """The unit of a payload type as a signal of 2.0b writes it."""
    return _OF_UNIT[rule.unit](currency if rule.unit in _PRICES else units)
