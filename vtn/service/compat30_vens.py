"""A ven and its resources, which OpenADR 3.0.1 writes as one: all of it is stored, or nothing.

A list of `resources` replaces those that the ven has, matched by id, else by name; no list leaves them alone, because
a client that keeps them at `/vens/{venID}/resources` does not mean to lose them with every PUT of its ven.
"""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from vtn.auth.tokens import Principal
from vtn.errors import Fault, FaultList, Rejected
from vtn.service import compat30, objects
from vtn.service.compat30 import KINDS, Compat30Service, JudgedBody
from vtn.service.core import Core, Json
from vtn.service.objects import Write, not_found
from vtn.storage.ports import All, Create, Delete, Record, Replace
from vtn.wire.enumerations import ObjectType

log = logging.getLogger("vtn.compat30")
VEN, RESOURCE = ObjectType.VEN, ObjectType.RESOURCE
UNBORN = "unborn"
MOST_MEMBERS = 500
"""Resources that one request may change: they are written one by one, and other writers wait until all are."""


@dataclasses.dataclass(frozen=True, slots=True)
class VenAndResources:
    """What a client wrote: the ven, and its resources with the ids it gave them; None when it named no resources."""

    ven: JudgedBody
    resources: Sequence[tuple[Any, JudgedBody]] | None


def _ven_and_resources(
    face: Compat30Service, principal: Principal, body: Any, _values: int, *, ven_id: str
) -> VenAndResources:
    """A body, judged whole; Rejected with the faults of the ven and of every resource."""
    faults = FaultList(face.core.strictness.most_faults)
    ven = compat30.judge(face.core, VEN, principal, body, faults)
    given = body.get("resources") if isinstance(body, dict) else None
    if given is not None and not isinstance(given, list):
        faults.append(Fault("$.resources", "must be a list"))
        given = None
    _few(given or ())
    resources = None if given is None else list(_members(face, principal, given, ven_id, faults))
    if faults:
        raise Rejected(faults)
    return VenAndResources(ven, resources)


def _few(changed: Sequence[Any]) -> None:
    if len(changed) > MOST_MEMBERS:
        raise Rejected([Fault("$.resources", f"would change more than {MOST_MEMBERS} resources at once")])


def _members(
    face: Compat30Service, principal: Principal, given: Sequence[Any], ven_id: str, faults: list[Fault]
) -> Iterator[tuple[Any, JudgedBody]]:
    for position, one in enumerate(given):
        homed = {**one, "venID": ven_id} if isinstance(one, dict) else one
        judged = compat30.judge(face.core, RESOURCE, principal, homed, faults, f"$.resources[{position}]")
        yield one.get("id") if isinstance(one, dict) else None, judged


async def _judged(face: Compat30Service, principal: Principal, body: bytes, ven_id: str) -> VenAndResources:
    judge = partial(_ven_and_resources, face, principal, ven_id=ven_id)
    return await face.core.bodies.judged(principal.client_id, body, judge)


async def create(face: Compat30Service, principal: Principal, body: bytes) -> bytes:
    """Store a ven with its resources and return it. `body` is the JSON text that the client sent."""
    core, written, at = face.core, await _judged(face, principal, body, UNBORN), face.core.now_text()
    content = _owned(face, principal, written.ven.content)
    ven = await core.bodies.made(
        len(body), lambda: objects.born(written.ven.kind, Write(core, principal, content, None), at)
    )
    members = written.resources or ()
    ordered = _in_order(face, len(members))
    births = [Create(_born(ordered, principal, ven.id, ven.client_id, one, at)) for _, one in members]
    await core.write(All((Create(ven), *births)) if births else Create(ven), principal, at)
    if ven.client_id is None:
        log.warning("ven %s is nobody's: name its client in protocol.ven_clients, or by a PUT on 3.1", ven.id)
    await core.model.current(core.store)
    return await compat30.rendered(face, principal, ven)


def _owned(face: Compat30Service, principal: Principal, content: Json, owner: str | None = None) -> Json:
    """A ven's content with its owner, where Business Logic cannot say it and the settings can."""
    if not principal.is_bl or owner is not None:
        return content
    named = face.ven_clients.get(content["venName"])
    return content if named is None else {**content, "clientID": named}


def _in_order(face: Compat30Service, count: int) -> Compat30Service:
    """The face with ids for so many objects of one instant that sort as they are given out, for lists to show so."""
    ids = iter(sorted(face.core.new_id() for _ in range(count)))
    return dataclasses.replace(face, core=dataclasses.replace(face.core, new_id=lambda: next(ids)))


def _born(
    face: Compat30Service, principal: Principal, ven_id: str, owner: str | None, judged: JudgedBody, at: str
) -> Record:
    content = {**judged.content, "venID": ven_id, **_owner(principal, owner)}
    return objects.born(judged.kind, Write(face.core, principal, content, None), at)


