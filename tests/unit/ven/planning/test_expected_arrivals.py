"""Cars that are expected home are part of the night before they come: as room, never as a directive."""

import numpy as np
import pytest
from closed_nights import CYCLE_S, Fleet, play
from planning_cases import HOUR, NOW_S, SETTINGS, ask, asked, cars, hourly, joined

from ven_adapters.ven.fleet.columns import Tri
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.flexibility.forecast import outlook
from ven_adapters.ven.planning.night.expected_arrivals import (
    MOST_EXPECTED,
    NOBODY,
    ArrivalHabits,
    expected_arrivals,
)
from ven_adapters.ven.planning.night.night_problem import PlannedCars
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.plan import plan

AWAY = {"plugged": 0, "at_home": 0, "charge_state": 9, "power_kw": 0.0}
FLAT_NIGHT = hourly(*[0.4] * 2, *[0.1] * 12, *[0.4] * 22, start_h=0)
NEED_KWH = 60 * 0.3 / 0.9


def habits(view, hour, *, chance=1.0, level_pct=50.0):
    """Everybody comes in one hour, by this chance."""
    edges_s = NOW_S + HOUR * np.arange(13.0)
    likely = np.zeros((len(view), 12))
    likely[:, hour] = chance
    return ArrivalHabits(likely, edges_s, np.full(len(view), level_pct))


def expected(view, hour=3, **more):
    return expected_arrivals(view, habits(view, hour, **more), NOW_S, SETTINGS)


def test_a_chance_is_a_share_of_what_comes():
    view = cars(10, **AWAY)
    found = expected(view, chance=0.6)
    assert found.kwh.sum() == pytest.approx(0.6 * 10 * NEED_KWH)
    assert found.kw.sum() == pytest.approx(0.6 * 70)
    assert found.start_s == pytest.approx(NOW_S + 3.5 * HOUR)
    assert (found.end_s <= view.departure_s.max()).all()


def test_who_is_there_and_who_nobody_knows_is_not_expected():
    assert expected(cars(3)) is NOBODY
    assert expected(cars(3, **AWAY), level_pct=np.nan) is NOBODY
    assert expected(cars(3, **AWAY), chance=0.0) is NOBODY
    assert expected(cars(3, **AWAY | {"charging_consent": False})) is NOBODY
    assert expected(cars(3, **AWAY | {"opted_out": True})) is NOBODY


def test_who_comes_after_the_declared_departure_leaves_at_the_next():
    view = cars(1, **AWAY | {"departure_s": NOW_S + 1 * HOUR})
    assert expected(view, hour=3).end_s[0] > NOW_S + 20 * HOUR


def test_a_thousand_expected_cars_are_few_classes_with_the_same_energy():
    r = np.random.default_rng(2)
    view = cars(1000, **AWAY | {"departure_s": NOW_S + HOUR * r.uniform(18, 23, 1000)})
    known = ArrivalHabits(r.dirichlet(np.ones(12), 1000), NOW_S + HOUR * np.arange(13.0), r.uniform(20, 70, 1000))
    found = expected_arrivals(view, known, NOW_S, SETTINGS)
    likely = known.chance * (known.chance > 0.01)
    assert len(found) <= MOST_EXPECTED
    assert found.kwh.sum() == pytest.approx(((80 - known.level_pct) / 100 * 60 / 0.9) @ likely.sum(axis=1), rel=0.03)


def zone(view, **more):
    requests = asked(price=FLAT_NIGHT, **more)
    found = expected(view)
    return plan(view, requests, NOW_S, SETTINGS, earlier=EarlierCycles(expected=lambda _at: found))


