"""VENs below us that do what libraries do not: refusals, odd identifiers, EiOpt, push, TLS, signatures, attacks."""

import asyncio
import dataclasses
import resource
import ssl
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from authority import Authority
from peers20b import RawVen, eventually, files_of, free_port, now
from rigs20b import CONTEXT, downstream_settings, event_in, program_for, reported, serving
from vtn_process import fresh

from vtn.client import Client
from vtn.errors import CannotStart, ConfigError
from vtn.oadr20b.codec.decode import decode
from vtn.oadr20b.codec.encode import metadata_values, opt_values, pending_values, response_values
from vtn.oadr20b.codec.messages import (
    EiOpt,
    EiResponse,
    EiTarget,
    ItemBase,
    MetadataReport,
    OadrReport,
    OptWindow,
    ReportDescription,
    ReportPoint,
    ResourceStatus,
)
from vtn.oadr20b.downstream import run
from vtn.oadr20b.downstream.vens import VenProvision, change_ven
from vtn.oadr20b.store.tables import VEN_OUTBOX
from vtn.wire.enumerations import ObjectType

POWER = ItemBase("powerReal", "RealPower", "W", "k", (60.0, 240.0, True))
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def server(launch):
    with launch() as made:
        yield made


@pytest.fixture
async def bl(server):
    async with Client(server.url, "bl", server.secrets["bl"]) as client:
        yield client


@pytest.fixture
def target():
    return fresh("t")


@pytest.fixture
async def at(server, tmp_path, target):
    """A server for one VEN, `0042`, without TLS."""
    provision = VenProvision("0042", "depot", targets=(target,), resources=(("bay", ()),), nameplate_kw=50.0)
    async with serving(downstream_settings(server, tmp_path, history_hours=2), provision) as made:
        await eventually(lambda: made.context.watch.standing_id)
        yield made


@pytest.fixture
async def ven(at):
    """The VEN, registered."""
    async with RawVen(at.url) as made:
        await made.register("depot")
        yield made


# --- registration and codes (rows 1, 8) -------------------------------------------------------------------------------


async def test_who_is_not_provisioned_is_refused_with_463_in_the_message_that_belongs(at):
    async with RawVen(at.url, "nobody") as stranger:
        reply = await stranger.register("nobody")
        assert (reply.kind, reply.response.code, reply.registration_id) == ("oadrCreatedPartyRegistration", 463, None)
        assert (await stranger.poll()).response.code == 463
        asked = await stranger.say("EiEvent", "oadrRequestEvent", request_id="r")
        assert (asked.kind, asked.response.code, asked.events) == ("oadrDistributeEvent", 463, ())
        for service, kind, values, expected in (
            ("EiReport", "oadrRegisterReport", {"reports": []}, "oadrRegisteredReport"),
            ("EiReport", "oadrUpdateReport", {"reports": []}, "oadrUpdatedReport"),
            ("EiOpt", "oadrCancelOpt", {"opt_id": "o"}, "oadrCanceledOpt"),
        ):
            reply = await stranger.say(service, kind, request_id="r", **values)
            assert (reply.kind, reply.response.code) == (expected, 463)


async def test_a_ven_that_registers_again_keeps_its_ids_and_wrong_ones_are_refused_with_452(at):
    async with RawVen(at.url) as ven:
        queried = await ven.say("EiRegisterParty", "oadrQueryRegistration", request_id="q")
        assert (queried.vtn_id, queried.poll_freq, queried.registration_id) == ("EVTN", timedelta(seconds=1), None)
        first = await ven.register("depot")
        assert (first.ven_id, first.response.request_id) == ("0042", "r1")
        assert (await ven.register("depot")).registration_id == first.registration_id
        wrong = await ven.register("depot", registration_id="another")
        assert wrong.response.code == 452
        wrong = await ven.say(
            "EiRegisterParty", "oadrCancelPartyRegistration", request_id="c", registration_id="another"
        )
        assert (wrong.kind, wrong.response.code) == ("oadrCanceledPartyRegistration", 452)
        ended = await ven.say(
            "EiRegisterParty", "oadrCancelPartyRegistration", request_id="c", registration_id=first.registration_id
        )
        assert (ended.response.code, ended.registration_id) == (200, first.registration_id)
        assert (await ven.poll()).kind == "oadrRequestReregistration"


