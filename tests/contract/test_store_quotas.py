"""What one client may keep stored, judged in the transaction that stores it; and what its deleted reports leave."""

import asyncio
import dataclasses
import json
import random

import asyncpg
import pytest
from sqlalchemy import func, select
from stored import AT, event, instant, program, put, removal, report, resource, subscription, ven

from vtn.bounds import ClientQuotas
from vtn.errors import OverQuota, VtnError
from vtn.service import broken_callbacks
from vtn.storage.ports import All, BrokenCallback, Create, Delete, Replace, ReportQuery
from vtn.storage.records import PACKED_FROM_BYTES
from vtn.storage.sql import open_store
from vtn.storage.statements.usage import FullAccounts, growth, limits, rows, rows_of_new
from vtn.storage.tables import ARCHIVE, LOG, OBJECTS, USAGE
from vtn.wire.enumerations import ObjectType

BODY = b'{"n": 1.50}'
SIZE = len(BODY)


def few(**bounds) -> ClientQuotas:
    return ClientQuotas(**bounds)


def body_of(size: int) -> bytes:
    return b'{"x":"' + b"y" * (size - 8) + b'"}'


def entries(number: int) -> bytes:
    return json.dumps({"objectOperations": [{}] * number}).encode()


async def write(store, command):
    return await store.write(command, at=AT, actor="ven-1")


async def refused(store, command, *says):
    before = await store.head()
    with pytest.raises(OverQuota) as caught:
        await write(store, command)
    assert all(one in str(caught.value) for one in says), str(caught.value)
    assert await store.head() == before


async def happening(store):
    parent = program()
    await put(store, parent, one := event(parent))
    return one


async def counted(store) -> dict:
    def read(connection):
        return {(row.owner, row.counted): (row.objects, row.bytes) for row in connection.execute(select(USAGE))}

    return {key: amount for key, amount in (await store._database.read(read)).items() if amount != (0, 0)}


# --- each bound ------------------------------------------------------------------------------------------------------


async def test_reports_of_a_client_are_bounded_in_number_and_others_are_not_touched(opened):
    store = await opened(quotas=few(reports=2))
    on = await happening(store)
    first = report(on)
    await put(store, first, report(on))
    await refused(store, Create(report(on)), "keeps 2 reports", "may keep 2", "bounds.client.reports", "delete")
    await put(store, report(on, client_id="ven-2"))
    await write(store, removal(first))
    await put(store, report(on))
    await refused(store, Create(report(on)), "keeps 2 reports")


async def test_reports_of_a_client_are_bounded_in_bytes_and_a_smaller_one_still_fits(opened):
    store = await opened(quotas=few(report_bytes=100))
    on = await happening(store)
    await put(store, report(on, body=body_of(60)))
    await refused(store, Create(report(on, body=body_of(41))), "60 bytes of reports", "bounds.client.report_bytes")
    await put(store, report(on, body=body_of(40)))
    await refused(store, Create(report(on)), "100 bytes of reports")


async def test_a_report_that_is_replaced_by_a_larger_one_is_judged_too(opened):
    store = await opened(quotas=few(report_bytes=100))
    on = await happening(store)
    await put(store, one := report(on, body=body_of(60)))

    def to(size):
        return Replace(one.kind, one.id, lambda old: dataclasses.replace(old, body=body_of(size)))

    await refused(store, to(101), "bounds.client.report_bytes")
    await write(store, to(100))
    await write(store, to(10))
    assert (await counted(store))["ven-1", "REPORT"] == (1, 10)


PER_CLIENT = {
    "resources": resource,
    "subscriptions": lambda owner: subscription(client_id=owner.client_id),
}


@pytest.mark.parametrize("bound", PER_CLIENT)
async def test_what_a_client_owns_is_bounded_for_each_client(opened, bound):
    store = await opened(quotas=few(**{bound: 2}))
    one, other = ven(), ven()
    await put(store, one, other, *(PER_CLIENT[bound](one) for _ in range(2)), PER_CLIENT[bound](other))
    await refused(store, Create(PER_CLIENT[bound](one)), f"bounds.client.{bound}")
    await put(store, PER_CLIENT[bound](other))


TOGETHER = {"programs": program, "vens": ven}


