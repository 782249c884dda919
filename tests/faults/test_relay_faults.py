"""The relay when things break: crashes between steps, a lost database, a lost broker, lost leadership."""

import asyncio
import json
import random

import pytest
from notifier_parts import PATIENCE_S, Receiver, eventually, node, running, settled, told, webhooks

from vtn.errors import Unavailable
from vtn.notifiers.broker.publisher import TRIES, BrokerGone, MqttOutlet
from vtn.notifiers.relay import Relay, Wake, while_leading
from vtn.notifiers.webhooks.delivery import WebhookOutlet
from vtn.storage.ports import Delivery
from vtn.wire.enumerations import ObjectType as Kind
from vtn.wire.enumerations import Operation

POLL_S = 0.02


@pytest.fixture
async def made(tmp_path):
    async with node(tmp_path) as one:
        await one.ven("V1", "c1", "g1")
        await one.program("P")
        yield one


class Recorder:
    """An outlet that keeps what it takes, and fails as told."""

    name = "recorder"

    def __init__(self, failures=()) -> None:
        self.taken: list[int] = []
        self.failures = list(failures)

    async def take(self, changes):
        if self.failures:
            raise self.failures.pop()
        self.taken += [change.seq for change in changes]
        yield changes[-1].seq, ()

    def stored(self, owed) -> None:
        pass

    def quiet_until(self, after) -> int:
        return after


async def test_changes_are_taken_once_and_in_order_across_restarts(made):
    outlet = Recorder()
    for start in range(3):
        relay = Relay(made.store, outlet, made.wake, POLL_S)
        async with running(relay.run):
            await made.event(f"E{start}", "P")
            head = await made.store.head()
            await eventually(lambda relay=relay, head=head: relay.position == head)
        await made.event(f"F{start}", "P")
    assert outlet.taken == list(range(1, len(outlet.taken) + 1))


async def test_a_crash_before_the_cursor_moved_repeats_and_never_skips(made):
    crashed = Recorder()

    async def crash(*_):
        raise ZeroDivisionError

    advance, made.store.advance = made.store.advance, crash
    await advance("recorder", 0)
    with pytest.raises(ZeroDivisionError):
        await Relay(made.store, crashed, made.wake, POLL_S).run()
    made.store.advance = advance
    again = Recorder()
    async with running(Relay(made.store, again, made.wake, POLL_S).run):
        await eventually(lambda: again.taken)
    assert again.taken == crashed.taken


async def test_a_database_out_of_reach_is_waited_for(made):
    outlet = Recorder([Unavailable("gone"), Unavailable("gone")])
    async with running(Relay(made.store, outlet, made.wake, POLL_S).run):
        await eventually(lambda: outlet.taken)
    assert outlet.taken[0] == 1


async def test_a_commit_wakes_the_relay_without_waiting_for_the_poll(made):
    outlet = Recorder()
    async with running(Relay(made.store, outlet, made.wake, poll_s=3600.0).run):
        await eventually(lambda: outlet.taken)
        for number in range(20):
            seq = (await made.event(f"E{number}", "P")).seq
            await eventually(lambda seq=seq: outlet.taken[-1] == seq)


async def test_a_wake_between_ticket_and_wait_is_not_lost():
    wake = Wake()
    ticket = wake.ticket()
    wake.set()
    async with asyncio.timeout(1):
        await ticket.wait()
    assert not wake.ticket().is_set()


async def test_what_is_owed_is_stored_with_the_cursor_before_anything_is_sent(made):
    fed = []

    def feed(owed):
        fed.extend(owed)
        raise ZeroDivisionError

    await made.subscribe("S", "c1", "http://127.0.0.1:9/")
    event = await made.event("E", "P")
    with pytest.raises(ZeroDivisionError):
        await Relay(made.store, WebhookOutlet(made.audience, feed, lambda: 7.0), made.wake, POLL_S).run()
    assert fed == [Delivery("S", 0, event.seq, Operation.CREATE, host="127.0.0.1:9", since_s=7.0)]
    assert list(await made.store.deliveries()) == fed
    assert await made.store.cursor("webhooks") == event.seq


async def test_deliveries_that_were_stored_but_not_fed_go_out_after_a_restart(made):
    async with Receiver() as receiver:
        await made.subscribe("S", "c1", receiver.url)
        event = await made.event("E", "P")
        await made.store.advance("webhooks", event.seq, [Delivery("S", 0, event.seq, Operation.CREATE)])
        async with webhooks(made):
            await settled(made)
    assert told(receiver.taken) == ["CREATE E"]


async def test_a_delivery_fed_twice_is_sent_once(made):
    hang = asyncio.Event()
    async with Receiver(hang=hang) as receiver, webhooks(made) as hooks:
        await made.subscribe("S", "c1", receiver.url)
        event = await made.event("E", "P")
        await receiver.wait_for(lambda: receiver.calls)
        hooks.webhooker.feed([Delivery("S", 0, event.seq, Operation.CREATE)])
        hang.set()
        await settled(made)
    assert told(receiver.calls) == ["CREATE E"]


