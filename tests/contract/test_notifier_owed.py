"""What is owed to a subscription: kept while it is rewritten, while its receiver is away, and within bounds."""

import asyncio
import contextlib
import dataclasses
import time
import types
from collections import Counter

import pytest
from notifier_parts import PATIENCE_S, Receiver, eventually, node, settled, told, webhooks

from vtn.bounds import DeliveryBounds
from vtn.errors import Unavailable
from vtn.notifiers.webhooks import delivery
from vtn.rules.entries import host_of
from vtn.service import objects
from vtn.service.subscriptions import SUBSCRIPTIONS
from vtn.storage.ports import BrokenCallback, DeliveryState
from vtn.wire.enumerations import ObjectType as Kind

HOUR_S, DAY_S = 3_600.0, 86_400.0
SPENT = {"attempts": 0, "first_retry_s": 0.02, "longest_retry_s": 0.05}


@pytest.fixture
async def made(tmp_path):
    async with node(tmp_path) as one:
        await one.ven("V1", "c1", "g1")
        await one.program("P")
        yield one


class Gate:
    """How a receiver answers: `shut` with a status, or open."""

    def __init__(self, status: int = 503) -> None:
        self.status = status

    def open(self) -> None:
        self.status = 200

    def __call__(self, _number: int) -> int:
        return self.status


def entry(receiver, *operations, kinds=("EVENT",), path=""):
    operations = operations or ("CREATE", "UPDATE", "DELETE")
    return {"objects": list(kinds), "operations": list(operations), "callbackUrl": receiver.url + path}


async def subscribed(made, *entries, name="S", owner="c1"):
    await made.put(Kind.SUBSCRIPTION, name, owner, clientName=owner, objectOperations=list(entries))


async def rewritten(made, *entries):
    """A PUT of subscription S by its owner, as the use case does it, without the challenge of its URLs."""
    core = types.SimpleNamespace(seal=types.SimpleNamespace(close=lambda token: f"sealed {token}"))
    owner = types.SimpleNamespace(client_id="c1", is_bl=False)
    content, at = {"clientName": "c1", "objectOperations": list(entries)}, made.tick()
    await made.store.write(objects.replacement(core, SUBSCRIPTIONS, owner, "S", content, at), at=at, actor="c1")


async def dead(made):
    return await made.store.deliveries(DeliveryState.DEAD)


# --- a subscription that is rewritten --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def owing(made):
    """Two receivers of one subscription: the first has been told of E, to the second, which is away, it is owed."""
    gate = Gate()
    async with Receiver() as first, Receiver(gate) as second, webhooks(made, **SPENT) as hooks:
        await subscribed(made, entry(first), entry(second))
        await made.event("E", "P")
        await first.wait_for(lambda: first.taken)
        await second.wait_for(lambda: second.calls)
        await eventually_owed(made, 1)
        yield first, second, gate, hooks


async def eventually_owed(made, count):
    async with asyncio.timeout(PATIENCE_S):
        while len(await made.store.deliveries()) != count:
            pass


async def test_what_is_owed_to_entries_that_are_moved_is_brought_to_them(made):
    async with owing(made) as (first, second, gate, _hooks):
        await rewritten(made, entry(second), entry(first))
        await made.event("F", "P")
        gate.open()
        await settled(made)
        assert told(first.taken) == told(second.taken) == ["CREATE E", "CREATE F"]
    assert await dead(made) == []


async def test_what_is_owed_to_an_entry_that_is_led_elsewhere_follows_it(made):
    async with Receiver() as other, owing(made) as (first, second, gate, _hooks):
        await rewritten(made, entry(other), entry(first))
        gate.open()
        await other.wait_for(lambda: other.taken)
        await settled(made)
        assert told(other.taken) == told(first.taken) == ["CREATE E"]
        assert second.taken == []


