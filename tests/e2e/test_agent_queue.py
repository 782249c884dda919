"""Adapters that plan only, executors that call the cars: shards at one VTN, a planner killed with commands in line."""

import contextlib
import json
import os
import sqlite3

import fork_server
import pytest
from agent_rig import eventually, eventually_reads, rigged
from queue_parts import NobodyComes, executing, nats_server, queue_settings

from ven_adapters.contract import DirectiveState
from ven_adapters.oems import bmw
from vtn.wire.enumerations import ObjectType

S = DirectiveState
TAKEN = (S.ACCEPTED, S.IN_FORCE)


@pytest.fixture
def server(tmp_path):
    with nats_server(tmp_path / "nats") as made:
        yield made


@pytest.fixture
async def rig(launch, tmp_path):
    """Each test has its own cars on its own evening."""
    async with rigged(launch, tmp_path) as made:
        yield made


def executor(rig, settings):
    """An executor with the backend that the rig's adapter would have held itself."""
    return executing(bmw.backend(rig.settings.backend), settings, rig.clock)


def queued(settings):
    return json.loads(settings.model_dump_json(exclude_none=True))


def held(agent):
    return {ref: car.held for ref, car in agent.fleet_state.registry if car.held is not None}


async def test_two_shards_are_one_ven_each_steers_and_reports_its_own_zone_through_one_executor(rig, server):
    settings = queue_settings(server)
    async with executor(rig, settings) as carried_out:
        agents = {}
        for zone in ("bay", "la"):
            rig.change(queue=queued(settings), shard=[zone])
            agents[zone] = await rig.start()
        (ven,) = await rig.utility.search(ObjectType.VEN)
        resources = await rig.utility.search(ObjectType.RESOURCE, venID=ven["id"])
        assert sorted(one["resourceName"] for one in resources) == ["bay", "la"]
        short = await rig.event("SIMPLE", 0, minutes=8, reportDescriptors=[{"payloadType": "USAGE"}])
        event = await rig.event("SIMPLE", 3)
        for zone, agent in agents.items():
            await eventually(lambda agent=agent: sum(one.state is S.IN_FORCE for one in held(agent).values()) >= 3)
            assert {agent.fleet_state.fleet.enrolment(ref).zone for ref in held(agent)} == {zone}
            assert agent.statistics.queue()["answered"] > 0
        accepted = [one for agent in agents.values() for one in held(agent).values() if one.state is not S.REQUESTED]
        assert carried_out.counts["submits"] >= len(accepted)
        assert carried_out.listener.passed_on > 0
        await rig.cancel(event)
        reports = await eventually_reads(lambda: two_reports(rig, short))
        assert sorted(told["resourceName"] for one in reports for told in one["resources"]) == ["bay", "la"]
    summaries = [json.loads(path.read_text()) for path in await stopped(rig)]
    assert [summary["queue"]["unasked_outcomes"] for summary in summaries] == [0, 0]


async def two_reports(rig, event):
    found = await rig.asked_reports(event)
    return found if len(found) == 2 else None


async def stopped(rig):
    """The adapters' summaries once they have ended."""
    folders = [agent.settings.folder for agent, _ in rig.agents]
    await rig.stop()
    return [folder / "summary.json" for folder in folders]


async def test_while_the_queue_is_away_nothing_is_sent_or_given_up_and_then_the_newest_wish_is(rig, server):
    settings = queue_settings(server)
    async with executor(rig, settings) as carried_out:
        rig.change(queue=queued(settings))
        agent = await rig.start()
        await eventually(lambda: len(agent.fleet_state.snapshots) and agent.fleet_state.capabilities)
        server.kill()
        await eventually(lambda: not agent.statistics.queue()["up"])
        await rig.event("SIMPLE", 3)
        cycles = agent.statistics.cycles
        await eventually(lambda: agent.statistics.cycles > cycles + 3)
        assert not any(held(agent).values())
        assert carried_out.counts["submits"] == 0
        server.start()
        await eventually(lambda: sum(one.state is S.IN_FORCE for one in held(agent).values()) >= 5)
        assert {one.attempts for one in held(agent).values() if one.state in TAKEN} == {1}


def toml_of(settings):
    """Settings as the file that an adapter reads."""
    given = json.loads(settings.model_dump_json(exclude_none=True, exclude={"backend", "queue", "zones", "enrolling"}))
    given["vtn"]["client_secret"] = settings.vtn.client_secret
    return "\n".join(f"{key} = {toml_value(value)}" for key, value in given.items())


def toml_value(value):
    """A value as TOML writes it, tables in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


@contextlib.contextmanager
def planner_process(folder, rig, settings):
    """`ven-adapters run bmw --executors URL` as a program of its own, without the automaker's backend."""
    config = folder / "planner.toml"
    config.write_text(toml_of(rig.settings))
    words = ("run", "bmw", "--config", str(config), "--executors", settings.url)
    environment = {**os.environ, "VEN_ADAPTER_QUEUE__STREAM": settings.stream}
    with (folder / "planner.log").open("wb") as log:
        process = fork_server.start("ven_adapters", *words, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stored(rig):
    """The directives that the adapter's store holds, by id."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(rig.settings.folder / "adapter.sqlite")) as store,
    ):
        return {row[0]: row[1] for row in store.execute("SELECT directive_id, vehicle_ref FROM directive")}
    return {}


def handed_in(rig):
    """How many commands the planner has handed to the queue, by its own account."""
    path = rig.settings.folder / "progress.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    told = [json.loads(line).get("queue", {}) for line in lines if line.endswith(b"}")]
    return told[-1].get("handed_in", 0) if told else 0


async def test_a_planner_killed_with_commands_in_line_finds_them_carried_out_and_sends_none_again(
    rig, server, tmp_path
):
    settings = queue_settings(server)
    async with executor(rig, settings) as answering:
        with planner_process(tmp_path, rig, settings) as planner:
            await eventually_reads(lambda: rig.utility.search(ObjectType.RESOURCE), 40.0)
            turns, answering._turns = answering._turns, NobodyComes()
            nobody = answering._turns
            await eventually(lambda: nobody.asked)
            await rig.event("SIMPLE", 3)
            await eventually(lambda: handed_in(rig) >= len(stored(rig)) >= 5)
            planner.kill()
            planner.wait()
        in_line = stored(rig)
        assert answering.counts["submits"] == 0
        answering._turns = turns
        await eventually(lambda: answering.counts["submits"] >= len(in_line))
        rig.change(queue=queued(settings))
        agent = await rig.start()
        await eventually(lambda: all(known(agent, *one) for one in in_line.items()))
    asked = rig.cloud.ledger.summary()["directives_asked"]
    assert sum(asked.values()) >= len(in_line)
    assert all(one.attempts == 1 for one in held(agent).values() if one.directive.directive_id in in_line)


def known(agent, directive_id, ref):
    one = agent.fleet_state.registry.car(ref).held
    return one is None or one.directive.directive_id != directive_id or not one.in_doubt
