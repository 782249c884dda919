"""Who left early several times is planned to be ready earlier, on the same kind of days, and by two hours at most."""

from datetime import time, timedelta

import pytest
from agent_cases import enrolment
from directive_cases import T0

from ven_adapters.contract import Capability, ChargeState, Known, Reading, Snapshot
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.fleet.departure_habits import habit_in_words
from ven_adapters.ven.store.database import DepartureRow, StoredState

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
MONDAY = T0.replace(hour=20, minute=0) - timedelta(days=T0.weekday())
READY = (time(7),) * 7


def ours():
    made = FleetState(MONDAY.timestamp(), {}, 1)
    made.enrol([enrolment(ready_by=READY, timezone="UTC")], MONDAY)
    made.learn({"car": Capability("m", 60_000, 7_000)})
    made.fleet.refresh(MONDAY)
    return made


def tell(made, at, *, plugged):
    state = ChargeState.STOPPED if plugged else ChargeState.UNPLUGGED
    told = {"plugged": Known.YES if plugged else Known.NO, "charge_state": state, "soc_pct": 50.0}
    made.fleet.refresh(at)
    made.observe([Snapshot("car", **{name: Reading(value, at, at) for name, value in told.items()})], at)


def nights(made, early_minutes, first=MONDAY):
    """One night after the other: plugged in at eight, out so many minutes before seven."""
    for number, early in enumerate(early_minutes):
        evening = first + number * DAY
        tell(made, evening, plugged=True)
        out = (evening + DAY).replace(hour=7) - early * MINUTE
        tell(made, out, plugged=False)
        tell(made, out + 2 * MINUTE, plugged=False)
    return first + len(early_minutes) * DAY


def planned_before(made, at):
    """Minutes before seven that the car is planned to be ready by."""
    made.fleet.refresh(at)
    ready = (at + DAY).replace(hour=7).timestamp()
    return (ready - float(made.fleet.view().departure_s[0])) / 60


def test_who_keeps_to_the_declared_time_is_planned_for_it():
    made = ours()
    assert planned_before(made, nights(made, [0, 5, 0])) == 0


def test_who_left_early_several_times_is_planned_to_be_ready_earlier():
    made = ours()
    assert planned_before(made, nights(made, [45, 60, 50])) == pytest.approx(50, abs=3)


def test_nights_on_time_count_so_that_a_few_early_ones_are_no_habit():
    made = ours()
    at = nights(made, [0, -10, 0, -5])
    at = nights(made, [60], first=at)
    assert planned_before(made, at + 2 * DAY) == 0
    mostly_early = ours()
    at = nights(mostly_early, [60, -10, 60, 55])
    assert planned_before(mostly_early, at - DAY) == pytest.approx(60, abs=6)


def test_once_is_no_habit_and_two_hours_are_the_most():
    made = ours()
    assert planned_before(made, nights(made, [60, 0, 0])) == 0
    other = ours()
    assert planned_before(other, nights(other, [230, 220, 225])) == 120


def test_weekends_are_apart():
    made = ours()
    nights(made, [60, 60, 60, 60])
    friday_evening = MONDAY + 4 * DAY
    assert planned_before(made, friday_evening) == 0
    assert planned_before(made, friday_evening + 2 * DAY) == pytest.approx(60, abs=3)


def test_an_errand_in_the_evening_is_no_departure():
    made = ours()
    for number in range(4):
        evening = MONDAY + number * DAY
        tell(made, evening, plugged=True)
        tell(made, evening + 60 * MINUTE, plugged=False)
        tell(made, evening + 62 * MINUTE, plugged=False)
    assert planned_before(made, MONDAY + 4 * DAY - 60 * MINUTE) == 0


def test_a_habit_outlives_a_restart_and_is_said():
    made = ours()
    at = nights(made, [45, 60, 50])
    rows = [DepartureRow(**row.values) for row in made.drain() if getattr(row, "model", None) is DepartureRow]
    reborn = ours()
    reborn.restore(StoredState(departures=tuple(rows)), at)
    assert planned_before(reborn, at) == pytest.approx(50, abs=3)
    assert "3 of the last 3 working days" in habit_in_words(rows[-1].document)
    assert habit_in_words('{"early_s": [[0, 0], [1200]]}') == ""
