"""What bodies may hold: null, unknown and odd content, times, durations, order and compression (GEN-15..21, 28..31)."""

import asyncio
import json
from collections.abc import Iterable

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import alike, keeps, kept, views
from vtn.conformance.bodies.scalars import BAD_DATE_TIMES, BAD_DURATIONS, GOOD_DURATIONS
from vtn.conformance.bodies.specimens import METADATA, NEVER_NULL, NULLABLE, one_of_each
from vtn.conformance.bodies.valid_bodies import PERIOD_OF_EVENT, event_of, interval_of
from vtn.conformance.check import check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json

REQUEST_NEVER_NULL = (
    "aggregate",
    "startInterval",
    "numIntervals",
    "historical",
    "frequency",
    "repeat",
    "reportIntervals",
)
NO_OBJECTS = (b"{", b"[]", b'"text"', b"null", b"7", b"", b'{"programName": "x",}')
WRONG_TYPES: tuple[tuple[str, Json], ...] = (
    ("/programs", {"programName": 7}),
    ("/programs", {"programName": ["x"]}),
    ("/events", {"programID": {"id": "x"}}),
    ("/events", event_of("x", priority="high")),
    ("/reports", {"eventID": "x", "clientName": "x", "resources": "none"}),
    ("/subscriptions", {"clientName": True, "objectOperations": "none"}),
    ("/vens", {"objectType": "VEN_VEN_REQUEST", "venName": 7}),
    ("/resources", {"objectType": "VEN_RESOURCE_REQUEST", "venID": 7, "resourceName": "x"}),
)


@check("GEN-15")
async def nothing_is_null_that_may_only_be_absent(kit: Kit) -> None:
    """Ids, dates and optional properties that are not nullable are never null in an answer, at any depth."""
    for one in await one_of_each(kit):
        for where, seen in await views(one.party, one.path, one.content):
            nulls = _nulls(seen, (*METADATA, *NEVER_NULL[one.kind]))
            expect(not nulls, f"{', '.join(nulls)} of a minimal {one.kind} is null {where}")
    event = await kit.event(await kit.program(), reportDescriptors=[{"payloadType": "USAGE"}])
    for where, seen in await views(kit.bl, "/events", event):
        nulls = _nulls(seen.get("intervalPeriod") or {}, ("start", "duration", "randomizeStart"))
        nulls += _nulls(seen["intervals"][0], ("intervalPeriod", "payloads"))
        nulls += _nulls(seen["reportDescriptors"][0], REQUEST_NEVER_NULL)
        expect(not nulls, f"{', '.join(nulls)} in a minimal event is null {where}")


def _nulls(part: Json, names: Iterable[str]) -> list[str]:
    """Those of these properties that are there and null."""
    return [name for name in names if part.get(name, 0) is None]


@check("GEN-16")
async def null_is_taken_wherever_the_schema_allows_it(kit: Kit) -> None:
    """A body in which every nullable property is null is accepted, and the properties have their defaults."""
    for one in await one_of_each(kit):
        body = {**one.request, **dict.fromkeys(NULLABLE[one.kind])}
        changed = (await one.party.put(one.place, body)).shows(200).object
        odd = [name for name in NULLABLE[one.kind] if changed.get(name) not in (None, [])]
        expect(not odd, f"{', '.join(odd)} of a {one.kind} is not null after a null")
    program = await kit.program()
    await kit.made(kit.bl, "/events", event_of(program["id"], **dict.fromkeys(NULLABLE["EVENT"])))
    await kit.made(kit.bl, "/programs", {"programName": kit.name("p"), **dict.fromkeys(NULLABLE["PROGRAM"])})


@check("GEN-17")
async def null_elsewhere_is_refused_or_taken_as_absent(kit: Kit) -> None:
    """Null for a property that is not nullable is refused with 400, or taken as left out and never shown (TR-31)."""
    for one in await one_of_each(kit):
        for name in NEVER_NULL[one.kind]:
            answer = (await one.party.put(one.place, {**one.request, name: None})).shows(200, 400)
            read = (await one.party.get(one.place)).shows(200).object
            expect(read.get(name, 0) is not None, f"{name} of a {one.kind} is null after a null was {answer.status}")
    (await kit.bl.post("/events", {"programID": None})).problem(400)
    (await kit.bl.post("/programs", {"programName": None})).problem(400)


@check("GEN-18")
async def unknown_properties_do_not_fail_a_request(kit: Kit) -> None:
    """Properties that the schema does not know are accepted, outside and inside, and the known ones are kept."""
    for one in await one_of_each(kit):
        changed = (await one.party.put(one.place, {**one.request, "myPrivateObject": {"x": [1]}})).shows(200).object
        expect(changed.get("myPrivateObject") in (None, {"x": [1]}), "a private property came back changed")
    own = {"programName": kit.name("program"), "myPrivateObject": "x", "intervalPeriod": {**PERIOD_OF_EVENT, "mine": 1}}
    program = await kit.made(kit.bl, "/programs", own)
    expect(program["programName"] == own["programName"], "the program lost its name")
    keeps({"intervalPeriod": PERIOD_OF_EVENT}, program, "the program lost its period")
    expect(program.get("myPrivateObject") in (None, "x"), "a private property came back changed")


