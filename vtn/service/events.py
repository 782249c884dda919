"""Events belong to Business Logic; their program must exist (EVT-06), which storage enforces by a foreign key."""

from vtn.service.objects import ObjectKind
from vtn.wire.enumerations import ObjectType

EVENTS = ObjectKind(ObjectType.EVENT)
