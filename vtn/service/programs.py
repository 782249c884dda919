"""Programs belong to Business Logic; their names are unique (PROG-07), which storage enforces."""

from vtn.service.objects import ObjectKind
from vtn.wire.enumerations import ObjectType

PROGRAMS = ObjectKind(ObjectType.PROGRAM)
