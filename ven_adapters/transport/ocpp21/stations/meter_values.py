"""Meter values as measured quantities with fixed units: watts (+ from the grid), Wh, amperes, volts, percent. Pure.

What one instant tells is merged before anything is summed or subtracted, wherever it stands: in several entries of one
message, in several messages (J02: a station may split what does not fit), in any order, unit or context. A number is
the whole truth of its instant or None: a missing member is never 0, a sum lacks no phase, what contradicts itself is
no value. Measurands, phases, locations and units are those of OCPP 2.1, MeterValueType.

Net power is import less export. Without an import there is none. An import of nothing counts alone only where the meter
has never told an export and the car gives none. Where no power is told, it follows from currents and voltages, and says
so by `derived`.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

DEFAULT_MEASURAND = "Energy.Active.Import.Register"
DEFAULT_LOCATION = "Outlet"
FULL_PCT = 100.0
IDLE_W = 50.0
IDLE_A = 0.25
MOST_DECIMAL_SHIFT = 12  # a multiplier beyond this is no exponent of anything that a charging point measures

POWER = "Power.Active.Import", "Power.Active.Export"
CURRENT = "Current.Import", "Current.Export"
VOLTAGE, FACTOR, SOC = "Voltage", "Power.Factor", "SoC"
IMPORTED, EXPORTED = "Energy.Active.Import.Register", "Energy.Active.Export.Register"

_WATTS = {"": 1.0, "w": 1.0, "kw": 1000.0}
_WATT_HOURS = {"": 1.0, "wh": 1.0, "kwh": 1000.0}
_AMPERES = {"": 1.0, "a": 1.0}
_UNITS: Mapping[str, Mapping[str, float]] = {
    **dict.fromkeys(POWER, _WATTS),
    **dict.fromkeys((IMPORTED, EXPORTED), _WATT_HOURS),
    **dict.fromkeys(CURRENT, _AMPERES),
    VOLTAGE: {"": 1.0, "v": 1.0},
    FACTOR: {"": 1.0},
    SOC: {"": 1.0, "percent": 1.0, "%": 1.0},
}
_LINES, _PAIRS = ("L1", "L2", "L3"), ("L1-L2", "L2-L3", "L3-L1")
_PHASES = {f"{line}-N": line for line in _LINES}
# Where an EVSE's own electricity is measured, nearest to the car first; the car's word and a meter upstream are not it.
_PLACES = ("Outlet", "Cable", "Body", "Inlet")
_SOC_PLACES = ("EV", *_PLACES)

Channel = tuple[str, str, str]
Samples = Mapping[Channel, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Circuit:
    """How a charging point is wired: the phases in use, and the nominal voltage of one, in split phase that of both.

    `gives`: the car may feed the grid, so that a magnitude alone does not say which way the power flows.
    """

    phases: int = 1
    voltage_v: float = 240.0
    gives: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class MeterMemory:
    """The samples of the newest instant, for what else it may tell, and every channel that this meter has told."""

    at: datetime | None = None
    samples: Samples = dataclasses.field(default_factory=dict)
    known: frozenset[Channel] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a station's meter showed at one instant, None where nothing; `derived`: power from current and voltage."""

    at: datetime
    power_w: float | None = None
    imported_wh: float | None = None
    exported_wh: float | None = None
    soc_pct: float | None = None
    current_a: float | None = None
    voltage_v: float | None = None
    derived: bool = False


def instant(text: str) -> datetime:
    """An RFC 3339 date-time as UTC; one without an offset is UTC, as OCPP says. ValueError when it is none."""
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def stamp(at: datetime) -> str:
    """An instant as OCPP writes it: RFC 3339 in UTC, whole milliseconds."""
    rounded = at + timedelta(microseconds=500)
    return rounded.strftime("%Y-%m-%dT%H:%M:%S.") + f"{rounded.microsecond // 1000:03d}Z"


def read(
    meter_values: Iterable[Mapping[str, Any]],
    circuit: Circuit,
    memory: MeterMemory = MeterMemory(),
    *,
    late: bool = False,
) -> tuple[list[Measured], MeterMemory]:
    """The instants of one message, oldest first, and what is remembered for the next.

    An instant that an earlier message began is completed; where the two differ the later message alone counts, because
    it was read within the same second. `late`: the message is known to be the older one, and then it does not count.
    """
    instants: dict[datetime, dict[Channel, float]] = {}
    for value in meter_values:
        samples = instants.setdefault(instant(value["timestamp"]), {})
        for sample in value["sampledValue"]:
            _merge(samples, sample)
    memory = dataclasses.replace(memory, known=memory.known.union(*instants.values()))
    out = []
    for at in sorted(instants):
        told: Samples = instants[at]
        if at == memory.at:
            differs = any(not _same(value, told[name]) for name, value in memory.samples.items() if name in told)
            if differs and late:
                continue
            told = told if differs else {**memory.samples, **told}
        if memory.at is None or at >= memory.at:
            memory = dataclasses.replace(memory, at=at, samples=told)
        out.append(_Meter(told, memory.known, circuit).measured(at))
    return out, memory


