"""Opening a database: its address, its schema, and what is said when it cannot be used."""

import sqlite3

import pytest
from alembic import command
from sqlalchemy import create_engine

from vtn.databases import alembic_config, upgrade
from vtn.errors import CannotStart
from vtn.storage.dialects.opening import SCHEMA
from vtn.storage.ports import Delivery, DeliveryState
from vtn.storage.sql import open_store
from vtn.storage.statements import relay_state
from vtn.wire.enumerations import Operation

SECRET = "hunter2"


@pytest.fixture
def connection(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/schema.db")
    with engine.connect() as made:
        yield made
    engine.dispose()


def test_migrating_twice_changes_nothing(connection):
    upgrade(connection, SCHEMA)
    upgrade(connection, SCHEMA)
    assert connection.exec_driver_sql("SELECT id, seq, client_generation FROM change_log_head").all() == [(1, 0, 0)]


async def refusal(url, tmp_path) -> str:
    with pytest.raises(CannotStart) as caught:
        await open_store(url, shared_dir=tmp_path / "shared", timeout_s=2)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"mysql://me:{SECRET}@localhost/vtn", "must begin with sqlite: or postgresql:"),
        (f"://{SECRET}", "cannot be read"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        (f"postgresql://me:{SECRET}@127.0.0.1:9/vtn", "cannot be opened"),
        (f"postgres://me:{SECRET}@127.0.0.1:9/vtn?sslmode=disable", "cannot be opened"),
        (f"postgres://me:{SECRET}@127.0.0.1:9/vtn?sslmode=disable&pool=9", "has the option pool; known are host"),
    ],
)
async def test_an_address_that_cannot_be_used_is_refused_without_its_password(url, words, tmp_path):
    message = await refusal(url, tmp_path)
    assert words in message
    assert SECRET not in message
    assert "\n" not in message


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "vtn.db").write_text("a letter to a friend, long enough to be read as a header" * 10)
    assert "not a database" in await refusal(f"sqlite:///{tmp_path}/vtn.db", tmp_path)


async def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in await refusal(f"sqlite:///{tmp_path}/file/vtn.db", tmp_path)


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/vtn.db"
    await (await open_store(url, shared_dir=tmp_path)).close()
    with sqlite3.connect(tmp_path / "vtn.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    message = await refusal(url, tmp_path)
    assert "revision 9999 of a newer release" in message
    assert "start the newer release again" in message
    assert "\n" not in message


async def test_a_shared_directory_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "shared").write_text("")
    assert "shared counters" in await refusal(f"sqlite:///{tmp_path}/vtn.db", tmp_path)


async def test_a_folder_that_is_missing_is_made(tmp_path):
    store = await open_store(f"sqlite:///{tmp_path}/a/b/vtn.db", shared_dir=tmp_path / "c/d")
    assert await store.head() == 0
    await store.close()


async def test_a_restored_database_is_not_thought_to_be_ahead(tmp_path):
    url = f"sqlite:///{tmp_path}/vtn.db"
    store = await open_store(url, shared_dir=tmp_path)
    store._shared.rise(0, 500)
    await store.close()
    again = await open_store(url, shared_dir=tmp_path)
    assert again.shared_head() == 0
    await again.close()


def test_what_is_owed_before_the_schema_is_raised_is_owed_after_it(connection):
    command.upgrade(alembic_config(connection, SCHEMA), "0002")
    connection.exec_driver_sql(
        "INSERT INTO deliveries (subscription_id, entry, seq, operation, state, attempts, next_at_s, last_error)"
        " VALUES ('s', 1, 7, 'CREATE', 'PENDING', 3, 0.5, 'answered 500')"
    )
    upgrade(connection, SCHEMA)
    held = relay_state.deliveries(connection, DeliveryState.PENDING, 10)
    assert held == [Delivery("s", 1, 7, Operation.CREATE, attempts=3, next_at_s=0.5, last_error="answered 500")]
