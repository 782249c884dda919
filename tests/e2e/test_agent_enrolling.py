"""The enrolment API beside a real adapter: choices count at once, and nothing on whose car it is reaches the VTN."""

import contextlib
import json
import subprocess
import sys
import urllib.request
from datetime import timedelta

import aiohttp
import pytest
from agent_rig import eventually, eventually_reads, rigged
from aiohttp import web
from enrolling_parts import OPEN_PROGRAMS, line_as_enrolment, served

from ven_adapters.contract import DirectiveState
from ven_adapters.enrolment_api.serve import READY

HOP_BY_HOP = {"host", "transfer-encoding", "content-length", "connection", "content-encoding"}


@contextlib.asynccontextmanager
async def recorder(target):
    """A proxy before a VTN; yields its address and every byte of every request that passed it."""
    seen: list[bytes] = []

    async def pass_on(request):
        body = await request.read()
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        seen.append(f"{request.method} {request.raw_path}\n{headers}\n\n".encode() + body)
        kept = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = f"{target}{request.raw_path}"
        async with http.request(request.method, url, headers=kept, data=body, allow_redirects=False) as answer:
            told = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            return web.Response(status=answer.status, headers=told, body=await answer.read())

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
        await runner.cleanup()


@pytest.fixture
async def rig(launch, tmp_path):
    async with rigged(launch, tmp_path) as made:
        made.lines = [json.loads(line) for line in (tmp_path / "cars.jsonl").read_text().splitlines()]  # type: ignore[attr-defined]
        made.change(enrolments=[], enrolling={"port": 0, "programs": OPEN_PROGRAMS})
        yield made


@pytest.fixture
async def app(rig):
    """The app, with every car of the cloud enrolled but the last."""
    rig.personal = []
    async with served(rig.settings, rig.clock) as made:
        for number, line in enumerate(rig.lines[:-1]):
            body, secrets = line_as_enrolment(line, number, rig.clock.now().isoformat())
            status, answer = await made.post("/v1/cars", body)
            assert status == 201, answer
            rig.personal += secrets
        yield made


def held(agent):
    return {ref: car.held for ref, car in agent.fleet_state.registry if car.held is not None}


def in_force(agent):
    return [ref for ref, one in held(agent).items() if one.state is DirectiveState.IN_FORCE]


def hungriest_in_force(agent):
    """The car in force with the most left to charge: given back for a while, it is not full when it is asked again."""
    kwh = {ref: wanted_kwh(agent, ref) for ref in in_force(agent)}
    return max(kwh, key=kwh.get)


def wanted_kwh(agent, ref):
    view = agent.fleet_state.fleet.view([agent.fleet_state.fleet.row(ref)])
    return float((view.target_pct - view.soc_pct)[0] * view.usable_kwh[0]) / 100


async def cycles(agent, more=3):
    before = agent.statistics.cycles
    await eventually(lambda: agent.statistics.cycles > before + more)


async def test_an_opt_out_by_the_app_releases_the_car_at_once_and_an_opt_in_takes_it_back(rig, app):
    agent = await rig.start()
    assert len(agent.fleet_state.enrolled()) == len(rig.lines) - 1
    await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 5)
    ref = hungriest_in_force(agent)
    await app.act("opt-out", {}, ref)
    await eventually(lambda: ref not in held(agent))
    await cycles(agent)
    assert ref not in held(agent)
    await app.act("opt-in", None, ref)
    await eventually(lambda: ref in held(agent))


async def test_an_opt_out_of_one_event_leaves_the_car_to_the_next(rig, app):
    agent = await rig.start()
    event = await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 5)
    ref = hungriest_in_force(agent)
    until = (rig.clock.now() + timedelta(hours=9)).isoformat()
    await app.act("opt-out", {"event_id": event["id"], "until": until}, ref)
    await eventually(lambda: ref not in held(agent))
    await cycles(agent)
    assert ref not in held(agent)
    await rig.cancel(event)
    other = await rig.event("SIMPLE", 3)
    await eventually(lambda: ref in held(agent) and held(agent)[ref].directive.origin.event_id == other["id"])


