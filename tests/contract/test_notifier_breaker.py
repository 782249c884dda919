"""Callbacks that keep failing: broken, told to their owner, left alone, and mended (HOOK-04)."""

import asyncio
import types

import pytest
from notifier_parts import PATIENCE_S, Receiver, eventually, node, settled, told, webhooks

from vtn.bounds import ClientQuotas
from vtn.service import broken_callbacks
from vtn.service.objects import Write
from vtn.service.subscriptions import SUBSCRIPTIONS
from vtn.storage.ports import BrokenCallback, DeliveryState
from vtn.wire import document
from vtn.wire.enumerations import ObjectType as Kind

LATER = "2026-07-02T00:00:00.000000Z"


@pytest.fixture
async def made(tmp_path, monkeypatch):
    monkeypatch.setattr("vtn.notifiers.webhooks.delivery.REPLAY_POLL_S", 0.02)
    async with node(tmp_path) as one:
        await one.ven("V1", "c1", "g1")
        await one.program("P")
        yield one


async def gone(made):
    return await made.store.deliveries(DeliveryState.DEAD)


async def dead(made):
    return [(row.subscription_id, row.entry, row.last_error) for row in await gone(made)]


def entries(made):
    return document.parse(made.model.get(Kind.SUBSCRIPTION, "S").body)["objectOperations"]


async def break_it(made, receiver, failures=4, **settings):
    """Events until the callback of subscription S is broken."""
    await made.subscribe("S", "c1", receiver.url)
    async with webhooks(made, broken_after=failures, **settings):
        for number in range(failures):
            await made.event(f"E{number}", "P")
        await settled(made)


async def test_a_callback_that_fails_too_often_in_a_row_is_called_no_more(made):
    async with Receiver(lambda _number: 500) as receiver:
        await break_it(made, receiver, failures=4, attempts=3)
        assert told(receiver.calls) == ["CREATE E0"] * 3 + ["CREATE E1"] * 3
    assert await dead(made) == [
        ("S", 0, "answered 500"),
        ("S", 0, "the callback is marked broken and is not called: answered 500"),
        ("S", 0, "the callback is marked broken and is not called"),
        ("S", 0, "the callback is marked broken and is not called"),
    ]
    mark = (await made.store.broken_callbacks())[0]
    assert (mark.subscription_id, mark.entry, mark.failures, mark.last_error) == ("S", 0, 6, "answered 500")


async def test_a_success_begins_the_count_anew(made):
    async with Receiver(lambda number: 200 if number % 3 == 0 else 500) as receiver:
        await break_it(made, receiver, failures=3, attempts=3)
        assert told(receiver.taken) == ["CREATE E0", "CREATE E1", "CREATE E2"]
    assert await made.store.broken_callbacks() == []


async def test_the_mark_survives_a_restart(made):
    async with Receiver(lambda _number: 500) as receiver:
        await break_it(made, receiver)
        called = len(receiver.calls)
        async with webhooks(made):
            await made.event("F", "P")
            await settled(made)
        assert len(receiver.calls) == called
    assert (await dead(made))[-1] == ("S", 0, "the callback is marked broken and is not called")


async def test_the_tries_of_a_delivery_count_across_a_restart(made):
    slow = {"broken_after": 3, "attempts": 3, "first_retry_s": 3600.0, "longest_retry_s": 3600.0}
    async with Receiver(lambda _number: 500) as receiver:
        await made.subscribe("S", "c1", receiver.url)
        await made.event("E", "P")
        for run in range(1, 4):
            async with webhooks(made, now_s=lambda run=run: run * 4e3, **slow), asyncio.timeout(PATIENCE_S):
                while not any(row.attempts == run for row in [*await made.store.deliveries(), *await gone(made)]):
                    pass
        assert [mark.failures for mark in await made.store.broken_callbacks()] == [3]
        assert len(receiver.calls) == 3


async def test_the_owner_is_told_by_its_subscription(made):
    async with Receiver(lambda _number: 500) as receiver, Receiver() as other:
        await made.subscribe("T", "c1", other.url, kinds=("SUBSCRIPTION",))
        await break_it(made, receiver)
        mark = (await made.store.broken_callbacks())[0]
        assert [entry.get("brokenSince") for entry in entries(made)] == [mark.since]
        heard = [message for message in other.taken if message["operation"] == "UPDATE"]
    assert [message["object"]["objectOperations"][0]["brokenSince"] for message in heard] == [mark.since]


