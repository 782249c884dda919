"""A car is planned with the pace that it shows, and one that showed none with less than its data sheet promises."""

import json
from datetime import timedelta

import numpy as np
import pytest
from agent_cases import T0, enrolment
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import Capability, ChargeState, Known, Reading, Snapshot
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.fleet.columns import LEVEL_EDGES
from ven_adapters.ven.fleet.pace import ERRORS_ENOUGH, LEAST_MARGIN_S, Pace, in_words
from ven_adapters.ven.planning.car_power import usual_kw
from ven_adapters.ven.planning.charging_need import PlanSettings, needs_of
from ven_adapters.ven.store.database import PaceRow, StoredState

FULL_KW, USABLE_KWH = 7.0, 60.0
SETTINGS = PlanSettings(margin_s=0.0)


def ours():
    made = FleetState(T0.timestamp(), {}, 1)
    made.enrol([enrolment(target_soc_pct=90.0)], T0)
    made.learn({"car": Capability("m", int(USABLE_KWH * 1000), int(FULL_KW * 1000))})
    return made


def tell(made, minutes, level_pct, kw, *, plugged=True):
    at = T0 + timedelta(minutes=minutes)
    state = ChargeState.CHARGING if kw else ChargeState.STOPPED
    told = {
        "soc_pct": level_pct,
        "plugged": Known.YES if plugged else Known.NO,
        "charge_state": state if plugged else ChargeState.UNPLUGGED,
        "power_w": kw * 1000,
    }
    made.observe([Snapshot("car", **{name: Reading(value, at, at) for name, value in told.items()})], at)


def accepted_kw(level_pct, power, knee_pct):
    return FULL_KW * power * (1 - 0.8 * np.clip((level_pct - knee_pct) / max(100.0 - knee_pct, 1e-9), 0, 1))


def charge(made, power, kept, knee_pct=100.0, step_pct=1.0):
    """A whole session of a true car, told every five minutes."""
    level, minutes = 20.0, 1_800
    for minute in range(0, minutes, 5):
        kw = accepted_kw(level, power, knee_pct) if level < 90 else 0.0
        tell(made, minute, min(100.0, np.ceil(level / step_pct) * step_pct), float(kw))
        if not kw:
            break
        level = min(90.0, level + kw * kept / 12 / USABLE_KWH * 100)
    tell(made, minutes + 10, level, 0.0, plugged=False)
    tell(made, minutes + 15, level, 0.0, plugged=False)


def hours(made, level_pct):
    view = made.fleet.view()
    view.soc_pct[:] = level_pct
    return float(needs_of(view, T0.timestamp(), SETTINGS).hours[0])


def true_hours(from_pct, power, kept, knee_pct):
    levels = np.arange(from_pct, 90.0, 0.1)
    return float((0.1 / 100 * USABLE_KWH / kept / accepted_kw(levels, power, knee_pct)).sum())


def test_a_car_that_never_charged_is_planned_slower_than_any_that_is_met():
    assert hours(ours(), 40.0) >= true_hours(40.0, 0.5, 0.75, 60.0)


@given(
    power=st.sampled_from([0.5, 0.7, 1.0]), kept=st.sampled_from([0.75, 0.85, 0.95]), step=st.sampled_from([1.0, 5.0])
)
def test_after_one_session_a_car_is_planned_with_the_pace_that_it_showed(power, kept, step):
    made = ours()
    charge(made, power, kept, 80.0, step)
    true_h = true_hours(40.0, power, kept, 80.0)
    step_h = 5 / 100 * USABLE_KWH / kept / (FULL_KW * power) if step > 1 else 0.0
    assert true_h * 0.98 <= hours(made, 40.0) <= true_h * 1.35 + step_h


def test_the_first_reading_of_a_charging_car_tells_its_power():
    made = ours()
    before_h = hours(made, 40.0)
    tell(made, 0, 40.0, FULL_KW)
    assert hours(made, 40.0) < before_h * 0.8
    assert usual_kw(made.fleet.view())[0] == pytest.approx(FULL_KW)


@pytest.mark.parametrize("step_pct", [1.0, 5.0])
@pytest.mark.parametrize(("power", "knee_pct"), [(1.0, 100.0), (0.5, 100.0), (1.0, 60.0), (0.5, 60.0)])
def test_after_two_nights_a_car_is_planned_little_slower_than_it_is(power, knee_pct, step_pct):
    made = ours()
    for _ in range(2):
        charge(made, power, 0.85, knee_pct, step_pct)
    true_h = true_hours(30.0, power, 0.85, knee_pct)
    assert 0.98 * true_h <= hours(made, 30.0) <= 1.1 * true_h


def test_a_car_on_a_shared_circuit_is_planned_with_what_it_gets_now():
    made = ours()
    charge(made, 1.0, 0.9)
    alone_h = hours(made, 40.0)
    for minute in range(3000, 3030, 5):
        tell(made, minute, 40.0, FULL_KW / 2)
    assert hours(made, 40.0) > 1.7 * alone_h


