"""A notification: one operation on one object, the same JSON on a webhook and on MQTT (MQTT-33)."""

from collections.abc import Mapping
from typing import Any

import pydantic

from vtn.wire.enumerations import ObjectTypeName, OperationName
from vtn.wire.model import Many, Name, WireModel


class Notification(WireModel):
    """What a subscriber receives; `object` is what its owner would get by GET."""

    object_type: ObjectTypeName = pydantic.Field(alias="objectType")
    operation: OperationName
    object: Mapping[str, Any]
    targets: Many[Name] | None = None