async def test_an_operator_ends_a_registration_at_the_next_poll(at, ven):
    await change_ven(at.context.store, "depot", cancelled_at=now())

    async def told():
        return (await ven.poll()).kind == "oadrCancelPartyRegistration"

    await eventually(told)
    held = at.context.registry.vens["0042"]
    response = response_values(EiResponse())
    values = {"response": response, "registration_id": held.registration.registration_id}
    body = ven.writer.write("oadrCanceledPartyRegistration", now(), ven_id="0042", **values)
    assert await ven.post("EiRegisterParty", body) == (200, b"")
    assert not held.registered


async def test_a_message_at_the_wrong_service_is_459_and_one_of_another_profile_too(at, ven):
    assert (await ven.say("EiOpt", "oadrPoll")).response.code == 459
    said = {"profile": "2.0a"}
    assert (await ven.register("depot", registration=said)).response.code == 459


@pytest.mark.parametrize("odd", ["0042", "1.2.3", "true", "a b", "x" * 128])
async def test_odd_identifiers_are_kept(server, tmp_path, bl, target, odd):
    async with serving(downstream_settings(server, tmp_path), VenProvision(odd, odd, targets=(target,))) as at:  # noqa: SIM117 - the second needs the first
        async with RawVen(at.url) as ven:
            assert (await ven.register(odd)).ven_id == odd
            program_id = await program_for(bl, fresh("p"), target)
            made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now()))
            (event,) = await next_events(ven)
            assert event.targets == (EiTarget("venID", odd),)
            assert (await ven.answer(made["id"], 0)).response.code == 200


# --- events (rows 2, 3, 4, 5) -----------------------------------------------------------------------------------------


async def next_events(ven):
    """The events of the next list that a poll brings."""

    async def listed():
        reply = await ven.poll()
        return reply.events if reply.kind == "oadrDistributeEvent" else None

    return await eventually(listed)


async def test_an_event_goes_from_far_to_active_with_its_current_value(at, ven, bl, target):
    program_id = await program_for(bl, target, target, X_20B_MARKET_CONTEXT=CONTEXT, X_20B_RAMP_UP="PT1M")
    begins = now().replace(microsecond=0) + timedelta(seconds=62)
    content = event_in(program_id, "IMPORT_CAPACITY_LIMIT", 25.0, 50.0, start=begins, minutes=10)
    content["intervalPeriod"]["randomizeStart"] = "PT1S"
    await bl.create(ObjectType.EVENT, content)
    (far,) = await next_events(ven)
    assert (far.status, far.start_after, far.start) == ("far", timedelta(seconds=2), begins - timedelta(seconds=1))
    assert [one.current_value for one in far.signals] == [0.0, 0.0]

    async def status():
        reply = await ven.say("EiEvent", "oadrRequestEvent", request_id="r")
        return reply.events[0].status == "near"

    await eventually(status)
    content["intervalPeriod"]["start"] = (now() - MINUTE).isoformat()
    event_id = far.event_id
    await bl.replace(ObjectType.EVENT, event_id, content)
    (active,) = await next_events(ven)
    assert (active.status, active.modification) == ("active", 1)
    assert {one.name: one.current_value for one in active.signals} == {"SIMPLE": 1.0, "LOAD_CONTROL": 0.5}


async def test_answers_are_judged_one_by_one(at, ven, bl, target):
    program_id = await program_for(bl, target, target)
    made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now()))
    await next_events(ven)
    assert (await ven.answer(made["id"], 7)).response.code == 450
    assert (await ven.answer("unknown", 0)).response.code == 452
    assert (await ven.poll()).kind == "oadrResponse", "what was sent just now is not sent with every poll"
    assert (await ven.answer(made["id"], 0, "optOut")).response.code == 200
    assert await eventually(lambda: reported(bl, made["id"], "X_20B_OPT")) == ["optOut"]
    at.context.registry.vens["0042"].events[made["id"]] = dataclasses.replace(
        at.context.registry.vens["0042"].events[made["id"]], ends_at=now() - MINUTE
    )
    assert (await ven.answer(made["id"], 0)).response.code == 200, "what is over needs no answer, and gets no error"


