"""Energy without bias, what is said of its quality, reports that are corrected, and events that are ended."""

import dataclasses
import json
from datetime import timedelta

import numpy as np
import pytest
from agent_cases import COURSE, enrolment, event, snapshot
from directive_cases import T0, at

from ven_adapters.contract import Capability, ChargeState, Known
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.participation import Participation
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.openadr.programs import ProgramSelection
from ven_adapters.ven.openadr.vtn_objects import ReadEvent, VtnObjects
from ven_adapters.ven.reporting.kept_reports import KeptReports
from ven_adapters.ven.reporting.measured import measured_energy, needs_correction, was_ended
from ven_adapters.ven.reporting.schedule import Reporter, ReporterNames
from vtn.client import VtnRefused
from vtn.wire.event import Event

HOUR_S = 3600.0
REFS = tuple(f"car-{number:02}" for number in range(40))


def fleet(refs=REFS, zone_of=None):
    made = FleetState(T0.timestamp(), {}, 1)
    made.enrol([enrolment(ref, zone=(zone_of or {}).get(ref, "bay")) for ref in refs], T0)
    made.learn(dict.fromkeys(refs, Capability("m", 60_000, 7_000, can_set_power=True)))
    return made


def see(cars, now, power_w, refs=REFS, **more):
    """Readings of some cars at an instant: each its own power, and whatever else there is of it."""
    told = []
    for place, (ref, watts) in enumerate(zip(refs, power_w, strict=True)):
        state = ChargeState.CHARGING if watts > 0 else ChargeState.STOPPED
        own = {name: values[place] for name, values in more.items()}
        told.append(dataclasses.replace(snapshot(now, power_w=float(watts), state=state, **own), vehicle_ref=ref))
    cars.observe(told, now)


def sampled(cars, now):
    """One cycle of the zone, and its sample."""
    cars.meter.note("bay", ZoneController(cars, COURSE).steer("bay", [], now).sample)


def errors_of_zones(draws, unread_share, zones):
    """(reported - true) / true of one hour in which some cars are not heard of; what is estimated; what was unread.

    One row per zone. Its own cars are read every five minutes, and its cycle comes every quarter of an hour.
    """
    place = np.repeat(np.arange(zones), len(REFS))
    names = np.array([f"{ref}-{zone:02}" for zone in range(zones) for ref in REFS])
    on = draws.random(len(names)) < 0.6
    power_w = np.where(on, draws.uniform(2_000, 11_000, len(names)), 0.0)
    unread = draws.random(len(names)) < unread_share
    cars = fleet(tuple(names), {name: f"zone-{zone:02}" for name, zone in zip(names, place, strict=True)})
    controller = ZoneController(cars, COURSE)
    see(cars, at(-4 * HOUR_S), np.zeros(len(names)), names)
    for second in range(0, 3601, 300):
        see(cars, at(second), power_w[~unread], names[~unread])
        for zone in cars.zones if second % 900 == 0 else ():
            cars.meter.note(zone, controller.steer(zone, [], at(second)).sample)
    found = []
    for zone in range(zones):
        energy, estimated = measured_energy(cars, f"zone-{zone:02}", T0.timestamp(), T0.timestamp() + HOUR_S)
        true_kwh = power_w[place == zone].sum() / 1000
        found.append(((energy.imported_kwh - true_kwh) / true_kwh, estimated, unread[place == zone].mean()))
    return np.array(found)


def test_the_error_is_zero_on_the_average_whichever_cars_are_not_heard_of():
    found = errors_of_zones(np.random.default_rng(3), 0.3, 60)
    errors = found[:, 0]
    assert abs(errors.mean()) < 2.5 * errors.std() / np.sqrt(len(errors))
    assert abs(errors.mean()) < 0.02
    assert found[:, 1] == pytest.approx(found[:, 2])


