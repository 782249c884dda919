"""Messages as XML: openleadr's templates, and ours beside them where its own lose or misspell something.

The environment is our own: it escapes every value, which openleadr's does not, so that an identifier which somebody
chose cannot close an element. Ours are the templates of events (targets of every kind, device classes, tolerance,
notification, ramp-up and recovery, `PT0S`), of reports (several points in one interval, resource status), of opts (one
target, schedules) and of registrations.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from openleadr import enums, messaging, utils

from vtn.oadr20b.codec.messages import (
    EiOpt,
    EiResponse,
    EiTarget,
    EventResponse,
    MetadataReport,
    OadrReportRequest,
    ReportPoint,
    ResourceStatus,
)

ASSETS = ("endDeviceAsset", "meterAsset")
NAMED = ("groupID", "groupName", "resourceID", "venID", "partyID")
# openleadr misspells currencyPerKW, so that no demand charge could be written.
SPACES = {**enums._MEASUREMENT_NAMESPACES, "currencyPerKW": "oadr"}  # noqa: SLF001 - held by a contract test


def print_instant(at: datetime) -> str:
    """An instant as the profile writes it: UTC, Z, whole seconds unless there is a part of one."""
    text = at.astimezone(UTC).isoformat(timespec="microseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def print_duration(length: timedelta) -> str:
    """A duration as 2.0b writes it, in whole seconds, and one at least for what is not nothing: `PT0S` for nothing."""
    whole = timedelta(seconds=round(length.total_seconds()))
    if length and not whole:
        whole = timedelta(seconds=1 if length > timedelta(0) else -1)
    return print_span(whole)


def print_span(length: timedelta) -> str:
    """A duration as 3.1 writes it, with parts of a second; a sign stands before one that is negative."""
    sign, length = ("-", -length) if length < timedelta(0) else ("", length)
    hours, rest = divmod(length.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{hours}H" if hours else "", f"{minutes}M" if minutes else ""]
    if seconds or length.microseconds:
        parts.append(f"{seconds}.{length.microseconds:06d}S" if length.microseconds else f"{seconds}S")
    clock = "".join(parts)
    if length.days and clock:
        return f"{sign}P{length.days}DT{clock}"
    return f"{sign}P{length.days}D" if length.days else f"{sign}PT{clock or '0S'}"


def print_number(number: float) -> str:
    """A number without an exponent's surprise: whole ones without a point."""
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(float(number))  # noqa: PLR2004


def _assets(classes: Iterable[str]) -> list[EiTarget]:
    return [EiTarget("endDeviceAsset", one) for one in classes]


def _by_interval(
    points: Sequence[ReportPoint],
    apart: bool,  # noqa: FBT001 - the argument of a filter
) -> Iterator[tuple[datetime, timedelta | None, list[ReportPoint]]]:
    """Points in order of time, those of one interval together, or each in an interval of its own."""
    if apart:
        yield from ((one.start, one.duration, [one]) for one in points)
        return

    def key(point: ReportPoint) -> tuple[datetime, timedelta]:
        return point.start, point.duration or timedelta(-1)

    for (start, _), group in itertools.groupby(sorted(points, key=key), key):
        together = list(group)
        yield start, together[0].duration, together


def _environment() -> Environment:
    loaders = [FileSystemLoader(Path(__file__).with_name("templates")), messaging.TEMPLATES.loader]
    made = Environment(loader=ChoiceLoader([one for one in loaders if one]), autoescape=True, trim_blocks=True)
    made.lstrip_blocks = True
    made.globals.update(ASSETS=ASSETS, NAMED=NAMED)
    made.tests["status"] = lambda value: isinstance(value, ResourceStatus)
    made.filters.update(
        instant=print_instant,
        duration=print_duration,
        datetimeformat=print_instant,
        timedeltaformat=print_duration,
        booleanformat=utils.booleanformat,
        number=print_number,
        assets=_assets,
        by_interval=_by_interval,
        space=lambda item: SPACES.get(item.name, "oadr"),
    )
    return made


_TEMPLATES = _environment()


def signed_object(kind: str, **values: Any) -> str:
    """The oadrSignedObject of a message; `values` are those of its template."""
    return str(utils.flatten_xml(_TEMPLATES.get_template(f"{kind}.xml").render(**values)))


def envelope(inner: str, signature: str | None = None) -> bytes:
    """The whole message around an oadrSignedObject."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<oadr:oadrPayload xmlns:oadr="http://openadr.org/oadr-2.0b/2012/07">'
        f"{signature or ''}{inner}</oadr:oadrPayload>"
    ).encode()


# --- values as openleadr's own templates want them --------------------------------------------------------------------


def response_values(response: EiResponse) -> dict[str, Any]:
    """An eiResponse for a template."""
    return {
        "response_code": int(response.code),
        "response_description": response.description,
        "request_id": response.request_id,
    }


def event_response_values(answer: EventResponse) -> dict[str, Any]:
    """An eventResponse for a template."""
    return {
        "response_code": int(answer.code),
        "response_description": answer.description,
        "request_id": answer.request_id,
        "event_id": answer.event_id,
        "modification_number": answer.modification,
        "opt_type": answer.opt,
    }


def metadata_values(report: MetadataReport) -> dict[str, Any]:
    """A METADATA report for a template."""
    return {
        "duration": report.duration,
        "report_descriptions": report.descriptions,
        "report_request_id": "0",
        "report_specifier_id": report.specifier_id,
        "report_name": report.name,
        "created_date_time": report.created,
    }


def request_values(request: OadrReportRequest) -> dict[str, Any]:
    """A report request for a template."""
    interval = (
        None if request.start is None else {"dtstart": request.start, "duration": request.duration or timedelta(0)}
    )
    return {
        "report_request_id": request.request_id,
        "report_specifier": {
            "report_specifier_id": request.specifier_id,
            "granularity": request.granularity,
            "report_back_duration": request.report_back,
            "report_interval": interval,
            "specifier_payloads": [{"r_id": r_id, "reading_type": reading} for r_id, reading in request.r_ids],
        },
    }


def pending_values(request_ids: Iterable[str]) -> list[dict[str, str]]:
    """Pending reports for a template."""
    return [{"report_request_id": one} for one in request_ids]


def opt_values(opt: EiOpt, request_id: str) -> dict[str, Any]:
    """An opt for a template."""
    return {"opt": opt, "request_id": request_id}
