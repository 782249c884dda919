"""The simulated backend with time in our own hands: every instant exact, no network."""

import functools
import math
import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest

from ven_adapters.contract import (
    BackendError,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectivesChanged,
    DirectiveState,
    DriverChose,
    ErrorCode,
    OnCommLoss,
    OnEnd,
    Rung,
    Setting,
)
from ven_adapters.simulator.backend.cloud import Cloud
from ven_adapters.simulator.backend.snapshots import Views
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.faults.fault_draws import Chance, draw
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings
from ven_adapters.transport.http.codec import Order, dumps

AFTERNOON = datetime(2026, 7, 1, 22, tzinfo=UTC)
EVENING = datetime(2026, 7, 2, 4, tzinfo=UTC)
MORNING = datetime(2026, 7, 2, 20, tzinfo=UTC)
PAUSE, FULL = Setting(Rung.PAUSE, 0), Setting(Rung.RESUME, 11_520)


@functools.cache
def ordinary(brand):
    """A cloud without faults at the evening, played once; pickled, because each who uses it takes a copy."""
    return pickle.dumps(played(brand, NO_FAULTS, EVENING))


def cloud_of(brand="ford", rates=NO_FAULTS, *, at=EVENING, **more):
    if rates or more or at < EVENING:
        return played(brand, rates, at, **more)
    cloud = pickle.loads(ordinary(brand))  # noqa: S301 - dumped above
    cloud.advance(at)
    return cloud


def played(brand, rates, at, **more):
    given = {"cars": 120, "seed": 5, "opted_out_probability": 0.0, "truth": "as_told"} | more
    settings = SimulatorSettings(brand, starts_at=AFTERNOON, token="t", faults=rates, **given)
    fleet = plan_fleet(settings)
    ledger = GroundTruth(fleet, (AFTERNOON - fleet.midnight).total_seconds(), 48.0)
    cloud = Cloud(fleet, settings.seed, rates, ledger)
    cloud.advance(at)
    return cloud


def order(cloud, car, kind=DirectiveKind.CURTAIL, setting=PAUSE, *, name="1", start=EVENING, minutes=60, **more):
    end = start + timedelta(minutes=minutes)
    given = {"not_after": end} | more
    return Order(Directive(f"d-{name}", f"k-{name}", cloud.fleet.refs[car], kind, start, end, **given), setting)


def submit(cloud, car, one, now=EVENING):
    return cloud.submit(car, one, dumps(one), now)


def charging(cloud):
    """A car that charges, has hours to spare, and starts and stops."""
    world = cloud.world
    able = world.power_w >= 7_000
    able &= world.soc_wh < world.target_wh - 15_000
    able &= np.array([cloud.capability(car).can_stop for car in range(world.soc_wh.size)])
    return int(np.flatnonzero(able)[0])


def states(cloud):
    return [
        (status.directive_id, status.state.value, status.observed_at)
        for event in cloud.outbox
        if isinstance(event, DirectivesChanged)
        for status in event.statuses
    ]


def refused(call, *arguments):
    with pytest.raises(BackendError) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.parametrize("ticks", [1, 7, 600])
def test_a_directive_begins_and_ends_at_its_exact_instants_however_coarse_the_ticks(ticks):
    cloud = cloud_of()
    car, start = charging(cloud), EVENING + timedelta(minutes=12, seconds=17)
    submit(cloud, car, order(cloud, car, start=start, minutes=33))
    before_wh = float(cloud.world.added_wh[car])
    power_w = float(cloud.world.power_w[car])
    for tick in range(1, ticks + 1):
        cloud.advance(EVENING + timedelta(hours=1) * tick / ticks)
    assert states(cloud)[-1] == ("d-1", "RELEASED", start + timedelta(minutes=33))
    charged_s = 3_600 - 33 * 60
    assert cloud.world.added_wh[car] - before_wh == pytest.approx(power_w * charged_s / 3_600, rel=1e-6)


