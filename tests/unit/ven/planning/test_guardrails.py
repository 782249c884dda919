"""Each guard keeps its promise, and a plan without that guard breaks it: no guard is redundant or decorative."""

import dataclasses
import functools
import itertools
import sys

import numpy as np
import planning_cases
import pytest
from grid_cases import SITE, asked_below, below, node, one_transformer
from law_cases import LAWS, keeps, names
from planning_cases import AMPS, HOUR, IDLE, NOW_S, ORDINARY, PERMITTED, SETTINGS, cars, limits, situation

from ven_adapters.ven.fleet.columns import Charge, Control, Tri
from ven_adapters.ven.fleet.grid.grid_tree import tree_of
from ven_adapters.ven.planning import guardrails as g
from ven_adapters.ven.planning.car_power import achieved_kw
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.discharge_permits import ITEMS, WORDS, MissingPermit, missing_permits
from ven_adapters.ven.planning.enforcement import DesireKind, PlanDraft, enforce
from ven_adapters.ven.planning.guardrails import GUARDS, Reason, narrow
from ven_adapters.ven.planning.limits.zone_nodes import nodes_of


def proposal(view, kind, kw, end_h=2.0):
    count = len(view)
    now_s = np.full(count, NOW_S)
    return PlanDraft(
        np.full(count, int(kind)), np.full(count, kw), now_s, now_s + end_h * HOUR, np.zeros(count, np.int64)
    )


def held(view, kind, kw, *, without=None, end_h=2.0, settings=SETTINGS):
    """What becomes of a proposal, with all guards or without one."""
    place = situation(view, end_h=end_h, settings=settings)
    kept = narrow(place, [guard for guard in GUARDS if guard is not without])
    return enforce(proposal(view, kind, kw, end_h), kept, place)


def held_below(tree, view, kind, kw, *, without=None):
    """The same below a grid."""
    place = dataclasses.replace(situation(view), nodes=nodes_of(view, asked_below(tree)))
    kept = narrow(place, [guard for guard in GUARDS if guard is not without])
    return enforce(proposal(view, kind, kw), kept, place)


def given_kwh(final):
    return float(-final.kw[0] * (final.end_s[0] - final.start_s[0]) / HOUR)


PATIENT = PlanSettings(dead_man_s=2 * HOUR)
PAUSE, GIVE, GO = (DesireKind.CURTAIL, 0.0), (DesireKind.SETPOINT, -50.0), (DesireKind.CHARGE, 7.0)
V2G = PERMITTED | {"soc_pct": 79.0}
UNTOUCHED = {
    "a car without charging consent": (g.without_consent_untouched, {"charging_consent": False}),
    "a car whose enrolment ended": (g.without_consent_untouched, {"enrolled": False}),
    "a car that is opted out": (g.opted_out_untouched, {"opted_out": True}),
    "a car opted out for today": (g.opted_out_untouched, {"opted_out_until_s": NOW_S + 60}),
    "a car whose driver boosts": (g.opted_out_untouched, {"boost_until_s": NOW_S + 60}),
    "a car that is away": (g.away_untouched, {"at_home": Tri.NO}),
    "a car at an unknown place": (g.away_untouched, {"at_home": Tri.UNKNOWN}),
    "a car that is unplugged": (g.away_untouched, {"plugged": Tri.NO}),
    "a car of unknown level": (g.unknown_level_untouched, {"soc_pct": np.nan}),
    "a car with a fault": (g.faulty_untouched, {"charge_state": Charge.FAULT}),
    "a car without power": (g.faulty_untouched, {"charge_state": Charge.NO_POWER}),
}


@pytest.mark.parametrize(("guard", "state"), UNTOUCHED.values(), ids=UNTOUCHED)
def test_is_never_touched(guard, state):
    view = cars(1, **V2G | state)
    for proposed in (PAUSE, GIVE, GO):
        assert held(view, *proposed).kind[0] == DesireKind.NONE
    without = held(view, *PAUSE, without=guard)
    assert without.kind[0] == DesireKind.CURTAIL


