"""A utility above us that we did not write: stock `OpenADRServer`, and its events in our VTN, our answers with it."""

from datetime import timedelta

import pytest
from authority import Authority
from peers20b import NO_WARNINGS, drms, eventually, files_of, free_port, interval, now
from rigs20b import bridged, bridged_events, upstream_settings
from vtn_process import fresh

from vtn.client import Client
from vtn.oadr20b.store.database import opened, parse_at
from vtn.oadr20b.store.tables import UP_CONNECTION, UP_EVENT, UP_REQUEST
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


@pytest.fixture(scope="module", params=["plain", "ecc", "ecc signed", "rsa", "rsa signed"])
def security(request, tmp_path_factory):
    """How the two sides prove who they are: certificates of the utility and of ours, and settings of the bridge."""
    kind, _, signed = request.param.partition(" ")
    if kind == "plain":
        return None, {}
    authority = Authority(tmp_path_factory.mktemp(kind))
    utility = files_of(authority.issue("utility", server=True, both=True, kind=kind), authority)
    own = files_of(authority.issue("own", both=True, kind=kind), authority)
    settings = {"ca": own.ca, "certificate": own.certificate, "private_key": own.key}
    return utility, settings | ({"sign": True, "fingerprint": utility.fingerprint} if signed else {})


@pytest.fixture
def name():
    return fresh("u")[:20]


async def registered(utility, name):
    ven_id = f"ven-ven-{name}"
    await eventually(lambda: ven_id in utility.vens and "oadrPoll" in utility.kinds)
    return ven_id


async def test_an_event_stands_in_our_vtn_follows_its_changes_and_goes_with_its_cancellation(
    server, bl, tmp_path, name, security
):
    files, own = security
    verify = bool(own.get("sign"))
    async with (
        drms(files=files, verify=verify) as utility,
        bridged(upstream_settings(server, tmp_path, utility.url, name, **own)),
    ):
        ven_id = await registered(utility, name)
        start = now() + timedelta(minutes=5)
        steps = [interval(start, 30, 5_000.0), interval(start + timedelta(minutes=30), 30, -2_500.0)]
        event_id = utility.event(ven_id, "LOAD_DISPATCH", "delta", steps)
        (made,) = await eventually(lambda: bridged_events(bl, name))
        assert made["eventName"] == f"20b {name} {event_id}"
        assert [one["payloads"][0]["values"] for one in made["intervals"]] == [[5_000.0 / 1_000], [-2.5]]
        await eventually(lambda: (event_id, "optIn") in utility.opts)

        held = utility.held(ven_id, event_id)
        held.event_signals[0].intervals[0]["signal_payload"] = 7_000.0
        held.active_period["ramp_up_period"] = timedelta(minutes=5)  # which `add_event` of openleadr loses
        held.event_descriptor.modification_number += 1
        utility.touch(ven_id)
        payloads = [("DISPATCH_SETPOINT_RELATIVE", [7.0]), ("X_20B_RAMP_UP", ["PT5M"])]

        async def changed():
            (one,) = await bridged_events(bl, name)
            told = [(payload["type"], payload["values"]) for payload in one["intervals"][0]["payloads"]]
            return told == payloads and one["id"] == made["id"]

        await eventually(changed)
        await eventually(lambda: (event_id, 1, "optIn") in utility.answers)
        utility.server.cancel_event(ven_id, event_id)

        async def gone():
            return not await bridged_events(bl, name)

        await eventually(gone)
        await eventually(lambda: (event_id, 2, "optIn") in utility.answers)
        assert len(utility.registered) == 1


async def test_what_is_missing_from_the_list_is_taken_out_and_what_cannot_be_mapped_is_opted_out_of(
    server, bl, tmp_path, name
):
    async with drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        ven_id = await registered(utility, name)
        start = now() + timedelta(minutes=5)
        good = utility.event(ven_id, "SIMPLE", "level", [interval(start, 30, 2)])
        bid = utility.event(ven_id, "BID_PRICE", "price", [interval(start, 30, 2.0)])
        there = utility.event(ven_id, "simple", "level", [interval(start, 30, 1)])
        await eventually(lambda: len(utility.opts) == 3)
        assert dict(utility.opts) == {good: "optIn", bid: "optOut", there: "optIn"}
        assert len(await bridged_events(bl, name)) == 2
        events = utility.server.services["event_service"].events[ven_id]
        events[:] = [one for one in events if one.event_descriptor.event_id != there]
        utility.touch(ven_id)

        async def one_left():
            return [one["eventName"] for one in await bridged_events(bl, name)] == [f"20b {name} {good}"]

        await eventually(one_left)