async def test_a_reply_limit_is_kept_and_a_list_begins_with_the_most_urgent(at, ven, bl, target):
    program_id = await program_for(bl, target, target)
    for priority in (3, 0, 1):
        await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now(), priority=priority))

    async def all_there():
        return len((await ven.say("EiEvent", "oadrRequestEvent", request_id="r")).events) == 3

    await eventually(all_there)
    reply = await ven.say("EiEvent", "oadrRequestEvent", request_id="r", reply_limit=2)
    assert [one.priority for one in reply.events] == [1, 2]


async def test_what_was_not_acknowledged_is_sent_again_and_a_cancellation_until_it_is(server, tmp_path, bl, target):
    settings = downstream_settings(server, tmp_path, resend_s=0.5)
    async with serving(settings, VenProvision("ven-1", "depot", targets=(target,))) as at, RawVen(at.url) as ven:
        await ven.register("depot")
        program_id = await program_for(bl, target, target)
        made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now()))
        await next_events(ven)
        assert [one.modification for one in await next_events(ven)] == [0]
        await bl.delete(ObjectType.EVENT, made["id"])
        for _ in range(2):

            async def cancelled():
                events = await next_events(ven)
                return events[0].status == "cancelled" and events[0].modification == 1

            await eventually(cancelled)
        await ven.answer(made["id"], 1)
        assert (await ven.say("EiEvent", "oadrRequestEvent", request_id="r")).events == ()


async def test_opts_of_resources_and_schedules_are_reports_and_go_when_they_are_taken_back(at, ven, bl, target):
    program_id = await program_for(bl, target, target)
    made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now()))
    await next_events(ven)
    bay = (EiTarget("resourceID", "bay"),)
    out = EiOpt("o1", "optOut", "mustRun", now(), made["id"], 0, None, (), bay)
    reply = await ven.say("EiOpt", "oadrCreateOpt", **opt_values(out, "r"))
    assert (reply.kind, reply.opt_id, reply.response.code) == ("oadrCreatedOpt", "o1", 200)
    await eventually(lambda: reported(bl, made["id"], "X_20B_OPT_REASON"))
    (report,) = [one for one in await bl.search(ObjectType.REPORT, eventID=made["id"]) if "bay" in one["reportName"]]
    assert report["resources"][0]["resourceName"] == "bay"
    assert await reported(bl, made["id"], "OPERATING_STATE") == ["RUNNING_OPTED_OUT"]
    unknown = dataclasses.replace(out, opt_id="o2", event_id="unknown")
    assert (await ven.say("EiOpt", "oadrCreateOpt", **opt_values(unknown, "r"))).response.code == 452

    begins = now().replace(microsecond=0) + timedelta(hours=3)
    away = EiOpt("o3", "optOut", "x-schedule", now(), None, 0, CONTEXT, (OptWindow(begins, timedelta(hours=2)),), bay)
    assert (await ven.say("EiOpt", "oadrCreateOpt", **opt_values(away, "r"))).response.code == 200
    standing = at.context.watch.standing_id
    assert await eventually(lambda: reported(bl, standing, "LOAD_SHED_DELTA_AVAILABLE")) == [0]
    assert (await ven.say("EiOpt", "oadrCancelOpt", request_id="r", opt_id="o3")).opt_id == "o3"

    async def gone():
        return not await reported(bl, standing, "LOAD_SHED_DELTA_AVAILABLE")

    await eventually(gone)
    assert (await ven.say("EiOpt", "oadrCancelOpt", request_id="r", opt_id="o3")).response.code == 452


# --- reports (row 7) --------------------------------------------------------------------------------------------------


def offered(name, specifier, *points):
    descriptions = tuple(
        ReportDescription(
            r_id, kind, "Direct Read", item, None, (EiTarget("resourceID", "bay"),), None, MINUTE, 60 * MINUTE
        )
        for r_id, kind, item in points
    )
    return MetadataReport(specifier, f"METADATA_{name}", descriptions, now())


