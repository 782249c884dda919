"""What is Enode's own: actions that are not yet done, plans that own a car, currents, signed webhooks."""

import asyncio
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from public_rigs import PATIENCE_S, enode_rig
from recorded import EVENING, recording

from ven_adapters.contract import (
    BackendError,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    DriverChoice,
    ErrorCode,
    Reachability,
    Rung,
)
from ven_adapters.oems.enode import EVENTS, Enodes, EnodeSettings
from ven_adapters.oems.enode_shapes import action, capability_of, snapshot_of_vehicle
from ven_adapters.transport.http.webhooks import keyed_digest
from ven_adapters.transport.settings import read_table


@pytest.fixture
async def rig(tmp_path):
    async with enode_rig(tmp_path) as made:
        yield made


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


def vehicle(at=EVENING, **charge):
    body = recording("enode", "vehicle")["body"]
    body |= {"id": "car-synthetic-1", "lastSeen": at.isoformat()}
    body["chargeState"] |= {"lastUpdated": at.isoformat()} | charge
    body["location"]["lastUpdated"] = at.isoformat()
    return body


async def test_a_pending_action_is_accepted_and_not_in_force(rig):
    directive = rig.directive("e-0")
    ack = await rig.submit(directive)
    assert (ack.state, ack.backend_action_id) == (DirectiveState.ACCEPTED, "act-1")
    assert (await rig.backend.status("e-0", directive.directive_id)).state is DirectiveState.ACCEPTED


async def test_an_unnecessary_action_is_a_success(rig):
    rig.cloud.fail("/charging", "action_failed_unnecessary")
    assert (await rig.submit(rig.directive("e-0"))).state is DirectiveState.ACCEPTED


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("schedule_422", ErrorCode.SCHEDULE_CONFLICT),
        ("action_failed_conflict", ErrorCode.SCHEDULE_CONFLICT),
        ("action_failed_no_response", ErrorCode.UNREACHABLE),
        ("action_failed_failed_precondition", ErrorCode.REJECTED_BY_VEHICLE),
        ("action_failed_requested_cancellation", ErrorCode.THIRD_PARTY_INTERFERENCE),
        ("action_cancelled", ErrorCode.REJECTED_BY_VEHICLE),
    ],
)
async def test_a_refusal_is_told_in_the_contracts_words(rig, name, code):
    rig.cloud.fail("/charging", name)
    assert (await refused(rig.submit(rig.directive("e-0")))).code is code


async def test_opposite_actions_leave_one_after_the_other(rig):
    older = rig.directive("e-0", minutes=180)
    await rig.submit(older)
    await rig.submit(rig.directive("e-0", DirectiveKind.CHARGE))
    assert [body["action"] for body in rig.cloud.sent("/charging") if body] == ["STOP", "START"]


async def test_a_cap_counts_three_phases_because_none_are_told(rig):
    ack = await rig.submit(rig.directive("e-0", DirectiveKind.CAP, power_w=7_000))
    assert (ack.setting.rung, ack.setting.current_a, ack.setting.power_w) == (Rung.CURRENT, 10, 6_900)
    assert rig.cloud.sent("/max-current") == [{"maxCurrent": 10}]


async def test_a_car_out_of_reach_with_an_old_reading_is_asleep_after_a_hint(rig):
    rig.cloud.observed, rig.car().asleep = rig.clock.now(), True
    await rig.backend.snapshot("e-0")
    assert (await refused(rig.backend.snapshot("e-0", max_age_s=0))).code is ErrorCode.ASLEEP
    assert len(rig.cloud.sent("/refresh-hint")) == 1


def test_a_car_without_the_capability_is_not_asked():
    raw = vehicle()
    raw["capabilities"]["setMaxCurrent"]["isCapable"] = raw["capabilities"]["stopCharging"]["isCapable"] = False
    capability = capability_of(raw)
    assert (capability.current, capability.can_stop, capability.can_start) == (None, False, True)


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("PLUGGED_IN:STOPPED", ChargeState.STOPPED),
        ("PLUGGED_IN:NO_POWER", ChargeState.NO_POWER),
        ("UNPLUGGED", ChargeState.UNPLUGGED),
        ("SOMETHING_NEW", ChargeState.UNKNOWN),
    ],
)
def test_a_delivery_state_is_told_in_the_contracts_words(told, state):
    assert snapshot_of_vehicle("e-0", vehicle(powerDeliveryState=told), None, EVENING).charge_state.value is state


def test_discharge_is_a_power_below_zero():
    snapshot = snapshot_of_vehicle(
        "e-0", vehicle(powerDeliveryState="PLUGGED_IN:DISCHARGING", chargeRate=5.5), None, EVENING
    )
    assert snapshot.power_w.value == -5_500


def test_out_of_reach_is_not_unplugged():
    raw = vehicle() | {"isReachable": False}
    snapshot = snapshot_of_vehicle("e-0", raw, None, EVENING)
    assert (snapshot.reachability.value, snapshot.plugged.value) == (Reachability.ASLEEP, "yes")