async def test_what_is_owed_to_an_entry_that_wishes_for_more_stays_owed(made):
    async with owing(made) as (first, second, gate, _hooks):
        await rewritten(made, entry(second, "CREATE", kinds=("EVENT", "PROGRAM")), entry(first))
        gate.open()
        await settled(made)
        assert told(first.taken) == told(second.taken) == ["CREATE E"]


async def test_what_was_owed_to_an_entry_that_is_gone_is_said_and_not_called_done(made, caplog):
    caplog.set_level("INFO")
    async with owing(made) as (first, second, gate, hooks):
        await rewritten(made, entry(first))
        gate.open()
        await settled(made)
        assert (told(first.taken), told(second.taken)) == (["CREATE E"], [])
        assert hooks.webhooker.figures()["withdrawn_entry"] == 1
    assert "subscription S: change 4 is owed no more: entry" in caplog.text


async def test_a_new_entry_hears_nothing_that_was_owed_to_one_that_is_gone(made):
    async with Receiver() as other, owing(made) as (first, _second, gate, hooks):
        await rewritten(made, entry(first))
        await rewritten(made, entry(first), entry(other))
        gate.open()
        await settled(made)
        assert other.calls == []
        assert hooks.webhooker.figures()["withdrawn_entry"] == 1


async def test_what_is_no_longer_to_be_heard_is_counted_apart(made):
    async with owing(made) as (first, second, gate, hooks):
        await rewritten(made, entry(second, "DELETE"), entry(first))
        gate.open()
        await settled(made)
        assert (told(first.taken), told(second.taken)) == (["CREATE E"], [])
        assert hooks.webhooker.figures()["withdrawn_sight"] == 1


async def test_a_mark_stays_with_the_entry_that_is_broken_when_entries_move(made):
    async with Receiver() as first, Receiver() as second:
        await subscribed(made, entry(first), entry(second))
        digest = "0" * 64
        await made.store.put_broken(BrokenCallback("S", 1, digest, made.tick(), 20, "answered 500"))
        await rewritten(made, entry(second), entry(first))
        assert made.audience.callback_url("S", 1) == second.url
        assert made.audience.callback_url("S", 0) == first.url
        assert made.audience.callback_url("S", 2) is None


async def test_a_change_that_is_no_longer_in_the_log_is_a_dead_letter_and_not_done(made):
    async with Receiver(Gate(500)) as receiver:
        await subscribed(made, entry(receiver))
        await made.event("E", "P")
        async with webhooks(made, **SPENT):
            await receiver.wait_for(lambda: receiver.calls)
        await made.store.advance("webhooks", await made.store.head())
        for row in await made.store.deliveries():
            await made.store.settle([row])
            await made.store.advance("webhooks", await made.store.head(), [dataclasses.replace(row, seq=10_000)])
        async with webhooks(made, **SPENT):
            await settled(made)
    assert [row.last_error for row in await dead(made)] == ["change 10000 is no longer in the log"]


async def test_what_very_many_are_owed_is_stored_in_parts_and_none_is_lost_between_them(made, monkeypatch):
    """A burst of changes and many entries: more than one transaction has time for, with a database that falters."""
    monkeypatch.setattr(delivery, "OWED_AT_ONCE", 4)
    sizes, advance = [], made.store.advance

    async def faltering(outlet, seq, owed=()):
        sizes.append(len(owed))
        if len(sizes) in {3, 7}:
            raise Unavailable("the database is out of reach")
        await advance(outlet, seq, owed)

    monkeypatch.setattr(made.store, "advance", faltering)
    async with Receiver() as receiver:
        for number in range(10):
            await subscribed(made, entry(receiver, path=f"/{number}"), name=f"S{number}")
        for number in range(5):
            await made.event(f"E{number}", "P")
        async with webhooks(made, **SPENT):
            await settled(made)
    assert max(sizes) == 4
    heard = Counter(told(receiver.taken))
    assert sorted(heard) == [f"CREATE E{number}" for number in range(5)]
    assert min(heard.values()) >= 10, "at least once by every subscription"
    assert (await made.store.deliveries(), await dead(made)) == ([], [])


