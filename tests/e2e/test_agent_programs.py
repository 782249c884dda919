"""A real adapter at a real VTN: which programs its cars follow, and what becomes of an event it cannot understand."""

import asyncio
import json
import urllib.request

import fork_server
import pytest
from agent_rig import config_of, eventually, eventually_reads, rigged

from ven_adapters.contract import DirectiveState
from ven_adapters.ven.openadr.event_faults import NOT_UNDERSTOOD
from vtn.wire.enumerations import ObjectType

LIMIT = "IMPORT_CAPACITY_LIMIT"


@pytest.fixture
async def rig(launch, tmp_path):
    async with rigged(launch, tmp_path) as made:
        yield made


def described(kind, units, **more):
    return [{"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": kind, "units": units, **more}]


async def tariff(rig, program_id, price):
    return await rig.event(
        "PRICE", price, program_id=program_id, payloadDescriptors=described("PRICE", "kWh", currency="USD")
    )


def asks_of(agent, zone):
    return agent.zone_controller._before[zone]


def prices(agent):
    """What each part of a zone is told that energy costs."""
    steps = {
        zone: agent.zone_controller._before[zone].price
        for zone in agent.fleet_state.zones
        if zone in agent.zone_controller._before
    }
    return {zone: None if one is None else one.values.tolist()[0] for zone, one in steps.items()}


async def cycled(agent, times=3):
    cycles = agent.statistics.cycles
    await eventually(lambda: agent.statistics.cycles > cycles + times)


def held_zones(agent):
    live = (car.held for _, car in agent.fleet_state.registry if car.held is not None)
    return {one.zone for one in live if one.state is DirectiveState.IN_FORCE and one.directive.origin is not None}


async def test_of_two_untargeted_tariffs_the_first_counts_and_the_second_is_told(rig):
    ours, others = await rig.program(programName="ours"), await rig.program(programName="others")
    agent = await rig.start()
    await tariff(rig, ours, 0.11)
    await eventually(lambda: set(prices(agent).values()) == {0.11})
    second = await tariff(rig, others, 0.55)
    await eventually(lambda: agent.event_faults.counts["of_other_programs"])
    await cycled(agent)
    assert set(prices(agent).values()) == {0.11}
    assert {one.event_id for one in asks_of(agent, "bay").unused} == {second["id"]}
    await rig.stop()
    again = await rig.start()
    await eventually(lambda: again.event_faults.counts["of_other_programs"])
    assert set(prices(again).values()) == {0.11}


@pytest.mark.parametrize("named", ["id", "programName", "target"])
async def test_the_program_that_settings_name_counts_though_it_came_second(rig, named):
    others = await rig.program(programName="others")
    ours = await rig.program(programName="ours", targets=["our-customers"] if named == "target" else None)
    name = {"id": ours, "programName": "ours", "target": "our-customers"}[named]
    rig.change(programs=[name])
    agent = await rig.start()
    (ven,) = await rig.utility.search(ObjectType.VEN)
    body = {**ven, "objectType": "BL_VEN_REQUEST", "targets": ["our-customers"]}
    await rig.utility.replace(ObjectType.VEN, ven["id"], body)
    await tariff(rig, others, 0.55)
    await tariff(rig, ours, 0.11)
    await eventually(lambda: set(prices(agent).values()) == {0.11})
    await cycled(agent)
    assert set(prices(agent).values()) == {0.11}


