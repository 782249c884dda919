"""The adapter's two stores and their revisions: new databases, those of earlier releases, and those of newer ones.

`recordings/stores` has what the last release without revisions made, with one row in each table.
"""

import asyncio
import contextlib
import sqlite3
import sys
from functools import partial
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from recorded import FOLDER
from sqlalchemy.ext.asyncio import create_async_engine

from ven_adapters.config import opening
from ven_adapters.enrolment_api import store as enrolments
from ven_adapters.ven.store import database as adapter
from vtn.errors import ConfigError
from vtn.storage.sql import open_store

STORES: dict[str, type[adapter.AdapterStore] | type[enrolments.EnrolmentStore]] = {
    "adapter": adapter.AdapterStore,
    "enrolments": enrolments.EnrolmentStore,
}
VERSIONS = {"adapter": adapter.SCHEMA.version_table, "enrolments": enrolments.SCHEMA.version_table}
NEWEST = "0002"
TABLES = {"adapter": adapter.AdapterRow.metadata, "enrolments": enrolments.EnrolmentTable.metadata}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """A fresh database of each make."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url").replace("postgresql://", "postgresql+asyncpg://")
    return f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"


@pytest.fixture(params=STORES)
def name(request):
    return request.param


async def opened_and_closed(name, url):
    store = STORES[name](url)
    try:
        await store.open()
    finally:
        await store.close()


async def execute(url, script):
    """Run statements as a client of the database would, with nothing of ours between."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"))) as database:
            database.executescript(script)
        return
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def inspected(url, look):
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(look)
    finally:
        await engine.dispose()


def content(connection):
    """Every row of every table."""
    found = sqlalchemy.MetaData()
    found.reflect(connection)
    return {table.name: sorted(map(repr, connection.execute(table.select()))) for table in found.tables.values()}


def differences(connection, name):
    """What the database has otherwise than the tables of a store say."""

    def ours(thing, own_name, kind, _reflected, _other):
        return (own_name if kind == "table" else thing.table.name) in TABLES[name].tables

    options = {"compare_type": True, "include_object": ours, "version_table": VERSIONS[name]}
    return compare_metadata(MigrationContext.configure(connection, opts=options), TABLES[name])


def recording(name, url):
    make = "sqlite" if url.startswith("sqlite") else "postgresql"
    return (FOLDER / "stores" / f"{name}.{make}.sql").read_text()


async def test_the_revisions_build_what_the_tables_say(name, url):
    await opened_and_closed(name, url)
    assert await inspected(url, partial(differences, name=name)) == []


async def test_a_database_of_the_release_before_revisions_is_adopted_with_every_row(name, url):
    await execute(url, recording(name, url))
    before = await inspected(url, content)
    assert all(before.values())
    for _ in range(2):
        await opened_and_closed(name, url)
    after = await inspected(url, content)
    assert after.pop(VERSIONS[name]) == [f"('{NEWEST}',)"]
    assert {table: rows for table, rows in after.items() if rows or table in before} == before
    assert await inspected(url, partial(differences, name=name)) == []


async def test_a_database_of_a_newer_revision_is_refused_in_a_sentence_that_says_what_to_do(name, url):
    await opened_and_closed(name, url)
    await execute(url, f"UPDATE {VERSIONS[name]} SET version_num = '9999'")  # noqa: S608 - a name of ours
    before = await inspected(url, content)
    with pytest.raises(ConfigError) as caught, opening("store_url"):
        await opened_and_closed(name, url)
    said = str(caught.value)
    assert said.startswith("store_url: the database ")
    assert f"revision 9999 of a newer release, and this one knows revisions up to {NEWEST}" in said
    assert "start the newer release again, or restore the backup" in said
    assert "\n" not in said
    assert await inspected(url, content) == before


OPENS = """
import asyncio, sys
from {module} import {store} as Store
async def main():
    store = Store(sys.argv[1])
    await store.open()
    await store.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("earlier", [False, True], ids=["new", "of the release before revisions"])
async def test_processes_that_start_together_migrate_a_database_once_and_all_come_up(name, url, earlier):
    if earlier:
        await execute(url, recording(name, url))
    script = OPENS.format(module=STORES[name].__module__, store=STORES[name].__name__)
    command, pipe = (sys.executable, "-c", script, url), asyncio.subprocess.PIPE
    started = [await asyncio.create_subprocess_exec(*command, stderr=pipe) for _ in range(3)]
    told = [(await process.communicate())[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], told
    assert await inspected(url, partial(differences, name=name)) == []
    assert (await inspected(url, content))[VERSIONS[name]] == [f"('{NEWEST}',)"]


async def test_stores_that_are_opened_at_once_in_one_process_do_not_meddle_with_each_other(tmp_path, postgres_url):
    server = postgres_url.replace("postgresql://", "postgresql+asyncpg://")
    files = [f"sqlite+aiosqlite:///{tmp_path}/{n}.sqlite" for n in range(3)]
    opening_all = [opened_and_closed(name, url) for name in STORES for url in (server, *files)]
    await asyncio.gather(*opening_all)
    for name in STORES:
        for url in (server, *files):
            assert await inspected(url, partial(differences, name=name)) == []


async def test_the_top_node_and_both_stores_can_share_one_database(postgres_url, tmp_path):
    vtn = await open_store(postgres_url, shared_dir=tmp_path)
    await vtn.close()
    url = postgres_url.replace("postgresql://", "postgresql+asyncpg://")
    for name in STORES:
        await opened_and_closed(name, url)
    again = await open_store(postgres_url, shared_dir=tmp_path)
    assert await again.head() == 0
    await again.close()
    tables = await inspected(url, content)
    assert [tables[one] for one in VERSIONS.values()] == [[f"('{NEWEST}',)"]] * 2
    assert len(tables["alembic_version"]) == 1


async def test_a_store_s_files_are_its_owners_alone_and_write_ahead(tmp_path, name):
    await opened_and_closed(name, f"sqlite+aiosqlite:///{tmp_path}/folder/store.sqlite")
    with contextlib.closing(sqlite3.connect(tmp_path / "folder" / "store.sqlite")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    for path in (Path(tmp_path / "folder"), *(tmp_path / "folder").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_a_store_whose_url_names_no_file_is_refused(name):
    with pytest.raises(ConfigError, match="store_url: the database URL must name a file"), opening("store_url"):
        await opened_and_closed(name, "sqlite+aiosqlite://")