# --- a host that is away ---------------------------------------------------------------------------------------------


async def test_while_a_host_is_away_one_call_at_a_time_tries_it_and_the_rest_waits_untried(made):
    gate, count = Gate(), 30
    async with Receiver(gate) as receiver, webhooks(made, **SPENT) as hooks:
        for number in range(count):
            await subscribed(made, entry(receiver, path=f"/{number}"), name=f"S{number:02d}")
        host = hooks.hosts.of(host_of(receiver.url))
        await made.event("E1", "P")
        await eventually(lambda: hooks.hosts.of(host_of(receiver.url)).failures >= 5)
        host = hooks.hosts.of(host_of(receiver.url))
        most = 0
        for _ in range(20):
            most, seen = max(most, host.calls), host.failures
            await eventually(lambda seen=seen: host.failures > seen)
        assert most <= 1
        assert len(receiver.calls) <= DeliveryBounds().calls_per_host + host.failures + 1
        rows = await made.store.deliveries()
        assert sum(row.attempts for row in rows) <= len(receiver.calls)
        await made.event("E2", "P")
        gate.open()
        await settled(made)
    assert sorted(told(receiver.taken)) == ["CREATE E1"] * count + ["CREATE E2"] * count
    assert await dead(made) == []


async def test_what_a_client_has_fail_at_a_shared_host_holds_up_and_breaks_nobody_elses_callback(made):
    """Its path answers that it is away, for hours; the other's path at that host has always been well."""
    spent = {**SPENT, "first_retry_s": HOUR_S, "longest_retry_s": DAY_S, "broken_after": 1}
    async with Receiver() as shared, webhooks(made, **spent) as hooks:
        shared.by_path = lambda path: 503 if path.endswith("/bad") else 200
        for number in range(20):
            await subscribed(made, entry(shared, path="/bad"), name=f"B{number:02d}", owner="c2")
        await made.event("E1", "P")
        await eventually(lambda: hooks.hosts.of(host_of(shared.url)).failures)
        await subscribed(made, entry(shared), owner="c1")
        await made.event("E2", "P")
        await shared.wait_for(lambda: told(shared.taken) == ["CREATE E2"])
    assert await made.store.broken_callbacks() == []


async def test_everything_that_came_while_a_receiver_was_away_arrives_in_order_when_it_answers_again(made, unused_port):
    url = f"http://127.0.0.1:{unused_port}/hook"
    async with webhooks(made, **SPENT) as hooks:
        await made.subscribe("S", "c1", url)
        for number in range(20):
            await made.event(f"E{number:02d}", "P")
        await eventually(lambda: hooks.hosts.of(host_of(url)).failures > 5)
        receiver = Receiver()
        async with receiver.at(unused_port):
            await settled(made)
        assert hooks.hosts.away == 0
    assert told(receiver.taken) == [f"CREATE E{number:02d}" for number in range(20)]


@pytest.fixture
async def unused_port():
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_an_entry_whose_receiver_is_away_holds_up_no_other_entry_of_the_subscription(made):
    async with Receiver(Gate()) as away, Receiver() as well, webhooks(made, **SPENT):
        await subscribed(made, entry(away), entry(well))
        for number in range(5):
            await made.event(f"E{number}", "P")
        await well.wait_for(lambda: len(well.taken) == 5)
        assert {message["object"]["id"] for message in away.calls} <= {"E0"}
    assert told(well.taken) == [f"CREATE E{number}" for number in range(5)]


async def test_entries_that_lead_to_one_host_keep_the_order_of_changes_across_them(made):
    gate = Gate()
    async with Receiver(gate) as receiver, webhooks(made, **SPENT):
        await subscribed(made, entry(receiver, kinds=("EVENT",)), entry(receiver, kinds=("PROGRAM",), path="/2"))
        await made.program("Q")
        await made.event("E", "Q")
        await made.program("R")
        gate.open()
        await settled(made)
    assert told(receiver.taken) == ["CREATE Q", "CREATE E", "CREATE R"]


