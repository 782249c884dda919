"""Killed planners, executors and brokers: nothing is lost, and each directive has exactly one effect on its car."""

import asyncio
import contextlib
import dataclasses
import itertools
import subprocess
from datetime import timedelta
from pathlib import Path

import fork_server
import orjson
import pytest
from nats.js.errors import NotFoundError
from queue_parts import (
    PATIENCE_S,
    backend_of,
    eventually,
    executing,
    executor_process,
    nats_server,
    planning,
    queue_settings,
    watched_cloud,
)

from ven_adapters.contract import BackendError, Directive, DirectiveKind, DirectiveState, ErrorCode, Snapshot
from ven_adapters.ven.queue.connection import EXECUTORS
from ven_adapters.ven.queue.messages import CommandRecord, place
from vtn.clock import print_clock

CHILD = Path(__file__).parent / "queue_planner_child.py"
STARTS_WITHIN_S = 40.0
_numbers = itertools.count(1)


@pytest.fixture
def server(tmp_path):
    with nats_server(tmp_path / "nats") as made:
        yield made


@pytest.fixture
async def cloud():
    async with watched_cloud(cars=60) as made:
        yield made


def plugged(cloud):
    """The cars that are at their plug."""
    world = cloud.cloud.world
    return [ref for car, ref in enumerate(cloud.cloud.fleet.refs) if world.home[car] and world.plugged[car]]


def directive(cloud, ref=None):
    """A directive for a car that is at its plug, the first one if none is named."""
    number, now = next(_numbers), cloud.clock.now()
    return Directive(
        directive_id=f"d-{number}",
        key=f"k-{number}",
        vehicle_ref=ref or plugged(cloud)[0],
        kind=DirectiveKind.RELEASE,
        start=now,
        end=now + timedelta(hours=2),
        not_after=now + timedelta(hours=1),
    )


def capability(cloud, asked):
    return cloud.cloud.capability(cloud.cloud.car(asked.vehicle_ref))


def submit(remote, cloud, asked):
    return asyncio.create_task(remote.submit(asked, capability(cloud, asked), Snapshot(asked.vehicle_ref)))


def methods(cloud, asked):
    return [call.method for call in cloud.ledger.of(asked.vehicle_ref)]


def effects(cloud):
    """How many directives the cloud was asked for, repetitions of a key left out."""
    return sum(cloud.cloud.ledger.summary()["directives_asked"].values())


async def test_an_executor_killed_in_mid_call_is_succeeded_by_one_that_asks_before_it_calls(cloud, server, tmp_path):
    """The car was told; the answer, and whoever waited for it, is gone."""
    settings, asked = queue_settings(server), directive(cloud)
    cloud.ledger.held = asyncio.Event()
    async with planning(settings, cloud.clock) as remote:
        call = submit(remote, cloud, asked)
        with executor_process(tmp_path, cloud.url, settings, cloud.clock) as process:
            await asyncio.wait_for(cloud.ledger.arrived.wait(), STARTS_WITHIN_S)
            process.kill()
            process.wait()
        cloud.ledger.held.set()
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as successor:
            ack = await asyncio.wait_for(call, PATIENCE_S)
    assert (ack.directive_id, ack.state) == (asked.directive_id, DirectiveState.ACCEPTED)
    assert (successor.counts["take_over"], successor.counts["found_done"], successor.counts["submits"]) == (1, 1, 0)
    assert methods(cloud, asked) == ["PUT", "GET"]
    assert effects(cloud) == 1


async def test_an_executor_killed_between_its_claim_and_its_call_loses_nothing(cloud, server):
    settings, asked = queue_settings(server, ack_wait_s=1.0), directive(cloud)
    async with planning(settings, cloud.clock) as remote:
        call = submit(remote, cloud, asked)
        waiting = await eventually(lambda: next((one for one in remote._waiting.values() if one.seq), None))
        claim = CommandRecord(waiting.command.id, waiting.seq, "the one that died", 1.0)
        await remote._link.record(place(asked.vehicle_ref), claim, after=0)
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as successor:
            ack = await asyncio.wait_for(call, PATIENCE_S)
    assert ack.state is DirectiveState.ACCEPTED
    assert (successor.counts["take_over"], successor.counts["submits"]) == (1, 1)
    assert methods(cloud, asked) == ["GET", "PUT"]
    assert effects(cloud) == 1


