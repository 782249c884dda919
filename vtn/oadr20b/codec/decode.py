"""A checked tree as a `Message`. One reader for each part; a message's kind says which parts it has.

Texts are read as they stand. An instant without an offset is UTC, which the profile demands of all. BadMessage names
the element that is missing or cannot be read; of an event that cannot be read the others of its message stay.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from vtn.oadr20b.codec.decode_reports import (
    cancelled_reports,
    pending_reports,
    registered_reports,
    report_requests,
    reports_cancelled_with,
    updated_reports,
)
from vtn.oadr20b.codec.elements import (
    Element,
    children,
    duration_of,
    instant,
    instant_of,
    is_true,
    item_of,
    needed,
    number_of,
    required,
    targets_of,
    text_of,
    whole_of,
)
from vtn.oadr20b.codec.messages import (
    ZERO,
    EiEvent,
    EiOpt,
    EiResponse,
    EiSignal,
    EventResponse,
    OadrMessage,
    OptWindow,
    PartyRegistration,
    SignalInterval,
)
from vtn.oadr20b.codec.reading import MOST_BYTES, BadMessage, Parsed, parse
from vtn.wire.interval import BEGINNING


def decode(data: bytes, *, most_bytes: int = MOST_BYTES, strict: bool = True) -> tuple[OadrMessage, Parsed]:
    """Read one message from its bytes; BadMessage says what is wrong."""
    parsed = parse(data, most_bytes=most_bytes, strict=strict)
    return read(parsed), parsed


def read(parsed: Parsed) -> OadrMessage:
    """Read the message of a tree."""
    body = parsed.body
    inner = {"oadrCreatedEvent": "eiCreatedEvent", "oadrRequestEvent": "eiRequestEvent"}.get(parsed.kind)
    if inner is not None:
        body = needed(body, inner)
    reader = _READERS.get(parsed.kind)
    parts = reader(body) if reader is not None else {}
    response = body.find("{*}eiResponse")
    return OadrMessage(
        parsed.kind,
        request_id=text_of(body, "requestID") or "",
        ven_id=text_of(body, "venID"),
        vtn_id=text_of(body, "vtnID"),
        registration_id=text_of(body, "registrationID"),
        response=_response(response) if response is not None else None,
        **parts,  # type: ignore[arg-type] # each reader returns members of OadrMessage by their names
    )


def _response(element: Element) -> EiResponse:
    return EiResponse(
        whole_of(text_of(element, "responseCode"), 0),
        text_of(element, "responseDescription") or "",
        text_of(element, "requestID") or "",
    )


# --- events -----------------------------------------------------------------------------------------------------------


def _distributed(body: Element) -> dict[str, object]:
    events, faults = [], []
    for element in children(body, "oadrEvent"):
        event = needed(element, "eiEvent")
        descriptor = needed(event, "eventDescriptor")
        event_id, modification = required(descriptor, "eventID"), whole_of(text_of(descriptor, "modificationNumber"))
        try:
            events.append(_event(element, event, descriptor, event_id, modification))
        except BadMessage as wrong:
            faults.append((event_id, modification, str(wrong)))
    return {"events": tuple(events), "faults": tuple(faults)}


def _event(element: Element, event: Element, descriptor: Element, event_id: str, modification: int) -> EiEvent:
    period = needed(event, "eiActivePeriod/properties")
    start = instant(required(period, "dtstart/date-time"))
    length = duration_of(period, "duration/duration") or ZERO
    signals = tuple(_signal(one, start, length) for one in event.iterfind("{*}eiEventSignals/{*}eiEventSignal"))
    if not signals:
        raise BadMessage("the event has no signal")
    return EiEvent(
        event_id,
        modification,
        required(descriptor, "eiMarketContext/marketContext"),
        text_of(descriptor, "eventStatus") or "none",
        instant_of(descriptor, "createdDateTime") or start,
        start,
        length,
        signals,
        targets_of(event.find("{*}eiTarget")),
        whole_of(text_of(descriptor, "priority"), 0),
        (text_of(descriptor, "testEvent") or "false").lower() != "false",
        text_of(descriptor, "vtnComment") or "",
        duration_of(period, "tolerance/tolerate/startafter") or ZERO,
        duration_of(period, "x-eiNotification/duration") or ZERO,
        duration_of(period, "x-eiRampUp/duration") or ZERO,
        duration_of(period, "x-eiRecovery/duration") or ZERO,
        text_of(element, "oadrResponseRequired") or "always",
    )


def _signal(element: Element, start: datetime, length: timedelta) -> EiSignal:
    intervals, at = [], start
    for one in element.iterfind("{*}intervals/{*}interval"):
        at = instant_of(one, "dtstart/date-time") or at
        lasts = duration_of(one, "duration/duration")
        lasts = length if lasts is None else lasts
        if lasts < ZERO:
            raise BadMessage("an interval of a signal lasts less than nothing")
        value = one.find(".//{*}signalPayload//{*}value")
        intervals.append(SignalInterval(at, lasts, number_of(value.text if value is not None else None)))
        try:
            at += lasts
        except OverflowError:
            raise BadMessage("an interval ends beyond the calendar") from None
    if not intervals:
        raise BadMessage("a signal has no interval")
    current = element.find("{*}currentValue//{*}value")
    return EiSignal(
        required(element, "signalName"),
        required(element, "signalType"),
        text_of(element, "signalID") or "",
        tuple(intervals),
        item_of(element),
        number_of(current.text) if current is not None else None,
        tuple(one.value for one in targets_of(element.find("{*}eiTarget")) if one.kind == "endDeviceAsset"),
    )


def _created_event(body: Element) -> dict[str, object]:
    answers = tuple(
        EventResponse(
            required(one, "qualifiedEventID/eventID"),
            whole_of(text_of(one, "qualifiedEventID/modificationNumber")),
            text_of(one, "optType") or "none",
            text_of(one, "requestID") or "",
            whole_of(text_of(one, "responseCode"), 0),
            text_of(one, "responseDescription") or "",
        )
        for one in body.iterfind("{*}eventResponses/{*}eventResponse")
    )
    return {"event_responses": answers}


def _requested_event(body: Element) -> dict[str, object]:
    limit = text_of(body, "replyLimit")
    return {"reply_limit": whole_of(limit) if limit else None}


# --- registration and opt ---------------------------------------------------------------------------------------------


def _create_registration(body: Element) -> dict[str, object]:
    return {
        "registration": PartyRegistration(
            text_of(body, "oadrProfileName") or "",
            text_of(body, "oadrTransportName") or "",
            text_of(body, "oadrTransportAddress"),
            is_true(text_of(body, "oadrReportOnly")),
            is_true(text_of(body, "oadrXmlSignature")),
            text_of(body, "oadrVenName") or "",
            is_true(text_of(body, "oadrHttpPullModel") or "true"),
        )
    }


def _created_registration(body: Element) -> dict[str, object]:
    return {"poll_freq": duration_of(body, "oadrRequestedOadrPollFreq/duration")}


def _create_opt(body: Element) -> dict[str, object]:
    windows = tuple(
        OptWindow(
            instant(required(one, "properties/dtstart/date-time")),
            duration_of(one, "properties/duration/duration") or ZERO,
        )
        for one in body.iterfind("{*}vavailability/{*}components/{*}available")
    )
    opt = EiOpt(
        required(body, "optID"),
        required(body, "optType"),
        text_of(body, "optReason") or "",
        instant_of(body, "createdDateTime") or BEGINNING,
        text_of(body, "qualifiedEventID/eventID"),
        whole_of(text_of(body, "qualifiedEventID/modificationNumber"), 0),
        text_of(body, "marketContext"),
        windows,
        tuple(target for part in children(body, "eiTarget") for target in targets_of(part)),
        text_of(body, "oadrDeviceClass/endDeviceAsset/mrid"),
    )
    return {"opt": opt}


def _opt_id(body: Element) -> dict[str, object]:
    return {"opt_id": text_of(body, "optID")}


_READERS: dict[str, Callable[[Element], dict[str, object]]] = {
    "oadrDistributeEvent": _distributed,
    "oadrCreatedEvent": _created_event,
    "oadrRequestEvent": _requested_event,
    "oadrCreatePartyRegistration": _create_registration,
    "oadrCreatedPartyRegistration": _created_registration,
    "oadrCreateOpt": _create_opt,
    "oadrCreatedOpt": _opt_id,
    "oadrCancelOpt": _opt_id,
    "oadrCanceledOpt": _opt_id,
    "oadrRegisterReport": registered_reports,
    "oadrRegisteredReport": report_requests,
    "oadrCreateReport": report_requests,
    "oadrUpdateReport": updated_reports,
    "oadrUpdatedReport": reports_cancelled_with,
    "oadrCreatedReport": pending_reports,
    "oadrCanceledReport": pending_reports,
    "oadrCancelReport": cancelled_reports,
}
