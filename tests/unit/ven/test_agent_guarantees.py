"""What the adapter owes drivers when something unusual meets something ordinary: long events, late news."""

import asyncio
import contextlib
import dataclasses
from datetime import time

import numpy as np
import pytest
from agent_cases import COURSE, agent, enrolment, event, fleet_state, snapshot
from directive_cases import T0, accepted, at, desire, seen, sent
from planning_cases import HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, asked, cars

from ven_adapters.contract import (
    BackendError,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Known,
    Reading,
    Snapshot,
    Validity,
)
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.transport.http.codec import load
from ven_adapters.ven import vehicle_discovery
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.directives import lifecycle
from ven_adapters.ven.directives.car_directives import CarDirectives
from ven_adapters.ven.directives.directive_rows import row_of
from ven_adapters.ven.directives.reconcile import Do, reconcile
from ven_adapters.ven.fleet.metering import Sample
from ven_adapters.ven.fleet.zones import Capacity
from ven_adapters.ven.openadr.vtn_objects import ReadEvent, VtnObjects
from ven_adapters.ven.planning.discharge_permits import MissingPermit
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.plan import plan
from ven_adapters.ven.reporting.reports import Request, Wanted, ZoneFigures, body
from ven_adapters.ven.reporting.schedule import Owed
from ven_adapters.ven.store.database import StoredState
from vtn.client import VtnRefused, VtnUnreachable
from vtn.rules.timeline import DueReport, Window
from vtn.wire.enumerations import ObjectType
from vtn.wire.values import ReportDescriptor


def hold(cars_of, kind, power_w=None, **more):
    """The car holds a directive that it was seen to follow."""
    held = accepted(kind, power_w, vehicle_ref="car", **more)
    cars_of.registry.put(
        "car", CarDirectives(dataclasses.replace(held, state=DirectiveState.IN_FORCE, confirmed_once=True))
    )


def test_an_event_without_end_is_steered_for_a_car_without_departure():
    cars_of = fleet_state()
    cars_of.observe([snapshot(T0)], T0)
    endless = event("SIMPLE", [3], duration="P9999Y")
    orders = ZoneController(cars_of, COURSE).steer("bay", [endless], T0)
    assert [step.target.directive.kind for _, step in orders.steps] == [DirectiveKind.CURTAIL]


def test_a_setpoint_without_end_is_steered():
    cars_of = fleet_state(ready_by=(time(7),) * 7)
    cars_of.observe([snapshot(T0, power_w=0.0, state=ChargeState.STOPPED)], T0)
    endless = event("DISPATCH_SETPOINT", [7], duration="P9999Y")
    orders = ZoneController(cars_of, COURSE).steer("bay", [endless], T0)
    assert [step.target.directive.kind for _, step in orders.steps] == [DirectiveKind.CHARGE]


def test_a_car_that_left_its_site_is_given_back_although_prices_change_every_five_minutes():
    cars_of = fleet_state()
    hold(cars_of, DirectiveKind.CURTAIL, end_s=4 * 3600)
    now = at(60)
    cars_of.observe([snapshot(now, home=Known.NO, power_w=0.0, state=ChargeState.STOPPED)], now)
    prices = event("PRICE", [0.1 + 0.01 * (n % 3) for n in range(60)], duration="PT5M")
    orders = ZoneController(cars_of, COURSE).steer("bay", [prices], now)
    assert [step.do for _, step in orders.steps] == [Do.CANCEL]


def test_a_discharge_whose_event_is_gone_ends_although_prices_change_every_five_minutes():
    cars_of = fleet_state()
    hold(cars_of, DirectiveKind.SETPOINT, -5000, end_s=4 * 3600)
    now = at(60)
    cars_of.observe([snapshot(now, power_w=-5000.0, state=ChargeState.DISCHARGING)], now)
    prices = event("PRICE", [0.1 + 0.01 * (n % 3) for n in range(60)], duration="PT5M", key="price")
    orders = ZoneController(cars_of, COURSE).steer("bay", [prices], now)
    assert [step.do for _, step in orders.steps] == [Do.CANCEL]


