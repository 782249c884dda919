"""What is Smartcar's own: late bodies, states as 409, the user's header, signed webhooks, levels in percent."""

import asyncio
import hashlib
import hmac
import json
from datetime import UTC, datetime

import aiohttp
import pytest
from public_rigs import PATIENCE_S, smartcar_rig
from recorded import EVENING, recording

from ven_adapters.contract import BackendError, DirectiveKind, DirectiveState, ErrorCode, Rung, SnapshotsSeen
from ven_adapters.oems.smartcar_shapes import judge, outcome, signals_of, snapshot_of_signals
from ven_adapters.transport.vendor_session import VendorRefusal

STOP = "/commands/charge/stop"


@pytest.fixture
async def rig(tmp_path):
    async with smartcar_rig(tmp_path) as made:
        yield made


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def test_a_command_is_told_by_the_late_body_and_not_by_the_202(rig):
    rig.cloud.fail(STOP, "late:command_success", acts=True)
    assert (await rig.submit(rig.directive("s-0"))).state is DirectiveState.ACCEPTED


@pytest.mark.parametrize(
    ("late", "code"),
    [
        ("asleep_409", ErrorCode.ASLEEP),
        ("unplugged_409", ErrorCode.NOT_PLUGGED),
        ("command_failure", ErrorCode.REJECTED_BY_VEHICLE),
        ("upstream_502", ErrorCode.OUTCOME_UNKNOWN),
    ],
)
async def test_a_late_body_may_contradict_its_202(rig, late, code):
    rig.cloud.fail(STOP, f"late:{late}")
    assert (await refused(rig.submit(rig.directive("s-0")))).code is code


async def test_half_a_late_body_tells_nothing_of_the_car(rig):
    rig.cloud.fail(STOP, "cut:command_success", acts=True)
    assert (await refused(rig.submit(rig.directive("s-0")))).code is ErrorCode.OUTCOME_UNKNOWN


async def test_every_call_for_a_car_names_its_user(rig):
    await rig.submit(rig.directive("s-0"))
    assert set(rig.cloud.users) == {"user-of-veh-synthetic-1"}


async def test_a_sleeping_car_answers_asleep_and_is_not_called_again_soon(rig):
    snapshot = await rig.backend.snapshot("s-0")
    rig.car().asleep = True
    capability = await rig.backend.capabilities("s-0")
    error = await refused(rig.backend.submit(rig.directive("s-0"), capability, snapshot))
    assert (error.code, error.retry_after_s) == (ErrorCode.ASLEEP, 900.0)
    assert len(rig.cloud.commands()) == 1


async def test_a_cap_is_a_pause_and_says_so(rig):
    ack = await rig.submit(rig.directive("s-0", DirectiveKind.CAP, power_w=3_500))
    assert (ack.setting.rung, ack.setting.power_w) == (Rung.PAUSE, 0)


@pytest.mark.parametrize("name", ["not_charging_409", "fully_charged_409"])
async def test_a_car_that_already_is_as_asked_is_a_success(rig, name):
    rig.cloud.fail(STOP, name)
    assert (await rig.submit(rig.directive("s-0"))).state is DirectiveState.ACCEPTED


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("charge_fault_409", ErrorCode.SCHEDULE_CONFLICT),
        ("unreachable_409", ErrorCode.UNREACHABLE),
        ("subscription_400", ErrorCode.SUBSCRIPTION_LAPSED),
        ("permission_400", ErrorCode.CONSENT_REVOKED),
        ("virtual_key_400", ErrorCode.REAUTH_REQUIRED),
        ("not_capable_501", ErrorCode.NOT_SUPPORTED),
        ("upstream_rate_limit_502", ErrorCode.RATE_LIMITED),
        ("upstream_502", ErrorCode.OUTCOME_UNKNOWN),
        ("billing_430", ErrorCode.QUOTA_EXHAUSTED),
    ],
)
def test_a_refusal_is_told_in_the_contracts_words(name, code):
    found = recording("smartcar", name)
    assert judge(VendorRefusal(found["status"], found["body"], None, writes=True)).code is code


