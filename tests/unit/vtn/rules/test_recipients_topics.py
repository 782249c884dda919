"""Topic names, what is published on them, and what clients may subscribe to."""

import dataclasses

import pytest

from vtn.rules.privacy import Viewer
from vtn.rules.recipients import Happening, ObjectState, notification
from vtn.rules.scopes import OPERATIONS
from vtn.rules.topics import (
    ENDPOINTS,
    SHARED_TOPICS,
    VenAudience,
    is_ours,
    may_listen,
    messages,
    operations,
    permissions,
    shared_operations,
)
from vtn.wire.enumerations import ObjectType as Kind
from vtn.wire.enumerations import Operation as Op

NOBODY = {"is_bl": False, "ven_id": None}
V1 = VenAudience("V1", Viewer("c1", is_bl=False, grants=frozenset({"g1"})))
V2 = VenAudience("V2", Viewer("c2", is_bl=False, grants=frozenset({"g2"})))


def event(*targets, program="P", program_targets=()):
    return ObjectState(Kind.EVENT, "E", {"id": "E", "targets": list(targets)}, None, program, None, program_targets)


def program(*targets):
    return ObjectState(Kind.PROGRAM, "P", {"id": "P", "targets": list(targets)}, program_id="P")


def said(operation, after, before=None, vens=(V1, V2)):
    found = list(messages(Happening(operation, after, before), vens))
    assert all(message.topic.rsplit("/", 1)[1] == message.told.operation.lower() for message in found)
    assert len({message.topic for message in found}) == len(found)
    return {message.topic for message in found}


def test_there_are_names_for_each_topic_endpoint_of_the_standard():
    prefix = "/notifiers/mqtt/topics/"
    assert set(ENDPOINTS) == {o.path.removeprefix(prefix) for o in OPERATIONS if o.path.startswith(prefix)}


@pytest.mark.parametrize(
    ("endpoint", "caller", "base"),
    [
        ("programs", {"is_bl": True}, "bl/programs"),
        ("programs", {"is_bl": False, "own_ven_id": "V1"}, "vens/V1/programs"),
        ("programs", {"is_bl": False}, "programs"),
        ("programs/{programID}", {"is_bl": True, "program_id": "P"}, "bl/programs/P"),
        ("programs/{programID}", {"is_bl": False, "program_id": "P", "own_ven_id": "V1"}, "vens/V1/programs/P"),
        ("programs/{programID}", {"is_bl": False, "program_id": "P"}, "programs/P"),
        ("programs/{programID}/events", {"is_bl": True, "program_id": "P"}, "bl/programs/P/events"),
        ("programs/{programID}/events", {"is_bl": False, "program_id": "P", "own_ven_id": "V1"}, "programs/P/events"),
        ("events", {"is_bl": True}, "bl/events"),
        ("reports", {"is_bl": True}, "bl/reports"),
        ("subscriptions", {"is_bl": True}, "bl/subscriptions"),
        ("vens", {"is_bl": True}, "bl/vens"),
        ("resources", {"is_bl": True}, "bl/resources"),
        ("vens/{venID}", {"is_bl": True, "ven_id": "V1"}, "vens/V1"),
        ("vens/{venID}/events", {"is_bl": False, "own_ven_id": "V1", "ven_id": "V1"}, "vens/V1/events"),
        ("vens/{venID}/programs", {"is_bl": True, "ven_id": "V1"}, "vens/V1/programs"),
        ("vens/{venID}/resources", {"is_bl": False, "own_ven_id": "V1", "ven_id": "V1"}, "vens/V1/resources"),
    ],
)
def test_each_caller_is_given_the_names_that_are_for_it(endpoint, caller, base):
    names = operations(endpoint, **caller)
    assert names["UPDATE"] == f"{base}/update"
    assert names["DELETE"] == f"{base}/delete"
    assert names["ALL"] == f"{base}/+"
    single = endpoint in {"programs/{programID}", "vens/{venID}"}
    assert names.get("CREATE") == (None if single else f"{base}/create")


def test_an_untargeted_event_goes_to_everyone():
    assert said(Op.CREATE, event()) == {
        "bl/events/create",
        "bl/programs/P/events/create",
        "programs/P/events/create",
        "vens/V1/events/create",
        "vens/V2/events/create",
    }


def test_a_targeted_event_goes_to_business_logic_and_to_the_vens_it_is_for():
    assert said(Op.CREATE, event("g1")) == {
        "bl/events/create",
        "bl/programs/P/events/create",
        "vens/V1/events/create",
    }


def test_an_untargeted_event_of_a_targeted_program_is_not_shared():
    assert said(Op.CREATE, event(program_targets=("g2",))) == {
        "bl/events/create",
        "bl/programs/P/events/create",
        "vens/V2/events/create",
    }


def test_a_retargeted_event_is_deleted_where_it_was_and_created_where_it_is_now():
    assert said(Op.UPDATE, event("g2"), event("g1")) == {
        "bl/events/update",
        "bl/programs/P/events/update",
        "vens/V1/events/delete",
        "vens/V2/events/create",
    }