async def test_a_test_event_is_answered_and_nobody_sees_it(server, bl, tmp_path, name):
    async with drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        ven_id = await registered(utility, name)
        event_id = utility.event(ven_id, "SIMPLE", "level", [interval(now() + timedelta(minutes=5), 30, 1)])
        utility.held(ven_id, event_id).event_descriptor.test_event = True
        await eventually(lambda: (event_id, "optIn") in utility.opts)
        (made,) = await eventually(lambda: bridged_events(bl, name))
        program = await bl.read(ObjectType.PROGRAM, made["programID"])
        assert program["programName"].endswith(":TEST")
        async with Client(server.url, "c2", server.secrets["c2"]) as ven:
            await ven.create(ObjectType.VEN, {"objectType": "VEN_VEN_REQUEST", "venName": fresh("ven")})
            assert made["id"] not in {one["id"] for one in await ven.search(ObjectType.EVENT)}


async def test_a_restart_of_ours_registers_nothing_anew_and_doubles_nothing(server, bl, tmp_path, name):
    async with drms() as utility:
        settings = upstream_settings(server, tmp_path, utility.url, name)
        async with bridged(settings):
            ven_id = await registered(utility, name)
            event_id = utility.event(ven_id, "SIMPLE", "level", [interval(now() + timedelta(minutes=5), 30, 1)])
            (made,) = await eventually(lambda: bridged_events(bl, name))
            await eventually(lambda: (event_id, "optIn") in utility.opts)
        later = utility.event(ven_id, "SIMPLE", "level", [interval(now() + timedelta(minutes=9), 30, 2)])
        async with bridged(settings):
            await eventually(lambda: (later, "optIn") in utility.opts)
            found = await bridged_events(bl, name)
            assert [one["eventName"] for one in found].count(f"20b {name} {event_id}") == 1
            assert made["id"] in {one["id"] for one in found}
        assert len(utility.registered) == 1


async def test_a_utility_that_forgot_us_gets_the_same_registration_back(server, bl, tmp_path, name):
    port = free_port()
    settings = upstream_settings(server, tmp_path, f"http://127.0.0.1:{port}/OpenADR2/Simple/2.0b", name)
    async with bridged(settings):
        async with drms(port) as utility:
            await registered(utility, name)
            assert utility.registered[0].get("registration_id") is None
        async with drms(port) as utility:
            ven_id = await registered(utility, name)
            assert [one["registration_id"] for one in utility.registered] == ["reg-1"]
            event_id = utility.event(ven_id, "SIMPLE", "level", [interval(now() + timedelta(minutes=5), 30, 1)])
            await eventually(lambda: (event_id, "optIn") in utility.opts)
            async with opened(settings.store()) as store:
                assert len(await store.rows(UP_CONNECTION)) == 1
                await eventually(lambda: store.rows(UP_EVENT, acked=True))
                assert await store.rows(UP_EVENT, acked=False) == []


async def test_while_our_vtn_is_away_nothing_is_answered_and_then_everything(launch, tmp_path, name):
    with launch({"server.port": str(free_port())}) as server:
        async with drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
            ven_id = await registered(utility, name)
            server.stop()
            event_id = utility.event(ven_id, "SIMPLE", "level", [interval(now() + timedelta(minutes=5), 30, 1)])
            polls = utility.kinds.count("oadrPoll")
            await eventually(lambda: utility.kinds.count("oadrPoll") > polls)
            assert utility.opts == []
            server.start()
            await eventually(lambda: (event_id, "optIn") in utility.opts)


