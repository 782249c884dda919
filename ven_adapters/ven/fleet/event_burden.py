"""What a season's events have cost cars, kept through a restart, so that who has borne most is still spared then.

The figure itself is a column of the fleet; here is known which season it counts for, what the store holds of it, and
how evenly it lies on cars: the Gini coefficient of kWh borne per car. Columns, no I/O.
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


def gini(borne_kwh: Floats) -> float:
    """The Gini coefficient of what cars have borne, each 0 or more; 0 where nobody has borne anything.

    With x_1 <= ... <= x_n kWh borne by n cars: G = sum_i (2 i - n - 1) x_i / (n sum_i x_i). 0: all bear the same;
    (n - 1) / n: one car bears everything (Gini 1912, in the form of sorted values).
    """
    count, total_kwh = len(borne_kwh), float(borne_kwh.sum())
    if total_kwh <= 0:
        return 0.0
    ranks = 2.0 * np.arange(1, count + 1) - count - 1
    return float((ranks * np.sort(borne_kwh)).sum() / (count * total_kwh))


def fairness_of(fleet: FleetColumns) -> dict[str, float | int]:
    """How this season's burden lies on the cars that are ours: how many, kWh in all, and its Gini coefficient."""
    rows = np.arange(len(fleet))
    borne_kwh = fleet.read("burden_kwh", rows)[fleet.read("enrolled", rows)]
    figures = {"borne_kwh": round(float(borne_kwh.sum()), 2), "borne_gini": round(gini(borne_kwh), 4)}
    return {"cars": len(borne_kwh), **figures}
