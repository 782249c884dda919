"""The read model: whatever it indexes, it answers what a walk over all objects would answer."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtn.rules import privacy
from vtn.rules.privacy import Lens, Match
from vtn.storage.ports import Change, Record
from vtn.storage.read_model import Filter, ReadModel
from vtn.storage.views import indexed
from vtn.wire import document
from vtn.wire.enumerations import ObjectType, Operation

AT = "2026-07-15T16:00:00.000000Z"
TARGETS = st.lists(st.sampled_from(["g1", "g2", "r1"]), max_size=2, unique=True)
BL, VEN = ("bl", True), ("c1", False)


def record(kind, object_id, targets=(), **columns):
    content = {
        "id": object_id,
        "targets": list(targets),
        **({"clientID": columns["client_id"]} if "client_id" in columns else {}),
    }
    return Record(kind, object_id, columns.pop("created", AT), AT, document.render(content), **columns)


def program(name, targets=()):
    return record(ObjectType.PROGRAM, name, targets, name=name)


def event(name, targets=(), of="p0", created=AT):
    return record(ObjectType.EVENT, name, targets, program_id=of, created=created)


class World:
    def __init__(self, **settings) -> None:
        self.model = ReadModel(**settings)
        self.held = {}

    def say(self, operation, what):
        self.model.apply([Change(self.model.seq + 1, AT, operation, what)])
        if operation is Operation.DELETE:
            self.held.pop(what.id, None)
        else:
            self.held[what.id] = what
        return self

    def search(self, kind, who, lens=privacy.EVERYTHING, **narrow):
        viewer = self.model.viewer(who[0], is_bl=who[1])
        return [document.parse(body) for body in self.model.search(kind, viewer, lens, Filter(**narrow))]


def granted(*targets, **settings):
    world = World(**settings)
    world.say(Operation.CREATE, record(ObjectType.VEN, "v1", targets, client_id="c1", name="v1"))
    return world.say(Operation.CREATE, program("p0"))


@settings(max_examples=120)
@given(
    ven=TARGETS,
    resource=TARGETS,
    programs=st.lists(TARGETS, min_size=1, max_size=3),
    events=st.lists(st.tuples(TARGETS, st.integers(0, 2), st.integers(0, 3)), max_size=8),
    gone=st.sets(st.integers(0, 7)),
    asked=st.none() | st.sets(st.sampled_from(["g1", "g2", "zz"]), min_size=1),
    match=st.sampled_from(Match),
    who=st.sampled_from([BL, VEN, ("nobody", False)]),
)
def test_the_indexes_answer_what_a_walk_over_everything_answers(
    *, ven, resource, programs, events, gone, asked, match, who
):
    world = World()
    world.say(Operation.CREATE, record(ObjectType.VEN, "v1", ven, client_id="c1", name="v1"))
    world.say(Operation.CREATE, record(ObjectType.RESOURCE, "r", resource, client_id="c1", name="r", ven_id="v1"))
    for number, targets in enumerate(programs):
        world.say(Operation.CREATE, program(f"p{number}", targets))
    for number, (targets, of, second) in enumerate(events):
        created = f"2026-07-15T16:00:0{second}.000000Z"
        world.say(Operation.CREATE, event(f"e{number}", targets, f"p{of % len(programs)}", created))
    for number in gone:
        if f"e{number}" in world.held:
            world.say(Operation.DELETE, world.held[f"e{number}"])
    lens = Lens(frozenset(asked) if asked else None, match)
    viewer = world.model.viewer(who[0], is_bl=who[1])
    targets_of = {name: document.parse(held.body)["targets"] for name, held in world.held.items()}
    expected = [
        held.id
        for held in sorted(world.held.values(), key=lambda held: (held.created, held.id))
        if held.kind is ObjectType.EVENT
        and privacy.event_visible(targets_of[held.id], targets_of[held.program_id], viewer, lens)
    ]
    assert [found["id"] for found in world.search(ObjectType.EVENT, who, lens)] == expected


def test_grants_are_those_of_the_ven_and_of_its_resources_and_change_at_once():
    world = granted("g1")
    r1 = record(ObjectType.RESOURCE, "r", ["r1"], client_id="c1", name="r", ven_id="v1")
    assert world.say(Operation.CREATE, r1).model.grants("c1") == {"g1", "r1"}
    world.say(Operation.UPDATE, record(ObjectType.VEN, "v1", ["g2"], client_id="c1", name="v1"))
    assert world.model.grants("c1") == {"g2", "r1"}
    assert world.say(Operation.DELETE, r1).model.grants("c1") == {"g2"}


def test_a_page_is_cut_after_privacy_and_filters():
    world = granted("g1")
    for number in range(10):
        world.say(Operation.CREATE, event(f"e{number}", ["g1"] if number % 2 else ["hidden"]))
    found = world.search(ObjectType.EVENT, VEN, skip=1, limit=3)
    assert [one["id"] for one in found] == ["e3", "e5", "e7"]


def test_an_answer_for_a_ven_shows_only_targets_it_was_granted():
    world = granted("g1").say(Operation.CREATE, event("e", ["g1", "secret"]))
    assert world.search(ObjectType.EVENT, VEN)[0]["targets"] == ["g1"]
    assert world.search(ObjectType.EVENT, BL)[0]["targets"] == ["g1", "secret"]


def test_two_vens_are_shown_each_its_own_targets_of_one_event():
    world = granted("g1").say(Operation.CREATE, record(ObjectType.VEN, "v2", ["g2"], client_id="c2", name="v2"))
    world.say(Operation.CREATE, event("e", ["g1", "g2"]))
    assert world.search(ObjectType.EVENT, VEN)[0]["targets"] == ["g1"]
    assert world.search(ObjectType.EVENT, ("c2", False))[0]["targets"] == ["g2"]


def test_a_gap_in_the_log_is_not_jumped_over():
    model = ReadModel()
    model.apply([Change(1, AT, Operation.CREATE, program("p0")), Change(3, AT, Operation.CREATE, program("p2"))])
    assert model.seq == 1
    model.apply([Change(n, AT, Operation.CREATE, program(f"p{n - 1}")) for n in (1, 2, 3)])
    assert model.seq == 3
    assert len(list(model.every(ObjectType.PROGRAM))) == 3


@pytest.mark.parametrize(("now", "active"), [("2026-07-15T16:30:00Z", True), ("2026-07-15T17:30:00Z", False)])
def test_an_event_that_is_over_is_not_active(now, active):
    world = granted()
    body = {
        "id": "e",
        "createdDateTime": AT,
        "modificationDateTime": AT,
        "objectType": "EVENT",
        "programID": "p0",
        "intervalPeriod": {"start": "2026-07-15T16:00:00Z", "duration": "PT1H"},
        "intervals": [{"id": 0, "payloads": []}],
    }
    world.say(Operation.CREATE, Record(ObjectType.EVENT, "e", AT, AT, document.render(body), program_id="p0"))
    for at in ("2026-07-15T15:00:00Z", now):
        found = world.search(ObjectType.EVENT, BL, active_at=datetime.fromisoformat(at).astimezone(UTC))
    assert bool(found) is active


@pytest.mark.parametrize("extension", [[1], "text", 7, {"a": 1}, [{"targets": 5}]])
@pytest.mark.parametrize("kind", [kind for kind in ObjectType if kind is not ObjectType.EVENT])
def test_an_extension_with_the_name_of_an_events_field_stops_nothing(kind, extension):
    content = {"id": "o1", "clientID": "c1", "objectOperations": [], "targets": [], "reportDescriptors": extension}
    world = World().say(Operation.CREATE, Record(kind, "o1", AT, AT, document.render(content), client_id="c1"))
    assert world.model.seq == 1
    shown = privacy.view(kind, content, world.model.viewer("c1", is_bl=False))
    assert shown["reportDescriptors"] == extension


def test_the_views_of_objects_are_bounded_in_bytes_however_many_are_asked_for():
    labels = [f"g{n}" for n in range(8)]
    world = granted(*labels, views_bytes=100_000)
    for number in range(5):
        world.say(Operation.CREATE, event(f"e{number}", [*labels, "x" * 1_000]))
    for number in range(1, 256):
        asked = frozenset(label for bit, label in enumerate(labels) if number >> bit & 1)
        found = world.search(ObjectType.EVENT, VEN, Lens(asked))
        assert [set(e["targets"]) for e in found] == [asked] * 5
        assert 0 < world.model.views_bytes <= 100_000


def test_a_view_is_that_of_the_version_it_was_made_of():
    world = granted("g1").say(Operation.CREATE, event("e1", ["g1", "secret"]))
    assert world.search(ObjectType.EVENT, VEN)[0]["targets"] == ["g1"]
    world.say(Operation.UPDATE, event("e1", ["g1", "secret", "g1"]))
    assert world.search(ObjectType.EVENT, VEN)[0]["targets"] == ["g1", "g1"]


@given(st.lists(st.sampled_from(["g1", "secret", '"', "[", "\u20ac"]), max_size=4), st.booleans())
def test_an_object_is_found_by_the_same_targets_whether_or_not_it_was_parsed(labels, deep):
    content = {"id": "e", "x": {"targets": ["not mine"]} if deep else '"targets":["not mine"]', "targets": labels}
    record = Record(ObjectType.PROGRAM, "e", AT, AT, document.render(content))
    assert (indexed(record).get("targets") or []) == labels
