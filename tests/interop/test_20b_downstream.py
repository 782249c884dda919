"""VENs below us that we did not write: stock `OpenADRClient`, what our VTN tells it, and what comes back from it."""

from datetime import timedelta

import pytest
from authority import Authority
from peers20b import NO_WARNINGS, Files, eventually, files_of, foreign_ven, free_port, measurement, now
from rigs20b import CONTEXT, downstream_settings, event_in, program_for, reported, serving
from vtn_process import fresh

from vtn.client import Client
from vtn.oadr20b.downstream.vens import VenProvision
from vtn.wire.enumerations import ObjectType

pytestmark = pytest.mark.filterwarnings(NO_WARNINGS)


@pytest.fixture(scope="module")
def server(launch):
    with launch() as made:
        yield made


@pytest.fixture
async def bl(server):
    """Business Logic of our VTN."""
    async with Client(server.url, "bl", server.secrets["bl"]) as client:
        yield client


@pytest.fixture
def target():
    return fresh("t")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> dict[str, Files]:
    """Certificates of both kinds for both sides, all of one authority."""
    authority = Authority(tmp_path_factory.mktemp("20b"))
    made = {}
    for kind in ("ecc", "rsa"):
        made[f"server {kind}"] = files_of(
            authority.issue(f"server-{kind}", server=True, both=True, kind=kind), authority
        )
        made[f"ven {kind}"] = files_of(authority.issue(f"ven-{kind}", both=True, kind=kind), authority)
    return made


@pytest.fixture(params=["plain", "ecc", "ecc signed", "rsa", "rsa signed"])
def security(request, certificates):
    """How both sides prove who they are: the VEN's certificate, settings of the server, arguments of the VEN."""
    kind, _, signed = request.param.partition(" ")
    if kind == "plain":
        return None, {}, {}
    ven, both = certificates[f"ven {kind}"], {"files": certificates["server rsa"], "ecc": certificates["server ecc"]}
    if not signed:
        return ven, both, {"sign": False}
    # signed with the first certificate, which is RSA: the VEN expects that one, whichever it is shown by TLS
    return ven, {**both, "sign": True, "signatures": "required"}, {"vtn_fingerprint": both["files"].fingerprint}


async def test_a_ven_registers_acts_opts_and_is_told_of_changes_and_cancellation(
    server, bl, tmp_path, target, security
):
    files, settings, arguments = security
    provision = VenProvision("ven-42", "depot", files.fingerprint if files else None, targets=(target,))
    async with serving(downstream_settings(server, tmp_path, **settings), provision) as at:
        async with foreign_ven("depot", at.url, files, **arguments) as ven:
            assert ven.client.ven_id == "ven-42"
            program_id = await program_for(bl, target, target, X_20B_MARKET_CONTEXT=CONTEXT, X_20B_RAMP_UP="PT5M")
            content = event_in(program_id, "DISPATCH_SETPOINT", -5.0, start=now() - timedelta(minutes=1), priority=0)
            made = await bl.create(ObjectType.EVENT, content)
            (event,) = await eventually(lambda: ven.seen(made["id"]))
            descriptor, period = event["event_descriptor"], event["active_period"]
            assert (descriptor["event_status"], descriptor["priority"]) == ("active", 1)
            assert descriptor["market_context"] == CONTEXT
            assert period["ramp_up"] == timedelta(minutes=5)
            simple, dispatch = event["event_signals"]
            assert (simple["signal_name"], simple["current_value"]) == ("SIMPLE", 1)
            assert (dispatch["signal_name"], dispatch["current_value"]) == ("LOAD_DISPATCH", -5)
            assert await eventually(lambda: reported(bl, made["id"], "X_20B_OPT")) == ["optIn"]

            content["intervals"][0]["payloads"][0]["values"] = [-7.5]
            await bl.replace(ObjectType.EVENT, made["id"], content)
            await eventually(lambda: ven.seen(made["id"])[-1]["event_descriptor"]["modification_number"] == 1)
            assert ven.seen(made["id"])[-1]["event_signals"][1]["intervals"][0]["signal_payload"] == -7.5
            await bl.delete(ObjectType.EVENT, made["id"])
            await eventually(lambda: ven.seen(made["id"])[-1]["event_descriptor"]["event_status"] == "cancelled")
            await eventually(lambda: at.context.registry.vens["ven-42"].events[made["id"]].acked == 2)
        assert at.services.counts.answers.keys() <= {200}, at.services.counts.answers