def test_an_outcome_that_is_neither_success_nor_failure_is_unknown():
    body = recording("smartcar", "command_success")["body"]
    body["data"]["attributes"]["status"]["value"] = "SOMETHING_NEW"
    with pytest.raises(BackendError) as caught:
        outcome(body)
    assert caught.value.code is ErrorCode.OUTCOME_UNKNOWN


def test_levels_are_percent_and_units_are_converted():
    snapshot = snapshot_of_signals("s-0", signals_of(dated(recording("smartcar", "signals")["body"])), EVENING)
    assert (snapshot.soc_pct.value, snapshot.limit_soc_pct.value) == (48, 80)
    assert (snapshot.power_w.value, snapshot.energy_added_wh.value) == (7_100, 3_200)
    assert snapshot.time_to_complete_s.value == 205 * 60


def test_a_signal_without_the_cars_own_instant_says_nothing():
    raw = dated(recording("smartcar", "signals")["body"])
    for one in raw["data"]:
        one["meta"]["oemUpdatedAt"] = None
    assert snapshot_of_signals("s-0", signals_of(raw), EVENING).charge_state is None


def dated(raw, at=EVENING):
    for one in raw["data"]:
        one["meta"] = {"oemUpdatedAt": at.isoformat(), "retrievedAt": at.isoformat()}
    return raw


# --- webhooks ---------------------------------------------------------------------------------------------------------


def signed(body, secret="hush-hook"):
    return {"SC-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


async def post(port, body, headers):
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{port}/", data=body, headers=headers) as got,
    ):
        return got.status, await got.read()


def state_of(rig, **meta):
    body = recording("smartcar", "webhook_state")["body"]
    signals = dated(recording("smartcar", "signals")["body"], rig.clock.now())["data"]
    body["data"] |= {
        "vehicle": {"id": "veh-synthetic-1"},
        "signals": [one["attributes"] | {"meta": one["meta"]} for one in signals],
    }
    body["meta"] |= meta
    return json.dumps(body | {"eventId": "ev-1"}).encode()


@pytest.fixture
async def listening(tmp_path, unused_tcp_port, request):
    more = getattr(request, "param", {})
    async with smartcar_rig(tmp_path, webhook_secret="hush-hook", webhook_port=unused_tcp_port, **more) as rig:
        seen, source = [], rig.backend.events()

        async def listen():
            async for event in source:
                seen.append(event)  # noqa: PERF401 - the source has no end

        task = asyncio.create_task(listen())
        await answers(unused_tcp_port)
        yield rig, unused_tcp_port, seen
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.aclose()


async def answers(port):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def test_a_signed_state_is_pushed_once(listening):
    rig, port, seen = listening
    body = state_of(rig)
    for _ in range(2):
        assert (await post(port, body, signed(body)))[0] == 200
    async with asyncio.timeout(PATIENCE_S):
        while not seen:  # noqa: ASYNC110 - a list tells nobody that it grew
            await asyncio.sleep(0.01)
    assert [type(event) for event in seen] == [SnapshotsSeen]
    assert seen[0].snapshots[0].vehicle_ref == "s-0"


async def test_a_wrong_signature_is_refused_unread(listening):
    rig, port, seen = listening
    body = state_of(rig)
    assert (await post(port, body, signed(body, "another")))[0] == 401
    assert (await post(port, body, {}))[0] == 401
    assert seen == []


async def test_a_try_out_from_the_dashboard_is_passed_over(listening):
    rig, port, seen = listening
    body = state_of(rig, mode="TEST")
    assert (await post(port, body, signed(body)))[0] == 200
    assert seen == []


def verify_of(challenge):
    return json.dumps({"eventType": "VERIFY", "data": {"challenge": challenge}}).encode()


