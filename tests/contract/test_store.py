"""The behaviour that every database behind `ports.Store` must show: objects, the change log and its head."""

import asyncio
import dataclasses
from functools import partial

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from stored import AT, event, instant, new_id, program, put, report, resource, subscription, ven

from vtn.errors import Conflict, NotFound, Rejected, Unavailable
from vtn.storage.ports import Create, Replace, ReportQuery
from vtn.storage.tables import METADATA
from vtn.wire.enumerations import ObjectType, Operation

ODD_BODY = '{"name":"Zoë 🔌 \\u0000 \\"quoted\\"","n":1.50,"big":12345678901234567890123,  "spaced" : []}'.encode()


def nothing(record):
    return record


async def log(store):
    return [(change.seq, change.operation, change.record.kind, change.record.id) for change in await store.changes(0)]


async def write(store, command):
    return await store.write(command, at=AT, actor="bl")


# --- creating ----------------------------------------------------------------------------------------------------


async def test_a_created_object_and_its_change_come_back_as_they_were_sent(store):
    sent = program(body=ODD_BODY, name="Zoë 🔌")
    (change,) = await store.write(Create(sent), at=instant(1), actor="someone")
    assert (change.seq, change.at, change.operation, change.actor) == (1, instant(1), Operation.CREATE, "someone")
    assert change.record == sent
    assert await store.changes(0) == [change]
    assert await store.objects() == (1, [sent])


async def test_every_kind_keeps_every_column_it_is_found_by(store):
    first = program()
    second = event(first)
    third = ven()
    rest = [report(second), subscription(), subscription(first), resource(third)]
    await put(store, first, second, third, *rest)
    head, found = await store.objects()
    assert head == 7
    assert {record.id: record for record in found} == {
        record.id: record for record in (first, second, third, *rest) if record.kind is not ObjectType.REPORT
    }
    assert [change.record for change in await store.changes(0)] == [first, second, third, *rest]
    assert await store.report(rest[0].id) == rest[0]


async def test_what_was_acknowledged_is_there_after_reopening(opened):
    before = await opened()
    first = program()
    await put(before, first)
    await before.close()
    after = await opened()
    assert await after.objects() == (1, [first])
    assert after.shared_head() == 1


async def test_parents_are_listed_before_children(store):
    late = program(created=instant(9))
    await put(store, late, event(late, created=instant(1)))
    _, found = await store.objects()
    assert [record.kind for record in found] == [ObjectType.PROGRAM, ObjectType.EVENT]


async def test_a_name_that_is_taken_is_a_conflict_that_names_the_field(store):
    taken, owner = program(), ven()
    mine = resource(owner)
    await put(store, taken, owner, mine)
    for record, message in (
        (program(name=taken.name), "programName: another program has this name"),
        (ven(name=owner.name), "venName: another ven has this name"),
        (ven(client_id=owner.client_id), "clientID: another ven belongs to this client"),
        (resource(owner, name=mine.name), "resourceName: another resource of this ven has this name"),
    ):
        with pytest.raises(Conflict, match=message):
            await write(store, Create(record))
    assert await store.head() == 3


async def test_two_vens_may_name_their_resources_alike(store):
    one, other = ven(), ven()
    await put(store, one, other, resource(one, name="garage"), resource(other, name="garage"))
    assert await store.head() == 4


async def test_a_reference_to_nothing_is_a_conflict_that_names_the_field(store):
    absent = program()
    known = program()
    await put(store, known)
    for record, message in (
        (event(absent), "programID: no such program"),
        (report(event(known)), "eventID: no such event"),
        (subscription(absent), "programID: no such program"),
        (resource(ven()), "venID: no such ven"),
    ):
        with pytest.raises(Conflict, match=message):
            await write(store, Create(record))


