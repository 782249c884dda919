"""Every kind of object, from 3.0.1 to 3.1 and back, and the notifications that carry them.

`read` gives a body for `rules.admission`, which judges it as ever; what only 3.0.1 demands is a fault here. `show`
gives what 3.0.1 clients know and strips what they do not. Which version a subscriber is told in stands in the side data
of its subscription.
"""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from vtn.errors import MOST_FAULTS, Fault, FaultList
from vtn.rules import recipients
from vtn.rules.compat30 import events, periods, programs, targets
from vtn.rules.compat30.side import V301, Side, Types
from vtn.rules.compat30.side import read as read_side
from vtn.rules.privacy import Lens, Viewer
from vtn.rules.recipients import SubscriptionView, Telling
from vtn.wire import document
from vtn.wire.enumerations import ObjectType, Operation

Json = dict[str, Any]
Typing = dict[str, tuple[str, ...]]

HTTP_WORDS = {
    Operation.READ: "GET",
    Operation.CREATE: "POST",
    Operation.UPDATE: "PUT",
    Operation.DELETE: "DELETE",
}
CRUD_WORDS = {word: str(operation) for operation, word in HTTP_WORDS.items()}
ONLY_HTTP = frozenset(CRUD_WORDS) - {"DELETE"}

CONSTANTS = {
    (ObjectType.VEN, True): "BL_VEN_REQUEST",
    (ObjectType.VEN, False): "VEN_VEN_REQUEST",
    (ObjectType.RESOURCE, True): "BL_RESOURCE_REQUEST",
    (ObjectType.RESOURCE, False): "VEN_RESOURCE_REQUEST",
}
NOT_OF_BL = frozenset({"clientID", "resources"})
OF_NO_PROGRAM = frozenset({ObjectType.VEN, ObjectType.RESOURCE})


