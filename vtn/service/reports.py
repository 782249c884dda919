"""Reports belong to the VEN that wrote them. They are many, so they live in the database only and not in memory."""

import dataclasses
from collections.abc import Sequence

from vtn.auth.tokens import Principal
from vtn.errors import Conflict, Forbidden
from vtn.service.core import Core, Index, Json
from vtn.service.objects import ObjectKind, Write, json_list
from vtn.storage.ports import Record, ReportQuery
from vtn.wire.enumerations import ObjectType


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
