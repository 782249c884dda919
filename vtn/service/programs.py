"""Programs belong to Business Logic; their names are unique (PROG-07), which storage enforces."""

from vtn.service.objects import Kind
from vtn.wire.enumerations import ObjectType

PROGRAMS = Kind(ObjectType.PROGRAM)