async def test_a_boost_gives_the_car_back_and_is_known_again_after_a_restart(rig, app):
    agent = await rig.start()
    await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 5)
    ref = in_force(agent)[0]
    until = rig.clock.now() + timedelta(hours=9)
    await app.act("boost", {"until": until.isoformat()}, ref)
    await eventually(lambda: ref not in held(agent))
    await rig.stop()
    (rig.settings.folder / "adapter.sqlite").unlink()
    again = await rig.start()
    row = again.fleet_state.fleet.row(ref)
    assert again.fleet_state.fleet.view().boost_until_s[row] == pytest.approx(until.timestamp())


async def test_a_car_that_is_enrolled_while_we_run_is_steered_and_one_that_leaves_is_given_back(rig, app, monkeypatch):
    monkeypatch.setattr("ven_adapters.ven.vehicle_discovery.WATCH_EVERY_S", 0.1)
    agent = await rig.start()
    await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 5)
    newcomer, gone = rig.lines[-1], in_force(agent)[0]
    body, _ = line_as_enrolment(newcomer, 777, rig.clock.now().isoformat())
    assert (await app.post("/v1/cars", body))[0] == 201
    await eventually(lambda: newcomer["vehicle_ref"] in agent.fleet_state.capabilities)
    await app.act("withdrawal", None, gone)
    await eventually(lambda: gone not in held(agent) and gone not in agent.fleet_state.enrolled())
    assert newcomer["vehicle_ref"] in agent.fleet_state.enrolled()


async def test_no_byte_that_the_vtn_is_sent_says_whose_car_it_is_or_where_it_lives(rig, app):
    root = rig.settings.vtn.url
    base = root[: root.index("/", len("http://"))]
    async with recorder(base) as (address, seen):
        vtn = {**rig.settings.vtn.model_dump(mode="json"), "url": root.replace(base, address)}
        wake = {"mode": "webhook", "poll_s": 0.2, "first_retry_s": 0.1, "longest_retry_s": 0.3}
        rig.change(enrolments=[], enrolling={"port": 0, "programs": OPEN_PROGRAMS}, vtn=vtn, wake=wake)
        agent = await rig.start()
        usage = [{"payloadType": "USAGE", "units": "KWH"}, {"payloadType": "OPERATING_STATE"}]
        event = await rig.event("SIMPLE", 3, minutes=20, reportDescriptors=usage)
        await eventually(lambda: len(in_force(agent)) >= 5)
        await app.act("opt-out", {}, in_force(agent)[0])
        await app.act("withdrawal", None, rig.lines[0]["vehicle_ref"])
        await eventually_reads(lambda: rig.asked_reports(event))
        await rig.stop()
    sent = b"\n".join(seen)
    for path in (
        b"POST /openadr3/3.1.0/reports",
        b"/vens",
        b"/resources",
        b"/subscriptions",
        b"GET /openadr3/3.1.0/events",
    ):
        assert path in sent
    assert b"MAX_POWER_CONSUMPTION" in sent
    refs = [line["vehicle_ref"] for line in rig.lines]
    sites = [agent.fleet_state.fleet.enrolment(ref).site_id for ref in agent.fleet_state.enrolled()]
    assert len(rig.personal) == 6 * (len(rig.lines) - 1)
    assert [secret for secret in (*rig.personal, *refs, *sites) if secret.encode() in sent] == []


def test_the_api_is_served_by_the_command_line_and_stops_when_told(tmp_path):
    config = tmp_path / "adapter.toml"
    config.write_text(
        f'oem = "bmw"\nclient_name = "a"\nvar = "{tmp_path}"\n[vtn]\nurl = "http://127.0.0.1:1"\n'
        'client_id = "c"\nclient_secret = "s"\n[backend]\n[enrolling]\nport = 0\n'
    )
    command = [sys.executable, "-m", "ven_adapters", "enrol", "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().removeprefix(READY).strip()
            with urllib.request.urlopen(f"{address}/openapi.json", timeout=10) as answer:  # noqa: S310 - our own
                assert json.load(answer)["openapi"] == "3.1.0"
        finally:
            process.terminate()
        assert process.wait(10) == 0