def test_cars_that_are_full_and_silent_are_not_taken_to_charge():
    cars = fleet()
    see(cars, at(-4 * HOUR_S), np.zeros(len(REFS)), soc_pct=[86.3] * len(REFS))
    for second in range(0, 3601, 300):
        see(cars, at(second), np.full(10, 5_000.0), REFS[:10], soc_pct=[51.7] * 10)
        sampled(cars, at(second))
    energy, estimated = measured_energy(cars, "bay", T0.timestamp(), T0.timestamp() + HOUR_S)
    assert energy.imported_kwh == pytest.approx(50.0)
    assert estimated == 0.75


def test_a_car_is_estimated_only_from_the_moment_that_it_was_plugged_in():
    cars = fleet()
    away = [dataclasses.replace(snapshot(at(-4 * HOUR_S), power_w=0.0), vehicle_ref=ref) for ref in REFS[20:]]
    cars.observe(
        [dataclasses.replace(one, plugged=dataclasses.replace(one.plugged, value=Known.NO)) for one in away], at(0)
    )
    for second in range(0, 3601, 300):
        if second == 1800:
            came = [dataclasses.replace(snapshot(at(1800)), vehicle_ref=ref, power_w=None) for ref in REFS[20:]]
            cars.observe(came, at(1800))
        see(cars, at(second), np.full(20, 5_000.0), REFS[:20])
        sampled(cars, at(second))
    energy, _ = measured_energy(cars, "bay", T0.timestamp(), T0.timestamp() + HOUR_S)
    assert energy.imported_kwh == pytest.approx(100 + 50, rel=0.01)


def test_where_every_car_is_heard_of_nothing_is_estimated():
    ((error, estimated, _),) = errors_of_zones(np.random.default_rng(1), 0.0, 1)
    assert (error, estimated) == (pytest.approx(0.0, abs=1e-9), 0.0)


def test_what_is_charged_between_plug_in_and_the_first_reading_is_not_lost():
    """Sessions begin at any time between two readings, and their counters begin with them."""
    draws = np.random.default_rng(5)
    cars = fleet()
    begins_s = draws.uniform(0, 3 * HOUR_S, len(REFS))
    kw = draws.uniform(3, 11, len(REFS))
    lasts_s = draws.uniform(600, 5400, len(REFS))
    before_wh = draws.uniform(5_000, 40_000, len(REFS))
    for second in np.arange(0, 6 * HOUR_S, 600):
        ran_s = np.clip(second - begins_s, 0, lasts_s)
        begun = second > begins_s
        added_wh = np.where(begun, kw * 1000 * ran_s / HOUR_S, before_wh)
        power_w = np.where(begun & (ran_s < lasts_s), kw * 1000, 0.0)
        see(cars, at(second), power_w, energy_added_wh=added_wh.tolist())
    true_kwh = float((kw * lasts_s).sum() / HOUR_S)
    energy = cars.meter.energy("bay", T0.timestamp(), T0.timestamp() + 6 * HOUR_S)
    assert energy.imported_kwh == pytest.approx(true_kwh, rel=0.002)


def test_a_counter_that_falls_back_by_a_fault_is_not_told_as_energy():
    cars = fleet(REFS[:1])
    see(cars, at(0), [0.0], REFS[:1], energy_added_wh=[12_000_000.0])
    see(cars, at(300), [0.0], REFS[:1], energy_added_wh=[11_000_000.0])
    assert cars.meter.energy("bay", T0.timestamp(), T0.timestamp() + 300).imported_kwh == 0.0


def test_cars_that_are_away_are_not_estimated():
    cars = fleet()
    see(cars, at(-4 * HOUR_S), np.zeros(len(REFS)))
    gone = [
        dataclasses.replace(snapshot(at(-7200), power_w=0.0, state=ChargeState.UNPLUGGED), vehicle_ref=ref)
        for ref in REFS[:30]
    ]
    cars.observe(
        [dataclasses.replace(one, plugged=dataclasses.replace(one.plugged, value=Known.NO)) for one in gone], at(0)
    )
    for second in range(0, 3601, 300):
        see(cars, at(second), np.full(10, 5_000.0), REFS[30:])
        sampled(cars, at(second))
    energy, estimated = measured_energy(cars, "bay", T0.timestamp(), T0.timestamp() + HOUR_S)
    assert (energy.imported_kwh, estimated) == (pytest.approx(50.0), 0.0)


