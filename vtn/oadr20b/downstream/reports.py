"""EiReport: what a VEN can report, what it is asked for, and what it reports.

Every TELEMETRY report that is offered is asked for, at the nearest granularity that the VEN can give, and a history
once where settings say so. A request has the same id for ever. Data for a request that nobody made is answered 200,
and with it the request is cancelled.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from vtn.oadr20b.codec.encode import request_values
from vtn.oadr20b.codec.messages import (
    ZERO,
    Code,
    MetadataReport,
    OadrMessage,
    OadrReport,
    OadrReportRequest,
    ReportDescription,
)
from vtn.oadr20b.downstream.context import Answer, DownstreamContext, MessageRefused, answered, stable_id
from vtn.oadr20b.downstream.vens import HeldReportRequest, ServedVen
from vtn.oadr20b.mapping.reports import report_up

TELEMETRY = ("METADATA_TELEMETRY_USAGE", "METADATA_TELEMETRY_STATUS")
HISTORY = "METADATA_HISTORY_USAGE"
ASKED, CREATED, CANCEL_DUE, CANCELLED = "ASKED", "CREATED", "CANCEL_DUE", "CANCELLED"
A_DECADE = timedelta(days=3_650)
MOST_SPECIFIERS, MOST_DESCRIPTIONS = 50, 2_000
POINTS_PER_REPORT = 2_000
Json = dict[str, Any]


async def register(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """Keep what can be reported, and ask for it."""
    descriptions = sum(len(one.descriptions) for one in message.metadata)
    if len(message.metadata) > MOST_SPECIFIERS or descriptions > MOST_DESCRIPTIONS:
        raise MessageRefused(
            Code.NOT_ALLOWED, f"{MOST_SPECIFIERS} reports with {MOST_DESCRIPTIONS} points are the most"
        )
    asked = [request for one in message.metadata for request in _requests(context, ven, one)]
    known = {one.request.request_id: one for one in asked}
    # What is not offered any more is over; what is offered again keeps its id, and is said again.
    over = [
        HeldReportRequest(held.request, CANCELLED)
        for key, held in ven.requests.items()
        if key not in known and held.state != CANCELLED
    ]
    await context.registry.keep_reports(ven, message.metadata, [*asked, *over])
    values = {
        "response": answered(message),
        "report_requests": [request_values(one.request) for one in asked],
        "ven_id": ven.ven_id,
    }
    return Answer("oadrRegisteredReport", values)


def _requests(context: DownstreamContext, ven: ServedVen, offered: MetadataReport) -> list[HeldReportRequest]:
    settings, now = context.settings, context.clock.now()
    if not offered.descriptions:
        return []
    r_ids = tuple((one.r_id, one.reading_type) for one in offered.descriptions)
    request_id = stable_id(ven.ven_id, offered.specifier_id)
    before = ven.requests.get(request_id)
    if offered.name in TELEMETRY:
        granularity = _granularity(offered, timedelta(seconds=settings.granularity_s))
        back = max(timedelta(seconds=settings.report_back_s), granularity)
        start = before.request.start if before is not None and before.request.start else now.replace(microsecond=0)
        request = OadrReportRequest(request_id, offered.specifier_id, r_ids, granularity, back, start, A_DECADE)
        return [HeldReportRequest(request)]
    if offered.name == HISTORY and settings.history_hours and (before is None or before.state != CREATED):
        window = timedelta(hours=settings.history_hours)
        start = now.replace(microsecond=0) - window
        request = OadrReportRequest(request_id, offered.specifier_id, r_ids, ZERO, ZERO, start, window)
        return [HeldReportRequest(request)]
    return []


def _granularity(offered: MetadataReport, wanted: timedelta) -> timedelta:
    """The granularity that is wanted, within what all points of the report can give."""
    least = max((one.min_period for one in offered.descriptions if one.min_period is not None), default=wanted)
    most = min((one.max_period for one in offered.descriptions if one.max_period), default=wanted)
    return max(least, min(wanted, most)) if least <= most else wanted


async def created(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """The VEN says which reports it will send."""
    pending = set(message.report_request_ids)
    changed = [
        HeldReportRequest(held.request, CREATED)
        for key, held in ven.requests.items()
        if key in pending and held.state == ASKED
    ]
    await context.registry.keep_reports(ven, (), changed)
    return Answer("oadrResponse", {"response": answered(message), "ven_id": ven.ven_id})


async def cancelled(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """The VEN says which reports it still sends after some were cancelled."""
    pending = set(message.report_request_ids)
    changed = [
        HeldReportRequest(held.request, CANCELLED)
        for key, held in ven.requests.items()
        if held.state == CANCEL_DUE and key not in pending
    ]
    await context.registry.keep_reports(ven, (), changed)
    return Answer("oadrResponse", {"response": answered(message), "ven_id": ven.ven_id})


async def ask(_context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """A VEN asks us for reports, of which we have none."""
    response = answered(message, Code.REPORT_NOT_SUPPORTED, "this VTN offers no reports")
    return Answer("oadrCreatedReport", {"response": response, "pending_reports": [], "ven_id": ven.ven_id})


async def ask_to_cancel(_context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """A VEN cancels reports of ours, of which there are none."""
    response = answered(message, Code.INVALID_ID, "this VTN sends no reports")
    return Answer("oadrCanceledReport", {"response": response, "pending_reports": [], "ven_id": ven.ven_id})


async def update(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    """Keep what a VEN reports until our VTN has it, and only then say so."""
    entries: list[tuple[str, str, Json]] = []
    unknown: list[str] = []
    for report in message.reports:
        held = ven.requests.get(report.request_id)
        if held is None or held.state in {CANCEL_DUE, CANCELLED}:
            unknown.append(report.request_id)
            continue
        offered = ven.metadata.get(held.request.specifier_id)
        points = {one.r_id: one for one in offered.descriptions} if offered is not None else {}
        entries += _entries(context, ven, report, points)
    await context.outbox.add(entries, context.clock.now())
    cancel = None
    if unknown:
        named = list(dict.fromkeys(unknown))
        cancel = {
            "request_id": context.ids(),
            "report_request_id": named,
            "report_to_follow": False,
            "ven_id": ven.ven_id,
        }
    return Answer("oadrUpdatedReport", {"response": answered(message), "cancel_report": cancel, "ven_id": ven.ven_id})


def _entries(
    context: DownstreamContext, ven: ServedVen, report: OadrReport, points: dict[str, ReportDescription]
) -> Iterable[tuple[str, str, Json]]:
    """A report as reports of our VTN: each named by its request and its first instant, which a repetition shares."""
    standing_id = context.watch.standing_id
    if standing_id is None:
        raise MessageRefused(Code.OTHER_ERROR, "the VTN behind this one cannot be reached; send the report again")
    ordered = sorted(report.points, key=lambda one: (one.start, one.r_id))
    for begin in range(0, len(ordered), POINTS_PER_REPORT):
        part = ordered[begin : begin + POINTS_PER_REPORT]
        first = part[0].start.isoformat(timespec="seconds").replace("+00:00", "Z")
        name = f"20b {report.request_id[:64]} {first}"
        piece = OadrReport(report.request_id, report.specifier_id, report.name, tuple(part), report.created)
        body = report_up(piece, points, standing_id, ven.provision.ven_name, name)
        yield f"report/{ven.ven_id}/{name}", ven.ven_id, body