def test_an_action_of_another_shape_is_an_unknown_outcome():
    with pytest.raises(BackendError) as caught:
        action({"data": None})
    assert caught.value.code is ErrorCode.OUTCOME_UNKNOWN


def test_the_signature_is_sha1_over_the_raw_body():
    body = json.dumps(recording("enode", "webhook_updated")["body"]).encode()
    assert keyed_digest("hush", body, "sha1") == hmac.new(b"hush", body, hashlib.sha1).hexdigest()


def test_a_withdrawn_consent_is_told_for_each_of_the_drivers_cars():
    settings = read_table(
        EnodeSettings,
        {"url": "http://x", "token_url": "http://x", "client_id": "a", "client_secret": "b", "pseudonym_secret": "c"},
    )
    cars = Enodes(settings)
    updated = recording("enode", "webhook_updated")["body"]
    updated[0]["vehicle"] = vehicle(settings.clock.now())
    (seen,) = cars._meaning(updated).events
    (chose,) = cars._meaning(recording("enode", "webhook_invalidated")["body"]).events
    assert (chose.vehicle_ref, chose.choice) == (seen.snapshots[0].vehicle_ref, DriverChoice.CONSENT_WITHDRAWN)
    assert chose.vehicle_ref.startswith("enode-")


async def test_a_lost_consent_of_cars_that_are_not_known_yet_is_taken_when_it_is_told_again(rig):
    cars = Enodes(read_table(EnodeSettings, rig.settings))
    lost = recording("enode", "webhook_invalidated")["body"]
    error = await refused(asyncio.to_thread(cars._meaning, lost))
    assert error.code is ErrorCode.BACKEND_TRANSIENT
    assert [car.ref async for car in cars.refs()] == ["e-0", "e-1"]
    lost[0]["user"]["id"] = next(iter(cars._users.values()))
    assert {one.choice for one in cars._meaning(lost).events} == {DriverChoice.CONSENT_WITHDRAWN}
    await cars.close()


async def test_a_push_that_comes_late_does_not_take_the_place_of_a_newer_reading(rig):
    cars, now = Enodes(read_table(EnodeSettings, rig.settings)), rig.clock.now()
    updated = recording("enode", "webhook_updated")["body"]
    for minutes, level in ((1, 60), (30, 50)):
        updated[0]["vehicle"] = vehicle(now - timedelta(minutes=minutes), batteryLevel=level)
        (seen,) = cars._meaning(updated).events
        assert seen.snapshots[0].soc_pct.value == level
    assert (await cars.read(seen.snapshots[0].vehicle_ref, 24 * 3600)).soc_pct.value == 60
    await cars.close()


async def test_a_lost_consent_that_is_told_again_is_as_old_as_it_was(rig):
    cars = rig.backend._cars._cars
    cars._users["e-0"] = "user-1"
    (told,) = recording("enode", "webhook_invalidated")["body"]
    (chose,) = cars._meaning([{**told, "createdAt": "2020-01-01T00:00:00Z"}]).events
    assert chose.at.year == 2020


HOOKED = {"webhook_secret": "hush-hook", "webhook_url": "https://cars.example/enode"}


async def until(holds):
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - the cloud's own state, watched from outside
            await asyncio.sleep(0.01)


async def test_the_webhook_is_made_tried_and_made_anew_once_enode_gives_it_up(tmp_path):
    async with enode_rig(tmp_path, speed=36_000.0, **HOOKED) as rig:
        listening = asyncio.create_task(anext(rig.backend.events()))
        await until(lambda: rig.cloud.sent("/test"))
        (made,) = rig.cloud.hooks
        assert (made["url"], made["secret"], tuple(made["events"])) == (HOOKED["webhook_url"], "hush-hook", EVENTS)
        looks = len(rig.cloud.sent("/webhooks"))
        await until(lambda: len(rig.cloud.sent("/webhooks")) > looks + 2)
        assert [hook["id"] for hook in rig.cloud.hooks] == [made["id"]]
        made["isActive"] = False
        await until(lambda: [hook for hook in rig.cloud.hooks if hook["isActive"]])
        assert len(rig.cloud.hooks) == 1
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_cars_that_are_found_and_cars_that_are_gone_are_heard_of(rig):
    cars = Enodes(read_table(EnodeSettings, rig.settings))
    told = recording("enode", "webhook_updated")["body"]
    told[0] |= {"event": "user:vehicle:discovered", "vehicle": vehicle(rig.clock.now())}
    (seen,) = cars._meaning(told).events
    assert seen.snapshots[0].vehicle_ref == "e-0"
    told[0] |= {"event": "user:vehicle:deleted", "createdAt": rig.clock.now().isoformat()}
    (gone,) = cars._meaning(told).events
    assert (gone.vehicle_ref, gone.choice) == ("e-0", DriverChoice.CONSENT_WITHDRAWN)
    await cars.close()
