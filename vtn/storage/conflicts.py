"""Why a database refused a record: which reference points at nothing, which name is taken.

The database judges; its messages differ and name tables, so the reason is found by asking it, in the same transaction
and under the same lock.
"""

import dataclasses
from collections.abc import Sequence

from sqlalchemy import Connection, select

from vtn.errors import Conflict
from vtn.storage.ports import Record
from vtn.storage.tables import OBJECTS
from vtn.wire.enumerations import ObjectType

Kind = ObjectType


@dataclasses.dataclass(frozen=True, slots=True)
class Unique:
    """No other object of the kind may have the same values in these columns."""

    columns: tuple[str, ...]
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """The column must name an object of the kind."""

    column: str
    to: ObjectType
    message: str


_PROGRAM = Reference("program_id", Kind.PROGRAM, "programID: no such program")
_EVENT = Reference("event_id", Kind.EVENT, "eventID: no such event")
_VEN = Reference("ven_id", Kind.VEN, "venID: no such ven")

REFERENCES: dict[ObjectType, tuple[Reference, ...]] = {
    Kind.EVENT: (_PROGRAM,),
    Kind.REPORT: (_EVENT, _PROGRAM),
    Kind.SUBSCRIPTION: (_PROGRAM,),
    Kind.RESOURCE: (_VEN,),
}
UNIQUE: dict[ObjectType, tuple[Unique, ...]] = {
    Kind.PROGRAM: (Unique(("name",), "programName: another program has this name"),),
    Kind.VEN: (
        Unique(("name",), "venName: another ven has this name"),
        Unique(("client_id",), "clientID: another ven belongs to this client"),
    ),
    Kind.RESOURCE: (Unique(("ven_id", "name"), "resourceName: another resource of this ven has this name"),),
}


def conflict(connection: Connection, records: Sequence[Record]) -> Conflict:
    """The error for records that were refused together, after their savepoint was rolled back."""
    for record in records:
        for reference in REFERENCES.get(record.kind, ()):
            if _dangles(connection, record, reference):
                return Conflict(reference.message)
        for unique in UNIQUE.get(record.kind, ()):
            if _clashes(records, record, unique) or _taken(connection, record, unique):
                return Conflict(unique.message)
    return Conflict("id: another object has this id, or a value that is needed is missing")


def _dangles(connection: Connection, record: Record, reference: Reference) -> bool:
    wanted = getattr(record, reference.column)
    found = select(OBJECTS[reference.to].c.id).where(OBJECTS[reference.to].c.id == wanted)
    return wanted is not None and connection.execute(found).first() is None


def _clashes(records: Sequence[Record], record: Record, unique: Unique) -> bool:
    """Whether another record of the same command wants the same."""
    others = [other for other in records if other.kind is record.kind and other.id != record.id]
    return any(all(getattr(other, name) == getattr(record, name) for name in unique.columns) for other in others)


def _taken(connection: Connection, record: Record, unique: Unique) -> bool:
    table = OBJECTS[record.kind]
    same = [table.c[name] == getattr(record, name) for name in unique.columns]
    return connection.execute(select(table.c.id).where(table.c.id != record.id, *same)).first() is not None
