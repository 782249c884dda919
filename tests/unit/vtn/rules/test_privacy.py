"""Object privacy: the truth table of targets, and laws that hold for every object and viewer."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.rules.privacy import Lens, Match, Viewer, event_visible, shown_targets, targets_visible, view
from vtn.wire.enumerations import ObjectType

BL = Viewer("bl", is_bl=True)
C1 = Viewer("c1", is_bl=False, grants=frozenset({"g1", "v1", "r1"}))
C2 = Viewer("c2", is_bl=False, grants=frozenset({"g2"}))
C3 = Viewer("c3", is_bl=False)
EVENTS = {"E0": (), "E1": ("g1",), "E12": ("g1", "g2"), "ER": ("r1",), "E9": ("g9",)}
TARGETS = st.frozensets(st.sampled_from(["g1", "g2", "g9", "r1", "v1", "x"]), max_size=4)


def asks(*targets, match=Match.ANY):
    return Lens(frozenset(targets), match)


@pytest.mark.parametrize(
    ("viewer", "lens", "expected"),
    [
        (BL, Lens(), {"E0", "E1", "E12", "ER", "E9"}),
        (C1, Lens(), {"E0", "E1", "E12", "ER"}),
        (C2, Lens(), {"E0", "E12"}),
        (C3, Lens(), {"E0"}),
        (BL, asks("g1"), {"E1", "E12"}),
        (C1, asks("g1"), {"E1", "E12"}),
        (C2, asks("g1"), set()),
        (C3, asks("g1"), set()),
        (BL, asks("g2"), {"E12"}),
        (C1, asks("g2"), set()),
        (C2, asks("g2"), {"E12"}),
        (BL, asks("g1", "g2", match=Match.ALL), {"E12"}),
        (C1, asks("g1", "g2", match=Match.ALL), {"E1", "E12"}),
        (C2, asks("g1", "g2"), {"E12"}),
        (C1, asks("v1"), set()),
        (BL, asks("g9"), {"E9"}),
        (C1, asks("g9"), set()),
        (C1, Lens(strict_query=True), {"E0"}),
    ],
)
def test_the_truth_table_of_the_requirements_holds(viewer, lens, expected):
    assert {name for name, targets in EVENTS.items() if targets_visible(targets, viewer, lens)} == expected


def test_an_event_of_a_hidden_program_is_hidden_even_when_untargeted():
    assert not event_visible((), ("g9",), C1)
    assert event_visible((), ("g1",), C1)


def test_an_event_is_judged_alone_for_a_viewer_who_does_not_look_through_programs():
    assert event_visible((), ("g9",), dataclasses.replace(C1, through_programs=False))
    assert not event_visible(("g9",), (), dataclasses.replace(C1, through_programs=False))


def test_a_targets_query_does_not_hide_events_of_an_untargeted_program():
    assert event_visible(("g1",), (), C1, asks("g1"))


@given(targets=TARGETS, grants=TARGETS, asked=st.none() | TARGETS)
def test_a_ven_is_shown_only_targets_it_was_granted_and_asked_for(targets, grants, asked):
    viewer = Viewer("c", is_bl=False, grants=grants)
    lens = Lens(asked)
    shown = shown_targets(targets, viewer, lens)
    assert shown <= grants
    assert shown <= targets
    assert asked is None or shown <= asked
    assert bool(shown) == (bool(targets) and targets_visible(targets, viewer, lens))


@given(targets=TARGETS, grants=TARGETS, more=TARGETS)
def test_more_grants_never_hide_anything(targets, grants, more):
    before = Viewer("c", is_bl=False, grants=grants)
    after = Viewer("c", is_bl=False, grants=grants | more)
    assert targets_visible(targets, after) >= targets_visible(targets, before)


def test_targets_are_cut_for_a_ven_and_whole_for_business_logic():
    event = {"id": "e", "targets": ["g1", "g9", "r1"]}
    assert view(ObjectType.EVENT, event, C1)["targets"] == ["g1", "r1"]
    assert view(ObjectType.EVENT, event, BL)["targets"] == ["g1", "g9", "r1"]
    assert event["targets"] == ["g1", "g9", "r1"]


def test_report_requests_are_cut_and_dropped_like_targets():
    event = {
        "reportDescriptors": [{"payloadType": "A", "targets": ["g1", "g9"]}, {"payloadType": "B", "targets": ["g9"]}]
    }
    assert view(ObjectType.EVENT, event, C1)["reportDescriptors"] == [{"payloadType": "A", "targets": ["g1"]}]


def test_targets_of_a_ven_object_are_never_cut():
    assert view(ObjectType.VEN, {"targets": ["g1", "zz"]}, C1)["targets"] == ["g1", "zz"]


def test_a_callback_token_is_shown_to_its_owner_only():
    content = {"clientID": "c1", "objectOperations": [{"callbackUrl": "https://a", "bearerToken": "secret"}]}
    assert view(ObjectType.SUBSCRIPTION, content, C1)["objectOperations"][0]["bearerToken"] == "secret"
    assert view(ObjectType.SUBSCRIPTION, content, BL)["objectOperations"][0]["bearerToken"] is None
