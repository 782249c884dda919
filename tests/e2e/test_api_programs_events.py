"""What programs and events promise beyond their fields (PROG, EVT, INT, PAY, RDS)."""

import asyncio

import pytest
from vtn_process import fresh

EVENT_DESCRIPTOR = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "PRICE"}
REPORT_DESCRIPTOR = {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE"}


def priced(**extra):
    return [{"id": 0, "payloads": [{"type": "PRICE", "values": [0.17]}], **extra}]


# --- programs --------------------------------------------------------------------------------------------------------


async def test_program_names_are_unique_prog_07_08(bl):
    first = await bl.made("/programs", {"programName": fresh("p")})
    answer = (await bl.post("/programs", {"programName": first["programName"]})).shows(409)
    assert "programName" in answer.json["detail"]
    second = await bl.made("/programs", {"programName": fresh("p")})
    (await bl.put(f"/programs/{second['id']}", {"programName": first["programName"]})).shows(409)
    assert (await bl.get(f"/programs/{second['id']}")).json == second
    (await bl.put(f"/programs/{first['id']}", {"programName": first["programName"]})).shows(200)
    (await bl.delete(f"/programs/{first['id']}")).shows(200)
    await bl.made("/programs", {"programName": first["programName"]})


async def test_of_many_who_want_a_name_at_once_one_gets_it_prog_07(bl):
    name = fresh("wanted")
    answers = await asyncio.gather(*(bl.post("/programs", {"programName": name}) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 11


async def test_a_program_lists_event_and_report_descriptors_prog_11_12_pay_11(bl):
    both = [EVENT_DESCRIPTOR, REPORT_DESCRIPTOR]
    made = await bl.made("/programs", {"programName": fresh("p"), "payloadDescriptors": both})
    assert made["payloadDescriptors"] == both
    for wrong in ({"payloadType": "PRICE"}, {**EVENT_DESCRIPTOR, "objectType": "eventPayloadDescriptor"}):
        answer = await bl.post("/programs", {"programName": fresh("p"), "payloadDescriptors": [wrong]})
        assert answer.shows(400).paths() == ["$.payloadDescriptors[0].objectType"]


async def test_old_top_level_fields_are_unknown_properties_now_prog_14_rds_10(bl):
    await bl.made("/programs", {"programName": fresh("p"), "bindingEvents": True, "country": "US"})
    await bl.made("/programs", {"programName": fresh("p"), "reportDescriptors": [{"nonsense": True}]})


async def test_program_descriptions_are_objects_with_a_url_prog_18(bl):
    for wrong in ({}, "https://x/y"):
        answer = await bl.post("/programs", {"programName": fresh("p"), "programDescriptions": [wrong]})
        assert answer.shows(400).paths()[0].startswith("$.programDescriptions[0]")


async def test_the_vtn_adds_no_descriptors_to_events_prog_10(bl):
    program = await bl.made("/programs", {"programName": fresh("p"), "payloadDescriptors": [EVENT_DESCRIPTOR]})
    event = await bl.made("/events", {"programID": program["id"], "intervals": priced()})
    assert event.get("payloadDescriptors") is None


# --- events ----------------------------------------------------------------------------------------------------------


async def test_a_minimal_event_is_stored_and_has_no_nulls_that_the_schema_forbids_evt_02_07_gen_15(bl, program):
    made = await bl.made("/events", {"programID": program["id"]})
    for shown in (made, (await bl.get(f"/events/{made['id']}")).json):
        for name in ("intervals", "intervalPeriod", "duration"):
            assert name not in shown


@pytest.mark.parametrize("name", ["intervals", "intervalPeriod", "duration"])
async def test_null_for_what_may_only_be_left_out_counts_as_left_out_tr_31(bl, program, name):
    made = await bl.made("/events", {"programID": program["id"], name: None})
    assert name not in made
    assert name not in (await bl.put(f"/events/{made['id']}", {"programID": program["id"], name: None})).json


async def test_nulls_that_the_schema_allows_are_taken_gen_16(bl, program):
    nullable = ("targets", "priority", "eventName", "payloadDescriptors", "reportDescriptors")
    made = await bl.made("/events", {"programID": program["id"], **dict.fromkeys(nullable)})
    assert all(made.get(name) is None for name in nullable)


async def test_the_program_of_an_event_must_exist_evt_06_gen_34(bl, program):
    before = (await bl.get("/events", ("programID", program["id"]))).ids
    answer = (await bl.post("/events", {"programID": "no-such-program"})).shows(409)
    assert "programID" in answer.json["detail"]
    event = await bl.made("/events", {"programID": program["id"]})
    (await bl.put(f"/events/{event['id']}", {"programID": "no-such-program"})).shows(409)
    assert (await bl.get(f"/events/{event['id']}")).json == event
    assert (await bl.get("/events", ("programID", program["id"]))).ids == [*before, event["id"]]


async def test_an_event_moves_to_another_program_whole_tr_107(bl, program):
    other = await bl.made("/programs", {"programName": fresh("p")})
    event = await bl.made("/events", {"programID": program["id"]})
    (await bl.put(f"/events/{event['id']}", {"programID": other["id"]})).shows(200)
    assert (await bl.get("/events", ("programID", program["id"]))).ids == []
    assert (await bl.get("/events", ("programID", other["id"]))).ids == [event["id"]]


async def test_event_names_need_not_be_unique_evt_09(bl, program):
    for _ in range(2):
        await bl.made("/events", {"programID": program["id"], "eventName": "again"})


async def test_events_hold_only_event_descriptors_evt_11(bl, program):
    for wrong in (REPORT_DESCRIPTOR, {"payloadType": "PRICE"}):
        answer = await bl.post("/events", {"programID": program["id"], "payloadDescriptors": [wrong]})
        assert answer.shows(400).paths()[0].startswith("$.payloadDescriptors[0].objectType")


@pytest.mark.parametrize("start", ["0001-01-01", "0001-01-01T00:00:00", "0001-01-01T00:00:00Z"])
async def test_now_has_three_spellings_and_one_answer_int_06_tr_27(bl, program, start):
    period = {"start": start, "duration": "PT0S"}
    body = {"programID": program["id"], "intervalPeriod": period, "intervals": priced(intervalPeriod=dict(period))}
    made = await bl.made("/events", body)
    assert made["intervalPeriod"] == {"start": "0001-01-01T00:00:00Z", "duration": "PT0S"}
    assert made["intervals"][0]["intervalPeriod"]["start"] == "0001-01-01T00:00:00Z"


CONTENT = {
    "INT-01 ids repeat and keep their order": {"intervals": [{"id": n, "payloads": []} for n in (5, 5, 2, -1)]},
    "EVT-08 no payloads": {"intervals": [{"id": 0, "payloads": []}]},
    "INT-04 no period anywhere": {"intervals": priced()},
    "INT-05 a period without start": {"intervalPeriod": {"duration": "PT1H"}},
    "INT-05 an empty period": {"intervalPeriod": {}},
    "INT-07 without end": {"intervalPeriod": {"start": "2026-07-15T16:00:00Z", "duration": "P9999Y"}},
    "INT-09 packed prices": {
        "intervalPeriod": {"start": "2026-07-15T16:00:00Z", "duration": "PT3H"},
        "intervals": [{"id": 0, "payloads": [{"type": "PRICE", "values": [0.17, 0.03, 0.11]}]}],
    },
    "INT-12 months": {"duration": "P1M"},
    "GEN-19 private content": {"intervals": [{"id": 0, "payloads": [{"type": "PRIVATE_ALGORITHM", "values": [0.17]}]}]},
    "GEN-19 a type with values that make no sense": {
        "intervals": [{"id": 0, "payloads": [{"type": "SIMPLE", "values": ["nine", -9]}]}]
    },
    "PAY-06 a descriptor that matches nothing": {
        "payloadDescriptors": [{**EVENT_DESCRIPTOR, "payloadType": "OTHER"}],
        "intervals": priced(),
    },
    "PAY-07 PAY-08 private units and odd currencies": {
        "payloadDescriptors": [{**EVENT_DESCRIPTOR, "units": "PERSON_DAYS", "currency": "XXX1"}]
    },
    "TR-77 a discharge below zero": {
        "intervals": [{"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [-7.0]}]}]
    },
    "TR-82 a curve": {"intervals": [{"id": 0, "payloads": [{"type": "CURVE", "values": [{"x": 0.9, "y": 44.0}]}]}]},
    "RDS-03 to RDS-09 a full report request": {
        "reportDescriptors": [
            {
                "payloadType": "USAGE",
                "aggregate": True,
                "startInterval": 5,
                "numIntervals": 3,
                "historical": False,
                "frequency": 0,
                "repeat": -1,
                "reportIntervals": "OPEN_INTERVALS",
            }
        ]
    },
    "TGT-19 duplicate targets": {"targets": ["g1", "g1", "Straße 1", "a,b"]},
}


@pytest.mark.parametrize("what", CONTENT)
async def test_content_is_stored_as_it_was_sent(bl, program, what):
    body = {"programID": program["id"], **CONTENT[what]}
    made = await bl.made("/events", body)
    read = (await bl.get(f"/events/{made['id']}")).json
    assert {name: read[name] for name in body} == body
    assert read == made


async def test_report_request_defaults_are_left_to_the_reader_rds_02(bl, program):
    made = await bl.made("/events", {"programID": program["id"], "reportDescriptors": [{"payloadType": "USAGE"}]})
    assert made["reportDescriptors"] == [{"payloadType": "USAGE"}]


async def test_all_faults_of_a_body_are_told_at_once_with_their_places(bl, program):
    body = {
        "priority": -1,
        "intervals": [{"id": "0", "payloads": [{"values": [None]}]}, {}],
        "targets": ["", 7],
        "intervalPeriod": {"start": "17:15:16", "duration": "P12H"},
    }
    answer = (await bl.post("/events", body)).shows(400)
    assert set(answer.paths()) == {
        "$.programID",
        "$.priority",
        "$.intervals[0].id",
        "$.intervals[0].payloads[0].type",
        "$.intervals[0].payloads[0].values[0]",
        "$.intervals[1].id",
        "$.intervals[1].payloads",
        "$.targets[0]",
        "$.targets[1]",
        "$.intervalPeriod.start",
        "$.intervalPeriod.duration",
    }
    assert all(path in answer.json["detail"] for path in answer.paths())
