"""Readings of cars as columns: a batch of snapshots as arrays, and the newest reading of every car.

A snapshot with its readings takes two kilobytes as objects and a seventh of that as columns, so a large fleet is kept
as columns and a car's `Snapshot` is made again when somebody asks for it. Nothing is lost on the way: values, both
clocks, source and validity come back as they were told. Knows nothing of what readings are good for.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from ven_adapters.contract import ChargeState, Known, Reachability, Reading, Snapshot, Validity
from ven_adapters.ven.fleet.columns import NEVER_S, Bools, Floats, Ints, grown

FIELDS = tuple(field.name for field in dataclasses.fields(Snapshot) if field.name != "vehicle_ref")
PLACE: Mapping[str, int] = {name: place for place, name in enumerate(FIELDS)}
VALIDITIES = tuple(Validity)
OK, SENTINEL = VALIDITIES.index(Validity.OK), VALIDITIES.index(Validity.SENTINEL)

_CODED: Mapping[str, tuple[Enum, ...]] = {
    "plugged": tuple(Known),
    "at_site": tuple(Known),
    "der_alarm": tuple(Known),
    "charge_state": tuple(ChargeState),
    "reachability": tuple(Reachability),
}


def _member(members: Sequence[Enum], code: float) -> Enum:
    return members[int(code)]


_ENCODE: Mapping[str, Callable[[Any], float]] = {
    name: {member: float(code) for code, member in enumerate(members)}.__getitem__ for name, members in _CODED.items()
}
_DECODE: Mapping[str, Callable[[float], Any]] = {
    "phases": int,
    **{name: functools.partial(_member, members) for name, members in _CODED.items()},
}
_DECODERS = tuple(_DECODE.get(name, float) for name in FIELDS)
_CODES = {validity: code for code, validity in enumerate(VALIDITIES)}


@dataclasses.dataclass(frozen=True, slots=True)
class TelemetryBatch:
    """Snapshots of different cars: `rows` has each car's row; the others are (cars, FIELDS).

    `value` holds numbers, an enumeration's member as its place in it; `observed_s` is NEVER_S where nothing was told.
    `validity` is a place in VALIDITIES, `source` one in `sources`.
    """

    snapshots: Sequence[Snapshot]
    rows: Ints
    value: Floats
    observed_s: Floats
    received_s: Floats
    validity: npt.NDArray[np.int8]
    source: npt.NDArray[np.int16]
    sources: tuple[str, ...]

    @property
    def seen_s(self) -> Floats:
        """When each value was seen, by our own clock at the latest.

        What a car whose clock runs ahead says of the future must not keep out what it says when its clock is right.
        """
        return np.minimum(self.observed_s, self.received_s)

    def told(self, name: str) -> tuple[Floats, Floats, Bools]:
        """One field of every car: values, when they were seen, and where they are valid."""
        place = PLACE[name]
        seen_s = np.minimum(self.observed_s[:, place], self.received_s[:, place])
        return self.value[:, place], seen_s, (seen_s > NEVER_S) & (self.validity[:, place] == OK)


def batches(snapshots: Iterable[Snapshot], row_of: Callable[[str], int | None]) -> Iterator[TelemetryBatch]:
    """Snapshots in their order, cars that `row_of` does not know left out; no car comes twice in a batch."""
    left = [(row, one) for one in snapshots if (row := row_of(one.vehicle_ref)) is not None]
    while left:
        first: dict[int, Snapshot] = {}
        for row, one in left:
            first.setdefault(row, one)
        yield _batch(list(first.values()), np.array(list(first), dtype=np.int64))
        left = [pair for pair in left if first[pair[0]] is not pair[1]] if len(first) < len(left) else []


def _batch(snapshots: Sequence[Snapshot], rows: Ints) -> TelemetryBatch:
    shape = (len(snapshots), len(FIELDS))
    value, received_s = np.zeros(shape), np.zeros(shape)
    observed_s, validity = np.full(shape, NEVER_S), np.zeros(shape, dtype=np.int8)
    source, sources = np.zeros(shape, dtype=np.int16), dict[str, int]()
    for place, name in enumerate(FIELDS):
        column: list[Reading[Any] | None] = list(map(operator.attrgetter(name), snapshots))
        told = [row for row, reading in enumerate(column) if reading is not None]
        if not told:
            continue
        readings = [reading for reading in column if reading is not None]
        encode = _ENCODE.get(name, float)
        value[told, place] = [encode(reading.value) for reading in readings]
        observed_s[told, place] = [reading.observed_at.timestamp() for reading in readings]
        received_s[told, place] = [reading.received_at.timestamp() for reading in readings]
        validity[told, place] = [_CODES[reading.validity] for reading in readings]
        source[told, place] = [sources.setdefault(reading.source, len(sources)) for reading in readings]
    # No number is no reading: one that got into a sum would stop a whole zone, or a whole store.
    odd = ~np.isfinite(value)
    value[odd], validity[odd] = 0.0, SENTINEL
    return TelemetryBatch(snapshots, rows, value, observed_s, received_s, validity, source, tuple(sources))


@functools.lru_cache(maxsize=65_536)
def instant(at_s: float) -> datetime:
    """Epoch seconds as an instant; the same one for all who ask for it, because cars share most of theirs."""
    return datetime.fromtimestamp(at_s, UTC)


class TelemetryColumns(MutableMapping[str, Snapshot]):
    """The newest reading of every field of every car, by row; as a mapping, snapshots by car's name.

    Of one field the newest observation counts, in whatever order they are told. A sentinel never takes the place of a
    reading that can be used.
    """

    def __init__(self, row_of: Callable[[str], int | None], ref_of: Callable[[int], str]) -> None:
        self._row_of = row_of
        self._ref_of = ref_of
        self._sources: dict[str, int] = {}
        self._names: list[str] = []
        self._heard: Bools = np.zeros(0, dtype=np.bool_)
        # Per car: value, when observed, when received; validity, source.
        self._numbers: Floats = np.zeros((0, 3, len(FIELDS)))
        self._codes: npt.NDArray[np.int16] = np.zeros((0, 2, len(FIELDS)), dtype=np.int16)

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        self._heard = grown(self._heard, count, fill=False)
        self._numbers = grown(self._numbers, count, fill=NEVER_S)
        self._codes = grown(self._codes, count, fill=0)

    def take(self, batch: TelemetryBatch) -> None:
        """Keep what is newer than what is held."""
        rows = batch.rows
        held_s = np.minimum(self._numbers[rows, 1], self._numbers[rows, 2])
        held_well = (held_s > NEVER_S) & (self._codes[rows, 0] != SENTINEL)
        bad = batch.validity == SENTINEL
        better = (batch.seen_s > held_s) | (~bad & ~held_well)
        taken = (batch.observed_s > NEVER_S) & better & ~(bad & held_well)
        car, field = np.nonzero(taken)
        row = rows[car]
        for place, column in enumerate((batch.value, batch.observed_s, batch.received_s)):
            self._numbers[row, place, field] = column[car, field]
        names = np.array([self._source(name) for name in batch.sources] or [0])
        self._codes[row, 0, field] = batch.validity[car, field]
        self._codes[row, 1, field] = names[batch.source[car, field]]
        self._heard[rows] = True

    def _source(self, name: str) -> int:
        if name not in self._sources:
            self._sources[name] = len(self._names)
            self._names.append(name)
        return self._sources[name]

    def __contains__(self, ref: object) -> bool:
        row = self._row_of(str(ref))
        return row is not None and bool(self._heard[row])

    def __getitem__(self, ref: str) -> Snapshot:
        if ref not in self:
            raise KeyError(ref)
        return self.some(ref, FIELDS)

    def some(self, ref: str, names: Sequence[str]) -> Snapshot:
        """A car's snapshot with these fields only; empty when the car has told nothing."""
        row = self._row_of(ref)
        if row is None or not self._heard[row]:
            return Snapshot(ref)
        (value, observed_s, received_s), (validity, source) = self._numbers[row].tolist(), self._codes[row].tolist()
        told: list[Any] = [None] * len(FIELDS)
        for place in map(PLACE.__getitem__, names):
            if observed_s[place] > NEVER_S:
                told[place] = Reading(
                    _DECODERS[place](value[place]),
                    instant(observed_s[place]),
                    instant(received_s[place]),
                    self._names[source[place]],
                    VALIDITIES[validity[place]],
                )
        return Snapshot(ref, *told)

    def __setitem__(self, ref: str, snapshot: Snapshot) -> None:
        for batch in batches((snapshot,), lambda _: self._row_of(ref)):
            self.take(batch)

    def __delitem__(self, ref: str) -> None:
        if ref not in self:
            raise KeyError(ref)
        row = self._row_of(ref)
        self._heard[row], self._numbers[row] = False, NEVER_S

    def __iter__(self) -> Iterator[str]:
        return map(self._ref_of, np.flatnonzero(self._heard).tolist())

    def __len__(self) -> int:
        return int(self._heard.sum())
