"""A database that goes away: refused in bounded time with one word, nothing half done, and back when it is back."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3

import asyncpg
import pytest
from sqlalchemy import make_url, text
from stored import AT, event, program, put, report

from vtn.errors import CannotStart, Unavailable
from vtn.storage.ports import ClientRecord, Create, ReportQuery, Role
from vtn.storage.sql import open_store

CLIENT = ClientRecord("c", Role.VEN, (), "h", AT, 0.0)


async def put_eventually(store, *records):
    """A connection whose end has not reached us yet may fail once; then it must work."""
    async with asyncio.timeout(60):
        for record in records:
            while True:
                try:
                    await put(store, record)
                    break
                except Unavailable:
                    continue


async def refused(*doings):
    async with asyncio.timeout(60):
        for outcome in await asyncio.gather(*doings, return_exceptions=True):
            assert isinstance(outcome, Unavailable), outcome


def every_connection_cut(url):
    database = make_url(url).database
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}';"  # noqa: S608 - ours


@pytest.fixture
async def postgres(postgres_url, tmp_path):
    store = await open_store(postgres_url, shared_dir=tmp_path, timeout_s=1.0)
    yield store
    await store.close()


@pytest.fixture
def stopped_server(postgres_server):
    def stop():
        postgres_server.stop()

    yield stop
    postgres_server.ensure_postgres_running()


async def test_everything_is_unavailable_while_the_server_is_down_and_works_when_it_is_up(
    postgres, postgres_server, stopped_server
):
    parent = program()
    happening = event(parent)
    await put(postgres, parent, happening, said := report(happening))
    assert await postgres.lead()
    stopped_server()
    await refused(*(put(postgres, event(parent)) for _ in range(5)))
    await refused(
        postgres.reports(ReportQuery()),
        postgres.report(said.id),
        postgres.objects(),
        postgres.put_client(CLIENT),
        postgres.advance("mqtt", 1),
        postgres.probe(),
        postgres.lead(),
    )
    assert postgres.shared_head() == 3
    postgres_server.ensure_postgres_running()
    await put(postgres, event(parent))
    assert await postgres.reports(ReportQuery()) == [said]
    assert await postgres.head() == postgres.shared_head() == 4
    assert await postgres.lead()
    await postgres.put_client(CLIENT)
    assert postgres.client_generation() == 1


async def test_a_start_without_the_server_is_refused_in_one_sentence(
    postgres_url, tmp_path, postgres_server, stopped_server
):
    stopped_server()
    with pytest.raises(CannotStart, match="cannot be opened") as caught:
        await open_store(postgres_url, shared_dir=tmp_path, timeout_s=1.0)
    assert "\n" not in str(caught.value)


async def test_writes_go_on_after_every_connection_was_cut(postgres, postgres_server, postgres_url):
    await put(postgres, parent := program())
    await postgres.objects()
    assert await postgres.lead()
    postgres_server.psql(every_connection_cut(postgres_url))
    await put_eventually(postgres, *(event(parent) for _ in range(5)))
    assert len((await postgres.objects())[1]) == 6
    assert await postgres.lead()


async def test_a_connection_cut_in_the_middle_of_a_stream_loses_nothing_that_was_acknowledged(
    postgres, postgres_server, postgres_url
):
    cut = every_connection_cut(postgres_url)
    parent = program()
    await put(postgres, parent)
    acknowledged = []

    async def stream():
        for _ in range(60):
            one = event(parent)
            try:
                await put(postgres, one)
                acknowledged.append(one.id)
            except Unavailable:
                continue

    async def cutting():
        for _ in range(3):
            await asyncio.to_thread(postgres_server.psql, cut)

    await asyncio.gather(cutting(), *(stream() for _ in range(4)))
    assert acknowledged
    changes = await postgres.changes(1)
    assert set(acknowledged) <= {change.record.id for change in changes}
    assert [change.seq for change in changes] == list(range(2, len(changes) + 2))
    assert len((await postgres.objects())[1]) == len(changes) + 1


def backend(connection):
    return connection.scalar(text("SELECT pg_backend_pid()"))


@contextlib.contextmanager
def frozen(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_server_process_that_stops_answering_a_writer_is_given_up_in_bounded_time(postgres):
    await put(postgres, parent := program())
    with frozen(await postgres._database.commit(backend)):
        await refused(put(postgres, event(parent)))
        await put(postgres, event(parent))
    assert (await postgres.objects())[0] == await postgres.head()


async def test_a_server_process_that_stops_answering_a_reader_is_given_up_in_bounded_time(postgres):
    with frozen(await postgres._database.read(backend)):
        await refused(postgres.objects())
        assert await postgres.objects() == (0, [])


async def test_callers_that_give_up_while_they_read_leave_the_store_whole(postgres, postgres_url):
    other = await asyncpg.connect(postgres_url)
    await other.execute("BEGIN")
    await other.execute("LOCK TABLE reports IN ACCESS EXCLUSIVE MODE")
    reading = [asyncio.create_task(postgres.reports(ReportQuery())) for _ in range(20)]
    async with asyncio.timeout(60):
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
    for task in reading:
        task.cancel()
    assert all(
        isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*reading, return_exceptions=True)
    )
    await other.close()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*(postgres.reports(ReportQuery()) for _ in range(20))) == [[]] * 20


async def test_a_lock_that_another_process_sits_on_is_not_waited_for_without_end(postgres, postgres_url):
    await put(postgres, parent := program())
    other = await asyncpg.connect(postgres_url)
    await other.execute("BEGIN")
    await other.execute("SELECT seq FROM change_log_head FOR UPDATE")
    await refused(put(postgres, event(parent)), put(postgres, event(parent)))
    assert await postgres.head() == 1
    await other.close()
    await put(postgres, event(parent))
    assert await postgres.head() == 2


async def test_a_sqlite_file_that_another_process_locks_is_unavailable_until_it_lets_go(tmp_path):
    store = await open_store(f"sqlite:///{tmp_path}/vtn.db", shared_dir=tmp_path, timeout_s=0.2)
    await put(store, parent := program())
    other = sqlite3.connect(tmp_path / "vtn.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await refused(*(put(store, event(parent)) for _ in range(3)))
    await refused(store.put_client(CLIENT), store.advance("mqtt", 1))
    assert len((await store.objects())[1]) == 1
    other.execute("ROLLBACK")
    other.close()
    await put(store, event(parent))
    assert await store.head() == store.shared_head() == 2
    await store.close()


async def test_a_sqlite_disk_that_is_full_refuses_writes_and_keeps_what_it_has(tmp_path):
    store = await open_store(f"sqlite:///{tmp_path}/vtn.db", shared_dir=tmp_path, timeout_s=1.0)
    await put(store, parent := program())

    def pages(limit):
        return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {limit}").scalar()

    full = await store._database.write(pages(1))
    large = event(parent, body=random.Random(1).randbytes(4096 * full).hex().encode())
    await refused(put(store, large))
    assert await store.head() == 1
    await store._database.write(pages(2**30))
    await store.write(Create(large), at=AT, actor="bl")
    assert await store.head() == 2
    await store.close()
