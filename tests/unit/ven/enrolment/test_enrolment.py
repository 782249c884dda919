"""Enrolment files: read strictly, every fault named with its line, nothing granted by default."""

import dataclasses
import json
from datetime import UTC, datetime, time

import pytest
from enrolment_cases import CAR

from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.ven.enrolment.files import Unreadable, eligible, read_enrolments
from ven_adapters.ven.fleet.fleet import DischargeBudget, EventCaps, Permission


def written(tmp_path, *cars, name="cars.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(car if isinstance(car, str) else json.dumps(car) for car in cars))
    return path


def with_value(path, value):
    """CAR with one value replaced, or removed when it is ..."""
    *sections, key = path.split(".")
    car = json.loads(json.dumps(CAR))
    node = car
    for section in sections:
        node = node[section]
    if value is ...:
        del node[key]
    else:
        node[key] = value
    return car


def test_every_field_of_a_line_is_read(tmp_path):
    (car,) = read_enrolments([written(tmp_path, CAR)])
    assert (car.vehicle_ref, car.zone, car.site_id, car.timezone) == (
        "bmw-0001",
        "bay",
        "home-0001",
        "America/Los_Angeles",
    )
    assert car.ready_by == (time(7, 30), None, None, None, None, None, time(9, 0))
    assert (car.target_soc_pct, car.reserve_soc_pct, car.opted_out) == (80.0, 30.0, False)
    assert (car.charging_consent, car.discharge_consent) == (True, True)
    assert car.permission == Permission("IC-1", 7000, datetime(2027, 1, 1, tzinfo=UTC), "UL1741-SB")
    assert car.discharge_budget == DischargeBudget(12000, 600000, 50.0)


@pytest.mark.parametrize("field", ["discharge_consent", "permission", "discharge_budget", "charging_consent"])
@pytest.mark.parametrize("value", [None, ...])
def test_what_is_not_on_file_is_refused_and_never_granted(tmp_path, field, value):
    (car,) = read_enrolments([written(tmp_path, with_value(field, value))])
    assert not getattr(car, field)


def test_the_programs_that_a_line_names_are_read_and_none_where_it_names_none(tmp_path):
    named = {**CAR, "vehicle_ref": "bmw-0002", "programs": ["CA-EV2A", "evening"]}
    cars = read_enrolments([written(tmp_path, CAR, named, {**CAR, "vehicle_ref": "bmw-0003", "programs": None})])
    assert [car.programs for car in cars] == [(), ("CA-EV2A", "evening"), ()]


@pytest.mark.parametrize("value", [[], ["x"] * 9, "evening", [""], [7], {"a": 1}])
def test_programs_that_are_no_list_of_names_are_refused(tmp_path, value):
    with pytest.raises(Unreadable, match=r"cars\.jsonl:1: programs: must be a list of 1 to 8 names"):
        read_enrolments([written(tmp_path, {**CAR, "programs": value})])


def test_only_cars_whose_drivers_agreed_are_eligible(tmp_path):
    cars = read_enrolments([written(tmp_path, CAR, {**CAR, "vehicle_ref": "bmw-0002", "charging_consent": None})])
    assert [car.vehicle_ref for car in eligible(cars)] == ["bmw-0001"]


FAULTS = [
    ("vehicle_ref", "WBA3A5C50CF256789", "vehicle_ref: must be a pseudonym"),
    ("vehicle_ref", "", "vehicle_ref: must be a pseudonym"),
    ("zone", 7, "zone: must be a text"),
    ("vehicle_ref", "1hgcm82633a004352", "vehicle_ref: must be a pseudonym"),
    ("zone", "a\0b", "zone: must be a text"),
    ("timezone", "Mars/Olympus", "timezone: must be an IANA time zone"),
    ("timezone", "America", "timezone: must be an IANA time zone"),
    ("charging_consent.agreed_at", "2026-01-05", "charging_consent.agreed_at: must be a date-time"),
    ("charging_consent.agreed_at", "9999-12-31T23:59:59-14:00", "charging_consent.agreed_at: must be a date-time"),
    ("permission.valid_until", "0001-01-01T00:00:00+14:00", "permission.valid_until: must be a date-time"),
    ("charging_consent.version", ..., "charging_consent.version: must be a text"),
    ("discharge_consent", True, "discharge_consent: must be an object or null"),
    ("permission.export_limit_w", -1, "permission.export_limit_w: must be a whole number of watts"),
    ("permission.export_limit_w", 7000.5, "permission.export_limit_w: must be a whole number of watts"),
    ("permission.valid_until", "soon", "permission.valid_until: must be a date-time"),
    ("preferences.ready_by", {"mon": "7:30"}, "preferences.ready_by: must map mon..sun"),
    ("preferences.ready_by", {"monday": "07:30"}, "preferences.ready_by: must map mon..sun"),
    ("preferences.target_soc_pct", 101, "preferences.target_soc_pct: must be a number from 0 to 100"),
    ("preferences.reserve_soc_pct", True, "preferences.reserve_soc_pct: must be a number"),
    ("discharge_budget.max_year_wh", "many", "discharge_budget.max_year_wh: must be a whole number"),
    ("opted_out", None, "opted_out: must be true or false"),
    ("vin", "x", "vin: is not known"),
]


@pytest.mark.parametrize(("path", "value", "says"), FAULTS)
def test_a_fault_is_named_with_its_line_and_field(tmp_path, path, value, says):
    file = written(tmp_path, CAR, with_value(path, value) | ({} if path == "vehicle_ref" else {"vehicle_ref": "bmw-2"}))
    with pytest.raises(Unreadable) as refused:
        read_enrolments([file])
    assert refused.value.faults[0].startswith(f"{file}:2: {says}")


def test_all_faults_of_all_files_are_named_at_once(tmp_path):
    first = written(tmp_path, "{", {**CAR, "zone": 1, "opted_out": 2}, name="a.jsonl")
    second = written(tmp_path, CAR, CAR, name="b.jsonl")
    with pytest.raises(Unreadable) as refused:
        read_enrolments([first, second, tmp_path / "missing.jsonl"])
    assert [fault.split(": ")[1] for fault in refused.value.faults] == [
        "is not a JSON object",
        "zone",
        "opted_out",
        "vehicle_ref",
        "cannot be read",
    ]


def test_a_simulated_fleets_file_is_read_whole(tmp_path):
    starts_at = datetime(2026, 7, 15, 22, tzinfo=UTC)
    fleet = plan_fleet(SimulatorSettings("nissan", 60, 7, starts_at, token="t", truth="as_told"))
    path = tmp_path / "fleet.jsonl"
    write_enrolment(fleet, path)
    cars = read_enrolments([path])
    assert [car.vehicle_ref for car in cars] == list(fleet.refs)
    assert all(dataclasses.asdict(car)["charging_consent"] for car in cars)


def test_the_caps_of_a_drivers_patience_are_read_and_none_where_a_line_has_none(tmp_path):
    named = {**CAR, "vehicle_ref": "bmw-0002", "patience": {"events_per_day": 1, "hours_per_week": 4}}
    none = {**CAR, "vehicle_ref": "bmw-0003", "patience": None}
    cars = read_enrolments([written(tmp_path, CAR, named, none)])
    assert [car.patience for car in cars] == [None, EventCaps(1, 4.0), None]


def test_every_fault_of_the_caps_is_named_with_its_rule(tmp_path):
    wrong = {"events_per_day": 1.5, "hours_per_week": 169, "hours_per_season": True, "consecutive_days": -1, "weeks": 1}
    with pytest.raises(Unreadable) as caught:
        read_enrolments([written(tmp_path, {**CAR, "patience": wrong}, {**CAR, "patience": 3})])
    said = "\n".join(caught.value.faults)
    for rule in (
        "patience.weeks: is not known",
        "patience.events_per_day: must be a whole number from 0 to 48, or null",
        "patience.hours_per_week: must be a number from 0 to 168, or null",
        "patience.hours_per_season: must be a number from 0 to 4464, or null",
        "patience.consecutive_days: must be a whole number from 0 to 366, or null",
        "patience: must be an object or null",
    ):
        assert rule in said
