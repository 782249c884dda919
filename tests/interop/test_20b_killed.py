"""Either bridge is killed at every step of an event's life, and started again: nothing is lost, nothing is doubled.

One event is made, changed and cancelled. The bridge dies at one step of that (before or after a commit, a message, a
write in our VTN), once for each step that there is. CI takes every seventh step; `make bridges` takes all.
"""

import asyncio
import contextlib
import json
import os
import tempfile
from datetime import timedelta
from pathlib import Path

import aiohttp
import fork_server
import pytest
from peers20b import NO_WARNINGS, PATIENCE_S, RawVen, drms, eventually, free_port, interval, now
from rigs20b import bridged_events, downstream_settings, event_in, program_for, provision, reported, upstream_settings
from vtn_process import fresh

from vtn.client import Client
from vtn.oadr20b.downstream.vens import VenProvision
from vtn.wire.enumerations import ObjectType

pytestmark = pytest.mark.filterwarnings(NO_WARNINGS)
CHILD = str(Path(__file__).with_name("bridge_child.py"))
EVERY = 1 if os.environ.get("BRIDGE_KILLS") == "all" else 7
MOST_STEPS = 120


class Bridge:
    """A bridge in a process of its own, which dies once and is started again by `alive`."""

    def __init__(self, which: str, settings, folder: Path) -> None:
        self._which, self._settings, self._folder = which, settings, folder
        self.steps = folder / "steps"
        self.steps.touch()
        self.deaths = 0
        self._process: fork_server.Fork | None = None

    def start(self, fatal: int | None = None) -> None:
        with tempfile.TemporaryFile("w+") as settings, (self._folder / "log").open("a") as log:
            settings.write(json.dumps(self._settings.model_dump(mode="json")))
            settings.seek(0)
            words = (self._which, str(self.steps), *([str(fatal)] if fatal else []))
            self._process = fork_server.start(CHILD, *words, stdin=settings, stdout=log, stderr=log)

    def alive(self) -> None:
        """Start it again when it has died."""
        assert self._process
        if self._process.poll() is not None:
            self.deaths += 1
            assert self.deaths == 1, (self._folder / "log").read_text()[-3_000:]
            self.start()

    def end(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._process.close()

    @property
    def names(self) -> list[str]:
        return self.steps.read_text().splitlines()


@contextlib.contextmanager
def killed_at(which, settings, folder, fatal):
    bridge = Bridge(which, settings, folder)
    bridge.start(fatal)
    try:
        yield bridge
    finally:
        bridge.end()


async def until(bridge, holds):
    """Wait until something holds, whatever becomes of the bridge meanwhile."""

    async def look():
        bridge.alive()
        return await holds()

    return await eventually(look)


@pytest.fixture(scope="module")
def server(launch):
    with launch() as made:
        yield made


@pytest.fixture
async def bl(server):
    async with Client(server.url, "bl", server.secrets["bl"]) as client:
        yield client


async def a_life_above(server, bl, folder, fatal):
    """An event of a utility is made, changed and cancelled; how many steps our VEN took, and whether it died."""
    name = fresh("k")[:20]
    async with drms() as utility:
        settings = upstream_settings(server, folder, utility.url, name, granularity_s=60.0, report_every_s=60.0)
        with killed_at("upstream", settings, folder, fatal) as bridge:
            ven_id = f"ven-ven-{name}"

            async def registered():
                return ven_id in utility.vens

            await until(bridge, registered)
            event_id = utility.event(ven_id, "SIMPLE", "level", [interval(now() + timedelta(minutes=5), 30, 1)])

            def stands(level, number):
                async def holds():
                    found = await bridged_events(bl, name)
                    assert len(found) <= 1, "an event was doubled"
                    values = [one["intervals"][0]["payloads"][0]["values"] for one in found]
                    return values == [[level]] and (event_id, number, "optIn") in utility.answers

                return holds

            await until(bridge, stands(1, 0))
            (made,) = await bridged_events(bl, name)
            held = utility.held(ven_id, event_id)
            held.event_signals[0].intervals[0]["signal_payload"] = 2
            held.event_descriptor.modification_number = 1
            utility.touch(ven_id)
            await until(bridge, stands(2, 1))
            assert [one["id"] for one in await bridged_events(bl, name)] == [made["id"]]
            utility.server.cancel_event(ven_id, event_id)

            async def gone():
                return not await bridged_events(bl, name) and (event_id, 2, "optIn") in utility.answers

            await until(bridge, gone)
            steps, deaths = bridge.names, bridge.deaths
        # Between the utility's answer to the first registration and the commit of it, the second one after that of the
        # journal, a death leaves nothing to know it by.
        unknown = deaths and steps[:fatal].count("after commit") < 2
        assert len(utility.registered) <= (2 if unknown else 1), steps[:fatal]
    return len(steps), deaths


async def a_life_below(server, bl, folder, fatal):
    """An event of ours is made, changed and cancelled for a VEN by hand; how many steps the bridge took, and deaths."""
    target = fresh("t")
    settings = downstream_settings(server, folder, port=free_port(), resend_s=0.3)
    await provision(settings, VenProvision(target, target, targets=(target,)))
    with killed_at("serve", settings, folder, fatal) as bridge:
        url = f"http://127.0.0.1:{settings.server.port}{settings.server.path}"
        async with RawVen(url, target) as ven:
            registrations, seen, unanswered, answered = set(), [], set(), set()

            async def turn():
                """One poll of a VEN that registers when it is told to, and answers every event that it is sent."""
                try:
                    reply = await ven.poll()
                    if reply.kind == "oadrRequestReregistration":
                        known = next(iter(registrations), None)
                        reply = await ven.register(target, registration_id=known)
                        registrations.add(reply.registration_id)
                    for one in reply.events:
                        seen.append((one.event_id, one.modification, one.status == "cancelled"))
                        unanswered.add((one.event_id, one.modification))
                    for event_id, number in sorted(unanswered):
                        await ven.answer(event_id, number, "optOut")
                        answered.add((event_id, number))
                        unanswered.discard((event_id, number))
                except (aiohttp.ClientError, OSError):  # whatever a bridge that dies leaves behind
                    await asyncio.sleep(0.02)

            def told(wanted):
                async def holds():
                    await turn()
                    return wanted in seen and wanted[:2] in answered

                return holds

            program_id = await program_for(bl, target, target)
            content = event_in(program_id, "SIMPLE", 1, start=now(), minutes=60)
            made = await bl.create(ObjectType.EVENT, content)
            await until(bridge, told((made["id"], 0, False)))
            content["intervals"][0]["payloads"][0]["values"] = [2]
            await bl.replace(ObjectType.EVENT, made["id"], content)
            await until(bridge, told((made["id"], 1, False)))

            async def opted():
                await turn()
                return await reported(bl, made["id"], "X_20B_OPT") == ["optOut"]

            await until(bridge, opted)
            reports = await bl.search(ObjectType.REPORT, eventID=made["id"])
            assert len(reports) == 1, "an opt was doubled"
            await bl.delete(ObjectType.EVENT, made["id"])
            await until(bridge, told((made["id"], 2, True)))
            assert {one[1:] for one in seen} == {(0, False), (1, False), (2, True)}, seen
            assert len(registrations) <= 1, "a VEN keeps its registration"
            return len(bridge.names), bridge.deaths


@pytest.mark.parametrize("life", [a_life_above, a_life_below], ids=["above us", "below us"])
async def test_at_whatever_step_a_bridge_is_killed_nothing_is_lost_or_doubled(
    server, bl, tmp_path, life, record_property
):
    fatal, killed = 1 if EVERY == 1 else 3, 0
    while fatal < MOST_STEPS:
        folder = tmp_path / str(fatal)
        folder.mkdir(mode=0o700)
        _, deaths = await life(server, bl, folder, fatal)
        if not deaths:
            break
        killed += 1
        fatal += EVERY
    record_property("killed at steps", killed)
    assert killed >= 20 // EVERY
