"""Ids, times, references, deletion and writes at the same time (GEN-22..27, GEN-32..36)."""

import asyncio
import re

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import is_date_time, kept, views
from vtn.conformance.bodies.specimens import one_of_each
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.check import check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json

OBJECT_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}", re.ASCII)
MALFORMED = ("%20bad%21", "a%2Eb", "x" * 129)
UNKNOWN = "no-such-id"
ROUNDS = 5


@check("GEN-22")
async def ids_are_safe_in_urls(kit: Kit) -> None:
    """Every id, in answers, by id and in lists, is 1 to 128 letters, digits, hyphens and underscores."""
    for one in await one_of_each(kit):
        for where, seen in await views(one.party, one.path, one.content):
            right = isinstance(seen["id"], str) and OBJECT_ID.fullmatch(seen["id"])
            expect(right, f"a {one.kind} has the id {seen['id']!r} {where}")
            expect(seen["id"] == one.content["id"], f"a {one.kind} has another id {where}")


@check("GEN-23")
async def no_two_objects_share_an_id(kit: Kit) -> None:
    """Objects of all six kinds, and several of one kind, have different ids."""
    made = [one.content["id"] for one in await one_of_each(kit)]
    program = await kit.program()
    made += [program["id"], *[(await kit.event(program))["id"] for _ in range(ROUNDS)]]
    twice = {one for one in made if made.count(one) > 1}
    expect(not twice, f"ids were given twice: {twice}")


@check("GEN-24")
async def a_malformed_id_in_the_path_is_refused(kit: Kit) -> None:
    """A path id of wrong characters or length is answered 400 (or 404) with a problem, on all six collections."""
    for one in await one_of_each(kit):
        for malformed in MALFORMED:
            (await kit.bl.get(f"{one.path}/{malformed}")).problem(400, 404)


@check("GEN-25")
async def an_unknown_id_is_not_found(kit: Kit) -> None:
    """GET, PUT and DELETE of a well-formed id that nothing has are answered 404 with a problem."""
    for one in await one_of_each(kit):
        place = f"{one.path}/{UNKNOWN}"
        (await kit.bl.get(place)).problem(404)
        (await one.party.put(place, one.request)).problem(404)
        (await one.party.delete(place)).problem(404)


@check("GEN-26")
async def what_was_deleted_is_gone_for_everybody(kit: Kit) -> None:
    """After a DELETE the id is not found by its owner or by Business Logic, and is in no list."""
    for one in reversed(await one_of_each(kit)):
        await kit.drop(one.party, one.place)
        for party in (one.party, kit.bl, kit.ven):
            (await party.get(one.place)).problem(404)
        (await one.party.delete(one.place)).problem(404)
        expect(one.content["id"] not in await kit.bl.ids(one.path), f"a deleted {one.kind} is still listed")


@check("GEN-27")
async def the_vtn_writes_rfc_3339_times(kit: Kit) -> None:
    """The times that the VTN writes are RFC 3339 date-times with an offset, also after a PUT."""
    for one in await one_of_each(kit):
        changed = (await one.party.put(one.place, one.request)).shows(200).object
        for content in (one.content, changed):
            for name in ("createdDateTime", "modificationDateTime"):
                expect(is_date_time(content[name]), f"{name} of a {one.kind} is {content[name]!r}")


@check("GEN-32")
async def the_codes_of_the_table_are_used(kit: Kit) -> None:
    """Creation is 201, success 200, a bad body 400, a forbidden write 403, an unknown id 404, a name taken 409."""
    body = {"programName": kit.name("program")}
    program = await kit.made(kit.bl, "/programs", body)
    (await kit.bl.get(f"/programs/{program['id']}")).shows(200)
    (await kit.bl.post("/programs", {})).problem(400)
    (await kit.ven.delete(f"/programs/{program['id']}")).problem(403)
    (await kit.bl.get(f"/programs/{UNKNOWN}")).problem(404)
    again = await kit.bl.post("/programs", body)
    again.problem(409)