async def test_a_receiver_that_answers_badly_is_alive_and_keeps_nobody_else_at_its_host_waiting(made):
    """Many clients may have their receivers at one host."""

    def answers(path):
        return 500 if path.endswith("/bad") else 200

    async with Receiver() as receiver, webhooks(made, **SPENT) as hooks:
        receiver.by_path = answers
        await subscribed(made, entry(receiver, path="/bad"), name="BAD")
        await subscribed(made, entry(receiver, path="/good"), name="GOOD")
        for number in range(5):
            await made.event(f"E{number}", "P")
        await receiver.wait_for(lambda: len(receiver.taken) == 5)
        assert hooks.hosts.away == 0
    assert told(receiver.taken) == [f"CREATE E{number}" for number in range(5)]


# --- how long, and how many ------------------------------------------------------------------------------------------


async def test_by_default_a_delivery_is_tried_for_a_day(made):
    """The day is counted from when it became owed and goes on while the server is stopped; then one try is the last."""
    start_s, clock = 1e9, [1e9]
    slow = {"attempts": 0, "first_retry_s": HOUR_S, "longest_retry_s": HOUR_S, "broken_after": 10_000}
    async with Receiver(Gate(500)) as receiver:
        await subscribed(made, entry(receiver))
        await made.event("E", "P")
        for after_s, calls, states in [(0, 1, 1), (HOUR_S, 2, 1), (DAY_S - 1, 3, 1), (DAY_S, 4, 0)]:
            clock[0] = start_s + after_s
            async with webhooks(made, now_s=lambda: clock[0], **slow):
                await receiver.wait_for(lambda calls=calls: len(receiver.calls) == calls)
                await written(made, attempts=calls)
            assert len(await made.store.deliveries()) == states
    assert [(row.attempts, row.last_error) for row in await dead(made)] == [(4, "answered 500")]


