"""The adapter from event to car and back: plans, directives, confirmations, reports, drivers' choices."""

import json
from collections import Counter

import pytest
from agent_rig import eventually, eventually_reads, rigged

from ven_adapters.contract import DirectiveKind, DirectiveState, DriverChoice, DriverChose
from vtn.wire.enumerations import ObjectType

S = DirectiveState


@pytest.fixture
async def rig(launch, tmp_path):
    """Each test has its own cars on its own evening."""
    async with rigged(launch, tmp_path) as made:
        yield made


def held(agent):
    return {ref: car.held for ref, car in agent.fleet_state.registry if car.held is not None}


def in_force(agent):
    return {ref: one for ref, one in held(agent).items() if one.state is S.IN_FORCE}


def measured_kw(agent):
    return sum(agent.fleet_state.meter.sample(zone, float("inf")).power_kw for zone in agent.fleet_state.zones)


async def test_a_ven_and_a_resource_per_zone_are_registered_and_name_no_car(rig):
    agent = await rig.start()
    (ven,) = await rig.utility.search(ObjectType.VEN)
    resources = await rig.utility.search(ObjectType.RESOURCE, venID=ven["id"])
    assert (ven["clientID"], sorted(one["resourceName"] for one in resources)) == ("c1", ["bay", "la"])
    for one in resources:
        told = {item["type"]: item["values"][0] for item in one["attributes"]}
        assert told["MAX_POWER_CONSUMPTION"] == pytest.approx(
            agent.fleet_state.capacity(one["resourceName"]).max_consumption_kw, abs=0.1
        )
        assert told.keys() == {"MAX_POWER_CONSUMPTION", "MAX_POWER_EXPORT"}
    assert "bmw-0" not in json.dumps([ven, *resources])


async def test_changed_enrolments_change_what_is_registered_and_who_is_steered(rig, monkeypatch):
    monkeypatch.setattr("ven_adapters.ven.vehicle_discovery.WATCH_EVERY_S", 0.1)
    agent = await rig.start()
    await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 5)
    gone = next(iter(in_force(agent)))
    before_kw = agent.fleet_state.capacity(agent.fleet_state.fleet.enrolment(gone).zone).max_consumption_kw
    file = rig.settings.enrolments[0]
    zone = agent.fleet_state.fleet.enrolment(gone).zone
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if gone not in line))
    await eventually(lambda: gone not in held(agent))

    async def smaller():
        resources = await rig.utility.search(ObjectType.RESOURCE)
        told = {one["resourceName"]: one["attributes"][0]["values"][0] for one in resources}
        return told[zone] < before_kw - 1

    await eventually_reads(smaller)


async def test_enrolments_that_turn_bad_while_running_change_nothing(rig, monkeypatch):
    monkeypatch.setattr("ven_adapters.ven.vehicle_discovery.WATCH_EVERY_S", 0.1)
    agent = await rig.start()
    cars = len(agent.fleet_state.enrolled())
    rig.settings.enrolments[0].write_text("nonsense")
    sync = agent.enrolment_sync
    await eventually(lambda: sync.agreements.stamps() == sync._stamps and sync._stamps)
    cycles = agent.statistics.cycles
    await eventually(lambda: agent.statistics.cycles > cycles + 2)
    assert len(agent.fleet_state.enrolled()) == cars


async def test_an_emergency_stops_what_can_wait_and_telemetry_confirms_it(rig):
    agent = await rig.start()
    await eventually(lambda: measured_kw(agent) > 50)
    before_kw = measured_kw(agent)
    event = await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 10)
    for one in in_force(agent).values():
        assert one.directive.origin.event_id == event["id"]
        assert one.confirmed_at > one.sent_at
    await eventually(lambda: measured_kw(agent) < 0.4 * before_kw)


def held_back(agent):
    return {ref for ref, one in held(agent).items() if one.directive.kind is DirectiveKind.CURTAIL}


