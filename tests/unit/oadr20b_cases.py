"""Messages and certificates that the tests of OpenADR 2.0b share."""

from datetime import UTC, datetime, timedelta

from vtn.oadr20b.codec.encode import metadata_values, request_values, response_values
from vtn.oadr20b.codec.messages import (
    EiEvent,
    EiResponse,
    EiSignal,
    EiTarget,
    ItemBase,
    MetadataReport,
    OadrReportRequest,
    ReportDescription,
    SignalInterval,
)
from vtn.oadr20b.codec.signatures import MessageWriter

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POWER = ItemBase("powerReal", "RealPower", "W", "k", (60.0, 240.0, True))
PLAIN = MessageWriter()


def signal(name="SIMPLE", kind="level", values=(1.0,), *, start=NOON, lasts=HOUR, item=None, **more):
    """A signal whose values follow each other, each for `lasts`."""
    intervals = tuple(SignalInterval(start + lasts * number, lasts, value) for number, value in enumerate(values))
    return EiSignal(name, kind, "s0", intervals, item, **more)


def event(*signals, event_id="e1", modification=0, status="far", **more):
    """An event of one hour for the VEN `ven`, unless said otherwise."""
    found = signals or (signal(),)
    length = sum((one.duration for one in found[0].intervals), timedelta(0))
    parts = {"targets": (EiTarget("venID", "ven"),), "duration": length, **more}
    return EiEvent(event_id, modification, "http://utility.example/summer", status, NOON, NOON, signals=found, **parts)


def distributed(*events, writer=PLAIN, now=NOON):
    """An oadrDistributeEvent as it is on the wire."""
    response = response_values(EiResponse())
    return writer.write("oadrDistributeEvent", now, response=response, request_id="r1", vtn_id="VTN", events=events)


def poll(ven_id="ven", writer=PLAIN, now=NOON):
    """An oadrPoll as it is on the wire."""
    return writer.write("oadrPoll", now, ven_id=ven_id)


def description(r_id, report_type="usage", item=None, reading="Direct Read", resource=None):
    """A data point that can be reported every minute to every hour."""
    sources = (EiTarget("resourceID", resource),) if resource else ()
    return ReportDescription(r_id, report_type, reading, item, None, sources, None, timedelta(minutes=1), HOUR)


def metadata(*descriptions, specifier="spec", name="METADATA_TELEMETRY_USAGE"):
    """A report that can be asked for."""
    return MetadataReport(specifier, name, descriptions, NOON, HOUR)


def registered_reports(*reports):
    """An oadrRegisterReport as it is on the wire."""
    return PLAIN.write(
        "oadrRegisterReport", NOON, request_id="r1", reports=[metadata_values(one) for one in reports], ven_id="ven"
    )


def asked(request: OadrReportRequest):
    """An oadrCreateReport as it is on the wire."""
    return PLAIN.write(
        "oadrCreateReport", NOON, request_id="r1", report_requests=[request_values(request)], ven_id="ven"
    )
