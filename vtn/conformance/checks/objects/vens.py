"""Vens: the two shapes of their requests, owners, names and grants (section VEN; grouping by targets: section RG)."""

from http import HTTPStatus
from urllib.parse import urlsplit

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import alike, in_list, keeps, views
from vtn.conformance.check import check
from vtn.conformance.kit import HIDDEN, Kit
from vtn.conformance.parties.exchange import Json, Party
from vtn.conformance.stage import staged

ATTRIBUTES = [{"type": "DESCRIPTION", "values": ["a building"]}]


def _bl_shape(kit: Kit, owner: Party, **extra: object) -> Json:
    return {"objectType": "BL_VEN_REQUEST", "clientID": owner.client_id, "venName": kit.name("ven"), **extra}


def _ven_shape(kit: Kit, **extra: object) -> Json:
    return {"objectType": "VEN_VEN_REQUEST", "venName": kit.name("ven"), **extra}


def _said(body: Json) -> Json:
    return {name: value for name, value in body.items() if name != "objectType"}


@check("VEN-01", "VEN-22")
async def vens_are_listed_by_name_and_targets(kit: Kit) -> None:
    """GET /vens is an array of vens; venName, targets (each of which must be there), skip and limit narrow it."""
    both, one = kit.name("target"), kit.name("target")
    ven = await kit.ven_of(kit.ven, targets=[both, one])
    other = await kit.ven_of(kit.ven2, targets=[both])
    for item in (await kit.bl.get("/vens")).shows(200).list:
        kit.valid("VEN", item)
    expect(await kit.bl.ids("/vens", ("venName", ven["venName"])) == [ven["id"]], "one ven has the name")
    expect(await kit.bl.ids("/vens", ("targets", one)) == [ven["id"]], "one ven has the target")
    found = await kit.bl.ids("/vens", ("targets", both))
    expect(sorted(found) == sorted((ven["id"], other["id"])), f"two vens have the target, {len(found)} were found")
    query = (("targets", both), ("limit", "1"))
    pages = [(await kit.bl.get("/vens", *query, ("skip", skip))).shows(200).list for skip in "012"]
    expect([len(page) for page in pages] == [1, 1, 0], "pages of one should hold one, one and none")


@check("VEN-02")
async def the_shape_of_a_ven_request_is_chosen_by_its_object_type(kit: Kit) -> None:
    """Both shapes make a ven, each by its own constant; an empty body is answered 400."""
    by_bl = await kit.made(kit.bl, "/vens", _bl_shape(kit, kit.ven))
    by_ven = await kit.made(kit.ven2, "/vens", _ven_shape(kit))
    for ven, owner in ((by_bl, kit.ven), (by_ven, kit.ven2)):
        expect(ven["clientID"] == owner.client_id, f"the ven belongs to {ven['clientID']}")
        kit.valid("VEN", ven)
    for party in (kit.bl, kit.ven):
        (await party.send("POST", "/vens", headers={"Content-Type": "application/json"})).problem(400)
        await kit.refused(party, "/vens", {}, 400)


@check("VEN-03")
async def a_ven_is_read_by_its_id(kit: Kit) -> None:
    """GET /vens/{venID} answers that ven to Business Logic and to its owner, as the list has it."""
    ven = await kit.ven_of(kit.ven, attributes=ATTRIBUTES)
    for party in (kit.bl, kit.ven):
        read = (await party.get(f"/vens/{ven['id']}")).shows(200).object
        expect(alike(read, ven), f"{party.who} reads another ven than the one that was made")
        expect(alike(await in_list(party, "/vens", ven), ven), f"the list shows {party.who} another ven")


@check("VEN-04")
async def a_ven_is_replaced_by_a_put(kit: Kit) -> None:
    """A PUT of Business Logic and one of the owner answer the ven as it now is, and so it is read afterwards."""
    place = f"/vens/{(await kit.ven_of(kit.ven))['id']}"
    rows = ((kit.bl, _bl_shape(kit, kit.ven, attributes=ATTRIBUTES)), (kit.ven, _ven_shape(kit)))
    for party, body in rows:
        changed = (await party.put(place, body)).shows(200).object
        keeps(_said(body), changed, f"the answer to {party.who} is not the ven as it was put")
        read = (await kit.bl.get(place)).shows(200).object
        expect(alike(read, changed), "the ven that is read is not the one that the PUT answered")
    expect(read.get("attributes") in (None, []), "the owner's PUT left attributes out, but they are still there")