KEY = ("bay", 0, "2026-07-15T23:00:00.000Z", "USAGE")


@pytest.mark.parametrize(
    ("before", "now", "expected"), [(100, 104, False), (100, 94, True), (2, 2.4, False), (2, 3, True)]
)
def test_a_report_is_corrected_when_a_figure_moved_by_more_than_a_twentieth(before, now, expected):
    assert needs_correction({KEY: before}, {KEY: now}) == expected


# --- the reporter ----------------------------------------------------------------------------------------------------


class Vtn:
    """Takes reports on the events that it has; any other is refused as a VTN does."""

    def __init__(self, *events) -> None:
        self.events, self.reports = set(events), []

    async def create(self, _kind, body):
        if body["eventID"] not in self.events:
            raise VtnRefused(409, {"detail": "eventID: no such event"})
        self.reports.append(body)
        return {"id": f"r{len(self.reports)}"}


class Setting:
    """An event of two hours that asks for USAGE, and a reporter."""

    def __init__(self, folder, **changes) -> None:
        self.cars = fleet()
        raw = event("SIMPLE", [1, 1], start=T0.isoformat(), duration="PT1H").event.model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        raw |= {"reportDescriptors": [{"payloadType": "USAGE"}, {"payloadType": "USAGE_FORECAST"}], **changes}
        self.raw = raw
        self.objects = VtnObjects(None, lambda _: None)
        self.put(raw)
        self.vtn = Vtn("e1")
        self.kept = KeptReports(folder)
        participation = Participation(self.objects, self.cars, ProgramSelection())
        names = ReporterNames("bmw", "s")
        self.reporter = Reporter(self.vtn, participation, ZoneController(self.cars, COURSE), names, self.kept)
        self.reporter.plan(T0)

    def put(self, raw):
        self.objects.events = {"e1": ReadEvent(Event.model_validate(raw), T0, 0.0)}

    def drive(self, start_s, end_s, watts=5_000.0, refs=REFS):
        for second in range(int(start_s), int(end_s) + 1, 300):
            see(self.cars, at(second), np.full(len(refs), watts), refs)
            sampled(self.cars, at(second))

    async def pay(self, second):
        self.vtn.reports.clear()
        await self.reporter.pay(at(second), 1)
        return list(self.vtn.reports)


def figures(report):
    found = {}
    for interval in report["resources"][0]["intervals"]:
        for payload in interval["payloads"]:
            found.setdefault(payload["type"], []).append(payload["values"])
    return found


async def test_a_measured_report_says_so_and_one_that_is_sent_long_after_it_was_due_says_late(tmp_path):
    rig = Setting(tmp_path)
    rig.drive(0, 7200)
    (report,) = [one for one in await rig.pay(7201) if "USAGE" in figures(one)]
    assert figures(report)["USAGE"] == [[200.0], [200.0]]
    assert figures(report)["DATA_QUALITY"] == [["OK"], ["OK"]]
    assert "x-EVTN-QUALITY" not in figures(report)
    rig = Setting(tmp_path)
    rig.drive(0, 7200)
    (late,) = [one for one in await rig.pay(7200 + 3600) if "USAGE" in figures(one)]
    assert figures(late)["x-EVTN-QUALITY"] == [["LATE"], ["LATE"]]


async def test_cars_that_are_not_heard_of_are_estimated_and_it_is_said_how_many(tmp_path):
    rig = Setting(tmp_path)
    see(rig.cars, at(-4 * 3600), np.zeros(len(REFS)))
    rig.drive(0, 7200, refs=REFS[:30])
    (report,) = [one for one in await rig.pay(7201) if "USAGE" in figures(one)]
    assert [value for (value,) in figures(report)["USAGE"]] == pytest.approx([200.0, 200.0])
    assert figures(report)["DATA_QUALITY"] == [["ESTIMATED"], ["ESTIMATED"]]
    assert figures(report)["x-EVTN-QUALITY"] == [["ESTIMATED", 0.25]] * 2