@pytest.mark.parametrize("name", ["nul \0 here", "half a pair \ud83d"])
async def test_a_text_that_no_database_can_keep_is_rejected(store, name):
    with pytest.raises(Rejected):
        await write(store, Create(program(name=name)))
    await put(store, kept := program())
    with pytest.raises(Rejected):
        await write(store, Replace(kept.kind, kept.id, lambda old: with_name(old, name)))
    assert await store.objects() == (1, [kept])


def with_name(record, name):
    return dataclasses.replace(record, name=name)


async def test_a_column_that_a_kind_does_not_keep_is_refused_loudly(store):
    with pytest.raises(ValueError, match="a PROGRAM keeps no event_id"):
        await write(store, Create(program(event_id="e")))


# --- batches -----------------------------------------------------------------------------------------------------


async def test_commands_that_arrive_together_are_all_done_and_numbered_in_order(store):
    parent = program()
    await put(store, parent)
    events = [event(parent) for _ in range(500)]
    changes = await asyncio.gather(*(write(store, Create(one)) for one in events))
    assert [change.record.id for (change,) in changes] == [one.id for one in events]
    assert [change.seq for (change,) in changes] == list(range(2, 502))
    assert await store.changes(1) == [change for (change,) in changes]


async def test_one_bad_command_fails_alone_among_those_it_was_committed_with(store):
    parent = program()
    await put(store, parent)
    good = [event(parent) for _ in range(20)]
    commands = [Create(one) for one in good]
    commands.insert(7, Create(event(program())))
    commands.insert(13, Create(program(name=parent.name)))
    commands.insert(15, Replace(ObjectType.PROGRAM, new_id(), nothing))
    outcomes = await asyncio.gather(*(write(store, command) for command in commands), return_exceptions=True)
    failed = [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
    assert failed == [Conflict, Conflict, NotFound]
    assert [one for one in (await store.objects())[1] if one.kind is ObjectType.EVENT] == sorted(
        good, key=lambda one: one.id
    )
    assert [seq for seq, *_ in await log(store)] == list(range(1, 22))


async def test_a_program_and_its_events_may_arrive_together(store):
    parent = program()
    children = [event(parent) for _ in range(3)]
    await asyncio.gather(*(write(store, Create(one)) for one in (parent, *children)))
    assert [one for *_, one in await log(store)] == [parent.id, *(one.id for one in children)]


async def test_numbers_rise_without_gaps_when_two_stores_write_at_once(opened):
    stores = [await opened(), await opened()]
    names = [f"name {n}" for n in range(60)]

    async def write_all(store):
        outcomes = await asyncio.gather(
            *(write(store, Create(program(name=name))) for name in names), return_exceptions=True
        )
        return [outcome for outcome in outcomes if not isinstance(outcome, Conflict)]

    done = await asyncio.gather(*(write_all(store) for store in stores))
    assert sum(map(len, done)) == len(names)
    rows = await log(stores[0])
    assert [seq for seq, *_ in rows] == list(range(1, 61))
    assert await stores[0].head() == stores[1].shared_head() == 60


async def test_whoever_sees_a_number_sees_everything_before_it(opened):
    writers, reader = [await opened(), await opened()], await opened()
    parent = program()
    await put(writers[0], parent)
    seen = [0]

    async def watch():
        while seen[-1] < 201:
            seen.extend(change.seq for change in await reader.changes(seen[-1]))

    async def write_many(store):
        for _ in range(10):
            await asyncio.gather(*(write(store, Create(event(parent))) for _ in range(10)))

    async with asyncio.timeout(60):
        await asyncio.gather(watch(), *(write_many(store) for store in writers))
    assert seen == list(range(202))


async def test_a_caller_that_gives_up_does_not_disturb_the_others(store):
    parent = program()
    await put(store, parent)
    tasks = [asyncio.create_task(write(store, Create(event(parent)))) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(asyncio.CancelledError) == 1
    rows = await log(store)
    assert [seq for seq, *_ in rows] == list(range(1, len(rows) + 1))
    assert len((await store.objects())[1]) == len(rows) >= 10


async def test_the_listener_hears_every_change_in_log_order_before_its_caller(opened):
    heard = []
    store = await opened(on_commit=heard.extend)
    parent = program()
    changes = await write(store, Create(parent))
    assert heard == list(changes)
    assert store.shared_head() == 1
    events = await asyncio.gather(*(write(store, Create(event(parent))) for _ in range(50)))
    assert heard == [*changes, *(change for (change,) in events)]


async def test_a_listener_that_fails_does_not_turn_a_committed_write_into_an_error(opened, caplog):
    def fail(_changes):
        raise RuntimeError("listener")

    store = await opened(on_commit=fail)
    await put(store, program())
    assert await store.head() == 1
    assert "a listener failed" in caplog.text


# --- reading -----------------------------------------------------------------------------------------------------


async def test_reports_are_found_by_what_they_are_about_oldest_first(store):
    parent = program()
    one, other = event(parent), event(parent)
    await put(store, parent, one, other)
    said = [
        report((one, other)[n % 2], created=instant(9 - n), client_id=f"ven-{n % 3}", client_name=f"name {n % 2}")
        for n in range(6)
    ]
    await put(store, *said)
    oldest_first = said[::-1]

    async def found(**query):
        return await store.reports(ReportQuery(**query))

    assert await found() == oldest_first
    assert await found(program_id=parent.id) == oldest_first
    assert await found(event_id=one.id) == [r for r in oldest_first if r.event_id == one.id]
    assert await found(client_id="ven-1") == [r for r in oldest_first if r.client_id == "ven-1"]
    assert await found(client_name="name 1", event_id=other.id, client_id="ven-0") == [said[3]]
    assert await found(skip=2, limit=3) == oldest_first[2:5]
    assert await found(program_id="absent") == []


async def test_reports_of_one_instant_have_one_order_by_their_id(store):
    parent = program()
    happening = event(parent)
    said = [report(happening, id=name) for name in ("b", "B", "_", "a-1", "a1")]
    await put(store, parent, happening, *said)
    assert [one.id for one in await store.reports(ReportQuery())] == ["B", "_", "a-1", "a1", "b"]


async def test_the_log_is_read_in_pages(store):
    await asyncio.gather(*(put(store, program()) for _ in range(25)))
    pages = [[change.seq for change in await store.changes(after, limit=10)] for after in (0, 10, 20, 25)]
    assert pages == [list(range(1, 11)), list(range(11, 21)), list(range(21, 26)), []]


async def test_another_store_on_this_host_sees_the_head_at_once_and_one_elsewhere_by_asking(opened):
    writer, neighbour, far = await opened(), await opened(), await opened(host="another host")
    await put(writer, program())
    assert neighbour.shared_head() == 1
    assert far.shared_head() == 0
    assert await far.head() == far.shared_head() == 1


async def test_a_closed_store_finishes_what_was_queued_and_takes_no_more(opened):
    store = await opened()
    writing = [asyncio.create_task(write(store, Create(program()))) for _ in range(5)]
    await asyncio.sleep(0)
    await store.close()
    assert [change.seq for (change,) in await asyncio.gather(*writing)] == [1, 2, 3, 4, 5]
    with pytest.raises(Unavailable):
        await put(store, program())
    assert await (await opened()).head() == 5


async def test_a_probe_writes_and_changes_nothing(store):
    await store.probe()
    await asyncio.gather(store.probe(), put(store, program()), store.probe())
    assert await store.head() == store.shared_head() == 1
    assert len(await store.changes(0)) == 1


async def test_the_migrations_build_what_the_tables_say(store):
    def differences(connection):
        built = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(built, METADATA)

    def names(connection, table):
        found = inspect(connection)
        ours = (found.get_unique_constraints, found.get_foreign_keys, found.get_check_constraints)
        return {one["name"] for ask in ours for one in ask(table)}

    assert await store._database.read(differences) == []
    for table in METADATA.tables.values():
        wanted = {constraint.name for constraint in table.constraints if constraint.name}
        assert await store._database.read(partial(names, table=table.name)) == wanted
