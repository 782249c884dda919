"""A program: the agreement under which events are sent."""

from typing import Annotated

import pydantic

from vtn.wire.interval import IntervalPeriod
from vtn.wire.model import Many, Metadata, Name, Omittable, Uri, WireModel
from vtn.wire.values import EventPayloadDescriptor, ReportPayloadDescriptor, ValuesMap

PayloadDescriptor = Annotated[
    EventPayloadDescriptor | ReportPayloadDescriptor, pydantic.Field(discriminator="object_type")
]


class ProgramDescription(WireModel):
    """A link to a description of the program."""

    url: Uri = pydantic.Field(alias="URL")


class ProgramRequest(WireModel):
    """A program as a client writes it."""

    program_name: Name = pydantic.Field(alias="programName")
    interval_period: Omittable[IntervalPeriod] = pydantic.Field(None, alias="intervalPeriod")
    program_descriptions: Many[ProgramDescription] | None = pydantic.Field(None, alias="programDescriptions")
    payload_descriptors: Many[PayloadDescriptor] | None = pydantic.Field(None, alias="payloadDescriptors")
    attributes: Many[ValuesMap] | None = None
    targets: Many[Name] | None = None


class Program(Metadata, ProgramRequest):
    """A program as the VTN returns it."""
