"""The bridges' store on SQLite and on PostgreSQL: rows, transactions that are committed together, nonces, revisions."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import IntegrityError

from vtn.errors import CannotStart
from vtn.oadr20b.codec.signatures import REPLAY_WINDOW, SignedAt
from vtn.oadr20b.store.database import SCHEMA, BridgeStore, opened
from vtn.oadr20b.store.tables import JOURNAL, METADATA, NONCES, PLACES, UP_EVENT, VENS

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """A fresh database of each make."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/20b.db"


@pytest.fixture
async def store(url):
    async with opened(url) as made:
        yield made


def place(name, object_id="x"):
    return {"name": name, "object_id": object_id}


def ven(ven_id, name):
    return {"ven_id": ven_id, "ven_name": name, "fingerprint": None, "provision": "{}", "state": "{}"}


async def test_the_revisions_build_what_the_tables_say(store):
    def differences(connection):
        options = {"version_table": SCHEMA.version_table, "compare_type": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)

    async with store._engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_rows_are_put_replaced_kept_changed_and_dropped(store):
    await store.write(store.put(PLACES, [place("a"), place("b"), place("c")]))
    await store.write(store.put(PLACES, [place("a", "new")]), store.put(PLACES, [place("b", "new")], keep=True))
    assert await store.row(PLACES, name="a") == place("a", "new")
    assert await store.row(PLACES, name="b") == place("b")
    await store.write(store.change(PLACES, {"object_id": "y"}, name="b"), store.drop(PLACES, name=["c", "d"]))
    assert await store.rows(PLACES, order="name") == [place("a", "new"), place("b", "y")]
    assert await store.row(PLACES, name="c") is None
    assert await store.rows(PLACES, name_before="b") == [place("a", "new")]


async def test_what_is_written_is_there_for_the_next_process(url):
    async with opened(url) as first:
        await first.write(first.put(PLACES, [place("a")]))
    async with opened(url) as second:
        assert await second.rows(PLACES) == [place("a")]


async def test_writes_that_come_together_are_committed_together_and_all_are_answered(store, monkeypatch):
    batches = []
    commit = store._commit

    async def counted(batch):
        batches.append(len(batch))
        return await commit(batch)

    monkeypatch.setattr(store, "_commit", counted)
    await asyncio.gather(*(store.write(store.put(PLACES, [place(f"p{number}")])) for number in range(200)))
    assert len(await store.rows(PLACES)) == 200
    assert len(batches) <= 3


async def test_a_write_that_fails_fails_alone(store):
    await store.write(store.add(VENS, ven("1", "taken")))
    good = [store.write(store.add(VENS, ven(str(number), f"n{number}"))) for number in range(2, 12)]
    bad = store.write(store.put(PLACES, [place("with it")]), store.add(VENS, ven("99", "taken")))
    results = await asyncio.gather(*good[:5], bad, *good[5:], return_exceptions=True)
    failed = [one for one in results if isinstance(one, BaseException)]
    assert len(failed) == 1
    assert isinstance(failed[0], IntegrityError)
    assert len(await store.rows(VENS)) == 11
    assert await store.rows(PLACES) == [], "a transaction is written whole or not at all"


async def test_of_a_nonce_that_comes_many_times_at_once_one_is_taken(url):
    async with opened(url) as first, opened(url) as second:
        signed = [SignedAt(NOW, f"n{number % 10}") for number in range(100)]
        stores = (first, second)
        taken = await asyncio.gather(*(stores[number % 2].take(one, NOW) for number, one in enumerate(signed)))
        assert sum(taken) == 10
        assert len(await first.rows(NONCES)) == 10


async def test_what_is_old_is_forgotten_and_nothing_else(store):
    await store.take(SignedAt(NOW, "old"), NOW)
    await store.take(SignedAt(NOW, "new"), NOW + 2 * REPLAY_WINDOW)
    for days in (91, 89):
        await store.write(store.note("peer", NOW - timedelta(days=days), b"<x/>", sent=True))
    await store.forget(NOW + 2 * REPLAY_WINDOW + timedelta(seconds=2), 90)
    assert [row["nonce"].split()[-1] for row in await store.rows(NONCES)] == ["new"]
    assert len(await store.rows(JOURNAL)) == 1


async def test_the_journal_keeps_bytes_as_text_whatever_they_are(store):
    await store.write(store.note("peer", NOW, b"<x>\xff</x>", sent=False))
    (row,) = await store.rows(JOURNAL)
    assert (row["peer"], row["sent"]) == ("peer", False)
    assert row["body"].startswith("<x>")


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://"])
async def test_a_database_that_cannot_be_used_is_refused_in_a_sentence(url):
    with pytest.raises(CannotStart):
        async with opened(url):
            pass


async def test_a_store_keeps_its_tables_apart_from_those_of_the_top_node(url):
    store = BridgeStore(url)
    try:
        await store.open()
        assert all(table.name.startswith("b20_") for table in METADATA.sorted_tables)
        assert await store.rows(UP_EVENT) == []
    finally:
        await store.close()
