"""Which message a VEN is sent next: what a poll brings, and what is pushed. Nothing due is None."""

from typing import Any

from vtn.oadr20b.codec.encode import request_values
from vtn.oadr20b.downstream.context import Answer, DownstreamContext
from vtn.oadr20b.downstream.events import distribute
from vtn.oadr20b.downstream.projection import events_due
from vtn.oadr20b.downstream.reports import ASKED, CANCEL_DUE
from vtn.oadr20b.downstream.vens import ServedVen


def next_message(context: DownstreamContext, ven: ServedVen) -> tuple[str, Answer] | None:
    """The service and the message: an end of the registration, events, reports to ask for or to cancel."""
    values: dict[str, Any]
    loop_s, settings = context.loop_s(), context.settings
    if ven.cancel_due:
        values = {
            "request_id": context.ids(),
            "registration_id": ven.registration.registration_id,
            "ven_id": ven.ven_id,
        }
        return "EiRegisterParty", Answer("oadrCancelPartyRegistration", values)
    if not ven.registration.report_only and events_due(ven, context.clock.now(), loop_s, settings.resend_s):
        return "EiEvent", distribute(context, ven, None)
    for state in (ASKED, CANCEL_DUE):
        found = [
            held.request
            for key, held in ven.requests.items()
            if held.state == state and _late(ven, f"{state} {key}", loop_s, settings.resend_s)
        ]
        if not found:
            continue
        for one in found:
            ven.sent[f"{state} {one.request_id}"] = 0, loop_s
        if state == ASKED:
            values = {
                "request_id": context.ids(),
                "report_requests": [request_values(one) for one in found],
                "ven_id": ven.ven_id,
            }
            return "EiReport", Answer("oadrCreateReport", values)
        values = {
            "request_id": context.ids(),
            "report_request_ids": [one.request_id for one in found],
            "report_to_follow": False,
            "ven_id": ven.ven_id,
        }
        return "EiReport", Answer("oadrCancelReport", values)
    return None


def _late(ven: ServedVen, key: str, loop_s: float, resend_s: float) -> bool:
    sent = ven.sent.get(key)
    return sent is None or loop_s - sent[1] >= resend_s
