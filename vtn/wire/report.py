"""A report: what a VEN measured or expects, per resource and interval."""

import pydantic

from vtn.wire.interval import Interval, IntervalPeriod
from vtn.wire.model import Many, Metadata, Name, ObjectId, Omittable, WireModel
from vtn.wire.values import ReportPayloadDescriptor


class ReportResource(WireModel):
    """The data of one resource; the name is a label and need not be a resource object (RPT-15)."""

    resource_name: Name = pydantic.Field(alias="resourceName")
    interval_period: Omittable[IntervalPeriod] = pydantic.Field(None, alias="intervalPeriod")
    intervals: Many[Interval]


class ReportRequest(WireModel):
    """A report as a VEN writes it."""

    event_id: ObjectId = pydantic.Field(alias="eventID")
    client_name: Name = pydantic.Field(alias="clientName")
    report_name: str | None = pydantic.Field(None, alias="reportName")
    payload_descriptors: Many[ReportPayloadDescriptor] | None = pydantic.Field(None, alias="payloadDescriptors")
    resources: Many[ReportResource]


class Report(Metadata, ReportRequest):
    """A report as the VTN returns it."""

    client_id: Name = pydantic.Field(alias="clientID")
