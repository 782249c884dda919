"""A utility above us that does what libraries do not: odd identifiers and times, every message of a VTN, EiOpt."""

import dataclasses
from datetime import timedelta

import pytest
from peers20b import eventually, now, raw_drms
from rigs20b import bridged, bridged_events, upstream_settings
from vtn_process import fresh

from vtn.client import Client
from vtn.oadr20b.codec.encode import request_values
from vtn.oadr20b.codec.messages import (
    EiEvent,
    EiSignal,
    EiTarget,
    OadrReportRequest,
    OptType,
    ResourceStatus,
    SignalInterval,
)
from vtn.wire.enumerations import ObjectType

ODD = ["0042", "1.2.3", "true", "a b", "x" * 128]


@pytest.fixture(scope="module")
def server(launch):
    with launch() as made:
        yield made


@pytest.fixture
async def bl(server):
    async with Client(server.url, "bl", server.secrets["bl"]) as client:
        yield client


@pytest.fixture
def name():
    return fresh("u")[:20]


def event(event_id, modification=0, *, level=1.0, status="far", minutes=5):
    start = now().replace(microsecond=0) + timedelta(minutes=minutes)
    lasts = timedelta(minutes=30)
    signal = EiSignal("SIMPLE", "level", "s", (SignalInterval(start, lasts, level),))
    return EiEvent(
        event_id,
        modification,
        "http://utility.example/summer",
        status,
        start,
        start,
        lasts,
        (signal,),
        (EiTarget("venID", "0042"),),
    )


def answers(utility):
    return [
        (one.event_id, one.modification, one.opt, one.code)
        for message in utility.of("oadrCreatedEvent")
        for one in message.event_responses
    ]


async def test_odd_identifiers_are_answered_as_they_were_sent(server, bl, tmp_path, name):
    async with raw_drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        utility.queue.append(utility.distribute(*map(event, ODD)))
        await eventually(lambda: len(answers(utility)) == len(ODD))
        assert answers(utility) == [(one, 0, "optIn", 200) for one in ODD]
        assert len(utility.of("oadrCreatedEvent")) == 1, "one answer for all"
        assert {one["eventName"] for one in await bridged_events(bl, name)} == {f"20b {name} {one}" for one in ODD}
        assert {one.ven_id for one in utility.of("oadrPoll")} == {"0042"}


async def test_times_without_an_offset_and_an_empty_list_are_taken(server, bl, tmp_path, name):
    async with raw_drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        one = event("e1")
        start = one.start.isoformat().replace("+00:00", "Z")
        utility.queue.append(utility.distribute(one).replace(start.encode(), start.removesuffix("Z").encode()))
        (made,) = await eventually(lambda: bridged_events(bl, name))
        assert made["intervals"][0]["intervalPeriod"]["start"] == start
        utility.queue.append(utility.distribute())

        async def gone():
            return not await bridged_events(bl, name)

        await eventually(gone)


async def test_codes_are_those_of_each_event_and_not_of_the_message(server, bl, tmp_path, name):
    async with raw_drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        pnode = dataclasses.replace(event("pnode"), targets=(EiTarget("groupID", "g"),))
        raw = utility.distribute(event("good"), pnode)
        node = b'<power:pnode xmlns:power="http://docs.oasis-open.org/ns/emix/2011/06/power"><power:node>n</power:node></power:pnode>'
        raw = raw.replace(b"<ei:groupID>g</ei:groupID>", node)
        utility.queue.append(raw)
        await eventually(lambda: len(answers(utility)) == 2)
        assert answers(utility) == [("good", 0, "optIn", 200), ("pnode", 0, "optOut", 462)]
        utility.queue.append(utility.distribute(event("good", 4), event("pnode", 1)))
        await eventually(lambda: ("good", 4, "optIn", 200) in answers(utility))
        utility.queue.append(utility.distribute(event("good", 3), event("pnode", 1)))
        await eventually(lambda: ("good", 3, "optIn", 450) in answers(utility))


async def test_every_message_that_a_vtn_may_send_is_answered(server, bl, tmp_path, name):
    async with raw_drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        await eventually(lambda: utility.of("oadrPoll"))
        cancel = {"request_id": "c1", "report_request_ids": ["q1"], "report_to_follow": False}
        utility.queue += [
            utility.write("oadrRegisterReport", request_id="r1", reports=[]),
            utility.write("oadrCancelReport", **cancel),
            utility.write("oadrUpdateReport", request_id="u1", reports=[]),
            utility.write("oadrQueryRegistration", request_id="q1"),
            utility.write("oadrRequestReregistration"),
        ]
        for kind in ("oadrRegisteredReport", "oadrCanceledReport", "oadrUpdatedReport", "oadrResponse"):
            await eventually(lambda kind=kind: utility.of(kind))
        again = await eventually(lambda: utility.of("oadrCreatePartyRegistration")[1:])
        assert (again[0].registration_id, again[0].ven_id) == ("1.2.3", "0042")
        utility.queue.append(utility.write("oadrCancelPartyRegistration", request_id="c2", registration_id="1.2.3"))
        await eventually(lambda: utility.of("oadrCanceledPartyRegistration"))
        after = await eventually(lambda: utility.of("oadrCreatePartyRegistration")[2:])
        assert after[0].registration_id is None


async def test_what_cannot_be_read_is_passed_over_and_the_next_message_is_taken(server, bl, tmp_path, name):
    async with raw_drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        await eventually(lambda: utility.of("oadrPoll"))
        utility.queue += [
            b'<!DOCTYPE r [<!ENTITY e "x">]><r>&e;</r>',
            b"no XML",
            b"   ",
            utility.distribute(event("after")).decode().encode("utf-16"),
            b"x" * 9_000_000,
            utility.distribute(event("after")),
        ]
        await eventually(lambda: ("after", 0, "optIn", 200) in answers(utility))


