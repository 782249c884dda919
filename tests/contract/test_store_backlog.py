"""How much is owed, counted alike by every database: what waits, what was given up, and since when."""

from datetime import UTC, datetime

import pytest
from stored import instant, program

from vtn.storage.ports import Create, Delivery, DeliveryBacklog, DeliveryState
from vtn.wire.enumerations import Operation


def owed(seq, state=DeliveryState.PENDING):
    return Delivery("s", 0, seq, Operation.CREATE, state)


@pytest.fixture
async def grown(store):
    """A log of four, one a second."""
    for second in range(4):
        await store.write(Create(program()), at=instant(second), actor="bl")
    return store


async def test_nothing_owed_is_nothing(grown):
    assert await grown.backlog() == DeliveryBacklog(0, 0, None)


async def test_what_waits_is_counted_with_the_age_of_the_oldest(grown):
    await grown.advance("webhooks", 4, [owed(3), owed(2, DeliveryState.REPLAYED), owed(1, DeliveryState.DEAD)])
    found = await grown.backlog()
    assert found == DeliveryBacklog(2, 1, instant(1))
    assert found.oldest_s(datetime(2026, 7, 15, 16, 1, 1, tzinfo=UTC)) == 60


async def test_what_was_given_up_does_not_wait(grown):
    await grown.advance("webhooks", 4, [owed(1, DeliveryState.DEAD)])
    found = await grown.backlog()
    assert found == DeliveryBacklog(0, 1, None)
    assert found.oldest_s(datetime.now(UTC)) == 0