async def written(made, attempts):
    """Return when a delivery stands in the database with so many tries."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            rows = [*await made.store.deliveries(), *await dead(made)]
            if any(row.attempts == attempts for row in rows):
                return


async def test_what_is_owed_to_a_host_that_stays_away_is_given_up_with_its_reason_and_its_callback_is_broken(made):
    async with Receiver(Gate()) as receiver, webhooks(made, give_up_s=0.5, broken_after=5, **SPENT):
        for name in ("S", "T"):
            await subscribed(made, entry(receiver, path=f"/{name}"), name=name)
        await made.event("E", "P")
        await settled(made)
    assert {row.subscription_id for row in await dead(made)} == {"S", "T"}
    assert all("answered 503" in row.last_error for row in await dead(made))
    marks = await made.store.broken_callbacks()
    assert sorted((mark.subscription_id, mark.failures >= 5) for mark in marks) == [("S", True), ("T", True)]


async def test_failures_break_no_callback_before_a_delivery_is_given_up(made):
    gate = Gate(500)
    async with Receiver(gate) as receiver, webhooks(made, broken_after=3, **SPENT):
        await subscribed(made, entry(receiver))
        await made.event("E", "P")
        await receiver.wait_for(lambda: len(receiver.calls) >= 8)
        assert await made.store.broken_callbacks() == []
        gate.open()
        await settled(made)
    assert told(receiver.taken) == ["CREATE E"]


async def test_beyond_the_bound_of_a_subscription_the_oldest_become_dead_letters_that_say_why(made):
    gate, bounds = Gate(), DeliveryBounds(owed_per_subscription=3)
    async with Receiver(gate) as receiver, webhooks(made, bounds=bounds, **SPENT) as hooks:
        await subscribed(made, entry(receiver))
        await made.event("E0", "P")
        await receiver.wait_for(lambda: receiver.calls)
        for number in range(1, 8):
            await made.event(f"E{number}", "P")
        await eventually(lambda: hooks.webhooker.figures().get("overflowed") == 5)
        assert len(await made.store.deliveries()) == 3
        gate.open()
        await settled(made)
    assert told(receiver.taken) == ["CREATE E0", "CREATE E6", "CREATE E7"]
    letters = await dead(made)
    assert [row.seq for row in letters] == sorted(row.seq for row in letters)
    assert len(letters) == 5
    assert all("owed_per_subscription" in row.last_error for row in letters)


async def test_dead_letters_are_bounded_and_forgetting_them_is_counted(made, caplog):
    bounds = DeliveryBounds(dead_letters_per_subscription=2)
    async with Receiver(Gate(500)) as receiver, webhooks(made, bounds=bounds, attempts=1, broken_after=100) as hooks:
        await subscribed(made, entry(receiver))
        for number in range(5):
            await made.event(f"E{number}", "P")
        await settled(made)
        assert hooks.webhooker.figures()["dead_letters_forgotten"] == 3
    assert len(await dead(made)) == 2
    assert "dead letters are forgotten" in caplog.text


async def test_a_host_gets_so_many_calls_at_a_time_and_no_more(made):
    hang, bounds = asyncio.Event(), DeliveryBounds(calls_per_host=4)
    async with Receiver(hang=hang) as stuck, Receiver() as well, webhooks(made, bounds=bounds, timeout_s=30.0):
        for number in range(20):
            await subscribed(made, entry(stuck, path=f"/{number}"), name=f"H{number:02d}")
        await subscribed(made, entry(well), name="S")
        await made.event("E", "P")
        await well.wait_for(lambda: well.taken)
        await stuck.wait_for(lambda: len(stuck.calls) == 4)
        await made.event("F", "P")
        await well.wait_for(lambda: len(well.taken) == 2)
        assert len(stuck.calls) == 4
        hang.set()
        await settled(made)
    assert len(stuck.taken) == 40


# --- clocks ----------------------------------------------------------------------------------------------------------


async def test_a_clock_that_is_set_back_while_a_retry_waits_keeps_nobody_waiting(made):
    clock = [time.time()]
    gate = Gate(500)
    async with Receiver(gate) as receiver, webhooks(made, now_s=lambda: clock[0], **SPENT):
        await subscribed(made, entry(receiver))
        await made.event("E", "P")
        await receiver.wait_for(lambda: receiver.calls)
        clock[0] -= HOUR_S
        gate.open()
        async with asyncio.timeout(60):
            await settled(made)
    assert told(receiver.taken) == ["CREATE E"]


async def test_after_a_restart_with_a_clock_set_back_nobody_waits_longer_than_the_longest_retry(made):
    gate, clock = Gate(500), [time.time()]
    async with Receiver(gate) as receiver:
        await subscribed(made, entry(receiver))
        async with webhooks(made, now_s=lambda: clock[0], attempts=0, first_retry_s=50.0, longest_retry_s=50.0):
            await made.event("E", "P")
            await written(made, attempts=1)
        clock[0] -= DAY_S
        gate.open()
        async with webhooks(made, now_s=lambda: clock[0], **SPENT):
            async with asyncio.timeout(60):
                await settled(made)
    assert told(receiver.taken) == ["CREATE E"]


async def test_a_receiver_that_nobody_has_looked_at_for_too_long_is_told(made):
    ahead = [0.0]

    def watch():
        return time.monotonic() + ahead[0]

    async with Receiver(Gate(500)) as receiver:
        slow = {"attempts": 0, "first_retry_s": 50.0, "longest_retry_s": 50.0}
        async with webhooks(made, monotonic_s=watch, **slow) as hooks:
            await subscribed(made, entry(receiver))
            await made.event("E", "P")
            await written(made, attempts=1)
            assert hooks.webhooker.figures()["overdue"] == 0
            ahead[0] = HOUR_S
            assert hooks.webhooker.figures()["overdue"] == 1
