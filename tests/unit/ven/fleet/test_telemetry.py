"""Readings as columns: nothing is lost, the newest observation counts, sentinels displace nothing."""

import dataclasses
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import ChargeState, Known, Reachability, Reading, Snapshot, Validity
from ven_adapters.lifecycle.evidence import newer, usable
from ven_adapters.ven.fleet.telemetry import FIELDS, TelemetryColumns, batches

T0 = datetime(2026, 7, 15, 23, tzinfo=UTC)
ROWS = {"a": 0, "b": 1}
NAMES = ["a", "b"]
ENUMERATED = {
    **dict.fromkeys(("plugged", "at_site", "der_alarm"), Known),
    "charge_state": ChargeState,
    "reachability": Reachability,
}


def held():
    made = TelemetryColumns(ROWS.get, NAMES.__getitem__)
    made.grow(2)
    return made


def reading(value, at_s=0.0, **more):
    at = T0 + timedelta(seconds=at_s)
    return Reading(value, at, at + timedelta(seconds=2), **more)


INSTANTS = st.datetimes(datetime(2001, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


def readings_of(name):
    value = st.floats(-1e6, 1e6)
    if name in ENUMERATED:
        value = st.sampled_from(ENUMERATED[name])
    if name == "phases":
        value = st.integers(1, 3)
    built = st.builds(
        Reading, value, INSTANTS, INSTANTS, st.sampled_from(["backend", "meter"]), st.sampled_from(Validity)
    )
    return st.none() | built


SNAPSHOTS = st.fixed_dictionaries({name: readings_of(name) for name in FIELDS})


@given(SNAPSHOTS)
@settings(max_examples=100)
def test_a_snapshot_comes_back_as_it_was_told(fields):
    made, told = held(), Snapshot("a", **fields)
    made["a"] = told
    assert made["a"] == told


def test_every_field_of_a_snapshot_has_its_place():
    assert ["vehicle_ref", *FIELDS] == [field.name for field in dataclasses.fields(Snapshot)]


def test_a_car_that_told_nothing_is_not_there():
    made = held()
    assert (list(made), len(made), made.get("a"), "a" in made, "stranger" in made) == ([], 0, None, False, False)
    with pytest.raises(KeyError):
        made["a"]


def test_of_each_field_the_newest_observation_is_kept_in_whatever_order_they_come():
    made = held()
    made["a"] = Snapshot("a", soc_pct=reading(60.0, 10), power_w=reading(1.0, 5))
    made["a"] = Snapshot("a", soc_pct=reading(50.0, 5), power_w=reading(2.0, 6))
    assert (made["a"].soc_pct.value, made["a"].power_w.value) == (60.0, 2.0)


def test_a_sentinel_takes_no_readings_place_and_any_reading_takes_a_sentinels():
    made = held()
    made["a"] = Snapshot("a", soc_pct=reading(255.0, 99, validity=Validity.SENTINEL))
    assert made["a"].soc_pct.validity is Validity.SENTINEL
    made["a"] = Snapshot("a", soc_pct=reading(50.0, 1))
    made["a"] = Snapshot("a", soc_pct=reading(255.0, 200, validity=Validity.SENTINEL))
    assert made["a"].soc_pct == reading(50.0, 1)


def test_a_car_can_be_forgotten():
    made = held()
    made["a"], made["b"] = Snapshot("a", soc_pct=reading(50.0)), Snapshot("b", soc_pct=reading(60.0))
    del made["a"]
    assert list(made) == ["b"]
    made["a"] = Snapshot("a", soc_pct=reading(40.0, -100))
    assert made["a"] == Snapshot("a", soc_pct=reading(40.0, -100))


def test_some_fields_alone_can_be_asked_for():
    made = held()
    made["a"] = Snapshot("a", soc_pct=reading(50.0), limit_soc_pct=reading(80.0))
    assert made.some("a", ("limit_soc_pct", "power_w")) == Snapshot("a", limit_soc_pct=reading(80.0))
    assert made.some("b", FIELDS) == Snapshot("b")


def test_a_batch_holds_no_car_twice_and_keeps_their_order():
    told = [Snapshot(ref, soc_pct=reading(level, at)) for ref, level, at in (("a", 1, 1), ("b", 2, 1), ("a", 3, 2))]
    told.insert(1, Snapshot("stranger", soc_pct=reading(9.0)))
    found = [[one.soc_pct.value for one in batch.snapshots] for batch in batches(told, ROWS.get)]
    assert found == [[1, 2], [3]]
    assert [batch.rows.tolist() for batch in batches(told, ROWS.get)] == [[0, 1], [0]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_takes_no_readings_place_and_proves_nothing(value):
    made = held()
    made["a"] = Snapshot("a", power_w=reading(7000.0), phases=reading(3))
    made["a"] = Snapshot("a", power_w=reading(value, 60), phases=reading(value, 60))
    assert (made["a"].power_w.value, made["a"].phases.value) == (7000.0, 3)
    assert newer(reading(value, 60), T0) is usable(reading(value, 60)) is None
