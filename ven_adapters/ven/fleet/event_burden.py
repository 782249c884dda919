"""What a season's events have cost cars, kept through a restart, so that who has borne most is still spared then.

The figure itself is a column of the fleet; here is known which season it counts for, and what the store holds of it.
Columns, no I/O.
"""

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from ven_adapters.enrolment_api.seasons import season_of
from ven_adapters.ven.fleet.columns import Floats, grown
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.store.database import BurdenRow, RowValues

# Loads are shared by whole kilowatt-hours borne: smaller changes are not worth a row.
STEP_KWH = 0.5
AT_ONCE = 500


class EventBurdens:
    """By the fleet's rows."""

    def __init__(self, fleet: FleetColumns) -> None:
        self._fleet = fleet
        self._season = ""
        self._stored_kwh: Floats = np.zeros(0)

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        self._stored_kwh = grown(self._stored_kwh, count, fill=0.0)

    def begin(self, now: datetime) -> None:
        """The season of `now` goes on, or begins with nothing borne."""
        season = season_of(now)
        if self._season not in ("", season):
            self._fleet.new_season()
            self._stored_kwh[:] = 0.0
        self._season = season

    def restore(self, rows: Iterable[BurdenRow], now: datetime) -> None:
        """Take up what an earlier run booked in the season of `now`; cars that are no longer ours are passed over."""
        self.begin(now)
        for known in rows:
            row = self._fleet.find(known.vehicle_ref)
            if row is not None and known.season == self._season:
                self._fleet.note_burden(np.array([row]), np.array([known.kwh]))
                self._stored_kwh[row] = known.kwh

    def drain(self) -> list[RowValues]:
        """Rows for the store: what changed by a step since it was stored, some at a time."""
        count = len(self._fleet)
        borne_kwh = self._fleet.read("burden_kwh", np.arange(count))
        rows = np.flatnonzero(np.abs(borne_kwh - self._stored_kwh[:count]) >= STEP_KWH)[:AT_ONCE]
        self._stored_kwh[rows] = borne_kwh[rows]
        return [
            RowValues(BurdenRow, {"vehicle_ref": self._fleet.ref(row), "season": self._season, "kwh": float(kwh)})
            for row, kwh in zip(rows.tolist(), borne_kwh[rows], strict=True)
        ]
