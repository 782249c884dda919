"""A resource of a ven: a zone, a feeder or a charging point, and the targets granted to it."""

from typing import Literal

import pydantic

from vtn.wire.model import Many, Metadata, Name, ObjectId, Omittable, WireModel
from vtn.wire.values import ValuesMap


class VenResourceRequest(WireModel):
    """A resource as its VEN writes it."""

    object_type: Literal["VEN_RESOURCE_REQUEST"] = pydantic.Field(alias="objectType")
    resource_name: Name = pydantic.Field(alias="resourceName")
    ven_id: ObjectId = pydantic.Field(alias="venID")
    attributes: Many[ValuesMap] | None = None


class BlResourceRequest(WireModel):
    """A resource as Business Logic writes it. The schema of 3.1.0 wants a clientID, 3.0.1 and 3.1.1 know none.

    The owner is the ven's whatever is said; a clientID that is there must agree with it (RES-13).
    """

    object_type: Literal["BL_RESOURCE_REQUEST"] = pydantic.Field(alias="objectType")
    resource_name: Name = pydantic.Field(alias="resourceName")
    ven_id: ObjectId = pydantic.Field(alias="venID")
    targets: Many[Name] | None = None
    attributes: Many[ValuesMap] | None = None
    client_id: Omittable[Name] = pydantic.Field(None, alias="clientID")


class Resource(Metadata):
    """A resource as the VTN returns it."""

    client_id: Name = pydantic.Field(alias="clientID")
    resource_name: Name = pydantic.Field(alias="resourceName")
    ven_id: ObjectId = pydantic.Field(alias="venID")
    targets: Many[Name] | None = None
    attributes: Many[ValuesMap] | None = None