async def test_a_later_opt_is_taken_and_is_the_one_that_is_read(server, bl, tmp_path, target):
    async with serving(downstream_settings(server, tmp_path), VenProvision("ven-1", "depot", targets=(target,))) as at:  # noqa: SIM117 - the second needs the first
        async with foreign_ven("depot", at.url) as ven:
            program_id = await program_for(bl, target, target)
            made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 2, start=now()))
            (event,) = await eventually(lambda: ven.seen(made["id"]))
            assert await eventually(lambda: reported(bl, made["id"], "X_20B_OPT")) == ["optIn"]
            await ven.opt_anew(event, "optOut")

            async def out():
                return await reported(bl, made["id"], "X_20B_OPT") == ["optOut"]

            await eventually(out)
            assert await reported(bl, made["id"], "OPERATING_STATE") == ["RUNNING_OPTED_OUT"]


async def test_an_event_for_one_is_not_told_to_another_and_resources_are_its_own(server, bl, tmp_path, target):
    one = VenProvision("ven-1", "one", targets=(target,), resources=(("bay", (f"{target}-bay",)), ("la", ())))
    other = VenProvision("ven-2", "other", targets=(f"{target}-2",))
    async with serving(downstream_settings(server, tmp_path), one, other) as at:  # noqa: SIM117 - the second needs the first
        async with foreign_ven("one", at.url) as ven, foreign_ven("other", at.url) as stranger:
            program_id = await program_for(bl, target, target, f"{target}-2")
            content = event_in(program_id, "SIMPLE", 1, start=now(), targets=[f"{target}-bay", "nobody"])
            made = await bl.create(ObjectType.EVENT, content)
            (event,) = await eventually(lambda: ven.seen(made["id"]))
            assert event["targets"] == [{"resource_id": "bay"}, {"ven_id": "ven-1"}]
            both = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now()))
            await eventually(lambda: stranger.seen(both["id"]))
            assert not stranger.seen(made["id"])


async def test_telemetry_becomes_reports_on_the_standing_event_in_kw(server, bl, tmp_path, target):
    power = {
        "callback": lambda: 5_500.0,
        "resource_id": "bay",
        "measurement": measurement("powerReal", "RealPower", "W"),
        "report_specifier_id": "power",
        "r_id": "r-power",
        "report_type": "demand",
        "reading_type": "Mean",
        "sampling_rate": timedelta(seconds=1),
    }
    async with serving(downstream_settings(server, tmp_path), VenProvision("ven-1", "depot", targets=(target,))) as at:  # noqa: SIM117 - the second needs the first
        async with foreign_ven("depot", at.url, reports=[power]):
            await eventually(lambda: at.context.watch.standing_id)
            values = await eventually(lambda: reported(bl, at.context.watch.standing_id, "DEMAND"))
            assert set(values) == {5.5}
            (report, *_) = await bl.search(ObjectType.REPORT, eventID=at.context.watch.standing_id)
            (described,) = report["payloadDescriptors"]
            assert (described["units"], described["readingType"]) == ("KW", "MEAN")
            assert {one["resourceName"] for one in report["resources"]} == {"bay"}


async def test_neither_side_notices_a_restart_of_ours(server, bl, tmp_path, target):
    settings = downstream_settings(server, tmp_path, port=free_port())
    program_id = await program_for(bl, target, target)
    async with serving(settings, VenProvision("ven-1", "depot", targets=(target,))) as at:
        made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now()))
        ven_context = foreign_ven("depot", at.url)
        ven = await ven_context.__aenter__()
        await eventually(lambda: at.context.registry.vens["ven-1"].events.get(made["id"]))
        await eventually(lambda: at.context.registry.vens["ven-1"].events[made["id"]].acked == 0)
        registration = ven.client.registration_id
    try:
        async with serving(settings) as at:
            later = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 2, start=now()))
            await eventually(lambda: ven.seen(later["id"]))
            assert (
                ven.client.registration_id
                == registration
                == at.context.registry.vens["ven-1"].registration.registration_id
            )
            assert {one["event_descriptor"]["modification_number"] for one in ven.seen(made["id"])} == {0}
            await eventually(lambda: at.context.registry.vens["ven-1"].events[later["id"]].acked == 0)
    finally:
        await ven_context.__aexit__(None, None, None)


async def test_a_ven_that_was_not_registered_is_asked_to_and_comes_back_with_its_events(server, bl, tmp_path, target):
    settings = downstream_settings(server, tmp_path)
    async with serving(settings, VenProvision("ven-1", "depot", targets=(target,))) as at:  # noqa: SIM117 - the second needs the first
        async with foreign_ven("depot", at.url) as ven:
            held = at.context.registry.vens["ven-1"]
            first = held.registration.registration_id
            await at.context.registry.register(held, type(held.registration)())
            await eventually(lambda: held.registered)
            assert held.registration.registration_id == first == ven.client.registration_id
            program_id = await program_for(bl, target, target)
            made = await bl.create(ObjectType.EVENT, event_in(program_id, "SIMPLE", 1, start=now()))
            await eventually(lambda: ven.seen(made["id"]))