def _merge(samples: dict[Channel, float], sample: Mapping[str, Any]) -> None:
    """Take one sampled value up; two of one instant that say different things make no value."""
    name = sample.get("measurand", DEFAULT_MEASURAND)
    if name not in _UNITS:
        return
    phase = sample.get("phase", "")
    channel = name, _PHASES.get(phase, phase), sample.get("location", DEFAULT_LOCATION)
    value = _value(sample, _UNITS[name])
    samples[channel] = value if channel not in samples or _same(samples[channel], value) else math.nan


def _value(sample: Mapping[str, Any], units: Mapping[str, float]) -> float:
    """The number in the fixed unit; not a number where unit or multiplier make no sense of it."""
    unit = sample.get("unitOfMeasure", {})
    scale, shift = units.get(unit.get("unit", "").strip().lower()), unit.get("multiplier", 0)
    if scale is None or abs(shift) > MOST_DECIMAL_SHIFT:
        return math.nan
    try:
        return float(sample["value"]) * scale * float(10.0**shift)
    except OverflowError:
        return math.nan


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-6)


def _near(one: float, other: float, share: float) -> bool:
    return math.isclose(one, other, rel_tol=share)


@dataclasses.dataclass(frozen=True, slots=True)
class _Meter:
    """One instant of one meter. Every method gives None for what the instant does not tell as a whole."""

    samples: Samples
    known: frozenset[Channel]
    circuit: Circuit

    def measured(self, at: datetime) -> Measured:
        power_w, derived = self._first(self._power_w), False
        if power_w is None:
            power_w = self._first(self._derived_w)
            derived = power_w is not None
        soc_pct = next((found for place in _SOC_PLACES if (found := self._total(SOC, place)) is not None), None)
        return Measured(
            at=at,
            power_w=power_w,
            imported_wh=self._first(lambda place: self._total(IMPORTED, place)),
            exported_wh=self._first(lambda place: self._total(EXPORTED, place)),
            soc_pct=soc_pct if soc_pct is not None and 0.0 <= soc_pct <= FULL_PCT else None,
            current_a=self._first(self._current_a),
            voltage_v=self._first(self._voltage_v),
            derived=derived,
        )

    @staticmethod
    def _first(found_at: Any) -> float | None:
        """The value at the place nearest to the car that tells it; one place only, for losses lie between two."""
        found = (found_at(place) for place in _PLACES)
        return next((float(value) for value in found if value is not None and math.isfinite(value)), None)

    def _phases(self, name: str, place: str) -> dict[str, float]:
        return {phase: value for (one, phase, where), value in self.samples.items() if (one, where) == (name, place)}

    def _tells(self, name: str, place: str) -> bool:
        """Whether this meter has ever told an export, or must tell one."""
        return self.circuit.gives or any((one, where) == (name, place) for one, _, where in self.known)

    def _lines(self, name: str, place: str, family: tuple[str, ...] = _LINES) -> dict[str, float] | None:
        """A value per phase when there is one for all phases in use and for each that this meter ever told."""
        told = self._phases(name, place)
        lines = {phase: told[phase] for phase in family if phase in told}
        missing = [phase for phase in family if phase not in lines and (name, phase, place) in self.known]
        return None if missing or len(lines) < max(1, self.circuit.phases) else lines

    def _total(self, name: str, place: str) -> float | None:
        """The total where there is one, else the sum of all phases."""
        total = self._phases(name, place).get("")
        if total is None or not math.isfinite(total):
            lines = self._lines(name, place)
            if lines is None and not self._phases(name, place).keys() & set(_LINES):
                lines = self._lines(name, place, _PAIRS)
            total = None if lines is None else sum(lines.values())
        return total if total is not None and math.isfinite(total) else None

    def _power_w(self, place: str) -> float | None:
        taken, given = (self._total(name, place) for name in POWER)
        return self._net(taken, given, POWER[1], place, IDLE_W)

    def _net(self, taken: float | None, given: float | None, export: str, place: str, idle: float) -> float | None:
        """Import less export; some meters tell an export as a negative import, beside the export or in its place."""
        if taken is None:
            return None
        if given is None:
            untold = self._phases(export, place) or (abs(taken) <= idle and self._tells(export, place))
            return None if untold else taken
        if given < 0 or (taken < 0 < given and not _same(-taken, given)):
            return None
        return taken if taken < 0 else taken - given

    def _amps(self, place: str) -> dict[str, float] | None:
        """Signed currents by phase, or one for all under ""."""
        taken, given = (self._phases(name, place) for name in CURRENT)
        if taken.keys() & set(_LINES):
            lines = self._lines(CURRENT[0], place)
        else:
            lines = {"": taken[""]} if "" in taken else None
        if lines is None or not math.isfinite(sum(lines.values())):
            return None
        if given.keys() - {"N"} and not given.keys() >= lines.keys():
            return None
        idle_a = IDLE_A * len(lines)
        all_a = {phase: self._net(amps, given.get(phase), CURRENT[1], place, idle_a) for phase, amps in lines.items()}
        net = {phase: amps for phase, amps in all_a.items() if amps is not None}
        return net if len(net) == len(lines) else None

    def _current_a(self, place: str) -> float | None:
        """The current of a phase, where all phases carry the same."""
        amps = self._amps(place)
        if amps is None:
            return None
        even = all(abs(one - amps[next(iter(amps))]) <= max(0.5, 0.05 * abs(one)) for one in amps.values())
        return sum(amps.values()) / len(amps) if even else None

    def _voltage_v(self, place: str) -> float | None:
        """The voltage that was told for no phase in particular, else the mean of those to neutral."""
        told = self._phases(VOLTAGE, place)
        if "" in told:
            return told[""]
        lines = [told[line] for line in _LINES if line in told]
        return sum(lines) / len(lines) if lines else None

    def _derived_w(self, place: str) -> float | None:
        """Power from currents and voltages; the power factor where it is told, else 1."""
        imports, exports = (self._phases(name, place) for name in POWER)
        way_unknown = self._tells(POWER[1], place) and not exports and not self._phases(CURRENT[1], place)
        if imports or way_unknown or not all(one <= IDLE_W for one in exports.values()):
            return None  # a power is told in part or contradicts itself, or which way it flows is not known
        amps, live = (
            self._amps(place),
            {phase for name, phase, where in self.known if (name, where) == (VOLTAGE, place)},
        )
        if amps is None or ("" not in amps and live & {*_LINES} - amps.keys()):
            return None
        if all(one == 0.0 for one in amps.values()):
            return 0.0
        volts, factors = self._phases(VOLTAGE, place), self._phases(FACTOR, place)
        apparent = self._loop(amps, volts, place) if self.circuit.phases == 1 else None
        apparent = self._star(amps, volts) if apparent is None else apparent
        if apparent is None or not all(abs(one) <= 1.0 for one in factors.values()):
            return None
        return sum(one * abs(factors.get(phase, factors.get("", 1.0))) for phase, one in apparent.items())

    def _loop(self, amps: dict[str, float], volts: dict[str, float], place: str) -> dict[str, float] | None:
        """One current loop: one line and its return, two lines in split phase, or direct current."""
        lines = {phase for _, phase, where in self.known if where == place} & {*_LINES}
        own = [volts[one] for one in (*_LINES, "") if one in volts]
        if len(amps) == 1 and len(lines) <= 1 and len(own) == 1:
            return {line: current * own[0] for line, current in amps.items()}
        least_a, most_a = min(amps.values()), max(amps.values())
        pairs = [volts[pair] for pair in _PAIRS if pair in volts]
        one_loop = len(amps) <= 2 and _near(least_a, most_a, 0.05) and not volts.keys() & {*_LINES}  # noqa: PLR2004
        if not one_loop or len(pairs) != 1 or not _near(pairs[0], self.circuit.voltage_v, 0.2):
            return None
        return {"": sum(amps.values()) / len(amps) * pairs[0]}

    def _star(self, amps: dict[str, float], volts: dict[str, float]) -> dict[str, float] | None:
        """Each line with its own voltage to neutral, or with the one that follows from a common figure."""
        if "" in amps:
            return None  # one figure for several phases: a sum, a mean or the highest, nobody knows
        if all(line in volts for line in amps):
            return {line: current * volts[line] for line, current in amps.items()}
        pairs, nominal_v = [volts[pair] for pair in _PAIRS if pair in volts], self.circuit.voltage_v
        told = [volts[""]] if "" in volts else pairs
        if any(line in volts for line in _LINES) or not told or not _near(min(told), max(told), 0.03):
            return None
        common_v = sum(told) / len(told)
        split = len(amps) == 2 and self.circuit.phases == 1  # noqa: PLR2004 - both may carry one loop's current
        if not pairs and not split and _near(common_v, nominal_v, 0.2):
            return {line: current * common_v for line, current in amps.items()}
        if _near(common_v / math.sqrt(3), nominal_v, 0.2):
            return {line: current * common_v / math.sqrt(3) for line, current in amps.items()}
        return None
