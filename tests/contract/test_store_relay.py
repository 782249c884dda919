"""The behaviour that every database must show: clients, cursors, deliveries, pruning, and who leads."""

import asyncio
import dataclasses
import time

import pytest
from stored import event, instant, program, put, removal, report, subscription

from vtn.storage.ports import (
    BrokenCallback,
    ClientRecord,
    Create,
    Delivery,
    DeliveryState,
    IdentifierClaim,
    IdentifierOwner,
    Role,
)
from vtn.wire.enumerations import Operation

CLIENT = ClientRecord("ven-1", Role.VEN, ("read_all", "write_reports"), "argon2:x", instant(0), 1784131200.25)


def owed(subscription_id: str, seq: int, **fields) -> Delivery:
    return Delivery(subscription_id, 0, seq, Operation.CREATE, **fields)


async def grow(store, count: int, start: int = 0) -> None:
    """Rows in the log, one a second."""
    for n in range(start, start + count):
        await store.write(Create(program()), at=instant(n), actor="bl")


async def numbers(store) -> list[int]:
    return [change.seq for change in await store.changes(0)]


# --- clients ---------------------------------------------------------------------------------------------------------


async def test_a_client_comes_back_as_it_was_put(store):
    assert await store.clients() == (0, [])
    second = ClientRecord("bl", Role.BL, (), "argon2:y", instant(1), 0.0, revoked=True)
    await store.put_client(CLIENT)
    await store.put_client(second)
    assert await store.clients() == (2, [second, CLIENT])


async def test_putting_a_client_again_replaces_it(store):
    await store.put_client(CLIENT)
    revoked = dataclasses.replace(CLIENT, revoked=True, valid_from_s=2e9, scopes=("read_all",))
    await store.put_client(revoked)
    assert await store.clients() == (2, [revoked])


async def test_another_store_on_this_host_sees_a_client_change_at_once(opened):
    one, neighbour, far = await opened(), await opened(), await opened(host="another host")
    await one.put_client(CLIENT)
    assert one.client_generation() == neighbour.client_generation() == 1
    assert far.client_generation() == 0
    assert (await far.clients())[0] == far.client_generation() == 1


async def test_the_generation_survives_a_restart_even_where_the_shared_file_is_new(opened):
    one = await opened()
    await one.put_client(CLIENT)
    await one.close()
    assert (await opened(host="another host")).client_generation() == 1


async def test_clients_put_at_once_are_all_counted(opened):
    stores = [await opened(), await opened()]
    clients = [dataclasses.replace(CLIENT, client_id=f"ven-{n}") for n in range(20)]
    await asyncio.gather(*(stores[n % 2].put_client(client) for n, client in enumerate(clients)))
    generation, found = await stores[0].clients()
    assert (generation, len(found)) == (20, 20)
    assert stores[0].client_generation() == stores[1].client_generation() == 20


async def test_a_clients_secret_is_not_shown_when_it_is_printed(store):
    await store.put_client(CLIENT)
    assert "argon2" not in repr(await store.clients())


# --- cursors and deliveries ------------------------------------------------------------------------------------------


async def test_a_new_outlet_starts_at_nothing_and_then_where_it_was_moved(opened):
    store = await opened()
    assert await store.cursor("webhooks") == 0
    await store.advance("webhooks", 7)
    await store.advance("mqtt", 9)
    await store.close()
    again = await opened()
    assert (await again.cursor("webhooks"), await again.cursor("mqtt")) == (7, 9)


async def test_what_an_outlet_owes_is_stored_with_its_cursor_and_read_in_log_order(store):
    due = [owed("b", 2), owed("a", 2), dataclasses.replace(owed("a", 1), entry=1)]
    await store.advance("webhooks", 2, due)
    assert await store.cursor("webhooks") == 2
    assert await store.deliveries() == due[::-1]
    assert await store.deliveries(limit=2) == due[:0:-1]


async def test_owing_the_same_twice_is_owing_it_once(store):
    await store.advance("webhooks", 1, [owed("a", 1)])
    await store.advance("webhooks", 1, [owed("a", 1)])
    assert await store.deliveries() == [owed("a", 1)]


async def test_another_try_and_the_end_of_trying_are_remembered(store):
    await store.advance("webhooks", 2, [owed("a", 1), owed("a", 2)])
    tried = owed("a", 1, attempts=3, next_at_s=1784131200.125, last_error="503")
    given_up = owed("a", 2, state=DeliveryState.DEAD, attempts=9, last_error="gone")
    await store.put_deliveries([tried, given_up])
    assert await store.deliveries() == [tried]
    assert await store.deliveries(DeliveryState.DEAD) == [given_up]


