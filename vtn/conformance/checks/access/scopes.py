"""Who may call which operation: the rows of the scope table, and what the scopes mean (section SCO)."""

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import alike
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.check import ConformanceCheck, Need, check, register
from vtn.conformance.kit import COLLECTIONS, HIDDEN, NO_WEBHOOKS, Kit
from vtn.conformance.parties.exchange import Json, Party
from vtn.conformance.requirements import every
from vtn.conformance.stage import sight, staged

BL_ONLY_TOPICS = ("events", "reports", "subscriptions", "vens", "resources")
TARGETED = {"programs": ("P0", "P1", "P9"), "events": ("E0", "E1", "E9")}
OWNED = ("reports", "subscriptions", "vens", "resources")


@dataclasses.dataclass(slots=True)
class Cast:
    """An event to report on, and the vens of both VEN clients where a collection needs them."""

    kit: Kit
    event: Json
    vens: Mapping[str, Json]

    def body(self, collection: str, party: Party, owner: Party | None = None) -> Json:
        """A valid body of an owned collection as this party writes it; Business Logic writes for the owner."""
        by_bl = party is self.kit.bl
        client = (owner or (self.kit.ven if by_bl else party)).client_id
        if collection == "reports":
            return self.kit.report_on(self.event["id"])
        if collection == "subscriptions":
            return self.kit.subscribing()
        kind = "VEN" if collection == "vens" else "RESOURCE"
        shape = {"objectType": f"{'BL' if by_bl else 'VEN'}_{kind}_REQUEST", **({"clientID": client} if by_bl else {})}
        if collection == "vens":
            return {**shape, "venName": self.kit.name("ven")}
        return {**shape, "venID": self.vens[client]["id"], "resourceName": self.kit.name("resource")}

    async def made(self, collection: str, owner: Party) -> Json:
        """An object that this VEN owns, made by itself."""
        return await self.kit.made(owner, f"/{collection}", self.body(collection, owner))


async def cast(kit: Kit, collection: str) -> Cast:
    """What the objects of an owned collection need."""
    event = await kit.event(await kit.program())
    vens = {}
    if collection == "resources":
        vens = {party.client_id: await kit.ven_of(party) for party in (kit.ven, kit.ven2)}
    return Cast(kit, event, vens)


# --- the rows ---------------------------------------------------------------------------------------------------------


async def _listed_by_targets(collection: str, kit: Kit) -> None:
    everything = TARGETED[collection]
    stage = await staged(kit, "P0", *everything, "V1")
    seen = await stage.listed(kit.bl, collection)
    expect(set(everything) <= seen.keys(), f"Business Logic should see {everything} in /{collection}, sees {seen}")
    names = await stage.listed(kit.ven, collection, "g1")
    wanted = sight(f"{everything[1]}:g1")
    expect(names == wanted, f"a VEN granted g1 that asks for g1 should see {wanted}, sees {names}")


async def _read_by_targets(collection: str, kit: Kit) -> None:
    everything = TARGETED[collection]
    stage = await staged(kit, "P0", *everything, "V1")
    for name in everything:
        (await kit.bl.get(f"/{collection}/{stage.id(name)}")).shows(200)
    (await kit.ven.get(f"/{collection}/{stage.id(everything[0])}")).shows(200)
    (await kit.ven.get(f"/{collection}/{stage.id(everything[2])}")).problem(*HIDDEN)


def _announcement(kit: Kit, collection: str, program: Json) -> Json:
    return {"programName": kit.name("program")} if collection == "programs" else event_of(program["id"])


async def _created_by_bl(collection: str, kit: Kit) -> None:
    program = await kit.program()
    await kit.refused(kit.ven, f"/{collection}", _announcement(kit, collection, program), 403)
    await kit.made(kit.bl, f"/{collection}", _announcement(kit, collection, program))


async def _replaced_by_bl(collection: str, kit: Kit) -> None:
    program = await kit.program()
    path = f"/{collection}/{await _one(kit, collection, program)}"
    before = (await kit.bl.get(path)).shows(200).object
    (await kit.ven.put(path, _announcement(kit, collection, program))).problem(403)
    expect(alike((await kit.bl.get(path)).object, before), "a refused PUT should change nothing")
    (await kit.bl.put(path, _announcement(kit, collection, program))).shows(200)


async def _deleted_by_bl(collection: str, kit: Kit) -> None:
    path = f"/{collection}/{await _one(kit, collection, await kit.program())}"
    (await kit.ven.delete(path)).problem(403)
    (await kit.bl.get(path)).shows(200)
    (await kit.bl.delete(path)).shows(200)


async def _one(kit: Kit, collection: str, program: Json) -> str:
    return str(program["id"] if collection == "programs" else (await kit.event(program))["id"])