async def registered_reports(ven):
    """Two kinds of telemetry and a history, offered; what is asked for, by specifier."""
    energy = ItemBase("energyReal", "RealEnergy", "Wh", "none")
    reports = [
        offered("TELEMETRY_USAGE", "usage", ("0042", "demand", POWER), ("true", "usage", energy)),
        offered("TELEMETRY_STATUS", "status", ("state", "x-resourceStatus", None)),
        offered("HISTORY_USAGE", "history", ("past", "usage", energy)),
        offered("HISTORY_GREENBUTTON", "green", ("g", "usage", None)),
    ]
    values = [metadata_values(one) for one in reports]
    reply = await ven.say("EiReport", "oadrRegisterReport", request_id="r", reports=values)
    assert (reply.kind, reply.response.code) == ("oadrRegisteredReport", 200)
    return {one.specifier_id: one for one in reply.requests}


async def test_what_is_offered_is_asked_for_under_ids_that_stay(at, ven):
    first = await registered_reports(ven)
    assert set(first) == {"usage", "status", "history"}
    assert (first["usage"].granularity, first["usage"].report_back) == (MINUTE, MINUTE), "as fine as the VEN can"
    assert first["history"].granularity == timedelta(0)
    assert first["history"].duration == timedelta(hours=2)
    assert all(one.start is not None and one.duration for one in first.values()), "VOLTTRON's VENs need an interval"
    again = await registered_reports(ven)
    assert {key: one.request_id for key, one in again.items()} == {key: one.request_id for key, one in first.items()}
    asked = await ven.poll()
    assert (asked.kind, len(asked.requests)) == ("oadrCreateReport", 3)
    pending = pending_values(one.request_id for one in first.values())
    await ven.say("EiReport", "oadrCreatedReport", response=response_values(EiResponse()), pending_reports=pending)
    assert (await ven.poll()).kind == "oadrResponse"


async def test_points_of_one_interval_a_status_and_qualities_are_reports_and_a_resend_changes_nothing(at, ven, bl):
    asked = await registered_reports(ven)
    standing = at.context.watch.standing_id
    start = now().replace(microsecond=0)
    good, bad = "Quality Good - Local Override", "Quality Bad - Comm Failure"
    usage = OadrReport(
        asked["usage"].request_id,
        "usage",
        "TELEMETRY_USAGE",
        (ReportPoint("0042", start, 7.5, MINUTE, good), ReportPoint("true", start, 1_500.0, MINUTE, bad, 95, 0.5)),
        start,
    )
    levels = (("oadrCapacity", 0.5), ("oadrSetPoint", 3.0))
    status = OadrReport(
        asked["status"].request_id,
        "status",
        "TELEMETRY_STATUS",
        (ReportPoint("state", start, ResourceStatus(True, True, levels)),),
        start,
    )
    for _ in range(2):
        reply = await ven.say("EiReport", "oadrUpdateReport", request_id="r", reports=[usage, status])
        assert (reply.response.code, reply.report_request_ids) == (200, ())
    for payload, value in (
        ("DEMAND", [7.5]),
        ("USAGE", [1.5]),
        ("OPERATING_STATE", ["RUNNING_OPTED_OUT"]),
        ("SETPOINT", [3.0]),
        ("X_20B_CAPACITY", [0.5]),
        ("DATA_QUALITY", ["OK", "BAD"]),
        ("X_20B_QUALITY", [good, bad]),
    ):
        assert await eventually(lambda payload=payload: reported(bl, standing, payload)) == value
    names = [f"20b {one.request_id}" for one in asked.values()]
    found = await bl.search(ObjectType.REPORT, eventID=standing)
    reports = [one for one in found if any(one["reportName"].startswith(name) for name in names)]
    assert len(reports) == 2
    described = {one["payloadType"]: one for report in reports for one in report["payloadDescriptors"]}
    assert (described["USAGE"]["units"], described["USAGE"]["confidence"], described["USAGE"]["accuracy"]) == (
        "KWH",
        95,
        0.5,
    )


