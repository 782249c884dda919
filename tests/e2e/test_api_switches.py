"""Each switch of `[protocol]`, turned: where the standard leaves a choice, the operator has it."""

import contextlib

import pytest
from vtn_process import Party, Vtn, fresh

BL_VEN = {"objectType": "BL_VEN_REQUEST"}
TOGETHER = {
    "lenient_descriptors": "true",
    "strict_null": "true",
    "on_delete": "restrict",
    "default_limit": "2",
    "problem_media_type": "application/problem+json",
    "split_commas": "true",
}


@pytest.fixture(scope="module")
def servers(launch):
    """Servers by their switches; those that do not touch each other are turned together."""
    running: dict[str, Vtn] = {}
    with contextlib.ExitStack() as stack:

        def started(**protocol):
            settings = TOGETHER if protocol.items() <= TOGETHER.items() else protocol
            key = repr(settings)
            if key not in running:
                running[key] = stack.enter_context(launch({f"protocol.{name}": v for name, v in settings.items()}))
            return running[key]

        yield started


@pytest.fixture
def turned(servers, http):
    """The parties, by clientID, of a server with this switch turned."""

    def parties(**protocol):
        server = servers(**protocol)
        return {name: Party(http, server.url, server.token(name)) for name in server.secrets}

    return parties


async def targeted(bl, *target_lists):
    """Events with these targets, in an untargeted program; c1 is granted a and b."""
    program = await bl.made("/programs", {"programName": fresh("p")})
    await bl.made("/vens", BL_VEN | {"clientID": "c1", "venName": fresh("v"), "targets": ["a", "b"]})
    return [
        (await bl.made("/events", {"programID": program["id"], "targets": list(one)}))["id"] for one in target_lists
    ]


async def test_strict_target_query_tr_01(turned):
    """A VEN sees targeted objects only when it names the targets; reads by id need no query."""
    parties = turned(strict_target_query="true")
    hidden, open_to_all = await targeted(parties["bl"], ["a"], [])
    c1 = parties["c1"]
    assert (await c1.get("/events")).ids == [open_to_all]
    assert (await c1.get("/events", ("targets", "a"))).ids == [hidden]
    (await c1.get(f"/events/{hidden}")).shows(200)


async def test_match_targets_all_tr_02(turned):
    """Every requested target that the VEN holds must be on the object; grants alone still match by any."""
    parties = turned(match_targets="all")
    one, both, other = await targeted(parties["bl"], ["a"], ["a", "b", "z"], ["z"])
    asked = ("targets", "a"), ("targets", "b")
    assert (await parties["bl"].get("/events", *asked)).ids == [both]
    assert (await parties["c1"].get("/events", *asked)).ids == [both]
    assert (await parties["c1"].get("/events", ("targets", "a"), ("targets", "z"))).ids == [one, both]
    assert (await parties["c1"].get("/events")).ids == [one, both]
    assert (await parties["bl"].get("/events", ("targets", "z"))).ids == [both, other]


async def test_lenient_descriptors_tr_25(turned):
    """Descriptors without objectType get the one that their place implies."""
    parties = turned(lenient_descriptors="true")
    bl = parties["bl"]
    bare = [{"payloadType": "PRICE"}, {"payloadType": "USAGE", "readingType": "MEAN"}]
    program = await bl.made("/programs", {"programName": fresh("p"), "payloadDescriptors": bare})
    kinds = [one["objectType"] for one in program["payloadDescriptors"]]
    assert kinds == ["EVENT_PAYLOAD_DESCRIPTOR", "REPORT_PAYLOAD_DESCRIPTOR"]
    event = await bl.made("/events", {"programID": program["id"], "payloadDescriptors": bare[:1]})
    assert event["payloadDescriptors"][0]["objectType"] == "EVENT_PAYLOAD_DESCRIPTOR"
    body = {"eventID": event["id"], "clientName": "x", "resources": [], "payloadDescriptors": bare[:1]}
    report = await parties["c1"].made("/reports", body)
    assert report["payloadDescriptors"][0]["objectType"] == "REPORT_PAYLOAD_DESCRIPTOR"
    wrong = [{"objectType": "OTHER", "payloadType": "PRICE"}]
    (await bl.post("/events", {"programID": program["id"], "payloadDescriptors": wrong})).shows(400)


async def test_strict_null_tr_31(turned):
    bl = turned(strict_null="true")["bl"]
    program = await bl.made("/programs", {"programName": fresh("p"), "targets": None})
    answer = await bl.post("/events", {"programID": program["id"], "intervals": None, "priority": None})
    assert answer.shows(400).paths() == ["$.intervals"]


async def test_on_delete_restrict_tr_47(turned):
    bl = turned(on_delete="restrict")["bl"]
    program = await bl.made("/programs", {"programName": fresh("p")})
    event = await bl.made("/events", {"programID": program["id"]})
    (await bl.delete(f"/programs/{program['id']}")).shows(409)
    (await bl.get(f"/events/{event['id']}")).shows(200)
    (await bl.delete(f"/events/{event['id']}")).shows(200)
    (await bl.delete(f"/programs/{program['id']}")).shows(200)


async def test_default_limit_tr_53(turned):
    bl = turned(default_limit="2")["bl"]
    made = [(await bl.made("/vens", BL_VEN | {"clientID": fresh("c"), "venName": fresh("v")}))["id"] for _ in range(3)]
    every = (await bl.get("/vens", ("limit", "50"))).ids
    assert every[-3:] == made
    assert (await bl.get("/vens")).ids == every[:2]


async def test_problem_media_type_tr_35(turned):
    parties = turned(problem_media_type="application/problem+json")
    bl = parties["bl"]
    for answer in (
        await bl.get("/programs/x"),
        await bl.post("/programs", {}),
        await bl.get("/nowhere"),
        await bl.bearing(None).get("/programs"),
        await bl.send("POST", "/auth/token", raw=b"{}"),
    ):
        assert answer.status >= 400
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await bl.get("/programs")).headers["Content-Type"] == "application/json"


async def test_split_commas_tr_57(turned):
    parties = turned(split_commas="true")
    one, two, three = await targeted(parties["bl"], ["a"], ["b"], ["z"])
    assert (await parties["bl"].get("/events", ("targets", "a,b"))).ids == [one, two]
    assert (await parties["c1"].get("/events", ("targets", "b,z"))).ids == [two]
    assert (await parties["bl"].get("/events", ("targets", "z"))).ids == [three]


async def test_hide_events_of_hidden_programs_tr_04(turned):
    """An event is judged by its own targets alone, in lists and by id, also when its program is hidden."""
    parties = turned(hide_events_of_hidden_programs="false")
    program = await parties["bl"].made("/programs", {"programName": fresh("p"), "targets": ["nobody's"]})
    event = await parties["bl"].made("/events", {"programID": program["id"]})
    assert event["id"] in (await parties["c1"].get("/events")).ids
    (await parties["c1"].get(f"/events/{event['id']}")).shows(200)
    (await parties["c1"].get(f"/programs/{program['id']}")).shows(404)
