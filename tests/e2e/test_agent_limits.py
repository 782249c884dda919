"""Limits below a zone: a transformer of the grid file, an event that names it, and a VTN that is lost."""

import asyncio
import json
from datetime import timedelta

import pytest
from agent_rig import config_of, eventually, eventually_reads, rigged

from ven_adapters.contract import DirectiveState
from ven_adapters.ven.explain.command import explain
from ven_adapters.ven.planning.guardrails import Reason
from vtn.wire.enumerations import ObjectType

GRID = """
[[node]]
name = "F-12"
kind = "feeder"

[[node]]
name = "T-1"
kind = "transformer"
parent = "F-12"
import_limit_kw = 30
default_import_kw = 12
"""
ROOM_KW, ASKED_KW, DEFAULT_KW = 30.0, 20.0, 12.0


def hang_cars(rig, **changes):
    """All cars below the transformer, and the adapter's settings name the grid file."""
    (rig.folder / "grid.toml").write_text(GRID)
    file = rig.settings.enrolments[0]
    lines = [json.loads(line) | {"grid_node": "T-1"} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rig.change(grid=str(rig.folder / "grid.toml"), **changes)


@pytest.fixture
async def rig(launch, tmp_path):
    async with rigged(launch, tmp_path) as made:
        hang_cars(made)
        yield made


def drawn_kw(agent):
    """What cars of the transformer are planned to draw that are ours to hold and can wait, all zones together."""
    return sum(one.planned_kw or 0.0 for one in agent.statistics._zones.values())


def broken(agent):
    return sum(one.broken_nodes for one in agent.zone_controller.limits.now.values())


def held_by_grid(agent):
    return [
        (ref, car.held)
        for ref, car in agent.fleet_state.registry
        if car.held is not None and car.held.why == Reason.GRID_LIMIT.name
    ]


def kept(agent, kw):
    """Whether the last cycle planned no more than so much through the transformer, over both zones."""
    return agent.statistics._zones and not broken(agent) and drawn_kw(agent) <= kw + 0.1


async def grant(rig, *targets):
    (ven,) = await rig.utility.search(ObjectType.VEN)
    await rig.utility.replace(ObjectType.VEN, ven["id"], {**ven, "objectType": "BL_VEN_REQUEST", "targets": [*targets]})


async def test_cars_of_two_zones_below_one_transformer_stay_within_it_and_explain_names_it(rig, capsys):
    agent = await rig.start()
    await eventually(lambda: agent.statistics._zones and drawn_kw(agent) > 0)
    await eventually(lambda: kept(agent, ROOM_KW))
    held = await eventually(lambda: [pair for pair in held_by_grid(agent) if pair[1].state is DirectiveState.IN_FORCE])
    ref, directive = held[0]
    assert directive.limited_by == "transformer T-1"
    at = rig.clock.now()
    await rig.stop()
    await asyncio.to_thread(explain, ref, at.isoformat(), config_of(rig), as_json=False)
    assert "because the limit of transformer T-1 asked for it (GRID_LIMIT)" in capsys.readouterr().out
    line = json.loads((agent.settings.folder / "progress.jsonl").read_text().splitlines()[-1])
    assert sum(one["limits"]["held_cars"] for one in line["zones"].values()) > 0


async def test_an_event_that_names_the_transformer_limits_it_and_asks_the_zones_nothing(rig):
    agent = await rig.start()
    await grant(rig, "T-1")
    event = await rig.event("IMPORT_CAPACITY_LIMIT", ASKED_KW, minutes=60, targets=["T-1"])
    await eventually(lambda: agent.zone_controller._before.get("bay") and asked_of_nodes(agent))
    await eventually(lambda: kept(agent, ASKED_KW))
    assert agent.zone_controller._before["bay"].import_cap_kw is None
    assert {one.imports.event_id for one in asked_of_nodes(agent)} == {event["id"]}
    wrong = await rig.event("SIMPLE", 3, targets=["T-1"])
    (report,) = await eventually_reads(lambda: rig.utility.search(ObjectType.REPORT, eventID=wrong["id"]))
    assert report["reportName"] == "not understood"


def asked_of_nodes(agent):
    grid = agent.zone_controller._before["bay"].grid
    return [one for one in grid.asked.values() if one.imports is not None]


async def test_while_the_vtn_is_lost_the_default_limit_holds(launch, tmp_path):
    async with rigged(launch, tmp_path, process=True) as rig:
        hang_cars(rig, vtn=rig.given()["vtn"] | {"lost_after_s": 600.0})
        agent = await rig.start()
        await eventually(lambda: kept(agent, ROOM_KW) and drawn_kw(agent) > DEFAULT_KW)
        rig.vtn.kill()
        await eventually(lambda: kept(agent, DEFAULT_KW))
        assert rig.clock.now() >= agent.vtn_objects.heard_at + timedelta(seconds=600)
        assert asked_of_nodes(agent) == []
