"""Teach an adapter what its cars did before it ran: `ven-adapters learn`.

An automaker has months of its cars' sessions. From them an adapter knows on its first evening how fast each car really
charges, when its driver really leaves and when it is at home, instead of taking the slowest for true until it has seen
a few nights. The readings must be of times in which the cars charged as they wished: nothing is learned of limits.
They go the way of live ones, through the same columns; all that is kept is what was learned. All lines of all files
are good, or nothing is kept.
"""

import collections
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ven_adapters.config import AdapterSettings, opening
from ven_adapters.contract import ChargeState, Known, Reading, Snapshot
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.participation import fleet_state_of
from ven_adapters.ven.enrolment.files import MOST_FAULTS, Unreadable
from ven_adapters.ven.enrolment.source import AgreementSource
from ven_adapters.ven.fleet.columns import Floats
from ven_adapters.ven.fleet.fleet import Enrolment
from ven_adapters.ven.fleet.telemetry import instant
from ven_adapters.ven.store.database import AdapterStore, StoredState
from vtn.clock import HOUR_S

SLOT_S = 300.0
LONGEST_GAP_S = 24 * HOUR_S
LONGEST_LINE = 2_000
DRAINED_AT_ONCE = 500
_STATES = {state.value: state for state in ChargeState}
_KNOWN = {True: Known.YES, False: Known.NO}
_NUMBERS: Mapping[str, tuple[float, float]] = {
    "soc_pct": (0.0, 100.0),
    "power_w": (-500_000.0, 500_000.0),
    "energy_added_wh": (0.0, 1e9),
    "energy_exported_wh": (0.0, 1e9),
}
"""The figures that a line may hold, in the contract's units, and their bounds."""
_FLAGS: Mapping[str, str] = {"plugged": "plugged", "at_home": "at_site"}
_KEYS = frozenset({"vehicle_ref", "at", "charge_state", *_NUMBERS, *_FLAGS})


@dataclasses.dataclass(frozen=True, slots=True)
class Learned:
    """How many readings of how many cars were taken, and how many were of cars that are not enrolled here."""

    readings: int
    cars: int
    strangers: int


@dataclasses.dataclass(slots=True)
class _PastLines:
    """The readings of files, in slots of five minutes; faults are gathered, and readings stop coming once there are."""

    paths: Sequence[Path]
    now: datetime
    faults: list[str] = dataclasses.field(default_factory=list)
    _last: datetime = datetime(1, 1, 1, tzinfo=UTC)

    def slots(self) -> Iterator[tuple[datetime, list[Snapshot]]]:
        """The newest instant of each slot, and its readings in their order."""
        slot, held, at = -math.inf, list[Snapshot](), self._last
        for read_at, snapshot in self._readings():
            number = read_at.timestamp() // SLOT_S
            if number != slot and held:
                yield at, held
                held = []
            slot, at = number, read_at
            held.append(snapshot)
        if held:
            yield at, held

    def _readings(self) -> Iterator[tuple[datetime, Snapshot]]:
        for path in self.paths:
            try:
                with path.open("rb") as lines:
                    for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE + 1), b""), start=1):
                        found = self._read(f"{path}: line {number}", line) if line.strip() else None
                        if found is not None and not self.faults:
                            yield found
                        if len(line) > LONGEST_LINE or len(self.faults) > MOST_FAULTS:
                            break
            except OSError as error:
                self.faults.append(f"{path}: cannot be read: {error.strerror}")

    def _read(self, place: str, line: bytes) -> tuple[datetime, Snapshot] | None:
        """One line; None when it has a fault, which is noted."""
        before = len(self.faults)
        told = self._object(place, line)
        if len(self.faults) > before:
            return None
        for name in sorted(told.keys() - _KEYS):
            self._fault(place, f"{name}: is not known; known are {', '.join(sorted(_KEYS))}")
        ref, at = told.get("vehicle_ref"), self._instant(place, told.get("at"))
        if not isinstance(ref, str) or not ref:
            self._fault(place, "vehicle_ref: must be the car's pseudonym")
        values = self._values(place, told)
        if at is None or len(self.faults) > before:
            return None
        self._last = at
        readings = {name: Reading(value, at, at) for name, value in values.items()}
        return at, Snapshot(str(ref), **readings)

    def _object(self, place: str, line: bytes) -> Mapping[str, Any]:
        """What a line holds; nothing when it is too long or no object."""
        try:
            told = orjson.loads(line) if len(line) <= LONGEST_LINE else None
        except orjson.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            self.faults.append(f"{place}: must be a JSON object of at most {LONGEST_LINE} bytes")
            return {}
        return told

    def _instant(self, place: str, told: Any) -> datetime | None:
        at = _parse_instant(told)
        rules = {
            "must be an instant with its offset, as 2026-07-01T18:00:00Z": at is None,
            "must not lie in the future": at is not None and at > self.now,
            "must not lie before the line above; sort the readings by time": at is not None and at < self._last,
        }
        broken = [rule for rule, breaks in rules.items() if breaks]
        self.faults += [f"{place}: at: {rule}" for rule in broken]
        return None if broken else at

    def _values(self, place: str, told: Mapping[str, Any]) -> dict[str, Any]:
        """The contract's fields of a line; faults are noted."""
        found: dict[str, Any] = {}
        for name, (least, most) in _NUMBERS.items():
            value = told.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                self._fault(place, f"{name}: must be a number from {least:g} to {most:g}")
                continue
            found[name] = float(value)
        for name, field in _FLAGS.items():
            if (value := told.get(name)) is None:
                continue
            if not isinstance(value, bool):
                self._fault(place, f"{name}: must be true or false")
                continue
            found[field] = _KNOWN[value]
        if (state := told.get("charge_state")) is not None:
            if state not in _STATES:
                self._fault(place, f"charge_state: must be one of {', '.join(_STATES)}")
            else:
                found["charge_state"] = _STATES[state]
        return found

    def _fault(self, place: str, rule: str) -> None:
        self.faults.append(f"{place}: {rule}")