@pytest.mark.parametrize("listening", [{"webhook_verify_until": datetime(2100, 1, 1, tzinfo=UTC)}], indirect=True)
async def test_the_challenge_is_answered_though_it_comes_unsigned_while_the_operator_allows_it(listening):
    _, port, _ = listening
    body = json.dumps(recording("smartcar", "webhook_verify")["body"]).encode()
    status, answer = await post(port, body, {})
    expected = hmac.new(b"hush-hook", b"a-challenge", hashlib.sha256).hexdigest()
    assert (status, json.loads(answer)) == (200, {"challenge": expected})


@pytest.mark.parametrize("listening", [{}, {"webhook_verify_until": "2000-01-01T00:00:00Z"}], indirect=True)
async def test_no_challenge_is_answered_unless_the_operator_allows_it_for_now(listening, caplog):
    _, port, _ = listening
    status, answer = await post(port, verify_of("a-challenge"), {})
    assert (status, b"challenge" in answer) == (401, False)
    assert "webhook_verify_until" in caplog.text


@pytest.mark.parametrize("listening", [{"webhook_verify_until": "2100-01-01T00:00:00Z"}], indirect=True)
async def test_a_forged_body_is_no_challenge_so_nobody_gets_it_signed(listening):
    rig, port, seen = listening
    forged = state_of(rig).decode()
    for challenge in (forged, '{"eventType":"VEHICLE_STATE"}', "short", "a" * 129, "", 12345678, None, ["a-challenge"]):
        status, answer = await post(port, verify_of(challenge), {})
        assert (status, b"challenge" in answer and b"{" in answer) == (400, False), challenge
    signature = hmac.new(b"hush-hook", forged.encode(), hashlib.sha256).hexdigest()
    assert signature not in (await post(port, verify_of(forged), {}))[1].decode()
    assert seen == []


@pytest.mark.parametrize("listening", [{"speed": 1.0, "webhook_verify_until": "2100-01-01T00:00:00Z"}], indirect=True)
async def test_few_challenges_are_answered_in_a_minute(listening):
    _, port, _ = listening
    statuses = [(await post(port, verify_of(f"challenge-{number}"), {}))[0] for number in range(8)]
    assert statuses == [200] * 5 + [429] * 3


async def test_a_signed_body_of_another_shape_is_refused_without_harm(listening):
    _, port, seen = listening
    for body in (b"not json", b"[]", b'{"eventType": "VEHICLE_STATE"}'):
        assert (await post(port, body, signed(body)))[0] == 400
    assert seen == []


async def test_every_linked_car_is_subscribed_to_the_webhook_once(tmp_path):
    hooked = {"webhook_secret": "hush-hook", "webhook_id": "hook-1"}
    async with smartcar_rig(tmp_path, speed=9_000.0, **hooked) as rig:
        listening = asyncio.create_task(anext(rig.backend.events()))
        async with asyncio.timeout(PATIENCE_S):
            while len(rig.cloud.sent("/subscriptions")) < 6:  # noqa: ASYNC110 - the cloud's own state, watched from outside
                await asyncio.sleep(0.01)
        told = [one["attributes"] for one in rig.cloud.subscribed]
        assert sorted(one["vehicleId"] for one in told) == sorted(rig.cloud.cars)
        assert all(one == {**one, "webhookId": "hook-1", "userId": f"user-of-{one['vehicleId']}"} for one in told)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_car_that_a_push_named_before_it_was_listed_can_be_read(tmp_path):
    async with smartcar_rig(tmp_path) as rig:
        names = rig.backend._cars._cars._names
        assert names.ref(next(iter(rig.cloud.cars))) == "s-0"  # as the body of a webhook has it
        assert (await rig.backend.snapshot("s-0")).vehicle_ref == "s-0"
        assert (await rig.backend.capabilities("s-0")).model