async def test_data_that_nobody_asked_for_is_answered_200_and_cancelled(ven):
    report = OadrReport("unknown", "usage", "TELEMETRY_USAGE", (ReportPoint("r", now(), 1.0),), now())
    reply = await ven.say("EiReport", "oadrUpdateReport", request_id="r", reports=[report])
    assert (reply.response.code, reply.report_request_ids) == (200, ("unknown",))


async def test_a_report_of_three_megabytes_is_taken_and_others_are_answered_meanwhile(at, ven, bl):
    asked = await registered_reports(ven)
    start = now().replace(microsecond=0) - timedelta(days=20)
    points = tuple(ReportPoint("past", start + n * MINUTE, float(n), MINUTE) for n in range(10_000))
    report = OadrReport(asked["history"].request_id, "history", "HISTORY_USAGE", points, now())
    body = ven.writer.write("oadrUpdateReport", now(), request_id="r", reports=[report], ven_id="0042")
    assert len(body) > 3_000_000
    loop = asyncio.get_running_loop()
    took_s = []

    async def polls():
        while True:
            began_s = loop.time()
            await ven.poll()
            took_s.append(loop.time() - began_s)
            await asyncio.sleep(0.01)

    polling = asyncio.create_task(polls())
    status, content = await ven.post("EiReport", body)
    polling.cancel()
    assert (status, decode(content)[0].response.code) == (200, 200)

    async def delivered():
        return not await at.context.store.rows(VEN_OUTBOX, done=False)

    await eventually(delivered)
    assert len(await reported(bl, at.context.watch.standing_id, "USAGE")) >= 10_000
    assert took_s


async def test_a_standing_event_that_somebody_deleted_is_made_again(at, ven, bl):
    first = at.context.watch.standing_id
    asked = await registered_reports(ven)
    await bl.delete(ObjectType.EVENT, first)
    second = await eventually(
        lambda: at.context.watch.standing_id not in {None, first} and at.context.watch.standing_id
    )
    report = OadrReport(
        asked["usage"].request_id, "usage", "TELEMETRY_USAGE", (ReportPoint("0042", now(), 1.0),), now()
    )
    await ven.say("EiReport", "oadrUpdateReport", request_id="r", reports=[report])
    assert await eventually(lambda: reported(bl, second, "DEMAND")) == [1.0]


# --- push -------------------------------------------------------------------------------------------------------------


async def test_a_ven_that_does_not_poll_is_sent_its_events_and_report_requests(server, tmp_path, bl, target):
    port, seen = free_port(), []

    async def take(request):
        message = decode(await request.read())[0]
        seen.append((request.match_info["service"], message))
        return web.Response(content_type="application/xml")

    app = web.Application()
    app.router.add_post("/ven/{service}", take)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    provisions = [VenProvision("ven-1", "depot", targets=(target,), push=True), VenProvision("ven-2", "poller")]
    try:
        async with serving(downstream_settings(server, tmp_path), *provisions) as at, RawVen(at.url) as ven:
            said = {"pull": False, "transport_address": f"http://127.0.0.1:{port}/ven"}
            async with RawVen(at.url) as other:
                assert (await other.register("poller", registration=said)).response.code == 451
            assert (await ven.register("depot", registration=said)).response.code == 200
            program_id = await program_for(bl, target, target)
            made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now()))
            await eventually(lambda: at.context.registry.vens["ven-1"].events.get(made["id"]))
            await web.TCPSite(runner, "127.0.0.1", port).start()  # it was down when the event came
            (service, message) = await eventually(lambda: seen[0] if seen else None)
            assert (service, message.kind) == ("EiEvent", "oadrDistributeEvent")
            assert [one.event_id for one in message.events] == [made["id"]]
            await ven.answer(made["id"], 0)
            values = [metadata_values(offered("TELEMETRY_USAGE", "usage", ("r", "demand", POWER)))]
            await ven.say("EiReport", "oadrRegisterReport", request_id="r", reports=values)
            await eventually(lambda: [kind for kind, one in seen if one.kind == "oadrCreateReport"] == ["EiReport"])
    finally:
        await runner.cleanup()


