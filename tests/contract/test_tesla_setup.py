"""Teslas as they are set up: keys, software, the domain, the proxy's own authority, and the telemetry configuration."""

import asyncio
import contextlib
import copy
import ssl

import aiohttp
import pytest
from aiohttp import web
from authority import Authority
from recorded import hurried
from telemetry_rig import FIRST, SECOND, broker_at, telemetry_rig

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.oems.tesla import backend as tesla
from ven_adapters.oems.tesla.status import SKIPPED

DAY_S = 86_400
HOST = "telemetry.example.org"
CONFIG = "/fleet_telemetry_config"


@pytest.fixture
async def rig(tmp_path):
    async with telemetry_rig(tmp_path, domain="ev.example.org") as made:
        yield made


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broker")
    with broker_at(folder, Authority(folder)) as made:
        yield made


@contextlib.asynccontextmanager
async def arming_rig(tmp_path, broker, *, hostname=HOST, **more):
    """Cars that are to be given their configuration; rounds are made by the test alone."""
    async with telemetry_rig(tmp_path, broker, hostname=hostname, **more) as made:
        made.arming.keep_armed = asyncio.Event().wait
        await made.up()
        yield made


def sent(rig):
    """The configurations that were sent: which cars each was for."""
    return [body["vins"] for body in rig.cloud.sent("/vehicles/fleet_telemetry_config")]


def asked(rig):
    return [path for method, path in rig.cloud.requests if method == "GET" and path.endswith(CONFIG)]


async def faults(rig):
    return {one.vehicle_ref: one for one in await rig.backend.setup_faults()}


# --- keys, software, the domain --------------------------------------------------------------------------


async def test_cars_that_are_set_up_have_no_fault_and_are_asked_about_once_a_day(rig):
    assert [one.ref async for one in rig.backend.vehicles()] == ["t-0", "t-1"]
    for _ in range(5):
        assert await rig.backend.setup_faults() == ()
    assert len(rig.cloud.sent("/fleet_status")) == 1
    await rig.clock.advance(DAY_S + 60)
    await rig.backend.setup_faults()
    assert len(rig.cloud.sent("/fleet_status")) == 2
    assert {vin for body in rig.cloud.sent("/fleet_status") for vin in body["vins"]} == {FIRST, SECOND}


async def test_a_car_without_our_key_can_do_nothing_and_says_what_to_do_until_the_key_is_in_it(rig, caplog):
    rig.cloud.setups[FIRST].paired = False
    capability = await rig.backend.capabilities("t-0")
    assert (capability.can_stop, capability.can_start, capability.current, capability.limit_soc) == (False,) * 2 + (
        None,
    ) * 2
    fault = (await faults(rig))["t-0"]
    assert (fault.takes_no_command, "https://tesla.com/_ak/ev.example.org" in fault.sentence) == (True, True)
    assert f"t-0 {fault.sentence}" in caplog.text
    assert FIRST not in caplog.text
    assert (await rig.backend.capabilities("t-1")).can_stop
    rig.cloud.setups[FIRST].paired = True
    await rig.clock.advance(3_660)
    assert await faults(rig) == {}
    assert (await rig.backend.capabilities("t-0")).can_stop


@pytest.mark.parametrize(
    ("paired", "told", "words"),
    [
        (False, {"total_number_of_keys": 20}, "holds 20 keys: its owner removes one"),
        (False, {"vehicle_command_protocol_required": False}, ""),
        (True, {"firmware_version": "2023.44.30"}, ""),
        (True, {"safety_screen_streaming_toggle_enabled": False}, ""),
    ],
)
async def test_what_keeps_a_car_from_its_commands_is_said_and_nothing_else(rig, paired, told, words):
    rig.cloud.setups[FIRST].paired, rig.cloud.setups[FIRST].told = paired, told
    await rig.backend.capabilities("t-0")
    found = await faults(rig)
    assert (words in found["t-0"].sentence) if words else found == {}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"firmware_version": "2024.20.9"}, "its software 2024.20: its owner installs 2024.26 or later"),
        ({"fleet_telemetry_version": None}, "its software has no telemetry"),
        ({"safety_screen_streaming_toggle_enabled": False}, 'allows "Third-Party App Data Streaming"'),
        ({"firmware_version": "2024.8.9"}, "its software 2024.8"),
        ({"firmware_version": "develop"}, ""),
    ],
)
async def test_what_keeps_a_car_from_streaming_is_said_and_keeps_it_from_no_command(tmp_path, broker, told, words):
    async with telemetry_rig(tmp_path, broker) as rig:
        await rig.up()
        rig.cloud.setups[FIRST].told = told
        assert (await rig.backend.capabilities("t-0")).can_stop
        found = await faults(rig)
        assert (words in found["t-0"].sentence) if words else found == {}
        assert not any(one.takes_no_command for one in found.values())


