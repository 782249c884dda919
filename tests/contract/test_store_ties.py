"""References that share a value with what they point at: whoever moves takes along what hangs on it, in any order."""

import asyncio
import dataclasses
import random

import pytest
from alembic import command
from sqlalchemy import select, text
from stored import AT, event, program, put, report, resource, ven

from vtn.databases import alembic_config
from vtn.errors import Conflict, Moved
from vtn.storage.dialects.opening import SCHEMA
from vtn.storage.ports import Create, Replace, ReportQuery
from vtn.storage.tables import OBJECTS, USAGE
from vtn.wire.enumerations import ObjectType


async def write(store, what):
    return await store.write(what, at=AT, actor="bl")


def follow(child, parent):
    return dataclasses.replace(child, client_id=parent.client_id)


def moved_event(one, to):
    return Replace(one.kind, one.id, lambda old: dataclasses.replace(old, program_id=to.id))


def moved_ven(one, to):
    return Replace(one.kind, one.id, lambda old: dataclasses.replace(old, client_id=to), follow)


async def ties_hold(store):
    _, objects = await store.objects()
    known = {one.id: one for one in objects}
    reports = await store.reports(ReportQuery(limit=10_000))
    assert all(one.program_id == known[one.event_id].program_id for one in reports)
    owned = [one for one in objects if one.kind is ObjectType.RESOURCE]
    assert all(one.client_id == known[one.ven_id].client_id for one in owned)
    return reports, owned


async def test_a_report_that_was_judged_before_its_event_moved_is_judged_again(store):
    old, new = program(), program()
    await put(store, old, new, one := event(old))
    late = report(one)
    await write(store, moved_event(one, new))
    with pytest.raises(Moved, match="eventID: the event has just moved"):
        await write(store, Create(late))
    await write(store, Create(dataclasses.replace(late, program_id=new.id)))


async def test_a_resource_that_was_judged_before_its_ven_moved_is_judged_again(store):
    await put(store, one := ven())
    await write(store, moved_ven(one, "new"))
    with pytest.raises(Moved, match="venID: the ven has just moved"):
        await write(store, Create(resource(one)))
    await write(store, Create(resource(one, client_id="new")))


async def test_a_resource_of_a_ven_that_was_nobodys_is_judged_again_once_somebody_owns_it(store):
    await put(store, one := ven(client_id=None), resource(one))
    late = resource(one)
    await write(store, moved_ven(one, "new"))
    with pytest.raises(Moved, match="venID: the ven has just moved"):
        await write(store, Create(late))
    _, owned = await ties_hold(store)
    assert [one.client_id for one in owned] == ["new"]


async def test_what_points_at_nothing_is_still_told_as_that(store):
    await put(store, parent := program())
    with pytest.raises(Conflict, match="eventID: no such event"):
        await write(store, Create(report(event(parent), program_id=None)))
    with pytest.raises(Conflict, match="venID: no such ven"):
        await write(store, Create(resource(ven(client_id=None))))


@pytest.mark.parametrize("seed", range(3))
async def test_events_that_move_while_reports_come_take_all_of_them_along(opened, seed):
    """Two processes: one moves events about, the other stores reports that were judged a moment ago."""
    chance = random.Random(seed)
    mover, reporter = await opened(), await opened()
    programs = [program() for _ in range(3)]
    await put(mover, *programs, *(events := [event(chance.choice(programs)) for _ in range(2)]))
    known = {one.id: one.program_id for one in events}
    stored = []

    async def move():
        for _ in range(15):
            one, to = chance.choice(events), chance.choice(programs)
            await write(mover, moved_event(one, to))
            known[one.id] = to.id

    async def tell():
        for _ in range(20):
            one = chance.choice(events)
            for _try in range(20):
                try:
                    await write(reporter, Create(made := report(one, program_id=known[one.id])))
                except Moved:
                    await asyncio.sleep(0)
                    continue
                stored.append(made.id)
                break

    await asyncio.gather(move(), *(tell() for _ in range(3)))
    reports, _ = await ties_hold(mover)
    assert {one.id for one in reports} == set(stored)
    assert stored


@pytest.mark.parametrize("seed", range(3))
async def test_vens_that_move_while_resources_come_take_all_of_them_along(opened, seed):
    chance = random.Random(seed)
    mover, maker = await opened(), await opened()
    vens = [ven(client_id=owner) for owner in ("a", None)]
    await put(mover, *vens)
    known = {one.id: one.client_id for one in vens}
    stored = []

    async def move():
        for n in range(15):
            one = chance.choice(vens)
            await write(mover, moved_ven(one, f"client {n}"))
            known[one.id] = f"client {n}"

    async def make():
        for _ in range(15):
            one = chance.choice(vens)
            try:
                await write(maker, Create(made := resource(one, client_id=known[one.id])))
            except Moved:
                await asyncio.sleep(0)
            else:
                stored.append(made.id)

    await asyncio.gather(move(), *(make() for _ in range(3)))
    _, owned = await ties_hold(mover)
    assert {one.id for one in owned} == set(stored)
    assert stored


# --- what an older version left behind -------------------------------------------------------------------------------


def to_version(connection, revision):
    step = command.upgrade if revision == "head" else command.downgrade
    step(alembic_config(connection, SCHEMA), revision)


async def test_a_database_of_the_version_before_is_mended_tied_and_counted(opened):
    store = await opened()
    old, new = program(), program()
    one, owner = event(old), ven(client_id="new owner")
    mine = resource(owner, body=b'{"id":"r","clientID":"new owner","x":[0.170,1e3,-0]}')
    await put(store, old, new, one, owner, mine, said := report(one))

    def stray(connection):
        to_version(connection, "0003")
        for words, values in (
            ("UPDATE events SET program_id = :to WHERE id = :id", {"to": new.id, "id": one.id}),
            (
                "UPDATE resources SET client_id = 'old', body = :body WHERE id = :id",
                {"id": mine.id, "body": '{"id":"r","clientID":"old","x":[0.170,1e3,-0]}'},
            ),
        ):
            connection.execute(text(words), values)
        to_version(connection, "head")

    await store._database.write(stray)
    (kept,), (found,) = await ties_hold(store)
    assert (kept.id, kept.program_id) == (said.id, new.id)
    assert (found.id, found.body) == (mine.id, mine.body)

    def usage(connection):
        rows = connection.execute(select(USAGE.c.owner, USAGE.c.counted, USAGE.c.objects, USAGE.c.bytes))
        return {(row[0], row[1]): (row[2], row[3]) for row in rows}

    counted = await store._database.read(usage)
    assert counted["", "PROGRAM"] == (2, 2 * len(old.body))
    assert counted["new owner", "RESOURCE"] == (1, len(mine.body))
    assert counted["ven-1", "REPORT"] == (1, len(said.body))
    await write(store, moved_event(dataclasses.replace(one, program_id=new.id), old))
    assert (await store.report(said.id)).program_id == old.id
    assert OBJECTS[ObjectType.REPORT].name == "reports"