def test_of_a_car_that_is_told_a_power_of_its_own_nothing_is_learned(monkeypatch):
    made = ours()
    monkeypatch.setattr(made.told, "capped", lambda rows, _now_s: np.ones(len(rows), dtype=bool))
    for minute in range(0, 60, 5):
        tell(made, minute, 40.0, 1.4)
    assert np.isnan(made.pace.mean_kw[0]).all()


def test_a_level_told_in_steps_of_five_is_read_one_step_lower_until_it_tells_something_between():
    made = ours()
    tell(made, 0, 40.0, 0.0)
    in_fives_h = hours(made, 40.0)
    tell(made, 5, 41.0, 0.0)
    assert hours(made, 40.0) < in_fives_h
    assert made.fleet.view().unsure_pct[0] == 0.0


@given(
    st.floats(0.9, 1.1), st.floats(0.75, 0.95), st.floats(0.85, 0.95), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1)
)
@settings(max_examples=12)
def test_no_car_that_charges_and_gives_in_turn_is_below_what_is_sure_of_it(usable, kept, given_out, up, seed):
    r, made, level = np.random.default_rng(seed), ours(), 22.0
    told = lambda: float(np.clip(np.floor(level / 5 + up * 0.999) * 5, 0, 100))  # noqa: E731
    kw = 0.0
    for minute in range(0, 1_000, 5):
        tell(made, minute, told(), float(kw))
        view = made.fleet.view()
        assert minute < 500 or view.soc_pct[0] - view.unsure_pct[0] <= level + 0.3
        wanted = r.choice([0.0, 6.0, -6.0]) if minute >= 500 and minute % 30 == 0 else kw
        kw = 6.0 if minute < 500 else wanted
        kw = 0.0 if (kw > 0 and level > 90) or (kw < 0 and level < 21) else kw
        level += kw * (kept if kw > 0 else 1 / given_out) / 12 / (USABLE_KWH * usable) * 100


def test_what_was_learned_outlives_a_restart():
    made = ours()
    charge(made, 0.5, 0.8)
    rows = [PaceRow(**row.values) for row in made.drain() if getattr(row, "model", None) is PaceRow]
    reborn = ours()
    reborn.restore(StoredState(paces=tuple(rows)), T0)
    assert hours(reborn, 40.0) == pytest.approx(hours(made, 40.0), rel=0.01)
    assert "seen to take 3.5 kW at most between 0 and 95 %" in in_words(rows[0].document)
    odd = PaceRow(vehicle_ref="car", document=json.dumps({"edges": [0, 100]}))
    other = ours()
    other.restore(StoredState(paces=(odd,)), T0)
    assert hours(other, 40.0) == hours(ours(), 40.0)


def test_the_margin_grows_with_cars_that_came_later_than_foretold_and_is_never_below_twenty_minutes():
    pace = Pace(ours().fleet)
    pace.grow(1)
    for late_h in [0.0] * ERRORS_ENOUGH + [1.5] * 10:
        pace._first_pct[0], pace._last_pct[0], pace._lasted_s[0] = 20.0, 40.0, (2.0 + late_h) * 3600
        pace._foretold[0] = 10.0
        pace._note_errors(np.array([0]))
        assert pace.margin_s >= LEAST_MARGIN_S or len(pace._errors_h) < ERRORS_ENOUGH
    assert pace.margin_s == pytest.approx(1.5 * 3600)
    assert len(LEVEL_EDGES) == pace.mean_kw.shape[1] + 1


def test_a_battery_that_tapers_early_is_not_foretold_by_a_fleet_that_does_not():
    """What two per cent of a fleet fall short of must not be believed of a car that already shows to be one of them."""
    made = FleetState(T0.timestamp(), {}, 1)
    refs = [f"car-{number}" for number in range(30)]
    made.enrol([enrolment(ref, target_soc_pct=90.0) for ref in refs], T0)
    made.learn({ref: Capability("m", int(USABLE_KWH * 1000), int(FULL_KW * 1000)) for ref in refs})
    levels = dict.fromkeys(refs, 40.0)
    for minute in range(0, 600, 5):
        at = T0 + timedelta(minutes=minute)
        told = []
        for ref in refs:
            early = ref == refs[0]
            kw = float(accepted_kw(levels[ref], 0.6, 60.0 if early else 100.0)) if levels[ref] < 90 else 0.0
            if early and levels[ref] >= 68:
                kw = 0.0
            levels[ref] += kw * 0.85 / 12 / USABLE_KWH * 100
            state = ChargeState.CHARGING if kw else ChargeState.STOPPED
            values = {"soc_pct": levels[ref], "plugged": Known.YES, "charge_state": state, "power_w": kw * 1000}
            told.append(Snapshot(ref, **{name: Reading(value, at, at) for name, value in values.items()}))
        made.observe(told, at)
    view = made.fleet.view()
    row = int(np.flatnonzero(view.row == made.fleet.row(refs[0]))[0])
    middles = (np.array(LEVEL_EDGES)[1:] + np.array(LEVEL_EDGES)[:-1]) / 2
    true_pct_per_h = accepted_kw(middles, 0.6, 60.0) * 0.85 / USABLE_KWH * 100
    assert (view.slow_pct_per_h[row, 3:6] <= true_pct_per_h[3:6]).all()