@check("VEN-05")
async def a_ven_is_deleted_by_business_logic_or_its_owner(kit: Kit) -> None:
    """DELETE /vens/{venID} answers the ven, which is then gone."""
    for party in (kit.bl, kit.ven):
        ven = await kit.ven_of(kit.ven)
        gone = await kit.drop(party, f"/vens/{ven['id']}")
        expect(alike(gone, ven), f"the answer to {party.who} is not the ven that was deleted")
        (await kit.bl.get(f"/vens/{ven['id']}")).problem(404)
        expect(await kit.ven.ids("/vens") == [], "the owner still lists the ven")


@check("VEN-06")
async def business_logic_gives_a_ven_its_owner_and_targets(kit: Kit) -> None:
    """The BL shape makes a ven with the clientID, venName, targets and attributes that it names."""
    body = _bl_shape(kit, kit.ven, targets=[kit.name("target")], attributes=ATTRIBUTES)
    for whole in (body, _bl_shape(kit, kit.ven)):
        ven = await kit.made(kit.bl, "/vens", whole)
        for where, seen in await views(kit.bl, "/vens", ven):
            keeps(_said(whole), seen, f"the ven is not as it was posted {where}")
        await kit.drop(kit.bl, f"/vens/{ven['id']}")


@check("VEN-07")
async def a_ven_client_makes_its_own_ven(kit: Kit) -> None:
    """The VEN shape makes a ven with venName and attributes, that belongs to the caller and has no targets."""
    body = _ven_shape(kit, attributes=ATTRIBUTES)
    ven = await kit.made(kit.ven, "/vens", body)
    for where, seen in await views(kit.ven, "/vens", ven):
        keeps(_said(body), seen, f"the ven is not as it was posted {where}")
        expect(seen["clientID"] == kit.ven.client_id, f"the ven belongs to {seen['clientID']} {where}")
        expect(seen.get("targets") in (None, []), f"the ven has the targets {seen.get('targets')} {where}")


@check("VEN-08")
async def a_ven_request_has_one_of_two_object_types(kit: Kit) -> None:
    """A ven request without objectType, with VEN or with another word is answered 400, from either role."""
    for wrong in ({}, {"objectType": "VEN"}, {"objectType": "FOO"}, {"objectType": "BL_RESOURCE_REQUEST"}):
        name = kit.name("ven")
        await kit.refused(kit.ven, "/vens", {"venName": name, **wrong}, 400)
        await kit.refused(kit.bl, "/vens", {"venName": name, "clientID": kit.ven.client_id, **wrong}, 400)
        expect(await kit.bl.ids("/vens", ("venName", name)) == [], "a refused ven was made")


@check("VEN-09")
async def business_logic_names_the_owner_of_a_ven(kit: Kit) -> None:
    """The BL shape without clientID is answered 400, in a POST and in a PUT."""
    ownerless = {"objectType": "BL_VEN_REQUEST", "venName": kit.name("ven")}
    await kit.refused(kit.bl, "/vens", ownerless, 400, lacks="clientID")
    ven = await kit.ven_of(kit.ven)
    (await kit.bl.put(f"/vens/{ven['id']}", ownerless)).problem(400)
    read = (await kit.bl.get(f"/vens/{ven['id']}")).shows(200).object
    expect(alike(read, ven), "a refused PUT changed the ven")


@check("VEN-10")
async def each_role_has_its_own_shape_of_a_ven(kit: Kit) -> None:
    """A VEN that sends the BL shape is answered 403; Business Logic that sends the VEN shape is answered 400."""
    await kit.refused(kit.ven, "/vens", _bl_shape(kit, kit.ven, targets=["x"]), 403)
    await kit.refused(kit.bl, "/vens", _ven_shape(kit), 400)
    expect(await kit.ven.ids("/vens") == [], "a refused ven was made")


