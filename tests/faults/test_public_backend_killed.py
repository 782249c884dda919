"""`kill -9` at every stage of a directive that we keep ourselves: a true final state, and one effect on the car."""

import asyncio
import contextlib
import json
from pathlib import Path

import fork_server
import pytest
from public_rigs import PATIENCE_S, tesla_rig

from ven_adapters.contract import DirectivesChanged, DirectiveState
from ven_adapters.transport.http.codec import dumps
from vtn.clock import print_clock

CHILD = Path(__file__).with_name("public_child.py")


@contextlib.asynccontextmanager
async def child(rig, directive):
    settings = rig.settings | {"state": str(rig.settings["state"]), "clock": print_clock(rig.clock)}
    process = await fork_server.converse(str(CHILD), json.dumps(settings), dumps(directive).decode(), env={})
    try:
        yield process
    finally:
        await process.close()


async def killed_when(rig, directive, happens):
    async with asyncio.timeout(PATIENCE_S), child(rig, directive) as process:
        await happens(process)
        process.kill()
        await process.wait()


async def taken(process):
    assert (await process.stdout.readline()).strip() == b"taken"


def commanded(rig):
    async def happens(_process):
        while not rig.cloud.commands():  # noqa: ASYNC110 - the cloud's log tells nobody that it grew
            await asyncio.sleep(0.01)

    return happens


async def last_state(rig, directive):
    """Where a new process brings the directive, in the end."""
    rig = rig.reborn()
    try:
        async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(rig.backend.events()) as source:
            async for event in source:
                for status in event.statuses if isinstance(event, DirectivesChanged) else ():
                    if status.directive_id == directive.directive_id and status.state is not DirectiveState.IN_FORCE:
                        return status.state
    finally:
        await rig.backend.close()
    raise AssertionError(directive)


@pytest.fixture
async def rig(tmp_path):
    async with tesla_rig(tmp_path, speed=900.0, standing=False) as made:
        yield made


async def test_killed_before_the_send(rig):
    directive = rig.directive("t-0", starts_in_s=1_500, minutes=20)
    await killed_when(rig, directive, taken)
    assert rig.cloud.commands() == []
    assert await last_state(rig, directive) is DirectiveState.RELEASED
    assert [path.rsplit("/", 1)[1] for path in rig.cloud.commands()] == ["charge_stop", "charge_start"]


@pytest.mark.parametrize("obeyed", [True, False], ids=["the car obeyed", "the car did not"])
async def test_killed_between_the_send_and_its_answer(rig, obeyed):
    directive = rig.directive("t-0", minutes=25)
    rig.cloud.fail("/charge_stop", "hang", acts=obeyed)
    await killed_when(rig, directive, commanded(rig))
    assert await last_state(rig, directive) is DirectiveState.RELEASED
    stops = ["charge_stop"] if obeyed else ["charge_stop", "charge_stop"]
    assert [path.rsplit("/", 1)[1] for path in rig.cloud.commands()] == [*stops, "charge_start"]
    assert rig.car().charging


async def test_killed_after_the_answer(rig):
    directive = rig.directive("t-0", minutes=25)
    await killed_when(rig, directive, taken)
    assert await last_state(rig, directive) is DirectiveState.RELEASED
    assert [path.rsplit("/", 1)[1] for path in rig.cloud.commands()] == ["charge_stop", "charge_start"]
    assert rig.car().charging
