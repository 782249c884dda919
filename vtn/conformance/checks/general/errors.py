"""Errors: every refusal is a problem document with the right status, and leaves no trace (section ERR)."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import alike
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.check import ConformanceCheck, Need, check, register
from vtn.conformance.kit import HIDDEN, Kit
from vtn.conformance.parties.exchange import HttpAnswer
from vtn.conformance.requirements import Level, every
from vtn.conformance.stage import staged
from vtn.rules.scopes import OPERATIONS

LONGEST_URI = 8000
TRACES = re.compile(
    r"Traceback|File \"|\bline \d+, in |at [\w.$]+\([\w.]+:\d+\)|stack ?trace|NullPointer|panicked at|"
    r"sqlalchemy|psycopg|sqlite3?\.|SELECT .+ FROM|node_modules|/site-packages/",
    re.IGNORECASE,
)
HOSTILE: tuple[bytes, ...] = (
    b"{" * 500,
    b'{"programName":' + b"[" * 20_000,
    b'{"programName": "\\ud800"}',
    b'{"programName": "\x00"}',
    b"\xff\xfe\x00\x01",
    b'{"programName": 1e999}',
    b'{"programName": "a", "programName": {}}',
    b'{"programName": "x", "targets": ' + b"9" * 5000 + b"}",
)
HOSTILE_PATHS = ("/programs/%00", "/events?programID=%ff", "/vens?venName=%00", "/programs/%2e%2e%2f", "/events?skip=%")


async def refusals(kit: Kit) -> Mapping[int, HttpAnswer]:
    """One refusal of each kind, by its status: 400, 401, 403, 404 and 409."""
    program = await kit.program()
    body = {"programName": program["programName"]}
    return {
        400: (await kit.bl.post("/programs", {"programName": 7})).shows(400),
        401: (await kit.nobody.get("/vens")).shows(401),
        403: (await kit.ven.post("/programs", body)).shows(403),
        404: (await kit.bl.get("/programs/no-such-id")).shows(404),
        409: (await kit.bl.post("/programs", body)).shows(409),
    }


@check("ERR-01", "ERR-02")
async def every_refusal_is_a_problem_document(kit: Kit) -> None:
    """Refusals with 400, 401, 403, 404 and 409 carry an object with a title, and a status equal to the answer's."""
    for status, answer in (await refusals(kit)).items():
        content = answer.problem(status).object
        expect(isinstance(content.get("title"), str) and content["title"], f"the {status} should have a title")
        expect(content.get("status") == status, f"the {status} should say its status, but says {content.get('status')}")


@check("ERR-03")
async def the_type_of_a_problem_is_an_absolute_uri(kit: Kit) -> None:
    """A problem's `type`, if sent, is an absolute URI such as about:blank."""
    for answer in (await refusals(kit)).values():
        kind = answer.object.get("type", "about:blank")
        expect(isinstance(kind, str) and urlsplit(kind).scheme, f"type should be an absolute URI, but is {kind!r}")


@check("ERR-04")
async def the_instance_of_a_problem_is_an_absolute_uri(kit: Kit) -> None:
    """A problem's `instance`, if sent, is an absolute URI of three characters or more, not a bare path."""
    for answer in (await refusals(kit)).values():
        instance = answer.object.get("instance", "urn:x")
        expect(
            isinstance(instance, str) and urlsplit(instance).scheme and len(instance) > 2,  # noqa: PLR2004 - of the schema
            f"instance should be an absolute URI, but is {instance!r}",
        )


@check("ERR-05")
async def problems_show_nothing_of_the_inside(kit: Kit) -> None:
    """Refusals show no trace, no query and no path of the program, and nothing of a hidden object."""
    stage = await staged(kit, "P0", "V1")
    secret = kit.name("secret")
    hidden = await kit.event(stage.things["P0"], eventName=secret, targets=stage.real("g9"))
    asked = [await kit.ven.get(f"/events/{hidden['id']}"), await kit.ven.delete(f"/events/{hidden['id']}")]
    asked.append(await kit.ven.post("/reports", kit.report_on(hidden["id"])))
    for answer in [*(await refusals(kit)).values(), *asked]:
        expect(not TRACES.search(answer.text), f"the {answer.status} shows something of the inside")
        expect(secret not in answer.text, f"the {answer.status} shows the name of a hidden event")
        expect(stage.real("g9")[0] not in answer.text, f"the {answer.status} shows the target of a hidden event")