async def test_a_domain_that_is_not_registered_concerns_every_car(rig):
    rig.cloud.fail("/public_key", "public_key_404")
    (fault,) = await rig.backend.setup_faults()
    assert (fault.vehicle_ref, fault.takes_no_command) == (None, False)
    assert "ev.example.org is not registered with Tesla here: POST /api/1/partner_accounts" in fault.sentence.replace(
        ";", ":"
    )
    await rig.clock.advance(3_660)
    assert await rig.backend.setup_faults() == ()


@pytest.mark.parametrize("name", ["internal_500", "rate_limited_429", "missing_response"])
async def test_a_look_that_fails_keeps_no_car_from_its_commands(rig, name):
    rig.cloud.fail("/fleet_status", name, times=10)
    assert (await rig.backend.capabilities("t-0")).can_stop
    assert await rig.backend.setup_faults() == ()


async def test_who_links_an_owner_is_told_what_his_cars_need(tmp_path):
    async with telemetry_rig(tmp_path, domain="ev.example.org") as rig:
        rig.cloud.setups[FIRST].paired = False
        talk = tesla.consent(rig.settings, "owner-1")
        assert talk.afterwards.startswith("the owner adds our key at https://tesla.com/_ak/ev.example.org")
        assert await talk.cars() == ["t-0", "t-1"]
        assert talk.afterwards.startswith("t-0 takes no command until our key is in it")
        await talk.close()


@pytest.mark.parametrize("answer", [None, "internal_500"])
async def test_cars_of_an_owner_who_is_forgotten_are_told_to_stream_no_more(tmp_path, broker, answer):
    async with arming_rig(tmp_path, broker) as rig:
        await rig.arming.look()
        if answer is not None:
            rig.cloud.fail(CONFIG, answer, times=10)
        talk = tesla.consent(rig.settings, "owner-1")
        await talk.forget()
        await talk.close()
        assert not talk.held()
        assert [setup.config is None for setup in rig.cloud.setups.values()] == [answer is None] * 2


# --- the command proxy and its own authority -------------------------------------------------------------


@contextlib.asynccontextmanager
async def tls_proxy(authority, cloud):
    """What stands for Tesla's command proxy: its own certificate in front, Tesla's cloud behind."""
    pair = authority.issue("proxy", server=True)
    seen = []

    async def forward(request):
        seen.append((request.method, request.path))
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                request.method,
                f"{cloud.url}{request.path_qs}",
                data=await request.read(),
                headers={"Authorization": request.headers["Authorization"]},
            ) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", forward)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.pem, pair.key_file)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("trusted", ["its own", "another", None])
async def test_a_proxy_with_a_certificate_of_its_own_is_called_where_its_authority_is_named_and_nowhere_else(
    tmp_path, trusted
):
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    file = {"its own": ours.file, "another": other.file}.get(trusted)
    async with telemetry_rig(tmp_path / "state") as rig, tls_proxy(ours, rig.cloud) as (url, seen):
        ca = {} if file is None else {"ca": str(file)}
        proxied = tesla.backend(rig.settings | {"url": url} | ca)
        try:
            if trusted == "its own":
                assert (await proxied.snapshot("t-0")).soc_pct.value == 48
                assert ("GET", f"/api/1/vehicles/{FIRST}/vehicle_data") in seen
                return
            with pytest.raises(BackendError) as caught:
                await proxied.snapshot("t-0")
            assert (caught.value.code, seen) == (ErrorCode.BACKEND_TRANSIENT, [])
        finally:
            await proxied.close()


# --- the telemetry configuration -------------------------------------------------------------------------