@names(g.below_reserve_charges)
@pytest.mark.parametrize("proposed", [PAUSE, GIVE, (DesireKind.CAP, 2.0)])
def test_a_battery_below_its_reserve_charges_at_once(proposed):
    view = cars(1, **V2G | IDLE | {"soc_pct": 29.0})
    final = held(view, *proposed)
    assert (final.kind[0], final.kw[0], final.reason[0]) == (DesireKind.CHARGE, 7.0, Reason.BELOW_RESERVE)
    assert held(view, *proposed, without=g.below_reserve_charges).kind[0] != DesireKind.CHARGE


@names(g.ready_by_departure)
def test_a_car_at_its_latest_safe_start_charges_whatever_is_asked():
    view = cars(1, departure_s=NOW_S + 3 * HOUR)
    final = held(view, *PAUSE)
    assert (final.kind[0], final.reason[0]) == (DesireKind.CHARGE, Reason.READY_BY)
    assert held(view, *PAUSE, without=g.ready_by_departure).kind[0] == DesireKind.CURTAIL


@names(g.ready_by_departure)
@pytest.mark.parametrize("proposed", [PAUSE, (DesireKind.CAP, 2.0)])
def test_no_window_outlasts_the_latest_safe_start(proposed):
    view = cars(1, **V2G | AMPS | {"soc_pct": 50.0, "departure_s": NOW_S + 5 * HOUR})
    latest_s = situation(view).needs.latest_start_s[0]
    assert NOW_S < latest_s < NOW_S + 2 * HOUR
    assert held(view, *proposed).end_s[0] <= latest_s
    assert held(view, *proposed, without=g.ready_by_departure).end_s[0] == NOW_S + 2 * HOUR


@pytest.mark.parametrize(
    ("guard", "state", "most_kwh"),
    [
        (g.reserve_is_kept, {"soc_pct": 40.5, "target_pct": 30.0}, 60 * 0.105 * 0.92),
        # A level told in whole percent may have been rounded up.
        (g.reserve_is_kept, {"soc_pct": 41.0, "target_pct": 30.0}, 60 * 0.10 * 0.92),
        (g.reserve_is_kept, {"soc_pct": 31.0, "reserve_pct": 5.0, "target_pct": 10.0}, 60 * 0.10 * 0.92),
        (g.budget_is_kept, {"event_exported_kwh": 9.0}, 3.0),
        (g.budget_is_kept, {"year_exported_kwh": 598.0}, 2.0),
        (g.budget_is_kept, {"cycle_budget": 2.0, "year_exported_kwh": 2 * 60 * 0.92 - 2.5}, 2.5),
        (g.budget_is_kept, {"event_budget_kwh": 4.0, "power_kw": -6.0, "exported_at_s": NOW_S - 600}, 3.0),
        (g.departure_keeps_energy, {"soc_pct": 80.0, "departure_s": NOW_S + 3.5 * HOUR}, 7 * 0.9 * 0.92),
    ],
)
def test_a_battery_gives_no_more_energy_than_it_may(guard, state, most_kwh):
    view = cars(1, **V2G | IDLE | state)
    final = held(view, *GIVE, settings=PATIENT)
    assert final.kind[0] == DesireKind.SETPOINT
    assert given_kwh(final) == pytest.approx(most_kwh, abs=0.002)
    assert given_kwh(held(view, *GIVE, without=guard, settings=PATIENT)) > most_kwh + 0.5


@names(g.discharge_ends_by_itself)
def test_a_discharge_that_nobody_renews_is_over_within_the_dead_mans_time():
    view = cars(1, **V2G)
    assert held(view, *GIVE).end_s[0] == NOW_S + SETTINGS.dead_man_s
    assert held(view, *GIVE, without=g.discharge_ends_by_itself).end_s[0] == NOW_S + 2 * HOUR