@pytest.mark.parametrize("bound", TOGETHER)
async def test_what_belongs_to_all_is_bounded_for_all_together(opened, bound):
    store = await opened(quotas=few(**{bound: 2}))
    await put(store, TOGETHER[bound](client_id="one"), TOGETHER[bound](client_id="two"))
    await refused(store, Create(TOGETHER[bound](client_id="three")), "all clients together", f"bounds.client.{bound}")


async def test_entries_are_bounded_over_all_subscriptions_of_a_client(opened):
    store = await opened(quotas=few(subscription_entries=10))
    await put(store, one := subscription(body=entries(6)))
    await refused(store, Create(subscription(body=entries(5))), "entries of subscriptions", "subscription_entries")
    await put(store, subscription(body=entries(5), client_id="ven-2"))
    await write(store, Replace(one.kind, one.id, lambda old: dataclasses.replace(old, body=entries(5))))
    await put(store, subscription(body=entries(5)))
    assert (await counted(store))["ven-1", "ENTRIES"] == (10, 0)


async def test_a_ven_that_moves_is_judged_by_the_quota_of_whom_it_comes_to(opened):
    store = await opened(quotas=few(resources=2))
    one = ven()
    await put(store, one, resource(one), resource(one))

    def follow(child, parent):
        return dataclasses.replace(child, client_id=parent.client_id)

    move = Replace(one.kind, one.id, lambda old: dataclasses.replace(old, client_id="new"), follow)
    await write(store, move)
    assert (await counted(store))["new", "RESOURCE"] == (2, 2 * SIZE)
    assert (one.client_id, "RESOURCE") not in await counted(store)


async def test_what_is_above_a_bound_that_was_lowered_can_shrink_and_cannot_grow(opened, store):
    on = await happening(store)
    held = [report(on, body=body_of(50)) for _ in range(4)]
    await put(store, *held)
    strict = await opened(quotas=few(reports=2, report_bytes=60))
    shrunk = Replace(held[0].kind, held[0].id, lambda old: dataclasses.replace(old, body=body_of(40)))
    await write(strict, shrunk)
    await refused(strict, Create(report(on)), "bounds.client.reports")
    for one in held[:3]:
        await write(strict, removal(one))
    await put(strict, report(on, body=body_of(10)))


# --- at the same time ------------------------------------------------------------------------------------------------


async def test_writes_of_several_processes_at_once_do_not_pass_a_bound_together(opened):
    stores = [await opened(quotas=few(reports=10, report_bytes=15 * SIZE)) for _ in range(2)]
    on = await happening(stores[0])
    tries = (write(stores[n % 2], Create(report(on))) for n in range(40))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(one, Exception) for one in outcomes) == 10
    assert {type(one) for one in outcomes if isinstance(one, Exception)} == {OverQuota}
    assert (await counted(stores[1]))["ven-1", "REPORT"] == (10, 10 * SIZE)


async def test_a_client_at_its_bound_disturbs_no_neighbour_in_its_batch(opened):
    store = await opened(quotas=few(reports=1))
    on = await happening(store)
    jobs = [Create(report(on, client_id=f"ven-{n % 5}")) for n in range(10)]
    outcomes = await asyncio.gather(*(write(store, job) for job in jobs), return_exceptions=True)
    assert [isinstance(one, OverQuota) for one in outcomes] == [False] * 5 + [True] * 5


async def test_commands_that_belong_together_are_judged_together(opened):
    store = await opened(quotas=few(resources=2))
    one = ven()
    await refused(store, All((Create(one), *(Create(resource(one)) for _ in range(3)))), "bounds.client.resources")
    assert await counted(store) == {}


# --- the counters are what is there ----------------------------------------------------------------------------------


async def truth(store) -> dict:
    """What the counters should say, from the objects themselves."""
    _, objects = await store.objects()
    reports = [record for _, record in await pages(store)]
    said = await store.reports(ReportQuery(limit=10_000))
    found = {tuple(key): tuple(amount) for key, amount in growth((None, one) for one in [*objects, *said]).items()}
    for one in reports:
        objects_, size = found.get((one.client_id, "ARCHIVE"), (0, 0))
        found[one.client_id, "ARCHIVE"] = (objects_ + 1, size + len(one.body))
    return found