async def test_cars_are_given_a_configuration_once_through_the_proxy(tmp_path, broker):
    ca = tmp_path / "server-ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\nsynthetic\n-----END CERTIFICATE-----\n")
    async with arming_rig(tmp_path, broker) as rig:
        rig.settings["telemetry"]["ca"] = str(ca)
        twin = tesla.backend(rig.settings)
        arming = twin._cars._cars._arming  # type: ignore[attr-defined]
        assert [one.ref async for one in twin.vehicles()] == ["t-0", "t-1"]
        await arming.look()
        (body,) = rig.cloud.sent("/vehicles/fleet_telemetry_config")
        assert body["vins"] == [FIRST, SECOND]
        assert (body["config"]["hostname"], body["config"]["port"]) == (HOST, 443)
        assert body["config"]["ca"] == ca.read_text().strip()
        state = body["config"]["fields"]["DetailedChargeState"]
        assert state == {"interval_seconds": 5, "resend_interval_seconds": 180}
        await rig.clock.advance(2 * 3_600)
        await arming.look()
        assert (len(sent(rig)), await twin.setup_faults()) == (1, ())  # type: ignore[attr-defined]
        await twin.close()


@pytest.mark.parametrize("change", [None, "fields", "hostname", "ca"])
async def test_a_configuration_that_is_lost_or_another_is_made_anew(tmp_path, broker, change):
    async with arming_rig(tmp_path, broker) as rig:
        await rig.arming.look()
        config = copy.deepcopy(rig.cloud.setups[FIRST].config)
        if change == "fields":
            del config["fields"]["BatteryLevel"]
        elif change is not None:
            config[change] = "another"
        rig.cloud.setups[FIRST].config = None if change is None else config
        await rig.clock.advance(2 * 3_600)
        await rig.arming.look()
        assert sent(rig) == [[FIRST, SECOND], [FIRST]]
        assert rig.cloud.setups[FIRST].config == rig.cloud.setups[SECOND].config


async def test_members_that_tesla_adds_change_nothing(tmp_path, broker):
    async with arming_rig(tmp_path, broker) as rig:
        await rig.arming.look()
        rig.cloud.setups[FIRST].config |= {"aud": "com.tesla.fleet.TelemetryClient", "alert_types": ["service"]}
        await rig.clock.advance(2 * 3_600)
        await rig.arming.look()
        assert len(sent(rig)) == 1


async def test_cars_that_stream_are_not_asked_and_one_that_falls_silent_is(tmp_path, broker):
    async with arming_rig(tmp_path, broker) as rig:
        await rig.arming.look()
        rig.cloud.requests.clear()
        rig.cloud.bodies.clear()
        for _ in range(10):
            await rig.stream(BatteryLevel=50)
            await rig.stream(BatteryLevel=50, vin=SECOND)
            await rig.clock.advance(3 * 3_600)
            await rig.arming.look()
        assert asked(rig) == []
        for _ in range(10):
            await rig.stream(BatteryLevel=50)
            await rig.clock.advance(3 * 3_600)
            await rig.arming.look()
        assert {path.split("/")[4] for path in asked(rig)} == {SECOND}
        assert len(asked(rig)) <= 3


async def test_a_new_life_asks_no_car_that_streams_what_it_was_given_and_every_car_after_a_change(tmp_path, broker):
    async with arming_rig(tmp_path, broker) as rig:
        await rig.arming.look()
    async with arming_rig(tmp_path, broker) as rig:
        await rig.stream(BatteryLevel=50)
        await rig.stream(BatteryLevel=50, vin=SECOND)
        await rig.arming.look()
        assert asked(rig) == []
    async with arming_rig(tmp_path, broker, hostname="elsewhere.example.org") as rig:
        await rig.stream(BatteryLevel=50)
        await rig.arming.look()
        assert len(asked(rig)) == 2
        assert sent(rig) == [[FIRST, SECOND]]


@pytest.mark.parametrize("reason", sorted(SKIPPED))
async def test_a_car_that_tesla_leaves_out_says_why_and_is_tried_again(tmp_path, broker, reason):
    async with arming_rig(tmp_path, broker) as rig:
        rig.cloud.setups[FIRST].skipped = reason
        await rig.arming.look()
        assert (await faults(rig))["t-0"].sentence == SKIPPED[reason]
        rig.cloud.setups[FIRST].skipped = ""
        await rig.clock.advance(2 * 3_600)
        await rig.arming.look()
        assert await faults(rig) == {}
        assert sent(rig) == [[FIRST, SECOND], [FIRST]]


