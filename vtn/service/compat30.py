"""The use cases as OpenADR 3.0.1 words them: the same objects, the same privacy, other JSON.

Translation is `rules.compat30`; what is stored is 3.1 alone, with a little side data. Vens have their resources inside
them here, so those are written in `service.compat30_vens`. Nothing here knows of HTTP.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from vtn.auth.tokens import Principal
from vtn.errors import Conflict, Fault, FaultList, Rejected
from vtn.rules import privacy
from vtn.rules.admission import admit
from vtn.rules.compat30 import events, programs, side
from vtn.rules.compat30 import objects as translation
from vtn.rules.compat30.objects import Inward
from vtn.rules.compat30.side import V301, Side
from vtn.rules.privacy import Lens, Match
from vtn.service import objects
from vtn.service.core import Core, Json
from vtn.service.kinds import EVENTS, PROGRAMS, REPORTS, RESOURCES, VENS, found_reports
from vtn.service.objects import ObjectKind, Write, json_list, not_found
from vtn.service.subscriptions import SUBSCRIPTIONS, spoken_by
from vtn.service.versions import Versions
from vtn.storage.ports import Record, ReportQuery
from vtn.storage.read_model import Filter
from vtn.wire.enumerations import ObjectType


@dataclasses.dataclass(frozen=True, slots=True)
class Compat30Service:
    """What the use cases of 3.0.1 share; `ven_clients` says whose a ven is that Business Logic names on 3.0.1.

    `versions` are the objects in its words.
    """

    core: Core
    ven_clients: Mapping[str, str]
    versions: Versions = dataclasses.field(default_factory=Versions)


@dataclasses.dataclass(frozen=True, slots=True)
class JudgedBody:
    """A body as it may be stored, and the kind that remembers what 3.1 has no room for."""

    kind: ObjectKind
    content: Json


def face(core: Core, ven_clients: Mapping[str, str], *, http_callbacks: bool) -> Compat30Service:
    """The 3.0.1 face of a top node: lenient where old clients need it, and blind to no ven."""
    strictness = dataclasses.replace(
        core.strictness,
        strict_null=False,
        lenient_descriptors=True,
        ownerless=True,
        http_callbacks=http_callbacks,
    )
    seeing = dataclasses.replace(core, strictness=strictness, sees_ownerless=True)
    return Compat30Service(seeing, ven_clients, Versions(core.bodies.caches.versions_bytes))


# --- how kinds differ here -----------------------------------------------------------------------------------------


async def _on_its_program(draft: Write) -> None:
    """A 3.0.1 report names its event's program; another one is refused like one that does not exist (TR-45)."""
    await REPORTS.check(draft)
    event = draft.core.model.get(ObjectType.EVENT, draft.content["eventID"])
    if event is None or event.program_id != draft.content["programID"]:
        raise Conflict("$.programID: is not the program of the event")


def _without_program(content: Json, _draft: Write) -> Json:
    return {key: value for key, value in content.items() if key != "programID"}


def _program_kept(content: Json, draft: Write) -> Json:
    """A PUT keeps what a 3.0.1 client could not see."""
    return content if draft.held is None else programs.keeping_unseen(content, draft.held)


def _event_kept(content: Json, draft: Write) -> Json:
    return content if draft.held is None else events.keeping_unseen(content, draft.held, side.read(draft.beside))


KINDS: Mapping[ObjectType, ObjectKind] = {
    ObjectType.PROGRAM: dataclasses.replace(PROGRAMS, prepare=_program_kept),
    ObjectType.EVENT: dataclasses.replace(EVENTS, prepare=_event_kept),
    ObjectType.REPORT: dataclasses.replace(REPORTS, check=_on_its_program, prepare=_without_program),
    ObjectType.SUBSCRIPTION: SUBSCRIPTIONS,
    ObjectType.VEN: VENS,
    ObjectType.RESOURCE: RESOURCES,
}


def _remembering(kind: ObjectKind, inward: Inward, *, inside: bool) -> ObjectKind:
    """The kind for one write, which leaves side data; `inside` is a resource that is written as a part of its ven."""
    if kind.type is ObjectType.SUBSCRIPTION:
        given = Side(inward.types, V301, inward.http_words)
        return dataclasses.replace(kind, side=lambda draft, held: spoken_by(draft, given, held))

    def beside(draft: Write, held: str | None) -> str | None:
        """3.0.1 gives an event its timing, and Business Logic there a ven or resource its name.

        A client that writes a ven back with the resources that it has read gives those no name.
        """
        before = side.read(held)
        stays = _stays(kind.type, draft)
        named = draft.principal.is_bl and not (inside and stays)
        ours = named if kind.type in objects.NAMED_BY_BL else kind.type is ObjectType.EVENT and not stays
        version = V301 if ours else before.version if stays else None
        given = Side({**before.types, **inward.types}, version)
        return side.write(side.still_applying(given, draft.content))

    return dataclasses.replace(kind, side=beside)


def _stays(kind: ObjectType, draft: Write) -> bool:
    """Whether a write leaves timing or name as it was; timing that comes back as it was shown is the held one's."""
    if kind is ObjectType.EVENT:
        return draft.held is not None and all(draft.content.get(key) == draft.held.get(key) for key in events.TIMING)
    return objects.keeps_name(draft)


