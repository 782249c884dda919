"""What the utility reads of what cannot be done, of what will be held, and of what it cancelled: GET /reports."""

import asyncio
import json
from datetime import timedelta

import pytest
from agent_rig import eventually, eventually_reads, rigged

from vtn.wire.enumerations import ObjectType

ZONES = ("bay", "la")
ASKED_KW = -2_000.0


@pytest.fixture
async def rig(launch, tmp_path):
    async with rigged(launch, tmp_path) as made:
        yield made


async def at_work(rig):
    """An adapter that has met its cars, with enough of them at their plugs in every zone."""
    agent = await rig.start()
    state = agent.fleet_state
    await eventually(lambda: len(state.capabilities) == len(state.enrolled()))
    await eventually(lambda: all(state.meter.sample(zone, float("inf")).plugged >= 10 for zone in ZONES))
    return agent


def payloads(report, zone, kind):
    (entry,) = [one for one in report["resources"] if one["resourceName"] == zone]
    return [p["values"] for interval in entry["intervals"] for p in interval["payloads"] if p["type"] == kind]


def named(rig, event, name):
    """A way to read the first report of a name on an event."""

    async def found():
        reports = await rig.utility.search(ObjectType.REPORT, eventID=event["id"])
        return next((one for one in reports if one.get("reportName") == name), None)

    return found


async def test_who_asks_for_more_than_can_be_shed_reads_the_shortfall_the_band_and_what_binds(rig):
    agent = await at_work(rig)
    event = await rig.event("DISPATCH_SETPOINT", ASKED_KW, minutes=120)
    await eventually(lambda: event["id"] in agent.vtn_objects.events)
    cycles = agent.statistics.cycles
    report = await eventually_reads(named(rig, event, "shortfall"))
    found = agent.zone_controller.flexibility.now["bay"]
    band = await eventually_reads(named(rig, event, "band"))
    assert report["clientName"] == rig.settings.client_name
    (told_at,) = {interval["intervalPeriod"]["start"] for one in report["resources"] for interval in one["intervals"]}
    read_at = agent.vtn_objects.events[event["id"]].read_at
    assert told_at <= (read_at + timedelta(seconds=rig.settings.cycle_s * 2)).isoformat()
    assert agent.statistics.cycles - cycles < 20
    for zone in ZONES:
        ((least_kw, most_kw),) = payloads(band, zone, "x-EVTN-BAND")
        assert ASKED_KW < least_kw <= most_kw
        ((short_kw,),) = payloads(report, zone, "x-EVTN-SHORTFALL")
        ((now_least_kw, now_most_kw),) = payloads(report, zone, "x-EVTN-BAND")
        assert short_kw == pytest.approx(now_least_kw - ASKED_KW, abs=0.1)
        assert now_least_kw < now_most_kw
        counted = [cause for cause in payloads(report, zone, "x-EVTN-BINDS") if len(cause) > 1]
        assert counted
        assert all(cars >= rig.settings.smallest_group for _, cars, _ in counted)
    assert {one.obstacle.value for one in found.bindings} >= {"CANNOT_FEED"}
    assert "bmw-0" not in json.dumps([band, report])

    lines = [json.loads(line) for line in (rig.settings.folder / "progress.jsonl").read_text().splitlines()]
    short = next(line["zones"]["bay"] for line in lines if line["zones"].get("bay", {}).get("shortfall_kw"))
    assert short["least_kw"] > ASKED_KW
    assert short["binds"][0]["cars"] > 0
    assert any(len(line["zones"]["bay"].get("band", {}).get("least_kw", ())) == 96 for line in lines if line["zones"])


async def test_a_shortfall_that_is_over_is_told_once_and_what_stays_so_is_not_told_every_cycle(rig):
    agent = await at_work(rig)
    event = await rig.event("DISPATCH_SETPOINT", ASKED_KW, minutes=20)
    await eventually_reads(named(rig, event, "shortfall over"))
    cycles = agent.statistics.cycles
    await eventually(lambda: agent.statistics.cycles > cycles + 3)
    told = [one["reportName"] for one in await rig.utility.search(ObjectType.REPORT, eventID=event["id"])]
    assert told.count("shortfall over") == 1
    assert 1 <= told.count("shortfall") <= 5
    assert told.count("band") == 1


async def test_a_nomination_is_told_before_the_event_and_says_what_will_be_held(rig):
    await at_work(rig)
    event = await rig.event("SIMPLE", 3, minutes=60, starts_in_s=1_800)
    first = await eventually_reads(named(rig, event, "nomination T-60min"))
    second = await eventually_reads(named(rig, event, "nomination T-15min"))
    for report in (first, second):
        for zone in ZONES:
            ((shed_kw, feed_kw),) = payloads(report, zone, "x-EVTN-NOMINATION")
            assert shed_kw >= 0
            assert feed_kw >= 0
        assert sum(payloads(report, zone, "x-EVTN-NOMINATION")[0][0] for zone in ZONES) > 0


async def test_an_event_cancelled_in_its_middle_is_reported_until_then_and_a_deleted_ones_reports_stay_readable(rig):
    agent = await at_work(rig)
    asks = [{"payloadType": "USAGE", "units": "KWH"}]
    event = await rig.event("SIMPLE", 1, minutes=240, reportDescriptors=asks)
    await eventually(lambda: event["id"] in agent.vtn_objects.events)
    until = rig.clock.now() + timedelta(minutes=20)
    await eventually(lambda: rig.clock.now() > until)
    body = {key: value for key, value in event.items() if key not in ("id", "createdDateTime", "modificationDateTime")}
    over = body | {"intervalPeriod": {"start": "0001-01-01", "duration": "PT0S"}}
    await rig.utility.replace(ObjectType.EVENT, event["id"], over)
    report = await eventually_reads(named(rig, event, "ended"))
    usage_kwh = sum(value for zone in ZONES for (value,) in payloads(report, zone, "USAGE"))
    assert usage_kwh > 1.0
    await eventually(lambda: agent.zone_controller._before["bay"].simple is None)
    assert {"OK", "ESTIMATED"} >= {value for zone in ZONES for (value,) in payloads(report, zone, "DATA_QUALITY")}

    await rig.cancel(event)
    assert await rig.utility.search(ObjectType.REPORT, eventID=event["id"]) == []
    archived = await asyncio.to_thread(rig.vtn.cli, "archive", "--event", event["id"])
    kept = [json.loads(line)["report"] for line in archived.stdout.splitlines()]
    assert report in kept


async def test_what_was_measured_of_an_event_deleted_in_its_middle_is_kept_by_the_adapter(rig):
    agent = await at_work(rig)
    event = await rig.event("SIMPLE", 1, minutes=240, reportDescriptors=[{"payloadType": "USAGE"}])
    await eventually(lambda: event["id"] in agent.vtn_objects.events)
    until = rig.clock.now() + timedelta(minutes=20)
    await eventually(lambda: rig.clock.now() > until)
    await rig.cancel(event)
    path = rig.settings.folder / "unposted_reports.jsonl"
    await eventually(path.exists)
    (line,) = path.read_text().splitlines()
    report = json.loads(line)["report"]
    assert report["eventID"] == event["id"]
    assert sum(value for zone in ZONES for (value,) in payloads(report, zone, "USAGE")) > 1.0