def test_an_event_that_moves_between_programs_leaves_one_topic_and_enters_the_other():
    assert said(Op.UPDATE, event(program="Q"), event(program="P"), vens=()) == {
        "bl/events/update",
        "bl/programs/P/events/delete",
        "bl/programs/Q/events/create",
        "programs/P/events/delete",
        "programs/Q/events/create",
    }


def test_topics_of_one_program_have_no_create():
    assert said(Op.CREATE, program("g1")) == {"bl/programs/create", "vens/V1/programs/create"}
    assert said(Op.UPDATE, program("g1"), program("g2"), vens=(V1,)) == {
        "bl/programs/update",
        "bl/programs/P/update",
        "vens/V1/programs/create",
        "vens/V1/programs/P/update",
    }


@pytest.mark.parametrize("kind", [Kind.REPORT, Kind.SUBSCRIPTION])
def test_reports_and_subscriptions_are_published_to_business_logic_only(kind):
    state = ObjectState(kind, "X", {"objectOperations": []}, "c1", "P")
    assert said(Op.CREATE, state) == {f"bl/{kind.lower()}s/create"}


def test_a_ven_and_its_resources_are_published_to_that_ven():
    assert said(Op.UPDATE, ObjectState(Kind.VEN, "V1", {}, "c1", ven_id="V1")) == {"bl/vens/update", "vens/V1/update"}
    resource = ObjectState(Kind.RESOURCE, "R", {}, "c1", ven_id="V1")
    assert said(Op.CREATE, resource) == {"bl/resources/create", "vens/V1/resources/create"}


def test_what_a_former_owner_wrote_is_not_published_to_the_new_one():
    old = ObjectState(Kind.VEN, "V2", {}, "c1", ven_id="V2")
    assert said(Op.UPDATE, old) == {"bl/vens/update"}
    moved = dataclasses.replace(old, client_id="c2")
    assert said(Op.UPDATE, moved, old) == {"bl/vens/update", "vens/V2/update"}


def test_reads_are_never_published():
    assert said(Op.READ, event()) == set()


def test_messages_on_a_vens_topics_show_its_own_targets_only():
    found = {m.topic: m for m in messages(Happening(Op.CREATE, event("g1", "g2")), [V1, V2])}
    shown = {
        topic: notification(found[topic].told, found[topic].viewer)["targets"]
        for topic in ("vens/V1/events/create", "vens/V2/events/create", "bl/events/create")
    }
    assert list(shown.values()) == [["g1"], ["g2"], ["g1", "g2"]]


def _permitted(topic, allowed):
    subject = topic.replace("/", ".")
    return any(subject == rule or (rule.endswith(".>") and subject.startswith(rule[:-1])) for rule in allowed)


def test_clients_may_hear_exactly_the_topics_that_are_for_them():
    bl, ven, bare = (
        permissions(is_bl=True, ven_id=None),
        permissions(is_bl=False, ven_id="V1"),
        permissions(is_bl=False, ven_id=None),
    )
    for topic in ("bl/events/create", "vens/V1/events/create", "vens/V2", "programs/P/events/create"):
        assert _permitted(topic, bl)
    assert _permitted("vens/V1/events/create", ven)
    assert _permitted("programs/create", bare)
    for topic in ("vens/V2/events/create", "vens/V10/events/create", "vens", "bl/events/create", "bl"):
        assert not _permitted(topic, ven)
    assert not _permitted("vens/V1/update", bare)


@pytest.mark.parametrize("caller", [{"is_bl": True, "ven_id": None}, {"is_bl": False, "ven_id": "V1"}, NOBODY])
@pytest.mark.parametrize(
    "topic",
    ["programs/create", "programs/P/events/+", "bl/#", "vens/V1/#", "vens/V1", "vens/V10/update", "vens/V2/update"],
)
def test_an_external_broker_is_told_the_same_as_the_bundled_one(caller, topic):
    subject = topic.replace("+", "*").replace("#", ">")
    assert may_listen(topic, **caller) == _permitted(subject, permissions(**caller))


@pytest.mark.parametrize(
    "topic", ["#", "+", "+/create", "vens/#", "vens/+/events/create", "$SYS/#", "$share/g/vens/V1/#", "", "/vens/V1"]
)
def test_a_wildcard_never_reaches_beyond_what_is_a_vens_own(topic):
    assert not may_listen(topic, is_bl=False, ven_id="V1")


@pytest.mark.parametrize(
    ("topic", "ours"),
    [("bl/events/create", True), ("vens/V1/update", True), ("vens/+/update", False), ("$SYS/x", False), ("", False)],
)
def test_the_vtn_publishes_on_its_own_topics_only(topic, ours):
    assert is_ours(topic) == ours


def test_where_nobody_is_told_apart_only_shared_topics_have_names():
    named = {endpoint: shared_operations(endpoint, program_id="P") for endpoint in ENDPOINTS}
    bases = {names["ALL"].removesuffix("/+") for names in named.values() if names}
    assert bases == {base.format(id="P", program="P") for patterns in SHARED_TOPICS.values() for base in patterns}
    assert all(may_listen(base, **NOBODY) for base in bases)
    assert "CREATE" not in named["programs/{programID}"]
