"""Payloads and the descriptors that explain them."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic_core import PydanticCustomError

from vtn.wire.enumerations import ReportIntervals
from vtn.wire.model import Int32, Many, Name, Omittable, WireModel


class Point(WireModel):
    """A pair of numbers on a curve."""

    x: float
    y: float


def _value(value: Any) -> Any:
    """A payload value as JSON has it: kept to the digit, refused when null, a list or an object that is no point."""
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return Point.model_validate(value)
    raise PydanticCustomError("value", "must be a number, text, true, false or a point with x and y")


Value = Annotated[Any, pydantic.AfterValidator(_value)]


class ValuesMap(WireModel):
    """A type and its values (schema valuesMap)."""

    type: Name
    values: Many[Value]


class EventPayloadDescriptor(WireModel):
    """Units and currency of an event payload type."""

    object_type: Literal["EVENT_PAYLOAD_DESCRIPTOR"] = pydantic.Field(alias="objectType")
    payload_type: Name = pydantic.Field(alias="payloadType")
    units: Name | None = None
    currency: str | None = None


class ReportPayloadDescriptor(WireModel):
    """Units and quality of a report payload type."""

    object_type: Literal["REPORT_PAYLOAD_DESCRIPTOR"] = pydantic.Field(alias="objectType")
    payload_type: Name = pydantic.Field(alias="payloadType")
    reading_type: Name | None = pydantic.Field(None, alias="readingType")
    units: Name | None = None
    accuracy: float | None = None
    confidence: Annotated[int, pydantic.Field(ge=0, le=100)] | None = None


class ReportDescriptor(WireModel):
    """A request for a report, carried by an event. Defaults are the schema's and are not written into the object."""

    payload_type: Name = pydantic.Field(alias="payloadType")
    reading_type: Name | None = pydantic.Field(None, alias="readingType")
    units: Name | None = None
    targets: Many[Name] | None = None
    aggregate: Omittable[bool] = None
    start_interval: Omittable[Int32] = pydantic.Field(None, alias="startInterval")
    num_intervals: Omittable[Int32] = pydantic.Field(None, alias="numIntervals")
    historical: Omittable[bool] = None
    frequency: Omittable[Int32] = None
    repeat: Omittable[Int32] = None
    report_intervals: Omittable[ReportIntervals] = pydantic.Field(None, alias="reportIntervals")