def test_they_take_up_room_and_are_told_nothing():
    view = joined(cars(4), cars(8, **AWAY))
    made = zone(view)
    load = made.night.load
    assert (made.kind[view.plugged == Tri.NO] == DesireKind.NONE).all()
    assert load.expected_kw @ np.diff(load.edges_s) / HOUR == pytest.approx(8 * NEED_KWH, rel=1e-3)
    assert load.load_kw @ np.diff(load.edges_s) / HOUR == pytest.approx(12 * NEED_KWH, rel=1e-3)
    assert load.expected_kw[load.edges_s[:-1] < NOW_S + 3.4 * HOUR].max() == 0


def test_a_limit_is_planned_with_them():
    view = joined(cars(6), cars(8, **AWAY))
    made = zone(view, import_cap_kw=ask(30.0, end_h=30))
    assert made.night.load.load_kw.max() <= 30.0 + 1e-6
    alone = plan(view, asked(price=FLAT_NIGHT, import_cap_kw=ask(30.0, end_h=30)), NOW_S, SETTINGS)
    before = made.night.load.edges_s[:-1] < NOW_S + 3.5 * HOUR
    own_kw = made.night.load.load_kw - made.night.load.expected_kw
    assert own_kw[before].sum() > alone.night.load.load_kw[: before.sum()].sum(), "who is there makes room beforehand"


def test_the_forecast_of_the_day_has_them():
    view = joined(cars(4), cars(8, **AWAY))
    requests, found = asked(price=FLAT_NIGHT), expected(view)
    day = outlook(view, requests, NOW_S, SETTINGS, EarlierCycles(expected=lambda _at: found))
    alone = outlook(view, requests, NOW_S, SETTINGS)
    whole = day.ahead(NOW_S, NOW_S + 12 * HOUR).usage_kwh
    assert whole == pytest.approx(12 * NEED_KWH, rel=0.02)
    assert alone.ahead(NOW_S, NOW_S + 12 * HOUR).usage_kwh == pytest.approx(4 * NEED_KWH, rel=0.02)


def evening(seed):
    """Ten cars at home and twenty that come within three hours, each exactly when it is expected to."""
    r = np.random.default_rng(seed)
    count = 30
    come_s = NOW_S + np.where(np.arange(count) < 10, 0.0, CYCLE_S * r.integers(6, 48, count))
    view = cars(
        count,
        u=np.sort(r.random(count)),
        soc_pct=r.uniform(45, 65, count),
        departure_s=NOW_S + HOUR * r.uniform(11.0, 13.5, count),
        charge_state=4,
        power_kw=0.0,
        control=1,
        floor_kw=1.38,
        step_kw=0.23,
    )
    price = np.repeat([0.1] * 14, 4)
    cap_kw = 1.12 * float(((80 - view.soc_pct) / 100 * 60 / 0.9).sum()) / 11.0
    requests = asked(price=hourly(*[0.1] * 13, 0.4, start_h=0), import_cap_kw=ask(cap_kw, end_h=30))
    return Fleet("arrivals", view, requests, price, 0 * price, cap_kw), come_s


def told_of(drawn, come_s):
    """Whoever is not there yet, from when until when, and what it needs."""
    view = drawn.view
    kwh, kw = (80 - view.soc_pct) / 100 * 60 / 0.9, view.max_charge_kw

    def expecting(at_s):
        away = come_s > at_s
        return PlannedCars(kwh, kw, come_s, view.departure_s - SETTINGS.margin_s).take(away)

    return expecting


@pytest.mark.laws  # whole nights, planned cycle after cycle over drawn fleets
@pytest.mark.parametrize("seed", [1, 2])
def test_who_is_expected_is_not_found_to_be_too_much_when_all_have_come(seed):
    drawn, come_s = evening(seed)
    knowing, blind = play(drawn, come_s, told_of(drawn, come_s)), play(drawn, come_s)
    assert knowing.short_kwh == pytest.approx(0.0, abs=0.1)
    assert knowing.over_kwh < 1.0
    assert knowing.over_kwh < blind.over_kwh or knowing.load_kw.max() <= blind.load_kw.max() + 0.1
