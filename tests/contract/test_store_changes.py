"""The behaviour that every database must show when objects are replaced and deleted."""

import asyncio
import dataclasses

import pytest
from sqlalchemy import select
from stored import AT, event, instant, new_id, program, put, removal, report, resource, subscription, ven

from vtn.errors import Conflict, NotFound
from vtn.storage.ports import Create, Delete, Replace, ReportQuery
from vtn.storage.tables import ARCHIVE
from vtn.wire.enumerations import ObjectType, Operation

ODD_BODY = '{"name":"Zoë \\u0000","n":1.50,  "spaced" : []}'.encode()


def renamed(name):
    return lambda old: dataclasses.replace(old, name=name, body=name.encode())


def nothing(record):
    return record


async def write(store, command):
    return await store.write(command, at=AT, actor="bl")


# --- replacing ---------------------------------------------------------------------------------------------------


async def test_a_replacement_is_made_of_the_stored_object_and_remembers_it(store):
    old = program(body=ODD_BODY)
    await put(store, old)
    (change,) = await write(store, Replace(old.kind, old.id, renamed("new")))
    new = dataclasses.replace(old, name="new", body=b"new")
    assert (change.operation, change.record, change.before) == (Operation.UPDATE, new, old)
    assert (await store.changes(1))[0] == change
    assert await store.objects() == (2, [new])


async def test_replacing_what_is_gone_is_not_found(store):
    for kind in ObjectType:
        with pytest.raises(NotFound, match=f"no such {kind.lower()}"):
            await write(store, Replace(kind, new_id(), nothing))


async def test_a_refused_replacement_changes_nothing(store):
    old = program()
    await put(store, old)

    def refuse(_old):
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        await write(store, Replace(old.kind, old.id, refuse))
    assert await store.objects() == (1, [old])


async def test_a_replacement_may_not_take_anothers_name_or_point_at_nothing(store):
    one, other = program(), program()
    happening = event(one)
    await put(store, one, other, happening)
    with pytest.raises(Conflict, match="programName"):
        await write(store, Replace(one.kind, one.id, renamed(other.name)))
    with pytest.raises(Conflict, match="programID"):
        await write(
            store, Replace(happening.kind, happening.id, lambda old: dataclasses.replace(old, program_id="absent"))
        )
    assert await store.head() == 3


async def test_a_replacement_keeps_its_identity(store):
    old = program()
    await put(store, old)
    with pytest.raises(ValueError, match="keeps its kind and its id"):
        await write(store, Replace(old.kind, old.id, lambda old: dataclasses.replace(old, id="other")))
    assert await store.objects() == (1, [old])


async def test_replacements_at_once_are_each_made_of_the_one_before(opened):
    stores = [await opened(), await opened()]
    counter = program(body=b"0")
    await put(stores[0], counter)

    def step(old):
        return dataclasses.replace(old, body=str(int(old.body) + 1).encode())

    await asyncio.gather(*(write(stores[n % 2], Replace(counter.kind, counter.id, step)) for n in range(40)))
    _, (found,) = await stores[0].objects()
    assert found.body == b"40"
    changes = await stores[1].changes(1)
    assert [(change.before.body, change.record.body) for change in changes] == [
        (str(n).encode(), str(n + 1).encode()) for n in range(40)
    ]


async def test_the_resources_of_a_ven_follow_it_to_another_client(store):
    owner, other = ven(), ven()
    mine = [resource(owner, created=instant(n)) for n in range(2)]
    await put(store, owner, other, *mine, theirs := resource(other))
    moved = Replace(
        owner.kind,
        owner.id,
        revise=lambda old: dataclasses.replace(old, client_id="new owner"),
        follow=lambda child, parent: dataclasses.replace(child, client_id=parent.client_id),
    )
    changes = await write(store, moved)
    assert [(change.operation, change.record.id, change.before.client_id) for change in changes] == [
        (Operation.UPDATE, one.id, owner.client_id) for one in (owner, *mine)
    ]
    _, found = await store.objects()
    assert {one.id for one in found if one.client_id == "new owner"} == {owner.id, *(one.id for one in mine)}
    assert theirs in found


