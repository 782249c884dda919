"""An event: what a program asks for, when, and which reports it wants back."""

from collections.abc import Mapping
from typing import Annotated, Any

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


INTERVALS_AT_ONCE = 250
_several = pydantic.TypeAdapter(Many[Interval])


def read_event(content: Mapping[str, Any]) -> Event:
    """A stored event as a model. Many intervals are read a few at a time, so that other threads get on meanwhile."""
    intervals = content.get("intervals") or ()
    if len(intervals) <= INTERVALS_AT_ONCE:
        return Event.model_validate(content)
    event = Event.model_validate({**content, "intervals": []})
    starts = range(0, len(intervals), INTERVALS_AT_ONCE)
    runs = (_several.validate_python(intervals[start : start + INTERVALS_AT_ONCE]) for start in starts)
    return event.model_copy(update={"intervals": tuple(interval for run in runs for interval in run)})
