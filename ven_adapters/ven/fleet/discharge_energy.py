"""What batteries gave: this year, and in the event that they last gave for. Columns, no I/O.

A car's own counter tells it. Between two of its readings, and for a car that has none, power is integrated, always the
larger of the two that were read at the ends of a stretch: rather too much than too little. Only of cars whose drivers
agreed to discharge is anything stored: of the others the counter is followed in memory, so that an agreement that comes
later starts from the right count.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ven_adapters.ven.fleet.columns import NEVER_S, Bools, Floats, Ints, grown
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.fleet.metering import COARSEST_WH, MOST_W
from ven_adapters.ven.fleet.telemetry import TelemetryBatch
from ven_adapters.ven.store.database import ExportRow, RowValues
from vtn.clock import HOUR_S

NO_EVENT = 0
NOON = timedelta(hours=12)
# So many events are remembered beside the one that each battery gives for: one may break into another.
EVENTS_KEPT = 8


class DischargedEnergy:
    """By the fleet's rows; what changes is told to the fleet's budget columns and noted for the store.

    `_pending_wh`: integrated since the last counter, which its next one replaces. `_before`: by event, what was given
    for it before another one came between. `_days`: of prices, the event and day that count now.
    """

    def __init__(self, fleet: FleetColumns) -> None:
        self._fleet = fleet
        self._events: dict[str, int] = {"": NO_EVENT}
        self._counter_wh: Floats = np.zeros(0)
        self._counter_at_s: Floats = np.zeros(0)
        self._given_w: Floats = np.zeros(0)
        self._power_at_s: Floats = np.zeros(0)
        self._pending_wh: Floats = np.zeros(0)
        self._year: Ints = np.zeros(0, dtype=np.int64)
        self._year_wh: Floats = np.zeros(0)
        self._event: Ints = np.zeros(0, dtype=np.int64)
        self._event_wh: Floats = np.zeros(0)
        self._before: dict[int, Floats] = {}
        self._days: dict[str, str] = {}
        self._unstored: Bools = np.zeros(0, dtype=np.bool_)

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        self._counter_wh = grown(self._counter_wh, count, fill=np.nan)
        self._counter_at_s = grown(self._counter_at_s, count, fill=NEVER_S)
        self._given_w = grown(self._given_w, count, fill=0.0)
        self._power_at_s = grown(self._power_at_s, count, fill=NEVER_S)
        self._pending_wh = grown(self._pending_wh, count, fill=0.0)
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
            self._counter_wh[row] = np.nan if known.counter_wh is None else known.counter_wh
            self._year[row], self._year_wh[row] = known.year, known.year_wh
            self._event[row], self._event_wh[row] = self._number(known.event_id), known.event_wh
            self._tell(np.array([row]), now)

    def take(self, batch: TelemetryBatch, now: datetime) -> None:
        """Powers and counters of a batch: what was given since the last is booked on the year and the running event."""
        self._take_power(batch, now)
        self._take_counters(batch, now)
        self._tell(batch.rows, now)

    def _take_power(self, batch: TelemetryBatch, now: datetime) -> None:
        """Integrate: at once for good where there is no counter, else until the counter says better."""
        power_w, at_s, valid = batch.told("power_w")
        newer = valid & (at_s > self._power_at_s[batch.rows])
        rows, at_s, given_w = batch.rows[newer], at_s[newer], np.maximum(0.0, -power_w[newer])
        since_s = np.where(np.isfinite(self._power_at_s[rows]), self._power_at_s[rows], at_s)
        given_wh = np.maximum(given_w, self._given_w[rows]) * (at_s - since_s) / HOUR_S
        self._given_w[rows], self._power_at_s[rows] = given_w, at_s
        alone = np.isnan(self._counter_wh[rows])
        self._pending_wh[rows[~alone]] += given_wh[~alone]
        gave = alone & (given_wh > 0)
        self._count(rows[gave], given_wh[gave], now)

    def _take_counters(self, batch: TelemetryBatch, now: datetime) -> None:
        counter_wh, at_s, valid = batch.told("energy_exported_wh")
        rows = batch.rows
        fresh = valid & ((at_s > self._counter_at_s[rows]) | (counter_wh != self._counter_wh[rows]))
        rows, counter_wh, at_s = rows[fresh], counter_wh[fresh], at_s[fresh]
        held_wh, pending_wh = self._counter_wh[rows], self._pending_wh[rows]
        most_wh = COARSEST_WH + MOST_W * np.maximum(0.0, at_s - self._counter_at_s[rows]) / HOUR_S
        self._pending_wh[rows] = self._given_w[rows] * np.maximum(0.0, self._power_at_s[rows] - at_s) / HOUR_S
        self._counter_wh[rows], self._counter_at_s[rows] = counter_wh, at_s
        counted_wh = np.where(np.isnan(held_wh), 0.0, np.maximum(0.0, counter_wh - held_wh))
        # A counter that leaps further than any battery gives is at fault: what its power says counts instead.
        given_wh = np.where(counted_wh <= most_wh, counted_wh, pending_wh)
        moved = counter_wh != held_wh
        self._count(rows[moved], given_wh[moved], now)

    def _count(self, rows: Ints, given_wh: Floats, now: datetime) -> None:
        this_year = self._year[rows] == now.year
        self._year_wh[rows] = np.where(this_year, self._year_wh[rows], 0.0) + given_wh
        self._event_wh[rows] += given_wh
        self._year[rows] = now.year
        self._unstored[rows] = True

    def begin(self, rows: Ints, event_id: str, now: datetime) -> None:
        """Batteries are asked to give for an event: its budget is whole, but for what they gave for it before."""
        number = self._number(event_id)
        fresh = rows[self._known(rows) & (self._event[rows] != number)]
        if len(fresh):
            self._put_by(fresh)
            given_wh = self._before.get(number, np.zeros(0))
            self._event[fresh], self._event_wh[fresh] = number, grown(given_wh, len(self._event), fill=0.0)[fresh]
            self._unstored[fresh] = True
            self._tell(fresh, now)

    def begin_day(self, rows: Ints, event_id: str, now: datetime) -> None:
        """Batteries may give for a price, of which an event may hold for a year: its budget is whole once a day.

        Days end at noon UTC, far from the evenings and mornings in which prices are dear.
        """
        day = (now - NOON).astimezone(UTC).date()
        self._days[event_id] = f"{event_id}@{day}"
        self.begin(rows, self._days[event_id], now)

    def begin_for(self, ref: str, event_id: str, now: datetime) -> None:
        """One battery is asked to give for an event."""
        row = self._fleet.find(ref)
        if row is not None:
            self.begin(np.array([row]), self._days.get(event_id, event_id), now)

    def _put_by(self, rows: Ints) -> None:
        """Remember what batteries gave for the event that they leave; the events left longest ago are forgotten."""
        for number in np.unique(self._event[rows]).tolist():
            mine = rows[self._event[rows] == number]
            given_wh = grown(self._before.pop(number, np.zeros(0)), len(self._event), fill=0.0)
            given_wh[mine] = self._event_wh[mine]
            self._before[number] = given_wh
        while len(self._before) > EVENTS_KEPT:
            del self._before[next(iter(self._before))]

    def drain(self) -> list[RowValues]:
        """Rows for the store: what changed since the last drain, of cars whose drivers agreed."""
        rows = np.flatnonzero(self._unstored)
        rows = rows[self._fleet.read("discharge_consent", rows)]
        self._unstored[rows] = False
        return [RowValues(ExportRow, known) for known in self._totals(rows)]

    def values(self) -> list[ExportRow]:
        """What is known of every car whose counter or power was ever read."""
        rows = np.flatnonzero(self._known(np.arange(len(self._counter_wh))))
        return [ExportRow(**known) for known in self._totals(rows)]

    def _known(self, rows: Ints) -> Bools:
        return np.asarray(~np.isnan(self._counter_wh[rows]) | (self._power_at_s[rows] > NEVER_S))

    def _totals(self, rows: Ints) -> Iterator[dict[str, Any]]:
        events = list(self._events)
        for row in rows.tolist():
            counter_wh = float(self._counter_wh[row])
            yield {
                "vehicle_ref": self._fleet.ref(row),
                "year": int(self._year[row]),
                "year_wh": float(self._year_wh[row]),
                "event_id": events[self._event[row]],
                "event_wh": float(self._event_wh[row]),
                "counter_wh": None if math.isnan(counter_wh) else counter_wh,
            }

    def _number(self, event_id: str) -> int:
        return self._events.setdefault(event_id, len(self._events))

    def _tell(self, rows: Ints, now: datetime) -> None:
        pending_wh = self._pending_wh[rows]
        year_wh = np.where(self._year[rows] == now.year, self._year_wh[rows], 0.0) + pending_wh
        until_s = np.maximum(self._counter_at_s[rows], self._power_at_s[rows])
        self._fleet.note_export(rows, (self._event_wh[rows] + pending_wh) / 1000, year_wh / 1000, until_s)