async def test_what_our_vens_report_reaches_the_utility_under_names_that_never_change(server, bl, tmp_path, name):
    async with drms() as utility:
        utility.report_every = timedelta(seconds=1)
        more = {"granularity_s": 1.0, "report_every_s": 1.0, "resources": ("bay",)}
        settings = upstream_settings(server, tmp_path, utility.url, name, **more)
        async with bridged(settings):
            await registered(utility, name)
            await eventually(lambda: len(utility.offered) >= 6)
            (standing,) = await eventually(lambda: _standing(bl, name))
            async with Client(server.url, "c3", server.secrets["c3"]) as ven:
                await _ven(bl, "c3", f"20b:{name}:ven")
                await ven.create(ObjectType.REPORT, _report(standing["id"], {"bay": 5.0, "la": 2.5}))
            await eventually(lambda: utility.values.get("RealPower/bay") and utility.values.get("RealPower/None"))
            assert {value for _, value in utility.values["RealPower/None"]} == {7.5}
            assert {value for _, value in utility.values["RealPower/bay"]} == {5.0}
            told_until = max(start for start, _ in utility.values["RealPower/None"]) + timedelta(seconds=1)
            async with opened(settings.store()) as store:
                await eventually(lambda: _written(store, told_until))
            count = len(utility.values["RealPower/None"])
        async with bridged(settings):
            polls = utility.kinds.count("oadrPoll")
            await eventually(lambda: utility.kinds.count("oadrPoll") > polls + 8)
        assert len(utility.values["RealPower/None"]) == count, "a value that was told is not told again"
        assert utility.kinds.count("oadrRegisterReport") == 1


async def _written(store, until):
    """Whether it is written down that values up to an instant were told."""
    return [row for row in await store.rows(UP_REQUEST) if parse_at(row["sent_until"]) >= until]


async def _standing(bl, name):
    found = [one for one in await bl.search(ObjectType.PROGRAM) if one["programName"] == f"20b:{name}:reports"]
    return await bl.search(ObjectType.EVENT, programID=found[0]["id"]) if found else []


async def _ven(bl, client_id, *targets):
    content = {"objectType": "BL_VEN_REQUEST", "clientID": client_id, "venName": fresh("ven"), "targets": list(targets)}
    await bl.create(ObjectType.VEN, content)


def _report(event_id, kw):
    start = (now() + timedelta(seconds=1)).isoformat()
    return {
        "eventID": event_id,
        "clientName": "adapter",
        "resources": [
            {
                "resourceName": zone,
                "intervals": [
                    {
                        "id": 0,
                        "intervalPeriod": {"start": start, "duration": "PT1S"},
                        "payloads": [
                            {"type": "DEMAND", "values": [value]},
                            {"type": "USAGE", "values": [value / 3_600]},
                        ],
                    }
                ],
            }
            for zone, value in kw.items()
        ],
    }


async def test_who_opts_out_below_us_is_told_to_the_utility(server, bl, tmp_path, name):
    async with drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        ven_id = await registered(utility, name)
        event_id = utility.event(ven_id, "SIMPLE", "level", [interval(now() - timedelta(minutes=5), 30, 1)])
        (made,) = await eventually(lambda: bridged_events(bl, name))
        await eventually(lambda: (event_id, 0, "optIn") in utility.answers)
        content = {"eventID": made["id"], "clientName": "adapter", "resources": [_state("RUNNING_OPTED_OUT")]}
        async with Client(server.url, "c1", server.secrets["c1"]) as ven:
            await _ven(bl, "c1", f"20b:{name}:ven")
            first = await ven.create(ObjectType.REPORT, content)
            await eventually(lambda: (event_id, 0, "optOut") in utility.answers)
            await ven.replace(ObjectType.REPORT, first["id"], {**content, "resources": [_state("RUNNING_NORMAL")]})
            await eventually(lambda: utility.answers[-1] == (event_id, 0, "optIn"))


def _state(state):
    period = {"start": now().isoformat(), "duration": "PT0S"}
    payloads = [{"type": "OPERATING_STATE", "values": [state]}]
    return {"resourceName": "bay", "intervals": [{"id": 0, "intervalPeriod": period, "payloads": payloads}]}