@check("ERR-06")
async def malformed_requests_are_bad_requests(kit: Kit) -> None:
    """What breaks JSON, a body's schema or a parameter's is answered 400 with a problem document."""
    (await kit.bl.send("POST", "/programs", raw=b"{", headers={"Content-Type": "application/json"})).problem(400)
    (await kit.bl.post("/programs", {})).problem(400)
    (await kit.bl.post("/events", {"programID": 7})).problem(400)
    (await kit.bl.get("/events", ("limit", "x"))).problem(400)


@check("ERR-07")
async def without_a_valid_token_the_answer_is_401(kit: Kit) -> None:
    """No token and a wrong one are answered 401 with a problem document, for reads and writes."""
    for party in (kit.nobody, kit.nobody.bearing("garbage")):
        (await party.get("/vens")).problem(401)
        (await party.post("/programs", {"programName": kit.name("program")})).problem(401)


@check("ERR-07", level=Level.READING)
async def a_401_says_how_to_authenticate(kit: Kit) -> None:
    """A 401 names the scheme Bearer in WWW-Authenticate."""
    for party in (kit.nobody, kit.nobody.bearing("garbage")):
        challenge = (await party.get("/vens")).problem(401).headers.get("WWW-Authenticate", "")
        expect(challenge.lower().startswith("bearer"), f"WWW-Authenticate should name Bearer, but is {challenge!r}")


@check("ERR-08")
async def what_a_role_may_not_do_is_forbidden(kit: Kit) -> None:
    """A VEN's write of an event and Business Logic's write of a report are answered 403 with a problem document."""
    event = await kit.event(await kit.program())
    (await kit.ven.delete(f"/events/{event['id']}")).problem(403)
    await kit.refused(kit.bl, "/reports", kit.report_on(event["id"]), 403)


@check("ERR-09")
async def what_is_not_there_is_not_found(kit: Kit) -> None:
    """An unknown id, a hidden one (or 403) and an unknown URL are answered 404 with a problem document."""
    stage = await staged(kit, "P9")
    for party, path, statuses in (
        (kit.bl, "/events/no-such-id", (404,)),
        (kit.ven, f"/programs/{stage.id('P9')}", HIDDEN),
        (kit.bl, "/nope", (404,)),
    ):
        (await party.get(path)).problem(*statuses)


@check("ERR-10", "ERR-11")
async def names_and_references_that_clash_are_conflicts(kit: Kit) -> None:
    """A taken program, ven or resource name, and an unknown programID, are answered 409 (references: 400 or 404)."""
    program, ven = await kit.program(), await kit.ven_of(kit.ven)
    resource = await kit.resource_of(ven)
    own = {"objectType": "BL_VEN_REQUEST", "clientID": kit.ven2.client_id, "venName": ven["venName"]}
    same = {name: resource[name] for name in ("clientID", "venID", "resourceName")}
    for path, body in (
        ("/programs", {"programName": program["programName"]}),
        ("/vens", own),
        ("/resources", {"objectType": "BL_RESOURCE_REQUEST", **same}),
    ):
        await kit.refused(kit.bl, path, body, 409)
    (await kit.bl.post("/events", event_of("no-such-id"))).problem(409, 400, 404)


@check("ERR-12")
async def no_request_breaks_the_vtn(kit: Kit) -> None:
    """Hostile bodies, queries and paths break nothing; should one fail inside, the 500 is a problem without a trace."""
    answers = [await kit.bl.send("GET", path) for path in HOSTILE_PATHS]
    for raw in HOSTILE:
        answer = await kit.bl.send("POST", "/programs", raw=raw, headers={"Content-Type": "application/json"})
        answers.append(answer)
    for answer in answers:
        expect(answer.status < HTTPStatus.NOT_IMPLEMENTED, f"{answer.method} {answer.url[:200]} gave {answer.status}")
        expect(not TRACES.search(answer.text), f"the {answer.status} shows something of the inside")
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            answer.problem(500)
    (await kit.bl.get("/programs", ("limit", "1"))).shows(200)


