"""When cars are plugged in at home: per car and hour of the week, counted once an hour, and the level they come with.

Hours are those of UTC, seven days of twenty-four, so that no time zone is needed; where clocks are put forward a habit
is an hour off until it is learned anew. An hour that was seen on few weeks leans on the same hour of the other working
days, or of the other day of the weekend.
Columns by the fleet's rows; no I/O.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints, grown
from vtn.clock import HOUR_S

HOURS = 168
DAY_HOURS = 24
WEEKEND_FROM = 5 * DAY_HOURS
EPOCH_HOUR = 3 * DAY_HOURS  # 1970 began on a Thursday; hour 0 is Monday 00:00 UTC
MOST_WEEKS = 26
LEANS_ON = 2.0
BY_CHANCE = 0.25
"""By so much the shares of weeks at home of two hours of the same night may differ, and nobody comes between them."""
LEVEL_MEMORY = 0.2
MOST_HOURS_AHEAD = 48

Counts = npt.NDArray[np.uint8]


class HomeHours:
    """`note` once an hour, `arrived` at every plug-in; `likely` says how probable it is that cars are there."""

    def __init__(self) -> None:
        self._seen: Counts = np.zeros((0, HOURS), dtype=np.uint8)
        self._home: Counts = np.zeros((0, HOURS), dtype=np.uint8)
        self._level_pct: npt.NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        self._seen = grown(self._seen, count, fill=0)
        self._home = grown(self._home, count, fill=0)
        self._level_pct = grown(self._level_pct, count, fill=np.nan)

    def note(self, rows: Ints, home: Bools, at_s: float) -> None:
        """Count one hour of cars of which it is known whether they are plugged in at home."""
        hour = _hour(at_s)
        full = rows[self._seen[rows, hour] >= MOST_WEEKS]
        self._seen[full, hour] //= 2
        self._home[full, hour] //= 2
        self._seen[rows, hour] += 1
        self._home[rows, hour] += home.astype(np.uint8)

    def arrived(self, rows: Ints, soc_pct: Floats) -> None:
        """Cars that were plugged in with these levels; an unknown level changes nothing."""
        told = ~np.isnan(soc_pct)
        rows, soc_pct = rows[told], soc_pct[told].astype(np.float32)
        before = self._level_pct[rows]
        self._level_pct[rows] = np.where(np.isnan(before), soc_pct, before + LEVEL_MEMORY * (soc_pct - before))

    def level_pct(self, rows: Ints) -> Floats:
        """The level that cars usually come home with; NaN of cars that were never seen to come."""
        return self._level_pct[rows].astype(np.float64)

    def likely(self, rows: Ints, start_s: float, end_s: float, offset_s: float = 0.0) -> Floats:
        """How probable it is that each car is at home all the time from `start_s` to `end_s`: that of its least hour.

        0 of cars that were never seen at such an hour. `offset_s`: the cars' local time less UTC, so that working days
        lean on working days.
        """
        ends_s = min(max(end_s, start_s + 1.0), start_s + MOST_HOURS_AHEAD * HOUR_S)
        hours = np.unique([_hour(at_s) for at_s in np.arange(start_s, ends_s, HOUR_S)] + [_hour(ends_s - 1.0)])
        return np.asarray(self._at_hours(rows, hours.tolist(), offset_s).min(axis=0))

    def arrivals(self, rows: Ints, now_s: float, hours: int, offset_s: float = 0.0) -> Floats:
        """(cars, hours): how probable it is that a car that is away now comes home in each of the hours to come.

        The first is what is left of the hour that has begun.
        """
        begun_s = np.floor(now_s / HOUR_S) * HOUR_S
        home = self._at_hours(rows, [_hour(begun_s + hour * HOUR_S) for hour in range(hours + 1)], offset_s)
        passed = (now_s - begun_s) / HOUR_S
        now = home[0] + passed * np.maximum(0.0, home[1] - home[0])
        return np.asarray(np.diff(came_by(now, home[1:].T), axis=1, prepend=0.0))

    def _at_hours(self, rows: Ints, hours: Sequence[int], offset_s: float) -> Floats:
        """(hours, cars): on what share of weeks each car was at home at such an hour; 0 where never seen."""
        seen, home = self._seen[rows], self._home[rows]
        weekend = (np.arange(HOURS) + round(offset_s / HOUR_S)) % HOURS >= WEEKEND_FROM
        found = np.zeros((len(hours), len(rows)))
        for place, hour in enumerate(hours):
            daily = np.arange(HOURS) % DAY_HOURS == hour % DAY_HOURS
            usual, known = _shares(seen, home, daily)
            alike, seen_alike = _shares(seen, home, daily & (weekend == weekend[hour]))
            usual = np.where(seen_alike, alike, usual)
            share = (home[:, hour] + LEANS_ON * usual) / (seen[:, hour] + LEANS_ON)
            found[place] = np.where(known, share, 0.0)
        return found

    def course(self, rows: Ints, start_s: float, end_s: float, offset_s: float = 0.0) -> tuple[Floats, Floats]:
        """Hours from before `start_s` to after `end_s`, two days at most; how likely cars are home, (cars, hours)."""
        first, last = math.floor(start_s / HOUR_S), math.ceil(end_s / HOUR_S)
        hours_s = np.arange(first, min(last, first + MOST_HOURS_AHEAD) + 1, dtype=np.float64) * HOUR_S
        return hours_s, np.stack([self.likely(rows, at_s, at_s + 1.0, offset_s) for at_s in hours_s.tolist()], axis=1)

    def plain(self, row: int) -> dict[str, Any]:
        """What is known of one car, for the store; empty while nothing is."""
        if not self._seen[row].any():
            return {}
        level_pct = self._level_pct[row]
        told = {name: base64.b85encode(column[row].tobytes()).decode() for name, column in self._columns.items()}
        return told | ({} if np.isnan(level_pct) else {"level_pct": round(float(level_pct), 1)})

    def restore(self, row: int, told: Mapping[str, Any]) -> None:
        """What an earlier run knew of one car."""
        for name, column in self._columns.items():
            if name in told:
                column[row] = np.frombuffer(base64.b85decode(told[name]), dtype=np.uint8)
        self._level_pct[row] = told.get("level_pct", np.nan)

    @property
    def _columns(self) -> Mapping[str, Counts]:
        return {"seen": self._seen, "home": self._home}


def came_by(now: Floats, later: Floats) -> Floats:
    """(cars, times) how probable it is that a car that is away has come home by each of the times to come.

    `now` (cars), `later` (cars, times): how likely it is at home at such times. Of the chance to be at home counts what
    is more than now and at any time between: a car that comes home later than it ever did is expected by nobody.
    """
    most = np.maximum.accumulate(np.maximum(later, now[:, None]), axis=1)
    # Of a few weeks the hours of one night differ by chance: who usually is home by now is not expected by that.
    comes = most[:, -1:] - now[:, None] > BY_CHANCE
    return np.clip(np.where(comes, (most - now[:, None]) / np.maximum(1.0 - now[:, None], 1e-9), 0.0), 0.0, 1.0)


def _shares(seen: Counts, home: Counts, hours: Bools) -> tuple[Floats, Bools]:
    """Of how many of these hours that were seen each car was at home in, and whether any was seen."""
    all_seen, all_home = seen[:, hours].sum(axis=1), home[:, hours].sum(axis=1)
    return np.asarray(all_home / np.maximum(all_seen, 1)), np.asarray(all_seen > 0)


def _hour(at_s: float) -> int:
    return int(at_s // HOUR_S + EPOCH_HOUR) % HOURS
