"""No cap of any driver's patience is ever broken, whatever events come and go, and whenever the adapter is restarted.

What was asked is counted here a second time, half hour by half hour and from plans alone: everything, and every local
midnight, falls on half hours.
"""

import collections
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_cases import law
from patience_cases import MIDNIGHT, Steered, later, pause

from ven_adapters.enrolment_api.seasons import season_of
from ven_adapters.ven.fleet.event_patience import PatienceTerms
from ven_adapters.ven.fleet.fleet import EventCaps
from ven_adapters.ven.planning.guardrails import Reason

pytestmark = pytest.mark.laws

STEP = timedelta(minutes=30)
DAYS = 8
ASKED = {Reason.SET_POINT, Reason.SIMPLE_LEVEL, Reason.ALERT}
ASKS = [
    ("SIMPLE", 3),
    ("SIMPLE", 1),
    ("DISPATCH_SETPOINT", 0.0),
    ("DISPATCH_SETPOINT", 10.0),
    ("ALERT_FLEX_ALERT", 2),
    ("ALERT_GRID_EMERGENCY", 3),
    ("IMPORT_CAPACITY_LIMIT", 5.0),
]
events = st.tuples(st.sampled_from(ASKS), st.integers(0, DAYS * 48 - 2), st.integers(1, 12))
caps = st.builds(
    EventCaps,
    events_per_day=st.sampled_from([None, 0, 1, 2]),
    hours_per_week=st.sampled_from([None, 0.0, 1.5, 4.0]),
    hours_per_season=st.sampled_from([None, 2.0, 7.5]),
    consecutive_days=st.sampled_from([None, 0, 1, 3]),
)


class Asked:
    """What one car was asked, by the local days of its home: events, hours, days in a row."""

    def __init__(self, timezone) -> None:
        self.zone = ZoneInfo(timezone)
        self.events = collections.defaultdict(set)
        self.hours = collections.Counter()

    def note(self, event_id, since, until):
        """An event asked the car from one instant to another."""
        self.events[since.astimezone(self.zone).date()].add(event_id)
        while since < until:
            then = min(until, since + STEP)
            day = since.astimezone(self.zone).date()
            self.events[day].add(event_id)
            hours = (then - since).total_seconds() / 3600
            self.hours["week", *day.isocalendar()[:2]] += hours
            self.hours["season", season_of(datetime.combine(day, datetime.min.time()))] += hours
            since = then

    def broken(self, caps):
        """The caps that were not kept."""
        most = {
            name: max((h for (what, *_), h in self.hours.items() if what == name), default=0.0)
            for name in ("week", "season")
        }
        days = sorted(self.events)
        run, longest = 0, 0
        for place, day in enumerate(days):
            run = run + 1 if place and day - days[place - 1] == timedelta(days=1) else 1
            longest = max(longest, run)
        found = {
            "events_per_day": max(map(len, self.events.values()), default=0),
            "hours_per_week": most["week"] - 1e-6,
            "hours_per_season": most["season"] - 1e-6,
            "consecutive_days": longest,
        }
        return {name for name, count in found.items() if (cap := getattr(caps, name)) is not None and count > cap}


def asked_of(zone, result, now, until):
    """Per car of a plan in force: the event that asks it and until when it does at most."""
    ask = result.requests.ruling_ask
    if ask is None or ask.payload_type == "ALERT_GRID_EMERGENCY":
        return
    ends_s = min(ask.end_s, until.timestamp())
    for row, reason, kw, end_s in zip(
        result.plan.row, result.plan.reason, result.plan.burden_kw, result.plan.end_s, strict=True
    ):
        if reason in ASKED and kw > 0:
            end = datetime.fromtimestamp(max(now.timestamp(), min(ends_s, end_s)), UTC)
            yield zone.cars.fleet.ref(row), ask.event_id, end


def driven(zone, moments, restarts):
    """Every car's asks over the days."""
    found = {ref: Asked(zone.cars.fleet.enrolment(ref).timezone) for ref in zone.refs}
    rows = {}
    for place, now in enumerate(moments[:-1]):
        rows |= {one.vehicle_ref: one for one in zone.stored()}
        if place in restarts:
            zone.begin(now, rows.values())
        result = zone.at(now)
        if not result.step_source.decision.leads:
            for ref, event_id, end in asked_of(zone, result, now, moments[place + 1]):
                found[ref].note(event_id, now, end)
    return found


@law(25)
@given(
    st.lists(events, min_size=1, max_size=9),
    caps,
    st.sampled_from(["UTC", "America/Los_Angeles", "Australia/Lord_Howe"]),
    st.sets(st.integers(1, 40), max_size=6),
    st.sampled_from([0, 240, 252]),
    st.integers(1, 7),
)
def test_no_cap_is_ever_broken(chosen, agreed, timezone, restarts, first_day, stride):
    zone = Steered("one", "two", terms=PatienceTerms(agreed), timezone=timezone)
    start = MIDNIGHT + timedelta(days=first_day)
    zone.begin(start)
    zone.events = [
        pause(f"e{number}", start + at * STEP, length * 0.5, level=level, kind=kind)
        for number, ((kind, level), at, length) in enumerate(chosen)
    ]
    busy = {step + near for _, at, length in chosen for step in range(at, at + length) for near in (-1, 0, 1)}
    looks = [number for number in range(DAYS * 48) if number in busy or not number % 12]
    moments = [start + number * STEP for number in (*looks[::stride], DAYS * 48)]
    found = driven(zone, moments, restarts)
    assert {ref: asked.broken(agreed) for ref, asked in found.items()} == {"one": set(), "two": set()}


def test_without_caps_the_same_count_finds_them_broken():
    zone = Steered("one")
    zone.events = [pause(f"e{n}", later(hours=12 + 3 * n), 2) for n in range(3)]
    found = driven(zone, [later() + number * STEP for number in range(60)], ())
    assert found["one"].broken(EventCaps(1, 5.0, 5.0, 0)) == {
        "events_per_day",
        "hours_per_week",
        "hours_per_season",
        "consecutive_days",
    }
    assert found["one"].broken(EventCaps(3, 6.0, 6.0, 1)) == set()