async def test_what_was_taken_is_forgotten_and_stays_so(store):
    due = [owed("a", 1), owed("a", 2), owed("b", 1)]
    await store.advance("webhooks", 2, due)
    await store.settle(due[:2])
    await store.put_deliveries([owed("a", 1, attempts=1)])
    await store.put_deliveries([])
    await store.settle([])
    assert await store.deliveries() == [due[2]]


async def test_dead_deliveries_are_replayed_as_if_never_tried_and_waiting_ones_are_left(store):
    waits, dead = owed("a", 1, attempts=2), owed("a", 2, state=DeliveryState.DEAD, attempts=8, next_at_s=2e9)
    other = dataclasses.replace(dead, subscription_id="b", last_error="503")
    await store.advance("webhooks", 2, [waits, dead, other])
    assert await store.replay("b") == 1
    assert await store.replay("b") == 0
    fresh = dataclasses.replace(other, state=DeliveryState.REPLAYED, attempts=0, next_at_s=0.0)
    assert await store.deliveries(DeliveryState.REPLAYED) == [fresh]
    assert await store.deliveries(DeliveryState.DEAD) == [dead]
    assert await store.replay() == 1
    assert await store.deliveries() == [waits]


# --- broken callbacks ------------------------------------------------------------------------------------------------


async def test_marks_on_callbacks_are_kept_until_they_are_taken_back(store):
    first, second = subscription(), subscription()
    await put(store, first, second)
    marks = [
        BrokenCallback(first.id, 0, "digest", instant(1), 20, "answered 500"),
        BrokenCallback(first.id, 1, "other", instant(2), 20, "answered 500"),
        BrokenCallback(second.id, 0, "digest", instant(3), 20, "no answer within 10 s"),
    ]
    for mark in marks:
        await store.put_broken(mark)
    again = dataclasses.replace(marks[0], failures=40)
    await store.put_broken(again)
    assert await store.broken_callbacks() == [again, *marks[1:]]
    assert await store.broken_callbacks(second.id) == marks[2:]
    await store.mend(first.id)
    assert await store.broken_callbacks() == marks[2:]


async def test_a_mark_goes_with_its_subscription(store):
    first, second = subscription(), subscription()
    await put(store, first, second)
    for one in (first, second):
        await store.put_broken(BrokenCallback(one.id, 0, "digest", instant(1), 20, "gone"))
    await store.write(removal(first), at=instant(2), actor="c")
    assert [mark.subscription_id for mark in await store.broken_callbacks()] == [second.id]


# --- dead letters ----------------------------------------------------------------------------------------------------


async def test_where_and_since_when_something_is_owed_is_remembered(store):
    due = owed("a", 1, host="a.example:443", since_s=1784131200.125)
    await store.advance("webhooks", 1, [due])
    assert await store.deliveries() == [due]


async def test_dead_letters_beyond_the_bound_of_a_subscription_are_forgotten_oldest_first(store):
    due = [owed("a", seq) for seq in range(1, 8)] + [owed("b", seq) for seq in range(1, 3)]
    await store.advance("webhooks", 7, due)
    dead = [dataclasses.replace(one, state=DeliveryState.DEAD, last_error="gone") for one in due]
    assert await store.bury(dead[:2], 3) == 0
    assert await store.bury(dead[2:6] + dead[7:], 3) == 3
    assert await store.deliveries(DeliveryState.DEAD) == sorted(dead[3:6] + dead[7:], key=in_log_order)
    assert await store.deliveries() == [due[6]]
    assert await store.bury([], 3) == 0


def in_log_order(delivery: Delivery) -> tuple[int, str]:
    return delivery.seq, delivery.subscription_id


# --- MQTT client identifiers -----------------------------------------------------------------------------------------

KEPT_S = 1_000.0


def claim(identifier: str, client_id: str, now_s: float, **more) -> IdentifierClaim:
    return IdentifierClaim(identifier, client_id, now_s, now_s - KEPT_S, **{"most": 3, **more})


async def test_an_identifier_is_its_clients_until_it_was_not_seen_for_long(store):
    assert await store.claim_identifier(claim("x", "a", 0.0)) == IdentifierOwner("a", 1)
    assert await store.claim_identifier(claim("x", "b", KEPT_S)) == IdentifierOwner("a")
    assert await store.claim_identifier(claim("x", "a", KEPT_S)) == IdentifierOwner("a", 2)
    assert await store.claim_identifier(claim("x", "b", 2 * KEPT_S)) == IdentifierOwner("a")
    assert await store.claim_identifier(claim("x", "b", 2 * KEPT_S + 1)) == IdentifierOwner("b", 1)
    assert await store.claim_identifier(claim("x", "a", 2 * KEPT_S + 2)) == IdentifierOwner("b")


