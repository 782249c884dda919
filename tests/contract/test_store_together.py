"""Commands that belong together, on every database behind `ports.Store`: all of them happen, or none."""

import asyncio
import dataclasses

import pytest
from stored import AT, program, put, removal, resource, ven

from vtn.errors import Conflict, Forbidden, NotFound, Rejected
from vtn.storage.ports import All, Create, Replace
from vtn.wire.enumerations import ObjectType, Operation


async def write(store, *commands):
    return await store.write(All(commands), at=AT, actor="bl")


def renamed(record, name):
    return Replace(record.kind, record.id, lambda stored: dataclasses.replace(stored, name=name))


async def test_all_happen_in_order_with_numbers_in_a_row(store):
    owner = ven()
    first, second = resource(owner), resource(owner)
    changes = await write(store, Create(owner), Create(first), Create(second))
    assert [(change.seq, change.operation, change.record) for change in changes] == [
        (1, Operation.CREATE, owner),
        (2, Operation.CREATE, first),
        (3, Operation.CREATE, second),
    ]
    assert await store.changes(0) == list(changes)
    assert await store.objects() == (3, [owner, *sorted((first, second), key=lambda one: one.id)])


async def test_each_sees_what_those_before_it_did(store):
    owner = ven()
    old, new = resource(owner, name="garage"), resource(owner, name="garage", client_id="other")
    await put(store, owner, old)

    def follow(child, parent):
        return dataclasses.replace(child, client_id=parent.client_id)

    moved = Replace(ObjectType.VEN, owner.id, lambda one: dataclasses.replace(one, client_id="other"), follow)
    seen = []

    def revise(stored):
        seen.append(stored.client_id)
        return dataclasses.replace(stored, name="cellar")

    changes = await write(store, moved, Replace(ObjectType.RESOURCE, old.id, revise), Create(new))
    assert seen == ["other"]
    assert [change.operation for change in changes] == [Operation.UPDATE] * 3 + [Operation.CREATE]
    assert [change.record.name for change in changes[1:]] == ["garage", "cellar", "garage"]


async def test_a_name_that_is_given_up_first_is_free(store):
    owner = ven()
    old, new = resource(owner, name="garage"), resource(owner, name="garage")
    await put(store, owner, old)
    changes = await write(store, removal(old), Create(new))
    assert [change.operation for change in changes] == [Operation.DELETE, Operation.CREATE]
    assert (await store.objects())[1] == [owner, new]


def _refuse(_stored):
    raise Forbidden("not yours")


FAILING = {
    "a name that is taken": (lambda old: Create(program(name=old.name)), Conflict, "programName: another program"),
    "a reference to nothing": (lambda _: Create(resource(ven())), Conflict, "venID: no such ven"),
    "an object that is gone": (lambda _: renamed(program(), "x"), NotFound, "no such program"),
    "a writer who may not": (lambda old: Replace(old.kind, old.id, _refuse), Forbidden, "not yours"),
    "a text that cannot be kept": (lambda _: Create(program(name="nul \0")), Rejected, "NUL"),
}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a batch"])
@pytest.mark.parametrize(("failing", "error", "says"), FAILING.values(), ids=FAILING)
async def test_one_that_fails_takes_the_others_back(store, failing, error, says, alone):
    held = program()
    await put(store, held)
    owner = ven()
    commands = Create(owner), renamed(held, "renamed"), removal(held), Create(held), failing(held), Create(program())
    neighbours = [] if alone else [store.write(Create(program()), at=AT, actor="bl") for _ in range(4)]
    outcome, *others = await asyncio.gather(write(store, *commands), *neighbours, return_exceptions=True)
    assert isinstance(outcome, error)
    assert says in str(outcome)
    assert not [one for one in others if isinstance(one, Exception)]
    kept = (await store.objects())[1]
    assert held in kept
    assert owner not in kept
    assert [change.seq for change in await store.changes(0)] == list(range(1, 2 + len(neighbours)))


async def test_the_reason_is_asked_for_where_the_refusal_happened(store):
    """The ven of the resources exists only inside the command: it is the name that is at fault, not the ven."""
    owner = ven()
    twins = [Create(resource(owner, name="garage")) for _ in range(2)]
    with pytest.raises(Conflict, match="resourceName: another resource of this ven has this name"):
        await write(store, Create(owner), *twins)
    assert await store.objects() == (0, [])


async def test_side_data_is_kept_with_the_object_and_in_the_log(store):
    held = program(side='{"types":{"g1":["GROUP"]}}')
    await put(store, held)
    await write(store, Replace(held.kind, held.id, lambda stored: dataclasses.replace(stored, side='{"types":{}}')))
    (kept,) = (await store.objects())[1]
    assert kept.side == '{"types":{}}'
    first, second = await store.changes(0)
    assert (first.record, second.before, second.record.side) == (held, held, kept.side)
