"""`ven-adapters explain`: what a real adapter wrote down is enough to say why each of its cars did what it did."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from agent_rig import config_of, eventually, rigged

from ven_adapters.contract import DirectiveState, DriverChoice, DriverChose, Known
from ven_adapters.ven.explain.command import explain
from vtn.errors import ConfigError


async def lived(rig):
    """One car held by an emergency, one whose driver left, one that is away; and the instant at which that was so."""
    agent = await rig.start()
    registry, fleet, backend = agent.fleet_state.registry, agent.fleet_state.fleet, rig.cloud
    known = await eventually(lambda: [ref for ref in fleet._refs if _plugged(agent, ref) is Known.YES])
    leaver = next(ref for ref in known if fleet.enrolment(ref).charging_consent)
    backend.outbox.append(
        DriverChose(leaver, DriverChoice.OPT_OUT, rig.clock.now(), rig.clock.now() + timedelta(days=1))
    )
    await eventually(lambda: agent.statistics.choices["OPT_OUT"])
    event = await rig.event("SIMPLE", 3)

    def held():
        return [ref for ref, car in registry if car.held is not None and car.held.state is DirectiveState.IN_FORCE]

    await eventually(lambda: len(held()) >= 3)
    away = next(ref for ref in fleet._refs if _plugged(agent, ref) is Known.NO)
    at = rig.clock.now()
    await rig.stop()
    return event, at, held()[0], leaver, away


def _plugged(agent, ref):
    snapshot = agent.fleet_state.snapshots.get(ref)
    return None if snapshot is None or snapshot.plugged is None else snapshot.plugged.value


@pytest.fixture
async def told(launch, tmp_path, capsys):
    async with rigged(launch, tmp_path) as rig:
        event, at, *refs = await lived(rig)
        config = config_of(rig)

        async def say(ref, instant=at, *, as_json=False):
            capsys.readouterr()
            await asyncio.to_thread(
                explain, ref, instant if isinstance(instant, str) else instant.isoformat(), config, as_json=as_json
            )
            return capsys.readouterr().out

        yield rig, event, at, refs, say, config


async def test_why_each_car_did_what_it_did_is_told_from_the_store_alone(told):
    rig, event, at, (held, leaver, away), say, config = told
    paragraph = await say(held)
    assert paragraph.count("\n") == 1
    for words in (f"event {event['id']}", "SIMPLE 3", "told it to pause", "sent at", "took it at", "IN_FORCE"):
        assert words in paragraph
    facts = json.loads(await say(held, as_json=True))
    assert facts["directive"]["state"] == "IN_FORCE"
    assert facts["paragraph"] == paragraph.rstrip("\n")
    assert "had opted out" in await say(leaver)
    assert "(OPTED_OUT)" in await say(leaver)
    assert "(AWAY)" in await say(away)

    with pytest.raises(ConfigError, match="nothing is stored of"):
        await say("WBA00000000000001")
    with pytest.raises(ConfigError, match="has not come yet"):
        await say(held, rig.clock.now() + timedelta(days=2))
    with pytest.raises(ConfigError, match="from before"):
        await say(held, at - timedelta(days=9))
    with pytest.raises(ConfigError, match="needs an offset"):
        await say(held, "2026-07-02T04:00:00")
    with pytest.raises(ConfigError, match="no instant"):
        await say(held, "yesterday")

    command = [sys.executable, "-m", "ven_adapters", "explain", held, "--at", at.isoformat(), "-c", str(config)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ}
    )
    assert (done.returncode, done.stdout) == (0, paragraph)