async def test_a_database_lost_while_delivering_loses_nothing(made, monkeypatch):
    monkeypatch.setattr("vtn.notifiers.webhooks.delivery.DATABASE_PAUSE_S", 0.02)
    settle, failures = made.store.settle, [Unavailable("gone")] * 2

    async def flaky(done):
        if failures:
            raise failures.pop()
        await settle(done)

    made.store.settle = flaky
    async with Receiver() as receiver, webhooks(made):
        await made.subscribe("S", "c1", receiver.url)
        await made.event("E1", "P")
        await made.event("E2", "P")
        await settled(made)
    assert failures == []
    assert told(receiver.taken) == ["CREATE E1", "CREATE E2"]


async def test_a_stop_forgets_nothing_that_a_receiver_took(made):
    async with Receiver() as receiver:
        await made.subscribe("S", "c1", receiver.url)
        async with webhooks(made) as hooks:
            hooks.webhooker._settle_taken = asyncio.Event().wait
            await made.event("E", "P")
            await eventually(lambda: hooks.webhooker._taken)
        assert await made.store.deliveries() == []


class FailingPublisher:
    """A publisher whose broker goes away before, in and after a batch, but not for ever on the same one."""

    def __init__(self, chance) -> None:
        self.chance = chance
        self.gone = 0
        self.heard: list[str] = []

    async def connected(self) -> None:
        await asyncio.sleep(0)

    async def publish(self, publications) -> None:
        cut = self.chance.randint(0, len(publications) * 2) if self.gone < TRIES - 1 else len(publications)
        self.heard += [f"{topic} {json.loads(body)['object']['id']}" for topic, body in publications[:cut]]
        self.gone = self.gone + 1 if cut < len(publications) else 0
        if self.gone:
            raise BrokerGone


@pytest.mark.parametrize("seed", range(5))
async def test_whenever_the_broker_goes_every_change_is_published_in_order_at_least_once(made, seed):
    for number in range(10):
        await made.program(f"P{number}")
    publisher = FailingPublisher(random.Random(seed))
    outlet = MqttOutlet(made.audience, publisher)
    async with running(Relay(made.store, outlet, made.wake, POLL_S).run):
        async with asyncio.timeout(PATIENCE_S):
            while await made.store.cursor("mqtt") < await made.store.head():  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)
    finally_heard = {message: place for place, message in enumerate(publisher.heard)}
    told = sorted(finally_heard, key=finally_heard.__getitem__)
    in_order = ["bl/vens/create V1", "bl/programs/create P", *(f"bl/programs/create P{number}" for number in range(10))]
    assert [message for message in told if message.startswith("bl/")] == in_order


async def test_only_the_leader_works_and_stops_when_it_is_no_longer(made):
    leading = [False, True, True, False, False, True]
    log = []

    async def lead():
        answer = leading.pop(0) if leading else True
        log.append(answer)
        return answer

    async def work():
        log.append("start")
        try:
            await asyncio.Event().wait()
        finally:
            log.append("stop")

    made.store.lead = lead
    async with running(lambda: while_leading(made.store, work, 0.01)):
        await eventually(lambda: log.count("start") == 2)
    assert log[:7] == [False, True, True, "start", False, "stop", False]
    assert log[-1] == "stop"


async def test_leadership_that_cannot_be_confirmed_is_no_leadership(made):
    states = [True, True, Unavailable("gone")]
    log = []

    async def lead():
        state = states.pop(0) if states else False
        if isinstance(state, Exception):
            raise state
        return state

    async def work():
        log.append("start")
        try:
            await asyncio.Event().wait()
        finally:
            log.append("stop")

    made.store.lead = lead
    async with running(lambda: while_leading(made.store, work, 0.01)):
        await eventually(lambda: "stop" in log)
    assert log == ["start", "stop"]


async def test_a_failure_of_the_work_is_not_hidden(made):
    async def work():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(PATIENCE_S):
            await while_leading(made.store, work, 0.01)


async def test_a_backlog_is_judged_with_todays_grants(made):
    async with Receiver() as receiver:
        await made.subscribe("S", "c1", receiver.url)
        await made.event("E", "P", "g1")
        await made.event("F", "P", "g3")
        await made.ven("V1", "c1", "g3")
        async with webhooks(made):
            await settled(made)
    assert told(receiver.taken) == ["CREATE F"]


async def test_a_subscription_hears_nothing_of_what_happened_before_it_was_made(made):
    async with Receiver() as receiver:
        await made.event("OLD", "P")
        await made.subscribe("S", "c1", receiver.url)
        await made.event("NEW", "P")
        async with webhooks(made):
            await settled(made)
    assert told(receiver.taken) == ["CREATE NEW"]


async def test_events_of_a_hidden_program_stay_hidden_when_it_is_deleted(made):
    await made.program("Q", "g9")
    async with Receiver() as receiver:
        await made.subscribe("S", "c1", receiver.url, kinds=("EVENT", "PROGRAM"))
        await made.event("E", "Q")
        await made.delete(Kind.PROGRAM, "Q")
        async with webhooks(made):
            await settled(made)
    assert receiver.calls == []
