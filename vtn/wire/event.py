"""An event: what a program asks for, when, and which reports it wants back."""

from typing import Annotated

import pydantic

from vtn.wire.interval import Interval, IntervalPeriod
from vtn.wire.model import Duration, Many, Metadata, Name, ObjectId, Omittable, WireModel
from vtn.wire.values import EventPayloadDescriptor, ReportDescriptor


class EventRequest(WireModel):
    """An event as a client writes it; `duration` absent stays absent and never means zero (TR-28)."""

    program_id: ObjectId = pydantic.Field(alias="programID")
    event_name: str | None = pydantic.Field(None, alias="eventName")
    duration: Omittable[Duration] = None
    priority: Annotated[int, pydantic.Field(ge=0)] | None = None
    targets: Many[Name] | None = None
    report_descriptors: Many[ReportDescriptor] | None = pydantic.Field(None, alias="reportDescriptors")
    payload_descriptors: Many[EventPayloadDescriptor] | None = pydantic.Field(None, alias="payloadDescriptors")
    interval_period: Omittable[IntervalPeriod] = pydantic.Field(None, alias="intervalPeriod")
    intervals: Omittable[Many[Interval]] = None


class Event(Metadata, EventRequest):
    """An event as the VTN returns it."""
