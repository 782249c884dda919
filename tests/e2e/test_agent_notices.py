"""A whole adapter tells drivers, through the automaker's webhook, of an event before it and after it."""

import json
from datetime import datetime, timedelta

import pytest
from agent_rig import eventually, rigged
from enrolling_parts import OPEN_PROGRAMS, WEBHOOK_SECRET, line_as_enrolment, receiver, served

CARS = 20
WITHIN_S = 240.0


@pytest.fixture
async def hook():
    async with receiver() as made:
        yield made


@pytest.fixture
async def rig(launch, tmp_path, hook):
    async with rigged(launch, tmp_path, cars=CARS) as made:
        enrolling = {"port": 0, "programs": OPEN_PROGRAMS, "webhook_url": hook[0], "webhook_secret": WEBHOOK_SECRET}
        made.change(enrolments=[], enrolling=enrolling, smallest_group=1)
        yield made


@pytest.fixture
async def app(rig, tmp_path):
    rig.personal = []
    async with served(rig.settings, rig.clock) as made:
        for number, line in enumerate((tmp_path / "cars.jsonl").read_text().splitlines()):
            body, secrets = line_as_enrolment(json.loads(line), number, rig.clock.now().isoformat())
            assert (await made.post("/v1/cars", body))[0] == 201
            rig.personal += secrets
        yield made


def told(hook, kind):
    return {one["vehicle_ref"]: one for one in hook[1] if one["type"] == kind}


async def test_drivers_hear_of_an_event_before_it_and_after_it_and_whoever_skips_it_is_not_held(rig, app, hook, caplog):
    agent = await rig.start()
    event = await rig.event("SIMPLE", 3, minutes=30, starts_in_s=1500.0)
    await eventually(lambda: len(told(hook, "event_ahead")) >= 5)
    assert rig.clock.now() < datetime.fromisoformat(event["intervalPeriod"]["start"])
    start = datetime.fromisoformat(event["intervalPeriod"]["start"])
    ahead = told(hook, "event_ahead")
    for one in ahead.values():
        assert (one["event_id"], one["kind"]) == (event["id"], "SIMPLE")
        assert datetime.fromisoformat(one["start"]) == start
        assert datetime.fromisoformat(one["end"]) == start + timedelta(minutes=30)
        assert one.get("expected_kwh", 1) > 0
    skipped = max(ahead, key=lambda ref: ahead[ref].get("expected_kwh") or 0)
    call = ahead[skipped]["skip"]
    status, answer = await app.post(call["path"], call["body"])
    assert (status, answer["vehicle_ref"]) == (200, skipped)
    await eventually(lambda: set(told(hook, "event_ahead")) <= set(told(hook, "event_over")), WITHIN_S)
    over = told(hook, "event_over")
    assert set(ahead) <= set(over) == set(told(hook, "event_ahead"))
    assert over[skipped]["held_minutes"] == 0
    helped = [one for one in over.values() if one["held_minutes"] > 0]
    assert helped
    assert all(one["held_minutes"] <= 30.5 and one["moved_kwh"] > 0 for one in helped)
    assert {one["readiness"] for one in over.values()} <= {"READY", "IN_TIME", "LATE", "UNKNOWN"}
    ids = [one["notice_id"] for one in hook[1] if "notice_id" in one]
    assert len(set(ids)) == 2 * len(over) <= len(ids)
    said = json.dumps(hook[1]) + caplog.text
    assert [secret for secret in rig.personal if secret in said] == []
    await rig.stop()
    summary = json.loads((rig.settings.folder / "summary.json").read_text())
    assert summary["fairness"]["cars"] == CARS == len(agent.fleet_state.enrolled())
    assert summary["fairness"]["borne_kwh"] > 0
    assert 0 < summary["fairness"]["borne_gini"] < 1
