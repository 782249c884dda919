"""Processes that are killed, and processes that start together: nothing acknowledged is lost, nothing is half done."""

import asyncio
import contextlib
import subprocess
from pathlib import Path

import fork_server
import pytest

from vtn.storage.ports import ReportQuery
from vtn.storage.tables import ARCHIVE
from vtn.wire.enumerations import ObjectType, Operation

CHILD = Path(__file__).with_name("store_child.py")
ENOUGH = 150


@contextlib.contextmanager
def child(*arguments):
    with fork_server.start(str(CHILD), *map(str, arguments), stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged_before_a_kill(url, shared_dir):
    with child(url, shared_dir) as process:
        said = [process.stdout.readline() for _ in range(ENOUGH)]
        process.kill()
        said += process.stdout.readlines()
    return [line.split(maxsplit=3) for line in said if line.endswith("\n")]


def replayed(changes):
    """What the objects must be, by the log."""
    objects = {}
    for change in changes:
        if change.operation is Operation.DELETE:
            assert objects.pop(change.record.id) == change.record
        else:
            assert objects.get(change.record.id) == change.before
            objects[change.record.id] = change.record
    return objects


@pytest.fixture
async def survivors(store_url, tmp_path, opened):
    """What a killed process had been told, and the store as the next process finds it."""
    said = await asyncio.to_thread(acknowledged_before_a_kill, store_url, tmp_path / "this host")
    return said, await opened()


async def test_whatever_was_acknowledged_before_a_kill_is_there_and_log_and_objects_agree(survivors):
    said, store = survivors
    assert len(said) >= ENOUGH
    changes = await store.changes(0, limit=1_000_000)
    assert [change.seq for change in changes] == list(range(1, len(changes) + 1))
    happened = {(change.operation, change.record.kind, change.record.id) for change in changes}
    assert {(Operation(words[0]), ObjectType(words[1]), words[2]) for words in said} <= happened
    head, found = await store.objects()
    assert head == len(changes) == store.shared_head()
    reports = await store.reports(ReportQuery(limit=1_000_000))
    assert {record.id: record for record in (*found, *reports)} == replayed(changes)


async def test_the_bodies_after_a_kill_are_whole_and_the_acknowledged_ones(survivors):
    said, store = survivors
    _, found = await store.objects()
    bodies = {record.id: record.body.decode() for record in found}
    updated = {words[2]: words[3].strip() for words in said if words[0] == "UPDATE"}
    assert updated
    assert {object_id: bodies[object_id] for object_id in updated} == updated


async def test_every_report_that_went_with_its_event_is_in_the_archive_after_a_kill(survivors):
    _, store = survivors
    deleted = [
        change.record.id
        for change in await store.changes(0, limit=1_000_000)
        if (change.operation, change.record.kind) == (Operation.DELETE, ObjectType.REPORT)
    ]
    archived = await store._database.read(lambda connection: connection.execute(ARCHIVE.select()).all())
    assert sorted(row.id for row in archived) == sorted(deleted)


async def test_processes_that_start_together_on_a_new_database_all_come_up_and_share_one_log(
    store_url, tmp_path, opened
):
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(child(store_url, tmp_path / "this host", 20)) for _ in range(3)]
        codes = [await asyncio.to_thread(process.wait, 30) for process in children]
    assert codes == [0, 0, 0]
    store = await opened()
    assert store.shared_head() == 60
    assert [change.seq for change in await store.changes(0)] == list(range(1, 61))
