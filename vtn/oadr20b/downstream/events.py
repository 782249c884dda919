"""EiEvent: the list of a VEN's events, and what it answers to each."""

import dataclasses
from typing import Any

from vtn.oadr20b.codec.encode import print_instant
from vtn.oadr20b.codec.messages import Code, EventResponse, OadrMessage, OptType
from vtn.oadr20b.downstream.context import Answer, DownstreamContext, answered
from vtn.oadr20b.downstream.projection import listed, mark_sent
from vtn.oadr20b.downstream.vens import ServedVen, ToldEvent
from vtn.oadr20b.store.database import Rows
from vtn.wire.enumerations import OperatingState

Json = dict[str, Any]


async def request(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """All events of the VEN, or the first of them where it sets a limit."""
    return distribute(context, ven, answered(message), message.reply_limit)


def distribute(context: DownstreamContext, ven: ServedVen, response: Json | None, limit: int | None = None) -> Answer:
    """The list of the VEN's events as it is now."""
    told = listed(ven, context.clock.now(), limit)
    mark_sent(ven, told, context.loop_s())
    values = {"response": response, "request_id": context.ids(), "vtn_id": context.settings.vtn_id, "events": told}
    return Answer("oadrDistributeEvent", values)


async def created(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """What the VEN says of its events: each answer is judged on its own, and all that can be taken are taken.

    Code 452 names an event that is unknown, 450 a modification number that is not the newest.
    """
    now, code, reason = context.clock.now(), int(Code.OK), "OK"
    kept: list[tuple[ServedVen, ToldEvent]] = []
    entries: list[Rows] = []
    for one in message.event_responses:
        held = ven.events.get(one.event_id)
        if held is None:
            code, reason = int(Code.INVALID_ID), f"the event {one.event_id[:64]} is not known"
            continue
        if held.ends_at <= now:
            continue
        if one.modification != held.modification:
            code, reason = int(Code.OUT_OF_SEQUENCE), f"the event {one.event_id[:64]} has another modification number"
            continue
        opt = one.opt if one.opt in set(OptType) else None
        changed = dataclasses.replace(held, acked=held.modification, opt=opt)
        if changed == held:
            continue
        kept.append((ven, changed))
        if opt is not None and opt != held.opt and not held.cancelled:
            report = opt_report(ven, held, opt, one, print_instant(now))
            entries.append(context.outbox.entry(f"opt/{ven.ven_id}/{held.event_id}", ven.ven_id, report, now))
    if kept:
        await context.registry.keep_events(kept, *entries)
    if entries:
        context.outbox.wake()
    return Answer("oadrResponse", {"response": answered(message, code, reason), "ven_id": ven.ven_id})


def opt_report(ven: ServedVen, held: ToldEvent, opt: str, said: EventResponse, at: str) -> Json:
    """An opt as a report on the event: 3.1 has no object for it, and the two official states say that one opted out."""
    payloads: list[Json] = [{"type": "X_20B_OPT", "values": [opt]}]
    if opt == OptType.OUT:
        payloads.insert(0, {"type": "OPERATING_STATE", "values": [OperatingState.RUNNING_OPTED_OUT.value]})
    if said.code != Code.OK:
        payloads.append({"type": "X_20B_OPT_REASON", "values": [f"{said.code} {said.description}"[:128]]})
    return state_report(ven, held.oa3_id, "20b opt", ven.provision.ven_name, payloads, at)


def state_report(ven: ServedVen, oa3_id: str, name: str, resource: str, payloads: list[Json], at: str) -> Json:
    """A report of one state of one resource on an event."""
    interval = {"id": 0, "intervalPeriod": {"start": at, "duration": "PT0S"}, "payloads": payloads}
    return {
        "eventID": oa3_id,
        "clientName": ven.provision.ven_name,
        "reportName": name,
        "resources": [{"resourceName": resource, "intervals": [interval]}],
    }
