"""A checked tree as a `Message`. One reader for each part; a message's kind says which parts it has.

Texts are read as they stand. An instant without an offset is UTC, which the profile demands of all. BadMessage names the
element that is missing or cannot be read; of an event that cannot be read the others of its message stay.
"""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from lxml import etree

from vtn.oadr20b.codec.messages import (
    ZERO,
    EiEvent,
    EiOpt,
    EiResponse,
    EiSignal,
    EiTarget,
    EventResponse,
    ItemBase,
    Message,
    MetadataReport,
    OadrReport,
    OadrReportRequest,
    OptWindow,
    PartyRegistration,
    ReportDescription,
    ReportPoint,
    ResourceStatus,
    SignalInterval,
)
from vtn.oadr20b.codec.reading import MOST_BYTES, BadMessage, Parsed, parse
from vtn.wire.interval import BEGINNING, parse_duration

MOST_DURATION = timedelta(days=36_500)
MOST_NUMBER = 2**32
_MRIDS = frozenset({"endDeviceAsset", "meterAsset"})
_ITEMS = ("itemDescription", "itemUnits")
Element = etree._Element  # noqa: SLF001 - lxml's name of the class


def decode(data: bytes, *, most_bytes: int = MOST_BYTES, strict: bool = True) -> tuple[Message, Parsed]:
    """Read one message from its bytes; BadMessage says what is wrong."""
    parsed = parse(data, most_bytes=most_bytes, strict=strict)
    return read(parsed), parsed


def read(parsed: Parsed) -> Message:
    """Read the message of a tree."""
    body = parsed.body
    inner = {"oadrCreatedEvent": "eiCreatedEvent", "oadrRequestEvent": "eiRequestEvent"}.get(parsed.kind)
    if inner is not None:
        body = _need(body, inner)
    reader = _READERS.get(parsed.kind)
    parts = reader(body) if reader is not None else {}
    response = body.find("{*}eiResponse")
    return Message(
        parsed.kind,
        request_id=_text(body, "requestID") or "",
        ven_id=_text(body, "venID"),
        vtn_id=_text(body, "vtnID"),
        registration_id=_text(body, "registrationID"),
        response=_response(response) if response is not None else None,
        **parts,  # type: ignore[arg-type] # each reader returns members of Message by their names
    )


def instant(text: str) -> datetime:
    """An instant of the profile, UTC; BadMessage when it is none."""
    try:
        at = datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadMessage(f"{text[:40]!r} is no date-time") from None


def duration(text: str) -> timedelta:
    """A duration of the profile, at most a century; BadMessage when it is none. A bare `P` is nothing."""
    text = text.strip().removeprefix("+")
    if text == "P":  # openleadr writes so what has no length
        return ZERO
    try:
        span = parse_duration(text)
    except ValueError:
        raise BadMessage(f"{text[:40]!r} is no duration") from None
    if span.infinite:
        return MOST_DURATION
    length = span.after(BEGINNING.replace(year=2001)) - BEGINNING.replace(year=2001)
    return min(max(length, -MOST_DURATION), MOST_DURATION)


# --- reading elements -------------------------------------------------------------------------------------------------


def _text(element: Element, path: str) -> str | None:
    """The text of a child, or of one further down by names with a slash between."""
    found = element.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    return None if found is None else (found.text or "").strip()


def _need(element: Element, path: str) -> Element:
    found = element.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    if found is None:
        raise BadMessage(f"{_local(element)} has no {path}")
    return found


def _required(element: Element, path: str) -> str:
    return (_need(element, path).text or "").strip()


def _local(element: Element) -> str:
    return str(etree.QName(element).localname)


def _children(element: Element, name: str) -> Iterator[Element]:
    return element.iterfind(f"{{*}}{name}")


def _at(element: Element, path: str) -> datetime | None:
    text = _text(element, path)
    return instant(text) if text else None


def _length(element: Element, path: str) -> timedelta | None:
    text = _text(element, path)
    return duration(text) if text else None