@check("VEN-11")
async def a_ven_of_a_ven_client_is_its_own(kit: Kit) -> None:
    """A VEN that claims another clientID makes a ven of its own, which the other does not see."""
    ven = await kit.made(kit.ven, "/vens", _ven_shape(kit, clientID=kit.ven2.client_id))
    expect(ven["clientID"] == kit.ven.client_id, f"the ven belongs to {ven['clientID']}")
    (await kit.ven2.get(f"/vens/{ven['id']}")).problem(*HIDDEN)
    claim = _ven_shape(kit, clientID=kit.ven2.client_id)
    changed = (await kit.ven.put(f"/vens/{ven['id']}", claim)).shows(200).object
    expect(changed["clientID"] == kit.ven.client_id, f"the ven now belongs to {changed['clientID']}")


@check("VEN-12")
async def the_owner_that_business_logic_names_sees_the_ven(kit: Kit) -> None:
    """A ven made by Business Logic shows the clientID it was given, and that client reads and lists it."""
    ven = await kit.ven_of(kit.ven)
    expect(ven["clientID"] == kit.ven.client_id, f"the ven belongs to {ven['clientID']}")
    expect(await kit.ven.ids("/vens") == [ven["id"]], "the owner should list its ven and no other")
    (await kit.ven.get(f"/vens/{ven['id']}")).shows(200)
    expect(await kit.ven2.ids("/vens") == [], "another client lists the ven")


@check("VEN-13")
async def a_ven_does_not_grant_itself_targets(kit: Kit) -> None:
    """Targets that a VEN sends for its ven are ignored or refused (400, 403), and open nothing to it."""
    stage = await staged(kit, "P0", "E9", "V1")
    greedy = _ven_shape(kit, targets=stage.real("g9"))
    answer = (await kit.ven.put(f"/vens/{stage.id('V1')}", greedy)).shows(200, 400, 403)
    seen = (await kit.bl.get(f"/vens/{stage.id('V1')}")).shows(200).object
    expect(seen["targets"] == stage.real("g1", "v1"), f"a PUT answered {answer.status} left {seen.get('targets')}")
    (await kit.ven2.post("/vens", _ven_shape(kit, targets=stage.real("g9")))).shows(201, 400, 403)
    for party in (kit.ven, kit.ven2):
        (await party.get(f"/events/{stage.id('E9')}")).problem(*HIDDEN)
        seen_events = await stage.listed(party, "events", "g9")
        expect("E9" not in seen_events, f"{party.who} sees {seen_events} by a target that it gave itself")
        for ven in await party.all("/vens"):
            expect(stage.targets["g9"] not in (ven.get("targets") or ()), f"{party.who} granted itself a target")


@check("VEN-14")
async def a_vens_put_keeps_what_business_logic_gave(kit: Kit) -> None:
    """After a VEN's PUT of its ven the targets and the clientID are as before, and the name is the new one."""
    stage = await staged(kit, "P0", "E1", "V1")
    body = _ven_shape(kit)
    answer = (await kit.ven.put(f"/vens/{stage.id('V1')}", body)).shows(200).object
    for seen in (answer, (await kit.bl.get(f"/vens/{stage.id('V1')}")).shows(200).object):
        expect(seen["venName"] == body["venName"], "the name was not changed")
        expect(seen["targets"] == stage.real("g1", "v1"), f"the targets are now {seen.get('targets')}")
        expect(seen["clientID"] == kit.ven.client_id, f"the ven now belongs to {seen['clientID']}")
    listed = await stage.listed(kit.ven, "events", "g1")
    expect("E1" in listed, f"the VEN should still see E1, but sees {listed}")


@check("VEN-15")
async def business_logic_changes_targets_and_owner(kit: Kit) -> None:
    """After a BL PUT the next read follows the new targets, and then the new owner."""
    stage = await staged(kit, "P0", "E1", "E9", "V1")
    await stage.grant("V1", "g9")
    for label, right in (("g9", {"E9"}), ("g1", set())):
        seen = await stage.listed(kit.ven, "events", label)
        expect(seen.keys() == right, f"the VEN that asks for {label} should see {right or 'nothing'}, sees {seen}")
    moved = _bl_shape(kit, kit.ven2, targets=stage.real("g9"))
    changed = (await kit.bl.put(f"/vens/{stage.id('V1')}", moved)).shows(200).object
    expect(changed["clientID"] == kit.ven2.client_id, f"the ven still belongs to {changed['clientID']}")
    for party, right in ((kit.ven2, {"E9"}), (kit.ven, set())):
        seen = await stage.listed(party, "events", "g9")
        expect(seen.keys() == right, f"{party.who} that asks for g9 should see {right or 'nothing'}, but sees {seen}")


