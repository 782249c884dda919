"""When drivers really leave: how long before their declared time cars were unplugged, learned from their last sessions.

Declared times are what drivers say; in public workplace data a third leave more than a quarter of an hour earlier. Of a
car that did so repeatedly the earlier time is protected, by two hours at most, so that little of what it could shift is
lost. Working days and weekends are apart. Beside it stands when cars are at home (`home_hours`), which is stored in the
same row. Columns by the fleet's rows; no I/O.
"""

import json
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints, Tri, grown
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.fleet.home_hours import DAY_HOURS, HomeHours
from ven_adapters.ven.store.database import DepartureRow, RowValues
from vtn.clock import HOUR_S

KEPT = 8
LEAST_SESSIONS = 3
EARLY_QUANTILE = 0.1
LEAST_EARLY_S, MOST_EARLY_S = 900.0, 7_200.0
LONGEST_BEFORE_S = 14_400.0
"""A cable that is pulled farther than this from a declared time was pulled for something else."""


class DepartureHabits:
    """`take` after the fleet took a batch; what is known is told to the fleet's departures."""

    def __init__(self, fleet: FleetColumns) -> None:
        self._fleet = fleet
        self.home = HomeHours()
        self._noted_hour: int | None = None
        self._early_s: npt.NDArray[np.float32] = np.zeros((0, 2, KEPT), dtype=np.float32)
        self._count: Ints = np.zeros((0, 2), dtype=np.int64)
        self._unstored: Bools = np.zeros(0, dtype=np.bool_)

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        self.home.grow(count)
        self._early_s = grown(self._early_s, count, fill=np.nan)
        self._count = grown(self._count, count, fill=0)
        self._unstored = grown(self._unstored, count, fill=False)

    def take(self, rows: Ints, at_s: Floats) -> None:
        """Cars whose cable came out at these instants; one that left after its declared time left on time.

        It belongs to the declared time that is nearer, the one that passed or the next; far from both it is an errand.
        """
        (next_s, next_weekend), (past_s, past_weekend) = self._fleet.declared(rows), self._fleet.declared_before(rows)
        late = np.abs(past_s - at_s) <= np.abs(next_s - at_s)
        before_s = np.where(late, past_s, next_s) - at_s
        weekend = np.where(late, past_weekend, next_weekend).astype(np.int64)
        departs = np.abs(before_s) <= LONGEST_BEFORE_S
        rows, weekend, before_s = rows[departs], weekend[departs], before_s[departs]
        place = self._count[rows, weekend] % KEPT
        self._early_s[rows, weekend, place] = np.maximum(before_s, 0.0)
        self._count[rows, weekend] += 1
        self._unstored[rows] = True
        self.tell(rows)

    def note_home(self, now_s: float) -> None:
        """Once an hour: which cars are plugged in at home, of those that say so. Stored once a day."""
        hour = int(now_s // HOUR_S)
        if hour == self._noted_hour:
            return
        self._noted_hour = hour
        rows = np.arange(len(self._early_s))[: len(self._fleet)]
        plugged, at_home = (self._fleet.read(name, rows) for name in ("plugged", "at_home"))
        known = self._fleet.read("enrolled", rows) & (plugged != Tri.UNKNOWN)
        self.home.note(rows[known], ((plugged == Tri.YES) & (at_home != Tri.NO))[known], now_s)
        if hour % DAY_HOURS == 0:
            self._unstored[rows[known]] = True

    def keep(self, rows: Ints) -> None:
        """Have what is known of these cars stored at the next drain."""
        self._unstored[rows] = True

    def tell(self, rows: Ints) -> None:
        """Bring the fleet's departures up to date."""
        told = self._early_s[rows].astype(np.float64)
        enough = self._count[rows] >= LEAST_SESSIONS
        filled = np.where(np.isnan(told), -1.0, told)
        # The habit is the time that one in ten departures is earlier than: of few sessions, the second earliest.
        ranked = -np.sort(-filled, axis=2)
        seen = np.minimum(self._count[rows], KEPT)
        place = np.clip(np.ceil(EARLY_QUANTILE * seen).astype(np.int64), 0, KEPT - 1)
        habit_s = np.take_along_axis(ranked, place[:, :, None], axis=2)[:, :, 0]
        early_s = np.where(enough & (habit_s >= LEAST_EARLY_S), np.minimum(habit_s, MOST_EARLY_S), 0.0)
        self._fleet.note_early(rows, early_s)

    def restore(self, stored: Iterable[DepartureRow]) -> None:
        """What an earlier run learned; cars that are no longer ours are passed over."""
        found = []
        for known in stored:
            row = self._fleet.find(known.vehicle_ref)
            if row is None:
                continue
            told = json.loads(known.document)
            self.home.restore(row, told.get("home", {}))
            for kind, sessions in enumerate(told["early_s"]):
                self._early_s[row, kind, : len(sessions)] = sessions[:KEPT]
                self._count[row, kind] = len(sessions[:KEPT])
            found.append(row)
        self.tell(np.array(found, dtype=np.int64))

    def drain(self, most: int) -> Iterator[RowValues]:
        """Rows for the store: what was learned since, of so many cars at most."""
        rows = np.flatnonzero(self._unstored)[:most]
        self._unstored[rows] = False
        for row in rows.tolist():
            seen = [[round(float(one)) for one in kind if not np.isnan(one)] for kind in self._early_s[row]]
            home = self.home.plain(row)
            told = {"early_s": seen} | ({"home": home} if home else {})
            values = {"vehicle_ref": self._fleet.ref(row), "document": json.dumps(told)}
            yield RowValues(DepartureRow, values)


def habit_in_words(document: str) -> str:
    """What a stored habit says, as a sentence; empty when the car keeps its declared times."""
    told = json.loads(document)["early_s"]
    early = [sum(one >= LEAST_EARLY_S for one in kind) for kind in told]
    if not any(count >= 2 for count in early):  # noqa: PLR2004 - once is no habit
        return ""
    days = [
        f"{count} of the last {len(kind)} {name}" for count, kind, name in zip(early, told, _DAYS, strict=True) if count
    ]
    return f"Its driver left more than a quarter of an hour before the declared time on {' and '.join(days)}."


_DAYS = ("working days", "weekend days")
