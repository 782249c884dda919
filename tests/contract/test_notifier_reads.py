"""Who is told that somebody has read (NOTIF-13, NOTIF-14, TR-70): webhooks only, at most once, and nobody's secrets."""

import asyncio
import contextlib

import pytest
from notifier_parts import Receiver, eventually, node, told, webhooks

from vtn.wire.enumerations import ObjectType as Kind

HOUR_S = 3600.0


@pytest.fixture
async def made(tmp_path):
    async with node(tmp_path) as one:
        await one.ven("V1", "c1", "g1")
        await one.ven("V2", "c2", "g2")
        await one.program("P")
        await one.event("E1", "P", "g1")
        await one.event("E2", "P", "g2")
        await one.event("E0", "P")
        yield one


async def listens(made, subscription_id, owner, receiver, kinds=("EVENT",), operations=("READ",), **more):
    entry = {"objects": list(kinds), "operations": list(operations), "callbackUrl": receiver.url, "bearerToken": None}
    entries = [entry, *more.pop("entries", ())]
    return await made.put(Kind.SUBSCRIPTION, subscription_id, owner, clientName=owner, objectOperations=entries, **more)


class Readers:
    """Reads objects in the name of clients."""

    def __init__(self, made, hooks, last) -> None:
        self._made = made
        self._reads = hooks.reads
        self._last = last

    async def see(self, client_id, kind, *object_ids):
        bodies = [self._made.model.get(kind, object_id).body for object_id in object_ids]
        self._reads.note(kind, client_id, bodies)

    async def told_everything(self):
        """What is noted is spread in order: once a last read is told, the rest is told when no queue is left."""
        await self.see("somebody", Kind.PROGRAM, "P")
        await self._last.wait_for(lambda: self._last.taken)
        await eventually(lambda: not self._reads._queues)


@contextlib.asynccontextmanager
async def reading(made, **settings):
    async with Receiver() as last, webhooks(made, **settings) as hooks:
        await listens(made, "LAST", "bl", last, kinds=("PROGRAM",))
        await eventually(lambda: hooks.reads._leads)
        yield Readers(made, hooks, last)


async def test_business_logic_hears_what_others_read_as_it_would_read_it_itself(made):
    async with Receiver() as receiver, reading(made) as readers:
        await listens(made, "S", "bl", receiver)
        await readers.see("c1", Kind.EVENT, "E1")
        await receiver.wait_for(lambda: receiver.taken)
    assert told(receiver.taken) == ["READ E1"]
    assert receiver.taken[0]["object"]["targets"] == ["g1"]
    assert receiver.taken[0].keys() == {"objectType", "operation", "object", "targets"}
    assert "EVTN-Signature" in receiver.headers[0]


async def test_business_logic_does_not_hear_itself_so_a_callback_that_reads_again_ends(made):
    async with Receiver() as receiver, reading(made) as readers:
        await listens(made, "S", "bl", receiver)
        await readers.see("bl", Kind.EVENT, "E1")
        await readers.told_everything()
    assert receiver.calls == []


async def test_a_ven_hears_its_own_reads_and_never_those_of_another(made):
    async with Receiver() as mine, Receiver() as theirs, reading(made) as readers:
        await listens(made, "S1", "c1", mine)
        await listens(made, "S2", "c2", theirs)
        await readers.see("c1", Kind.EVENT, "E0", "E1")
        await readers.see("bl", Kind.EVENT, "E2")
        await mine.wait_for(lambda: len(mine.taken) == 2)
        await readers.told_everything()
    assert told(mine.taken) == ["READ E0", "READ E1"]
    assert theirs.calls == []


async def test_a_ven_hears_of_no_object_that_it_may_no_longer_see(made):
    async with Receiver() as receiver, reading(made) as readers:
        await listens(made, "S", "c1", receiver)
        await readers.see("c1", Kind.EVENT, "E2")
        await readers.see("c1", Kind.EVENT, "E1")
        await receiver.wait_for(lambda: receiver.taken)
        await readers.told_everything()
    assert told(receiver.taken) == ["READ E1"]


async def test_nobody_without_the_operation_read_hears_of_reads(made):
    async with Receiver() as receiver, reading(made) as readers:
        await listens(made, "S", "bl", receiver, operations=("CREATE", "UPDATE", "DELETE"))
        await readers.see("c1", Kind.EVENT, "E1")
        await readers.told_everything()
    assert receiver.calls == []


async def test_program_and_targets_of_the_subscription_narrow_reads_as_they_narrow_changes(made):
    await made.program("Q")
    await made.event("F", "Q")
    async with Receiver() as by_program, Receiver() as by_target, reading(made) as readers:
        await listens(made, "S1", "bl", by_program, programID="Q")
        await listens(made, "S2", "bl", by_target, targets=["g2"])
        await readers.see("c1", Kind.EVENT, "E0", "E1", "E2", "F")
        await by_program.wait_for(lambda: by_program.taken)
        await by_target.wait_for(lambda: by_target.taken)
        await readers.told_everything()
    assert (told(by_program.taken), told(by_target.taken)) == (["READ F"], ["READ E2"])