def _parse_instant(told: Any) -> datetime | None:
    """An instant with its offset; None for anything else."""
    try:
        at = datetime.fromisoformat(told)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo is not None else None


async def learn(settings: AdapterSettings, paths: Sequence[Path], now: datetime) -> Learned:
    """Learn from files of readings, on top of what the adapter's store holds. Raises Unreadable with every fault."""
    lines = _PastLines(paths, now)
    with opening("enrolling.store_url"):
        url = settings.enrolment_store()
        agreements = AgreementSource(settings.enrolments, EnrolmentStore(url) if url is not None else None)
    with opening("store_url"):
        store = AdapterStore(settings.store())
    try:
        await agreements.open()
        enrolments, _ = await agreements.read(now)
        with opening("store_url"):
            await store.open()
        fleet_state = fleet_state_of(settings, now)
        learned = _replay(fleet_state, lines, enrolments, await store.load())
        if lines.faults:
            raise Unreadable(lines.faults)
        for columns in (fleet_state.pace, fleet_state.habits):
            while rows := list(columns.drain(DRAINED_AT_ONCE)):
                store.note(rows)
        await store.flush()
    finally:
        await store.close()
        await agreements.close()
    return learned


def _replay(
    fleet_state: FleetState, lines: _PastLines, enrolments: Sequence[Enrolment], stored: StoredState
) -> Learned:
    """Have the cars live through the readings, slot by slot, from the first one on, with today's agreements."""
    fleet, habits, seen, strangers = fleet_state.fleet, fleet_state.habits, collections.Counter[str](), 0
    before_s = math.nan
    for at, snapshots in lines.slots():
        if math.isnan(before_s):
            fleet_state.enrol(enrolments, at)
            fleet_state.pace.restore(stored.paces)
            habits.restore(stored.departures)
        for hour_s in _hours_between(before_s, at.timestamp()):
            fleet.refresh(instant(hour_s))
            habits.note_home(hour_s)
        fleet.refresh(at)
        mine = [one for one in snapshots if one.vehicle_ref in fleet]
        fleet_state.observe(mine, at)
        seen.update(one.vehicle_ref for one in mine)
        strangers += len(snapshots) - len(mine)
        before_s = at.timestamp()
    habits.keep(np.array([fleet.row(ref) for ref in seen], dtype=np.int64))
    return Learned(seen.total(), len(seen), strangers)


def _hours_between(before_s: float, at_s: float) -> Floats:
    """The whole hours since the slot before; none where readings have a gap: nobody knows who was there then."""
    if not at_s - before_s <= LONGEST_GAP_S:
        return np.zeros(0)
    first, last = math.ceil(before_s / HOUR_S), math.floor(at_s / HOUR_S)
    return np.arange(first, last + 1, dtype=np.float64) * HOUR_S