@names(g.reserve_is_kept)
def test_a_battery_at_its_floor_is_only_paused():
    assert held(cars(1, **V2G | {"soc_pct": 30.0}), *GIVE).kind[0] == DesireKind.CURTAIL


# Per item what it looks like when it was never given, when it is old or over, and when it says no.
OLD, OVER = NOW_S - 901, NOW_S
LACKS = {
    MissingPermit.NOT_BIDIRECTIONAL: {"absent": {"max_discharge_kw": 0.0}},
    MissingPermit.CONSENT: {"absent": {"discharge_consent": False}},
    MissingPermit.INTERCONNECTION: {"absent": {"interconnected": False}},
    MissingPermit.INVERTER_LISTING: {"absent": {"inverter_listed": False}},
    MissingPermit.PERMISSION_EXPIRED: {"absent": {"permission_until_s": -np.inf}, "over": {"permission_until_s": OVER}},
    MissingPermit.EXPORT_LIMIT: {"absent": {"export_limit_kw": 0.0}},
    MissingPermit.RESERVE_UNKNOWN: {"absent": {"reserve_pct": np.nan}},
    MissingPermit.READY_BY: {
        "absent": {"departure_s": np.inf},
        "no level": {"target_pct": np.nan},
        "over": {"departure_s": OVER},
    },
    MissingPermit.OPTED_OUT: {"for good": {"opted_out": True}, "for now": {"opted_out_until_s": NOW_S + 60}},
    MissingPermit.NOT_PLUGGED: {"absent": {"plugged": Tri.UNKNOWN}, "out": {"plugged": Tri.NO}},
    MissingPermit.NOT_AT_HOME: {"absent": {"at_home": Tri.UNKNOWN}, "elsewhere": {"at_home": Tri.NO}},
    MissingPermit.LEVEL_UNKNOWN: {
        "no level": {"soc_pct": np.nan},
        "no size": {"usable_kwh": np.nan},
        "no power": {"max_charge_kw": 0.0},
    },
    MissingPermit.READING_TOO_OLD: {
        "level": {"soc_at_s": OLD},
        "cable": {"plugged_at_s": OLD},
        "place": {"at_home_at_s": OLD},
    },
    MissingPermit.EXPORT_UNCOUNTED: {"absent": {"exported_at_s": -np.inf}, "old": {"exported_at_s": OLD}},
    MissingPermit.DER_ALARM: {"stands": {"der_alarm": Tri.YES}},
}
CASES = {f"{item.name}-{how}": (item, state) for item, states in LACKS.items() for how, state in states.items()}  # type: ignore[attr-defined]
# What was never agreed, and what is used up, per item: the guard that says so.
USED_UP = {
    "no event budget": (MissingPermit.EVENT_BUDGET, g.budget_is_kept, {"event_budget_kwh": 0.0}),
    "no year budget": (MissingPermit.YEAR_BUDGET, g.budget_is_kept, {"year_budget_kwh": 0.0}),
    "no cycle budget": (MissingPermit.CYCLE_BUDGET, g.budget_is_kept, {"cycle_budget": 0.0}),
    "event budget": (MissingPermit.EVENT_BUDGET, g.budget_is_kept, {"event_exported_kwh": 12.0}),
    "year budget": (MissingPermit.YEAR_BUDGET, g.budget_is_kept, {"year_exported_kwh": 600.0}),
    "cycle budget": (MissingPermit.CYCLE_BUDGET, g.budget_is_kept, {"cycle_budget": 1.0, "year_exported_kwh": 56.0}),
    "reserve": (MissingPermit.RESERVE, g.reserve_is_kept, {"soc_pct": 30.0}),
    "departure": (
        MissingPermit.DEPARTURE,
        g.departure_keeps_energy,
        IDLE | {"soc_pct": 79.0, "departure_s": NOW_S + 0.8 * HOUR},
    ),
}


