"""A resource of a ven: a zone, a feeder or a charging point, and the targets granted to it."""

from typing import Literal

import pydantic

from vtn.wire.model import Many, Metadata, Name, ObjectId, WireModel
from vtn.wire.values import ValuesMap


class VenResourceRequest(WireModel):
    """A resource as its VEN writes it."""

    object_type: Literal["VEN_RESOURCE_REQUEST"] = pydantic.Field(alias="objectType")
    resource_name: Name = pydantic.Field(alias="resourceName")
    ven_id: ObjectId = pydantic.Field(alias="venID")
    attributes: Many[ValuesMap] | None = None


class OwnerlessResourceRequest(WireModel):
    """A resource as Business Logic writes it on OpenADR 3.0.1, which knows no clientID."""

    object_type: Literal["BL_RESOURCE_REQUEST"] = pydantic.Field(alias="objectType")
    resource_name: Name = pydantic.Field(alias="resourceName")
    ven_id: ObjectId = pydantic.Field(alias="venID")
    targets: Many[Name] | None = None
    attributes: Many[ValuesMap] | None = None


class BlResourceRequest(OwnerlessResourceRequest):
    """A resource as Business Logic writes it."""

    client_id: Name = pydantic.Field(alias="clientID")


class Resource(Metadata):
    """A resource as the VTN returns it."""

    client_id: Name = pydantic.Field(alias="clientID")
    resource_name: Name = pydantic.Field(alias="resourceName")
    ven_id: ObjectId = pydantic.Field(alias="venID")
    targets: Many[Name] | None = None
    attributes: Many[ValuesMap] | None = None