async def test_readings_that_come_late_correct_a_report_once(tmp_path):
    rig = Setting(tmp_path)
    see(rig.cars, at(-300), np.zeros(len(REFS)), energy_added_wh=[0.0] * len(REFS))
    rig.drive(0, 7200, refs=REFS[:30])
    await rig.pay(7201)
    silent = REFS[30:]
    see(rig.cars, at(7500), np.zeros(10), silent, energy_added_wh=[26_000.0] * 10)
    assert await rig.pay(9000) == []
    (corrected,) = await rig.pay(7201 + 2 * 3600)
    assert corrected["reportName"] == "corrected"
    assert ["CORRECTED"] in figures(corrected)["x-EVTN-QUALITY"]
    assert sum(value for (value,) in figures(corrected)["USAGE"]) == pytest.approx(300 + 240, rel=0.01)
    assert await rig.pay(7201 + 5 * 3600) == []


async def test_a_report_that_stays_true_is_not_corrected(tmp_path):
    rig = Setting(tmp_path)
    rig.drive(0, 7800)
    await rig.pay(7201)
    assert await rig.pay(7201 + 2 * 3600) == []


CANCELLED = {
    "modificationDateTime": "2026-07-16T00:00:00Z",
    "intervalPeriod": {"start": "0001-01-01", "duration": "PT0S"},
}


async def test_an_event_that_is_cancelled_in_its_middle_still_gets_what_was_measured_until_then(tmp_path):
    rig = Setting(tmp_path)
    rig.drive(0, 5400)
    rig.put(rig.raw | CANCELLED)
    rig.reporter.plan(at(5400))
    (report,) = [one for one in await rig.pay(5401) if one.get("reportName") == "ended"]
    assert figures(report)["USAGE"] == [[200.0], [100.0]]
    assert report["resources"][0]["intervals"][1]["intervalPeriod"]["duration"] == "PT1800S"
    assert [one for one in await rig.pay(5500) if one.get("reportName") == "ended"] == []


async def test_what_was_measured_of_a_deleted_event_is_kept_where_the_vtn_has_no_place_for_it(tmp_path):
    rig = Setting(tmp_path)
    rig.drive(0, 5400)
    rig.objects.events, rig.vtn.events = {}, set()
    rig.reporter.plan(at(5400))
    assert await rig.pay(5401) == []
    (line,) = [json.loads(line) for line in rig.kept.path.read_text().splitlines()]
    assert figures(line["report"])["USAGE"] == [[200.0], [100.0]]
    assert line["report"]["eventID"] == "e1"


def test_an_event_that_goes_on_or_was_over_is_not_taken_for_ended():
    before = ReadEvent(event("SIMPLE", [1], start=T0.isoformat(), duration="PT2H").event, T0, 0.0)
    longer = ReadEvent(event("SIMPLE", [1], start=T0.isoformat(), duration="PT3H").event, T0, 0.0)
    assert not was_ended(before, longer, at(60), "s")
    assert was_ended(before, None, at(60), "s")
    assert not was_ended(before, None, at(-60), "s")
    assert not was_ended(before, None, T0 + timedelta(hours=3), "s")
    shorter = ReadEvent(event("SIMPLE", [1], start=T0.isoformat(), duration="PT1H").event, T0, 0.0)
    assert was_ended(before, shorter, at(5400), "s")


async def test_what_can_only_be_forecast_is_told_when_its_interval_begins_although_nobody_said_so(tmp_path):
    rig = Setting(tmp_path)
    rig.drive(-300, 0)
    (report,) = await rig.pay(1)
    assert len(figures(report)["USAGE_FORECAST"]) == 2
    assert figures(report)["USAGE_FORECAST"][0][0] > 0


def test_kept_reports_are_bounded_to_two_files(tmp_path, monkeypatch):
    monkeypatch.setattr("ven_adapters.ven.reporting.kept_reports.MOST_BYTES", 300)
    kept = KeptReports(tmp_path)
    for number in range(20):
        kept.keep({"eventID": f"e{number}", "pad": "x" * 50}, T0, "gone")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 600
    assert "e19" in kept.path.read_text()