PRICES = event("PRICE", [0.2] * 24, start=T0.isoformat(), duration="PT5M", key="prices")


def test_an_emergency_is_followed_at_once_although_prices_change_every_five_minutes():
    cars_of = fleet_state(ready_by=(time(7),) * 7)
    cars_of.observe([snapshot(T0)], T0)
    zone_controller = ZoneController(cars_of, COURSE)
    assert list(zone_controller.steer("bay", [PRICES], at(1)).steps) == []
    requests = [PRICES, event("SIMPLE", [3], start=at(5).isoformat(), key="emergency")]
    ((_, step),) = zone_controller.steer("bay", requests, at(10)).steps
    assert (step.target.directive.kind, step.target.directive.start) == (DirectiveKind.CURTAIL, at(10))
    assert list(zone_controller.steer("bay", requests, at(40)).steps)
    assert zone_controller.steer("bay", requests, at(80)).step_source.decision.at == at(300)


def test_what_a_car_was_told_for_later_stays_when_something_else_comes_that_does_not_concern_it():
    cars_of = fleet_state(ready_by=(time(7),) * 7)
    cars_of.observe([snapshot(T0)], T0)
    zone_controller, later = (
        ZoneController(cars_of, COURSE),
        event("SIMPLE", [3], start=at(280).isoformat(), key="later"),
    )
    zone_controller.steer("bay", [later], at(1))
    cars_of.registry.put("car", CarDirectives(accepted(start_s=280, vehicle_ref="car")))
    cap = event("IMPORT_CAPACITY_LIMIT", [500], start=at(5).isoformat(), key="wide")
    assert list(zone_controller.steer("bay", [later, cap], at(10)).steps) == []
    assert not list(zone_controller.steer("bay", [later, cap], at(80)).steps)


def test_a_discharge_never_outlasts_its_permission():
    view = cars(1, **PERMITTED | {"permission_until_s": NOW_S + 0.5 * HOUR}, **IDLE, soc_pct=75.0)
    decided = plan(view, asked(dispatch_kw=ask(-5.0, end_h=2.0)), NOW_S, SETTINGS)
    assert decided.kind.tolist() == [DesireKind.SETPOINT]
    assert decided.end_s[0] <= NOW_S + 0.5 * HOUR


def test_a_discharge_that_may_not_go_on_is_stopped_within_the_dwell():
    held = accepted(DirectiveKind.SETPOINT, -5000)
    car = CarDirectives(held, flipped_at=at(1))
    step = reconcile(desire(DirectiveKind.CURTAIL), car, None, at(30))
    assert step.do is Do.SUBMIT


def test_a_driver_who_took_over_is_left_alone_after_a_restart():
    first = fleet_state()
    taken = lifecycle.move(
        accepted(ready_by=at(8 * 3600), vehicle_ref="car"), DirectiveState.OVERRIDDEN, Trigger.STATUS, at(60)
    )
    again = fleet_state()
    again.restore(StoredState(overridden=(row_of(taken),)), at(7200))
    assert first.registry.car("car").blocks == ()
    assert reconcile(desire(start_s=7200, end_s=9000), again.registry.car("car"), None, at(7200)).do is Do.NOTHING


def test_a_refusal_because_the_driver_took_over_is_an_override():
    refused = lifecycle.apply_refusal(sent(), BackendError(ErrorCode.USER_OVERRIDE, "driver"), at(1), 0.5)
    assert refused.state is DirectiveState.OVERRIDDEN


def test_a_battery_at_its_limit_does_not_count_as_discharging():
    held = sent(DirectiveKind.SETPOINT, -5000)
    refused = lifecycle.apply_refusal(held, BackendError(ErrorCode.LIMIT_REACHED, "reserve"), at(1), 0.5)
    assert refused.state is not DirectiveState.IN_FORCE