@check("VEN-16")
async def a_ven_name_is_given_once(kit: Kit) -> None:
    """A POST or PUT with another ven's name is answered 409 by either role; keeping a name is allowed."""
    ven = await kit.ven_of(kit.ven)
    taken = _bl_shape(kit, kit.ven2, venName=ven["venName"])
    await kit.refused(kit.bl, "/vens", taken, 409)
    other = await kit.ven_of(kit.ven2)
    (await kit.bl.put(f"/vens/{other['id']}", taken)).problem(409)
    (await kit.ven2.put(f"/vens/{other['id']}", _ven_shape(kit, venName=ven["venName"]))).problem(409)
    (await kit.ven2.put(f"/vens/{other['id']}", _ven_shape(kit, venName=other["venName"]))).shows(200)
    found = await kit.bl.ids("/vens", ("venName", ven["venName"]))
    expect(found == [ven["id"]], f"{len(found)} vens have one name")


@check("VEN-17")
async def a_ven_shows_its_metadata_and_all_of_the_bl_shape(kit: Kit) -> None:
    """A ven that is read has id, dates, objectType, clientID, venName, and the targets and attributes it was given."""
    ven = await kit.ven_of(kit.ven, targets=["x"], attributes=ATTRIBUTES)
    wanted = {"id", "createdDateTime", "modificationDateTime", "objectType", "clientID", "venName"}
    for party in (kit.bl, kit.ven):
        for where, seen in await views(party, "/vens", ven):
            lacking = (wanted | {"targets", "attributes"}) - seen.keys()
            expect(not lacking, f"the ven lacks {lacking} {where}")
            kit.valid("VEN", seen)


@check("VEN-18")
async def a_ven_says_that_it_is_a_ven(kit: Kit) -> None:
    """The objectType of a ven is VEN wherever it is shown, whichever shape made it."""
    by_bl = await kit.ven_of(kit.ven)
    by_ven = await kit.made(kit.ven2, "/vens", _ven_shape(kit))
    for party, ven in ((kit.bl, by_bl), (kit.ven2, by_ven)):
        for where, seen in await views(party, "/vens", ven):
            expect(seen["objectType"] == "VEN", f"objectType is {seen['objectType']!r} {where}")
    changed = (await kit.ven2.put(f"/vens/{by_ven['id']}", _ven_shape(kit))).shows(200).object
    expect(changed["objectType"] == "VEN", f"objectType is {changed['objectType']!r} after a PUT")


@check("VEN-19")
async def a_client_has_access_to_its_own_ven_only(kit: Kit) -> None:
    """A VEN lists its own vens, if any, and gets 404 (or 403) for another's, which it cannot change or delete."""
    expect(await kit.ven2.ids("/vens") == [], "a client without a ven should list none")
    ven = await kit.ven_of(kit.ven)
    place = f"/vens/{ven['id']}"
    expect(await kit.ven.ids("/vens") == [ven["id"]], "the owner should list its ven")
    expect(await kit.ven2.ids("/vens") == [], "another client lists the ven")
    (await kit.ven2.get(place)).problem(*HIDDEN)
    (await kit.ven2.put(place, _ven_shape(kit))).problem(*HIDDEN)
    (await kit.ven2.delete(place)).problem(*HIDDEN)
    read = (await kit.bl.get(place)).shows(200).object
    expect(alike(read, ven), "another client changed the ven")


@check("VEN-20")
async def business_logic_reads_all_vens(kit: Kit) -> None:
    """Business Logic lists and reads the vens of every client, also those that clients made themselves."""
    made = [await kit.ven_of(kit.ven), await kit.made(kit.ven2, "/vens", _ven_shape(kit))]
    found = await kit.bl.ids("/vens")
    for ven in made:
        expect(ven["id"] in found, f"Business Logic does not list the ven of {ven['clientID']}")
        (await kit.bl.get(f"/vens/{ven['id']}")).shows(200)