def _owner(principal: Principal, owner: str | None) -> Json:
    """What Business Logic says of a resource on 3.1: that it belongs to the client of its ven."""
    return {"clientID": owner} if principal.is_bl and owner is not None else {}


async def replace(face: Compat30Service, principal: Principal, ven_id: str, body: bytes) -> bytes:
    """Replace a ven, and its resources if it names any, and return it."""
    core, written = face.core, await _judged(face, principal, body, ven_id)

    async def attempt() -> Record:
        at = core.now_text()
        held = await objects.find(core, KINDS[VEN], principal, ven_id)
        content = _owned(face, principal, written.ven.content, held.client_id)
        owner = content.get("clientID", held.client_id)
        command = objects.replacement(core, written.ven.kind, principal, ven_id, content, at)
        first = await objects.prepared(core, command, held, len(body))
        given = written.resources
        rest = [] if given is None else _exchange(face, principal, ven_id, owner, given, at)
        _few(rest)
        rest = [await _prepared(core, one, len(body)) for one in rest]
        changes = await core.write(All((first, *rest)) if rest else first, principal, at)
        return next(one.record for one in changes if one.record.id == ven_id)

    ven = await core.judged_anew(attempt)
    await core.model.current(core.store)
    return await compat30.rendered(face, principal, ven)


async def _prepared(core: Core, command: Create | Replace | Delete, size_bytes: int) -> Create | Replace | Delete:
    held = core.model.get(RESOURCE, command.id) if isinstance(command, Replace) else None
    return await objects.prepared(core, command, held, size_bytes) if isinstance(command, Replace) and held else command


def _exchange(
    face: Compat30Service,
    principal: Principal,
    ven_id: str,
    owner: str | None,
    given: Sequence[tuple[Any, JudgedBody]],
    at: str,
) -> list[Create | Replace | Delete]:
    """The commands that put these resources in place of a ven's: removals first, so that their names are free."""
    core = face.core
    held = {record.id: record for record in core.model.resources_of(ven_id)}
    meant = {given_id for given_id, _ in given if isinstance(given_id, str)}
    named = {record.name: record for record in held.values() if record.id not in meant}
    written: list[Create | Replace | Delete] = []
    ordered = _in_order(face, len(given))
    for given_id, judged in given:
        match = held.get(given_id) if isinstance(given_id, str) else None
        match = match or named.get(judged.content["resourceName"])
        if match is not None and match.id in held:
            del held[match.id]
            written.append(objects.replacement(core, judged.kind, principal, match.id, judged.content, at))
        else:
            written.append(Create(_born(ordered, principal, ven_id, owner, judged, at)))
    return [*(objects.removal(core, KINDS[RESOURCE], principal, gone) for gone in held), *written]


# --- resources by themselves ---------------------------------------------------------------------------------------


async def ven_of(face: Compat30Service, principal: Principal, ven_id: str) -> Record:
    """The ven of a path; NotFound when this client sees none."""
    return await objects.find(face.core, KINDS[VEN], principal, ven_id)


async def resource_of(face: Compat30Service, principal: Principal, ven_id: str, resource_id: str) -> Record:
    """The resource of a path; NotFound when it is not that ven's."""
    record = await objects.find(face.core, KINDS[RESOURCE], principal, resource_id)
    if record.ven_id != ven_id:
        raise not_found(RESOURCE)
    return record


async def create_resource(face: Compat30Service, principal: Principal, ven_id: str, body: bytes) -> bytes:
    """Store a new resource of a ven and return it."""
    judged = await _homed(face, principal, ven_id, body)
    await ven_of(face, principal, ven_id)
    record = await objects.added(face.core, judged.kind, principal, judged.content, len(body))
    return await compat30.rendered(face, principal, record)


async def replace_resource(
    face: Compat30Service, principal: Principal, ven_id: str, resource_id: str, body: bytes
) -> bytes:
    """Replace a resource of a ven and return it."""
    judged = await _homed(face, principal, ven_id, body)
    await ven_of(face, principal, ven_id)
    await resource_of(face, principal, ven_id, resource_id)
    record = await objects.exchanged(face.core, judged.kind, principal, resource_id, judged.content, len(body))
    return await compat30.rendered(face, principal, record)


async def _homed(face: Compat30Service, principal: Principal, ven_id: str, body: bytes) -> JudgedBody:
    def judge(content: Any, _values: int) -> JudgedBody:
        homed = {**content, "venID": ven_id} if isinstance(content, dict) else content
        return compat30.sound(face.core, RESOURCE, principal, homed)

    return await face.core.bodies.judged(principal.client_id, body, judge)
