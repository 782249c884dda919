"""What simulated cars really are: drawn from a seed, over the whole of the documented ranges, and told to nobody."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import ven_adapters
from ven_adapters.simulator.backend.cloud import Cloud
from ven_adapters.simulator.cars.enrolment import enrolments
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.cars.true_cars import EXACT, mixture
from ven_adapters.simulator.cars.world import packs_of
from ven_adapters.simulator.serve import ledger_of
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings

AFTERNOON = datetime(2026, 7, 1, 22, tzinfo=UTC)
RANGES = {
    "charge_efficiency": (0.75, 0.95),
    "discharge_efficiency": (0.85, 0.95),
    "power_share": (0.5, 1.0),
    "taper_from": (0.6, 1.0),
    "taper_end": (0.05, 0.2),
    "usable_share": (0.9, 1.1),
}


def settings(**more):
    return SimulatorSettings("ford", **({"cars": 400, "seed": 3, "starts_at": AFTERNOON, "token": "t"} | more))


FLEET = plan_fleet(settings(cars=4_000))


def test_cars_are_a_mixture_unless_something_else_is_asked_for():
    assert settings().truth == "mixture"
    assert np.unique(FLEET.truth.power_share).size == 4_000


def test_the_same_seed_draws_the_same_truths():
    first, again, other = (plan_fleet(settings(seed=seed)).truth.columns() for seed in (3, 3, 4))
    assert first == again != other


def test_the_same_cars_come_home_whatever_they_really_are():
    told = plan_fleet(settings(truth="as_told"))
    drawn = plan_fleet(settings())
    for name in ("soc_pct", "arrive_s", "declared_s", "max_charge_w", "usable_wh", "need_wh"):
        assert (getattr(told, name) == getattr(drawn, name)).all()


def test_more_nights_do_not_change_who_leaves_early_in_the_first():
    one, seven = (plan_fleet(settings(nights=nights)).truth for nights in (1, 7))
    assert (one.leaves_early_s[0] == seven.leaves_early_s[0]).all()


@pytest.mark.parametrize(("column", "bounds"), RANGES.items())
def test_the_mixture_covers_its_range_and_keeps_within_it(column, bounds):
    values, (low, high) = getattr(FLEET.truth, column), bounds
    assert low <= values.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < values.max() <= high


@pytest.mark.parametrize("topic", mixture())
def test_every_part_of_the_mixture_has_a_reason_and_its_share_of_the_cars(topic):
    drawn = FLEET.truth.parts[topic]
    for number, part in enumerate(mixture()[topic]):
        assert len(part["why"]) > 5
        assert abs((drawn == number).mean() - part["share"]) < 0.03


def test_the_data_file_gives_every_column_that_exact_truths_have():
    names = {name for parts in mixture().values() for part in parts for name, value in part.items() if name in EXACT}
    assert names == set(EXACT)


def test_one_driver_in_ten_leaves_30_to_90_minutes_early_and_nobody_before_coming_home():
    early_s = (FLEET.declared_s - FLEET.depart_s)[FLEET.depart_s < FLEET.declared_s]
    assert abs(early_s.size / FLEET.depart_s.size - 0.1) < 0.02
    assert 1_800 <= early_s.min() < early_s.max() <= 5_400
    assert (FLEET.depart_s > FLEET.arrive_s).all()


def test_what_drew_the_table_is_what_the_cars_are():
    rows = {(row["part"], row["column"]): row for row in FLEET.truth.drawn()}
    slow = rows["far below", "power_share"]
    assert slow["drawn"] == (FLEET.truth.power_share < 0.75).sum()
    assert (slow["least"], slow["of"]) == (pytest.approx(FLEET.truth.power_share.min(), abs=1e-3), 4_000)
    assert plan_fleet(settings(truth="as_told")).truth.drawn() == []


@pytest.mark.parametrize(
    ("step", "up", "told"),
    [
        (1.0, 0.0, [30, 30, 31, 34, 100]),
        (1.0, 0.5, [30, 31, 31, 35, 100]),
        (1.0, 1.0, [30, 31, 31, 35, 100]),
        (5.0, 0.0, [30, 30, 30, 30, 100]),
        (5.0, 0.5, [30, 30, 30, 35, 100]),
        (5.0, 1.0, [30, 35, 35, 35, 100]),
    ],
)
def test_levels_are_told_in_the_cars_steps_and_its_rounding(step, up, told):
    truth = plan_fleet(settings(cars=5, truth={"level_step_pct": step, "level_round_up": up})).truth
    assert truth.told_pct(np.array([30.0, 30.6, 31.0, 34.6, 100.0])).tolist() == told


@pytest.mark.parametrize("bound", [20.0, 30.0, 33.0])
def test_below_its_least_level_a_car_tells_less_than_the_bound_and_above_it_does_not(bound):
    for car in range(200):
        least_pct = FLEET.truth.least_pct(car, bound)
        told = FLEET.truth.told_pct(np.array([least_pct - 0.01, least_pct + 0.01]), np.array([car, car]))
        assert told[0] < bound <= told[1]


def test_exact_truths_are_given_by_column():
    truth = plan_fleet(settings(truth={"power_share": 0.5})).truth
    assert (set(truth.power_share), set(truth.charge_efficiency)) == ({0.5}, {EXACT["charge_efficiency"]})


@pytest.mark.parametrize("wrong", ["mixtures", {"power": 0.5}])
def test_truths_that_are_not_known_are_refused(wrong):
    with pytest.raises(KeyError, match="unknown"):
        plan_fleet(settings(truth=wrong))


def test_the_battery_is_the_true_one_and_the_charging_point_gives_the_true_power():
    packs = packs_of(FLEET)
    assert np.allclose(packs.usable_wh / FLEET.usable_wh, FLEET.truth.usable_share)
    assert np.allclose(packs.max_charge_w / FLEET.max_charge_w, FLEET.truth.power_share)


def test_cars_on_one_circuit_are_two_of_one_zone_and_one_home():
    partner, cars = FLEET.truth.partner, np.arange(4_000)
    paired = partner >= 0
    assert 0.04 < paired.mean() < 0.08
    assert (partner[partner[paired]] == cars[paired]).all()
    assert (FLEET.zone[partner[paired]] == FLEET.zone[paired]).all()
    sites = [record["site_id"] for record in enrolments(FLEET)]
    assert len(set(sites)) == 4_000 - paired.sum() // 2


def test_two_cars_on_one_circuit_never_draw_more_than_it_gives_at_any_time():
    given = settings(cars=60, nights=1, truth={"shares_circuit": 1.0})
    fleet = plan_fleet(given)
    cloud = Cloud(fleet, given.seed, NO_FAULTS, ledger_of(given, fleet))
    world, partner = cloud.world, cloud.fleet.truth.partner
    most = np.maximum(cloud.fleet.max_charge_w, cloud.fleet.max_charge_w[partner])
    shared = 0
    for minutes in range(0, 18 * 60, 7):
        now = AFTERNOON + timedelta(minutes=minutes)
        cloud.advance(now)
        drawn = np.maximum(world.power_w, 0.0)
        assert (drawn + drawn[partner] <= most + 1e-6).all()
        shared += int(((drawn > 0) & (drawn[partner] > 0)).sum())
    assert shared > 100


def test_nobody_but_the_simulator_reads_the_data_file():
    root = Path(ven_adapters.__file__).parent
    readers = [path.relative_to(root) for path in root.rglob("*.py") if "true_cars.toml" in path.read_text()]
    assert readers
    assert {path.parts[0] for path in readers} == {"simulator"}
