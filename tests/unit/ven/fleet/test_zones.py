"""Zones, groups and what is said of them: no group is smaller than agreed, and nothing is lost by joining."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.ven.fleet.zones import Capacity, merge_zones

NOBODY = dict[str, None]()


def test_a_zone_that_is_large_enough_stands_for_itself():
    assert merge_zones({"bay": 10, "la": 30}, NOBODY, 10) == {"bay": "bay", "la": "la"}


def test_a_small_zone_joins_its_parent():
    cars = {"bay": 9, "norcal": 12, "la": 40}
    assert merge_zones(cars, {"bay": "norcal"}, 10)["bay"] == "norcal"


def test_a_small_zone_without_a_parent_that_has_cars_joins_the_largest():
    assert merge_zones({"bay": 9, "la": 40, "sd": 12}, {"bay": "norcal"}, 10)["bay"] == "la"


def test_small_zones_join_until_all_groups_are_large_enough():
    assert set(merge_zones({"a": 4, "b": 4, "c": 4}, {"a": "b"}, 10).values()) == {"b"}


def test_too_few_cars_in_all_form_no_group():
    assert merge_zones({"bay": 4, "la": 5}, NOBODY, 10) == {}
    assert merge_zones({}, NOBODY, 10) == {}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), max_size=6),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef"), max_size=6),
    st.integers(1, 25),
)
@settings(max_examples=150)
def test_no_group_is_ever_smaller_than_agreed_whatever_the_parents(cars, parents, smallest):
    group = merge_zones(cars, parents, smallest)
    sizes = {name: sum(cars[zone] for zone in cars if group.get(zone) == name) for name in group.values()}
    assert all(size >= smallest for size in sizes.values())
    assert group.keys() == (cars.keys() if sum(cars.values()) >= smallest else set())


@pytest.mark.parametrize(("kw", "told"), [(123.456, 123.5), (0.0, 0.0)])
def test_a_group_tells_two_rounded_sums_and_nothing_else(kw, told):
    assert Capacity(kw, kw / 2).attributes() == [
        {"type": "MAX_POWER_CONSUMPTION", "values": [told]},
        {"type": "MAX_POWER_EXPORT", "values": [round(kw / 2, 1)]},
    ]