def beside_one_that_lacks(state):
    """Two cars with everything, but that the first lacks something."""
    complete = ORDINARY | V2G | {"opted_out": False, "opted_out_until_s": -np.inf, "der_alarm": Tri.NO}
    complete |= {"event_exported_kwh": 0.0, "year_exported_kwh": 0.0}
    return cars(2, **V2G | {name: [value, complete[name]] for name, value in state.items()})


def test_every_item_of_a_discharge_has_its_cases_and_its_words():
    assert [item.refusal for item in ITEMS] == list(LACKS)
    assert (
        {*LACKS, *(item for item, _, _ in USED_UP.values())} == set(WORDS) == set(MissingPermit) - {MissingPermit.NONE}
    )


@names(g.discharge_is_permitted)
@pytest.mark.parametrize(("item", "state"), CASES.values(), ids=CASES)
def test_a_missing_item_refuses_discharge_and_is_named(item, state):
    view = beside_one_that_lacks(state)
    assert missing_permits(situation(view)).tolist() == [item, MissingPermit.NONE]
    assert limits(view).refusal.tolist() == [item, MissingPermit.NONE]
    assert held(view, *GIVE).kind[0] != DesireKind.SETPOINT
    assert held(view, *GIVE).kind[1] == DesireKind.SETPOINT


@pytest.mark.parametrize(("item", "guard", "state"), USED_UP.values(), ids=USED_UP)
def test_what_is_used_up_refuses_discharge_and_is_named(item, guard, state):
    assert held(beside_one_that_lacks(state), *GIVE, end_h=0.25, without=guard).kind[0] == DesireKind.SETPOINT
    view = beside_one_that_lacks(state)
    assert limits(view, end_h=0.25).refusal.tolist() == [item, MissingPermit.NONE]
    assert held(view, *GIVE, end_h=0.25).kind.tolist() == [DesireKind.CURTAIL, DesireKind.SETPOINT]


@pytest.mark.parametrize("row", ITEMS, ids=[row.refusal.name for row in ITEMS])
def test_without_its_row_an_item_is_missed_by_its_own_cases_and_no_other(row):
    kept = [item for item in ITEMS if item is not row]
    for item, state in CASES.values():
        named = missing_permits(situation(beside_one_that_lacks(state)), kept)
        assert named.tolist() == [MissingPermit.NONE if item is row.refusal else item, MissingPermit.NONE]


@names()
def test_without_the_permission_guard_an_unpermitted_car_would_discharge():
    view = cars(1, **V2G | {"interconnected": False})
    assert held(view, *GIVE, without=g.discharge_is_permitted).kind[0] == DesireKind.SETPOINT


@names(g.discharge_is_permitted)
def test_the_export_limit_of_the_agreement_bounds_the_power():
    view = cars(1, **V2G | {"export_limit_kw": 2.0, "event_budget_kwh": 60.0})
    assert held(view, *GIVE).kw[0] == -2.0
    assert held(view, *GIVE, without=g.discharge_is_permitted).kw[0] < -2.0


@names(g.power_is_limited)
def test_powers_stay_inside_what_the_car_can():
    view = cars(1, **V2G | {"max_discharge_kw": 3.0, "event_budget_kwh": 60.0})
    assert held(view, *GIVE).kw[0] == -3.0
    assert held(view, *GIVE, without=g.power_is_limited).kw[0] < -6.9


@names(g.budget_is_kept)
def test_a_car_that_gives_no_less_than_a_minimum_is_paused_below_it():
    view = cars(1, **V2G | {"min_discharge_kw": 2.0, "event_budget_kwh": 0.9})
    assert held(view, *GIVE).kind[0] == DesireKind.CURTAIL