@check("GEN-33")
async def names_in_queries_are_compared_whole(kit: Kit) -> None:
    """A name query finds the object of exactly that name: no part of it, no other case."""
    ven = await kit.ven_of(kit.ven)
    resource = await kit.resource_of(ven)
    report = await kit.report(kit.ven, await kit.event(await kit.program()), clientName=kit.name("Client"))
    rows = (("/vens", "venName", ven), ("/resources", "resourceName", resource), ("/reports", "clientName", report))
    for path, query, made in rows:
        name = made[query]
        found = await kit.bl.ids(path, (query, name))
        expect(found == [made["id"]], f"{path}?{query}={name} should find one object, but found {len(found)}")
        for other in (name[:-1], name + "0", name[1:], name.upper()):
            wrong = made["id"] in await kit.bl.ids(path, (query, other))
            expect(not wrong, f"{path}?{query}={other} found {name}")


@check("GEN-34")
async def a_reference_to_nothing_is_refused(kit: Kit) -> None:
    """A body that names an unknown program, event or ven is refused (409, 400 or 404), and nothing is stored."""
    name = kit.name("client")
    own = {"objectType": "BL_RESOURCE_REQUEST", "clientID": kit.ven.client_id, "resourceName": name}
    rows: tuple[tuple[str, Json, tuple[str, str]], ...] = (
        ("/events", event_of(UNKNOWN), ("programID", UNKNOWN)),
        ("/reports", {**kit.report_on(UNKNOWN), "clientName": name}, ("clientName", name)),
        ("/subscriptions", kit.subscribing(clientName=name, programID=UNKNOWN), ("clientName", name)),
        ("/resources", {**own, "venID": UNKNOWN}, ("resourceName", name)),
    )
    for path, body, query in rows:
        party = kit.ven if path == "/reports" else kit.bl
        await kit.refused(party, path, body, 409, 400, 404)
        expect(await kit.bl.ids(path, query) == [], f"a refused POST {path} stored something")


@check("GEN-35")
async def no_child_outlives_its_parent(kit: Kit) -> None:
    """Deleting a program or ven deletes what hangs on it (or is refused with 409, and all stays): never an orphan."""
    program = await kit.program()
    event = await kit.event(program)
    report = await kit.report(kit.ven, event)
    subscription = await kit.subscription(kit.ven, programID=program["id"])
    ven = await kit.ven_of(kit.ven)
    resource = await kit.resource_of(ven)
    hanging = [f"/{kind}/{one['id']}" for kind, one in (("events", event), ("reports", report))]
    await _goes_whole(kit, f"/programs/{program['id']}", [*hanging, f"/subscriptions/{subscription['id']}"])
    await _goes_whole(kit, f"/vens/{ven['id']}", [f"/resources/{resource['id']}"])


async def _goes_whole(kit: Kit, parent: str, children: list[str]) -> None:
    status = (await kit.bl.delete(parent)).shows(200, 409).status
    wanted = {200: 404, 409: 200}[status]
    for place in (parent, *children):
        found = (await kit.bl.get(place)).status
        expect(found == wanted, f"DELETE {parent} was {status}, GET {place} then should be {wanted}, but is {found}")


@check("GEN-36")
async def writes_at_the_same_time_leave_one_of_them_whole(kit: Kit) -> None:
    """Of two parallel PUTs one stays, with all of its fields and none of the other's."""
    program = await kit.program()
    event = await kit.event(program)
    place = f"/events/{event['id']}"
    bodies = [
        event_of(program["id"], eventName=name * 500, priority=number, targets=[name])
        for number, name in enumerate(("a", "b"))
    ]
    for _ in range(ROUNDS):
        answers = await asyncio.gather(*(kit.bl.put(place, body) for body in bodies))
        for answer in answers:
            answer.shows(200)
        read = (await kit.bl.get(place)).shows(200).object
        expect(any(kept(body, read) for body in bodies), "after two parallel PUTs the event is neither of them")
