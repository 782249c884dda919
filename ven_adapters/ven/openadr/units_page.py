"""`docs/units.md`, printed from the tables that the reader of units reads with, so that it cannot say anything else.

Printed anew by `python -m ven_adapters.ven.openadr.units_page > docs/units.md`.
"""

from collections.abc import Iterable, Mapping

from ven_adapters.ven.openadr.payload_types import ALERTS, ALIASES, binds
from ven_adapters.ven.openadr.units import ENERGIES, MASSES, MONIES, POWERS, SHARES, Quantity, Unit
from vtn.wire.enumerations import EventPayload as P

TAKES: Mapping[str, tuple[tuple[Quantity, ...], str]] = {
    P.IMPORT_CAPACITY_LIMIT: ((Quantity.POWER,), "kW"),
    P.IMPORT_CAPACITY_SUBSCRIPTION: ((Quantity.POWER,), "kW"),
    P.IMPORT_CAPACITY_RESERVATION: ((Quantity.POWER,), "kW"),
    P.EXPORT_CAPACITY_LIMIT: ((Quantity.POWER,), "kW"),
    P.EXPORT_CAPACITY_SUBSCRIPTION: ((Quantity.POWER,), "kW"),
    P.EXPORT_CAPACITY_RESERVATION: ((Quantity.POWER,), "kW"),
    P.DISPATCH_SETPOINT: ((Quantity.POWER,), "kW"),
    P.DISPATCH_SETPOINT_RELATIVE: ((Quantity.POWER, Quantity.SHARE), "kW"),
    P.CHARGE_STATE_SETPOINT: ((Quantity.SHARE, Quantity.ENERGY), "a fraction up to 1; more is not understood"),
    P.PRICE: ((Quantity.MONEY, Quantity.ENERGY), "money per kWh"),
    P.EXPORT_PRICE: ((Quantity.MONEY, Quantity.ENERGY), "money per kWh"),
    P.GHG: ((Quantity.EMISSIONS,), "g per kWh"),
}
"""What units each payload type takes, and what it is in without any. An energy as a price's unit means "per"."""

_HEAD = """# Numbers and units of events

The adapters read the payload types below. Units are free text in OpenADR, so they are compared without case, spaces,
underscores, hyphens and dots: `KWH`, `kWh`, `kW h` and `kilowatt-hour` are one unit. This page is printed from the
tables that the adapters read with (`ven_adapters/ven/openadr/units.py`); a test holds them equal.

- **Numbers** may be told as text (`"10"`, `"1e3"`). Truth values, `NaN`, infinities, `"0,5"` and `"10 kW"` are none.
- **Units and currency** come from the payload descriptor of the event; what it leaves open, its program's says.
  Descriptors of one type that contradict each other are not understood.
- **Payload types** are compared exactly, as VTNs compare them. `Simple` or `import_capacity_limit` is not acted on, and
  its sender is told which type is meant.
- **`mW`** may mean milliwatts or megawatts, and is not understood in that one spelling. `MW` and `mw` are megawatts.

## What is not understood

Nothing is guessed and nothing is passed over in silence: a log line for each version of an event, counters in
`progress.jsonl` and `summary.json` (`told_of_events`), and a sentence of `ven-adapters explain`. Where the payload
binds (the table says which do), an alarm stands as well until the event is over, changed or gone (`ALARM` in the log;
in the same files the first 20 under `alarms`, and their number under `alarms_in_all`), and whoever sent the event is
told by a report on it, once for each version: payload type
`x-EVTN-NOT-UNDERSTOOD`, resource `AGGREGATED_REPORT`, one text for each fault that names the field and the rule.

No limit is invented in place of one that is not understood. The last limit of the same program that was understood in
the zone stays in force for it; without one, `fallback_import_kw` and `fallback_export_kw` of the zone's settings;
without those, none. The explanation says which.
"""


_PRICES = """An energy alone (`KWH`: per kWh), or money per energy: `USD/kWh`, `ct/kWh`, `EUR_PER_MWH`, `$ per kWh`.
Money is an ISO 4217 code or one of these; the descriptor's `currency` is read alike and may not contradict it.
"""
_EMISSIONS = """`GHG`, `KWH` (both g per kWh), or a mass per energy, with or without `CO2`, `CO2e`, `CO2eq`: `g/kWh`,
`kgCO2/MWh`, `G_PER_KWH`.
"""


def page() -> str:
    """The whole page."""
    types = [
        (f"`{name}`", _quantities(quantities), without, "yes" if binds(name) else "no")
        for name, (quantities, without) in TAKES.items()
    ]
    levels = ("`SIMPLE`", "none are read: a level 0, 1, 2 or 3", "-", "yes")
    alerts = [(f"`{name}`", "none are read, nor the text", "-", "yes") for name in ALERTS]
    parts = [
        _HEAD,
        "## Payload types\n",
        _table(("type", "units", "without units", "binds"), [*types, levels, *alerts]),
        _table(("older name", "is"), [(f"`{old}`", f"`{new}`") for old, new in ALIASES.items()]),
        "## Power\n",
        _units("kW", POWERS),
        "## Energy\n",
        _units("kWh", ENERGIES),
        "## Percentages\n",
        "Fractions with these units, as the standard has it; who writes more than 1 means percent.\n",
        _units("wholes", SHARES),
        "## Prices\n",
        _PRICES,
        _table(
            ("spellings", "is", "of"),
            [
                (_spelt(one.spellings), f"{one.factor:g}", one.currency or _among(one.among) or "any currency")
                for one in MONIES
            ],
        ),
        "## Emissions\n",
        _EMISSIONS,
        _units("g", MASSES),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _quantities(quantities: Iterable[Quantity]) -> str:
    named = {
        Quantity.POWER: "power",
        Quantity.ENERGY: "energy",
        Quantity.MONEY: "price",
        Quantity.EMISSIONS: "emissions",
        Quantity.SHARE: "percentage",
    }
    return ", ".join(named[one] for one in quantities)


def _units(of: str, units: Iterable[Unit]) -> str:
    return _table(("spellings", f"is, in {of}"), [(_spelt(one.spellings), f"{one.factor:.10g}") for one in units])


def _spelt(spellings: Iterable[str]) -> str:
    return ", ".join(f"`{one}`" for one in spellings)


def _among(codes: Iterable[str]) -> str:
    return ", ".join(sorted(codes))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - what the command is for
