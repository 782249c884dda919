"""Who is told what: tables for the cases that have names, and a brute-force oracle for all others."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtn.limits import Recent
from vtn.rules.privacy import Lens, Match, Viewer
from vtn.rules.recipients import (
    Happening,
    ObjectState,
    SubscriptionEntry,
    SubscriptionView,
    Telling,
    answers,
    concerns,
    hears_reads_of,
    notification,
    subscriber,
    told,
    view_key,
    visible,
)
from vtn.wire.enumerations import ObjectType as Kind
from vtn.wire.enumerations import Operation as Op

BL = Viewer("bl", is_bl=True)
V1 = Viewer("c1", is_bl=False, grants=frozenset({"g1"}))
ALL_OPERATIONS = frozenset({"READ", "CREATE", "UPDATE", "DELETE"})
ALL_KINDS = frozenset(kind.value for kind in Kind)


def event(*targets, program_targets=(), program="P", **content):
    return ObjectState(
        Kind.EVENT, "E", {"id": "E", "targets": list(targets), **content}, None, program, None, program_targets
    )


def who(viewer=V1, targets=None, program=None, operations=ALL_OPERATIONS, kinds=ALL_KINDS, match=Match.ANY):
    lens = Lens(frozenset(targets) if targets else None, match)
    return SubscriptionView(viewer, lens, program, (SubscriptionEntry(frozenset(kinds), frozenset(operations)),))


def hears(happening, subscriber_):
    return [(str(answer.operation), answer.state) for _, answer in answers(happening, subscriber_)]


E1, E2, E12, E0 = event("g1"), event("g2"), event("g1", "g2"), event()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (E1, E1, ("UPDATE", E1)),
        (E1, E2, ("DELETE", E1)),
        (E2, E1, ("CREATE", E1)),
        (E2, E2, None),
        (E0, E2, ("DELETE", E0)),
        (E2, E0, ("CREATE", E0)),
        (E1, event("g1", program_targets=("g2",)), ("DELETE", E1)),
        (E1, event("g1", program_targets=None), ("DELETE", E1)),
    ],
)
def test_an_update_that_leaves_sight_is_a_delete_and_one_that_enters_it_is_a_create(before, after, expected):
    heard = hears(Happening(Op.UPDATE, after, before), who())
    assert heard == ([expected] if expected else [])


@pytest.mark.parametrize("operation", [Op.CREATE, Op.DELETE, Op.READ])
def test_other_operations_are_told_as_they_are_to_those_who_see_the_object(operation):
    assert hears(Happening(operation, E1), who()) == [(operation.value, E1)]
    assert hears(Happening(operation, E2), who()) == []
    assert hears(Happening(operation, E2), who(BL)) == [(operation.value, E2)]


@pytest.mark.parametrize(
    ("viewer", "reader", "expected"),
    [
        *((BL, "c1", True), (BL, "another-bl", True), (BL, "", True), (BL, "bl", False)),
        *((V1, "c1", True), (V1, "c2", False), (V1, "bl", False), (V1, "", False)),
    ],
)
def test_business_logic_hears_of_the_reads_of_others_and_a_ven_of_its_own_only(viewer, reader, expected):
    assert hears_reads_of(reader, who(viewer)) is expected


def test_only_listed_kinds_and_operations_are_told():
    assert hears(Happening(Op.UPDATE, E1, E1), who(operations={"CREATE", "READ"})) == []
    assert hears(Happening(Op.CREATE, E1), who(kinds={"PROGRAM"})) == []
    assert hears(Happening(Op.CREATE, E1), who(operations=())) == []


def test_a_lost_object_is_told_only_to_those_who_asked_for_deletions():
    happening = Happening(Op.UPDATE, E2, E1)
    assert hears(happening, who(operations={"UPDATE"})) == []
    assert hears(happening, who(operations={"DELETE"})) == [("DELETE", E1)]


def test_each_entry_hears_what_it_asked_for():
    wishes = (
        SubscriptionEntry(frozenset({"EVENT"}), ALL_OPERATIONS),
        SubscriptionEntry(frozenset({"REPORT"}), ALL_OPERATIONS),
    )
    both = SubscriptionView(
        V1, Lens(), None, (*wishes, SubscriptionEntry(frozenset({"EVENT", "VEN"}), frozenset({"DELETE"})))
    )
    assert [entry for entry, _ in answers(Happening(Op.CREATE, E1), both)] == [0]
    assert [entry for entry, _ in answers(Happening(Op.DELETE, E1), both)] == [0, 2]


@pytest.mark.parametrize(
    ("state", "covered"),
    [
        (event("g1", program="P"), True),
        (event("g1", program="Q"), False),
        (ObjectState(Kind.PROGRAM, "P", {}, program_id="P"), True),
        (ObjectState(Kind.PROGRAM, "Q", {}, program_id="Q"), False),
        (ObjectState(Kind.REPORT, "R", {}, "c1", "P"), True),
        (ObjectState(Kind.REPORT, "R", {}, "c1", "Q"), False),
        (ObjectState(Kind.SUBSCRIPTION, "S", {}, "c1", "P"), True),
        (ObjectState(Kind.SUBSCRIPTION, "S", {}, "c1", None), False),
        (ObjectState(Kind.VEN, "V", {}, "c1"), False),
    ],
)
def test_a_program_narrows_to_itself_its_events_its_reports_and_its_subscriptions(state, covered):
    assert concerns(state, who(program="P")) is covered


def test_an_event_that_moves_to_another_program_leaves_the_subscribers_of_the_old_one():
    happening = Happening(Op.UPDATE, event("g1", program="Q"), event("g1", program="P"))
    assert [operation for operation, _ in hears(happening, who(program="P"))] == ["DELETE"]
    assert [operation for operation, _ in hears(happening, who(program="Q"))] == ["CREATE"]
    assert [operation for operation, _ in hears(happening, who())] == ["UPDATE"]


@pytest.mark.parametrize(
    ("state", "targets", "covered"),
    [
        (E1, ["g1"], True),
        (E0, ["g1"], False),
        (E1, ["zz"], False),
        (event("zz"), ["zz"], False),
        (E12, ["g2"], False),
        (ObjectState(Kind.VEN, "V", {"targets": ["g1"]}, "c1"), ["g1"], True),
        (ObjectState(Kind.VEN, "V", {"targets": ["g3"]}, "c1"), ["g1"], False),
        (ObjectState(Kind.REPORT, "R", {}, "c1", "P"), ["g1"], True),
    ],
)
def test_subscription_targets_narrow_as_query_targets_do(state, targets, covered):
    assert concerns(state, who(targets=targets)) is covered


def test_with_all_targets_wanted_an_overlap_is_not_enough():
    both = Viewer("c1", is_bl=False, grants=frozenset({"g1", "g2"}))
    assert concerns(E12, who(both, ["g1", "g2"], match=Match.ALL))
    assert not concerns(E1, who(both, ["g1", "g2"], match=Match.ALL))
    ven = ObjectState(Kind.VEN, "V", {"targets": ["g1"]}, "c1")
    assert not concerns(ven, who(both, ["g1", "g2"], match=Match.ALL))


@pytest.mark.parametrize("kind", [Kind.REPORT, Kind.SUBSCRIPTION, Kind.VEN, Kind.RESOURCE])
def test_owned_objects_are_told_to_their_owner_and_to_business_logic(kind):
    foreign = ObjectState(kind, "X", {"objectOperations": []}, "c2")
    assert not concerns(foreign, who())
    assert concerns(foreign, who(BL))
    assert concerns(dataclasses.replace(foreign, client_id="c1"), who())


def test_an_event_of_an_unknown_program_is_hidden_from_vens_only():
    orphan = event(program_targets=None)
    assert not visible(orphan, V1)
    assert visible(orphan, BL)


def test_targets_and_report_requests_of_others_are_cut_from_a_notification():
    content = {
        "id": "E",
        "targets": ["g1", "g2"],
        "reportDescriptors": [{"payloadType": "A", "targets": ["g2"]}, {"payloadType": "B", "targets": ["g1", "g2"]}],
    }
    message = notification(Telling(Op.CREATE, ObjectState(Kind.EVENT, "E", content)), V1)
    assert message == {
        "objectType": "EVENT",
        "operation": "CREATE",
        "object": {"id": "E", "targets": ["g1"], "reportDescriptors": [{"payloadType": "B", "targets": ["g1"]}]},
        "targets": ["g1"],
    }
    assert "targets" not in notification(Telling(Op.CREATE, E0), V1)


@pytest.mark.parametrize("viewer", [BL, V1, Viewer("c2", is_bl=False)])
def test_callback_tokens_never_appear_in_a_notification(viewer):
    content = {"clientID": "c1", "objectOperations": [{"callbackUrl": "https://h/", "bearerToken": "sealed:x"}]}
    message = notification(Telling(Op.CREATE, ObjectState(Kind.SUBSCRIPTION, "S", content, "c1")), viewer)
    assert message["object"]["objectOperations"][0]["bearerToken"] is None
    assert content["objectOperations"][0]["bearerToken"] == "sealed:x"


def test_a_stored_subscription_becomes_a_subscriber():
    content = {
        "programID": "P",
        "targets": ["g1"],
        "objectOperations": [{"objects": ["EVENT"], "operations": ["READ"], "callbackUrl": "https://h/"}],
    }
    made = subscriber(content, V1, Match.ALL)
    wish = SubscriptionEntry(frozenset({"EVENT"}), frozenset({"READ"}))
    assert made == SubscriptionView(V1, Lens(frozenset({"g1"}), Match.ALL), "P", (wish,))


# --- the oracle ---

LABELS = ("g1", "g2", "g3")
labels = st.sets(st.sampled_from(LABELS), max_size=3)
programs = st.sampled_from(["P", "Q"])
events = st.builds(
    lambda own, program, outer: event(*sorted(own), program=program, program_targets=tuple(sorted(outer))),
    labels,
    programs,
    labels,
)
viewers = st.builds(lambda grants: Viewer("c1", is_bl=False, grants=frozenset(grants)), labels)
TABLE = {(False, False): None, (True, False): "DELETE", (False, True): "CREATE", (True, True): "UPDATE"}


def may_see(state, viewer, asked):
    """Object privacy in the words of the standard, one target at a time."""
    shared = [target for target in state.targets if target in viewer.grants]
    inside = not state.program_targets or any(target in viewer.grants for target in state.program_targets)
    if asked is not None:
        return inside and any(target in asked for target in shared)
    return inside and (not state.targets or bool(shared))


@settings(max_examples=300)
@given(events, events, viewers, st.none() | labels.filter(bool), st.none() | programs)
def test_a_ven_never_hears_of_what_it_may_not_see(before, after, viewer, asked, program):
    saw, sees = (program in {None, state.program_id} and may_see(state, viewer, asked) for state in (before, after))
    listener = who(viewer, asked, program)

    told_of_update = hears(Happening(Op.UPDATE, after, before), listener)
    expected = TABLE[saw, sees]
    assert told_of_update == ([(expected, before if expected == "DELETE" else after)] if expected else [])
    for operation in (Op.CREATE, Op.DELETE, Op.READ):
        assert hears(Happening(operation, after), listener) == ([(operation.value, after)] if sees else [])
    for _, state in told_of_update:
        assert set(notification(Telling(Op.UPDATE, state), viewer)["object"]["targets"]) <= viewer.grants


@settings(max_examples=200)
@given(events, viewers, viewers, st.none() | labels)
def test_equal_view_keys_mean_equal_messages(state, one, other, asked):
    lens = Lens(frozenset(asked) if asked else None)
    if view_key(state, one, lens) == view_key(state, other, lens):
        answer = Telling(Op.UPDATE, state)
        assert notification(answer, one, lens) == notification(answer, other, lens)


def test_an_update_without_a_state_before_is_told_as_it_is():
    assert told(Happening(Op.UPDATE, E1), lambda _: True) == Telling(Op.UPDATE, E1)


def test_what_was_looked_at_lately_is_bounded_in_number_and_in_bytes():
    recent = Recent(most=3, most_bytes=100)
    for number in range(5):
        recent.keep(number, str(number), 10)
    assert [recent.get(number) for number in range(5)] == [None, None, "2", "3", "4"]
    recent.keep(5, "large", 95)
    assert (len(recent), recent.get(5), recent.bytes) == (1, "large", 95)
    recent.keep(5, "small", 1)
    assert (len(recent), recent.bytes) == (1, 1)