@pytest.mark.parametrize("until_s", [60, 3600])
def test_an_alarm_of_the_inverter_stops_a_discharge_at_once_and_until_it_is_over(until_s):
    """Also in the minutes before the set-point changes, when plans are made for what is to come."""
    cars_of = fleet_state(ready_by=(time(7),) * 7)
    cars_of.observe([snapshot(T0, soc_pct=75.0, power_w=-5000.0, state=ChargeState.DISCHARGING)], T0)
    hold(cars_of, DirectiveKind.SETPOINT, -5000, end_s=until_s)
    requests = [event("DISPATCH_SETPOINT", [-5], start=T0.isoformat(), duration=f"PT{until_s}S")]
    assert cars_of.observe([Snapshot("car", der_alarm=Reading(Known.YES, at(1), at(1)))], at(1))
    orders = ZoneController(cars_of, COURSE).steer("bay", requests, at(1))
    (step,) = [step for _, step in orders.steps]
    assert step.do is Do.CANCEL if until_s < COURSE.lead_s else step.target.directive.kind is DirectiveKind.CURTAIL
    assert orders.plan.refusal.tolist() == [MissingPermit.DER_ALARM]
    assert orders.sample.alarmed == 1
    assert not cars_of.observe([Snapshot("car", der_alarm=Reading(Known.NO, at(2), at(2)))], at(2))
    assert ZoneController(cars_of, COURSE).steer("bay", requests, at(2)).plan.refusal.tolist() == [MissingPermit.NONE]


def test_a_battery_that_used_its_event_budget_may_give_for_the_next_event():
    cars_of = fleet_state(ready_by=(time(7),) * 7)
    cars_of.observe([snapshot(T0, soc_pct=75.0, energy_exported_wh=0.0)], T0)
    cars_of.exports.begin_for("car", "yesterday", T0)
    cars_of.observe([snapshot(at(60), soc_pct=75.0, energy_exported_wh=10_000.0)], at(60))
    orders = ZoneController(cars_of, COURSE).steer("bay", [event("DISPATCH_SETPOINT", [-5], duration="PT2H")], at(61))
    assert [step.target.directive.kind for _, step in orders.steps] == [DirectiveKind.SETPOINT]


def test_an_older_choice_that_comes_late_does_not_undo_a_newer_one():
    cars_of = fleet_state()
    cars_of.take(DriverChose("car", DriverChoice.OPT_OUT, at(100)), at(100))
    cars_of.take(DriverChose("car", DriverChoice.OPT_IN, at(50)), at(101))
    assert cars_of.fleet.zone("bay").opted_out_until_s[0] > at(200).timestamp()


def test_a_level_read_before_the_last_drive_is_not_known():
    cars_of = fleet_state(ready_by=(time(7),) * 7)
    cars_of.observe([snapshot(T0, soc_pct=80.0, power_w=0.0, state=ChargeState.COMPLETE)], T0)
    cars_of.observe([seen(3600, plugged=False)], at(3600))
    cars_of.observe([seen(7200, plugged=True)], at(7200))
    assert np.isnan(cars_of.fleet.zone("bay").soc_pct[0])


def test_a_reading_from_the_future_is_no_reading():
    told = {"vehicle_ref": "car", "soc_pct": {"value": 75.0, "observed_at": "2099-01-01T00:00:00Z"}}
    assert load(Snapshot, told, received_at=T0).soc_pct.validity is Validity.SENTINEL


def test_a_clock_that_ran_ahead_hides_no_alarm_that_comes_after():
    cars_of = fleet_state()
    cars_of.observe([Snapshot("car", der_alarm=Reading(Known.NO, at(540), T0))], T0)
    assert cars_of.observe([Snapshot("car", der_alarm=Reading(Known.YES, at(60), at(60)))], at(60))


def test_a_level_from_a_clock_that_ran_ahead_grows_old_like_any_other():
    cars_of = fleet_state()
    cars_of.observe([Snapshot("car", soc_pct=Reading(80.0, at(172_800), T0))], T0)
    assert cars_of.fleet.view().soc_at_s.tolist() == [T0.timestamp()]
    cars_of.observe([Snapshot("car", soc_pct=Reading(35.0, at(3600), at(3600)))], at(3600))
    assert cars_of.fleet.view().soc_pct.tolist() == [35.0]


