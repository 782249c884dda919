"""Between the values that storage promises and the rows that keep them. No database is touched here.

A row of an object is a tuple in the order of `FIELDS`; tables that have fewer columns keep a part of it. A text that no
database could keep is refused here, so that SQLite and PostgreSQL refuse the same. A long body is kept compressed: JSON
repeats itself, and a log and an archive keep it again.
"""

import base64
import dataclasses
import functools
import zlib
from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Any

import orjson
import sqlalchemy
from sqlalchemy import Table

from vtn.errors import Fault, NotFound, Rejected
from vtn.storage.ports import Change, Record
from vtn.storage.tables import LOG, OBJECTS
from vtn.wire.enumerations import ObjectType, Operation

Values = tuple[Any, ...]

FIELDS = tuple(field.name for field in dataclasses.fields(Record) if field.name != "kind")
BODY = FIELDS.index("body")
NUL = "\0"
PACKED = "zlib:"
PACKED_FROM_BYTES, ARCHIVE_PACKED_FROM_BYTES = 4096, 256
FAST = 1

COLUMNS = {kind: tuple(name for name in FIELDS if name in table.c) for kind, table in OBJECTS.items()}
ARCHIVED = COLUMNS[ObjectType.REPORT]
LOGGED = ("seq", "at", "operation", "actor", "kind", "object_id", *FIELDS[1:], "before")
_FIRST_FIELD = LOGGED.index("object_id")

_read = attrgetter(*FIELDS)
_pick = {kind: itemgetter(*(FIELDS.index(name) for name in names)) for kind, names in COLUMNS.items()}
_spare = {kind: tuple(name for name in FIELDS if name not in names) for kind, names in COLUMNS.items()}


def pack(body: bytes, from_bytes: int = PACKED_FROM_BYTES) -> str:
    """A body as the text that keeps it: itself, or compressed from a size on; UnicodeError when it is no UTF-8."""
    text = body.decode()
    if len(body) < from_bytes and not text.startswith(PACKED):
        return text
    packed = _packed(body)
    return packed if len(packed) < len(body) or text.startswith(PACKED) else text


@functools.lru_cache(maxsize=8)
def _packed(body: bytes) -> str:
    """Remembered for a moment, because one write keeps a body in several rows."""
    return PACKED + base64.b64encode(zlib.compress(body, FAST)).decode()


def unpack(text: str) -> bytes:
    """The body that a text keeps."""
    if text.startswith(PACKED):
        return zlib.decompress(base64.b64decode(text[len(PACKED) :]))
    return text.encode()


def row_of(record: Record) -> Values:
    """The row of a record; Rejected when a text holds what no database can keep, ValueError for a column too many."""
    values = list(_read(record))
    for name in _spare[record.kind]:
        if getattr(record, name) is not None:
            raise ValueError(f"a {record.kind} keeps no {name}")
    try:
        values[BODY] = pack(record.body)
        text = "".join([value for value in values if value is not None])
        text.encode()
    except UnicodeError:
        raise Rejected([Fault("$", "must be text that UTF-8 can carry")]) from None
    if NUL in text:
        raise Rejected([Fault("$", "must hold no NUL character in a name or an identifier")])
    return tuple(values)


def kept(kind: ObjectType, row: Values) -> Values:
    """The part of a row that the table of its kind has, in the order of `COLUMNS`."""
    picked: Values = _pick[kind](row)
    return picked


def record_of(kind: ObjectType, row: Sequence[Any]) -> Record:
    """The record of a row in the order of `FIELDS`."""
    values = list(row)
    values[BODY] = unpack(values[BODY])
    return Record(kind, *values)


def log_row(change: Change, row: Values) -> Values:
    """The row of a change whose record has this row, in the order of `LOGGED`."""
    before = None if change.before is None else orjson.dumps(row_of(change.before)).decode()
    return (change.seq, change.at, change.operation, change.actor, change.record.kind, *row, before)


def change_of(row: Sequence[Any]) -> Change:
    """The change of a row of the log."""
    seq, at, operation, actor, kind_name = row[:_FIRST_FIELD]
    kind = ObjectType(kind_name)
    before = None if row[-1] is None else record_of(kind, orjson.loads(row[-1]))
    return Change(seq, at, Operation(operation), record_of(kind, row[_FIRST_FIELD:-1]), before, actor)


def selected(table: Table) -> list[sqlalchemy.ColumnElement[Any]]:
    """What to select from a table of objects to get rows in the order of `FIELDS`."""
    return [table.c[name] if name in table.c else sqlalchemy.null().label(name) for name in FIELDS]


def missing(kind: ObjectType) -> NotFound:
    """The error for an object that is not there."""
    return NotFound(f"no such {kind.lower()}")


LOG_COLUMNS = [LOG.c[name] for name in LOGGED]