async def test_cars_of_one_zone_follow_the_programs_that_each_is_enrolled_in(rig):
    file = rig.settings.enrolments[0]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    bay = [line for line in lines if line["zone"] == "bay"]
    for line in bay[: len(bay) // 2]:
        line["programs"] = ["pause"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rig.change(programs=["tariff"])
    pause, price = await rig.program(programName="pause"), await rig.program(programName="tariff")
    agent = await rig.start()
    resources = await rig.utility.search(ObjectType.RESOURCE)
    assert sorted(one["resourceName"] for one in resources) == ["bay", "la"]
    event = await rig.event("SIMPLE", 3, program_id=pause, minutes=20, reportDescriptors=[{"payloadType": "USAGE"}])
    await tariff(rig, price, 0.2)
    await eventually(lambda: "bay [pause]" in held_zones(agent))
    await eventually(lambda: prices(agent) == {"bay": 0.2, "bay [pause]": None, "la": 0.2})
    assert held_zones(agent) == {"bay [pause]"}
    assert asks_of(agent, "bay").simple is None
    (report,) = await eventually_reads(lambda: rig.asked_reports(event))
    assert {one["resourceName"] for one in report["resources"]} <= {"bay", "bay-export"}


async def test_a_limit_and_prices_in_the_spellings_that_are_met_are_followed(rig):
    agent = await rig.start()
    await eventually(lambda: "bay" in agent.zone_controller._before)
    await rig.event(LIMIT, "10", payloadDescriptors=described(LIMIT, "kW"))
    await rig.event("PRICE", "120", payloadDescriptors=described("PRICE", "EUR/MWh"))
    await eventually(lambda: set(prices(agent).values()) == {0.12})
    await eventually(lambda: asks_of(agent, "bay").import_cap_kw is not None)
    assert asks_of(agent, "bay").import_cap_kw.value == 10
    assert (agent.event_faults.alarms, agent.event_faults.counts.total()) == ([], 0)


async def test_a_limit_that_is_not_understood_is_told_to_its_sender_once_and_is_an_alarm(rig):
    agent = await rig.start()
    event = await rig.event(LIMIT, 10, payloadDescriptors=described(LIMIT, "kWh"))

    def reports():
        return rig.utility.search(ObjectType.REPORT, eventID=event["id"])

    (report,) = await eventually_reads(reports)
    (resource,) = report["resources"]
    (payload,) = resource["intervals"][0]["payloads"]
    assert payload["type"] == NOT_UNDERSTOOD
    assert payload["values"] == [f"interval 0, {LIMIT}: units: 'kWh' measures an energy, not a power"]
    await eventually(lambda: "bay" in agent.zone_controller._before and asks_of(agent, "bay").unknown)
    await rig.stop()
    lines = [json.loads(line) for line in (rig.settings.folder / "progress.jsonl").read_text().splitlines()]
    (alarm,) = lines[-1]["alarms"]
    assert event["id"] in alarm
    summary = json.loads((rig.settings.folder / "summary.json").read_bytes())
    assert summary["told_of_events"] == {"not_understood_binding": 1}

    again = await rig.start()
    await eventually(lambda: again.event_faults.alarms)
    await cycled(again)
    assert len(await reports()) == 1
    car = next(ref for ref in again.fleet_state.enrolled() if again.fleet_state.fleet.enrolment(ref).zone == "bay")
    now = rig.clock.now().isoformat()
    await eventually(lambda: not again.reporter._faulty)
    await rig.stop()
    words = ("explain", car, "--at", now, "-c", str(config_of(rig)))
    done = await asyncio.to_thread(fork_server.run, "ven_adapters", *words, timeout=60)
    assert f"What event {event['id']} asked as {LIMIT} was not understood: units: 'kWh' measures" in done.stdout

    await rig.utility.replace(ObjectType.EVENT, event["id"], event | {"payloadDescriptors": described(LIMIT, "W")})
    last = await rig.start()
    await eventually(lambda: "bay" in last.zone_controller._before and asks_of(last, "bay").import_cap_kw is not None)
    assert asks_of(last, "bay").import_cap_kw.value == pytest.approx(0.01)
    assert last.event_faults.alarms == []


async def test_a_program_that_is_written_over_3_0_1_is_named_alike(rig):
    rig.change(programs=["our-customers"])
    agent = await rig.start()
    old = rig.vtn.url.replace("3.1.0", "3.0.1")
    (ven,) = await rig.utility.search(ObjectType.VEN)
    body = {**ven, "objectType": "BL_VEN_REQUEST", "targets": ["our-customers"]}
    await rig.utility.replace(ObjectType.VEN, ven["id"], body)
    targets = [{"type": "GROUP", "values": ["our-customers"]}]
    token = await rig.utility.token()
    made = await asyncio.to_thread(_post, f"{old}/programs", token, {"programName": "old", "targets": targets})
    start = rig.clock.now().isoformat()
    wanted = {
        "programID": made["id"],
        "targets": targets,
        "intervalPeriod": {"start": start, "duration": "PT4H"},
        "payloadDescriptors": [{"payloadType": LIMIT, "units": "kw"}],
        "intervals": [{"id": 0, "payloads": [{"type": LIMIT, "values": [10]}]}],
    }
    await asyncio.to_thread(_post, f"{old}/events", token, wanted)
    await eventually(lambda: "bay" in agent.zone_controller._before and asks_of(agent, "bay").import_cap_kw is not None)
    assert asks_of(agent, "bay").import_cap_kw.value == 10


def _post(url, token, body):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        return json.loads(answer.read())