# --- TLS and signatures (rows 10, 11) ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    authority, stranger = (Authority(tmp_path_factory.mktemp(name), name) for name in ("20b", "stranger"))
    made = {}
    for kind in ("ecc", "rsa"):
        pair = authority.issue(f"server-{kind}", server=True, both=True, kind=kind)
        made[f"server {kind}"] = files_of(pair, authority)
        made[f"ven {kind}"] = files_of(authority.issue(f"ven-{kind}", both=True, kind=kind), authority)
    made["other"] = files_of(authority.issue("other"), authority)
    made["old"] = files_of(authority.issue("old", lifetime=timedelta(minutes=-1)), authority)
    made["stranger"] = files_of(stranger.issue("stranger"), authority)
    return made


@pytest.fixture
async def secure(server, tmp_path, files):
    """A server with both certificates and all suites, for two VENs by their certificates."""
    settings = downstream_settings(
        server,
        tmp_path,
        files["server rsa"],
        files["server ecc"],
        listener={"all_ciphers": True},
        signatures="required",
    )
    vens = [VenProvision(f"ven-{kind}", f"ven-{kind}", files[f"ven {kind}"].fingerprint) for kind in ("ecc", "rsa")]
    async with serving(settings, *vens) as made:
        yield made


@pytest.mark.parametrize("who", ["none", "old", "stranger"])
async def test_without_a_certificate_of_the_authority_there_is_no_connection(secure, files, who):
    found = files.get(who)
    async with RawVen(secure.url, "ven-ecc", found) as ven:
        if found is None:
            context = ssl.create_default_context(cafile=files["ven ecc"].ca)
            context.check_hostname = False
            ven._tls = context
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await ven.poll()


async def test_the_certificate_says_who_a_ven_is_whatever_it_says_itself(secure, files):
    async with RawVen(secure.url, "", files["ven ecc"], sign=True) as ven:
        assert (await ven.register("another name")).ven_id == "ven-ecc"
        ven.ven_id = "ven-rsa"
        assert (await ven.poll()).response.code == 463
        ven.ven_id = "ven-ecc"
        body = ven.writer.write("oadrPoll", now(), ven_id="ven-rsa")
        for name in ("X-Client-Cert", "X-SSL-Client-Cert", "Forwarded", "X-Forwarded-For"):
            status, content = await ven.post("OadrPoll", body, **{name: files["ven rsa"].fingerprint})
            assert (status, decode(content)[0].response.code) == (200, 463)
    async with RawVen(secure.url, "ven-ecc", files["other"], sign=True) as other:
        assert (await other.poll()).response.code == 463
        assert (await other.register("other")).response.code == 463


@pytest.mark.parametrize(
    ("kind", "suite"),
    [("ecc", "ECDHE-ECDSA-AES128-SHA256"), ("rsa", "AES128-SHA256"), ("rsa", "ECDHE-RSA-AES128-GCM-SHA256")],
)
async def test_both_certificates_and_both_suites_of_the_profile_are_served_at_one_port(secure, files, kind, suite):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suite)
    context.load_verify_locations(files[f"ven {kind}"].ca)
    context.load_cert_chain(files[f"ven {kind}"].certificate, files[f"ven {kind}"].key)
    context.check_hostname = False
    async with RawVen(secure.url, f"ven-{kind}", files[f"ven {kind}"], sign=True) as ven:
        ven._tls = context
        assert (await ven.register(f"ven-{kind}")).response.code == 200
        port = int(secure.url.split(":")[2].split("/")[0])
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        shown = writer.get_extra_info("ssl_object")
        subject = dict(one[0] for one in writer.get_extra_info("peercert")["subject"])
        assert (shown.cipher()[0], subject["commonName"]) == (suite, f"server-{kind}")
        writer.close()


async def test_the_rsa_suite_without_forward_secrecy_is_not_offered_unless_a_setting_says_so(server, tmp_path, files):
    async with serving(downstream_settings(server, tmp_path, files["server rsa"])) as at:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-SHA256")
        context.load_verify_locations(files["ven rsa"].ca)
        context.check_hostname = False
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", int(at.url.split(":")[2].split("/")[0]), ssl=context)