@check("GEN-19")
async def private_and_odd_content_is_stored_unchanged(kit: Kit) -> None:
    """Values are the clients' affair: a private type, and values that make no sense for their type, come back."""
    payloads: list[Json] = [
        {"type": "PRIVATE_ALGORITHM", "values": [0.17]},
        {"type": "PRICE", "values": ["cheap", False]},
        {"type": "SIMPLE", "values": [99, -1.25]},
        {"type": "ALERT_FIRE", "values": [7]},
    ]
    event = await kit.event(await kit.program(), intervals=[interval_of(*payloads)])
    for where, seen in await views(kit.bl, "/events", event):
        found = seen["intervals"][0]["payloads"]
        expect(kept(payloads, found), f"payloads {payloads} are {found} {where}")


@check("GEN-20")
async def wrong_json_types_are_refused(kit: Kit) -> None:
    """A known property of another JSON type is answered 400, whichever kind it belongs to."""
    for path, body in WRONG_TYPES:
        party = kit.bl if path in {"/programs", "/events"} else kit.ven
        await kit.refused(party, path, body, 400)


@check("GEN-21")
async def a_body_that_is_no_object_is_refused(kit: Kit) -> None:
    """Broken JSON, another JSON value and an empty body are answered 400 with a problem, by POST and by PUT."""
    headers = {"Content-Type": "application/json"}
    for one in await one_of_each(kit):
        for raw in NO_OBJECTS:
            for method, place in (("POST", one.path), ("PUT", one.place)):
                answer = await one.party.send(method, place, raw=raw, headers=headers)
                answer.problem(400)
        read = (await one.party.get(one.place)).shows(200).object
        expect(alike(read, one.content), f"a refused PUT changed a {one.kind}")


@check("GEN-28")
async def a_start_that_is_no_date_time_is_refused(kit: Kit) -> None:
    """A start that is not RFC 3339, nor one of the literals for `now`, is answered 400 in events and programs."""
    program = await kit.program()
    for start in BAD_DATE_TIMES:
        period = {"intervalPeriod": {"start": start, "duration": "PT1H"}}
        bodies: dict[str, Json] = {
            "/events": event_of(program["id"], **period),
            "/programs": {"programName": kit.name("program"), **period},
        }
        for path, body in bodies.items():
            await kit.refused(kit.bl, path, body, 400)


@check("GEN-29")
async def durations_follow_the_pattern(kit: Kit) -> None:
    """Durations of the schema's pattern are kept, in whichever spelling; others are answered 400."""
    program = await kit.program()
    for good in (*GOOD_DURATIONS, "P1W", "P1Y1W", "P1DT12H", "PT0H", "PT0S"):
        event = await kit.event(program, duration=good)
        found = event.get("duration")
        expect(kept(good, found, "duration"), f"the duration {good} came back as {found}")
    for bad in (*BAD_DURATIONS, "P1D2W", "P1.5D", "+PT1H", "PT-1H", "PT1H\n"):
        await kit.refused(kit.bl, "/events", event_of(program["id"], duration=bad), 400)


@check("GEN-30")
async def lists_keep_their_order_and_values_their_type(kit: Kit) -> None:
    """Values of all types, in several payloads and intervals, come back in their order and with their JSON types."""
    values = ["a", True, 1, 1.5, {"x": 1, "y": 2}, "5", 5, False, 0, "", "a"]
    payloads = [{"type": kind, "values": values} for kind in "ba"]
    intervals = [interval_of(*payloads, number=n) for n in (3, 1, 2)]
    event = await kit.event(await kit.program(), intervals=intervals, targets=["b", "a", "c"])
    for where, seen in await views(kit.bl, "/events", event):
        expect(seen["targets"] == ["b", "a", "c"], f"targets came back as {seen['targets']} {where}")
        found = [(one["id"], _typed(one["payloads"])) for one in seen["intervals"]]
        expect(found == [(n, _typed(payloads)) for n in (3, 1, 2)], f"intervals came back changed {where}")


def _typed(value: object) -> str:
    """JSON in which true and 1 differ, 1 and 1.0 do not, and properties have an order."""
    if isinstance(value, dict):
        return str([(name, _typed(value[name])) for name in sorted(value) if value[name] is not None])
    if isinstance(value, list):
        return str([_typed(item) for item in value])
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(float(value))
    return json.dumps(value)


@check("GEN-31")
async def compression_changes_nothing_but_the_bytes(kit: Kit) -> None:
    """An answer to a client that accepts gzip is plain or gzip, and says the same as a plain one."""
    program = await kit.program()
    await asyncio.gather(*(kit.event(program, eventName="x" * 2000) for _ in range(4)))
    query = (("programID", program["id"]),)
    plain, packed = [
        (await kit.bl.send("GET", "/events", query=query, headers={"Accept-Encoding": coding})).shows(200)
        for coding in ("identity", "gzip")
    ]
    expect(plain.headers.get("Content-Encoding", "identity") == "identity", "a coding came that was not accepted")
    coding = packed.headers.get("Content-Encoding", "identity")
    expect(coding in {"identity", "gzip"}, f"gzip was accepted, {coding} came")
    expect(packed.list == plain.list, "the compressed answer says something else")