def test_who_leaves_before_it_is_known_what_his_car_can_do_has_left():
    cars_of = FleetState(T0.timestamp(), {}, 1)
    cars_of.enrol([enrolment(), enrolment("unmet")], T0)
    assert cars_of.enrol([enrolment()], T0) == ("unmet",)
    assert cars_of.enrolled() == ["car"]


def test_a_counter_that_leaps_is_not_told_as_energy():
    cars_of = fleet_state()
    cars_of.observe([snapshot(T0, energy_added_wh=1_000.0)], T0)
    cars_of.observe([snapshot(at(60), energy_added_wh=2.0**32)], at(60))
    assert cars_of.meter.energy("bay", T0.timestamp(), at(60).timestamp()).imported_kwh == pytest.approx(7 / 60)


def test_a_level_known_of_too_few_cars_is_not_told():
    sample = Sample(T0.timestamp(), members=12, cars=1, stored_kwh=30.0, usable_kwh=60.0)
    figures = ZoneFigures(12, None, sample, 1.0)
    period = Window(T0, at(3600), 0, 0, (), "e", "p", None)
    asked_for = ReportDescriptor.model_validate({"payloadType": "STORAGE_CHARGE_LEVEL"})
    wanted = Wanted(asked_for, DueReport(at(3600), 0, (period,)), ("bay",))
    made = body(Request("e", "bmw", frozenset(), (wanted,), 10), lambda _zone, _window: figures)
    told = [payload["type"] for one in made["resources"][0]["intervals"] for payload in one["payloads"]]
    assert told == ["STORAGE_CHARGE_LEVEL", "DATA_QUALITY"]


async def test_one_car_that_cannot_be_met_keeps_no_other_from_being_registered(tmp_path):
    made = agent(tmp_path)
    made.fleet_state.enrol([enrolment(), enrolment("dead")], T0)
    async with asyncio.timeout(60):
        meeting = asyncio.create_task(made.discovery.run())
        await made.vtn_signal.wait(2)
        meeting.cancel()
    assert made.discovery.unannounced == {"bay": Capacity(7.0, 0.0)}
    made.statistics.close(T0, 0.0, {}, 0, ())


class Lists:
    """A VTN that lists the events it is given."""

    def __init__(self, *events) -> None:
        self.events = events

    async def search(self, kind, **_):
        return self.events if kind is ObjectType.EVENT else []


async def test_an_event_whose_new_version_cannot_be_read_is_not_followed_as_it_was():
    raw = event("SIMPLE", [3]).event.model_dump(mode="json", by_alias=True, exclude_none=True)
    vtn = Lists(raw)
    vtn_objects = VtnObjects(vtn, lambda _: None)
    await vtn_objects.poll(None, T0, 0.0)
    assert len(vtn_objects.events_for("bay")) == 1
    vtn.events = [raw | {"modificationDateTime": "2026-07-15T23:00:00Z", "intervals": None}]
    assert await vtn_objects.poll(None, at(60), 0.0)
    assert vtn_objects.events_for("bay") == []
    assert not await vtn_objects.poll(None, at(90), 0.0)


@pytest.mark.parametrize("failure", [BackendError(ErrorCode.UNREACHABLE, "x"), KeyError("model")])
async def test_whatever_one_car_fails_with_all_others_are_met(failure):
    class Cars:
        async def capabilities(self, ref):
            if ref == "odd":
                raise failure
            return ref

    assert await vehicle_discovery.capabilities(Cars(), ["a", "odd", "b"]) == ({"a": "a", "b": "b"}, {"odd"})


