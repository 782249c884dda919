"""One reader of the numbers and units of event payloads: kW, kWh, money per kWh, g CO2 per kWh, fractions.

Units are free text in OpenADR, so they are compared without case, spaces, underscores and hyphens, with the spellings
of the tables below. Whatever is not in them is said, with the field and the rule, and never guessed: not by ignoring a
unit, and not by a factor. `mW` is refused in that one spelling, because some mean megawatts by it. Pure.
Clauses: Definition, Unit Enumerations and Currency Enumerations; PAY-04, PAY-08, PAY-09; readings TR-78, TR-85.
"""

import dataclasses
import enum
import functools
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any


class Quantity(enum.StrEnum):
    """What a unit measures; the value is the unit that everything is converted to."""

    POWER = "kW"
    ENERGY = "kWh"
    MONEY = "currency per kWh"
    EMISSIONS = "g CO2 per kWh"
    SHARE = "fraction"


@dataclasses.dataclass(frozen=True, slots=True)
class Unit:
    """A unit: one of it is `factor` of its quantity's own; `spellings` as people write them."""

    factor: float
    spellings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Money:
    """What stands before the stroke of a price: `factor` of a unit of `currency`; None where only a symbol is known.

    `among`: the currencies that a symbol can stand for, all of them when empty.
    """

    factor: float
    currency: str | None
    spellings: tuple[str, ...]
    among: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """Money per kWh; `currency` None where nobody said which."""

    per_kwh: float
    currency: str | None


POWERS = (
    Unit(0.001, ("W", "watt", "watts")),
    Unit(1.0, ("KW", "kW", "kilowatt", "kilowatts")),
    Unit(1_000.0, ("MW", "megawatt", "megawatts")),
    Unit(1_000_000.0, ("GW", "gigawatt", "gigawatts")),
)
ENERGIES = (
    Unit(0.001, ("WH", "Wh", "W·h", "watt-hour", "watt-hours")),
    Unit(1.0, ("KWH", "kWh", "kW·h", "kilowatt-hour", "kilowatt-hours")),
    Unit(1_000.0, ("MWH", "MWh", "MW·h", "megawatt-hour", "megawatt-hours")),
    Unit(1_000_000.0, ("GWH", "GWh", "GW·h", "gigawatt-hour", "gigawatt-hours")),
)
SHARES = (Unit(1.0, ("PERCENT", "PERCENTAGE", "pct", "%")),)
MASSES = (
    Unit(1.0, ("g", "gram", "grams", "gramme", "grammes")),
    Unit(1_000.0, ("kg", "kilogram", "kilograms", "kilogramme", "kilogrammes")),
    Unit(1_000_000.0, ("t", "tonne", "tonnes", "metric ton", "metric tons")),
    Unit(453.59237, ("lb", "lbs", "pound", "pounds")),
)
_GASES = ("", "CO2", "CO2e", "CO2eq", "CO2 equivalent", "GHG")
_DOLLARS = frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "CLP", "COP", "ARS"})
_CROWNS = frozenset({"SEK", "NOK", "DKK", "ISK"})
_STERLING = frozenset({"GBP", "GIP", "FKP", "SHP"})
MONIES = (
    Money(1.0, None, ("$", "dollar", "dollars"), _DOLLARS),
    Money(1.0, "USD", ("US$", "US dollar", "US dollars")),
    Money(1.0, "CAD", ("CA$", "C$")),
    Money(1.0, "AUD", ("AU$", "A$")),
    Money(1.0, "EUR", ("€", "euro", "euros")),
    Money(1.0, None, ("£",), _STERLING),
    Money(1.0, None, ("¥",), frozenset({"JPY", "CNY"})),
    Money(1.0, None, ("kr",), _CROWNS),
    Money(0.01, None, ("ct", "cent", "cents", "c", "¢"), frozenset({"EUR", "CHF", "ZAR"}) | _DOLLARS),
    Money(0.01, "USD", ("US cent", "US cents", "USD cent", "USD cents", "US¢")),
    Money(0.01, "EUR", ("eurocent", "eurocents", "EUR cent", "EUR cents", "euro cent", "EURct", "€ct", "ct€")),
    Money(0.01, None, ("p", "penny", "pence"), _STERLING),
    Money(0.01, None, ("öre", "øre", "ore"), _CROWNS),
    Money(0.001, None, ("mill", "mills"), _DOLLARS),
)
# ISO 4217, the codes in use.
_CODES = """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG
HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK
MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV
WST XAF XCD XOF XPF YER ZAR ZMW ZWG"""
CURRENCIES = frozenset(_CODES.split())

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_MOST_CHARACTERS = 64
_AMBIGUOUS = re.compile(r"(?<![A-Za-z])mW")
# The same few texts come with every value of every event.
_remembered = functools.lru_cache(maxsize=1024)
_WITHOUT = re.compile(r"[\s_\-.\u00b7\u2010-\u2015]+")


