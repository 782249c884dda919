"""Every JSON example of the User Guide, read from the specification at test time, against the running server.

What the specification's own schema accepts is stored and comes back unchanged; what it refuses is refused, for the
reason that readings.md gives. The guide has no JSON example of a subscription.
"""

import contextlib
import json

import pytest
from openadr_spec import HERE, examples, faults
from vtn_process import Party, fresh

pytestmark = HERE
REQUESTS = {"programs": "programRequest", "events": "eventRequest", "reports": "reportRequest"}
REQUESTS |= {"vens": "venRequest", "resources": "resourceRequest"}
RESPONSES = {"programs": "program", "events": "event", "reports": "report", "resources": "resource"}

NOT_A_DATE_TIME = {"8.6-1", "8.10.2-2"}
REASONS = {"7.7-1": {"payloadType": "TR-26"}, "8.12-1": {"objectType": "TR-25", "start": "TR-29"}}
MISSING_OBJECT_TYPE = {"objectType": "TR-25"}


def all_examples():
    return examples() if not HERE.args[0] else ()


WRITES = [one for one in all_examples() if one.method in {"POST", "PUT"}]
NOW_ONLY = [one for one in WRITES if one.name in NOT_A_DATE_TIME]
VALID = [one for one in WRITES if not faults(REQUESTS[one.collection], one.content)]
INVALID = [one for one in WRITES if one not in VALID and one not in NOW_ONLY]
READS = [one for one in all_examples() if one.method == "GET"]


def each(found):
    return pytest.mark.parametrize("example", found, ids=[one.name for one in found])


@pytest.fixture(scope="module")
def vtn(launch):
    with launch() as server:
        yield server


@pytest.fixture(scope="module")
def lenient(launch):
    with launch({"protocol.lenient_descriptors": "true"}) as server:
        yield server


@pytest.fixture
async def stage(bl, c1):
    async with staged(bl, c1) as post:
        yield post


@contextlib.asynccontextmanager
async def staged(bl, c1):
    """Parents for the examples; gives a function that posts an example with real ids in it."""
    program = await bl.made("/programs", {"programName": fresh("parent")})
    event = await bl.made("/events", {"programID": program["id"]})
    real = {"programID": program["id"], "eventID": event["id"]}

    async def post(example):
        if "venID" in example.content:
            ven = {"objectType": "BL_VEN_REQUEST", "clientID": example.content["clientID"], "venName": fresh("parent")}
            real["venID"] = (await bl.made("/vens", ven))["id"]
        body = {**example.content, **{name: real[name] for name in real if name in example.content}}
        writer = c1 if example.collection == "reports" else bl
        if example.method == "PUT":
            made = await bl.made("/events", {"programID": program["id"]})
            return body, writer, await writer.put(f"/events/{made['id']}", body)
        return body, writer, await writer.post(f"/{example.collection}", body)

    yield post
    for collection in ("programs", "vens"):
        for one in (await bl.get(f"/{collection}")).ids:
            (await bl.delete(f"/{collection}/{one}")).shows(200)


def test_the_guide_has_the_examples_that_were_counted():
    """Readings TR-25: 40 request bodies, 24 of which fail the schema."""
    assert (len(WRITES), len(VALID), len(NOW_ONLY), len(INVALID)) == (40, 16, 2, 22)


def unchanged(body, made):
    """Whether every property came back as it was sent, number for number."""
    return all(json.dumps(made[name]) == json.dumps(body[name]) for name in body if name != "objectType")


@each(VALID)
async def test_a_valid_example_is_accepted_and_returned_unchanged(stage, example):
    body, writer, answer = await stage(example)
    made = answer.shows(200 if example.method == "PUT" else 201).json
    read = (await writer.get(f"/{example.collection}/{made['id']}")).shows(200).json
    assert read == made
    assert unchanged(body, made)


@each(NOW_ONLY)
async def test_an_example_that_starts_now_is_accepted_and_its_start_spelled_as_a_date_time_tr_27(stage, example):
    body, _writer, answer = await stage(example)
    made = answer.shows(201).json
    assert made["intervalPeriod"]["start"] == "0001-01-01T00:00:00Z"
    assert faults("event", made) == []
    body["intervalPeriod"] = {**body["intervalPeriod"], "start": "0001-01-01T00:00:00Z"}
    assert unchanged(body, made)


@each(INVALID)
async def test_an_invalid_example_is_refused_for_the_reason_that_the_readings_give(stage, bl, c1, example):
    reasons = REASONS.get(example.name, MISSING_OBJECT_TYPE)
    _, _, answer = await stage(example)
    fields = {path.rpartition(".")[2] for path in answer.shows(400).paths()}
    assert fields == reasons.keys()


@each([one for one in INVALID if REASONS.get(one.name, MISSING_OBJECT_TYPE) == MISSING_OBJECT_TYPE])
async def test_an_example_without_object_types_is_accepted_where_the_operator_allows_it_tr_25(lenient, http, example):
    bl, c1 = (Party(http, lenient.url, lenient.token(name)) for name in ("bl", "c1"))
    async with staged(bl, c1) as post:
        _, _writer, answer = await post(example)
        made = answer.shows(200 if example.method == "PUT" else 201).json
        assert faults(RESPONSES[example.collection], made) == []
        assert all(descriptor["objectType"] for descriptor in made["payloadDescriptors"])


@each(READS)
async def test_the_guides_answers_are_not_of_the_schema_and_ours_are_tr_40(stage, bl, c1, example):
    """The guide's times of day are no date-times; ours has every field that the guide shows, and is valid."""
    shown = example.content[0] if isinstance(example.content, list) else example.content
    kind = RESPONSES[example.collection]
    wrong = faults(kind, shown)
    assert any("DateTime" in fault for fault in wrong), wrong
    twin = next(one for one in VALID if one.collection == example.collection)
    _, writer, answer = await stage(twin)
    ours = (await writer.get(f"/{example.collection}/{answer.json['id']}")).json
    assert {"createdDateTime", "modificationDateTime", "id", "objectType"} <= ours.keys()
    assert not [fault for fault in faults(kind, ours) if "objectType" not in fault]


async def test_the_report_descriptor_of_the_guide_is_taken_and_kept(bl, program):
    lone = next(one for one in all_examples() if one.name == "8.3-3")
    descriptors = lone.content.get("reportDescriptors", [lone.content])
    made = await bl.made("/events", {"programID": program["id"], "reportDescriptors": descriptors})
    assert json.dumps(made["reportDescriptors"]) == json.dumps(descriptors)
