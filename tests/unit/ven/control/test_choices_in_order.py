"""A driver's last word is in force, in whatever order and with whatever clocks it is told."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from agent_cases import enrolment, fleet_state
from directive_cases import T0
from enrolment_cases import agreement
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.contract import DriverChoice, DriverChose
from ven_adapters.enrolment_api import operations
from ven_adapters.enrolment_api.bulk_writes import take_in
from ven_adapters.enrolment_api.models import Nothing, OptOut
from ven_adapters.enrolment_api.operation_table import BY_NAME, perform
from ven_adapters.enrolment_api.operations import EnrolmentOperations
from ven_adapters.enrolment_api.problems import Refused
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.transport.windows.precedence import decided_at, is_overtaken, signed_at
from ven_adapters.ven.control import driver_choices as choices_of
from ven_adapters.ven.control.driver_choices import Effect
from ven_adapters.ven.directives.history import OVERTAKEN
from ven_adapters.ven.store.database import ChoiceRow, StoredState, parse_at

MINUTE = timedelta(minutes=1)
OUT, IN, BOOST = DriverChoice.OPT_OUT, DriverChoice.OPT_IN, DriverChoice.BOOST
LATER = T0 + 10_000 * MINUTE


def tell(cars, choice, told, heard, until=None):
    """A choice that its sender dates at minute `told` and that we hear of at minute `heard`."""
    ends = None if until is None else T0 + until * MINUTE
    return cars.take(DriverChose("car", choice, T0 + told * MINUTE, ends), T0 + heard * MINUTE)


def is_out(cars, now=LATER):
    view, row = cars.fleet.zone("bay"), 0
    return bool(view.opted_out[row] or view.opted_out_until_s[row] > now.timestamp())


def boosted(cars, now=LATER):
    return bool(cars.fleet.read("boost_until_s", np.array([0]))[0] > now.timestamp())


def restarted(cars, rows, now=LATER):
    """The same cars in a new process, with what was stored: one row for each kind of choice."""
    stored = {(row.vehicle_ref, row.choice): row for row in rows if isinstance(row, ChoiceRow)}
    after = fleet_state()
    after.restore(StoredState(choices=tuple(stored.values())), now)
    return after


def test_an_opt_in_dated_half_an_hour_ahead_does_not_keep_out_the_opt_out_that_follows():
    cars = fleet_state()
    tell(cars, IN, told=30, heard=0)
    assert tell(cars, OUT, told=1, heard=1) == Effect(plan=True, release=("car",))
    assert is_out(cars)


def test_an_opt_in_that_comes_late_does_not_undo_a_newer_opt_out_and_is_recorded():
    cars = fleet_state()
    tell(cars, OUT, told=10, heard=10)
    cars.drain()
    assert tell(cars, IN, told=8, heard=11) == Effect()
    assert is_out(cars)
    rows = [row.values for row in cars.drain() if hasattr(row, "values")]
    assert [row["what"] for row in rows] == [OVERTAKEN]
    assert parse_at(rows[0]["at"]) == T0 + 11 * MINUTE


def test_a_clock_of_ours_that_was_set_back_keeps_nothing_out():
    cars = fleet_state()
    tell(cars, IN, told=60, heard=60)
    tell(cars, OUT, told=0, heard=0)
    assert is_out(cars)


def test_a_choice_stored_with_an_instant_to_come_keeps_nothing_out_after_a_restart():
    row = ChoiceRow(vehicle_ref="car", choice="OPT_IN", at=(T0 + 60 * MINUTE).isoformat(), until=None)
    cars = fleet_state()
    cars.restore(StoredState(choices=(row,)), T0)
    tell(cars, OUT, told=1, heard=1)
    assert is_out(cars)


def test_an_opt_out_of_a_sender_without_a_clock_counts_from_when_it_came():
    cars = fleet_state()
    tell(cars, IN, told=1, heard=1)
    cars.take(DriverChose("car", OUT, datetime(1970, 1, 1, tzinfo=UTC)), T0 + 2 * MINUTE)
    assert is_out(cars)


def test_a_late_boost_does_not_shorten_a_newer_one():
    cars = fleet_state()
    tell(cars, BOOST, told=10, heard=10, until=120)
    assert tell(cars, BOOST, told=5, heard=11, until=20) == Effect()
    assert boosted(cars, T0 + 100 * MINUTE)


def test_an_opt_in_ends_a_boost_until_further_notice_and_no_boost_with_an_end():
    for until, stands in ((None, False), (500, True)):
        cars = fleet_state()
        tell(cars, BOOST, told=1, heard=1, until=until)
        tell(cars, IN, told=2, heard=2)
        assert boosted(cars, T0 + 100 * MINUTE) is stands
        assert boosted(restarted(cars, cars.drain(), T0 + 3 * MINUTE), T0 + 100 * MINUTE) is stands


def test_an_opt_out_after_an_opt_in_stands_when_the_driver_changes_his_wishes():
    cars = fleet_state()
    tell(cars, IN, told=1, heard=1)
    tell(cars, OUT, told=2, heard=2)
    cars.amend([dataclasses.replace(enrolment("car"), target_soc_pct=90.0)], [], T0 + 3 * MINUTE)
    assert is_out(cars)


delivered = st.tuples(st.sampled_from([OUT, IN]), st.integers(0, 12), st.booleans())


@given(st.lists(delivered, min_size=1, max_size=8))
def test_the_last_choice_that_was_made_is_in_force_in_whatever_order_choices_arrive(made):
    """Whoever sends them, with a right clock: one choice a minute, each as late as it pleases, restarts between."""
    arrivals = sorted((minute + late, minute, choice, anew) for minute, (choice, late, anew) in enumerate(made))
    cars, rows = fleet_state(), []
    for heard, minute, choice, anew in arrivals:
        tell(cars, choice, told=minute, heard=heard)
        rows += list(cars.drain())
        cars = restarted(cars, rows, T0 + heard * MINUTE) if anew else cars
    assert is_out(cars) is (made[-1][0] is OUT)
    assert is_out(restarted(cars, rows)) is (made[-1][0] is OUT)


@given(
    st.lists(st.tuples(st.sampled_from([OUT, IN]), st.integers(-60, 600), st.integers(0, 60)), max_size=8),
    st.sampled_from([OUT, IN]),
)
def test_no_instant_that_anybody_told_keeps_out_what_the_driver_chooses_next(told, last):
    cars, rows, now = fleet_state(), [], 0
    for choice, at, pause in told:
        now += pause
        tell(cars, choice, told=at, heard=now)
        rows += list(cars.drain())
    tell(cars, last, told=now, heard=now)
    rows += list(cars.drain())
    assert is_out(cars) is (last is OUT)
    assert is_out(restarted(cars, rows)) is (last is OUT)


@given(st.integers(-600, 600), st.integers(0, 600))
def test_a_decision_is_never_ordered_beyond_our_clock(told, heard):
    at, now = T0 + told * MINUTE, T0 + heard * MINUTE
    assert decided_at(at, now) <= now
    assert not is_overtaken(now, [at, None], now)


@pytest.mark.parametrize(
    ("stamp_s", "real_s", "late_s"), [(1000, 1000.9, 0.0), (1000, 1120.0, 119.0), (1300, 1000.0, 0.0)]
)
def test_a_signed_decision_is_as_old_as_its_signature_and_no_older_than_the_second_it_names(stamp_s, real_s, late_s):
    assert signed_at(stamp_s, real_s, T0) == T0 - timedelta(seconds=late_s)


def test_an_opt_out_in_a_file_that_is_changed_is_newer_than_an_opt_in_before_it_and_gives_the_car_back():
    cars = fleet_state()
    tell(cars, OUT, told=1, heard=1)
    tell(cars, IN, told=2, heard=2)
    out = enrolment("car", opted_out=True)
    assert cars.enrol([out], T0 + 3 * MINUTE) == ("car",)
    assert is_out(cars)
    assert is_out(restarted(cars, cars.drain(), T0 + 4 * MINUTE))
    assert cars.enrol([out], T0 + 5 * MINUTE) == ()
    tell(cars, IN, told=6, heard=6)
    assert cars.enrol([out], T0 + 7 * MINUTE) == ()
    assert not is_out(cars)


# --- a choice that comes before its car is ours -----------------------------------------------------------------------


def early(choice=OUT, told=1, heard=1):
    cars = fleet_state()
    cars.take(DriverChose("new", choice, T0 + told * MINUTE), T0 + heard * MINUTE)
    return cars


def enrolled(cars, agreed, now=5):
    """The new car is enrolled at a minute; its driver agreed at another one."""
    cars.amend([enrolment("new", consented_s=(T0 + agreed * MINUTE).timestamp())], [], T0 + now * MINUTE)
    row = np.array([cars.fleet.row("new")])
    return bool(cars.fleet.read("opted_out_until_s", row)[0] > LATER.timestamp())


def test_an_opt_out_that_comes_before_the_enrolment_is_taken_up_holds():
    assert enrolled(early(), agreed=0)


def test_it_holds_over_a_restart_too():
    cars = early()
    assert enrolled(restarted(cars, cars.drain(), T0 + 3 * MINUTE), agreed=0)


def test_whoever_agreed_after_an_early_opt_out_takes_part_and_does_so_after_a_restart():
    cars = early()
    rows = list(cars.drain())
    assert not enrolled(cars, agreed=2)
    after = fleet_state()
    after.enrol([enrolment("car"), enrolment("new")], T0 + 6 * MINUTE)
    stored = {(row.vehicle_ref, row.choice): row for row in [*rows, *cars.drain()] if isinstance(row, ChoiceRow)}
    after.restore(StoredState(choices=tuple(stored.values())), T0 + 6 * MINUTE)
    assert not after.fleet.read("opted_out_until_s", np.array([after.fleet.row("new")]))[0] > LATER.timestamp()


def test_choices_about_cars_that_are_not_ours_are_bounded_and_have_names_that_can_be_stored(monkeypatch):
    monkeypatch.setattr(choices_of, "MOST_EARLY", 2)
    cars = fleet_state()
    for ref in ("a\0", "", "x" * 129, "one", "two", "three", "one"):
        cars.take(DriverChose(ref, OUT, T0), T0)
    assert {row.vehicle_ref for row in cars.drain() if isinstance(row, ChoiceRow)} == {"one", "two"}


# --- our own clock was set back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0, 1])
def test_whoever_leaves_has_left_though_our_clock_was_set_back_and_the_word_took_a_while(late):
    cars = fleet_state()
    tell(cars, IN, told=60, heard=60)
    assert tell(cars, OUT, told=10 - late, heard=10) == Effect(plan=True, release=("car",))
    assert is_out(cars)
    assert is_out(restarted(cars, cars.drain(), T0 + 11 * MINUTE))


def test_an_opt_in_after_our_clock_was_set_back_ends_the_opt_out_for_good():
    cars = fleet_state()
    tell(cars, OUT, told=60, heard=60)
    rows = list(cars.drain())
    tell(cars, IN, told=10, heard=10)
    cars.amend([dataclasses.replace(enrolment("car"), target_soc_pct=90.0)], [], T0 + 11 * MINUTE)
    assert not is_out(cars)
    assert not is_out(restarted(cars, [*rows, *cars.drain()], T0 + 12 * MINUTE))


def test_an_opt_out_that_was_over_when_our_clock_was_set_back_is_over():
    cars = fleet_state()
    tell(cars, OUT, told=50, heard=50)
    tell(cars, IN, told=60, heard=60)
    assert not is_out(restarted(cars, cars.drain(), T0 + 11 * MINUTE), T0 + 11 * MINUTE)


def test_a_late_opt_in_after_our_clock_was_set_back_brings_nobody_back():
    cars = fleet_state()
    tell(cars, OUT, told=60, heard=60)
    tell(cars, IN, told=9, heard=10)
    assert is_out(cars)


def test_a_consent_is_withdrawn_though_our_clock_was_set_back_since_it_was_given():
    cars = fleet_state()
    given_s = (T0 + 60 * MINUTE).timestamp()
    cars.amend([enrolment("car", consented_s=given_s, discharge_consented_s=given_s)], [], T0 + 60 * MINUTE)
    tell(cars, DriverChoice.CONSENT_WITHDRAWN, told=9, heard=10)
    assert not cars.fleet.read("charging_consent", np.array([0]))[0]


@given(
    st.lists(st.tuples(st.sampled_from([OUT, IN]), st.integers(0, 600)), max_size=6),
    st.integers(0, 600),
    st.integers(0, 5),
)
def test_an_opt_out_is_honoured_whatever_our_clock_did_before(told, now, late):
    """`late`: minutes that it took to reach us. The clock may have leapt at will between what was told before."""
    cars = fleet_state()
    for choice, minute in told:
        tell(cars, choice, told=minute, heard=minute)
    tell(cars, OUT, told=now - late, heard=now)
    newer = [choice for choice, minute in told if now - late < minute <= now]
    if IN not in newer:
        assert is_out(cars)
        assert is_out(restarted(cars, cars.drain(), T0 + now * MINUTE))


async def test_the_enrolment_api_orders_decisions_likewise(tmp_path):
    store = EnrolmentStore(f"sqlite+aiosqlite:///{tmp_path}/enrolments.sqlite")
    await store.open()
    now = T0 + 60 * MINUTE
    async with store.write(now) as write:
        await take_in(write, {}, [agreement("car", zone="bay", programs=(), enrolled_at=now)])
        await perform(BY_NAME["opt_in"], EnrolmentOperations({}), write, "car", Nothing())
    for name, body in (("opt_out", OptOut()), ("withdrawal", Nothing())):
        async with store.write(T0 + 10 * MINUTE, T0 + 9 * MINUTE) as write:
            await perform(BY_NAME[name], EnrolmentOperations({}), write, "car", body)
    done = [row.what for row in await store.untold(9)]
    assert done[-2:] == ["opt_out", "withdrawn"]
    await store.close()


async def test_an_opt_out_of_all_events_is_taken_however_many_events_a_driver_has_left(tmp_path, monkeypatch):
    monkeypatch.setattr(operations, "MOST_CHOICES", 2)
    store = EnrolmentStore(f"sqlite+aiosqlite:///{tmp_path}/enrolments.sqlite")
    await store.open()
    async with store.write(T0) as write:
        await take_in(write, {}, [agreement("car", zone="bay", programs=(), enrolled_at=T0)])
        for name in ("one", "two"):
            await EnrolmentOperations({}).opt_out(write, "car", OptOut(event_id=name, until=T0 + 60 * MINUTE))
        await EnrolmentOperations({}).opt_out(write, "car", OptOut(event_id="two", until=T0 + 90 * MINUTE))
        await EnrolmentOperations({}).opt_out(write, "car", OptOut())
        with pytest.raises(Refused):
            await EnrolmentOperations({}).opt_out(write, "car", OptOut(event_id="three", until=T0 + 60 * MINUTE))
    assert {one.event_id for one in await store.choices("car", T0)} == {"one", "two", None}
    await store.close()