async def pages(store):
    found, after = [], ("", "")
    while page := await store.archived(after):
        found += page
        after = page[-1][0], page[-1][1].id
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_after_any_writes_the_counters_are_what_is_there(opened, seed):
    chance = random.Random(seed)
    bounds = {"reports": 12, "report_bytes": 900, "resources": 6, "subscription_entries": 20, "archive_bytes": 400}
    store = await opened(quotas=few(**bounds))
    programs, vens = [program() for _ in range(3)], [ven(client_id=f"ven-{n}") for n in range(3)]
    events = [event(chance.choice(programs)) for _ in range(4)]
    await put(store, *programs, *vens, *events)
    held: list = []

    def follow(child, parent):
        return dataclasses.replace(child, client_id=parent.client_id)

    def a_write():
        owner, size = f"ven-{chance.randrange(3)}", chance.randrange(10, 200)
        made = {
            "report": lambda: report(chance.choice(events), client_id=owner, body=body_of(size)),
            "resource": lambda: resource(chance.choice(vens), body=body_of(size)),
            "subscription": lambda: subscription(client_id=owner, body=entries(chance.randrange(9))),
        }
        what = chance.choice([*made, "replace", "remove", "move"])
        if what in made:
            held.append(one := made[what]())
            return Create(one)
        if what == "move":
            one, to = chance.choice(vens), f"moved-{chance.randrange(5)}"
            return Replace(one.kind, one.id, lambda old: dataclasses.replace(old, client_id=to), follow)
        one = chance.choice(held or vens)
        if what == "remove":
            return Delete(one.kind, one.id, lambda _: None)
        body = entries(size % 7) if one.kind is ObjectType.SUBSCRIPTION else body_of(size)
        return Replace(one.kind, one.id, lambda old: dataclasses.replace(old, body=body))

    outcomes = []
    for _ in range(12):
        some = [write(store, a_write()) for _ in range(10)]
        outcomes += await asyncio.gather(*some, return_exceptions=True)
    assert {isinstance(one, VtnError) for one in outcomes if isinstance(one, Exception)} <= {True}
    assert await counted(store) == await truth(store)
    assert any(isinstance(one, OverQuota) for one in outcomes)
    await write(store, removal(events[0]))
    await write(store, removal(programs[0]))
    assert await counted(store) == await truth(store)


# --- who is refused again and again ----------------------------------------------------------------------------------


class Watch:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_who_was_refused_is_refused_again_without_a_look_until_something_is_deleted_or_time_has_passed():
    watch = Watch()
    full, error = FullAccounts(watch), OverQuota("enough")
    on = event(program())
    full.note(report(on, body=body_of(50)), error)
    again = [full.refusal(report(on, body=body_of(50))) for _ in range(2)]
    assert [str(one) for one in again] == ["enough"] * 2
    assert len({id(one) for one in (error, *again)}) == 3, "each is raised once"
    assert full.refusal(report(on, body=body_of(49))) is None, "a smaller one may fit"
    assert full.refusal(report(on, body=body_of(50), client_id="ven-2")) is None
    assert full.refusal(subscription(body=body_of(50))) is None
    watch.now_s += 6
    assert full.refusal(report(on, body=body_of(50))) is None


async def test_room_that_another_process_made_is_used_at_once(opened):
    one, other = [await opened(quotas=few(reports=1)) for _ in range(2)]
    on = await happening(one)
    await put(one, held := report(on))
    await refused(other, Create(report(on)), "keeps 1 reports")
    await write(one, removal(held))
    await other.changes(0)
    await put(other, report(on))


# --- what it costs on disk -------------------------------------------------------------------------------------------


async def total(store, *columns) -> int:
    def read(connection):
        return sum(connection.execute(select(func.coalesce(func.sum(func.length(one)), 0))).scalar() for one in columns)

    return await store._database.read(read)


async def test_large_reports_that_repeat_themselves_take_little_room_also_once_they_are_deleted(opened):
    store = await opened()
    on = await happening(store)
    large = b'{"resources":[' + b",".join([b"{}"] * 100_000) + b"]}"
    said = [report(on, body=large) for _ in range(5)]
    await put(store, *said)
    columns = OBJECTS[ObjectType.REPORT].c.body, LOG.c.body, ARCHIVE.c.body
    assert await total(store, *columns) < 0.02 * 2 * 5 * len(large)
    assert [one.body for one in [await store.report(made.id) for made in said]] == [large] * 5
    for one in said:
        await write(store, removal(one))
    assert await total(store, *columns) < 0.02 * 3 * 5 * len(large)
    assert [record.body for _, record in await store.archived()] == [large] * 5
    assert [change.record.body for change in await store.changes(2)] == [large] * 10


