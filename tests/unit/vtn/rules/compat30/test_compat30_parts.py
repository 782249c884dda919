"""Typed targets, side data and program fields of OpenADR 3.0.1, each there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.rules.compat30 import programs, side, targets
from vtn.rules.compat30.side import NOTHING, Side

# --- targets ---------------------------------------------------------------------------------------------------------

NAMES = st.text("abcé1 ", min_size=1, max_size=6)
TYPED = st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=4, unique=True), max_size=4).map(
    lambda groups: [{"type": name, "values": values} for name, values in groups.items()]
)


def flattened(entries):
    types, wrong = {}, []
    return targets.flatten(entries, "$.targets", types, wrong), types, wrong


def meaning(entries):
    return {(entry["type"], value) for entry in entries for value in entry["values"]}


@given(TYPED)
def test_typed_targets_come_back_with_the_same_types(entries):
    flat, types, wrong = flattened(entries)
    assert wrong == []
    assert len(flat) == len(set(flat))
    assert meaning(targets.typed(flat, types)) == meaning(entries)


@given(TYPED)
def test_what_was_shown_is_read_back_as_it_is(entries):
    flat, types, _ = flattened(entries)
    shown = targets.typed(flat, types)
    again, types_again, _ = flattened(shown)
    assert set(again) == set(flat)
    assert meaning(targets.typed(again, types_again)) == meaning(shown)


@given(st.lists(NAMES, unique=True, max_size=5))
def test_a_target_without_a_known_type_is_a_group(bare):
    assert meaning(targets.typed(bare, {})) == {("GROUP", target) for target in bare}


# --- side data -------------------------------------------------------------------------------------------------------

SIDES = st.builds(
    Side,
    st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=3),
    st.sampled_from([None, "3.0.1"]),
    st.booleans(),
)


@given(SIDES)
def test_side_data_is_read_as_it_was_written(one):
    assert side.read(side.write(one)) == one


def test_nothing_to_remember_takes_no_room():
    assert side.write(NOTHING) is None
    assert side.read(None) == NOTHING


def test_types_last_as_long_as_their_targets():
    held = Side({"a": ("G",), "b": ("H",), "c": ("I",)}, "3.0.1", http_words=True)
    content = {"targets": ["a"], "reportDescriptors": [{"targets": ["c"]}, {"targets": None}, "odd"]}
    assert side.still_applying(held, content) == Side({"a": ("G",), "c": ("I",)}, "3.0.1", http_words=True)


@pytest.mark.parametrize(
    ("through", "every", "expected"),
    [
        (["a"], False, True),
        (["b"], False, False),
        (["unknown"], False, True),
        (["a", "b"], False, True),
        (["a", "b"], True, False),
        ([], False, False),
    ],
)
def test_a_type_in_a_query_is_compared_with_types_that_were_given(through, every, expected):
    assert side.of_the_types(through, "G", {"a": ("G",), "b": ("H",)}, every=every) is expected


# --- programs --------------------------------------------------------------------------------------------------------


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **{field.name: NAMES for field in programs.FIELDS if field.holds is str and field.name != "timeZoneOffset"},
            **{field.name: st.booleans() for field in programs.FIELDS if field.holds is bool},
            "timeZoneOffset": st.sampled_from(["PT1H", "-PT7H", "PT0S"]),
        },
    )
)
def test_program_fields_survive_the_way_through_attributes(fields):
    body = {"programName": "p", **fields}
    assert programs.with_fields(programs.with_attributes(body, [])) == body


@pytest.mark.parametrize(
    "attribute",
    [
        {"type": "COUNTRY", "values": [5]},
        {"type": "COUNTRY", "values": ["US", "CA"]},
        {"type": "BINDING_EVENTS", "values": ["yes"]},
        {"type": "TIME_ZONE_OFFSET", "values": ["seven"]},
        {"type": "X_PRIVATE", "values": ["mine"]},
    ],
)
def test_an_attribute_that_no_field_can_hold_is_not_shown_and_not_lost(attribute):
    held = {"programName": "p", "attributes": [attribute, {"type": "RETAILER_NAME", "values": ["R"]}]}
    assert programs.with_fields(held) == {"programName": "p", "retailerName": "R"}
    content = programs.with_attributes({"programName": "q"}, [])
    assert programs.keeping_unseen(content, held) == {"programName": "q", "attributes": [attribute]}


def test_a_field_that_is_written_outranks_what_could_not_be_shown():
    held = {"attributes": [{"type": "COUNTRY", "values": [5]}]}
    content = programs.with_attributes({"programName": "p", "country": "US"}, [])
    assert programs.keeping_unseen(content, held)["attributes"] == [{"type": "COUNTRY", "values": ["US"]}]
