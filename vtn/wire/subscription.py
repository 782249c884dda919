"""A subscription: which operations on which objects are to be posted where."""

import pydantic

from vtn.wire.enumerations import ObjectTypeName, OperationName
from vtn.wire.model import Many, Metadata, Name, ObjectId, Omittable, Uri, WireModel


class ObjectOperation(WireModel):
    """Kinds and operations that go to one callback URL."""

    objects: Many[ObjectTypeName]
    operations: Many[OperationName]
    callback_url: Uri = pydantic.Field(alias="callbackUrl")
    bearer_token: str | None = pydantic.Field(None, alias="bearerToken", repr=False)


class SubscriptionRequest(WireModel):
    """A subscription as a client writes it."""

    client_name: Name = pydantic.Field(alias="clientName")
    program_id: Omittable[ObjectId] = pydantic.Field(None, alias="programID")
    object_operations: Many[ObjectOperation] = pydantic.Field(alias="objectOperations")
    targets: Many[Name] | None = None


class Subscription(Metadata, SubscriptionRequest):
    """A subscription as the VTN returns it."""

    client_id: Name = pydantic.Field(alias="clientID")