async def _listed_by_owner(collection: str, kit: Kit) -> None:
    scene = await cast(kit, collection)
    one, other = [(await scene.made(collection, owner))["id"] for owner in (kit.ven, kit.ven2)]
    own, all_ = await kit.ven.ids(f"/{collection}"), await kit.bl.ids(f"/{collection}")
    expect(one in own and other not in own, f"a VEN should see its own in /{collection} and nobody else's")
    expect({one, other} <= set(all_), f"Business Logic should see everybody's in /{collection}")


async def _read_by_owner(collection: str, kit: Kit) -> None:
    thing = await (await cast(kit, collection)).made(collection, kit.ven)
    for party in (kit.bl, kit.ven):
        read = (await party.get(f"/{collection}/{thing['id']}")).shows(200).object
        expect(read["id"] == thing["id"], "the object of that id should be returned")
    (await kit.ven2.get(f"/{collection}/{thing['id']}")).problem(*HIDDEN)


async def _created_by_owner(collection: str, kit: Kit) -> None:
    scene = await cast(kit, collection)
    shaped = collection in {"vens", "resources"}
    if shaped:
        refused = await kit.ven.post(
            f"/{collection}", {**scene.body(collection, kit.bl), "clientID": kit.ven.client_id}
        )
        refused.problem(403, 400)
    made = await kit.made(kit.ven, f"/{collection}", scene.body(collection, kit.ven))
    expect(made["clientID"] == kit.ven.client_id, "what a VEN creates should have its clientID")
    answer = await kit.bl.post(f"/{collection}", scene.body(collection, kit.bl, kit.ven2))
    answer.problem(403) if collection == "reports" else answer.shows(201)


async def _replaced_by_owner(collection: str, kit: Kit) -> None:
    scene = await cast(kit, collection)
    path = f"/{collection}/{(await scene.made(collection, kit.ven))['id']}"
    body = scene.body(collection, kit.ven)
    (await kit.ven2.put(path, body)).problem(*HIDDEN)
    (await kit.ven.put(path, body)).shows(200)
    by_bl = await kit.bl.put(path, scene.body(collection, kit.bl))
    by_bl.problem(403) if collection == "reports" else by_bl.shows(200)


async def _deleted_by_owner(collection: str, kit: Kit) -> None:
    scene = await cast(kit, collection)
    first, second = [f"/{collection}/{(await scene.made(collection, who))['id']}" for who in (kit.ven, kit.ven2)]
    (await kit.ven2.delete(first)).problem(*HIDDEN)
    (await kit.ven.delete(first)).shows(200)
    by_bl = await kit.bl.delete(second)
    by_bl.shows(200, 403) if collection == "reports" else by_bl.shows(200)  # whether it may is a reading (RPT-11)


async def _without_a_token(kit: Kit) -> None:
    found = (await kit.nobody.get("/auth/server")).shows(200).object
    expect("tokenURL" in found, "/auth/server should name the token endpoint without asking for a token")


async def _token_without_a_token(kit: Kit) -> None:
    found = (await kit.ven.ask_token({})).shows(200).object
    expect(found.get("access_token"), "the token endpoint should give a token to a client that has none yet")


async def _notifiers(kit: Kit) -> None:
    for party in (kit.bl, kit.ven):
        found = (await party.get("/notifiers")).shows(200).object
        expect(found.get("WEBHOOK") is True, "WEBHOOK should be true", NO_WEBHOOKS)


def _offered(kit: Kit) -> tuple[int, ...]:
    """What a topic endpoint answers somebody who may ask; a public broker may have no topics there."""
    return (200, 404) if kit.mqtt_is_public else (200,)


async def _topics_for_all(path: str, kit: Kit) -> None:
    stage = await staged(kit, "P0", "P9")
    for party in (kit.bl, kit.ven):
        (await party.get(f"/notifiers/mqtt/topics/{path.format(stage.id('P0'))}")).shows(*_offered(kit))
    if "{}" in path:
        (await kit.ven.get(f"/notifiers/mqtt/topics/{path.format(stage.id('P9'))}")).problem(*HIDDEN)


async def _topics_for_bl(path: str, kit: Kit) -> None:
    (await kit.bl.get(f"/notifiers/mqtt/topics/{path}")).shows(*_offered(kit))
    (await kit.ven.get(f"/notifiers/mqtt/topics/{path}")).problem(403)


async def _topics_of_a_ven(path: str, kit: Kit) -> None:
    own, other = [(await kit.ven_of(party))["id"] for party in (kit.ven, kit.ven2)]
    for party in (kit.bl, kit.ven):
        (await party.get(f"/notifiers/mqtt/topics/{path.format(own)}")).shows(*_offered(kit))
    (await kit.ven.get(f"/notifiers/mqtt/topics/{path.format(other)}")).problem(404, 403)