async def test_an_executor_killed_after_its_call_and_before_its_receipt_has_its_outcome_told_again(cloud, server):
    """The outcome is on record and the command still in the stream: it is told, not carried out."""
    settings, asked = queue_settings(server, ack_wait_s=1.0), directive(cloud)
    async with planning(settings, cloud.clock) as remote:
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as first:
            first._tell = _dies
            call = submit(remote, cloud, asked)
            await eventually(lambda: first.counts["submits"] and first.counts["left_in_the_queue"])
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as successor:
            ack = await asyncio.wait_for(call, PATIENCE_S)
            await eventually(lambda: remote.counts["found_later"] or successor.counts["repeat"])
    assert ack.setting is not None
    assert successor.counts["submits"] == 0
    assert methods(cloud, asked) == ["PUT"]


async def _dies(*_):
    raise OSError


async def test_a_planner_killed_while_it_waits_loses_nothing_and_its_successor_reads_the_truth(cloud, server):
    settings, asked = queue_settings(server), directive(cloud)
    job = {
        "queue": settings.model_dump(mode="json", exclude_none=True),
        "clock": print_clock(cloud.clock),
        "directive": asked,
        "capability": capability(cloud, asked),
    }
    with fork_server.start(str(CHILD), orjson.dumps(job).decode(), stdout=subprocess.PIPE) as planner:
        try:
            assert await asyncio.to_thread(planner.stdout.readline) == "in line\n"
        finally:
            planner.kill()
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock),
        planning(settings, cloud.clock) as remote,
    ):
        await eventually(lambda: "PUT" in methods(cloud, asked))
        async with asyncio.timeout(PATIENCE_S):
            status = await remote.status(asked.vehicle_ref, asked.directive_id)
    assert status.state in (DirectiveState.ACCEPTED, DirectiveState.IN_FORCE)
    assert methods(cloud, asked) == ["PUT", "GET"]
    assert effects(cloud) == 1


async def test_a_broker_killed_in_mid_call_comes_back_with_the_command_and_the_outcome_is_heard(cloud, server):
    settings, asked = queue_settings(server), directive(cloud)
    cloud.ledger.held = asyncio.Event()
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as executor,
        planning(settings, cloud.clock) as remote,
    ):
        call = submit(remote, cloud, asked)
        await asyncio.wait_for(cloud.ledger.arrived.wait(), PATIENCE_S)
        server.kill()
        await eventually(lambda: not remote.health()["up"])
        cloud.ledger.held.set()
        server.start()
        ack = await asyncio.wait_for(call, PATIENCE_S)
    assert ack.setting is not None
    assert executor.counts["submits"] == 1
    assert methods(cloud, asked) == ["PUT"]


async def test_a_broker_killed_while_commands_wait_in_line_keeps_them(cloud, server):
    settings, asked = queue_settings(server), directive(cloud)
    async with planning(settings, cloud.clock) as remote:
        call = submit(remote, cloud, asked)
        await eventually(lambda: remote.counts["handed_in"])
        server.kill()
        await eventually(lambda: not remote.health()["up"])
        server.start()
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock):
            ack = await asyncio.wait_for(call, PATIENCE_S)
    assert ack.state is DirectiveState.ACCEPTED
    assert methods(cloud, asked) == ["PUT"]


async def test_a_broker_that_lost_its_disk_is_put_in_order_again(cloud, server, tmp_path):
    settings, asked = queue_settings(server, ack_wait_s=1.0), directive(cloud)
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock),
        planning(settings, cloud.clock) as remote,
    ):
        server.kill()
        await eventually(lambda: not remote.health()["up"])
        server._folder = tmp_path / "another disk"
        server.start()
        await eventually(lambda: remote.health()["up"])
        ack = await asyncio.wait_for(submit(remote, cloud, asked), PATIENCE_S)
    assert ack.state is DirectiveState.ACCEPTED


async def test_an_executor_that_works_alone_goes_on_after_nats_was_away_for_longer_than_its_right(cloud, server):
    settings, asked = queue_settings(server, ack_wait_s=1.0), directive(cloud)
    backend = backend_of(cloud.url, cloud.clock)
    backend.works_alone = True
    async with (
        executing(backend, settings, cloud.clock) as executor,
        planning(settings, cloud.clock) as remote,
    ):
        await eventually(lambda: executor.listener.listening)
        server.kill()
        await eventually(lambda: not executor.listener.listening)
        server.start()
        await eventually(lambda: remote.health()["up"])
        ack = await asyncio.wait_for(submit(remote, cloud, asked), PATIENCE_S)
    assert ack.state is DirectiveState.ACCEPTED
    assert executor.counts["submits"] == 1


