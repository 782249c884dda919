"""Meter values as measured quantities with fixed units: watts (+ from the grid), watt-hours, percent. Pure.

Power is import less export. A value for each phase is summed where no total is given. Values that are not finite, or
charge levels outside 0..100 %, are no values.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

DEFAULT_MEASURAND = "Energy.Active.Import.Register"
FULL_PCT = 100.0

_SCALES: Mapping[str, float] = {"kW": 1000.0, "kWh": 1000.0}
_PHASES = frozenset({"L1", "L2", "L3"})


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a station's meter showed at one instant; None where it showed nothing."""

    at: datetime
    power_w: float | None = None
    imported_wh: float | None = None
    exported_wh: float | None = None
    soc_pct: float | None = None
    current_a: float | None = None
    voltage_v: float | None = None


def instant(text: str) -> datetime:
    """An RFC 3339 date-time as UTC; one without an offset is UTC, as OCPP says. ValueError when it is none."""
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def measured(meter_values: Iterable[Mapping[str, Any]]) -> list[Measured]:
    """The meter values of one message, oldest first."""
    return sorted((_one(value) for value in meter_values), key=lambda one: one.at)


def _one(value: Mapping[str, Any]) -> Measured:
    found = _quantities(value["sampledValue"])
    soc_pct = found.get("SoC")
    return Measured(
        at=instant(value["timestamp"]),
        power_w=_net(found, "Power.Active.Import", "Power.Active.Export"),
        imported_wh=found.get("Energy.Active.Import.Register"),
        exported_wh=found.get("Energy.Active.Export.Register"),
        soc_pct=soc_pct if soc_pct is not None and 0.0 <= soc_pct <= FULL_PCT else None,
        current_a=_net(found, "Current.Import", "Current.Export"),
        voltage_v=found.get("Voltage"),
    )


def _net(found: Mapping[str, float], taken: str, given: str) -> float | None:
    if taken not in found and given not in found:
        return None
    return found.get(taken, 0.0) - found.get(given, 0.0)


def _quantities(sampled: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """One number per measurand: the total where there is one, else the sum of the phases."""
    totals: dict[str, float] = {}
    by_phase: defaultdict[str, float] = defaultdict(float)
    for sample in sampled:
        name, number = sample.get("measurand", DEFAULT_MEASURAND), _number(sample)
        if number is None:
            continue
        if "phase" not in sample:
            totals[name] = number
        elif sample["phase"] in _PHASES and name.startswith(("Power.", "Energy.")):
            by_phase[name] += number
    return {**by_phase, **totals}


def _number(sample: Mapping[str, Any]) -> float | None:
    unit = sample.get("unitOfMeasure", {})
    multiplier = max(-12, min(12, int(unit.get("multiplier", 0))))
    number = float(sample["value"]) * _SCALES.get(unit.get("unit", ""), 1.0) * 10.0**multiplier
    return number if math.isfinite(number) else None
