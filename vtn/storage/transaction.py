"""Do a batch of commands inside one transaction, under the lock on the head of the log.

First hopefully: runs of new objects go in together, and there are no savepoints. When the database refuses any of it,
everything is rolled back and done again carefully, each command in a savepoint, so that only the guilty one fails.
What refuses in Python does so before its command has written anything; commands that belong together have a savepoint
around them for that.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from vtn.databases import OUT_OF_REACH
from vtn.errors import Conflict, Moved
from vtn.storage.conflicts import TIES, conflict, tied
from vtn.storage.dialects.database import REFUSED, Creation
from vtn.storage.ports import All, Change, Command, Create, Delete, Record, Replace, Touch
from vtn.storage.records import COLUMNS, LOGGED, Values, kept, log_row, missing, record_of, row_of, selected
from vtn.storage.statements import archive, inserts, usage
from vtn.storage.statements.usage import Limits
from vtn.storage.tables import LOG, OBJECTS
from vtn.wire.enumerations import ObjectType, Operation

Outcome = tuple[Change, ...] | Exception
Kind = ObjectType


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A command, when and by whom it was given, and by which bounds; the row of the object that it creates."""

    command: Command
    at: str
    actor: str
    limits: Limits
    row: Values = ()


@dataclasses.dataclass(frozen=True, slots=True)
class PendingChange:
    """A change that has no number yet."""

    operation: Operation
    record: Record
    before: Record | None = None


def created_kind(job: Job) -> ObjectType | None:
    """The kind of object that a job creates, if that is all, and no tie of it has to be judged before."""
    if not isinstance(job.command, Create) or _loose(job.command.record):
        return None
    return job.command.record.kind


def _loose(record: Record) -> bool:
    """Whether the database cannot judge the record's tie, because nobody owns it: a reference of nulls always holds."""
    if record.client_id is not None:
        return False
    tie = TIES.get(record.kind)
    return tie is not None and getattr(record, tie.shared) is None


def rows(jobs: Sequence[Job]) -> list[Creation]:
    """What jobs that create objects have to insert."""
    return [(job.at, job.actor, job.row) for job in jobs]


def counted(jobs: Sequence[Job]) -> list[Values]:
    """By how much jobs that create objects make accounts grow."""
    created = [job.command.record for job in jobs if isinstance(job.command, Create)]
    return usage.rows_of_new(created, jobs[0].limits)


def numbered(jobs: Sequence[Job], first: int) -> list[Outcome]:
    """What jobs that create objects came to, once they have numbers from `first`."""
    return [
        (Change(seq, job.at, Operation.CREATE, job.command.record, None, job.actor),)
        for seq, job in enumerate(jobs, start=first)
        if isinstance(job.command, Create)
    ]


def apply(connection: Connection, jobs: Sequence[Job], *, careful: bool) -> list[Outcome]:
    """Do the jobs in order, inside the transaction of `connection`; one outcome for each."""
    connection.execute(inserts.LOCK)
    outcomes: list[Outcome] = []
    for kind, group in groupby(jobs, created_kind):
        run = list(group)
        if kind is None or careful:
            outcomes += [_alone(connection, job, careful=careful) for job in run]
        else:
            outcomes += numbered(run, inserts.create(connection, kind, rows(run), counted(run)))
    return outcomes


def _together(connection: Connection, job: Job, commands: Sequence[Command]) -> Outcome:
    """Commands that belong together; each has a savepoint too, so that the reason of a refusal can be asked for."""
    changes: list[Change] = []
    with connection.begin_nested() as savepoint:
        for command in commands:
            outcome = _alone(connection, dataclasses.replace(job, command=command), careful=True)
            if isinstance(outcome, Exception):
                savepoint.rollback()
                return outcome
            changes += outcome
    return tuple(changes)


def _alone(connection: Connection, job: Job, *, careful: bool) -> Outcome:
    if isinstance(job.command, All):
        return _together(connection, job, job.command.commands)
    try:
        drafts = _drafts(connection, job.command)
        _judge_ties(connection, drafts)
    except OUT_OF_REACH:
        raise
    except Exception as error:  # noqa: BLE001 - whatever `revise` or `check` raises belongs to its caller alone
        return error
    try:
        with connection.begin_nested() if careful else nullcontext():
            return _write(connection, job, drafts)
    except REFUSED:
        if not careful:
            raise
        return conflict(connection, [draft.record for draft in drafts], _growth(drafts), job.limits)


def _judge_ties(connection: Connection, drafts: Sequence[PendingChange]) -> None:
    """Moved when an object that nobody owns hangs on one that somebody owns by now, but for what moves along."""
    moving = {draft.record.id for draft in drafts}
    for draft in drafts:
        record = draft.record
        if draft.operation is not Operation.DELETE and _loose(record):
            tie = TIES[record.kind]
            if getattr(record, tie.column) not in moving and not tied(connection, record):
                raise Moved(tie.message)


# --- what a command will change ------------------------------------------------------------------------------------


def _drafts(connection: Connection, command: Command) -> list[PendingChange]:
    match command:
        case Create(record):
            row_of(record)
            return [PendingChange(Operation.CREATE, record)]
        case Replace():
            return _replacements(connection, command)
        case Delete():
            return _deletions(connection, command)
        case Touch():
            return []
        case All():
            raise TypeError("commands that belong together are taken apart first")


