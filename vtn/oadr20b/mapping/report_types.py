"""The tables of reports: types, reading types, qualities and units of 2.0b in words of 3.1, and back."""

import dataclasses
from collections.abc import Mapping

from vtn.oadr20b.codec.messages import ItemBase
from vtn.oadr20b.mapping.signals import POWER_ATTRIBUTES, SI


@dataclasses.dataclass(frozen=True, slots=True)
class ReportRule:
    """One row: a reportType, its payload type in 3.1, and whether the payload type comes back as it."""

    report_type: str
    payload: str
    item: str = ""
    back: bool = False
    note: str = ""


REPORT_TYPES: tuple[ReportRule, ...] = (
    ReportRule("reading", "READING", "", back=True),
    ReportRule("usage", "USAGE", "energyReal", back=True),
    ReportRule("avgUsage", "USAGE", "energyReal", note="readingType MEAN"),
    ReportRule("demand", "DEMAND", "powerReal", back=True),
    ReportRule("avgDemand", "DEMAND", "powerReal", note="readingType MEAN"),
    ReportRule("deltaUsage", "DELTA_USAGE", "energyReal", back=True),
    ReportRule("deltaDemand", "X_20B_DELTA_DEMAND", "powerReal", back=True),
    ReportRule("setPoint", "SETPOINT", "powerReal", back=True),
    ReportRule("deltaSetPoint", "X_20B_DELTA_SETPOINT", "powerReal", back=True),
    ReportRule("deviation", "X_20B_DEVIATION", "powerReal", back=True),
    ReportRule("baseline", "BASELINE", "powerReal", back=True),
    ReportRule("operatingState", "OPERATING_STATE"),
    ReportRule("x-resourceStatus", "OPERATING_STATE", back=True, note="the payload of TELEMETRY_STATUS"),
    ReportRule("price", "X_20B_PRICE", "currencyPerKWh", back=True),
    ReportRule("storedEnergy", "X_20B_STORED_ENERGY", "energyReal", back=True),
    ReportRule("targetEnergyStorage", "X_20B_TARGET_ENERGY", "energyReal", back=True),
    ReportRule("availableEnergyStorage", "X_20B_AVAILABLE_STORAGE", "energyReal", back=True),
    ReportRule("upRegulationCapacityAvailable", "UP_REGULATION_AVAILABLE", "powerReal", back=True),
    ReportRule("downRegulationCapacityAvailable", "DOWN_REGULATION_AVAILABLE", "powerReal", back=True),
    ReportRule("regulationSetpoint", "REGULATION_SETPOINT", "powerReal", back=True),
    ReportRule("level", "SIMPLE_LEVEL", back=True),
    ReportRule("percentUsage", "USAGE", "percent", note="units PERCENT, a hundredth of the number"),
    ReportRule("percentDemand", "DEMAND", "percent", note="units PERCENT, a hundredth of the number"),
    ReportRule("powerFactor", "READING", "powerFactor", note="units X_PF"),
)
READING_TYPES: Mapping[str, str | None] = {
    "Direct Read": "DIRECT_READ",
    "Estimated": "ESTIMATED",
    "Summed": "SUMMED",
    "Mean": "MEAN",
    "Peak": "PEAK",
    "Projected": "FORECAST",
    "Net": "X_20B_NET",
    "Allocated": "X_20B_ALLOCATED",
    "Derived": "X_20B_DERIVED",
    "Hybrid": "X_20B_HYBRID",
    "Contract": "X_20B_CONTRACT",
    "x-RMS": "X_20B_RMS",
    "x-notApplicable": None,
}
"""readingType of 2.0b, and what it is in 3.1; None: none."""
READING_BACK: Mapping[str, str] = {
    **{told: name for name, told in READING_TYPES.items() if told is not None},
    "AVERAGE": "Mean",
}
QUALITIES: tuple[tuple[str, str], ...] = (
    ("Quality Good", "OK"),
    ("Quality Bad", "BAD"),
    ("No Quality - No Value", "MISSING"),
    ("No New Value - Previous Value Used", "ESTIMATED"),
    ("Quality Uncertain", "ESTIMATED"),
    ("Quality Limit", "ESTIMATED"),
)
"""How oadrDataQuality begins, and DATA_QUALITY in 3.1; its own words stand beside it as X_20B_QUALITY."""
QUALITY_BACK: Mapping[str, str] = {
    "OK": "Quality Good - Non Specific",
    "ESTIMATED": "Quality Uncertain - Non Specific",
    "MISSING": "No Quality - No Value",
    "BAD": "Quality Bad - Non Specific",
}
UNITS: Mapping[str, tuple[str, int]] = {
    "W": ("KW", 3),
    "J/s": ("KW", 3),
    "Wh": ("KWH", 3),
    "VA": ("KVA", 3),
    "VAR": ("KVAR", 3),
    "VAh": ("KVAH", 3),
    "VARh": ("KVARH", 3),
    "A": ("AMPS", 0),
    "V": ("VOLTS", 0),
    "celsius": ("CELSIUS", 0),
    "fahrenheit": ("FAHRENHEIT", 0),
    "thm": ("THERMS", 0),
}
"""itemUnits of 2.0b: the units in 3.1, and how many powers of ten these are more. Others are private units."""

BY_TYPE: Mapping[str, ReportRule] = {rule.report_type: rule for rule in REPORT_TYPES}
BY_PAYLOAD: Mapping[str, ReportRule] = {rule.payload: rule for rule in REPORT_TYPES if rule.back}
ITEMS: Mapping[str, ItemBase] = {
    "powerReal": ItemBase("powerReal", "RealPower", "W", "k", POWER_ATTRIBUTES),
    "energyReal": ItemBase("energyReal", "RealEnergy", "Wh", "k"),
    "currencyPerKWh": ItemBase("currencyPerKWh", "currencyPerKWh", "USD"),
}
_RATIOS = {"percentUsage": ("PERCENT", 0.01), "percentDemand": ("PERCENT", 0.01), "powerFactor": ("X_PF", 1.0)}


def units_up(report_type: str, item: ItemBase | None) -> tuple[str | None, float]:
    """The units of a data point in 3.1, and what its numbers are multiplied with to be in them."""
    if report_type in _RATIOS:
        return _RATIOS[report_type]
    if item is None:
        return None, 1.0
    units, powers = UNITS.get(item.unit, (item.unit or None, 0))
    return units, 10.0 ** (SI.get(item.scale, 0) - powers)


def quality_up(quality: str) -> str:
    """DATA_QUALITY of 3.1 for an oadrDataQuality."""
    return next((told for begin, told in QUALITIES if quality.startswith(begin)), "ESTIMATED")


def payload_up(report_type: str) -> str:
    """The payload type of a reportType; a private one of the same name where it is a private one there."""
    rule = BY_TYPE.get(report_type)
    return rule.payload if rule is not None else f"X_20B_{report_type.upper().replace('-', '_')}"[:128]


def reading_up(report_type: str, reading_type: str) -> str | None:
    """The reading type in 3.1. An average is MEAN, whatever it says beside that."""
    if report_type in {"avgUsage", "avgDemand"}:
        return "MEAN"
    return READING_TYPES.get(reading_type, f"X_20B_{reading_type.upper().replace('-', '_')}"[:128] or None)