def _number(text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadMessage(f"{(text or '')[:40]!r} is no number")
    return number


def _whole(text: str | None, default: int | None = None) -> int:
    if not text and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdigit() or len(text) > len(str(MOST_NUMBER)):
        raise BadMessage(f"{(text or '')[:40]!r} is no whole number")
    return min(int(text), MOST_NUMBER)


def _true(text: str | None) -> bool:
    return text in {"true", "1"}


def _response(element: Element) -> EiResponse:
    return EiResponse(
        _whole(_text(element, "responseCode"), 0),
        _text(element, "responseDescription") or "",
        _text(element, "requestID") or "",
    )


def _targets(element: Element | None) -> tuple[EiTarget, ...]:
    if element is None:
        return ()
    found = []
    for child in element:
        kind = _local(child)
        value = _text(child, "mrid") if kind in _MRIDS else "".join(child.itertext()).strip()
        found.append(EiTarget(kind, value or ""))
    return tuple(found)


def _item(element: Element) -> ItemBase | None:
    """The unit of a signal or report description, whose element has any of many names."""
    for child in element:
        if child.find("{*}itemUnits") is None:
            continue
        description, unit = (_text(child, part) or "" for part in _ITEMS)
        attributes = child.find("{*}powerAttributes")
        power = None
        if attributes is not None:
            hertz, voltage = (_number(_text(attributes, part)) for part in ("hertz", "voltage"))
            power = hertz, voltage, _true(_text(attributes, "ac"))
        return ItemBase(_local(child), description, unit, _text(child, "siScaleCode") or "none", power)
    return None


# --- events -----------------------------------------------------------------------------------------------------------


def _distributed(body: Element) -> dict[str, object]:
    events, faults = [], []
    for element in _children(body, "oadrEvent"):
        event = _need(element, "eiEvent")
        descriptor = _need(event, "eventDescriptor")
        event_id, modification = _required(descriptor, "eventID"), _whole(_text(descriptor, "modificationNumber"))
        try:
            events.append(_event(element, event, descriptor, event_id, modification))
        except BadMessage as wrong:
            faults.append((event_id, modification, str(wrong)))
    return {"events": tuple(events), "faults": tuple(faults)}


def _event(element: Element, event: Element, descriptor: Element, event_id: str, modification: int) -> EiEvent:
    period = _need(event, "eiActivePeriod/properties")
    start = instant(_required(period, "dtstart/date-time"))
    length = _length(period, "duration/duration") or ZERO
    signals = tuple(_signal(one, start, length) for one in event.iterfind("{*}eiEventSignals/{*}eiEventSignal"))
    if not signals:
        raise BadMessage("the event has no signal")
    return EiEvent(
        event_id,
        modification,
        _required(descriptor, "eiMarketContext/marketContext"),
        _text(descriptor, "eventStatus") or "none",
        _at(descriptor, "createdDateTime") or start,
        start,
        length,
        signals,
        _targets(event.find("{*}eiTarget")),
        _whole(_text(descriptor, "priority"), 0),
        (_text(descriptor, "testEvent") or "false").lower() != "false",
        _text(descriptor, "vtnComment") or "",
        _length(period, "tolerance/tolerate/startafter") or ZERO,
        _length(period, "x-eiNotification/duration") or ZERO,
        _length(period, "x-eiRampUp/duration") or ZERO,
        _length(period, "x-eiRecovery/duration") or ZERO,
        _text(element, "oadrResponseRequired") or "always",
    )


def _signal(element: Element, start: datetime, length: timedelta) -> EiSignal:
    intervals, at = [], start
    for one in element.iterfind("{*}intervals/{*}interval"):
        at = _at(one, "dtstart/date-time") or at
        lasts = _length(one, "duration/duration")
        lasts = length if lasts is None else lasts
        if lasts < ZERO:
            raise BadMessage("an interval of a signal lasts less than nothing")
        value = one.find(".//{*}signalPayload//{*}value")
        intervals.append(SignalInterval(at, lasts, _number(value.text if value is not None else None)))
        try:
            at += lasts
        except OverflowError:
            raise BadMessage("an interval ends beyond the calendar") from None
    if not intervals:
        raise BadMessage("a signal has no interval")
    current = element.find("{*}currentValue//{*}value")
    return EiSignal(
        _required(element, "signalName"),
        _required(element, "signalType"),
        _text(element, "signalID") or "",
        tuple(intervals),
        _item(element),
        _number(current.text) if current is not None else None,
        tuple(one.value for one in _targets(element.find("{*}eiTarget")) if one.kind == "endDeviceAsset"),
    )


def _created_event(body: Element) -> dict[str, object]:
    answers = tuple(
        EventResponse(
            _required(one, "qualifiedEventID/eventID"),
            _whole(_text(one, "qualifiedEventID/modificationNumber")),
            _text(one, "optType") or "none",
            _text(one, "requestID") or "",
            _whole(_text(one, "responseCode"), 0),
            _text(one, "responseDescription") or "",
        )
        for one in body.iterfind("{*}eventResponses/{*}eventResponse")
    )
    return {"event_responses": answers}


def _requested_event(body: Element) -> dict[str, object]:
    limit = _text(body, "replyLimit")
    return {"reply_limit": _whole(limit) if limit else None}


# --- registration and opt ---------------------------------------------------------------------------------------------


def _create_registration(body: Element) -> dict[str, object]:
    return {
        "registration": PartyRegistration(
            _text(body, "oadrProfileName") or "",
            _text(body, "oadrTransportName") or "",
            _text(body, "oadrTransportAddress"),
            _true(_text(body, "oadrReportOnly")),
            _true(_text(body, "oadrXmlSignature")),
            _text(body, "oadrVenName") or "",
            _true(_text(body, "oadrHttpPullModel") or "true"),
        )
    }


def _created_registration(body: Element) -> dict[str, object]:
    return {"poll_freq": _length(body, "oadrRequestedOadrPollFreq/duration")}


def _create_opt(body: Element) -> dict[str, object]:
    windows = tuple(
        OptWindow(
            instant(_required(one, "properties/dtstart/date-time")), _length(one, "properties/duration/duration") or ZERO
        )
        for one in body.iterfind("{*}vavailability/{*}components/{*}available")
    )
    opt = EiOpt(
        _required(body, "optID"),
        _required(body, "optType"),
        _text(body, "optReason") or "",
        _at(body, "createdDateTime") or BEGINNING,
        _text(body, "qualifiedEventID/eventID"),
        _whole(_text(body, "qualifiedEventID/modificationNumber"), 0),
        _text(body, "marketContext"),
        windows,
        tuple(target for part in _children(body, "eiTarget") for target in _targets(part)),
        _text(body, "oadrDeviceClass/endDeviceAsset/mrid"),
    )
    return {"opt": opt}


def _opt_id(body: Element) -> dict[str, object]:
    return {"opt_id": _text(body, "optID")}


# --- reports ----------------------------------------------------------------------------------------------------------


def _registered_reports(body: Element) -> dict[str, object]:
    return {"metadata": tuple(_metadata(one) for one in _children(body, "oadrReport"))}


def _metadata(element: Element) -> MetadataReport:
    return MetadataReport(
        _required(element, "reportSpecifierID"),
        _text(element, "reportName") or "",
        tuple(_description(one) for one in _children(element, "oadrReportDescription")),
        _at(element, "createdDateTime") or BEGINNING,
        _length(element, "duration/duration"),
    )


def _description(element: Element) -> ReportDescription:
    rate = element.find("{*}oadrSamplingRate")
    return ReportDescription(
        _required(element, "rID"),
        _required(element, "reportType"),
        _text(element, "readingType") or "",
        _item(element),
        _text(element, "reportSubject/endDeviceAsset/mrid"),
        _targets(element.find("{*}reportDataSource")),
        _text(element, "marketContext"),
        _length(rate, "oadrMinPeriod") if rate is not None else None,
        _length(rate, "oadrMaxPeriod") if rate is not None else None,
        rate is not None and _true(_text(rate, "oadrOnChange")),
    )


def _requests(body: Element) -> dict[str, object]:
    return {"requests": tuple(_request(one) for one in _children(body, "oadrReportRequest"))}


def _request(element: Element) -> OadrReportRequest:
    specifier = _need(element, "reportSpecifier")
    return OadrReportRequest(
        _required(element, "reportRequestID"),
        _required(specifier, "reportSpecifierID"),
        tuple(
            (_required(one, "rID"), _text(one, "readingType") or "") for one in _children(specifier, "specifierPayload")
        ),
        _length(specifier, "granularity/duration") or ZERO,
        _length(specifier, "reportBackDuration/duration") or ZERO,
        _at(specifier, "reportInterval/properties/dtstart/date-time"),
        _length(specifier, "reportInterval/properties/duration/duration"),
    )


def _updated(body: Element) -> dict[str, object]:
    return {"reports": tuple(_report(one) for one in _children(body, "oadrReport"))}


def _report(element: Element) -> OadrReport:
    created = _at(element, "createdDateTime") or BEGINNING
    base = _at(element, "dtstart/date-time")
    return OadrReport(
        _required(element, "reportRequestID"),
        _text(element, "reportSpecifierID") or "",
        _text(element, "reportName") or "",
        tuple(_points(element, base or created)),
        created,
        _text(element, "eiReportID") or "",
        base,
    )


def _points(element: Element, at: datetime) -> Iterator[ReportPoint]:
    for interval in element.iterfind("{*}intervals/{*}interval"):
        at = _at(interval, "dtstart/date-time") or at
        lasts = _length(interval, "duration/duration")
        for payload in _children(interval, "oadrReportPayload"):
            confidence, accuracy = _text(payload, "confidence"), _text(payload, "accuracy")
            yield ReportPoint(
                _required(payload, "rID"),
                at,
                _value(payload),
                lasts,
                _text(payload, "oadrDataQuality"),
                _whole(confidence) if confidence else None,
                _number(accuracy) if accuracy else None,
            )
        try:
            at += lasts or ZERO
        except OverflowError:
            raise BadMessage("an interval ends beyond the calendar") from None


def _value(payload: Element) -> float | ResourceStatus:
    status = payload.find("{*}oadrPayloadResourceStatus")
    if status is None:
        value = payload.find(".//{*}value")
        return _number(value.text if value is not None else None)
    state = status.find("{*}oadrLoadControlState")
    levels = () if state is None else tuple((_local(one), _number(_text(one, "oadrCurrent"))) for one in state)
    return ResourceStatus(_true(_text(status, "oadrOnline")), _true(_text(status, "oadrManualOverride")), levels)


def _pending(body: Element) -> dict[str, object]:
    found = body.iterfind("{*}oadrPendingReports/{*}reportRequestID")
    return {"report_request_ids": tuple((one.text or "").strip() for one in found)}


def _cancel_report(body: Element) -> dict[str, object]:
    return {
        "report_request_ids": tuple((one.text or "").strip() for one in _children(body, "reportRequestID")),
        "report_to_follow": _true(_text(body, "reportToFollow")),
    }


def _updated_report(body: Element) -> dict[str, object]:
    cancelled = body.find("{*}oadrCancelReport")
    return _cancel_report(cancelled) if cancelled is not None else {}


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
    "oadrRegisterReport": _registered_reports,
    "oadrRegisteredReport": _requests,
    "oadrCreateReport": _requests,
    "oadrUpdateReport": _updated,
    "oadrUpdatedReport": _updated_report,
    "oadrCreatedReport": _pending,
    "oadrCanceledReport": _pending,
    "oadrCancelReport": _cancel_report,
}