def _replacements(connection: Connection, command: Replace) -> list[PendingChange]:
    stored = _stored(connection, command.kind, command.id)
    record = command.revise(stored)
    drafts = [PendingChange(Operation.UPDATE, record, stored)]
    if command.follow and record.client_id != stored.client_id:
        resources = _found(connection, Kind.RESOURCE, OBJECTS[Kind.RESOURCE].c.ven_id == command.id)
        drafts += [
            PendingChange(Operation.UPDATE, command.follow(resource, record), resource) for resource in resources
        ]
    for draft in drafts:
        _admit(draft)
    return drafts


def _admit(draft: PendingChange) -> None:
    if draft.before and (draft.record.kind, draft.record.id) != (draft.before.kind, draft.before.id):
        raise ValueError("a replacement keeps its kind and its id")
    row_of(draft.record)


def _deletions(connection: Connection, command: Delete) -> list[PendingChange]:
    stored = _stored(connection, command.kind, command.id)
    command.check(stored)
    children = CHILDREN.get(command.kind, _of_nothing)(command.id)
    if not command.cascade:
        _childless(connection, children, command.kind)
    found = [child for kind, condition in children for child in _found(connection, kind, condition)]
    return [PendingChange(Operation.DELETE, record) for record in (*found, stored)]


Children = Sequence[tuple[ObjectType, ColumnElement[bool]]]


def _of_nothing(_object_id: str) -> Children:
    return ()


def _of_program(program_id: str) -> Children:
    report, event, subscription = (OBJECTS[kind].c for kind in (Kind.REPORT, Kind.EVENT, Kind.SUBSCRIPTION))
    events = select(event.id).where(event.program_id == program_id)
    return (
        (Kind.REPORT, or_(report.program_id == program_id, report.event_id.in_(events))),
        (Kind.EVENT, event.program_id == program_id),
        (Kind.SUBSCRIPTION, subscription.program_id == program_id),
    )


CHILDREN: dict[ObjectType, Callable[[str], Children]] = {
    Kind.PROGRAM: _of_program,
    Kind.EVENT: lambda event_id: ((Kind.REPORT, OBJECTS[Kind.REPORT].c.event_id == event_id),),
    Kind.VEN: lambda ven_id: ((Kind.RESOURCE, OBJECTS[Kind.RESOURCE].c.ven_id == ven_id),),
}


def _childless(connection: Connection, children: Children, parent: ObjectType) -> None:
    for kind, condition in children:
        if connection.execute(select(OBJECTS[kind].c.id).where(condition).limit(1)).first():
            raise Conflict(f"the {parent.lower()} still has {kind.lower()}s")


def _stored(connection: Connection, kind: ObjectType, object_id: str) -> Record:
    for record in _found(connection, kind, OBJECTS[kind].c.id == object_id):
        return record
    raise missing(kind)


def _found(connection: Connection, kind: ObjectType, condition: ColumnElement[bool]) -> Iterator[Record]:
    table = OBJECTS[kind]
    query = select(*selected(table)).where(condition).order_by(table.c.created, table.c.id)
    found: Sequence[Row[tuple[object, ...]]] = connection.execute(query).all()
    return (record_of(kind, row) for row in found)


# --- changing it ---------------------------------------------------------------------------------------------------


def _write(connection: Connection, job: Job, drafts: Sequence[PendingChange]) -> tuple[Change, ...]:
    for (operation, kind), group in groupby(drafts, lambda draft: (draft.operation, draft.record.kind)):
        WRITERS[operation](connection, kind, [draft.record for draft in group], job)
    usage.count(connection, _growth(drafts), job.limits)
    first = inserts.take(connection, len(drafts))
    if not drafts:
        return ()
    changes = tuple(
        Change(seq, job.at, draft.operation, draft.record, draft.before, job.actor)
        for seq, draft in enumerate(drafts, start=first)
    )
    log = [dict(zip(LOGGED, log_row(change, row_of(change.record)), strict=True)) for change in changes]
    connection.execute(insert(LOG), log)
    return changes


def _growth(drafts: Sequence[PendingChange]) -> usage.Growth:
    """By how much accounts grow; what is deleted goes, what is created was not there before."""
    return usage.growth(
        (draft.record, None) if draft.operation is Operation.DELETE else (draft.before, draft.record)
        for draft in drafts
    )


def _insert(connection: Connection, kind: ObjectType, records: Sequence[Record], _job: Job) -> None:
    values = [dict(zip(COLUMNS[kind], kept(kind, row_of(record)), strict=True)) for record in records]
    connection.execute(insert(OBJECTS[kind]), values)


def _update(connection: Connection, kind: ObjectType, records: Sequence[Record], _job: Job) -> None:
    names = COLUMNS[kind]
    table = OBJECTS[kind]
    statement = (
        update(table)
        .where(table.c.id == bindparam("new_id"))
        .values({name: bindparam(f"new_{name}") for name in names if name != "id"})
    )
    marks = [f"new_{name}" for name in names]
    connection.execute(statement, [dict(zip(marks, kept(kind, row_of(record)), strict=True)) for record in records])


def _delete(connection: Connection, kind: ObjectType, records: Sequence[Record], job: Job) -> None:
    if kind is Kind.REPORT:
        archive.add(connection, records, job.at, job.limits)
    table = OBJECTS[kind]
    connection.execute(delete(table).where(table.c.id == bindparam("gone")), [{"gone": one.id} for one in records])


WRITERS: dict[Operation, Callable[[Connection, ObjectType, Sequence[Record], Job], None]] = {
    Operation.CREATE: _insert,
    Operation.UPDATE: _update,
    Operation.DELETE: _delete,
}
