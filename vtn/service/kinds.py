"""The rules of each kind of object, beside those that are the same for all (`objects`).

Programs and events belong to Business Logic; a program's name is unique (PROG-07) and an event's program must exist
(EVT-06), both enforced by storage. Reports belong to the VEN that wrote them and live in the database only. Resources
hang on a ven and share its owner (RES-11..13, RES-23). A VEN's own PUT of its ven or resource keeps what only Business
Logic may write (VEN-13, VEN-14).
"""

import dataclasses
from collections.abc import Sequence

from vtn.auth.tokens import Principal
from vtn.errors import Conflict, Fault, Forbidden, NotFound, Rejected
from vtn.service.core import Core, Index, Json, revised_record
from vtn.service.objects import ObjectKind, Write, json_list
from vtn.storage.ports import Record, ReportQuery
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

PROGRAMS = ObjectKind(ObjectType.PROGRAM)
EVENTS = ObjectKind(ObjectType.EVENT)


async def _writes_what_it_may(draft: Write) -> None:
    """Only VENs write reports, on events that they see; a hidden event looks like a missing one (RPT-10, RPT-12)."""
    if draft.principal.is_bl:
        raise Forbidden("reports are written by VENs")
    viewer = draft.core.viewer(draft.principal)
    if not draft.core.model.visible(ObjectType.EVENT, draft.content["eventID"], viewer):
        raise Conflict("$.eventID: no event with this id")


def _under_its_program(core: Core, content: Json) -> Index:
    """A report is listed by its event's program, which it does not name itself (RPT-02, TR-56)."""
    event = core.model.get(ObjectType.EVENT, content["eventID"])
    return {"program_id": event.program_id if event else None}


async def search_reports(core: Core, principal: Principal, query: ReportQuery) -> bytes:
    """A page of reports as a JSON list: a VEN's own, or all for Business Logic."""
    return json_list([record.body for record in await found_reports(core, principal, query)])


async def found_reports(core: Core, principal: Principal, query: ReportQuery) -> Sequence[Record]:
    """The same page, as records."""
    owner = None if principal.is_bl else principal.client_id
    found = await core.store.reports(dataclasses.replace(query, client_id=owner))
    core.shown(ObjectType.REPORT, principal, [record.body for record in found])
    return found


REPORTS = ObjectKind(ObjectType.REPORT, check=_writes_what_it_may, index=_under_its_program)


def kept_from_vens(principal: Principal) -> frozenset[str]:
    """The fields of a ven or resource that a VEN's PUT leaves as Business Logic set them."""
    return frozenset() if principal.is_bl else frozenset({"targets"})


def _follow_owner(resource: Record, ven: Record) -> Record:
    """A ven that moves to another client takes its resources along (TR-11)."""
    content = document.parse(resource.body)
    return revised_record(resource, ven.modified, {**content, "clientID": ven.client_id}, ven.client_id)


VENS = ObjectKind(ObjectType.VEN, keep=kept_from_vens, follow=_follow_owner)


async def _hangs_on_a_ven(draft: Write) -> None:
    """A foreign ven looks like a missing one; Business Logic names the ven's own client."""
    viewer = draft.core.viewer(draft.principal)
    ven = draft.core.model.get(ObjectType.VEN, draft.content["venID"])
    if ven is None or not draft.core.model.visible(ObjectType.VEN, ven.id, viewer):
        raise NotFound("no ven with this venID")
    if draft.principal.is_bl and draft.content.get("clientID", ven.client_id) != ven.client_id:
        raise Rejected([Fault("$.clientID", "must be the clientID of the ven; it may be left out")])


def _of_its_vens_client(content: Json, draft: Write) -> Json:
    """The owner of a resource that Business Logic writes is the ven's, whether or not it says so."""
    ven = draft.core.model.get(ObjectType.VEN, content["venID"])
    if not draft.principal.is_bl or "clientID" in content or ven is None or ven.client_id is None:
        return content
    return {**content, "clientID": ven.client_id}


RESOURCES = ObjectKind(ObjectType.RESOURCE, check=_hangs_on_a_ven, prepare=_of_its_vens_client, keep=kept_from_vens)
