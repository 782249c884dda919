"""Objects as the store takes them, for tests that need some."""

import itertools
import uuid

from vtn.storage.ports import Create, Delete, Record
from vtn.wire.enumerations import ObjectType

AT = "2026-07-15T16:00:00.000000Z"
_count = itertools.count()


def new_id() -> str:
    return uuid.uuid4().hex


def instant(n: int) -> str:
    return f"2026-07-15T16:{n // 60:02}:{n % 60:02}.000000Z"


def record(kind: ObjectType, **fields) -> Record:
    made = {"id": new_id(), "created": AT, "modified": AT, "body": b'{"n": 1.50}'}
    return Record(kind, **{**made, **fields})


def program(**fields) -> Record:
    return record(ObjectType.PROGRAM, **{"name": f"program {next(_count)}", "client_id": "bl", **fields})


def event(of: Record, **fields) -> Record:
    return record(ObjectType.EVENT, **{"program_id": of.id, "client_id": "bl", **fields})


def report(on: Record, **fields) -> Record:
    found_by = {"program_id": on.program_id, "event_id": on.id, "client_id": "ven-1", "client_name": "EVTN"}
    return record(ObjectType.REPORT, **{**found_by, **fields})


def subscription(to: Record | None = None, **fields) -> Record:
    found_by = {"program_id": to.id if to else None, "client_id": "ven-1", "client_name": "EVTN"}
    return record(ObjectType.SUBSCRIPTION, **{**found_by, **fields})


def ven(**fields) -> Record:
    n = next(_count)
    return record(ObjectType.VEN, **{"name": f"ven {n}", "client_id": f"client {n}", **fields})


def resource(of: Record, **fields) -> Record:
    found_by = {"name": f"resource {next(_count)}", "ven_id": of.id, "client_id": of.client_id}
    return record(ObjectType.RESOURCE, **{**found_by, **fields})


async def put(store, *records: Record) -> None:
    for one in records:
        await store.write(Create(one), at=AT, actor="bl")


def removal(of: Record, **rules) -> Delete:
    return Delete(of.kind, of.id, check=lambda _: None, **rules)