async def test_consent_withdrawn_ends_what_was_replaced_as_well(tmp_path):
    made = agent(tmp_path)
    await made.ports.store.open()
    older = accepted(DirectiveKind.SETPOINT, -5000, vehicle_ref="car", directive_id="gives", key="k1")
    newer = accepted(vehicle_ref="car", start_s=1200, directive_id="later", key="k2")
    made.fleet_state.registry.put("car", CarDirectives(newer, (older,)))
    made.facts.take(DriverChose("car", DriverChoice.CONSENT_WITHDRAWN, T0))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            while made.fleet_state.registry.car("car").held is not None:  # noqa: ASYNC110 - the adapter's own state
                await asyncio.sleep(0.01)
    assert made.ports.backend.cancelled == ["later", "gives"]
    await made.group_commit.close()
    await made.ports.store.close()
    made.statistics.close(T0, 0.0, {}, 0, ())


async def test_a_zone_that_cannot_be_planned_leaves_no_other_unplanned(tmp_path, monkeypatch):
    made = agent(tmp_path)
    made.fleet_state.enrol([enrolment("car"), enrolment("other", zone="cove")], T0)
    steer = made.zone_controller.steer
    monkeypatch.setattr(
        made.zone_controller, "steer", lambda zone, *more: steer(zone, *more) if zone == "cove" else 1 / 0
    )
    await made.control_loop.cycle()
    assert made.fleet_state.meter.sample("cove", at(3600).timestamp()) is not None
    made.statistics.close(T0, 0.0, {}, 0, ())


async def test_nothing_is_sent_to_a_car_whose_driver_left_while_it_waited_in_line(tmp_path):
    made = agent(tmp_path)
    await made.ports.store.open()
    made.fleet_state.observe([snapshot(T0)], T0)
    wanted = desire(end_s=3600)
    made.dispatcher.start("car", reconcile(wanted, made.fleet_state.registry.car("car"), None, T0))
    made.facts.take(DriverChose("car", DriverChoice.OPT_OUT, T0))
    await made.dispatcher.settle(2)
    assert made.ports.backend.submitted == []
    await made.group_commit.close()
    await made.ports.store.close()
    made.statistics.close(T0, 0.0, {}, 0, ())


async def test_a_report_that_was_posted_before_the_vtn_went_away_is_remembered(tmp_path):
    made = agent(tmp_path)
    reporter, read = made.reporter, ReadEvent(event("SIMPLE", [1]).event, T0, 0.0)
    reporter._owed = {key: Owed(key, "e1", T0, read, ()) for key in ("a", "b")}
    with pytest.raises(VtnUnreachable):
        await reporter.pay(at(1), 1)
    assert [row.key for row in reporter.told()] == ["a"]
    assert await reporter.pay(at(2), 1) == 0
    assert [row.key for row in reporter.told()] == ["b"]
    made.statistics.close(T0, 0.0, {}, 0, ())


class Shortened(Lists):
    """A VTN whose event was cancelled by a window of no length: it is listed no more, and still there."""

    def __init__(self, raw, refused=None) -> None:
        super().__init__(raw)
        self.now, self.refused, self.asked = raw, refused, 0

    async def read(self, _kind, _key):
        self.asked += 1
        if self.refused is not None:
            raise self.refused
        return self.now


async def test_an_event_cancelled_by_a_window_of_no_length_asks_nothing_any_more_and_is_asked_for_once():
    raw = event("SIMPLE", [3]).event.model_dump(mode="json", by_alias=True, exclude_none=True)
    vtn = Shortened(raw, VtnRefused(500, {}))
    vtn_objects = VtnObjects(vtn, lambda _: None)
    await vtn_objects.poll(None, T0, 0.0)
    vtn.events = []
    assert not await vtn_objects.poll(None, at(30), 0.0)
    assert len(vtn_objects.events_for("bay")) == 1
    over = {
        "intervalPeriod": {"start": "0001-01-01", "duration": "PT0S"},
        "modificationDateTime": "2026-07-15T23:00:00Z",
    }
    vtn.now, vtn.refused = raw | over, None
    (changed,) = (await vtn_objects.poll(None, at(60), 0.0)).fresh
    assert changed.event.interval_period.duration == "PT0S"
    asked = vtn.asked
    assert not await vtn_objects.poll(None, at(90), 0.0)
    assert vtn.asked == asked
    assert set(vtn_objects.known) == {"e1"}