async def test_a_ven_whose_resources_cannot_follow_stays_as_it_was_and_disturbs_no_neighbour(store):
    owner = ven()
    await put(store, owner, resource(owner), resource(owner))
    before = await store.objects()
    clash = Replace(
        owner.kind,
        owner.id,
        revise=lambda old: dataclasses.replace(old, client_id="new owner"),
        follow=lambda child, _parent: dataclasses.replace(child, name="the same"),
    )
    neighbour = ven()
    refused, done = await asyncio.gather(write(store, clash), write(store, Create(neighbour)), return_exceptions=True)
    assert isinstance(refused, Conflict)
    assert str(refused) == "resourceName: another resource of this ven has this name"
    assert done[0].seq == before[0] + 1
    assert [one for one in (await store.objects())[1] if one != neighbour] == before[1]


async def test_resources_stay_as_they_are_when_their_ven_keeps_its_client(store):
    owner = ven()
    await put(store, owner, resource(owner))

    def fail(_child, _parent):
        raise AssertionError

    changes = await write(store, Replace(owner.kind, owner.id, renamed("new"), follow=fail))
    assert len(changes) == 1


# --- deleting ----------------------------------------------------------------------------------------------------


async def test_a_deleted_program_takes_its_children_first_and_archives_its_reports(store):
    gone, kept = program(), program()
    happening, other = event(gone), event(kept)
    said = [report(happening), report(happening)]
    await put(store, gone, kept, happening, other, *said, still := report(other), told := subscription(gone))
    changes = await write(store, removal(gone))
    assert {change.record.id for change in changes[:2]} == {one.id for one in said}
    assert [change.record for change in changes[2:]] == [happening, told, gone]
    assert {change.operation for change in changes} == {Operation.DELETE}
    assert await store.changes(8) == list(changes)
    assert await store.objects() == (13, [kept, other])
    assert await store.reports(ReportQuery()) == [still]
    assert await archived(store) == {one.id for one in said}


async def archived(store):
    return set(await store._database.read(lambda connection: connection.execute(select(ARCHIVE.c.id)).scalars().all()))


async def test_a_deleted_report_is_archived_too(store):
    parent = program()
    happening = event(parent)
    await put(store, parent, happening, said := report(happening))
    await write(store, removal(said))
    assert await store.report(said.id) is None
    assert await archived(store) == {said.id}


async def test_a_deleted_ven_takes_its_resources(store):
    owner = ven()
    await put(store, owner, child := resource(owner))
    changes = await write(store, removal(owner))
    assert [change.record for change in changes] == [child, owner]
    assert await store.objects() == (4, [])


async def test_an_object_with_children_stays_when_they_may_not_be_taken_along(store):
    parent, owner = program(), ven()
    happening = event(parent)
    await put(store, parent, owner, happening, resource(owner), report(happening))
    for one in (parent, owner, happening):
        with pytest.raises(Conflict, match=f"the {one.kind.lower()} still has"):
            await write(store, removal(one, cascade=False))
    assert await store.head() == 5
    await put(store, alone := program())
    assert len(await write(store, removal(alone, cascade=False))) == 1


async def test_a_deletion_can_be_refused_and_what_is_gone_is_not_found(store):
    kept = program()
    await put(store, kept)

    def refuse(_record):
        raise NotFound("not yours")

    with pytest.raises(NotFound, match="not yours"):
        await write(store, Delete(kept.kind, kept.id, refuse))
    with pytest.raises(NotFound, match="no such program"):
        await write(store, removal(program()))
    assert await store.objects() == (1, [kept])


async def test_a_name_is_free_again_after_its_owner_is_deleted(store):
    first = program(name="again")
    outcomes = await asyncio.gather(
        write(store, Create(first)), write(store, removal(first)), write(store, Create(program(name="again")))
    )
    assert [changes[0].operation for changes in outcomes] == [Operation.CREATE, Operation.DELETE, Operation.CREATE]