async def test_reports_are_read_from_the_database_and_told_like_the_rest(made):
    report = await made.put(Kind.REPORT, "R", "c1", eventID="E1", programID="P", clientName="c")
    async with Receiver() as receiver, reading(made) as readers:
        await listens(made, "S", "bl", receiver, kinds=("REPORT",))
        readers._reads.note(Kind.REPORT, "c1", [report.record.body])
        await receiver.wait_for(lambda: receiver.taken)
    assert told(receiver.taken) == ["READ R"]


async def test_an_object_and_its_reader_are_told_of_once_in_a_while(made):
    clock = [1e9]
    async with Receiver() as receiver, reading(made, monotonic_s=lambda: clock[0], read_notice_s=HOUR_S) as readers:
        await listens(made, "S", "bl", receiver)
        for client_id in ("c1", "c1", "c2", "c1"):
            await readers.see(client_id, Kind.EVENT, "E0")
        await receiver.wait_for(lambda: len(receiver.taken) == 2)
        await readers.told_everything()
        assert told(receiver.taken) == ["READ E0", "READ E0"]
        clock[0] += HOUR_S
        await readers.see("c1", Kind.EVENT, "E0")
        await receiver.wait_for(lambda: len(receiver.taken) == 3)


async def test_a_read_that_cannot_be_told_is_told_no_more(made):
    async with Receiver(lambda _number: 500) as receiver, reading(made) as readers:
        await listens(made, "S", "bl", receiver)
        await readers.see("c1", Kind.EVENT, "E0")
        await receiver.wait_for(lambda: receiver.calls)
        await readers.told_everything()
        assert [await made.store.deliveries(), len(receiver.calls)] == [[], 1]


async def test_a_receiver_of_reads_that_keeps_failing_is_broken_like_any(made):
    async with Receiver(lambda _number: 500) as receiver, reading(made, broken_after=2) as readers:
        await listens(made, "S", "bl", receiver)
        await readers.see("c1", Kind.EVENT, "E0", "E1", "E2")
        await eventually(lambda: "S" not in readers._reads._queues and receiver.calls)
        assert len(receiver.calls) == 2
        assert [mark.subscription_id for mark in await made.store.broken_callbacks()] == ["S"]


async def test_receivers_that_hang_delay_no_other_hearer_of_reads(made):
    hang = asyncio.Event()
    async with Receiver(hang=hang) as stuck, Receiver() as receiver, reading(made, timeout_s=30.0) as readers:
        for number in range(70):
            await listens(made, f"H{number}", "bl", stuck)
        await listens(made, "S", "bl", receiver)
        await readers.see("c1", Kind.EVENT, "E0")
        await receiver.wait_for(lambda: receiver.taken)
        assert not hang.is_set()


async def test_more_reads_than_can_be_told_are_dropped_and_not_kept(made):
    hang = asyncio.Event()
    async with Receiver(hang=hang) as stuck, reading(made, timeout_s=30.0, read_notice_s=HOUR_S) as readers:
        await listens(made, "S", "bl", stuck)
        for number in range(3_000):
            await readers.see(f"reader {number}", Kind.EVENT, "E0")
        await stuck.wait_for(lambda: stuck.calls)
        assert len(readers._reads._noted) <= 1_000
        assert all(len(queue) <= 1_000 for queue in readers._reads._queues.values())


async def test_what_is_read_while_nobody_leads_is_told_to_nobody(made):
    async with Receiver() as receiver:
        async with reading(made) as readers:
            await listens(made, "S", "bl", receiver)
        await readers.see("c1", Kind.EVENT, "E0")
        assert not readers._reads._noted


async def test_the_model_knows_for_which_kinds_anybody_listens(made):
    async with Receiver() as receiver:
        assert made.model.read_by == {}
        await listens(made, "S", "bl", receiver, kinds=("EVENT", "VEN"))
        await listens(made, "T", "bl", receiver, kinds=("EVENT",))
        assert made.model.read_by == {"EVENT": {"S", "T"}, "VEN": {"S"}}
        await listens(made, "S", "bl", receiver, kinds=("PROGRAM",))
        await made.delete(Kind.SUBSCRIPTION, "T")
        assert made.model.read_by == {"PROGRAM": {"S"}}


async def test_a_read_that_cannot_be_told_keeps_no_other_from_being_told(made, monkeypatch):
    read_calls = made.audience.read_calls

    async def spoilt(subscription_id, kind, object_id, reader):
        if object_id == "E0":
            raise KeyError("nobody foresaw this")
        return await read_calls(subscription_id, kind, object_id, reader)

    monkeypatch.setattr(made.audience, "read_calls", spoilt)
    async with Receiver() as receiver, reading(made) as readers:
        await listens(made, "S", "bl", receiver)
        await readers.see("c1", Kind.EVENT, "E0", "E1")
        await readers.told_everything()
    assert told(receiver.taken) == ["READ E1"]