async def standing_event_of(bl, name):
    """The event on which our VENs report for a utility."""
    found = [one for one in await bl.search(ObjectType.PROGRAM) if one["programName"] == f"20b:{name}:reports"]
    return await bl.search(ObjectType.EVENT, programID=found[0]["id"]) if found else []


async def enrolled(server, bl, name, client_id):
    """A VEN that is enrolled at the utility."""
    content = {
        "objectType": "BL_VEN_REQUEST",
        "clientID": client_id,
        "venName": fresh("v"),
        "targets": [f"20b:{name}:ven"],
    }
    await bl.create(ObjectType.VEN, content)
    return Client(server.url, client_id, server.secrets[client_id])


async def test_a_status_and_a_history_are_told_when_they_are_asked_for(server, bl, tmp_path, name):
    start = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    minute, nothing, hour = timedelta(minutes=1), timedelta(0), timedelta(hours=1)
    asked = [
        OadrReportRequest("s", f"{name}-telemetry-status", (("status", "x-notApplicable"),), nothing, minute / 60),
        OadrReportRequest(
            "h", f"{name}-history-usage", (("energy", "Direct Read"),), 30 * minute, nothing, start, hour
        ),
        OadrReportRequest("n", "unknown", (("energy", "Direct Read"),), nothing, nothing),
    ]
    async with raw_drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        (standing,) = await eventually(lambda: standing_event_of(bl, name))
        payloads = [
            {"type": "USAGE", "values": [1.5]},
            {"type": "OPERATING_STATE", "values": ["RUNNING_OPTED_OUT"]},
        ]
        quarters = [
            {
                "id": number,
                "intervalPeriod": {"start": (start + 15 * number * minute).isoformat(), "duration": "PT15M"},
                "payloads": payloads,
            }
            for number in range(8)
        ]
        resources = [{"resourceName": zone, "intervals": quarters} for zone in ("bay", "la")]
        async with await enrolled(server, bl, name, "c1") as ven:
            content = {"eventID": standing["id"], "clientName": "adapter", "resources": resources}
            await ven.create(ObjectType.REPORT, content)
        requests = [request_values(one) for one in asked]
        utility.queue.append(utility.write("oadrCreateReport", request_id="x", report_requests=requests))
        (created,) = await eventually(lambda: utility.of("oadrCreatedReport"))
        assert created.response.code == 461, "a report that was never offered is refused, and the others stand"
        assert set(created.report_request_ids) == {"s", "h"}

        def told(request_id):
            every = [report for one in utility.of("oadrUpdateReport") for report in one.reports]
            return [point for report in every if report.request_id == request_id for point in report.points]

        await eventually(lambda: told("s") and told("h"))
        assert {point.value for point in told("s")} == {ResourceStatus(online=True, override=True)}
        assert [(point.start, point.value) for point in told("h")] == [(start, 6.0), (start + 30 * minute, 6.0)]


async def test_opts_of_resources_and_of_times_to_come_are_told_and_taken_back(server, bl, tmp_path, name):
    async with raw_drms() as utility, bridged(upstream_settings(server, tmp_path, utility.url, name)):
        utility.queue.append(utility.distribute(event("e1", minutes=-5)))
        (made,) = await eventually(lambda: bridged_events(bl, name))
        async with await enrolled(server, bl, name, "c2") as ven:
            period = {"start": now().isoformat(), "duration": "PT0S"}
            states = [
                {
                    "resourceName": zone,
                    "intervals": [
                        {
                            "id": 0,
                            "intervalPeriod": period,
                            "payloads": [{"type": "OPERATING_STATE", "values": [state]}],
                        }
                    ],
                }
                for zone, state in (("bay", "RUNNING_OPTED_OUT"), ("la", "RUNNING_CURTAILED"))
            ]
            content = {"eventID": made["id"], "clientName": "adapter", "resources": states}
            told = await ven.create(ObjectType.REPORT, content)
            (opt,) = [one.opt for one in await eventually(lambda: utility.of("oadrCreateOpt"))]
            assert (opt.event_id, opt.opt, opt.targets) == ("e1", OptType.OUT, (EiTarget("resourceID", "bay"),))
            await ven.delete(ObjectType.REPORT, told["id"])
            (cancelled,) = await eventually(lambda: utility.of("oadrCancelOpt"))
            assert cancelled.opt_id == opt.opt_id
            assert all(one[2] == "optIn" for one in answers(utility)), "one of two is not the whole event"

            (standing,) = await eventually(lambda: standing_event_of(bl, name))
            start = now().replace(microsecond=0) + timedelta(hours=1)
            away = {"start": start.isoformat(), "duration": "PT2H"}
            payloads = [{"type": "LOAD_SHED_DELTA_AVAILABLE", "values": [0]}]
            resources = [
                {"resourceName": "bay", "intervals": [{"id": 0, "intervalPeriod": away, "payloads": payloads}]}
            ]
            content = {"eventID": standing["id"], "clientName": "adapter", "resources": resources}
            told = await ven.create(ObjectType.REPORT, content)
            schedule = (await eventually(lambda: utility.of("oadrCreateOpt")[1:]))[0].opt
            assert [(one.start, one.duration) for one in schedule.windows] == [(start, timedelta(hours=2))]
            await ven.delete(ObjectType.REPORT, told["id"])
            await eventually(lambda: utility.of("oadrCancelOpt")[1:])
