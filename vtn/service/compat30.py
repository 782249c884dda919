"""The use cases as OpenADR 3.0.1 words them: the same objects, the same privacy, other JSON.

Translation is `rules.compat30`; what is stored is 3.1 alone, with a little side data. Vens have their resources inside
them here, so those are written in `service.households`. Nothing here knows of HTTP.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from vtn.auth.tokens import Principal
from vtn.errors import Conflict, Fault, Rejected
from vtn.rules import privacy
from vtn.rules.admission import admit
from vtn.rules.compat30 import events, programs, side
from vtn.rules.compat30 import objects as translation
from vtn.rules.compat30.objects import Around, Inward
from vtn.rules.compat30.side import V301, Side
from vtn.rules.privacy import Lens, Match
from vtn.service import objects
from vtn.service.core import Core, Json
from vtn.service.events import EVENTS
from vtn.service.objects import Draft, Kind, not_found
from vtn.service.programs import PROGRAMS
from vtn.service.reports import REPORTS, search_reports
from vtn.service.resources import RESOURCES
from vtn.service.subscriptions import SUBSCRIPTIONS, spoken_by
from vtn.service.vens import VENS
from vtn.storage.ports import Record, ReportQuery
from vtn.storage.readmodel import Filter
from vtn.wire import document
from vtn.wire.enumerations import ObjectType


@dataclasses.dataclass(frozen=True, slots=True)
class Face:
    """What the use cases of 3.0.1 share; `ven_clients` says whose a ven is that Business Logic names on 3.0.1."""

    core: Core
    ven_clients: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """A body as it may be stored, and the kind that remembers what 3.1 has no room for."""

    kind: Kind
    content: Json


def face(core: Core, ven_clients: Mapping[str, str], *, http_callbacks: bool) -> Face:
    """The 3.0.1 face of a top node: lenient where old clients need it, and blind to no ven."""
    strictness = dataclasses.replace(
        core.strictness,
        strict_null=False,
        lenient_descriptors=True,
        ownerless=True,
        http_callbacks=http_callbacks,
    )
    return Face(dataclasses.replace(core, strictness=strictness, sees_ownerless=True), ven_clients)


# --- how kinds differ here -----------------------------------------------------------------------------------------


async def _on_its_program(draft: Draft) -> None:
    """A 3.0.1 report names its event's program; another one is refused like one that does not exist (TR-45)."""
    await REPORTS.check(draft)
    event = draft.core.model.get(ObjectType.EVENT, draft.content["eventID"])
    if event is None or event.program_id != draft.content["programID"]:
        raise Conflict("$.programID: is not the program of the event")


def _without_program(content: Json, _draft: Draft) -> Json:
    return {key: value for key, value in content.items() if key != "programID"}


def _keeping(unseen: Callable[[Json, Json], Json]) -> Callable[[Json, Draft], Json]:
    """A PUT keeps what a 3.0.1 client could not see."""
    return lambda content, draft: content if draft.held is None else unseen(content, draft.held)


KINDS: Mapping[ObjectType, Kind] = {
    ObjectType.PROGRAM: dataclasses.replace(PROGRAMS, prepare=_keeping(programs.keeping_unseen)),
    ObjectType.EVENT: dataclasses.replace(EVENTS, prepare=_keeping(events.keeping_unseen)),
    ObjectType.REPORT: dataclasses.replace(REPORTS, check=_on_its_program, prepare=_without_program),
    ObjectType.SUBSCRIPTION: SUBSCRIPTIONS,
    ObjectType.VEN: VENS,
    ObjectType.RESOURCE: RESOURCES,
}


def _remembering(kind: Kind, inward: Inward) -> Kind:
    """The kind for one write, which leaves side data."""
    if kind.type is ObjectType.SUBSCRIPTION:
        given = Side(inward.types, V301, inward.http_words)
        return dataclasses.replace(kind, side=lambda draft, held: spoken_by(draft, given, held))

    def beside(draft: Draft, held: str | None) -> str | None:
        before = side.read(held)
        version = V301 if _is_ours(kind.type, draft) else before.version if _stays(kind.type, draft) else None
        given = Side({**before.types, **inward.types}, version)
        return side.write(side.still_applying(given, draft.content))

    return dataclasses.replace(kind, side=beside)


def _is_ours(kind: ObjectType, draft: Draft) -> bool:
    """Whether 3.0.1 gives an event its timing, or Business Logic on 3.0.1 a ven or resource its name."""
    if kind is ObjectType.EVENT:
        return not _stays(kind, draft)
    return kind in objects.NAMED_BY_BL and draft.principal.is_bl


def _stays(kind: ObjectType, draft: Draft) -> bool:
    """Whether a write leaves that as it was; timing that comes back as it was shown is the held one's."""
    if kind is ObjectType.EVENT:
        return draft.held is not None and all(draft.content.get(key) == draft.held.get(key) for key in events.TIMING)
    return objects.keeps_name(draft)


def judge(core: Core, kind: ObjectType, principal: Principal, body: Any, faults: list[Fault], at: str = "$") -> Judged:
    """A body of 3.0.1 as it may be stored. Faults are added to `faults`, then what comes back is not to be used."""
    inward = translation.read(kind, body, is_bl=principal.is_bl)
    found, content = list(inward.faults), {}
    try:
        content = admit(kind, inward.content, is_bl=principal.is_bl, strictness=core.strictness)
    except Rejected as refused:
        known = {fault.path for fault in inward.faults}
        found += [fault for fault in refused.faults if fault.path not in known]
    faults += [Fault(f"{at}{fault.path.removeprefix('$')}", fault.rule) for fault in found]
    return Judged(_remembering(KINDS[kind], inward), content)