Run = Callable[[Kit], Awaitable[None]]
RunOn = Callable[[str, Kit], Awaitable[None]]
CRUD = ("lists", "creates", "reads", "replaces", "deletes")
BY_TARGETS: tuple[RunOn, ...] = (_listed_by_targets, _created_by_bl, _read_by_targets, _replaced_by_bl, _deleted_by_bl)
BY_OWNER: tuple[RunOn, ...] = (
    _listed_by_owner,
    _created_by_owner,
    _read_by_owner,
    _replaced_by_owner,
    _deleted_by_owner,
)
FIRST_ROW = {"programs": 1, "reports": 6, "events": 11, "subscriptions": 16, "vens": 21, "resources": 26}
TOPIC_ROWS: tuple[tuple[str, RunOn], ...] = (
    ("programs", _topics_for_all),
    ("programs/{}", _topics_for_all),
    ("events", _topics_for_bl),
    ("programs/{}/events", _topics_for_all),
    ("reports", _topics_for_bl),
    ("subscriptions", _topics_for_bl),
    ("vens", _topics_for_bl),
    ("vens/{}", _topics_of_a_ven),
    ("resources", _topics_for_bl),
    ("vens/{}/events", _topics_of_a_ven),
    ("vens/{}/programs", _topics_of_a_ven),
    ("vens/{}/resources", _topics_of_a_ven),
)
FIRST_TOPIC_ROW = 34


def _row(number: int, name: str, run: Run, *needs: Need) -> None:
    row = every()[f"SCO-O{number:02}"]
    register(ConformanceCheck(f"scope_of_{name}", row.text, (row.id,), row.level, needs, run))


for _collection, _first in FIRST_ROW.items():
    _runs = BY_TARGETS if _collection in TARGETED else BY_OWNER
    for _offset, (_verb, _run) in enumerate(zip(CRUD, _runs, strict=True)):
        _row(_first + _offset, f"{_verb}_{_collection}", functools.partial(_run, _collection))
_row(31, "auth_server", _without_a_token)
_row(32, "auth_token", _token_without_a_token)
_row(33, "notifiers", _notifiers)
for _offset, (_path, _run) in enumerate(TOPIC_ROWS):
    _name = _path.replace("/{}", "_of_one").replace("/", "_")
    _row(FIRST_TOPIC_ROW + _offset, f"topics_{_name}", functools.partial(_run, _path), Need.MQTT)


# --- what the scopes mean ---------------------------------------------------------------------------------------------


@check("SCO-01")
async def business_logic_reads_everything(kit: Kit) -> None:
    """Business Logic lists what others own and what is targeted at others, in all six collections."""
    stage = await staged(kit, "P9", "P0", "E9", "V1", "R1")
    subscription = await kit.subscription(kit.ven)
    report = await kit.report(kit.ven, await kit.event(stage.things["P0"]))
    made = {"programs": stage.id("P9"), "events": stage.id("E9"), "vens": stage.id("V1"), "resources": stage.id("R1")}
    made |= {"subscriptions": subscription["id"], "reports": report["id"]}
    for collection in COLLECTIONS:
        expect(made[collection] in await kit.bl.ids(f"/{collection}"), f"/{collection} should list it for BL")


@check("SCO-02")
async def a_ven_reads_targeted_objects_only_by_matching_targets(kit: Kit) -> None:
    """A VEN lists and reads the program and the event that share a grant of its own, and no others with targets."""
    stage = await staged(kit, "P0", "P1", "P9", "E1", "E9", "V1")
    for collection, mine, others in (("programs", "P1", "P9"), ("events", "E1", "E9")):
        seen = await stage.listed(kit.ven, collection, "g1", "g9")
        expect(seen == sight(f"{mine}:g1"), f"a VEN granted g1 should see {mine} of /{collection}, sees {seen}")
        (await kit.ven.get(f"/{collection}/{stage.id(others)}")).problem(*HIDDEN)


@check("SCO-03")
async def a_ven_reads_only_what_it_owns(kit: Kit) -> None:
    """A VEN lists no report, subscription, ven or resource of another client, by any id."""
    vens = await cast(kit, "resources")
    things = {"vens": vens.vens[kit.ven2.client_id]}
    things |= {name: await vens.made(name, kit.ven2) for name in OWNED if name != "vens"}
    for collection, thing in things.items():
        expect(thing["id"] not in await kit.ven.ids(f"/{collection}"), f"/{collection} shows another VEN's object")
        (await kit.ven.get(f"/{collection}/{thing['id']}")).problem(*HIDDEN)