@_remembered
def folded(text: str) -> str:
    """Text as it is compared: without case, spaces, underscores, hyphens and dots."""
    return _WITHOUT.sub("", unicodedata.normalize("NFKC", _WITHOUT.sub("", text)).casefold())


def _by_spelling(units: Iterable[Unit]) -> Mapping[str, float]:
    return {folded(spelling): unit.factor for unit in units for spelling in unit.spellings}


_POWER, _ENERGY, _SHARE, _MASS = map(_by_spelling, (POWERS, ENERGIES, SHARES, MASSES))
_GAS = frozenset(map(folded, _GASES))
_MONEY: Mapping[str, Money] = {
    **{folded(code): Money(1.0, code, (code,)) for code in CURRENCIES},
    **{folded(spelling): money for money in MONIES for spelling in money.spellings},
}
_NOTHING_SAID = Money(1.0, None, ())
_STANDARD_EMISSIONS = frozenset({"ghg", "kwh"})


def number(value: Any) -> float | str:
    """A payload value as a finite number, also when it is told as text ("10", "1e3"); or why it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return "values: needs one number"
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is None:
        return f"values: {_short(value)} is not a number"
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    return found if math.isfinite(found) else "values: needs a finite number"


def quantity_of(units: str) -> Quantity | None:
    """What a unit measures; None when it is not known. An energy alone is also how the standard writes "per kWh"."""
    name = folded(units)
    known = {Quantity.POWER: _POWER, Quantity.ENERGY: _ENERGY, Quantity.SHARE: _SHARE}
    found = next((quantity for quantity, names in known.items() if name in names), None)
    if found is not None:
        return found
    if name == "ghg" or isinstance(_emission(name), float):
        return Quantity.EMISSIONS
    return Quantity.MONEY if _price_parts(name) is not None else None


def power_kw(value: float, units: str | None) -> float | str:
    """A power as kW; without units it is kW already."""
    return _converted(value, units, _POWER, "a power")


def energy_kwh(value: float, units: str | None) -> float | str:
    """An energy as kWh; without units it is kWh already."""
    return _converted(value, units, _ENERGY, "an energy")


def share(value: float, units: str | None) -> float | str:
    """A percentage as a fraction: the standard writes fractions, and who writes more than 1 means percent (TR-78)."""
    whole = _converted(value, units, _SHARE, "a percentage")
    return whole / 100 if isinstance(whole, float) and abs(whole) > 1 else whole


def emissions_g(value: float, units: str | None) -> float | str:
    """Emissions as g per kWh; without units, or with GHG, they are that already."""
    if _unsaid(units) or folded(units or "") in _STANDARD_EMISSIONS:
        return float(value)
    if _is_ambiguous(units):
        return _ambiguous(units)
    factor = _emission(folded(units or ""))
    return _finite(value * factor) if factor is not None else _unfit(units, "emissions per energy")


def price(value: float, units: str | None, currency: str | None) -> Price | str:
    """A price as money per kWh; without units it is per kWh already."""
    if _is_ambiguous(units):
        return _ambiguous(units)
    parts = (_NOTHING_SAID, 1.0) if _unsaid(units) else _price_parts(folded(units or ""))
    if parts is None:
        return _unfit(units, "a price per energy")
    quoted = _quoted(parts[0], currency, units)
    if isinstance(quoted, str):
        return quoted
    per_kwh = _finite(value * quoted.factor / parts[1])
    return per_kwh if isinstance(per_kwh, str) else Price(per_kwh, quoted.currency)


@_remembered
def _quoted(before: Money, currency: str | None, units: str | None) -> Money | str:
    """What money a price is in, by what stands in its units and in its currency, which may not contradict."""
    if _unsaid(currency):
        return before
    named = _MONEY.get(folded(currency or ""))
    if named is None:
        return f"currency: {_short(currency)} is not a currency of ISO 4217"
    if named.factor != 1 and before is not _NOTHING_SAID and before.factor != named.factor:
        return f"currency: {_short(currency)} contradicts units {_short(units)}"
    codes = {code for code in (before.currency, named.currency) if code is not None}
    fits = all(not among or codes <= among for among in (before.among, named.among))
    shared = before.among & named.among if before.among and named.among else frozenset({""})
    if len(codes) > 1 or not fits or not shared:
        return f"currency: {_short(currency)} contradicts units {_short(units)}"
    factor = named.factor if before is _NOTHING_SAID else before.factor
    return Money(factor, next(iter(codes), None), ())


@_remembered
def _price_parts(name: str) -> tuple[Money, float] | None:
    """A price's unit as the money and the kWh of its energy: `ct/kWh`, `USD_PER_MWH`, or the energy alone."""
    if name in _ENERGY:
        return _NOTHING_SAID, _ENERGY[name]
    for before, energy in _quotients(name):
        if not before or before in _MONEY:
            return _MONEY.get(before, _NOTHING_SAID), _ENERGY[energy]
    return None