async def test_a_cancelled_event_is_followed_by_a_soft_restart(rig):
    agent = await rig.start()
    await eventually(lambda: measured_kw(agent) > 50)
    event = await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 10)
    await rig.cancel(event)
    await eventually(lambda: event["id"] not in agent.vtn_objects.events)
    await eventually(lambda: agent.zone_controller._released.keys() == {"bay", "la"})
    waiting = held_back(agent)
    await eventually(lambda: waiting - held_back(agent))
    assert waiting & held_back(agent)


async def test_an_opt_out_is_released_at_once_and_the_car_is_not_touched_again(rig):
    agent = await rig.start()
    await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 5)
    ref = next(iter(in_force(agent)))
    rig.cloud.outbox.append(DriverChose(ref, DriverChoice.OPT_OUT, rig.clock.now(), None))
    await eventually(lambda: ref not in held(agent) and ref in {r for r, _ in agent.fleet_state.registry})
    cycles = agent.statistics.cycles
    await eventually(lambda: agent.statistics.cycles > cycles + 3)
    assert ref not in held(agent)


async def test_reports_are_posted_when_due_and_once(rig):
    agent = await rig.start()
    event = await rig.event(
        "SIMPLE",
        1,
        minutes=20,
        reportDescriptors=[
            {"payloadType": "USAGE", "units": "KWH"},
            {"payloadType": "OPERATING_STATE"},
            {"payloadType": "BASELINE"},
        ],
    )
    (report,) = await eventually_reads(lambda: rig.asked_reports(event))
    assert report["clientName"] == rig.settings.client_name
    assert {one["resourceName"] for one in report["resources"]} >= {"bay", "la"}
    payloads = [p for one in report["resources"] for interval in one["intervals"] for p in interval["payloads"]]
    usage_kwh = sum(p["values"][0] for p in payloads if p["type"] == "USAGE")
    assert usage_kwh > 1.0
    assert {"type": "BASELINE", "values": []} in payloads
    assert "bmw-0" not in json.dumps(report)
    cycles = agent.statistics.cycles
    await eventually(lambda: agent.statistics.cycles > cycles + 3)
    assert len(await rig.asked_reports(event)) == 1


async def test_only_the_zone_that_an_event_is_targeted_at_follows_it(rig):
    agent = await rig.start()
    (ven,) = await rig.utility.search(ObjectType.VEN)
    for one in await rig.utility.search(ObjectType.RESOURCE, venID=ven["id"]):
        granted = {**one, "objectType": "BL_RESOURCE_REQUEST", "targets": [f"zone-{one['resourceName']}"]}
        await rig.utility.replace(ObjectType.RESOURCE, one["id"], granted)
    await rig.event("SIMPLE", 3, targets=["zone-bay"])
    await eventually(lambda: len(in_force(agent)) >= 5)
    zones = Counter(one.zone for one in held(agent).values())
    assert set(zones) == {"bay"}


async def test_what_is_not_understood_is_counted_and_moves_no_car(rig):
    agent = await rig.start()
    await rig.event("X_TELEPORT", 1)
    await eventually(lambda: agent.statistics.unknown["X_TELEPORT"])
    assert held(agent) == {}


async def test_a_stopped_adapter_leaves_directives_to_their_ends_and_writes_its_summary(rig):
    agent = await rig.start()
    event = await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 5)
    cancelled_before = agent.fleet_state.registry.by_state.get("CANCELLED", 0)  # by what the car itself did meanwhile
    await rig.stop()
    summary = json.loads((rig.settings.folder / "summary.json").read_bytes())
    assert summary["directives_confirmed"] >= 5
    assert summary["directives_by_state"].get("CANCELLED", 0) == cancelled_before
    told = summary["events"][event["id"]]
    assert told["read_s"] <= told["first_directive_s"] <= told["last_directive_s"]
    lines = [json.loads(line) for line in (rig.settings.folder / "progress.jsonl").read_text().splitlines()]
    assert lines[-1]["zones"].keys() == {"bay", "la"}
    assert sum(lines[-1]["directives_by_state"].values()) == sum(summary["directives_by_state"].values())
