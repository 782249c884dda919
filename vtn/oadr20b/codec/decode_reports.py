"""Reports, report requests and METADATA reports, read from a checked tree."""

from collections.abc import Iterator
from datetime import datetime

from vtn.oadr20b.codec.elements import (
    Element,
    children,
    duration_of,
    instant_of,
    is_true,
    item_of,
    local_name,
    needed,
    number_of,
    required,
    targets_of,
    text_of,
    whole_of,
)
from vtn.oadr20b.codec.messages import (
    ZERO,
    MetadataReport,
    OadrReport,
    OadrReportRequest,
    ReportDescription,
    ReportPoint,
    ResourceStatus,
)
from vtn.oadr20b.codec.reading import BadMessage
from vtn.wire.interval import BEGINNING


def registered_reports(body: Element) -> dict[str, object]:
    """What can be reported (oadrRegisterReport)."""
    return {"metadata": tuple(_metadata(one) for one in children(body, "oadrReport"))}


def _metadata(element: Element) -> MetadataReport:
    return MetadataReport(
        required(element, "reportSpecifierID"),
        text_of(element, "reportName") or "",
        tuple(_description(one) for one in children(element, "oadrReportDescription")),
        instant_of(element, "createdDateTime") or BEGINNING,
        duration_of(element, "duration/duration"),
    )


def _description(element: Element) -> ReportDescription:
    rate = element.find("{*}oadrSamplingRate")
    return ReportDescription(
        required(element, "rID"),
        required(element, "reportType"),
        text_of(element, "readingType") or "",
        item_of(element),
        text_of(element, "reportSubject/endDeviceAsset/mrid"),
        targets_of(element.find("{*}reportDataSource")),
        text_of(element, "marketContext"),
        duration_of(rate, "oadrMinPeriod") if rate is not None else None,
        duration_of(rate, "oadrMaxPeriod") if rate is not None else None,
        rate is not None and is_true(text_of(rate, "oadrOnChange")),
    )


def report_requests(body: Element) -> dict[str, object]:
    """Reports that are asked for."""
    return {"requests": tuple(_request(one) for one in children(body, "oadrReportRequest"))}


def _request(element: Element) -> OadrReportRequest:
    specifier = needed(element, "reportSpecifier")
    return OadrReportRequest(
        required(element, "reportRequestID"),
        required(specifier, "reportSpecifierID"),
        tuple(
            (required(one, "rID"), text_of(one, "readingType") or "") for one in children(specifier, "specifierPayload")
        ),
        duration_of(specifier, "granularity/duration") or ZERO,
        duration_of(specifier, "reportBackDuration/duration") or ZERO,
        instant_of(specifier, "reportInterval/properties/dtstart/date-time"),
        duration_of(specifier, "reportInterval/properties/duration/duration"),
    )


def updated_reports(body: Element) -> dict[str, object]:
    """Reports with data (oadrUpdateReport)."""
    return {"reports": tuple(_report(one) for one in children(body, "oadrReport"))}


def _report(element: Element) -> OadrReport:
    created = instant_of(element, "createdDateTime") or BEGINNING
    base = instant_of(element, "dtstart/date-time")
    return OadrReport(
        required(element, "reportRequestID"),
        text_of(element, "reportSpecifierID") or "",
        text_of(element, "reportName") or "",
        tuple(_points(element, base or created)),
        created,
        text_of(element, "eiReportID") or "",
        base,
    )


def _points(element: Element, at: datetime) -> Iterator[ReportPoint]:
    for interval in element.iterfind("{*}intervals/{*}interval"):
        at = instant_of(interval, "dtstart/date-time") or at
        lasts = duration_of(interval, "duration/duration")
        for payload in children(interval, "oadrReportPayload"):
            confidence, accuracy = text_of(payload, "confidence"), text_of(payload, "accuracy")
            yield ReportPoint(
                required(payload, "rID"),
                at,
                _value(payload),
                lasts,
                text_of(payload, "oadrDataQuality"),
                whole_of(confidence) if confidence else None,
                number_of(accuracy) if accuracy else None,
            )
        try:
            at += lasts or ZERO
        except OverflowError:
            raise BadMessage("an interval ends beyond the calendar") from None


def _value(payload: Element) -> float | ResourceStatus:
    status = payload.find("{*}oadrPayloadResourceStatus")
    if status is None:
        value = payload.find(".//{*}value")
        return number_of(value.text if value is not None else None)
    state = status.find("{*}oadrLoadControlState")
    levels = () if state is None else tuple((local_name(one), number_of(text_of(one, "oadrCurrent"))) for one in state)
    return ResourceStatus(
        is_true(text_of(status, "oadrOnline")), is_true(text_of(status, "oadrManualOverride")), levels
    )


def pending_reports(body: Element) -> dict[str, object]:
    """The reports that are still sent."""
    found = body.iterfind("{*}oadrPendingReports/{*}reportRequestID")
    return {"report_request_ids": tuple((one.text or "").strip() for one in found)}


def cancelled_reports(body: Element) -> dict[str, object]:
    """The reports that are cancelled (oadrCancelReport)."""
    return {
        "report_request_ids": tuple((one.text or "").strip() for one in children(body, "reportRequestID")),
        "report_to_follow": is_true(text_of(body, "reportToFollow")),
    }


def reports_cancelled_with(body: Element) -> dict[str, object]:
    """The reports that an oadrUpdatedReport cancels."""
    cancelled = body.find("{*}oadrCancelReport")
    return cancelled_reports(cancelled) if cancelled is not None else {}
