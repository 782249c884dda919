import dataclasses
import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ven_adapters.simulator.cars.car_models import MODELS
from ven_adapters.simulator.cars.enrolment import enrolments, write_enrolment
from ven_adapters.simulator.cars.fleets import COMPLETE, control_of, plan_fleet
from ven_adapters.simulator.settings import SimulatorSettings

AFTERNOON = datetime(2026, 7, 1, 22, tzinfo=UTC)
BRANDS = list(MODELS)
AS_TOLD = {"truth": "as_told"}


def settings(brand="bmw", **more):
    return SimulatorSettings(
        brand, **({"cars": 400, "seed": 3, "starts_at": AFTERNOON, "token": "t", **AS_TOLD} | more)
    )


FLEETS = {brand: plan_fleet(settings(brand, cars=2_000)) for brand in BRANDS}


@pytest.mark.parametrize("brand", BRANDS)
def test_the_same_seed_draws_the_same_bytes(brand):
    again = [plan_fleet(settings(brand)).digest() for _ in range(2)]
    assert again[0] == again[1] != plan_fleet(settings(brand, seed=4)).digest()


def test_more_nights_do_not_change_the_first():
    one, seven = plan_fleet(settings(nights=1)), plan_fleet(settings(nights=7))
    assert (one.arrive_s[0] == seven.arrive_s[0]).all()
    assert (one.depart_s[0] == seven.depart_s[0]).all()
    assert (one.soc_pct == seven.soc_pct).all()


def test_fleets_of_two_brands_are_drawn_apart():
    assert (FLEETS["bmw"].need_wh != FLEETS["ford"].need_wh).all()


@pytest.mark.parametrize("brand", BRANDS)
def test_half_of_the_cars_stand_in_each_zone(brand):
    assert np.bincount(FLEETS[brand].zone).tolist() == [1_000, 1_000]


@pytest.mark.parametrize("brand", BRANDS)
def test_the_statistics_are_the_published_ones(brand):
    fleet = FLEETS[brand]
    assert abs(fleet.need_wh.mean() - 1.7 * 9_250) < 500
    assert abs(fleet.away.mean() - 0.1) < 0.01
    assert abs(fleet.plugs_in.mean() - 0.9) < 0.01
    assert abs(fleet.opted_out.mean() - 0.03) < 0.015
    weekday_h = fleet.arrive_s[0] / 3_600
    assert 17.4 < weekday_h.mean() < 18.4
    assert abs(fleet.ready_by_s[0].mean() / 3_600 - 7.4) < 0.3


@pytest.mark.parametrize("brand", BRANDS)
def test_no_car_draws_more_than_its_charging_point_or_itself_allows(brand):
    assert set(np.unique(FLEETS[brand].voltage_v)) <= {120, 240}
    assert FLEETS[brand].max_charge_w.max() <= 48 * 240


@pytest.mark.parametrize("brand", BRANDS)
def test_nobody_leaves_before_the_declared_time_or_before_coming_home(brand):
    fleet = FLEETS[brand]
    assert (fleet.depart_s >= fleet.declared_s).all()
    assert (fleet.depart_s > fleet.arrive_s).all()
    assert (fleet.arrive_s[1:] > fleet.depart_s[:-1]).all()


def test_declared_departures_follow_the_local_weekday_over_a_change_of_clocks():
    fleet = plan_fleet(settings(starts_at=datetime(2026, 10, 31, 22, tzinfo=UTC), nights=2))
    zone = ZoneInfo("America/Los_Angeles")
    for night, weekday in ((0, 6), (1, 0)):
        when = datetime.fromtimestamp(fleet.midnight.timestamp() + fleet.declared_s[night, 0], zone)
        seconds = (when - when.replace(hour=0, minute=0)).total_seconds()
        assert (when.weekday(), seconds) == (weekday, fleet.ready_by_s[weekday, 0])


def test_a_third_of_the_leafs_can_feed_the_grid_and_some_lack_a_paper():
    fleet = FLEETS["nissan"]
    leaf = np.array([model.name.startswith("LEAF") for model in MODELS["nissan"]])[fleet.model]
    two_way = fleet.max_discharge_w > 0
    assert abs(leaf.mean() - 0.6) < 0.05
    assert abs(two_way[leaf].mean() - 0.35) < 0.05
    assert not two_way[~leaf].any()
    assert abs((fleet.papers[two_way] == COMPLETE).mean() - 0.8) < 0.08


@pytest.mark.parametrize("brand", ["bmw", "ford", "honda"])
def test_no_other_brand_can_feed_the_grid(brand):
    assert not FLEETS[brand].max_discharge_w.any()


def test_every_enrolment_has_the_agreed_members():
    for record in enrolments(FLEETS["nissan"]):
        assert set(record) == {
            "vehicle_ref", "zone", "site_id", "timezone", "charging_consent", "discharge_consent", "permission",
            "preferences", "discharge_budget", "opted_out",
        }  # fmt: skip
        assert list(record["preferences"]["ready_by"]) == ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        assert 70 <= record["preferences"]["target_soc_pct"] <= 100
        assert 20 <= record["preferences"]["reserve_soc_pct"] <= 40


def test_discharge_papers_are_complete_exactly_where_the_fleet_says_so():
    fleet = FLEETS["nissan"]
    for car, record in enumerate(enrolments(fleet)):
        permission = record["permission"]
        valid = permission is not None and permission["valid_until"] > "2027"
        complete = bool(record["discharge_consent"] and valid and record["discharge_budget"])
        assert complete == (fleet.max_discharge_w[car] > 0 and fleet.papers[car] == COMPLETE)


def test_the_enrolment_file_has_one_line_per_car(tmp_path):
    fleet = FLEETS["bmw"]
    write_enrolment(fleet, tmp_path / "bmw.jsonl")
    lines = (tmp_path / "bmw.jsonl").read_text().splitlines()
    assert [json.loads(line)["vehicle_ref"] for line in lines] == list(fleet.refs)
    assert [path.name for path in tmp_path.iterdir()] == ["bmw.jsonl"]


def test_every_kind_of_control_occurs_where_it_belongs():
    found = {brand: {control_of(FLEETS[brand], car) for car in range(2_000)} for brand in BRANDS}
    assert found == {
        "bmw": {"amp_list"},
        "ford": {"amp_range", "schedule_only"},
        "honda": {"target_only"},
        "nissan": {"start_only", "charger", "bidirectional", "stop_once"},
        "tesla": {"amp_range"},
        "smartcar": {"charger"},
        "enode": {"charger"},
    }


def test_settings_do_not_show_the_token():
    assert "hush" not in repr(dataclasses.replace(settings(), token="hush"))