@check("SCO-04")
async def a_ven_may_read_without_asking_for_a_scope(kit: Kit) -> None:
    """A token that a VEN asks for without naming scopes reads programs and events."""
    answer = (await kit.ven.ask_token({"scope": None})).shows(200).object
    party = kit.ven.bearing(str(answer["access_token"]))
    for collection in ("programs", "events"):
        expect(isinstance((await party.get(f"/{collection}")).shows(200).json, list), "a list should be answered")


@check("SCO-05", "SEC-10")
async def vens_write_no_programs_and_no_events(kit: Kit) -> None:
    """A VEN's POST, PUT and DELETE on programs and events are refused, and nothing changes."""
    program = await kit.program()
    event = await kit.event(program)
    for collection, thing in (("programs", program), ("events", event)):
        body = _announcement(kit, collection, program)
        await kit.refused(kit.ven, f"/{collection}", body, 403)
        (await kit.ven.put(f"/{collection}/{thing['id']}", body)).problem(403)
        (await kit.ven.delete(f"/{collection}/{thing['id']}")).problem(403)
        read = (await kit.bl.get(f"/{collection}/{thing['id']}")).object
        expect(alike(read, thing), "a refused write changed something")


@check("SCO-06")
async def business_logic_writes_no_reports(kit: Kit) -> None:
    """Business Logic's POST of a report is refused, and a VEN's is not."""
    await _created_by_owner("reports", kit)


@check("SCO-07")
async def both_roles_write_subscriptions(kit: Kit) -> None:
    """Business Logic and VENs create, replace and delete subscriptions of their own."""
    for party in (kit.bl, kit.ven):
        made = await kit.subscription(party)
        body = kit.subscribing()
        replaced = (await party.put(f"/subscriptions/{made['id']}", body)).shows(200).object
        expect(replaced["clientName"] == body["clientName"], "the replaced subscription should have the new name")
        await kit.drop(party, f"/subscriptions/{made['id']}")


@check("SCO-08")
async def both_roles_write_vens_and_resources(kit: Kit) -> None:
    """Business Logic and VENs create vens and resources, each in its own shape."""
    scene = Cast(kit, {}, {})
    by_ven = await scene.made("vens", kit.ven)
    by_bl = await kit.ven_of(kit.ven2)
    scene.vens = {kit.ven.client_id: by_ven, kit.ven2.client_id: by_bl}
    first = await scene.made("resources", kit.ven)
    second = await kit.resource_of(by_bl)
    expect(first["venID"] == by_ven["id"], "the VEN's resource should hang on its ven")
    expect(second["clientID"] == kit.ven2.client_id, "Business Logic's resource should be the other VEN's")


@check("SCO-09", needs=(Need.MQTT,))
async def five_topic_endpoints_are_for_business_logic(kit: Kit) -> None:
    """The topics of all events, reports, subscriptions, vens and resources are told to Business Logic only."""
    for path in BL_ONLY_TOPICS:
        await _topics_for_bl(path, kit)


@check("SCO-10")
async def read_all_suffices_business_logic_for_every_read(kit: Kit) -> None:
    """A Business Logic token with read_all and no narrower read scope reads all collections, but writes nothing."""
    reader = await kit.bl.narrowed("read_all")
    for collection in COLLECTIONS:
        expect(isinstance((await reader.get(f"/{collection}")).shows(200).json, list), "a list should be answered")
    await kit.refused(reader, "/programs", {"programName": kit.name("program")}, 403)


@check("SCO-11")
async def notifiers_and_program_topics_are_open_to_vens(kit: Kit) -> None:
    """A VEN may ask what notifiers there are, and for the topics of programs it sees and of their events."""
    await _notifiers(kit)
    for path in ("programs", "programs/{}", "programs/{}/events") if kit.mqtt is not None else ():
        await _topics_for_all(path, kit)


@check("SCO-12")
async def read_all_does_not_make_a_ven_business_logic(kit: Kit) -> None:
    """A VEN that asks for read_all is refused it, or with it sees its own vens only and writes no program."""
    foreign = await kit.ven_of(kit.ven2)
    answer = (await kit.ven.ask_token({"scope": "read_all"})).shows(200, 400)
    token = answer.object["access_token"] if answer.status == HTTPStatus.OK else await kit.ven.token()
    party = kit.ven.bearing(str(token))
    listed = (await party.get("/vens", ("venName", foreign["venName"]))).shows(200, 403)
    expect(listed.status == HTTPStatus.FORBIDDEN or listed.list == [], "a VEN with read_all sees another VEN's ven")
    await kit.refused(party, "/programs", {"programName": kit.name("program")}, 403)
