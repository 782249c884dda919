"""What batteries gave, from their own counters: this year, and in the event that they last gave for. Columns, no I/O.

Only of cars whose drivers agreed to discharge is anything stored: of the others the counter is followed in memory, so
that an agreement that comes later starts from the right count.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import numpy as np

from ven_adapters.ven.columns import Bools, Floats, Ints, grown
from ven_adapters.ven.fleet import Fleet
from ven_adapters.ven.readings import Batch
from ven_adapters.ven.store import ExportRow

NO_EVENT = 0


class Exports:
    """By the fleet's rows; what changes is told to the fleet's budget columns and noted for the store."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._events: dict[str, int] = {"": NO_EVENT}
        self._counter_wh: Floats = np.zeros(0)
        self._year: Ints = np.zeros(0, dtype=np.int64)
        self._year_wh: Floats = np.zeros(0)
        self._event: Ints = np.zeros(0, dtype=np.int64)
        self._event_wh: Floats = np.zeros(0)
        self._unstored: Bools = np.zeros(0, dtype=np.bool_)

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        self._counter_wh = grown(self._counter_wh, count, fill=np.nan)
        self._year = grown(self._year, count, fill=0)
        self._year_wh = grown(self._year_wh, count, fill=0.0)
        self._event = grown(self._event, count, fill=NO_EVENT)
        self._event_wh = grown(self._event_wh, count, fill=0.0)
        self._unstored = grown(self._unstored, count, fill=False)

    def restore(self, rows: Iterable[ExportRow], now: datetime) -> None:
        """Take up what an earlier run counted; cars that are no longer ours are passed over."""
        for known in rows:
            row = self._fleet.find(known.vehicle_ref)
            if row is None:
                continue
            self._counter_wh[row], self._year[row], self._year_wh[row] = known.counter_wh, known.year, known.year_wh
            self._event[row], self._event_wh[row] = self._number(known.event_id), known.event_wh
            self._tell(np.array([row]), now)

    def take(self, batch: Batch, now: datetime) -> None:
        """Counters of a batch: what was given since the last is booked on the year and on the running event."""
        counter_wh, _, valid = batch.told("energy_exported_wh")
        rows, counter_wh = batch.rows[valid], counter_wh[valid]
        held_wh = self._counter_wh[rows]
        moved = counter_wh != held_wh
        rows, counter_wh, held_wh = rows[moved], counter_wh[moved], held_wh[moved]
        given_wh = np.where(np.isnan(held_wh), 0.0, np.maximum(0.0, counter_wh - held_wh))
        this_year = self._year[rows] == now.year
        self._year_wh[rows] = np.where(this_year, self._year_wh[rows], 0.0) + given_wh
        self._event_wh[rows] += given_wh
        self._counter_wh[rows], self._year[rows] = counter_wh, now.year
        self._changed(rows, now)

    def begin(self, rows: Ints, event_id: str, now: datetime) -> None:
        """Batteries are asked to give for an event: for another one than before, their event budget is whole again."""
        number = self._number(event_id)
        fresh = rows[~np.isnan(self._counter_wh[rows]) & (self._event[rows] != number)]
        self._event[fresh], self._event_wh[fresh] = number, 0.0
        self._changed(fresh, now)

    def drain(self) -> list[ExportRow]:
        """Rows for the store: what changed since the last drain, of cars whose drivers agreed."""
        rows = np.flatnonzero(self._unstored)
        rows = rows[self._fleet.read("discharge_consent", rows)]
        self._unstored[rows] = False
        return list(self._rows(rows))

    def values(self) -> list[ExportRow]:
        """What is known of every car whose counter was ever read."""
        return list(self._rows(np.flatnonzero(~np.isnan(self._counter_wh))))

    def _rows(self, rows: Ints) -> Iterator[ExportRow]:
        events = list(self._events)
        for row in rows.tolist():
            yield ExportRow(
                vehicle_ref=self._fleet.ref(row),
                year=int(self._year[row]),
                year_wh=float(self._year_wh[row]),
                event_id=events[self._event[row]],
                event_wh=float(self._event_wh[row]),
                counter_wh=float(self._counter_wh[row]),
            )

    def _number(self, event_id: str) -> int:
        return self._events.setdefault(event_id, len(self._events))

    def _changed(self, rows: Ints, now: datetime) -> None:
        self._unstored[rows] = True
        self._tell(rows, now)

    def _tell(self, rows: Ints, now: datetime) -> None:
        year_wh = np.where(self._year[rows] == now.year, self._year_wh[rows], 0.0)
        self._fleet.note_export(rows, self._event_wh[rows] / 1000, year_wh / 1000)
