"""The MQTT topic names, as one table: what clients are told to subscribe to, what is published, what is allowed.

Topics under `bl/` carry everything and are for Business Logic. Topics under `vens/{venID}/` carry what that VEN may see
(MQTT-35, MQTT-36, MQTT-38). The remaining ones carry only what every client may see (MQTT-37). Ids match
[A-Za-z0-9_-], so a topic is a NATS subject with its slashes turned to dots. It is pure.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from vtn.rules.privacy import Viewer
from vtn.rules.recipients import Happening, ObjectState, Telling, told, visible
from vtn.wire.enumerations import ObjectType, Operation

EVERYONE = Viewer("", is_bl=False)
BUSINESS_LOGIC = Viewer("", is_bl=True)
PUBLISHED = (Operation.CREATE, Operation.UPDATE, Operation.DELETE)
WILDCARDS = frozenset("+#")
DELIVERIES = "$MQTT.sub.>"

Patterns = Mapping[ObjectType, tuple[str, ...]]

BL_TOPICS: Patterns = {
    ObjectType.PROGRAM: ("bl/programs", "bl/programs/{id}"),
    ObjectType.EVENT: ("bl/events", "bl/programs/{program}/events"),
    ObjectType.REPORT: ("bl/reports",),
    ObjectType.SUBSCRIPTION: ("bl/subscriptions",),
    ObjectType.VEN: ("bl/vens",),
    ObjectType.RESOURCE: ("bl/resources",),
}
SHARED_TOPICS: Patterns = {
    ObjectType.PROGRAM: ("programs", "programs/{id}"),
    ObjectType.EVENT: ("programs/{program}/events",),
}
VEN_TOPICS: Patterns = {
    ObjectType.PROGRAM: ("vens/{ven}/programs", "vens/{ven}/programs/{id}"),
    ObjectType.EVENT: ("vens/{ven}/events",),
    ObjectType.VEN: ("vens/{ven}",),
    ObjectType.RESOURCE: ("vens/{ven}/resources",),
}
ONE_OBJECT = frozenset({"bl/programs/{id}", "programs/{id}", "vens/{ven}/programs/{id}", "vens/{ven}"})


@dataclasses.dataclass(frozen=True, slots=True)
class TopicNames:
    """The topics behind one endpoint: `bl`, unless a VEN has its own (`ven`, once it has a ven) or `shared` ones."""

    bl: str
    ven: str | None = None
    shared: str | None = None

    @property
    def single(self) -> bool:
        """One object, which cannot be created again (MQTT-17)."""
        return self.bl.endswith("}")


ENDPOINTS: Mapping[str, TopicNames] = {
    "programs": TopicNames("bl/programs", "vens/{own}/programs", "programs"),
    "programs/{programID}": TopicNames(
        "bl/programs/{programID}", "vens/{own}/programs/{programID}", "programs/{programID}"
    ),
    "programs/{programID}/events": TopicNames("bl/programs/{programID}/events", shared="programs/{programID}/events"),
    "events": TopicNames("bl/events"),
    "reports": TopicNames("bl/reports"),
    "subscriptions": TopicNames("bl/subscriptions"),
    "vens": TopicNames("bl/vens"),
    "vens/{venID}": TopicNames("vens/{venID}"),
    "resources": TopicNames("bl/resources"),
    "vens/{venID}/events": TopicNames("vens/{venID}/events"),
    "vens/{venID}/programs": TopicNames("vens/{venID}/programs"),
    "vens/{venID}/resources": TopicNames("vens/{venID}/resources"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class VenAudience:
    """A ven whose client may act, and what that client may see today."""

    ven_id: str
    viewer: Viewer


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A topic, what is said on it, and as whom the object is to be viewed."""

    topic: str
    told: Telling
    viewer: Viewer


def operations(
    endpoint: str, *, is_bl: bool, own_ven_id: str | None = None, program_id: str = "", ven_id: str = ""
) -> dict[str, str]:
    """The names a topic endpoint answers: CREATE, UPDATE, DELETE and ALL; no CREATE for one object (MQTT-16..18).

    `endpoint` is its path below `/notifiers/mqtt/topics/`, as in `rules.scopes`; `own_ven_id` is the caller's ven, if
    it has one. Whether the caller may ask has been decided before.
    """
    names = ENDPOINTS[endpoint]
    pattern = names.bl if is_bl else ((names.ven if own_ven_id else None) or names.shared or names.bl)
    return _operations(names, pattern.format(own=own_ven_id, programID=program_id, venID=ven_id))


