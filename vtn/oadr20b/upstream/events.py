"""The utility's events, held durably: judged, written down, put into our VTN, and answered, in this order.

A process that is killed between two of these does the rest when it starts: what is not applied is applied, by its name
where the answer of our VTN was lost, and what is not acknowledged is acknowledged again.
"""

import dataclasses
import logging
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import pydantic

from vtn.client import Client, VtnRefused
from vtn.oadr20b.codec.encode import event_response_values, response_values
from vtn.oadr20b.codec.messages import Code, EiEvent, EiResponse, EventResponse, OadrMessage, OptType
from vtn.oadr20b.mapping.events_up import event_up, program_name, program_up
from vtn.oadr20b.store.database import BridgeStore, parse_at, print_at
from vtn.oadr20b.store.tables import PLACES, UP_EVENT
from vtn.oadr20b.upstream.event_rules import HeldUpEvent, answer_of, take_list
from vtn.oadr20b.upstream.link import UtilityLink
from vtn.oadr20b.vtn_client import ensure_deleted, ensure_event, ensure_program
from vtn.wire.enumerations import ObjectType

KEPT = timedelta(days=30)
_EVENT = pydantic.TypeAdapter(EiEvent)
log = logging.getLogger("vtn.oadr20b.upstream")


class UpstreamEvents:
    """The events of one utility."""

    def __init__(self, link: UtilityLink, vtn: Client, store: BridgeStore, opt: str) -> None:
        self._link = link
        self._vtn = vtn
        self._store = store
        self._opt = opt
        self.held: dict[str, HeldUpEvent] = {}
        self._programs: dict[str, str] = {}

    async def load(self) -> None:
        """Read what was held when the process ended."""
        rows = await self._store.rows(UP_EVENT, name=self._link.name)
        self.held = {row["event_id"]: _held(row) for row in rows}

    async def take(self, message: OadrMessage, own_ven: str | None, now: datetime) -> None:
        """A whole list of events: write down what it changes, then do it, then answer."""
        changes = take_list(
            self._link.name,
            self.held,
            message.events,
            message.faults,
            request_id=message.request_id,
            own_ven=own_ven,
            opt=self._opt,
            now=now,
        )
        await self._keep(*changes.held)
        if changes.refused and own_ven is not None:
            await self._send(changes.refused, own_ven, message.request_id)
        await self.settle(own_ven, message.vtn_id or "")

    async def settle(self, own_ven: str | None, vtn_id: str) -> None:
        """Have our VTN be as the events are held, and the utility have every answer."""
        for one in [one for one in self.held.values() if not one.applied]:
            await self._apply(one, own_ven, vtn_id)
        due = [one for one in self.held.values() if one.applied and not one.acked]
        if due and own_ven is not None:
            await self._send(tuple(map(answer_of, due)), own_ven, due[-1].request_id)
            await self._keep(*(dataclasses.replace(one, acked=True) for one in due))

    async def change_opt(self, event_id: str, opt: str) -> None:
        """Answer an event anew, because our portfolio's part in it has changed; sent by `settle`."""
        one = self.held[event_id]
        if one.opt != opt and one.wanted:
            await self._keep(dataclasses.replace(one, opt=opt, acked=False))

    async def forget(self, now: datetime) -> None:
        """Drop events that ended long ago; until then they are tombstones."""
        old = [one.event_id for one in self.held.values() if one.ends_at < now - KEPT]
        if old:
            await self._store.write(self._store.drop(UP_EVENT, name=self._link.name, event_id=old))
            for event_id in old:
                del self.held[event_id]

    async def _apply(self, one: HeldUpEvent, own_ven: str | None, vtn_id: str) -> None:
        if not one.wanted or one.event is None:
            if one.oa3_id is not None:
                await ensure_deleted(self._vtn, ObjectType.EVENT, one.oa3_id)
            await self._keep(dataclasses.replace(one, applied=True, oa3_id=None))
            return
        program_id = await self._program(one.event, vtn_id)
        content = event_up(self._link.name, one.event, program_id, own_ven)
        try:
            oa3_id = await ensure_event(self._vtn, content, one.oa3_id)
        except VtnRefused as refused:
            if refused.status == HTTPStatus.CONFLICT:  # the program is gone: it is made again at the next try
                self._programs.clear()
                await self._forget_program(one.event)
            if refused.status != HTTPStatus.BAD_REQUEST:
                raise
            log.error("%s: the event %s is refused by our VTN: %s", self._link.name, one.event_id, refused)  # noqa: TRY400
            await self._keep(
                dataclasses.replace(
                    one,
                    applied=one.oa3_id is None,
                    opt=OptType.OUT,
                    code=int(Code.INVALID_DATA),
                    reason=str(refused)[:200],
                )
            )
            return
        await self._keep(dataclasses.replace(one, applied=True, oa3_id=oa3_id))

    async def _program(self, event: EiEvent, vtn_id: str) -> str:
        """The id of the program of an event's market context."""
        name = program_name(self._link.name, event.market_context, test=event.test)
        if name not in self._programs:
            row = await self._store.row(PLACES, name=name)
            if row is None:
                content = program_up(self._link.name, event.market_context, vtn_id, test=event.test)
                row = {"name": name, "object_id": await ensure_program(self._vtn, content)}
                await self._store.write(self._store.put(PLACES, [row]))
            self._programs[name] = row["object_id"]
        return self._programs[name]

    async def _forget_program(self, event: EiEvent) -> None:
        name = program_name(self._link.name, event.market_context, test=event.test)
        await self._store.write(self._store.drop(PLACES, name=name))

    async def _send(self, answers: tuple[EventResponse, ...], own_ven: str, request_id: str) -> None:
        """One oadrCreatedEvent for all; what the utility says against it is in the journal and the log."""
        reply = await self._link.exchange(
            "EiEvent",
            "oadrCreatedEvent",
            response=response_values(EiResponse(request_id=request_id)),
            event_responses=[event_response_values(one) for one in answers],
            ven_id=own_ven,
        )
        if reply is not None and reply.response is not None and reply.response.code != Code.OK:
            log.warning(
                "%s takes our answer with %d: %s", self._link.name, reply.response.code, reply.response.description
            )

    async def _keep(self, *changed: HeldUpEvent) -> None:
        if changed:
            await self._store.write(self._store.put(UP_EVENT, [_row(self._link.name, one) for one in changed]))
            self.held |= {one.event_id: one for one in changed}


def _row(name: str, one: HeldUpEvent) -> dict[str, Any]:
    return {
        "name": name,
        "event_id": one.event_id,
        "modification": one.modification,
        "cancelled": one.cancelled,
        "applied": one.applied,
        "acked": one.acked,
        "opt": str(one.opt),
        "code": int(one.code),
        "oa3_id": one.oa3_id,
        "request_id": one.request_id,
        "ends_at": print_at(one.ends_at),
        "document": _EVENT.dump_json(one.event).decode() if one.event is not None else "",
    }


def _held(row: dict[str, Any]) -> HeldUpEvent:
    return HeldUpEvent(
        row["event_id"],
        row["modification"],
        parse_at(row["ends_at"]),
        _EVENT.validate_json(row["document"]) if row["document"] else None,
        cancelled=row["cancelled"],
        applied=row["applied"],
        acked=row["acked"],
        opt=row["opt"],
        code=row["code"],
        reason="OK" if row["code"] == Code.OK else "as it was answered before",
        oa3_id=row["oa3_id"],
        request_id=row["request_id"],
    )