def test_ticks_of_any_length_leave_the_same_world():
    worlds = []
    for minutes in (1, 17, 600):
        cloud, now = cloud_of("nissan"), EVENING
        for _ in range(600 // minutes + 1):
            now = min(now + timedelta(minutes=minutes), EVENING + timedelta(hours=10))
            cloud.advance(now)
        worlds.append(cloud.world.soc_wh)
    assert np.allclose(worlds[0], worlds[1], atol=20)
    assert np.allclose(worlds[0], worlds[2], atol=20)


def test_a_car_never_outlives_its_directive():
    cloud = cloud_of()
    car = charging(cloud)
    submit(cloud, car, order(cloud, car, minutes=30))
    cloud.advance(EVENING + timedelta(minutes=29))
    assert cloud.world.power_w[car] == 0
    cloud.advance(EVENING + timedelta(minutes=31))
    assert (cloud.world.power_w[car] > 0, cloud.world.limit_w[car]) == (True, math.inf)


def test_back_to_back_directives_hand_over_without_a_gap():
    cloud = cloud_of()
    car = charging(cloud)
    submit(cloud, car, order(cloud, car, minutes=30))
    later = order(cloud, car, name="2", start=EVENING + timedelta(minutes=30), minutes=30)
    submit(cloud, car, later)
    cloud.advance(EVENING + timedelta(minutes=5))
    held_wh = float(cloud.world.added_wh[car])
    cloud.advance(EVENING + timedelta(minutes=59))
    assert cloud.world.added_wh[car] == held_wh
    assert [state for name, state, _ in states(cloud) if name == "d-1"][-1] == "RELEASED"


def test_a_newer_directive_for_the_same_time_supersedes_one_that_has_not_begun():
    cloud = cloud_of()
    car = charging(cloud)
    start = EVENING + timedelta(minutes=30)
    submit(cloud, car, order(cloud, car, start=start))
    submit(cloud, car, order(cloud, car, DirectiveKind.CHARGE, FULL, name="2", start=start))
    assert cloud.status(car, "d-1").state is DirectiveState.SUPERSEDED
    cloud.advance(start + timedelta(minutes=1))
    assert cloud.world.power_w[car] > 0


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_executed_after_not_after(seed):
    cloud = cloud_of(rates={"delayed": 1.0}, seed=seed)
    car = charging(cloud)
    submit(cloud, car, order(cloud, car, not_after=EVENING + timedelta(minutes=4)))
    cloud.advance(EVENING + timedelta(minutes=40))
    assert states(cloud) == [("d-1", "EXPIRED", EVENING + timedelta(minutes=4))]
    assert cloud.world.power_w[car] > 0


def test_leaving_a_car_as_it_is_is_refused():
    cloud = cloud_of()
    car = charging(cloud)
    assert refused(submit, cloud, car, order(cloud, car, on_end=OnEnd.LEAVE)).code is ErrorCode.NOT_SUPPORTED


@pytest.mark.parametrize(
    ("brand", "setting"),
    [
        ("bmw", Setting(Rung.CURRENT, 1_680, current_a=7)),
        ("bmw", Setting(Rung.POWER, 3_000)),
        ("ford", Setting(Rung.CURRENT, 1_200, current_a=5)),
        ("honda", PAUSE),
        ("honda", Setting(Rung.TARGET_LEVEL, 0, limit_soc_pct=40.0)),
    ],
)
def test_a_setting_that_the_car_does_not_take_is_refused(brand, setting):
    cloud = cloud_of(brand)
    car = int(np.flatnonzero(cloud.world.plugged)[0])
    one = order(cloud, car, DirectiveKind.CAP, setting, power_w=2_000)
    assert refused(submit, cloud, car, one).code is ErrorCode.NOT_SUPPORTED


def test_an_ariya_that_was_stopped_stays_stopped_until_it_is_replugged():
    cloud = cloud_of("nissan", at=EVENING)
    world = cloud.world
    car = next(
        car for car in np.flatnonzero(world.power_w > 5_000).tolist() if not cloud.capability(car).can_resume_after_stop
    )
    submit(cloud, car, order(cloud, car, minutes=10))
    cloud.advance(EVENING + timedelta(minutes=20))
    assert (world.power_w[car], cloud.held(car)) == (0, False)
    assert Views(cloud).snapshot(car, fresh=True).charge_state.value is ChargeState.STOPPED
    for plugged in (False, True):
        world.plugged[car] = plugged
        cloud.plug_changed(car)
    cloud.advance(EVENING + timedelta(minutes=21))
    assert world.power_w[car] > 0


def two_way(cloud):
    ready = (cloud.fleet.max_discharge_w > 0) & (cloud.fleet.papers == 0) & cloud.world.plugged
    ready &= cloud.world.soc_wh > cloud.world.reserve_wh + 8_000
    ready &= cloud.fleet.export_limit_w >= 5_000
    return int(np.flatnonzero(ready)[0])


def feed(cloud, car, power_w=-5_000, **more):
    kind, setting = DirectiveKind.SETPOINT, Setting(Rung.POWER, power_w)
    return order(cloud, car, kind, setting, power_w=power_w, on_comm_loss=OnCommLoss.STOP, **more)


def test_a_discharge_stops_at_the_reserve():
    cloud = cloud_of("nissan")
    car = two_way(cloud)
    cloud.world.target_wh[car] = cloud.world.reserve_wh[car]
    cloud.fleet.target_pct[car] = cloud.fleet.reserve_pct[car]
    reserve_pct = float(cloud.fleet.reserve_pct[car])
    submit(cloud, car, feed(cloud, car, minutes=480, reserve_soc_pct=reserve_pct))
    cloud.advance(EVENING + timedelta(minutes=470))
    assert cloud.world.soc_wh[car] == pytest.approx(cloud.world.reserve_wh[car])
    assert cloud.ledger.summary()["reserve_violations"] == 0
    assert cloud.ledger.summary()["cars_discharged"] == 1


def test_a_discharge_without_bounds_goes_below_the_drivers_reserve_and_is_counted():
    cloud = cloud_of("nissan")
    car = two_way(cloud)
    cloud.world.target_wh[car] = cloud.world.reserve_wh[car]
    cloud.fleet.target_pct[car] = cloud.fleet.reserve_pct[car]
    cloud.world.soc_wh[car] = cloud.world.reserve_wh[car] + 8_000
    submit(cloud, car, feed(cloud, car, minutes=480))
    cloud.advance(EVENING + timedelta(minutes=470))
    assert cloud.world.soc_wh[car] < cloud.world.reserve_wh[car] - 1_000
    assert cloud.ledger.summary()["reserve_violations"] == 1


def test_a_car_that_tells_too_much_goes_below_the_directives_reserve_and_is_counted():
    cloud = cloud_of("nissan", truth={"level_step_pct": 5.0, "level_round_up": 1.0})
    car = two_way(cloud)
    cloud.world.target_wh[car] = cloud.world.reserve_wh[car]
    cloud.fleet.target_pct[car] = cloud.fleet.reserve_pct[car]
    cloud.world.soc_wh[car] = cloud.world.reserve_wh[car] + 8_000
    reserve_pct = float(cloud.fleet.reserve_pct[car])
    submit(cloud, car, feed(cloud, car, minutes=480, reserve_soc_pct=reserve_pct))
    cloud.advance(EVENING + timedelta(minutes=470))
    assert 100.0 * cloud.world.soc_wh[car] / cloud.world.packs.usable_wh[car] == pytest.approx(reserve_pct - 5.0)
    assert cloud.ledger.summary()["reserve_violations"] == 1


def test_a_discharge_stops_at_the_directives_energy():
    cloud = cloud_of("nissan")
    car = two_way(cloud)
    submit(cloud, car, feed(cloud, car, max_energy_wh=2_000))
    cloud.advance(EVENING + timedelta(minutes=59))
    assert cloud.world.exported_wh[car] == pytest.approx(2_000)


@pytest.mark.parametrize("paper", [1, 2, 3, 4])
def test_a_car_that_lacks_a_paper_is_not_discharged(paper):
    cloud = cloud_of("nissan")
    car = two_way(cloud)
    cloud.fleet.papers[car] = paper
    error = refused(submit, cloud, car, feed(cloud, car))
    assert (error.code, "on file" in error.detail) == (ErrorCode.NOT_PERMITTED, True)


def test_a_discharge_above_the_export_limit_is_not_permitted():
    cloud = cloud_of("nissan")
    car = two_way(cloud)
    cloud.fleet.export_limit_w[car] = 4_000
    assert "export_limit_w" in refused(submit, cloud, car, feed(cloud, car)).detail


def two_at_one_home():
    """Two cars that each feed 5 kW back at one home whose connection takes 7 kW."""
    cloud = cloud_of("nissan", cars=400, truth={"shares_circuit": 1.0})
    world, fleet = cloud.world, cloud.fleet
    able = world.plugged & (fleet.max_discharge_w >= 5_000) & (fleet.truth.partner >= 0)
    first = int(np.flatnonzero(able)[0])
    other = int(fleet.truth.partner[first])
    for car in (first, other):
        world.packs.max_discharge_w[car], world.plugged[car] = 7_000.0, True
        world.soc_wh[car] = world.reserve_wh[car] + 10_000
        world.hold(car, -5_000.0, 0.0, world.reserve_wh[car])
    cloud.ledger._home_limit_w[:] = 7_000.0
    return cloud, first, other


def test_two_cars_that_together_feed_back_more_than_their_home_may_are_a_breach_of_the_site():
    cloud, *_ = two_at_one_home()
    cloud.advance(EVENING + timedelta(minutes=30))
    summary = cloud.ledger.summary()
    assert (summary["site_export_breaches"], summary["exports_above_limit"]) == (1, 0)


def test_two_cars_that_together_stay_within_what_their_home_may_are_no_breach():
    cloud, _, other = two_at_one_home()
    cloud.world.hand_back(other)
    cloud.advance(EVENING + timedelta(minutes=30))
    assert cloud.ledger.summary()["site_export_breaches"] == 0


def test_a_home_may_feed_back_the_least_limit_of_its_cars_that_can():
    cloud = cloud_of("nissan", cars=400, truth={"shares_circuit": 1.0})
    fleet = cloud.fleet
    pairs = [(a, int(b)) for a, b in enumerate(fleet.truth.partner) if a < b]
    both = [pair for pair in pairs if (fleet.max_discharge_w[list(pair)] > 0).all()]
    one = [pair for pair in pairs if (fleet.max_discharge_w[list(pair)] > 0).tolist() == [True, False]]
    limits = cloud.ledger._home_limit_w
    assert [limits[a] for a, b in both] == [min(fleet.export_limit_w[[a, b]]) for a, b in both]
    assert [limits[a] for a, _ in one] == [fleet.export_limit_w[a] for a, _ in one]
    assert both
    assert one


def test_every_turn_of_a_cable_is_kept_and_what_each_car_drew_unmanaged_adds_up():
    cloud = cloud_of(at=MORNING, truth="mixture")
    arrays, fleet = cloud.ledger.arrays(), cloud.fleet
    turns = {(int(car), round(at_s), int(inside)) for car, at_s, inside in arrays["plugs"]}
    there = np.flatnonzero(fleet.plugs_in[0] & ~fleet.away[0])
    left = there[fleet.depart_s[0, there] < cloud.world.now_s]
    assert {(int(car), round(fleet.arrive_s[0, car]), 1) for car in there} <= turns
    assert {(int(car), round(fleet.depart_s[0, car]), 0) for car in left} <= turns
    assert left.size > 60
    assert arrays["car_asked_wh"].sum() / 1_000.0 == pytest.approx(arrays["asked_kw"].sum() / 12.0, rel=1e-3)


def test_a_discharge_that_would_strand_the_driver_is_not_permitted():
    cloud = cloud_of("nissan")
    car = two_way(cloud)
    cloud.world.soc_wh[car] = cloud.world.target_wh[car] - 1_000
    assert "ready_by" in refused(submit, cloud, car, feed(cloud, car, minutes=12 * 60)).detail


@pytest.mark.parametrize("kind", ["as_told", "mixture"])
def test_what_nobody_asks_for_equals_the_counterfactual(kind):
    cloud = cloud_of(at=MORNING, truth=kind)
    arrays, summary = cloud.ledger.arrays(), cloud.ledger.summary()
    assert np.array_equal(arrays["kw"], arrays["asked_kw"])
    assert summary["departures"] > 60
    assert (summary["late_though_feasible"], summary["late"]) == (0, summary["infeasible"])


def test_the_ledger_knows_a_late_car_that_could_have_been_ready():
    cloud = cloud_of()
    car = charging(cloud)
    cloud.world.limit_w[car] = 0.0
    cloud.advance(MORNING)
    assert cloud.ledger.summary()["late_though_feasible"] == 1


@pytest.mark.parametrize(("replugs", "feasible_again"), [(False, False), (True, True)])
def test_pulling_the_cable_ends_the_promise_and_plugging_in_again_starts_it_anew(replugs, feasible_again):
    cloud = cloud_of(rates={"unplugged": 1.0})
    fates = cloud.fleet.fates
    car = charging(cloud)
    fates.replug_after_s[car] = 600.0 if replugs else math.inf
    submit(cloud, car, order(cloud, car))
    cloud.advance(EVENING + timedelta(hours=2))
    cloud.world.limit_w[car] = 0.0
    cloud.advance(MORNING)
    assert bool(cloud.ledger.summary()["late_though_feasible"]) is feasible_again


@pytest.mark.parametrize("kind", ["as_told", "mixture"])
def test_the_ledger_balances_with_the_meters(kind):
    cloud = cloud_of("nissan", at=AFTERNOON, truth=kind)
    added_wh, exported_wh = float(cloud.world.added_wh.sum()), float(cloud.world.exported_wh.sum())
    cloud.advance(EVENING)
    car = two_way(cloud)
    submit(cloud, car, feed(cloud, car))
    cloud.advance(EVENING + timedelta(hours=2))
    zones = cloud.ledger.summary()["zones"].values()
    assert sum(zone["charged_kwh"] for zone in zones) == pytest.approx(
        (cloud.world.added_wh.sum() - added_wh) / 1_000, abs=0.01
    )
    assert sum(zone["discharged_kwh"] for zone in zones) == pytest.approx(
        (cloud.world.exported_wh.sum() - exported_wh) / 1_000, abs=0.01
    )
    kwh = cloud.ledger.arrays()["kw"].sum() * 300 / 3_600
    charged, discharged = (sum(zone[name] for zone in zones) for name in ("charged_kwh", "discharged_kwh"))
    assert kwh == pytest.approx(charged - discharged, abs=0.01)


def test_drivers_who_leave_early_are_counted_apart():
    cloud = cloud_of(truth={"leaves_early_s": 3_600.0})
    car = charging(cloud)
    cloud.world.limit_w[car] = 0.0
    cloud.advance(MORNING)
    summary = cloud.ledger.summary()
    assert (summary["late"], summary["late_though_feasible"], summary["infeasible"]) == (0, 0, 0)
    assert summary["left_early"] == summary["departures"] > 60
    assert summary["left_early_short_though_feasible"] == 1
    assert summary["points_short_left_early"] > 1


def test_a_car_tells_its_data_sheet_and_its_level_in_its_own_steps():
    steps = {"level_step_pct": 5.0, "level_round_up": 0.5}
    cloud = cloud_of(truth={"power_share": 0.5, "usable_share": 0.9, **steps})
    sheet = cloud_of()
    car = charging(sheet)
    assert cloud.capability(car) == sheet.capability(car)
    assert cloud.world.power_w[car] <= sheet.world.power_w[car] / 2
    told = Views(cloud).snapshot(car, fresh=True)
    assert told.soc_pct.value % 5 == 0
    assert told.power_w.value == round(cloud.world.power_w[car])
    assert told.energy_added_wh.value == pytest.approx(cloud.world.added_wh[car], abs=0.1)


def test_a_slow_cloud_keeps_to_one_reading_for_minutes_and_says_how_old_it_is():
    cloud = cloud_of(truth={"reading_age_s": 600.0})
    views = Views(cloud)
    first = views.snapshot(0, fresh=True)
    for minutes, same in ((9, True), (10, False)):
        cloud.advance(EVENING + timedelta(minutes=minutes))
        assert (views.snapshot(0, fresh=True).soc_pct.observed_at == first.soc_pct.observed_at) is same


def test_an_opt_out_that_is_ignored_is_not_counted_as_honoured():
    cloud = cloud_of(rates={"opt_out": 1.0})
    car = charging(cloud)
    submit(cloud, car, order(cloud, car, minutes=90))
    cloud.advance(EVENING + timedelta(minutes=50))
    (chose,) = (event for event in cloud.outbox if isinstance(event, DriverChose))
    assert cloud.world.power_w[car] > 0
    assert cloud.ledger.summary()["opt_outs_honoured"] == 1
    late = chose.at + timedelta(minutes=20)
    cloud.advance(late)
    refused(submit, cloud, car, order(cloud, car, name="2", start=late), late)
    assert cloud.ledger.summary()["opt_outs_honoured"] == 0


def test_a_directive_to_a_car_long_gone_counts_and_one_to_a_car_just_gone_does_not():
    cloud = cloud_of()
    car = charging(cloud)
    cloud.world.plugged[car] = False
    cloud.plug_changed(car)
    for minutes, counted in ((14, 0), (16, 1)):
        now = EVENING + timedelta(minutes=minutes)
        refused(submit, cloud, car, order(cloud, car, name=str(minutes)), now)
        assert cloud.ledger.summary()["away_cars_touched"] == counted
    assert cloud.ledger.summary()["directives_to_unplugged_cars"] == 2


def test_the_truth_is_written_whole(tmp_path):
    cloud = cloud_of(at=MORNING)
    summary = cloud.ledger.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["truth-ford.json", "truth-ford.npz"]
    assert orjson.loads((tmp_path / "truth-ford.json").read_bytes())["departures"] == summary["departures"]
    with np.load(tmp_path / "truth-ford.npz") as arrays:
        assert arrays["kw"].shape == arrays["asked_kw"].shape == (14 * 12 + 96, 2)
        assert arrays["soc_quantiles_pct"].shape[1] == 5


def test_a_quiet_car_is_pushed_each_quarter_hour_and_no_more():
    cloud = cloud_of()
    views = Views(cloud)
    assert len(views.changed()) == 120
    assert views.changed() == []
    full = np.flatnonzero(cloud.world.plugged & (cloud.world.power_w == 0)).tolist()
    cloud.advance(EVENING + timedelta(minutes=14))
    assert not {cloud.fleet.refs[car] for car in full} & {one.vehicle_ref for one in views.changed()}
    cloud.advance(EVENING + timedelta(minutes=15))
    assert {cloud.fleet.refs[car] for car in full} <= {one.vehicle_ref for one in views.changed()}


def test_chance_depends_on_the_seed_the_fault_and_the_command_alone():
    assert draw(1, "delayed", "k") == draw(1, "delayed", "k")
    assert len({draw(1, "delayed", "k"), draw(2, "delayed", "k"), draw(1, "latency", "k")}) == 3


def test_command_latency_has_the_published_median_and_tail():
    waits_s = np.array([Chance(1, NO_FAULTS).latency_s(f"k-{number}") for number in range(4_000)])
    assert abs(np.median(waits_s) - 20) < 2
    assert abs(np.percentile(waits_s, 95) - 180) < 25
    assert min(Chance(1, {"delayed": 1.0}).latency_s(f"k-{number}") for number in range(50)) >= 300
