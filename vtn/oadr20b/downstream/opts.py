"""EiOpt: resources that are opted in or out of one event, and availability over times to come."""

from typing import Any

from vtn.oadr20b.codec.encode import print_instant, print_span
from vtn.oadr20b.codec.messages import Code, EiOpt, OadrMessage, OptType
from vtn.oadr20b.downstream.context import Answer, DownstreamContext, MessageRefused, answered
from vtn.oadr20b.downstream.events import state_report
from vtn.oadr20b.downstream.vens import ServedVen
from vtn.oadr20b.store.database import Rows
from vtn.wire.enumerations import OperatingState

Json = dict[str, Any]
MOST_OPTS = 500


async def create(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """Take an opt. 452 for an event that is not the VEN's, 454 for an opt that is about nothing."""
    opt = message.opt
    if opt is None or opt.opt not in set(OptType) or not opt.opt_id:
        raise MessageRefused(Code.INVALID_DATA, "the opt has no optID or optType")
    if opt.event_id is None and not opt.windows:
        raise MessageRefused(Code.INVALID_DATA, "the opt names neither an event nor times")
    if opt.event_id is not None and opt.event_id not in ven.events:
        raise MessageRefused(Code.INVALID_ID, f"the event {opt.event_id[:64]} is not known")
    if len(ven.opts) >= MOST_OPTS and opt.opt_id not in ven.opts:
        raise MessageRefused(Code.NOT_ALLOWED, f"a VEN has {MOST_OPTS} opts at most")
    after = {**ven.opts, opt.opt_id: opt}
    await context.registry.keep_opt(ven, opt, *_entries(context, ven, opt, after))
    context.outbox.wake()
    return Answer("oadrCreatedOpt", {"response": answered(message), "opt_id": opt.opt_id})


async def cancel(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """Take an opt back; 452 for one that is not known."""
    opt = ven.opts.get(message.opt_id or "")
    if opt is None:
        raise MessageRefused(Code.INVALID_ID, "the opt is not known")
    after = {key: one for key, one in ven.opts.items() if key != opt.opt_id}
    await context.registry.drop_opt(ven, opt.opt_id, *_entries(context, ven, opt, after))
    context.outbox.wake()
    return Answer("oadrCanceledOpt", {"response": answered(message), "opt_id": opt.opt_id})


def _entries(context: DownstreamContext, ven: ServedVen, opt: EiOpt, after: dict[str, EiOpt]) -> list[Rows]:
    """What our VTN is told: the states of the resources on the event, or all times at which nothing can be shed."""
    now = context.clock.now()
    if opt.event_id is None:
        report = availability_report(ven, context.watch.standing_id, after)
        return [context.outbox.entry(f"times/{ven.ven_id}", ven.ven_id, report, now)] if report is not None else []
    held = ven.events.get(opt.event_id)
    if held is None:
        return []
    stands = opt.opt_id in after
    entries = []
    for resource in _resources(ven, opt):
        out = stands and opt.opt == OptType.OUT
        payloads: list[Json] = [{"type": "X_20B_OPT", "values": [str(OptType.OUT if out else OptType.IN)]}]
        if out:
            payloads.insert(0, {"type": "OPERATING_STATE", "values": [OperatingState.RUNNING_OPTED_OUT.value]})
        if stands and opt.reason:
            payloads.append({"type": "X_20B_OPT_REASON", "values": [opt.reason[:128]]})
        report = state_report(ven, held.oa3_id, f"20b opt {resource}"[:128], resource, payloads, print_instant(now))
        subject = f"opt/{ven.ven_id}/{held.event_id}/{resource}"
        entries.append(context.outbox.entry(subject, ven.ven_id, report, now))
    return entries


def _resources(ven: ServedVen, opt: EiOpt) -> list[str]:
    """The resources that an opt is about; the VEN itself where it names none."""
    named = [one.value[:128] for one in opt.targets if one.kind == "resourceID" and one.value]
    return named or [ven.provision.ven_name]


def availability_report(ven: ServedVen, standing_id: str | None, opts: dict[str, EiOpt]) -> Json | None:
    """The times to come at which nothing can be shed, of all schedules of a VEN; None where nobody asks for it."""
    if standing_id is None:
        return None
    spans: dict[str, list[Json]] = {}
    for opt in opts.values():
        if opt.event_id is not None or opt.opt != OptType.OUT:
            continue
        for resource in _resources(ven, opt):
            own = spans.setdefault(resource, [])
            own += [
                {
                    "id": len(own) + number,
                    "intervalPeriod": {"start": print_instant(one.start), "duration": print_span(one.duration)},
                    "payloads": [{"type": "LOAD_SHED_DELTA_AVAILABLE", "values": [0]}],
                }
                for number, one in enumerate(opt.windows)
            ]
    return {
        "eventID": standing_id,
        "clientName": ven.provision.ven_name,
        "reportName": "20b availability",
        "resources": [
            {"resourceName": name, "intervals": intervals}
            for name, intervals in (spans or {ven.provision.ven_name: []}).items()
        ],
    }