async def test_other_entries_of_the_subscription_are_called_as_before(made):
    async with Receiver(lambda _number: 500) as bad, Receiver() as good:
        two = [
            {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": one.url, "bearerToken": None}
            for one in (bad, good)
        ]
        await made.put(Kind.SUBSCRIPTION, "S", "c1", clientName="c", objectOperations=two)
        async with webhooks(made, broken_after=2, attempts=1):
            for number in range(4):
                await made.event(f"E{number}", "P")
            await settled(made)
    assert told(good.taken) == [f"CREATE E{number}" for number in range(4)]
    assert len(bad.calls) == 2


async def test_another_url_at_the_same_place_is_not_broken(made):
    async with Receiver(lambda _number: 500) as bad, Receiver() as good:
        await break_it(made, bad)
        await made.subscribe("S", "c1", good.url)
        async with webhooks(made):
            await made.event("F", "P")
            await settled(made)
    assert told(good.taken) == ["CREATE F"]


async def test_a_mended_callback_is_called_at_once_by_a_running_server(made):
    async with Receiver(lambda number: 500 if number <= 2 else 200) as receiver:
        await made.subscribe("S", "c1", receiver.url)
        async with webhooks(made, broken_after=2, attempts=2):
            await made.event("E", "P")
            await settled(made)
            assert await made.store.broken_callbacks("S")
            await made.store.mend("S")
            await made.event("F", "P")
            await settled(made)
    assert told(receiver.taken) == ["CREATE F"]


async def test_the_mark_of_a_subscription_that_is_gone_is_gone(made):
    async with Receiver(lambda _number: 500) as receiver:
        await break_it(made, receiver)
        await made.delete(Kind.SUBSCRIPTION, "S")
    assert await made.store.broken_callbacks() == []


# --- replay ---


async def test_replayed_deliveries_are_taken_up_by_a_running_server_in_order(made):
    async with Receiver(lambda number: 500 if number <= 4 else 200) as receiver:
        await made.subscribe("S", "c1", receiver.url)
        async with webhooks(made, attempts=1, broken_after=4):
            for number in range(6):
                await made.event(f"E{number}", "P")
            await settled(made)
            assert (len(receiver.calls), len(await dead(made))) == (4, 6)
            done = await broken_callbacks.replay(made.store, None, LATER)
            await receiver.wait_for(lambda: len(receiver.taken) == 6)
            await settled(made)
    assert (done.deliveries, done.callbacks) == (6, 1)
    assert told(receiver.taken) == [f"CREATE E{number}" for number in range(6)]
    assert await dead(made) == []


async def test_a_replay_takes_back_what_the_owner_was_told(made):
    async with Receiver(lambda _number: 500) as receiver:
        await break_it(made, receiver)
    before = made.model.get(Kind.SUBSCRIPTION, "S").modified
    await broken_callbacks.replay(made.store, "S", LATER)
    assert "brokenSince" not in entries(made)[0]
    assert made.model.get(Kind.SUBSCRIPTION, "S").modified == LATER > before
    assert await made.store.broken_callbacks() == []


async def test_a_replay_of_one_subscription_leaves_the_others(made):
    async with Receiver(lambda _number: 500) as receiver:
        await made.subscribe("S", "c1", receiver.url)
        await made.subscribe("T", "c1", receiver.url)
        async with webhooks(made, attempts=1, broken_after=1):
            await made.event("E", "P")
            await settled(made)
        done = await broken_callbacks.replay(made.store, "T", LATER)
    assert (done.deliveries, done.callbacks) == (1, 1)
    assert [row.subscription_id for row in await gone(made)] == ["S"]
    assert [mark.subscription_id for mark in await made.store.broken_callbacks()] == ["S"]


async def test_privacy_is_judged_again_at_a_replay(made):
    async with Receiver(lambda number: 500 if number <= 1 else 200) as receiver:
        await made.subscribe("S", "c1", receiver.url)
        async with webhooks(made, attempts=1):
            await made.event("E", "P", "g1")
            await settled(made)
            await made.ven("V1", "c1", "other")
            await broken_callbacks.replay(made.store, None, LATER)
            async with asyncio.timeout(PATIENCE_S):
                while await dead(made) or any([await made.store.deliveries(state) for state in DeliveryState]):
                    pass
    assert len(receiver.calls) == 1


async def test_replays_asked_for_while_no_server_runs_go_out_at_its_start(made):
    async with Receiver(lambda number: 500 if number <= 1 else 200) as receiver:
        await made.subscribe("S", "c1", receiver.url)
        async with webhooks(made, attempts=1):
            await made.event("E", "P")
            await settled(made)
        await broken_callbacks.replay(made.store, None, LATER)
        async with webhooks(made):
            await receiver.wait_for(lambda: receiver.taken)
    assert told(receiver.taken) == ["CREATE E"]


async def test_a_mark_for_another_url_takes_no_tries_from_this_one(made):
    """The last call to an old URL may fail after its owner has written a new one."""
    async with Receiver(lambda number: 500 if number == 1 else 200) as receiver:
        await made.subscribe("S", "c1", receiver.url)
        old = broken_callbacks.url_digest("https://old.example/hook")
        await made.store.put_broken(BrokenCallback("S", 0, old, LATER, 20, "answered 500"))
        async with webhooks(made):
            await made.event("E", "P")
            await settled(made)
    assert told(receiver.taken) == ["CREATE E"]


async def test_an_owner_is_told_after_a_crash_between_the_mark_and_the_word(made):
    async with Receiver() as receiver:
        await made.subscribe("S", "c1", receiver.url)
        await made.store.put_broken(
            BrokenCallback("S", 0, broken_callbacks.url_digest(receiver.url), LATER, 20, "answered 500")
        )
        async with webhooks(made):
            await eventually(lambda: entries(made)[0].get("brokenSince"))
    assert entries(made)[0]["brokenSince"] == LATER


async def test_a_put_mends_what_broke_while_it_was_on_its_way(made):
    """Its new content says nothing of the mark, so the mark must not outlive it."""
    await made.subscribe("S", "c1", "https://old.example/hook")
    mark = BrokenCallback("S", 0, broken_callbacks.url_digest("https://old.example/hook"), LATER, 20, "answered 500")

    async def challenge(_url, _token):
        await broken_callbacks.mark(made.store, mark)

    held = document.parse(made.model.get(Kind.SUBSCRIPTION, "S").body)
    new = {**held["objectOperations"][0], "callbackUrl": "https://new.example/hook"}
    core = types.SimpleNamespace(
        quotas=ClientQuotas(),
        store=made.store,
        model=made.model,
        challenge=challenge,
        admit_challenges=lambda _client_id, _urls: None,
        viewer=lambda _principal: None,
    )
    content = {"objectOperations": [held["objectOperations"][0], new]}
    await SUBSCRIPTIONS.check(Write(core, types.SimpleNamespace(client_id="c1"), content, held))
    assert await made.store.broken_callbacks("S") == []
