"""Why a database refused a record: which reference points at nothing or has moved, which name is taken, what is full.

The database judges; its messages differ and name tables, so the reason is found by asking it, in the same transaction
and under the same lock.
"""

import dataclasses
from collections.abc import Sequence

from sqlalchemy import Connection, select

from vtn.errors import Conflict, Moved, VtnError
from vtn.storage.ports import Record
from vtn.storage.statements import usage
from vtn.storage.statements.usage import Growth, Limits
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


@dataclasses.dataclass(frozen=True, slots=True)
class Tie:
    """The record's `shared` column must be that of the object it points at, as it is now."""

    column: str
    to: ObjectType
    shared: str
    message: str


_PROGRAM = Reference("program_id", Kind.PROGRAM, "programID: no such program")
_EVENT = Reference("event_id", Kind.EVENT, "eventID: no such event")
_VEN = Reference("ven_id", Kind.VEN, "venID: no such ven")

REFERENCES: dict[ObjectType, tuple[Reference, ...]] = {
    Kind.EVENT: (_PROGRAM,),
    Kind.REPORT: (_EVENT,),
    Kind.SUBSCRIPTION: (_PROGRAM,),
    Kind.RESOURCE: (_VEN,),
}
TIES: dict[ObjectType, Tie] = {
    Kind.REPORT: Tie("event_id", Kind.EVENT, "program_id", "eventID: the event has just moved to another program"),
    Kind.RESOURCE: Tie("ven_id", Kind.VEN, "client_id", "venID: the ven has just moved to another client"),
}
UNIQUE: dict[ObjectType, tuple[Unique, ...]] = {
    Kind.PROGRAM: (Unique(("name",), "programName: another program has this name"),),
    Kind.VEN: (
        Unique(("name",), "venName: another ven has this name"),
        Unique(("client_id",), "clientID: another ven belongs to this client"),
    ),
    Kind.RESOURCE: (Unique(("ven_id", "name"), "resourceName: another resource of this ven has this name"),),
}


def conflict(connection: Connection, records: Sequence[Record], grown: Growth, bounds: Limits) -> VtnError:
    """The error for records that were refused together, after their savepoint was rolled back."""
    for record in records:
        for reference in REFERENCES.get(record.kind, ()):
            if _dangles(connection, record, reference):
                return Conflict(reference.message)
        if (tie := TIES.get(record.kind)) and not tied(connection, record):
            return Moved(tie.message)
        for unique in UNIQUE.get(record.kind, ()):
            if _clashes(records, record, unique) or _taken(connection, record, unique):
                return Conflict(unique.message)
    full = usage.excess(connection, grown, bounds)
    return full or Conflict("id: another object has this id, or a value that is needed is missing")


def tied(connection: Connection, record: Record) -> bool:
    """Whether what a record shares with what it points at is still the same; what is gone is not told here."""
    tie = TIES[record.kind]
    parent = OBJECTS[tie.to]
    found = select(parent.c[tie.shared]).where(parent.c.id == getattr(record, tie.column))
    row = connection.execute(found).first()
    return row is None or row[0] == getattr(record, tie.shared)


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