@check("VEN-21")
async def a_ven_shows_its_owner_all_of_its_targets(kit: Kit) -> None:
    """The owner reads and lists every target that its ven was granted."""
    targets = [kit.name("target") for _ in range(3)]
    ven = await kit.ven_of(kit.ven, targets=targets)
    for where, seen in await views(kit.ven, "/vens", ven):
        expect(seen["targets"] == targets, f"the owner sees the targets {seen.get('targets')} {where}")


@check("VEN-23")
async def a_second_ven_of_a_client_is_a_conflict_or_adds_its_grants(kit: Kit) -> None:
    """A second ven of one clientID is answered 409 (TR-10), or else the client has the grants of both."""
    stage = await staged(kit, "P0", "E1", "E9", "V1")
    answer = (await kit.bl.post("/vens", _bl_shape(kit, kit.ven, targets=stage.real("g9")))).shows(409, 201)
    refused = answer.status == 409  # noqa: PLR2004 - Conflict
    if refused:
        answer.problem(409)
    for label, right in (("g1", {"E1"}), ("g9", set() if refused else {"E9"})):
        seen = await stage.listed(kit.ven, "events", label)
        expect(seen.keys() == right, f"the VEN that asks for {label} should see {right or 'nothing'}, sees {seen}")


@check("VEN-24")
async def a_deleted_ven_takes_its_grants_and_resources_along(kit: Kit) -> None:
    """After its ven is deleted a client sees untargeted events only, and the ven's resources are gone."""
    stage = await staged(kit, "P0", "E0", "E1", "ER", "V1", "R1")
    before = await stage.listed(kit.ven, "events")
    expect(before.keys() == {"E0", "E1", "ER"}, f"the VEN should see E0, E1 and ER, but sees {before}")
    (await kit.bl.delete(f"/vens/{stage.id('V1')}")).shows(200)
    after = await stage.listed(kit.ven, "events")
    expect(after.keys() == {"E0"}, f"a client whose ven was deleted should see E0, but sees {after}")
    for party in (kit.bl, kit.ven):
        (await party.get(f"/resources/{stage.id('R1')}")).problem(404)


@check("VEN-25")
async def a_ven_does_not_nest_its_resources(kit: Kit) -> None:
    """A ven with a resource has no member `resources`, by id or in a list."""
    ven = await kit.ven_of(kit.ven)
    await kit.resource_of(ven)
    for where, seen in await views(kit.bl, "/vens", ven):
        expect("resources" not in seen, f"the ven nests {seen.get('resources')} {where}")


GROUPS = ("/resourceGroups", "/resource_groups", "/resource-groups")
DESCRIPTIONS = ("openapi.json", "openapi.yaml", "openapi3.yaml")


@check("RG-01")
async def resource_groups_are_absent_or_described(kit: Kit) -> None:
    """There is no resource-group collection, or the VTN's own OpenAPI document says that it has one."""
    served = [path for path in GROUPS if (await kit.bl.get(path)).status != HTTPStatus.NOT_FOUND]
    described = await _description(kit) if served else ""
    for path in served:
        expect(f"{path}" in described, f"{path} is served, and the VTN's own OpenAPI document does not name it")


async def _description(kit: Kit) -> str:
    """The OpenAPI document that the VTN serves, at its base URL or at its root; nothing where it serves none."""
    root = urlsplit(kit.url)._replace(path="", query="", fragment="").geturl()
    for base in (kit.url, root):
        for name in DESCRIPTIONS:
            answer = await kit.nobody.get(f"{base}/{name}")
            if answer.status == HTTPStatus.OK:
                return answer.text
    return ""


@check("RG-02", "RG-03")
async def vens_are_grouped_by_a_common_target(kit: Kit) -> None:
    """Two vens granted the same target both see an event with it, and what they see satisfies the schemas."""
    group = kit.name("group")
    vens = [await kit.ven_of(party, targets=[group]) for party in (kit.ven, kit.ven2)]
    event = await kit.event(await kit.program(), targets=[group])
    for party, ven in zip((kit.ven, kit.ven2), vens, strict=True):
        seen = kit.valid("EVENT", (await party.get(f"/events/{event['id']}")).shows(200).object)
        expect(seen["targets"] == [group], f"{party.who} sees the targets {seen['targets']}")
        own = kit.valid("VEN", (await party.get(f"/vens/{ven['id']}")).shows(200).object)
        expect(own["targets"] == [group], f"the ven of {party.who} has the targets {own['targets']}")