async def test_a_refused_claim_prolongs_nothing(store):
    await store.claim_identifier(claim("x", "a", 0.0))
    await store.claim_identifier(claim("x", "b", KEPT_S))
    assert (await store.claim_identifier(claim("x", "b", KEPT_S + 1))).client_id == "b"


async def test_a_client_that_is_still_there_has_not_come_back(store):
    await store.claim_identifier(claim("x", "a", 0.0))
    assert await store.claim_identifier(claim("x", "a", 1.0, comes=False)) == IdentifierOwner("a", 1)


async def test_beyond_its_bound_a_client_loses_what_it_used_once_then_the_oldest_never_what_it_holds(store):
    for at_s, name in enumerate(("steady", "steady", "held", "once")):
        assert (await store.claim_identifier(claim(name, "a", at_s))).lost == ()
    await store.claim_identifier(claim("other", "b", 4.0))
    assert (await store.claim_identifier(claim("new", "a", 5.0, holds=frozenset({"held"})))).lost == ("once",)
    assert (await store.claim_identifier(claim("newer", "a", 6.0, holds=frozenset({"held"})))).lost == ("new",)
    assert (await store.claim_identifier(claim("newest", "a", 7.0))).lost == ("held",)
    assert (await store.claim_identifier(claim("held", "b", 8.0))).client_id == "b"
    assert (await store.claim_identifier(claim("steady", "b", 8.0))).client_id == "a"


async def test_of_two_clients_that_come_by_a_new_identifier_at_once_one_has_it(opened):
    stores = [await opened(), await opened()]
    claims = [claim("x", client, 0.0) for client in ("a", "b") * 5]
    owners = await asyncio.gather(*(stores[n % 2].claim_identifier(one) for n, one in enumerate(claims)))
    assert len({owner.client_id for owner in owners}) == 1


# --- pruning ---------------------------------------------------------------------------------------------------------


async def test_pruning_drops_what_is_older_than_asked_for_and_no_more(store):
    await grow(store, 6)
    assert await store.prune(instant(4)) == 4
    assert await numbers(store) == [5, 6]
    assert await store.prune(instant(4)) == 0


async def test_pruning_keeps_what_an_outlet_has_not_read(store):
    await grow(store, 6)
    await store.advance("fast", 6)
    await store.advance("slow", 2)
    assert await store.prune(instant(59)) == 2
    assert await numbers(store) == [3, 4, 5, 6]


async def test_pruning_waits_for_an_outlet_that_has_asked_where_it_stands(store):
    await grow(store, 3)
    await store.cursor("new")
    assert await store.prune(instant(59)) == 0


async def test_pruning_keeps_what_a_delivery_tells_of_dead_ones_too(store):
    await grow(store, 5)
    await store.advance("webhooks", 5, [owed("a", 2), owed("a", 4, state=DeliveryState.DEAD)])
    assert await store.prune(instant(59)) == 3
    assert await numbers(store) == [2, 4]
    await store.settle([owed("a", 2), owed("a", 4)])
    assert await store.prune(instant(59)) == 2


async def test_numbers_go_on_after_the_whole_log_was_pruned(store):
    await grow(store, 3)
    assert await store.prune(instant(59)) == 3
    await grow(store, 1, start=3)
    assert await numbers(store) == [4]
    assert await store.head() == 4


async def test_pruning_leaves_objects_and_the_archive_alone(store):
    parent = program()
    happening = event(parent)
    await put(store, parent, happening, said := report(happening), kept := report(happening))
    await store.write(removal(said), at=instant(1), actor="bl")
    await store.prune(instant(59))
    assert await store.objects() == (5, [parent, happening])
    assert await store.report(kept.id) == kept


# --- leading ---------------------------------------------------------------------------------------------------------


async def test_one_store_leads_until_it_is_closed(opened):
    first, second = await opened(), await opened()
    assert await first.lead()
    assert not await second.lead()
    assert await first.lead()
    await first.close()
    async with asyncio.timeout(60):
        while not await second.lead():
            pass
    assert not await (await opened()).lead()


# --- size ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def large(store):
    programs = [program() for _ in range(1000)]
    events = [event(programs[n % 1000], body=b"x" * 1000) for n in range(10_000)]
    await asyncio.gather(*(put(store, one) for one in programs))
    await asyncio.gather(*(put(store, one) for one in events))
    return store


async def test_ten_thousand_events_and_their_log_are_read_in_well_under_a_second(large):
    """By the processor's time, which other programs on the machine take nothing of."""
    began_s = time.process_time()
    head, found = await large.objects()
    assert (head, len(found)) == (11_000, 11_000)
    between_s = time.process_time()
    changes = await large.changes(0, limit=11_000)
    assert [change.seq for change in changes] == list(range(1, 11_001))
    assert max(between_s - began_s, time.process_time() - between_s) < 1