@_remembered
def _emission(name: str) -> float | None:
    """G per kWh of one such unit: a mass of CO2, or of what has its effect, per energy."""
    for before, energy in _quotients(name):
        for mass, grams in _MASS.items():
            if before.startswith(mass) and before[len(mass) :] in _GAS:
                return grams / _ENERGY[energy]
    return None


def _quotients(name: str) -> Iterable[tuple[str, str]]:
    """The ways to read a folded text as something per energy."""
    for stroke in ("/", "per"):
        before, found, energy = name.rpartition(stroke)
        if found and energy in _ENERGY:
            yield before, energy


def _converted(value: float, units: str | None, known: Mapping[str, float], wanted: str) -> float | str:
    if _unsaid(units):
        return float(value)
    if _is_ambiguous(units):
        return _ambiguous(units)
    factor = known.get(folded(units or ""))
    return _finite(value * factor) if factor is not None else _unfit(units, wanted)


def _unsaid(text: str | None) -> bool:
    return text is None or not folded(text)


@_remembered
def _is_ambiguous(units: str | None) -> bool:
    return units is not None and _AMBIGUOUS.search(units) is not None


def _ambiguous(units: str | None) -> str:
    return f"units: {_short(units)} may be milliwatts or megawatts"


def _unfit(units: str | None, wanted: str) -> str:
    measured = quantity_of(units or "")
    if measured is None:
        return f"units: {_short(units)} is not a unit that is known"
    return f"units: {_short(units)} measures {_CALLED[measured]}, not {wanted}"


_CALLED = {
    Quantity.POWER: "a power",
    Quantity.ENERGY: "an energy",
    Quantity.MONEY: "a price",
    Quantity.EMISSIONS: "emissions",
    Quantity.SHARE: "a percentage",
}


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else "values: needs a finite number"


def _short(text: str | None) -> str:
    text = text or ""
    return repr(text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}...")
