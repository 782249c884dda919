"""What an automaker recorded of its cars teaches an adapter before it starts; a file with faults teaches nothing."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from ven_adapters.config import read_settings
from ven_adapters.ven.enrolment.files import Unreadable
from ven_adapters.ven.past_readings import learn
from ven_adapters.ven.store.database import AdapterStore

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
FIRST = datetime(2026, 7, 6, 19, tzinfo=UTC)
NIGHTS, STEP = 7, timedelta(minutes=5)


@pytest.fixture
def settings(tmp_path):
    car = {
        "vehicle_ref": "car-1",
        "zone": "bay",
        "site_id": "home-1",
        "timezone": "UTC",
        "charging_consent": {"version": "1", "agreed_at": "2026-01-01T00:00:00Z"},
        "discharge_consent": None,
        "permission": None,
        "discharge_budget": None,
        "opted_out": False,
        "preferences": {
            "ready_by": dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "07:00"),
            "target_soc_pct": 80,
            "reserve_soc_pct": 30,
        },
    }
    (tmp_path / "enrolments.jsonl").write_text(json.dumps(car) + "\n")
    toml = tmp_path / "adapter.toml"
    toml.write_text(
        f'oem = "bmw"\nclient_name = "bmw"\nenrolments = ["{tmp_path}/enrolments.jsonl"]\nvar = "{tmp_path}/var"\n'
        '[vtn]\nurl = "http://127.0.0.1:1/x"\nclient_id = "a"\nclient_secret = "b"\n'
        '[backend]\nurl = "http://127.0.0.1:2"\ntoken = "t"\n'
    )
    toml.chmod(0o600)
    return read_settings(toml, {})


def reading(at, ref="car-1", **more):
    return {"vehicle_ref": ref, "at": at.isoformat(), "plugged": True, "at_home": True} | more


def a_week(kw=5.0, kwh_per_pct=0.5, early=timedelta(0)):
    """Seven evenings: home at seven with 40 %, charged at a steady power to 80 %, gone at seven, or earlier."""
    for night in range(NIGHTS):
        at, level = FIRST + timedelta(days=night), 40.0
        while level < 80.0:
            yield reading(at, charge_state="CHARGING", soc_pct=float(int(level)), power_w=1000 * kw)
            at, level = at + STEP, level + kw * STEP.total_seconds() / 3600 / kwh_per_pct
        yield reading(at, charge_state="COMPLETE", soc_pct=80, power_w=0)
        out = FIRST + timedelta(days=night, hours=12) - early
        yield reading(out, charge_state="UNPLUGGED", power_w=0) | {"plugged": False, "at_home": False}


def written(tmp_path, lines):
    path = tmp_path / "readings.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" if isinstance(line, dict) else line for line in lines))
    return path


async def stored(settings):
    store = AdapterStore(settings.store())
    await store.open()
    try:
        return await store.facts("car-1")
    finally:
        await store.close()


async def test_a_week_of_sessions_teaches_power_energy_and_habits(settings, tmp_path):
    lines = list(a_week(early=timedelta(minutes=50)))
    learned = await learn(settings, [written(tmp_path, lines)], NOW)
    assert (learned.readings, learned.cars, learned.strangers) == (len(lines), 1, 0)
    facts = await stored(settings)
    pace, habit = json.loads(facts.pace.document), json.loads(facts.departure.document)
    assert pace["mean_kw"][:4] == pytest.approx([5.0] * 4, abs=0.05)
    assert pace["gain"] == pytest.approx(2.0, rel=0.03)
    working, weekend = habit["early_s"]
    assert working == pytest.approx([3000] * 5, abs=60)
    assert weekend == pytest.approx([3000] * 2, abs=60)
    assert "home" in habit


async def test_what_was_learned_before_is_added_to(settings, tmp_path):
    first, second = list(a_week()), list(a_week(kw=4.0))
    await learn(settings, [written(tmp_path, first)], NOW)
    moved = [line | {"at": (datetime.fromisoformat(line["at"]) + timedelta(days=1)).isoformat()} for line in second]
    await learn(settings, [written(tmp_path, moved)], NOW)
    facts = await stored(settings)
    pace = json.loads(facts.pace.document)
    assert pace["mean_kw"][0] == pytest.approx(4.0, abs=0.2)
    assert pace["count"][0] > sum(40.0 <= line.get("soc_pct", 0.0) < 50.0 for line in first)


async def test_readings_of_cars_that_are_not_ours_are_counted_and_no_fault(settings, tmp_path):
    lines = [reading(FIRST, soc_pct=50), reading(FIRST, ref="stranger", soc_pct=50)]
    learned = await learn(settings, [written(tmp_path, lines)], NOW)
    assert (learned.readings, learned.cars, learned.strangers) == (1, 1, 1)


async def test_every_fault_is_named_with_its_line_and_nothing_is_kept(settings, tmp_path):
    lines = [
        *a_week(),
        reading(FIRST + timedelta(days=8), soc_pct=140),
        reading(FIRST, soc_pct=50),
        reading(NOW + timedelta(hours=1)),
        reading(FIRST + timedelta(days=8), charge_state="BUSY", plugged=1),
        {"at": "yesterday", "vehicle_ref": 7, "colour": "red"},
        "no json\n",
        '{"vehicle_ref": "' + "x" * 3_000 + '"}\n',
    ]
    path = written(tmp_path, lines)
    with pytest.raises(Unreadable) as caught:
        await learn(settings, [path, tmp_path / "missing.jsonl"], NOW)
    after = len(list(a_week()))
    for number, rule in (
        (1, "soc_pct: must be a number from 0 to 100"),
        (2, "at: must not lie before the line above"),
        (3, "at: must not lie in the future"),
        (4, "charge_state: must be one of"),
        (4, "plugged: must be true or false"),
        (5, "at: must be an instant with its offset"),
        (5, "vehicle_ref: must be the car's pseudonym"),
        (5, "colour: is not known"),
        (6, "must be a JSON object"),
        (7, "must be a JSON object of at most 2000 bytes"),
    ):
        assert f"{path}: line {after + number}: {rule}" in str(caught.value)
    assert "missing.jsonl: cannot be read" in str(caught.value)
    facts = await stored(settings)
    assert (facts.pace, facts.departure) == (None, None)
