"""Places for calls: receivers that hang give theirs up, and never hold more connections than a process may have."""

import asyncio

import pytest

from vtn.notifiers.webhooks.sender import OPEN_AT_ONCE, CallbackSender


@pytest.fixture
def sender(monkeypatch):
    monkeypatch.setattr("vtn.notifiers.webhooks.sender.PROMPT_S", 0.0)
    return CallbackSender(callbacks=None, unseal=str, key_of=str, now_s=lambda: 0.0)


async def test_however_many_receivers_hang_the_open_calls_are_bounded(sender):
    begun, full, go_on = [], asyncio.Event(), asyncio.Event()

    async def hang(number):
        begun.append(number)
        if len(begun) == OPEN_AT_ONCE:
            full.set()
        await go_on.wait()
        return number

    calls = [asyncio.create_task(sender.in_place(hang(number))) for number in range(OPEN_AT_ONCE + 300)]
    async with asyncio.timeout(60):
        await full.wait()
        await asyncio.wait(calls, timeout=0.2)
        assert len(begun) == OPEN_AT_ONCE
        go_on.set()
        assert await asyncio.gather(*calls) == list(range(OPEN_AT_ONCE + 300))


async def test_a_call_that_is_cancelled_while_it_waits_leaves_its_place_to_others(sender):
    go_on = asyncio.Event()
    hanging = [asyncio.create_task(sender.in_place(go_on.wait())) for _ in range(OPEN_AT_ONCE)]
    waiting = asyncio.create_task(sender.in_place(go_on.wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    go_on.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*hanging)
        assert await sender.in_place(go_on.wait())
    assert waiting.cancelled()