@pytest.mark.parametrize(
    ("guard", "state"),
    [
        (g.only_stops_what_can_stop, {"can_stop": False}),
        (g.only_stops_what_can_stop, {"control": Control.TARGET_LEVEL, "level_floor_pct": 50.0, "soc_pct": 49.0}),
        (g.never_strands, {"can_resume": False}),
        # Told 80 it may be short of 80 and could not be started again.
        (g.never_strands, {"can_resume": False, "soc_pct": 80.0}),
        (g.dwell_is_kept, {"last_toggle_s": NOW_S - 299, "told_on": True}),
    ],
)
def test_a_charging_car_that_must_not_be_stopped_runs_on(guard, state):
    view = cars(1, **state)
    assert (held(view, *PAUSE).kind[0], held(view, *PAUSE).kw[0]) == (DesireKind.NONE, 7.0)
    assert held(view, *PAUSE, without=guard).kind[0] == DesireKind.CURTAIL


@pytest.mark.parametrize(
    "state",
    [
        {"control": Control.TARGET_LEVEL, "level_floor_pct": 50.0, "soc_pct": 50.0},
        {"can_resume": False, "soc_pct": 81.0},
        {"can_resume": False, **IDLE},
        {"last_toggle_s": NOW_S - 301, "told_on": True},
    ],
)
def test_a_car_that_may_be_stopped_is(state):
    assert held(cars(1, **state), *PAUSE).kind[0] == DesireKind.CURTAIL


@names(g.dwell_is_kept)
def test_a_car_told_to_stop_a_moment_ago_stays_stopped():
    view = cars(1, last_toggle_s=NOW_S - 60, told_on=False)
    final = held(view, *GO)
    assert (final.kind[0], final.reason[0], final.end_s[0]) == (DesireKind.CURTAIL, Reason.DWELL, NOW_S + 240)
    assert held(view, *GO, without=g.dwell_is_kept).kind[0] == DesireKind.CHARGE


@names(g.below_reserve_charges)
def test_the_dwell_gives_way_to_the_reserve():
    view = cars(1, last_toggle_s=NOW_S - 60, told_on=False, soc_pct=20.0)
    assert held(view, *PAUSE).kind[0] == DesireKind.CHARGE


@names(g.only_stops_what_can_stop)
def test_a_car_that_cannot_be_started_is_not_told_to():
    assert held(cars(1, **IDLE | {"can_start": False}), *GO).kind[0] == DesireKind.NONE


@names(g.patience_is_kept)
@pytest.mark.parametrize("proposed", [PAUSE, GIVE, (DesireKind.CAP, 2.0)])
def test_a_driver_whose_patience_is_at_an_end_is_asked_for_nothing(proposed):
    view = cars(1, **V2G | AMPS | {"soc_pct": 50.0, "asks_left_s": 0.0})
    final = held(view, *proposed)
    assert (final.kind[0], final.reason[0]) == (DesireKind.NONE, Reason.PATIENCE)
    assert held(view, *proposed, without=g.patience_is_kept).kind[0] != DesireKind.NONE


@names(g.patience_is_kept)
def test_no_hold_outlasts_what_is_left_of_the_drivers_patience():
    view = cars(1, asks_left_s=600.0)
    assert held(view, *PAUSE).end_s[0] == NOW_S + 600
    assert held(view, *PAUSE, without=g.patience_is_kept).end_s[0] == NOW_S + 2 * HOUR


@names(g.grid_limits_are_kept)
def test_no_more_is_drawn_through_a_node_than_its_limit():
    tree = one_transformer(20.0)
    view = below(tree, ["T1"] * 4 + [None], **AMPS)
    assert held_below(tree, view, *GO).kw.round(3).tolist() == [7.0, 5.9, 7.0, 0.0, 7.0]
    assert held_below(tree, view, *GO, without=g.grid_limits_are_kept).kw.tolist() == [7.0] * 5


@names(g.grid_limits_are_kept)
def test_two_cars_at_one_home_feed_no_more_than_its_limit_together():
    tree = tree_of([node("home", export_kw=7.0, kind=SITE)])
    view = below(tree, ["home", "home"], **V2G)
    assert held_below(tree, view, *GIVE).kw.sum() == -7.0
    assert held_below(tree, view, *GIVE, without=g.grid_limits_are_kept).kw.sum() < -10.0