def sound(core: Core, kind: ObjectType, principal: Principal, body: Any) -> Judged:
    """The same, or Rejected with every fault."""
    faults: list[Fault] = []
    judged = judge(core, kind, principal, body, faults)
    if faults:
        raise Rejected(faults)
    return judged


# --- the use cases -------------------------------------------------------------------------------------------------


async def create(face: Face, kind: ObjectType, principal: Principal, body: Any) -> bytes:
    """Store a new object and return it."""
    judged = sound(face.core, kind, principal, body)
    return rendered(face, principal, await objects.added(face.core, judged.kind, principal, judged.content))


async def replace(face: Face, kind: ObjectType, principal: Principal, object_id: str, body: Any) -> bytes:
    """Replace an object by what 3.0.1 can say of it, and return it."""
    judged = sound(face.core, kind, principal, body)
    _expressible(face.core, kind, object_id)
    record = await objects.exchanged(face.core, judged.kind, principal, object_id, judged.content)
    return rendered(face, principal, record)


async def delete(face: Face, kind: ObjectType, principal: Principal, object_id: str) -> bytes:
    """Delete an object and return what it was."""
    _expressible(face.core, kind, object_id)
    inside = resources_of(face.core, object_id) if kind is ObjectType.VEN else None
    return rendered(face, principal, await objects.deleted(face.core, KINDS[kind], principal, object_id), inside)


async def read(face: Face, kind: ObjectType, principal: Principal, object_id: str) -> bytes:
    """An object as this client may read it."""
    _expressible(face.core, kind, object_id)
    body = await objects.read(face.core, KINDS[kind], principal, object_id)
    return document.render(_shown(face.core, kind, document.parse(body)))


def search(face: Face, kind: ObjectType, principal: Principal, lens: Lens, narrow: Filter, wanted: str | None) -> bytes:
    """A page of objects as a JSON list; `wanted` is the type of the targets asked for, if the client named one."""
    core = face.core
    admits = _of_type(core, kind, principal, lens, wanted) if wanted and lens.asked else None
    if kind is ObjectType.SUBSCRIPTION:
        admits = _both(_has_program, admits) if admits else _has_program
    bodies = objects.search(core, KINDS[kind], principal, lens, dataclasses.replace(narrow, admits=admits))
    return _listed(core, kind, bodies)


async def search_all_reports(face: Face, principal: Principal, query: ReportQuery) -> bytes:
    """A page of reports as a JSON list."""
    return _listed(face.core, ObjectType.REPORT, await search_reports(face.core, principal, query))


def _expressible(core: Core, kind: ObjectType, object_id: str) -> None:
    """A subscription to all programs cannot be said on 3.0.1, where it does not exist."""
    if kind is ObjectType.SUBSCRIPTION:
        record = core.model.get(kind, object_id)
        if record is not None and not _has_program(record):
            raise not_found(kind)


def _has_program(record: Record) -> bool:
    return record.program_id is not None


def _both(first: Callable[[Record], bool], second: Callable[[Record], bool]) -> Callable[[Record], bool]:
    return lambda record: first(record) and second(record)


def _of_type(core: Core, kind: ObjectType, principal: Principal, lens: Lens, wanted: str) -> Callable[[Record], bool]:
    """Whether an object is matched by targets of a type; a VEN's through those it may know of, and no others."""
    viewer = core.viewer(principal)
    whole = viewer.is_bl or kind not in privacy.TARGETED
    through = lens.asked or frozenset() if whole else privacy.usable_targets(viewer, lens)

    def admits(record: Record) -> bool:
        targets = through.intersection(document.parse(record.body).get("targets") or ())
        types = side.read(record.side).types
        return side.of_the_types(targets, wanted, types, every=lens.match is Match.ALL)

    return admits


# --- showing -------------------------------------------------------------------------------------------------------


def rendered(face: Face, principal: Principal, record: Record, inside: list[Json] | None = None) -> bytes:
    """A record that this client has just written, in the words of 3.0.1; `inside` are the resources of a ven."""
    core, kind = face.core, record.kind
    content = document.parse(KINDS[kind].show(core, principal, record.body))
    if kind is ObjectType.VEN and inside is None:
        inside = resources_of(core, record.id)
    return document.render(_translated(core, kind, content, side.read(record.side), inside))


def _listed(core: Core, kind: ObjectType, bodies: bytes) -> bytes:
    return document.render([_shown(core, kind, content) for content in document.parse(bodies)])


def _shown(core: Core, kind: ObjectType, content: Json) -> Json:
    """An object out of the read model, which also holds its side data; reports have none."""
    record = core.model.get(kind, content["id"])
    inside = resources_of(core, content["id"]) if kind is ObjectType.VEN else None
    return _translated(core, kind, content, side.read(record.side if record else None), inside)


def _translated(core: Core, kind: ObjectType, content: Json, remembered: Side, inside: list[Json] | None) -> Json:
    event = core.model.get(ObjectType.EVENT, content["eventID"]) if kind is ObjectType.REPORT else None
    around = Around(core.clock.now(), event.program_id if event else None, inside)
    return translation.show(kind, content, remembered, around)


def resources_of(core: Core, ven_id: str) -> list[Json]:
    """The resources of a ven, as 3.0.1 has them inside it; whoever sees a ven sees them, for they share its owner."""
    return [_shown(core, ObjectType.RESOURCE, document.parse(one.body)) for one in core.model.resources_of(ven_id)]