async def test_a_reason_that_nobody_documented_is_said_in_its_own_word(tmp_path, broker):
    async with arming_rig(tmp_path, broker) as rig:
        rig.cloud.setups[FIRST].skipped = "unsupported_mood"
        await rig.arming.look()
        assert "leaves it out as 'unsupported_mood'" in (await faults(rig))["t-0"].sentence


@pytest.mark.parametrize(
    ("more", "reason"), [({"limit_reached": True}, "max_configs"), ({"key_paired": False}, "missing_key")]
)
async def test_a_car_that_cannot_take_a_configuration_is_not_sent_one(tmp_path, broker, more, reason):
    async with arming_rig(tmp_path, broker) as rig:
        rig.cloud.setups[FIRST].more = more
        await rig.arming.look()
        assert (await faults(rig))["t-0"].sentence == SKIPPED[reason]
        assert sent(rig) == [[SECOND]]


async def test_a_car_that_has_not_taken_its_configuration_for_a_day_says_so(tmp_path, broker):
    async with arming_rig(tmp_path, broker) as rig:
        rig.cloud.setups[FIRST].synced = False
        await rig.arming.look()
        assert await faults(rig) == {}
        for _ in range(9):
            await rig.clock.advance(4 * 3_600)
            await rig.arming.look()
        assert "has not taken its telemetry configuration" in (await faults(rig))["t-0"].sentence
        assert len(sent(rig)) == 1


async def test_a_silent_car_that_reports_an_error_says_which(tmp_path, broker):
    async with arming_rig(tmp_path, broker) as rig:
        await rig.arming.look()
        rig.cloud.setups[FIRST].errors = True
        await rig.clock.advance(2 * 3_600)
        await rig.arming.look()
        assert "reports 'config_manager_error'" in (await faults(rig))["t-0"].sentence


async def test_calls_that_fail_are_made_again_later_and_hide_no_other_car(tmp_path, broker):
    async with arming_rig(tmp_path, broker) as rig:
        rig.cloud.fail("/vehicles/fleet_telemetry_config", "unsigned_403")
        await rig.arming.look()
        assert rig.cloud.setups[FIRST].config is None
        await rig.clock.advance(2 * 3_600)
        await rig.arming.look()
        assert rig.cloud.setups[FIRST].config is not None


async def test_a_running_adapter_gives_cars_their_configuration_by_itself(tmp_path, broker):
    async with telemetry_rig(tmp_path, broker, hostname=HOST) as rig:
        await rig.up()
        await rig.clock.advance(300)
        await rig.until(lambda: sent(rig) == [[FIRST, SECOND]])
        await rig.clock.advance(3_600)
        await rig.until(lambda: len(asked(rig)) > 2)
        assert len(sent(rig)) == 1


async def test_without_a_hostname_cars_are_configured_by_somebody_else(tmp_path, broker):
    async with telemetry_rig(tmp_path, broker) as rig:
        await rig.up()
        assert rig.arming is None


# --- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "telemetry.stream: is required"),
        ({"stream": "mqtt://far.example:1"}, "telemetry.stream: must be mqtts://"),
        ({"stream": "mqtts://x:1", "stream_ca": "nowhere.pem"}, "telemetry.stream_ca: is no file"),
        ({"stream": "mqtts://x:1", "topic_base": "a/+"}, "telemetry.topic_base: must be"),
        ({"stream": "mqtts://x:1", "port": 70_000}, "telemetry.port: must be"),
        ({"stream": "mqtts://x:1", "ca": "nowhere.pem"}, "telemetry.ca: is no file"),
        ({"stream": "mqtts://x:1", "topics": "a"}, "telemetry.topics: is not a setting"),
        (3, "telemetry: must be a table"),
    ],
)
def test_a_table_that_is_wrong_is_refused_by_its_key(tmp_path, table, words):
    given = {"url": "http://x", "token_url": "http://x", "client_id": "us", "pseudonym_secret": "hush"}
    with pytest.raises(BackendError) as caught:
        tesla.backend(given | {"state": tmp_path, "telemetry": table, "clock": hurried()})
    assert words in caught.value.detail


def test_a_key_in_place_of_the_servers_certificates_is_refused(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    given = {"url": "http://x", "token_url": "http://x", "client_id": "us", "pseudonym_secret": "hush"}
    with pytest.raises(BackendError, match="of no key"):
        tesla.backend(given | {"state": tmp_path, "telemetry": {"stream": "mqtts://x:1", "ca": str(key)}})
