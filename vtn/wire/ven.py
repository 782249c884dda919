"""A ven: a client that takes part, and the targets that Business Logic granted it."""

from typing import Literal

import pydantic

from vtn.wire.model import Many, Metadata, Name, WireModel
from vtn.wire.values import ValuesMap


class VenVenRequest(WireModel):
    """A ven as the VEN itself writes it: no owner and no targets, those are not its to give (VEN-13)."""

    object_type: Literal["VEN_VEN_REQUEST"] = pydantic.Field(alias="objectType")
    ven_name: Name = pydantic.Field(alias="venName")
    attributes: Many[ValuesMap] | None = None


class OwnerlessVenRequest(WireModel):
    """A ven as Business Logic writes it on OpenADR 3.0.1, which knows no clientID."""

    object_type: Literal["BL_VEN_REQUEST"] = pydantic.Field(alias="objectType")
    ven_name: Name = pydantic.Field(alias="venName")
    targets: Many[Name] | None = None
    attributes: Many[ValuesMap] | None = None


class BlVenRequest(OwnerlessVenRequest):
    """A ven as Business Logic writes it."""

    client_id: Name = pydantic.Field(alias="clientID")


class Ven(Metadata):
    """A ven as the VTN returns it."""

    client_id: Name = pydantic.Field(alias="clientID")
    ven_name: Name = pydantic.Field(alias="venName")
    targets: Many[Name] | None = None
    attributes: Many[ValuesMap] | None = None