def judge(
    core: Core, kind: ObjectType, principal: Principal, body: Any, faults: list[Fault], at: str = ""
) -> JudgedBody:
    """A body of 3.0.1 as it may be stored, of a resource perhaps that stands `at` a place inside its ven.

    Faults are added to `faults`, then what comes back is not to be used.
    """
    content: Json = {}
    found: list[Fault] = []
    inward = Inward(content)
    try:
        inward = translation.read(kind, body, is_bl=principal.is_bl, most_faults=core.strictness.most_faults)
        found += inward.faults
        content = admit(kind, inward.content, is_bl=principal.is_bl, strictness=core.strictness)
    except Rejected as refused:
        known = {fault.path for fault in found}
        found += [fault for fault in refused.faults if fault.path not in known]
    faults += [Fault(f"{at or '$'}{fault.path.removeprefix('$')}", fault.rule) for fault in found]
    return JudgedBody(_remembering(KINDS[kind], inward, inside=bool(at)), content)


def sound(core: Core, kind: ObjectType, principal: Principal, body: Any, _values: int = 0) -> JudgedBody:
    """The same, or Rejected with every fault, or as many as are told."""
    faults = FaultList(core.strictness.most_faults)
    judged = judge(core, kind, principal, body, faults)
    if faults:
        raise Rejected(faults)
    return judged


# --- the use cases -------------------------------------------------------------------------------------------------


async def create(face: Compat30Service, kind: ObjectType, principal: Principal, body: bytes) -> bytes:
    """Store a new object and return it. `body` is the JSON text that the client sent."""
    judged = await _sound(face, kind, principal, body)
    record = await objects.added(face.core, judged.kind, principal, judged.content, len(body))
    return await rendered(face, principal, record)


async def replace(face: Compat30Service, kind: ObjectType, principal: Principal, object_id: str, body: bytes) -> bytes:
    """Replace an object by what 3.0.1 can say of it, and return it."""
    judged = await _sound(face, kind, principal, body)
    _expressible(face.core, kind, object_id)
    record = await objects.exchanged(face.core, judged.kind, principal, object_id, judged.content, len(body))
    return await rendered(face, principal, record)


async def _sound(face: Compat30Service, kind: ObjectType, principal: Principal, body: bytes) -> JudgedBody:
    judge = partial(sound, face.core, kind, principal)
    return await face.core.bodies.judged(principal.client_id, body, judge)


async def delete(face: Compat30Service, kind: ObjectType, principal: Principal, object_id: str) -> bytes:
    """Delete an object and return what it was."""
    _expressible(face.core, kind, object_id)
    inside = face.core.model.resources_of(object_id) if kind is ObjectType.VEN else None
    return await rendered(face, principal, await objects.deleted(face.core, KINDS[kind], principal, object_id), inside)


async def read(face: Compat30Service, kind: ObjectType, principal: Principal, object_id: str) -> bytes:
    """An object as this client may read it."""
    _expressible(face.core, kind, object_id)
    body, record = await objects.read_version(face.core, KINDS[kind], principal, object_id)
    (shown,) = await _shown(face, kind, [body], [record])
    return shown


async def search(
    face: Compat30Service, kind: ObjectType, principal: Principal, lens: Lens, narrow: Filter, wanted: str | None
) -> bytes:
    """A page of objects as a JSON list; `wanted` is the type of the targets asked for, if the client named one."""
    core = face.core
    admits = _of_type(core, kind, principal, lens, wanted) if wanted and lens.asked else None
    if kind is ObjectType.SUBSCRIPTION:
        admits = _both(_has_program, admits) if admits else _has_program
    found = await objects.found(core, KINDS[kind], principal, lens, dataclasses.replace(narrow, admits=admits))
    return json_list(await _shown(face, kind, *found))


async def search_all_reports(face: Compat30Service, principal: Principal, query: ReportQuery) -> bytes:
    """A page of reports as a JSON list."""
    found = await found_reports(face.core, principal, query)
    bodies = [record.body for record in found]
    return json_list(await face.versions.of(face.core, ObjectType.REPORT, bodies, found))


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
        targets = through.intersection(core.model.targets(kind, record.id))
        types = side.read(record.side).types
        return side.of_the_types(targets, wanted, types, every=lens.match is Match.ALL)

    return admits


# --- showing -------------------------------------------------------------------------------------------------------


async def rendered(
    face: Compat30Service, principal: Principal, record: Record, inside: Sequence[Record] | None = None
) -> bytes:
    """A record that this client has just written, in the words of 3.0.1; `inside` are the resources of a ven."""
    body = await objects.answered(face.core, KINDS[record.kind], principal, record)
    (shown,) = await face.versions.of(face.core, record.kind, [body], [record])
    if record.kind is not ObjectType.VEN:
        return shown
    return await _housed(face, shown, face.core.model.resources_of(record.id) if inside is None else inside)


async def _shown(
    face: Compat30Service, kind: ObjectType, bodies: list[bytes], records: Sequence[Record]
) -> list[bytes]:
    """Objects as a client may read them on 3.1, of these records, in the words of 3.0.1."""
    if kind is not ObjectType.VEN:
        return await face.versions.of(face.core, kind, bodies, records)
    inside = [face.core.model.resources_of(ven.id) for ven in records]
    shown = await face.versions.of(face.core, kind, bodies, records)
    return [await _housed(face, *pair) for pair in zip(shown, inside, strict=True)]


async def _housed(face: Compat30Service, ven: bytes, inside: Sequence[Record]) -> bytes:
    """A ven with its resources inside it, as 3.0.1 has them; whoever sees a ven sees them, for they share its owner."""
    bodies = [record.body for record in inside]
    resources = await face.versions.of(face.core, ObjectType.RESOURCE, bodies, inside)
    return b'%s,"resources":%s}' % (ven[:-1], json_list(resources))
