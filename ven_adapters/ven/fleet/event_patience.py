"""How often and how long events have asked each car, held against the caps that its driver agreed to, and durable.

A car is asked while an event holds it back or makes it give. Days and weeks (from Monday) are those of the home's time
zone, which every enrolment names; seasons are half years. What is under way when the adapter dies counts as going on
until the event's end or the restart, because what cars were told goes on too. Columns by the fleet's rows, no I/O.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ven_adapters.enrolment_api.seasons import season_of
from ven_adapters.ven.fleet.columns import Bools, Floats, Ints, grown
from ven_adapters.ven.fleet.enrolment_record import Enrolment, EventCaps
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.store.database import PatienceRow, RowValues, document
from vtn.clock import HOUR_S

AT_ONCE = 500
DAY_S = 24 * HOUR_S
# How many events of one day a car is known to be in; the oldest beyond them would count again.
MOST_EVENTS_KNOWN = 8
# Less is not worth a command.
SHORTEST_ASK_S = 1.0
NONE = 0
NO_CAPS = EventCaps()
MOST_REFUSED = 10_000
_CAR = np.dtype(
    [
        ("timezone", np.int32),
        ("caps", np.float64, 4),
        ("day", np.int64),
        ("asks", np.int64),
        ("events", np.int64, MOST_EVENTS_KNOWN),
        ("run", np.int64),
        ("week", np.int64),
        ("week_s", np.float64),
        ("season", np.int64),
        ("season_s", np.float64),
        ("event", np.int64),
        ("counts", np.bool_),
        ("kw", np.float64),
        ("booked_s", np.float64),
        ("until_s", np.float64),
        ("event_end_s", np.float64),
        ("outcomes", np.int64),
        ("dirty", np.bool_),
    ]
)


@dataclasses.dataclass(frozen=True, slots=True)
class PatienceTerms:
    """What settings say: caps for all cars and by programme, and who counts as having overridden often.

    `override_share` of the last `overrides_of` events; events that a car has not seen yet count as kept.
    """

    usual: EventCaps = NO_CAPS
    by_program: Mapping[str, EventCaps] = dataclasses.field(default_factory=dict)
    override_share: float = 0.5
    overrides_of: int = 6

    def caps_of(self, enrolment: Enrolment) -> EventCaps:
        """A car's caps: its enrolment's, else the tightest of its programmes', else those for all."""
        of_programs = [self.by_program[name] for name in enrolment.programs if name in self.by_program]
        programme = functools.reduce(EventCaps.within, of_programs, NO_CAPS)
        return (enrolment.patience or NO_CAPS).over(programme.over(self.usual))


@dataclasses.dataclass(frozen=True, slots=True)
class LocalDay:
    """A day at a place: its number, that of its week's Monday, its season, and when it begins and ends (epoch s)."""

    day: int
    monday: int
    season: int
    start_s: float
    end_s: float


@functools.lru_cache(maxsize=4096)
def _day_of(timezone: str, day: date) -> LocalDay:
    zone, midnight = ZoneInfo(timezone), time()
    start, end = (datetime.combine(one, midnight, zone).astimezone(UTC) for one in (day, day + timedelta(days=1)))
    number = day.toordinal()
    half = season_number(season_of(datetime.combine(day, midnight)))
    return LocalDay(number, number - day.weekday(), half, start.timestamp(), end.timestamp())


def local_day(timezone: str, at_s: float) -> LocalDay:
    """The day that an instant falls on at a place."""
    return _day_of(timezone, datetime.fromtimestamp(at_s, ZoneInfo(timezone)).date())


def season_number(season: str) -> int:
    """A season's name as a number, for columns."""
    year, half = season.split()
    return int(year) * 2 + (half == "winter")


def was_in(number: int, events: Ints, rows: Ints, some: Ints) -> Bools:
    """Which of some cars were in an event, by the events that `rows` were in."""
    return np.isin(some, rows[events == number])