def test_guards_only_narrow():
    view = cars(6, **V2G | {"soc_pct": [10, 29, 50, 79, 90, 50], "departure_s": NOW_S + HOUR * np.arange(1, 7)})
    place = situation(view)
    before = narrow(place, [])
    for guard in GUARDS:
        after = guard(before, place)
        assert not (after.touch & ~before.touch).any()
        assert not (before.must_charge & ~after.must_charge).any()
        assert not (after.can_pause & ~before.can_pause).any()
        for name in ("charge_kw", "discharge_kw", "discharge_kwh", "until_s"):
            assert (getattr(after, name) <= getattr(before, name)).all()
        before = after


def test_amps_lists_and_switches_achieve_what_they_can():
    levels = np.full((4, 8), np.nan)
    levels[2, :3] = (2.0, 4.0, 7.0)
    view = dataclasses.replace(
        cars(
            4,
            control=[Control.STEPS, Control.STEPS, Control.LEVELS, Control.ON_OFF],
            floor_kw=[1.4, 1.4, 2, 0],
            step_kw=0.25,
        ),
        levels_kw=levels,
    )
    full_kw = np.full(4, 7.0)
    assert achieved_kw(view, np.array([3.0, 1.3, 5.0, 6.9]), full_kw).tolist() == [2.9, 0.0, 4.0, 0.0]
    assert achieved_kw(view, full_kw, full_kw).tolist() == [7.0] * 4


def cases_of(test):
    """Every call that pytest would make of a test: its parameters' values by name."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    ways = []
    for mark in marks:
        names = [mark.args[0]] if isinstance(mark.args[0], str) else list(mark.args[0])
        rows = [[row] if len(names) == 1 else list(row) for row in mark.args[1]]
        ways.append([dict(zip(names, row, strict=True)) for row in rows])
    for parts in itertools.product(*ways):
        yield {name: value for part in parts for name, value in part.items()}


def hand_written():
    """The examples of this module: a name, the guards that it names, the call."""
    for name, test in list(globals().items()):
        if name.startswith("test_") and test is not test_without_one_guard_exactly_the_tests_that_name_it_fail:
            for number, given_values in enumerate(cases_of(test)):
                named = (given_values["guard"],) if "guard" in given_values else getattr(test, "guards", ())
                yield f"{name}[{number}]", frozenset(named), functools.partial(test, **given_values)


def fails(call):
    """Whether a test fails."""
    try:
        call()
    except (AssertionError, IndexError):
        return True
    return False


@pytest.mark.laws
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_without_one_guard_exactly_the_tests_that_name_it_fail(guard, monkeypatch):
    """The hand-written examples and the laws, all of them, with this one guard switched off."""
    left = tuple(one for one in GUARDS if one is not guard)
    for module in (g, planning_cases, sys.modules[__name__]):
        monkeypatch.setattr(module, "GUARDS", left)
    failed = {name for name, _, call in hand_written() if fails(call)}
    failed |= {one.__name__ for one in LAWS if fails(functools.partial(keeps, one, guard))}
    naming = {name for name, named, _ in hand_written() if guard in named} | {guard.__name__}
    assert failed == naming
    assert len(naming) > 1, "a law and at least one example by hand"


@names(g.ready_by_departure)
def test_a_car_that_charges_is_not_paused_for_a_few_minutes_before_its_latest_start():
    view = cars(2, soc_pct=50.0, departure_s=NOW_S + HOUR * (60 * 0.3 / 0.9 / 7 + 0.5 + 10 / 60))
    idle = dataclasses.replace(view, charge_state=np.array([4, 1]), power_kw=np.array([0.0, 7.0]))
    assert held(idle, *PAUSE).kind.tolist() == [DesireKind.CURTAIL, DesireKind.CHARGE]