@check("ERR-13")
async def every_operation_is_implemented(kit: Kit) -> None:
    """None of the operations answers 405 or 501; only /auth/token may say 501."""
    for operation in (one for one in OPERATIONS if kit.mqtt is not None or "mqtt" not in one.path):
        path = "/".join("no-such-id" if part.startswith("{") else part for part in operation.path.split("/"))
        answer = await kit.bl.send(operation.method, path, body={} if operation.method in {"POST", "PUT"} else None)
        missing = answer.status in {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}
        expect(not missing, f"{operation.method} {operation.path} answers {answer.status}")


@check("ERR-14")
async def who_may_not_is_told_nothing_else(kit: Kit) -> None:
    """401 comes before 403, 403 before 400 and 404, 400 before 404, and 404 before 409."""
    taken = await kit.program()
    (await kit.nobody.post("/programs", {})).problem(401)
    (await kit.nobody.send("PUT", "/programs/no-such-id", raw=b"{")).problem(401)
    (await kit.ven.post("/programs", {"programName": 7})).problem(403)
    (await kit.ven.put("/events/no-such-id", {})).problem(403)
    (await kit.bl.put("/programs/no-such-id", {"programName": 7})).problem(400)
    (await kit.bl.put("/programs/no-such-id", {"programName": taken["programName"]})).problem(404)


@check("ERR-15")
async def a_refused_write_leaves_no_object(kit: Kit) -> None:
    """After refused POSTs, PUTs and DELETEs the lists and the objects are as before."""
    program = await kit.program()
    event = await kit.event(program, eventName=kit.name("event"))
    own = ("programID", program["id"])
    for wrong in ({"priority": -1}, {"targets": [""]}):
        (await kit.bl.post("/events", event_of(program["id"], **wrong))).problem(400)
    (await kit.ven.post("/events", event_of(program["id"]))).problem(403)
    (await kit.bl.put(f"/events/{event['id']}", event_of(program["id"], intervals="x"))).problem(400)
    (await kit.bl.put(f"/events/{event['id']}", event_of("no-such-id"))).problem(409, 400, 404)
    (await kit.ven.delete(f"/events/{event['id']}")).problem(403)
    expect(alike(await kit.bl.all("/events", own), [event]), "refused writes changed the events of a program")


@check("ERR-15", needs=(Need.RECEIVER,))
async def a_refused_write_notifies_nobody(kit: Kit) -> None:
    """A subscriber hears nothing of refused POSTs and PUTs, and then of the first one that is accepted."""
    async with kit.hook() as hook:
        program = await kit.program()
        event = await kit.event(program)
        await kit.subscription(kit.bl, hook.wish("EVENT"), programID=program["id"])
        (await kit.bl.post("/events", event_of(program["id"], priority=-1))).problem(400)
        (await kit.bl.put(f"/events/{event['id']}", event_of(program["id"], intervals="x"))).problem(400)
        (await kit.ven.put(f"/events/{event['id']}", event_of(program["id"]))).problem(403)
        changed = (await kit.bl.put(f"/events/{event['id']}", event_of(program["id"]))).shows(200).object
        await hook.hears("UPDATE", changed)
        await hook.none()


# --- the fields of a problem -----------------------------------------------------------------------------------------


def _uri(shortest: int) -> Callable[[Any], bool]:
    def right(value: Any) -> bool:
        absolute = isinstance(value, str) and bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*:\S", value))
        return absolute and shortest <= len(value) <= LONGEST_URI

    return right


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600  # noqa: PLR2004 - of the schema


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A field of problem documents, and what it may be when it is sent."""

    name: str
    right: Callable[[Any], bool]

    async def obeyed(self, kit: Kit) -> None:
        """Failed when a refusal has the field wrong."""
        for status, answer in (await refusals(kit)).items():
            content = answer.problem(status).object
            good = self.name not in content or self.right(content[self.name])
            expect(good, f"problem.{self.name} of the {status} breaks its schema: {content.get(self.name)!r}")


PARTS = (Part("type", _uri(2)), Part("title", _text), Part("status", _status), Part("detail", _text))
for _number, _part in enumerate((*PARTS, Part("instance", _uri(3))), start=1):
    _row = every()[f"ERR-F{_number:02}"]
    _run = functools.partial(Part.obeyed, _part)
    register(ConformanceCheck(f"problem_{_part.name}_follows_its_schema", _row.text, (_row.id,), _row.level, (), _run))