def shared_operations(endpoint: str, *, program_id: str = "") -> dict[str, str] | None:
    """The same for clients that the broker does not tell apart; None when they are told nothing of it (MQTT-07)."""
    names = ENDPOINTS[endpoint]
    return _operations(names, names.shared.format(programID=program_id)) if names.shared else None


def _operations(names: TopicNames, base: str) -> dict[str, str]:
    told_apart = [operation for operation in PUBLISHED if not (names.single and operation is Operation.CREATE)]
    return {**{str(operation): f"{base}/{operation.lower()}" for operation in told_apart}, "ALL": f"{base}/+"}


def roots(*, is_bl: bool, ven_id: str | None) -> list[str]:
    """The topics at and below which a client may listen: shared ones, and its own (MQTT-13)."""
    return ["programs", *(["bl", "vens"] if is_bl else [f"vens/{ven_id}"] if ven_id else [])]


def permissions(*, is_bl: bool, ven_id: str | None) -> list[str]:
    """The NATS subjects a client may subscribe to: its own topics and the broker's delivery subjects (MQTT-13)."""
    subjects = [root.replace("/", ".") for root in roots(is_bl=is_bl, ven_id=ven_id)]
    return [*(subject for root in subjects for subject in (root, f"{root}.>")), DELIVERIES]


def may_listen(topic_filter: str, *, is_bl: bool, ven_id: str | None) -> bool:
    """Whether an MQTT topic, or a filter with wildcards, lies at or below one of the client's roots."""
    return any(_below(root, topic_filter) for root in roots(is_bl=is_bl, ven_id=ven_id))


def is_ours(topic: str) -> bool:
    """Whether the VTN publishes on topics like this one; never on a filter."""
    return WILDCARDS.isdisjoint(topic) and may_listen(topic, is_bl=True, ven_id=None)


def _below(root: str, topic_filter: str) -> bool:
    """Level by level; a wildcard among the root's own levels would reach beyond them."""
    own = root.split("/")
    return topic_filter.split("/")[: len(own)] == own


def messages(happening: Happening, vens: Iterable[VenAudience]) -> Iterator[Message]:
    """All that is published about a happening: to Business Logic, to everyone, and to each ven that sees it."""
    kind = happening.after.kind
    for pattern in BL_TOPICS[kind]:
        yield from _said(pattern, BUSINESS_LOGIC, happening)
    for pattern in SHARED_TOPICS.get(kind, ()):
        yield from _said(pattern, EVERYONE, happening)
    for pattern in VEN_TOPICS.get(kind, ()):
        for ven in vens:
            yield from _said(pattern, ven.viewer, happening, ven.ven_id)


def _said(pattern: str, viewer: Viewer, happening: Happening, ven_id: str | None = None) -> Iterator[Message]:
    """What one audience is told on one pattern; an event moved to another program leaves a topic and enters another."""
    states = (happening.after,) if happening.before is None else (happening.before, happening.after)
    for base in dict.fromkeys(_base(pattern, state, ven_id) for state in states):

        def sees(state: ObjectState, base: str = base) -> bool:
            return _base(pattern, state, ven_id) == base and _within(state, ven_id) and visible(state, viewer)

        answer = told(happening, sees)
        if answer and pattern in ONE_OBJECT:
            answer = _of_one_object(answer, happening)
        if answer and answer.operation in PUBLISHED:
            yield Message(f"{base}/{answer.operation.lower()}", answer, viewer)


def _base(pattern: str, state: ObjectState, ven_id: str | None) -> str:
    return pattern.format(id=state.id, program=state.program_id, ven=ven_id)


def _within(state: ObjectState, ven_id: str | None) -> bool:
    """A ven and its resources are heard on that ven's topics only."""
    return ven_id is None or state.ven_id is None or state.ven_id == ven_id


def _of_one_object(answer: Telling, happening: Happening) -> Telling | None:
    """Topics of one object have no CREATE: nobody could listen before it exists, and coming into sight is an UPDATE."""
    if answer.operation is not Operation.CREATE:
        return answer
    return Telling(Operation.UPDATE, answer.state) if happening.operation is Operation.UPDATE else None