@dataclasses.dataclass(frozen=True, slots=True)
class Inward:
    """A 3.0.1 body as 3.1 would have it, what to remember beside it, and what 3.0.1 finds wrong with it."""

    content: Any
    types: Types = dataclasses.field(default_factory=dict)
    http_words: bool = False
    faults: tuple[Fault, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Around:
    """What an object's 3.0.1 form takes from elsewhere: the present, and a report's program."""

    now: datetime
    program_id: str | None = None


# --- in ------------------------------------------------------------------------------------------------------------


def read(kind: ObjectType, body: Any, *, is_bl: bool, most_faults: int = MOST_FAULTS) -> Inward:
    """A request body of 3.0.1; one that is no object is left for admission to refuse. Rejected at so many faults."""
    if not isinstance(body, dict):
        return Inward(body)
    types: Typing = {}
    faults = FaultList(most_faults)
    own = _of_role(kind, body, faults, is_bl=is_bl) if (kind, is_bl) in CONSTANTS else body
    content = READERS[kind](own, types, faults)
    return Inward(content, types, _says_http(kind, body), tuple(faults))


def _of_role(kind: ObjectType, body: Json, faults: list[Fault], *, is_bl: bool) -> Json:
    """The shape that the writer's role has on 3.1: 3.0.1 knows no owner, and a VEN's targets are not its to give."""
    if body.get("objectType") not in (None, kind.value):
        faults.append(Fault("$.objectType", f"must be {kind}"))
    others = NOT_OF_BL if is_bl else NOT_OF_BL | {"targets"}
    shaped = {key: value for key, value in body.items() if key not in others}
    return {**shaped, "objectType": CONSTANTS[kind, is_bl]}


def _program(body: Json, types: Typing, faults: list[Fault]) -> Json:
    flat = targets.with_flat(programs.with_attributes(body, faults), "$", types, faults)
    return periods.read_periods(flat, (), faults)


def _report(body: Json, _types: Typing, faults: list[Fault]) -> Json:
    _require_program(body, faults)
    return periods.read_periods(body, periods.RESOURCES, faults)


def _subscription(body: Json, types: Typing, faults: list[Fault]) -> Json:
    _require_program(body, faults)
    content = targets.with_flat(body, "$", types, faults)
    entries = content.get("objectOperations")
    return {**content, "objectOperations": list(map(_crud, entries))} if isinstance(entries, list) else content


def _owned(body: Json, types: Typing, faults: list[Fault]) -> Json:
    return targets.with_flat(body, "$", types, faults)


def _require_program(body: Json, faults: list[Fault]) -> None:
    if not isinstance(body.get("programID"), str):
        faults.append(Fault("$.programID", "is required"))


def _crud(entry: Any) -> Any:
    """An entry of a subscription whose operations are 3.1's words; both spellings are in use on 3.0.1."""
    words = entry.get("operations") if isinstance(entry, dict) else None
    return {**entry, "operations": list(map(_word, words))} if isinstance(words, list) else entry


def _word(word: Any) -> Any:
    return CRUD_WORDS.get(word, word) if isinstance(word, str) else word


def _says_http(kind: ObjectType, body: Json) -> bool:
    entries = body.get("objectOperations") if kind is ObjectType.SUBSCRIPTION else None
    for entry in entries if isinstance(entries, list) else ():
        words = entry.get("operations") if isinstance(entry, dict) else None
        if isinstance(words, list) and any(isinstance(word, str) and word in ONLY_HTTP for word in words):
            return True
    return False


READERS: Mapping[ObjectType, Callable[[Json, Typing, list[Fault]], Json]] = {
    ObjectType.PROGRAM: _program,
    ObjectType.EVENT: events.read_event,
    ObjectType.REPORT: _report,
    ObjectType.SUBSCRIPTION: _subscription,
    ObjectType.VEN: _owned,
    ObjectType.RESOURCE: _owned,
}


# --- out -----------------------------------------------------------------------------------------------------------


def show(kind: ObjectType, content: Mapping[str, Any], side: Side, around: Around) -> Json:
    """A stored object, as a client may read it on 3.1, in the words of 3.0.1."""
    known = {key: value for key, value in content.items() if key != "clientID"}
    return SHOWERS[kind](known, side, around)


def _shown_program(content: Json, side: Side, _around: Around) -> Json:
    return targets.with_typed(periods.show_periods(programs.with_fields(content), ()), side.types)


def _shown_event(content: Json, side: Side, around: Around) -> Json:
    return events.show_event(content, side, around.now)


def _shown_report(content: Json, _side: Side, around: Around) -> Json:
    return {**periods.show_periods(content, periods.RESOURCES), "programID": around.program_id}


def _shown_subscription(content: Json, side: Side, _around: Around) -> Json:
    """Each entry has its `bearerToken`, null or not: a client in use cannot read one without."""
    entries = [{"bearerToken": None, **entry} for entry in content["objectOperations"]]
    if side.http_words:
        entries = [{**one, "operations": [HTTP_WORDS[Operation(w)] for w in one["operations"]]} for one in entries]
    return targets.with_typed({**content, "objectOperations": entries}, side.types)


def _shown_ven(content: Json, side: Side, _around: Around) -> Json:
    """A ven by itself: the `resources` that 3.0.1 has inside it are objects of their own."""
    return targets.with_typed({key: value for key, value in content.items() if key != "resources"}, side.types)


def _shown_resource(content: Json, side: Side, _around: Around) -> Json:
    return targets.with_typed(content, side.types)


SHOWERS: Mapping[ObjectType, Callable[[Json, Side, Around], Json]] = {
    ObjectType.PROGRAM: _shown_program,
    ObjectType.EVENT: _shown_event,
    ObjectType.REPORT: _shown_report,
    ObjectType.SUBSCRIPTION: _shown_subscription,
    ObjectType.VEN: _shown_ven,
    ObjectType.RESOURCE: _shown_resource,
}


def notification(message: Mapping[str, Any], side: Side, around: Around) -> Json:
    """A 3.1 notification in the words of 3.0.1; `side` is that of the object it carries."""
    kind = ObjectType(message["objectType"])
    said = {**message, "operation": HTTP_WORDS[Operation(message["operation"])]}
    return targets.with_typed({**said, "object": show(kind, message["object"], side, around)}, side.types)


def speaks_301(remembered: str | None) -> bool:
    """Whether a subscription with this side data wants to hear 3.0.1."""
    return remembered is not None and read_side(remembered).version == V301


def viewer_on(viewer: Viewer, remembered: str | None) -> Viewer:
    """A subscriber as its version's privacy rules see it: on 3.0.1 Business Logic sees vens of no client too."""
    return dataclasses.replace(viewer, sees_ownerless=True) if speaks_301(remembered) else viewer


def subscriber_on(who: SubscriptionView, remembered: str | None) -> SubscriptionView:
    """A subscriber as its version has it: 3.0.1 must name a program, which cannot narrow what belongs to none."""
    return dataclasses.replace(who, anywhere=OF_NO_PROGRAM) if speaks_301(remembered) else who


def render_notification(told: Telling, viewer: Viewer, lens: Lens, now: datetime, *, on_301: bool) -> bytes:
    """A notification's bytes for one viewer, in the words of 3.1 or of 3.0.1."""
    message = recipients.notification(told, viewer, lens)
    if on_301:
        message = notification(message, read_side(told.state.side), Around(now, told.state.program_id))
    return document.render(message)