@dataclasses.dataclass(slots=True)
class EventTally:
    """What one event has asked of cars so far: seconds, and kWh held back and given."""

    held_s: Floats
    kwh: Floats

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        self.held_s, self.kwh = grown(self.held_s, count, fill=0.0), grown(self.kwh, count, fill=0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Asking:
    """Cars that an event asks: rows, burden in kW, from when, until when at most (epoch s), and the event's end.

    `counts`: against the caps; a grid emergency does not.
    """

    event_id: str
    rows: Ints
    kw: Floats
    since_s: float
    until_s: Floats
    event_end_s: float
    counts: bool = True


class EventPatience:
    """By the fleet's rows."""

    def __init__(self, fleet: FleetColumns, terms: PatienceTerms | None = None) -> None:
        self._fleet = fleet
        self._terms = terms or PatienceTerms()
        self._cars: npt.NDArray[Any] = np.zeros(0, _CAR)
        self._timezones: list[str] = []
        self._events: list[str] = [""]
        self._numbers: dict[str, int] = {"": NONE}
        self._tallies: dict[str, EventTally] = {}
        self._refused: dict[str, set[int]] = {}

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        blank = np.zeros(1, _CAR)
        blank["caps"], blank["outcomes"] = np.inf, 1
        self._cars = grown(self._cars, count, fill=blank[0])
        for tally in self._tallies.values():
            tally.grow(count)

    def agree(self, enrolments: Iterable[Enrolment]) -> None:
        """Take up what drivers agreed to; their rows are there."""
        for one in enrolments:
            row = self._fleet.row(one.vehicle_ref)
            self._cars["caps"][row] = [np.inf if cap is None else cap for cap in self._terms.caps_of(one).each]
            if one.timezone not in self._timezones:
                self._timezones.append(one.timezone)
            self._cars["timezone"][row] = self._timezones.index(one.timezone)

    # --- what is left -------------------------------------------------------------------------------------------------

    def left_s(self, rows: Ints, event_id: str, at_s: float, now_s: float) -> Floats:
        """For how long an event may ask cars from `at_s` on; 0 where a cap is reached.

        Who is in the event already today finishes it as far as the cap on events a day is concerned.
        """
        cars = self._cars[rows]
        days = [local_day(name, at_s) for name in self._timezones]
        day, monday, season = (self._of_zones(cars, days, name) for name in ("day", "monday", "season"))
        events, week_h, season_h, most_days = cars["caps"].T
        today = cars["day"] == day
        inside = today & (cars["events"] == self._numbers.get(event_id, -1)).any(axis=1)
        run = np.where(today, cars["run"], np.where(cars["day"] == day - 1, cars["run"] + 1, 1))
        may = (inside | (np.where(today, cars["asks"], 0) < events)) & (run <= most_days)
        in_week_s = np.where(cars["week"] == monday, cars["week_s"], 0.0)
        in_season_s = np.where(cars["season"] == season, cars["season_s"], 0.0)
        left_s = np.minimum(week_h * HOUR_S - in_week_s, season_h * HOUR_S - in_season_s)
        under_way = (cars["event"] != NONE) & cars["counts"]
        left_s = left_s - np.where(under_way, np.clip(cars["until_s"] - now_s, 0.0, at_s - now_s), 0.0)
        to_midnight_s = self._of_zones(cars, days, "end_s") - at_s
        left_s = np.where(run + 1 > most_days, np.minimum(left_s, to_midnight_s), left_s)
        return np.where(may & (left_s >= SHORTEST_ASK_S), left_s, 0.0)

    def often_overrides(self, rows: Ints) -> Bools:
        """Whose drivers would not have more than the agreed share of their last events."""
        outcomes, refusals = self._cars["outcomes"][rows], np.zeros(len(rows))
        for place in range(self._terms.overrides_of):
            known = outcomes >> (place + 1) > 0
            refusals += known & ((outcomes >> place) & 1 == 1)
        return np.asarray(refusals > self._terms.override_share * self._terms.overrides_of)

    @staticmethod
    def _of_zones(cars: npt.NDArray[Any], days: list[LocalDay], name: str) -> Any:
        return np.array([getattr(day, name) for day in days] or [0])[cars["timezone"]]

    # --- what is asked ------------------------------------------------------------------------------------------------

    def advance(self, rows: Ints, now_s: float) -> None:
        """Count what has been asked of these cars until now."""
        rows = rows[self._cars["event"][rows] != NONE]
        cars = self._cars[rows]
        until_s = np.maximum(cars["booked_s"], np.minimum(now_s, cars["until_s"]))
        for number in np.unique(cars["event"]).tolist():
            mine = cars["event"] == number
            tally, spent_s = self._tally(self._events[number]), (until_s - cars["booked_s"])[mine]
            tally.held_s[rows[mine]] += spent_s
            tally.kwh[rows[mine]] += cars["kw"][mine] * spent_s / HOUR_S
            counts = mine & cars["counts"]
            self._spend(rows[counts], number, cars["booked_s"][counts], until_s[counts])
        self._cars["booked_s"][rows] = now_s

    def ask(self, rows: Ints, asking: Asking | None, now_s: float) -> None:
        """What a plan asks of some cars from now on, those not named among `rows` of nothing. Call `advance` before."""
        was = self._cars["event"][rows]
        self._cars["event"][rows] = NONE
        if asking is not None and len(asking.rows):
            number, mine = self._number(asking.event_id), asking.rows
            values = {
                "event": number,
                "counts": asking.counts,
                "kw": asking.kw,
                "until_s": np.minimum(asking.until_s, asking.event_end_s),
                "event_end_s": min(asking.event_end_s, now_s + DAY_S),
            }
            self._cars["booked_s"][mine] = np.where(was_in(number, was, rows, mine), now_s, asking.since_s)
            for name, value in values.items():
                self._cars[name][mine] = value
            if asking.counts:
                self._spend(mine, number, np.full(len(mine), now_s), np.full(len(mine), now_s))
        self._cars["dirty"][rows[self._cars["event"][rows] != was]] = True

    def _spend(self, rows: Ints, event: int, since_s: Floats, until_s: Floats) -> None:
        """Count an event, and the time that it asked, on every local day that it touched."""
        for place in np.unique(self._cars["timezone"][rows]).tolist():
            here = self._cars["timezone"][rows] == place
            mine, begun_s, over_s = rows[here], since_s[here], until_s[here]
            day = local_day(self._timezones[place], float(begun_s.min()))
            while True:
                on = (begun_s < day.end_s) & ((over_s > day.start_s) | (begun_s >= day.start_s))
                self._count(mine[on], event, day)
                lasted_s = np.minimum(over_s, day.end_s) - np.maximum(begun_s, day.start_s)
                self._lengthen(mine[on], np.maximum(0.0, lasted_s[on]), day)
                if float(over_s.max()) <= day.end_s:
                    break
                day = local_day(self._timezones[place], day.end_s)

    def _count(self, rows: Ints, event: int, day: LocalDay) -> None:
        cars = self._cars[rows]
        today = cars["day"] == day.day
        known = np.where(today[:, None], cars["events"], NONE)
        asks = np.where(today, cars["asks"], 0)
        new = ~(known == event).any(axis=1)
        known[np.flatnonzero(new), asks[new] % MOST_EVENTS_KNOWN] = event
        follows = np.where(cars["day"] == day.day - 1, cars["run"] + 1, 1)
        self._cars["run"][rows] = np.where(today, cars["run"], follows)
        self._cars["events"][rows], self._cars["asks"][rows] = known, asks + new
        self._cars["day"][rows] = day.day
        self._cars["dirty"][rows[new]] = True

    def _lengthen(self, rows: Ints, lasted_s: Floats, day: LocalDay) -> None:
        for period, number in (("week", day.monday), ("season", day.season)):
            same = self._cars[period][rows] == number
            self._cars[f"{period}_s"][rows] = np.where(same, self._cars[f"{period}_s"][rows], 0.0) + lasted_s
            self._cars[period][rows] = number

    # --- how drivers took it ------------------------------------------------------------------------------------------

    def refuse(self, row: int, event_id: str = "") -> None:
        """A driver would not have an event; without its id, whichever asks the car now."""
        event_id = event_id or self._events[int(self._cars["event"][row])]
        if event_id:
            self._refused.setdefault(event_id, set()).add(row)
            self._cars["dirty"][row] = True
            if len(self._refused) > MOST_REFUSED:
                del self._refused[next(iter(self._refused))]

    def finish(self, event_id: str, rows: Ints) -> tuple[Floats, Floats]:
        """An event is over for these cars: seconds that it asked each, and kWh; how drivers took it is remembered."""
        tally, out = self._tally(event_id), self._refused.get(event_id, set())
        held_s, kwh = tally.held_s[rows], tally.kwh[rows]
        refused = np.isin(rows, np.array(list(out), dtype=np.int64))
        took = (held_s > 0) | refused
        mine, most = rows[took], 1 << (self._terms.overrides_of + 1)
        outcomes = (self._cars["outcomes"][mine] << 1) | refused[took]
        outcomes = np.where(outcomes >= most, (outcomes & (most // 2 - 1)) | (most // 2), outcomes)
        self._cars["outcomes"][mine], self._cars["dirty"][mine] = outcomes, True
        tally.held_s[rows], tally.kwh[rows] = 0.0, 0.0
        out.difference_update(rows.tolist())
        if not tally.held_s.any():
            del self._tallies[event_id]
        if not out:
            self._refused.pop(event_id, None)
        return held_s, kwh

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The events that have asked cars and were not said to be over."""
        return tuple(self._tallies)

    def _tally(self, event_id: str) -> EventTally:
        if event_id not in self._tallies:
            self._tallies[event_id] = EventTally(np.zeros(0), np.zeros(0))
        self._tallies[event_id].grow(len(self._cars))
        return self._tallies[event_id]

    def _number(self, event_id: str) -> int:
        if event_id not in self._numbers:
            self._numbers[event_id] = len(self._events)
            self._events.append(event_id)
        return self._numbers[event_id]

    # --- what is stored -----------------------------------------------------------------------------------------------

    def restore(self, stored: Iterable[PatienceRow]) -> None:
        """Take up what an earlier run counted; what it left under way goes on until the event's end, or a new plan."""
        for one in stored:
            if (row := self._fleet.find(one.vehicle_ref)) is not None:
                self._restore_one(row, json.loads(one.document))

    def _restore_one(self, row: int, told: Mapping[str, Any]) -> None:
        known = [self._number(name) for name in told["events"]][-MOST_EVENTS_KNOWN:]
        self._cars["events"][row] = known + [NONE] * (MOST_EVENTS_KNOWN - len(known))
        for name in ("day", "asks", "run", "week", "week_s", "season", "season_s", "outcomes", "counts", "kw"):
            self._cars[name][row] = told[name]
        self._cars["booked_s"][row], self._cars["event_end_s"][row] = told["booked_s"], told["event_end_s"]
        self._cars["until_s"][row] = told["event_end_s"]
        self._cars["event"][row] = self._number(told["event"])
        for event_id, (held_s, kwh) in told["tallies"].items():
            tally = self._tally(event_id)
            tally.held_s[row], tally.kwh[row] = held_s, kwh
        for event_id in told["refused"]:
            self._refused.setdefault(event_id, set()).add(row)

    def drain(self) -> list[RowValues]:
        """Rows for the store: cars of which more than the time that goes on has changed, some at a time."""
        rows = np.flatnonzero(self._cars["dirty"][: len(self._fleet)])[:AT_ONCE]
        self._cars["dirty"][rows] = False
        return [
            RowValues(PatienceRow, {"vehicle_ref": self._fleet.ref(row), "document": document(self._plain(row))})
            for row in rows.tolist()
        ]

    def _plain(self, row: int) -> dict[str, Any]:
        car = self._cars[row]
        whole = {name: int(car[name]) for name in ("day", "asks", "run", "week", "season", "outcomes")}
        parts = ("week_s", "season_s", "kw", "booked_s", "event_end_s")
        tallies = {
            event_id: [round(float(one.held_s[row]), 3), round(float(one.kwh[row]), 4)]
            for event_id, one in self._tallies.items()
            if one.held_s[row] > 0
        }
        return {
            **whole,
            **{name: round(float(car[name]), 4) for name in parts},
            "counts": bool(car["counts"]),
            "event": self._events[int(car["event"])],
            "events": [self._events[number] for number in car["events"].tolist() if number != NONE],
            "tallies": tallies,
            "refused": [event_id for event_id, rows in self._refused.items() if row in rows],
        }