async def test_what_does_not_compress_and_what_looks_compressed_come_back_as_they_were(opened):
    store = await opened()
    noise = random.Random(1).randbytes(PACKED_FROM_BYTES).hex().encode()
    bodies = [noise, b"zlib:not really", b"zlib:" + noise, "ä".encode() * PACKED_FROM_BYTES, b'{"n": 1.50}']
    made = [program(body=body) for body in bodies]
    await put(store, *made)
    _, found = await store.objects()
    assert {one.id: one.body for one in found} == {one.id: one.body for one in made}
    assert [change.record.body for change in await store.changes(0)] == bodies


async def test_the_archive_of_a_client_is_bounded_and_its_own_oldest_reports_go(opened):
    store = await opened(quotas=few(archive_bytes=250))
    on = await happening(store)
    said = [report(on, body=body_of(100)) for _ in range(4)]
    theirs = report(on, client_id="ven-2", body=body_of(100))
    await put(store, *said, theirs)
    await store.write(removal(theirs), at=instant(0), actor="ven-2")
    for n, one in enumerate(said):
        await store.write(removal(one), at=instant(1 + n), actor="ven-1")
    kept = await store.archived()
    assert [record.id for _, record in kept] == [theirs.id, *(one.id for one in said[2:])]
    assert [record.id for _, record in await store.archived(client_id="ven-2")] == [theirs.id]


async def test_the_archive_is_pruned_by_age(opened):
    store = await opened()
    on = await happening(store)
    said = [report(on) for _ in range(4)]
    await put(store, *said)
    for n, one in enumerate(said):
        await store.write(removal(one), at=instant(n), actor="ven-1")
    assert await store.prune_archive(instant(3)) == 3
    assert [(at, record.id) for at, record in await store.archived()] == [(instant(3), said[3].id)]
    assert (await counted(store))["ven-1", "ARCHIVE"] == (1, SIZE)


async def test_pruning_waits_for_who_writes_before_it_touches_a_row(postgres_url, tmp_path):
    """Who deletes a report counts first and then takes old ones away; pruning had it the other way: a dead-lock."""
    store = await open_store(postgres_url, shared_dir=tmp_path)
    on = await happening(store)
    await put(store, said := report(on))
    await store.write(removal(said), at=instant(0), actor="ven-1")
    writer = await asyncpg.connect(postgres_url)
    await writer.execute("BEGIN")
    await writer.execute("SELECT seq FROM change_log_head FOR UPDATE")
    pruning = asyncio.create_task(store.prune_archive(instant(3)))
    async with asyncio.timeout(60):
        while not await writer.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not pruning.done()
            await asyncio.sleep(0.01)
    await writer.execute("SELECT id FROM report_archive FOR UPDATE NOWAIT")
    await writer.execute("ROLLBACK")
    assert await pruning == 1
    await writer.close()
    await store.close()


def test_new_objects_are_counted_alike_in_both_ways():
    bounds = limits(ClientQuotas())
    owner, on = ven(), event(program())
    for some in (
        [program(), program()],
        [ven(client_id=None), owner],
        [resource(owner), resource(owner, client_id=None)],
        [report(on, client_id=f"ven-{n % 3}", body=body_of(10 + n)) for n in range(9)],
        [subscription(body=entries(n)) for n in range(4)],
    ):
        assert rows_of_new(some, bounds) == rows(growth((None, one) for one in some), bounds)


async def test_an_owner_without_room_for_the_notice_of_a_broken_callback_has_the_mark_all_the_same(opened):
    body = b'{"objectOperations":[{"callbackUrl":"https://example.com/"}]}'
    store = await opened(quotas=few(subscription_bytes=len(body)))
    await put(store, one := subscription(body=body))
    digest = broken_callbacks.url_digest("https://example.com/")
    await broken_callbacks.mark(store, BrokenCallback(one.id, 0, digest, instant(1), 20, "answered 500"))
    assert [mark.subscription_id for mark in await store.broken_callbacks()] == [one.id]
    assert (await store.objects())[1] == [one]
