"""Revisions of a store that does not exist: what is applied, what a failure leaves behind, and who waits for whom."""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading

import pytest
from sqlalchemy import make_url

from vtn.databases import Schema, migrate, opening_failure

FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table("things", sa.Column("name", sa.String, primary_key=True))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("things", sa.Column("colour", sa.String))
    op.execute("INSERT INTO things VALUES ('a', 'red')")
"""
FAILS = SECOND + '    op.execute("DROP TABLE missing")\n'


@pytest.fixture
def schema(tmp_path):
    """Revisions in a folder whose name Alembic's settings would read otherwise, unless it is escaped."""
    folder = tmp_path / "the 50% store, new"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "r0001.py").write_text(FIRST)
    return Schema(folder, "things_version")


@pytest.fixture
def url(tmp_path):
    return make_url(f"sqlite:///{tmp_path}/things.db")


def rows(url, query):
    with contextlib.closing(sqlite3.connect(url.database)) as database:
        return database.execute(query).fetchall()


async def test_each_revision_is_applied_once_and_noted_in_the_store_s_own_table(schema, url):
    await migrate(url, schema)
    (schema.folder / "r0002.py").write_text(SECOND)
    for _ in range(2):
        await migrate(url, schema)
    assert rows(url, "SELECT * FROM things") == [("a", "red")]
    assert rows(url, "SELECT * FROM things_version") == [("0002",)]


async def test_a_revision_that_fails_leaves_the_database_as_it_was_and_can_be_tried_again(schema, url):
    await migrate(url, schema)
    (schema.folder / "r0002.py").write_text(FAILS)
    with pytest.raises(Exception, match="no such table: missing"):
        await migrate(url, schema)
    assert rows(url, "SELECT * FROM things_version") == [("0001",)]
    assert [column[1] for column in rows(url, "PRAGMA table_info(things)")] == ["name"]
    (schema.folder / "r0002.py").write_text(SECOND + "\n# mended\n")
    await migrate(url, schema)
    assert rows(url, "SELECT * FROM things_version") == [("0002",)]


async def test_a_process_that_migrates_is_waited_for(schema, url, monkeypatch):
    descriptor = os.open(f"{url.database}.migrate", os.O_RDWR | os.O_CREAT, 0o600)
    flock, asked = fcntl.flock, threading.Event()
    flock(descriptor, fcntl.LOCK_EX)
    monkeypatch.setattr(fcntl, "flock", lambda *given: (asked.set(), flock(*given)))
    waiting = asyncio.create_task(migrate(url, schema))
    assert await asyncio.to_thread(asked.wait, 60)
    assert not waiting.done()
    assert rows(url, "SELECT count(*) FROM sqlite_master") == [(0,)]
    os.close(descriptor)
    await waiting
    assert rows(url, "SELECT * FROM things_version") == [("0001",)]


def test_a_failure_is_told_by_its_file_or_at_least_by_its_name():
    assert opening_failure(FileNotFoundError(2, "No such file", "a.db")) == "a.db: No such file"
    assert opening_failure(TimeoutError()) == "TimeoutError"
