"""The simulated clouds answer in the shapes that were recorded: the same keys, values of the same kinds."""

import asyncio

import aiohttp
import pytest
from recorded import EVENING, recording

from ven_adapters.adapter_checks.stages.public import PublicStage, opened
from ven_adapters.simulator.public.vendor_cloud import VendorRefusalCause
from ven_adapters.simulator.public.vendors import APP, HOOK_SECRET, VENDORS
from ven_adapters.transport.http.webhooks import keyed_digest

# What a cloud says of a refusal, and the recording that shows it.
REFUSALS = {
    "tesla": {
        VendorRefusalCause.NO_TOKEN: "revoked_401",
        VendorRefusalCause.LOST: "internal_500",
        "asleep": "asleep_408",
        "rate_limited": "rate_limited_429",
        "invalid_grant": "invalid_grant",
    },
    "smartcar": {
        VendorRefusalCause.NO_TOKEN: "revoked_401",
        "asleep": "asleep_409",
        "charging": "charging_in_progress_409",
        "full": "fully_charged_409",
        "invalid_grant": "invalid_grant",
        "not_charging": "not_charging_409",
        "quota": "billing_430",
        "rate_limited": "rate_limited_429",
        "schedule_clobbered": "charge_fault_409",
        "token_revoked": "permission_400",
        "unplugged": "unplugged_409",
        "unreachable": "unreachable_409",
    },
    "enode": {
        VendorRefusalCause.NO_TOKEN: "revoked_401",
        "invalid_grant": "invalid_grant",
        "rate_limited": "rate_limited_429",
        "schedule_clobbered": "schedule_422",
    },
}
CASES = [(vendor, why, name) for vendor, rows in REFUSALS.items() for why, name in rows.items()]


def kind(value):
    """What a value is; whole and broken numbers are one kind."""
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def differences(recorded, told, where="body"):
    """Where two answers differ in keys or kinds; what is null on either side may be of any kind."""
    if recorded is None or told is None:
        return []
    if kind(recorded) != kind(told):
        return [f"{where}: {kind(told)}, not {kind(recorded)}"]
    if isinstance(recorded, dict):
        missing = [f"{where}.{key}: only on one side" for key in recorded.keys() ^ told.keys()]
        both = recorded.keys() & told.keys()
        return missing + [one for key in both for one in differences(recorded[key], told[key], f"{where}.{key}")]
    if isinstance(recorded, list) and recorded:
        return [one for item in told for one in differences(recorded[0], item, f"{where}[]")]
    return []