async def test_a_signature_is_wanted_fresh_once_and_of_the_right_one(secure, files):
    async with RawVen(secure.url, "ven-ecc", files["ven ecc"], sign=True) as ven:
        await ven.register("ven-ecc")
        codes = {}
        for what, off in (("fresh", 0), ("old", -61), ("future", 61), ("late", -50), ("early", 50)):
            codes[what] = (await ven.say("OadrPoll", "oadrPoll", at=now() + timedelta(seconds=off))).response.code
        assert codes == {"fresh": 200, "old": 463, "future": 463, "late": 200, "early": 200}
        body = ven.writer.write("oadrPoll", now(), ven_id="ven-ecc")
        replies = [decode((await ven.post("OadrPoll", one))[1])[0].response for one in (body, body)]
        assert [one.code for one in replies] == [200, 463]
        assert "nonce" in replies[1].description
        tampered = ven.writer.write("oadrRequestEvent", now(), ven_id="ven-ecc", request_id="r").replace(b">r<", b">s<")
        assert decode((await ven.post("EiEvent", tampered))[1])[0].response.code == 463
        async with RawVen(secure.url, "ven-ecc", files["ven ecc"]) as unsigned:
            assert (await unsigned.poll()).response.code == 463
        foreign = RawVen(secure.url, "ven-ecc", files["ven rsa"], sign=True).writer
        body = foreign.write("oadrPoll", now(), ven_id="ven-ecc")
        assert decode((await ven.post("OadrPoll", body))[1])[0].response.code == 463


def test_a_missing_authority_or_certificate_refuses_to_start_instead_of_serving_without_tls(server, tmp_path, files):
    gone = dataclasses.replace(files["server rsa"], ca=tmp_path / "gone.pem")
    with pytest.raises(CannotStart, match=r"gone\.pem"):
        asyncio.run(run.serve(downstream_settings(server, tmp_path, gone)))
    missing = {"listener": {"client_ca": None}}
    with pytest.raises((ConfigError, ValueError), match="client_ca"):
        downstream_settings(server, tmp_path, files["server rsa"], **missing)
    gone = dataclasses.replace(files["server ecc"], key=tmp_path / "gone.key")
    with pytest.raises(CannotStart, match=r"gone\.key"):
        asyncio.run(run.serve(downstream_settings(server, tmp_path, files["server rsa"], gone)))


# --- attacks (row 12) -------------------------------------------------------------------------------------------------


async def test_no_message_ends_the_process_or_keeps_others_waiting(at, ven):
    poll = ven.writer.write("oadrPoll", now(), ven_id="0042")
    entity = b'<!DOCTYPE r [<!ENTITY e0 "abc">]>' + poll.split(b"\n", 1)[1].replace(b">0042<", b">&e0;<")
    bombs = b'<!DOCTYPE r [<!ENTITY a "' + b"x" * 1_000 + b'"><!ENTITY b "' + b"&a;" * 1_000 + b'">]><r>&b;</r>'
    deep = poll.replace(b"<ei:venID>0042</ei:venID>", b"<a>" * 100_000 + b"</a>" * 100_000)
    wide = poll.replace(b"<ei:venID>0042</ei:venID>", b"<a/>" * 500_000)
    attacks = {
        "entity": (entity, 400),
        "bombs": (bombs, 400),
        "UTF-16": (poll.decode().encode("utf-16"), 400),
        "10 MB": (poll + b" " * 10_000_000, 413),
        "deep": (deep, 400),
        "wide": (wide, 400),
        "nothing": (b"", 400),
        "zeros": (b"\x00" * 1_000, 400),
        "attributes": (poll.replace(b"<ei:venID>", b"<ei:venID " + b'a="1" ' * 50_000 + b">"), 400),
    }
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        for name, (body, expected) in attacks.items():
            status, content = await ven.post("OadrPoll", body)
            assert status == expected, (name, status, content[:200])
            assert (await ven.poll()).response.code == 200
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1_024
    assert grown_mb < 300
    status, _ = await ven.post("OadrPoll", poll, **{"Content-Type": "text/plain"})
    assert status == 415
