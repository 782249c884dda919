"""A task that is cancelled inside a transaction leaves a SQLite file unlocked for whoever writes next."""

import asyncio
import gc
import random

import pytest

from vtn import databases
from vtn.databases import open_engine

ROWS = "INSERT INTO rows (content) VALUES (?)"
TRIES = 60


@pytest.fixture
async def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "TIMEOUT_S", 0.5)
    made = open_engine(f"sqlite+aiosqlite:///{tmp_path / 'store.sqlite'}")
    async with made.begin() as connection:
        await connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        await connection.exec_driver_sql("CREATE TABLE rows (number INTEGER PRIMARY KEY, content TEXT)")
    gc.disable()  # which would let go of what is abandoned, sooner or later
    yield made
    gc.enable()
    await made.dispose()


async def write(engine, batches):
    async with engine.begin() as connection:
        for size in batches:
            await connection.exec_driver_sql(ROWS, [("x" * 500,)] * size)
            await connection.exec_driver_sql("SELECT content FROM rows LIMIT 3")


async def test_a_write_that_is_cancelled_at_any_moment_locks_nobody_out(engine):
    dice, abandoned = random.Random(3), []
    for _ in range(TRIES):
        try:
            async with asyncio.timeout(dice.uniform(0.0, 0.012)):
                await write(engine, [dice.randint(1, 300) for _ in range(6)])
        except TimeoutError as error:
            abandoned.append(error)
        await write(engine, [1])
    assert abandoned