class Caller:
    """Whoever calls a stage's cloud with a token of its own."""

    def __init__(self, stage, http) -> None:
        self.stage, self.http, self.token = stage, http, ""
        self.native = stage.cloud.vendor_cloud.natives[0]

    async def grant(self):
        grants = self.stage.cloud.grants
        form = {"client_id": APP.client_id, "client_secret": APP.client_secret, "grant_type": "client_credentials"}
        if self.stage.cloud.owners:
            form |= {"grant_type": "refresh_token", "refresh_token": grants.refresh_token("owner-1")}
        async with self.http.post(f"{self.stage.url}/token", data=form) as answer:
            told = await answer.json()
        self.token = told["access_token"]
        return answer.status, told

    async def call(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "sc-user-id": f"user-of-{self.native}"}
        async with self.http.request(method, self.stage.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None


@pytest.fixture
async def caller(request):
    async with opened(request.param, 7) as stage, aiohttp.ClientSession() as http:
        made = Caller(stage, http)
        await made.grant()
        yield made


def same(vendor, name, found):
    expected = recording(vendor, name)
    assert found[0] == expected["status"]
    assert differences(expected["body"], found[1]) == []


@pytest.mark.parametrize("caller", sorted(VENDORS), indirect=True)
async def test_a_token_has_the_recorded_shape(caller):
    same(caller.stage.cloud.name, "token", await caller.grant())


@pytest.mark.parametrize("caller", ["tesla"], indirect=True)
async def test_teslas_answers_have_the_recorded_shapes(caller):
    car = f"/api/1/vehicles/{caller.native}"
    for method, path, name in (
        ("GET", "/api/1/vehicles", "vehicles"),
        ("GET", "/api/1/users/region", "region"),
        ("GET", car, "vehicle"),
        ("GET", f"{car}/vehicle_data", "vehicle_data"),
        ("POST", f"{car}/command/charge_start", "command_is_charging"),
        ("POST", f"{car}/command/charge_stop", "command_ok"),
        ("POST", f"{car}/wake_up", "wake_up"),
    ):
        same("tesla", name, await caller.call(method, path))


@pytest.mark.parametrize("caller", ["tesla"], indirect=True)
async def test_tesla_tells_which_cars_have_our_key(caller):
    status, told = await caller.call("POST", "/api/1/vehicles/fleet_status", {"vins": [caller.native, "nobody"]})
    assert (status, told["response"]["key_paired_vins"]) == (200, [caller.native])
    assert told["response"]["unpaired_vins"] == ["nobody"]


@pytest.mark.parametrize("caller", ["tesla"], indirect=True)
async def test_a_refresh_token_is_good_for_one_use(caller):
    grants, form = caller.stage.cloud.grants, {"grant_type": "refresh_token", "client_id": APP.client_id}
    form["refresh_token"] = grants.refresh_token("owner-1")
    assert grants.given(form)["refresh_token"] != form["refresh_token"]
    assert grants.given(form) is None


@pytest.mark.parametrize("caller", ["tesla"], indirect=True)
async def test_an_owners_token_opens_his_own_cars_only(caller):
    other = caller.stage.cloud.vendor_cloud.natives[1]
    assert (await caller.call("GET", f"/api/1/vehicles/{other}/vehicle_data"))[0] == 404


@pytest.mark.parametrize("caller", ["smartcar"], indirect=True)
async def test_smartcars_answers_have_the_recorded_shapes(caller):
    car = f"/vehicles/{caller.native}"
    same("smartcar", "connections", await caller.call("GET", "/connections"))
    found = await caller.call("GET", f"{car}/signals")
    assert found[0] == 200
    recorded = {one["id"]: one for one in recording("smartcar", "signals")["body"]["data"]}
    told = {one["id"]: one for one in found[1]["data"]}
    assert told.keys() == recorded.keys()
    assert [one for code in told for one in differences(recorded[code], told[code], code)] == []
    same("smartcar", "command_success", await caller.call("POST", f"{car}/commands/charge/stop"))
    for event in caller.stage.cloud.protocol.pushes([caller.stage.cloud.vendor_cloud.snapshot(0)], EVENING):
        assert differences(recording("smartcar", "webhook_state")["body"], event) == []


@pytest.mark.parametrize("caller", ["smartcar"], indirect=True)
async def test_smartcars_slow_commands_are_told_by_a_late_body(caller):
    caller.stage.arm("delayed")
    call = asyncio.create_task(caller.call("POST", f"/vehicles/{caller.native}/commands/charge/stop"))
    while not call.done():
        await caller.stage.advance(60.0)
    assert (await call)[0] == 202


@pytest.mark.parametrize("caller", ["enode"], indirect=True)
async def test_enodes_answers_have_the_recorded_shapes(caller):
    car = f"/vehicles/{caller.native}"
    same("enode", "vehicles", await caller.call("GET", "/vehicles"))
    same("enode", "vehicle", await caller.call("GET", car))
    found = await caller.call("POST", f"{car}/charging", {"action": "STOP"})
    same("enode", "action_pending", found)
    assert found[1]["state"] == "PENDING"
    for events in caller.stage.cloud.protocol.pushes([caller.stage.cloud.vendor_cloud.snapshot(0)], EVENING):
        assert differences(recording("enode", "webhook_updated")["body"], events) == []


@pytest.mark.parametrize("caller", ["enode"], indirect=True)
async def test_an_action_is_confirmed_when_the_car_has_obeyed(caller):
    path = f"/vehicles/{caller.native}/charging"
    first = (await caller.call("POST", path, {"action": "STOP"}))[1]
    again = (await caller.call("POST", path, {"action": "STOP"}))[1]
    assert (first["state"], again["id"]) == ("PENDING", first["id"])
    await caller.stage.advance(60.0)
    assert (await caller.call("GET", f"/vehicles/actions/{first['id']}"))[1]["state"] == "CONFIRMED"
    needless = (await caller.call("POST", path, {"action": "STOP"}))[1]
    assert needless["failureReason"]["type"] == "UNNECESSARY"


@pytest.mark.parametrize("caller", ["enode"], indirect=True)
async def test_an_action_for_a_sleeping_car_is_given_up(caller):
    caller.stage.arm("asleep")
    action = (await caller.call("POST", f"/vehicles/{caller.native}/charging", {"action": "STOP"}))[1]
    assert action["state"] == "PENDING"
    await caller.stage.advance(900.0)
    given_up = (await caller.call("GET", f"/vehicles/actions/{action['id']}"))[1]
    assert differences(recording("enode", "action_failed_no_response")["body"], given_up) == []
    assert given_up["failureReason"]["type"] == "NO_RESPONSE"


@pytest.mark.parametrize(("vendor", "why", "name"), CASES)
def test_a_refusal_has_the_recorded_shape(vendor, why, name, tmp_path):
    told, expected = PublicStage(vendor, 7, tmp_path).cloud.protocol.refusal(why, None), recording(vendor, name)
    assert (told.status, differences(expected["body"], told.body)) == (expected["status"], [])


def test_webhooks_are_signed_as_their_adapters_check_them():
    body = b"[]"
    assert VENDORS["smartcar"].sign(HOOK_SECRET, body) == {"SC-Signature": keyed_digest(HOOK_SECRET, body, "sha256")}
    assert VENDORS["enode"].sign(HOOK_SECRET, body) == {
        "x-enode-signature": f"sha1={keyed_digest(HOOK_SECRET, body, 'sha1')}"
    }
