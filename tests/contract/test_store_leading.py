"""Who leads, on every database: a death is noticed at once, silence after a lease, and no two act as one."""

import pytest
from stored import program, put

from vtn.errors import Unavailable
from vtn.storage.ports import Delivery
from vtn.wire.enumerations import Operation

LEASE_S = 10.0
OWED = Delivery("S", 0, 1, Operation.CREATE)


class Watch:
    """The monotonic clock of one process, moved by hand."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def pair(opened):
    """Two processes with clocks that have nothing to do with each other; the first one leads."""
    stores, watches = [await opened(lease_s=LEASE_S) for _ in range(2)], [Watch(1e6), Watch(50.0)]
    for store, watch in zip(stores, watches, strict=True):
        store._lease._now_s = watch
    assert await stores[0].lead()
    assert not await stores[1].lead()
    return stores, watches


def later(watches, seconds):
    for watch in watches:
        watch.now_s += seconds


async def test_who_leads_since_when_and_in_which_term_is_told(pair):
    (first, second), _ = pair
    told = await second.leader()
    assert told == await first.leader()
    assert (told.term, told.quiet_s, told.late) == (1, 0.0, False)
    assert told.holder.startswith("process ")
    assert told.since.startswith("20")


async def test_nobody_leads_an_installation_that_nobody_has_led(opened):
    assert await (await opened()).leader() is None


async def test_a_leader_that_gives_no_sign_is_told_late_and_followed_after_its_lease_and_not_before(pair):
    (_, second), watches = pair
    later(watches, 0.65 * LEASE_S)
    assert (await second.leader()).late
    later(watches, 0.3 * LEASE_S)
    assert not await second.lead()
    later(watches, 0.1 * LEASE_S)
    assert await second.lead()
    assert (await second.leader()).term == 2


async def test_a_leader_at_work_is_never_followed(pair):
    (first, second), watches = pair
    for _ in range(40):
        later(watches, 1.0)
        assert await first.lead()
        assert not await second.lead()
        assert first.may_relay()
        assert not (await second.leader()).late


async def test_a_leader_that_wakes_knows_before_it_asks_and_what_it_still_writes_is_refused(pair):
    (first, second), watches = pair
    await put(first, program())
    await first.advance("webhooks", 1, [OWED])
    later(watches, LEASE_S + 1)
    assert await second.lead()
    assert not first.may_relay(), "it has asked neither disk nor network yet"
    for write in (first.advance("webhooks", 0), first.settle([OWED]), first.put_deliveries([OWED])):
        with pytest.raises(Unavailable, match="another process leads by now"):
            await write
    assert await second.cursor("webhooks") == 1
    assert list(await second.deliveries()) == [OWED]
    assert not await first.lead()
    await second.settle([OWED])
    assert list(await second.deliveries()) == []


async def test_a_leader_stops_trusting_its_lease_before_another_could_take_it(pair):
    (first, second), watches = pair
    later(watches, 0.8 * LEASE_S)
    assert not first.may_relay()
    assert not await second.lead()
    assert await first.lead(), "nobody has followed it, so it goes on"
    assert first.may_relay()
    assert (await second.leader()).term == 1


async def test_a_leader_that_dies_is_followed_at_once(pair):
    (first, second), _ = pair
    await first._database.release_lock()
    assert await second.lead()
    assert not await first.lead()
    assert not first.may_relay()


async def test_a_leader_that_followed_a_stopped_one_gets_the_lock_as_soon_as_that_one_wakes(pair, opened):
    (first, second), watches = pair
    third = await opened(lease_s=LEASE_S)
    third._lease._now_s = watch = Watch(7.0)
    assert not await third.lead()
    later([*watches, watch], LEASE_S + 1)
    assert await second.lead()
    assert not await third.lead()
    assert not await first.lead(), "it wakes, and lets go of the lock"
    assert not await third.lead(), "the free lock is no sign of a death: the leader never had it"
    assert await second.lead()
    await second._database.release_lock()
    assert await third.lead(), "now the leader had it, and is dead"


async def test_a_process_that_never_led_moves_cursors_as_it_always_did(pair):
    (_, second), _ = pair
    assert second.may_relay()
    await second.advance("webhooks", 0)


async def test_who_leads_no_more_is_followed_at_once_and_may_lead_again(pair, opened):
    (first, second), _ = pair
    await first.close()
    assert await second.leader() is None
    assert await second.lead()
    await second.close()
    assert await (await opened(lease_s=LEASE_S)).lead()