async def test_a_call_that_takes_longer_than_is_set_ends_as_unknown_and_is_read(cloud, server):
    settings, asked = queue_settings(server, ack_wait_s=1.0, call_s=0.5), directive(cloud)
    cloud.ledger.held = asyncio.Event()
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock),
        planning(settings, cloud.clock) as remote,
    ):
        with pytest.raises(BackendError) as caught:
            await asyncio.wait_for(submit(remote, cloud, asked), PATIENCE_S)
        assert caught.value.code is ErrorCode.OUTCOME_UNKNOWN
        cloud.ledger.held.set()
        async with asyncio.timeout(PATIENCE_S):
            status = await remote.status(asked.vehicle_ref, asked.directive_id)
    assert status.directive_id == asked.directive_id
    assert effects(cloud) == 1


async def test_a_call_that_takes_many_leases_is_not_taken_over_while_its_executor_lives(cloud, server):
    settings, asked = queue_settings(server, ack_wait_s=1.0), directive(cloud)
    cloud.ledger.held = asyncio.Event()
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as one,
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as two,
        planning(settings, cloud.clock) as remote,
    ):
        call = submit(remote, cloud, asked)
        await asyncio.wait_for(cloud.ledger.arrived.wait(), PATIENCE_S)
        until = cloud.clock.now() + timedelta(seconds=3.5)
        await eventually(lambda: cloud.clock.now() > until)
        cloud.ledger.held.set()
        assert (await asyncio.wait_for(call, PATIENCE_S)).setting is not None
    assert one.counts["submits"] + two.counts["submits"] == 1
    assert one.counts["take_over"] + two.counts["take_over"] == 0
    assert methods(cloud, asked) == ["PUT"]


async def test_a_call_goes_on_no_longer_than_its_directive_may_be_sent(cloud, server):
    settings, asked = queue_settings(server), directive(cloud)
    asked = dataclasses.replace(asked, not_after=cloud.clock.now() + timedelta(seconds=1.0))
    cloud.ledger.held = asyncio.Event()
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock),
        planning(settings, cloud.clock) as remote,
    ):
        with pytest.raises(BackendError) as caught:
            await asyncio.wait_for(submit(remote, cloud, asked), PATIENCE_S)
        assert cloud.clock.now() < asked.not_after + timedelta(seconds=2)
        assert caught.value.code is ErrorCode.OUTCOME_UNKNOWN


async def test_one_of_two_executors_killed_among_two_hundred_calls_costs_no_car_its_directive(server, tmp_path):
    """Each car gets one directive, once; what the dead executor had begun is taken over; the other ends in peace."""
    settings = queue_settings(server, ack_wait_s=2.0, call_s=20.0)
    async with watched_cloud(cars=420) as cloud, planning(settings, cloud.clock) as remote:
        cloud.ledger.takes_s = 0.05
        wishes = [directive(cloud, ref) for ref in plugged(cloud)[:200]]
        with (
            executor_process(tmp_path, cloud.url, settings, cloud.clock) as doomed,
            executor_process(tmp_path, cloud.url, settings, cloud.clock) as other,
        ):
            await listening(remote, 2)
            calls = [submit(remote, cloud, wish) for wish in wishes]
            await eventually(lambda: len(cloud.ledger.calls) >= 20)
            doomed.kill()
            doomed.wait()
            async with asyncio.timeout(STARTS_WITHIN_S):
                acks = await asyncio.gather(*calls)
            other.terminate()
            assert await asyncio.to_thread(other.wait, PATIENCE_S) == 0
    assert [ack.directive_id for ack in acks] == [wish.directive_id for wish in wishes]
    assert {ack.state for ack in acks} == {DirectiveState.ACCEPTED}
    assert cloud.ledger.overlaps == []
    assert effects(cloud) == len(wishes) == 200


async def listening(remote, executors):
    """Return when so many executors wait for commands."""
    stream = remote._link.names.stream
    async with asyncio.timeout(STARTS_WITHIN_S):
        while True:
            with contextlib.suppress(NotFoundError):
                if (await remote._link.streams.consumer_info(stream, EXECUTORS)).num_waiting >= executors:
                    return
            await asyncio.sleep(0.05)
