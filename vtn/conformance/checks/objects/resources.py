"""Resources: the two shapes of their requests, the ven they hang on, names and grants (section RES)."""

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import alike, in_list, keeps, views
from vtn.conformance.check import check
from vtn.conformance.kit import HIDDEN, Kit
from vtn.conformance.parties.exchange import Json, Party
from vtn.conformance.stage import sight, staged

ATTRIBUTES = [{"type": "MAX_POWER_CONSUMPTION", "values": [7.5]}]
UNKNOWN = "no-such-id"


def _bl_shape(kit: Kit, ven: Json, **extra: object) -> Json:
    own = {"objectType": "BL_RESOURCE_REQUEST", "clientID": ven["clientID"], "venID": ven["id"]}
    return {**own, "resourceName": kit.name("resource"), **extra}


def _ven_shape(kit: Kit, ven: Json, **extra: object) -> Json:
    own = {"objectType": "VEN_RESOURCE_REQUEST", "venID": ven["id"]}
    return {**own, "resourceName": kit.name("resource"), **extra}


def _said(body: Json) -> Json:
    return {name: value for name, value in body.items() if name != "objectType"}


async def _two_vens(kit: Kit) -> tuple[Json, Json]:
    """A ven of each VEN client."""
    return await kit.ven_of(kit.ven), await kit.ven_of(kit.ven2)


async def _read(kit: Kit, resource: Json) -> Json:
    """A resource as Business Logic reads it now."""
    return (await kit.bl.get(f"/resources/{resource['id']}")).shows(200).object


@check("RES-01", "RES-21")
async def resources_are_listed_by_name_ven_and_targets(kit: Kit) -> None:
    """GET /resources is an array of resources; resourceName, venID, targets, skip and limit narrow it."""
    ven, other = await _two_vens(kit)
    target, name = kit.name("target"), kit.name("resource")
    one = await kit.resource_of(ven, targets=[target], resourceName=name)
    two = await kit.resource_of(ven)
    elsewhere = await kit.resource_of(other, targets=[target], resourceName=name)
    rows = (
        ((("venID", ven["id"]),), (one, two)),
        ((("resourceName", name),), (one, elsewhere)),
        ((("targets", target),), (one, elsewhere)),
        ((("targets", target), ("venID", ven["id"])), (one,)),
        ((("venID", ven["id"]), ("resourceName", name)), (one,)),
    )
    for query, wanted in rows:
        found = await kit.bl.all("/resources", *query)
        right = sorted(r["id"] for r in found) == sorted(r["id"] for r in wanted)
        expect(right, f"/resources with {query} should list {len(wanted)} of ours, but lists {len(found)}")
        for resource in found:
            kit.valid("RESOURCE", resource)
    query = (("venID", ven["id"]), ("limit", "1"))
    pages = [(await kit.bl.get("/resources", *query, ("skip", skip))).shows(200).list for skip in "012"]
    expect([len(page) for page in pages] == [1, 1, 0], "pages of one should hold one, one and none")


@check("RES-02")
async def the_shape_of_a_resource_request_is_chosen_by_its_object_type(kit: Kit) -> None:
    """Both shapes make a resource, each by its own constant; another constant and an empty body are answered 400."""
    ven = await kit.ven_of(kit.ven)
    for party, body in ((kit.bl, _bl_shape(kit, ven)), (kit.ven, _ven_shape(kit, ven))):
        kit.valid("RESOURCE", await kit.made(party, "/resources", body))
        for wrong in ("RESOURCE", "FOO", "BL_VEN_REQUEST", None):
            await kit.refused(party, "/resources", {**_bl_shape(kit, ven), "objectType": wrong}, 400)
        (await party.send("POST", "/resources", headers={"Content-Type": "application/json"})).problem(400)


@check("RES-03")
async def a_resource_is_read_by_its_id(kit: Kit) -> None:
    """GET /resources/{resourceID} answers that resource to Business Logic and its owner, as the list has it."""
    ven = await kit.ven_of(kit.ven)
    resource = await kit.resource_of(ven, attributes=ATTRIBUTES)
    await kit.resource_of(ven)
    for party in (kit.bl, kit.ven):
        read = (await party.get(f"/resources/{resource['id']}")).shows(200).object
        expect(alike(read, resource), f"{party.who} reads another resource than the one that was made")
        expect(alike(await in_list(party, "/resources", resource), resource), f"the list shows {party.who} another one")


@check("RES-04")
async def a_resource_is_replaced_by_a_put(kit: Kit) -> None:
    """A PUT of Business Logic and one of the owner answer the resource as it now is, and so it is read afterwards."""
    ven = await kit.ven_of(kit.ven)
    resource = await kit.resource_of(ven)
    rows = ((kit.bl, _bl_shape(kit, ven, attributes=ATTRIBUTES)), (kit.ven, _ven_shape(kit, ven)))
    for party, body in rows:
        changed = (await party.put(f"/resources/{resource['id']}", body)).shows(200).object
        keeps(_said(body), changed, f"the answer to {party.who} is not the resource as it was put")
        read = await _read(kit, resource)
        expect(alike(read, changed), "the resource that is read is not the one that the PUT answered")
    expect(read.get("attributes") in (None, []), "the owner's PUT left attributes out, but they are still there")


@check("RES-05")
async def a_resource_is_deleted_by_business_logic_or_its_owner(kit: Kit) -> None:
    """DELETE /resources/{resourceID} answers the resource, which is then gone; its ven stays."""
    ven = await kit.ven_of(kit.ven)
    for party in (kit.bl, kit.ven):
        resource = await kit.resource_of(ven)
        gone = await kit.drop(party, f"/resources/{resource['id']}")
        expect(alike(gone, resource), f"the answer to {party.who} is not the resource that was deleted")
        (await kit.bl.get(f"/resources/{resource['id']}")).problem(404)
        expect(await kit.bl.ids("/resources", ("venID", ven["id"])) == [], "the resource is still listed")
    (await kit.bl.get(f"/vens/{ven['id']}")).shows(200)


@check("RES-06")
async def resources_have_no_path_under_their_ven(kit: Kit) -> None:
    """The path /vens/{venID}/resources of 3.0.1 is not there."""
    ven = await kit.ven_of(kit.ven)
    resource = await kit.resource_of(ven)
    old = f"/vens/{ven['id']}/resources"
    for path in (old, f"{old}/{resource['id']}"):
        (await kit.bl.get(path)).shows(404)
    (await kit.bl.post(old, {"resourceName": kit.name("resource")})).shows(404, 405)


@check("RES-07")
async def business_logic_gives_a_resource_its_owner_and_targets(kit: Kit) -> None:
    """The BL shape makes a resource with the clientID, venID, resourceName, targets and attributes that it names."""
    ven = await kit.ven_of(kit.ven)
    whole = _bl_shape(kit, ven, targets=[kit.name("target")], attributes=ATTRIBUTES)
    for body in (whole, _bl_shape(kit, ven)):
        resource = await kit.made(kit.bl, "/resources", body)
        for where, seen in await views(kit.bl, "/resources", resource):
            keeps(_said(body), seen, f"the resource is not as it was posted {where}")
    for name in ("objectType", "resourceName", "venID"):
        lacking = {key: value for key, value in _bl_shape(kit, ven).items() if key != name}
        await kit.refused(kit.bl, "/resources", lacking, 400, lacks=name)


@check("RES-08")
async def a_ven_client_makes_its_own_resources(kit: Kit) -> None:
    """The VEN shape makes a resource with resourceName, venID and attributes, and without targets."""
    ven = await kit.ven_of(kit.ven)
    for body in (_ven_shape(kit, ven, attributes=ATTRIBUTES), _ven_shape(kit, ven)):
        resource = await kit.made(kit.ven, "/resources", body)
        for where, seen in await views(kit.ven, "/resources", resource):
            keeps(_said(body), seen, f"the resource is not as it was posted {where}")
            expect(seen.get("targets") in (None, []), f"the resource has the targets {seen.get('targets')} {where}")
    for name in ("objectType", "resourceName", "venID"):
        lacking = {key: value for key, value in _ven_shape(kit, ven).items() if key != name}
        await kit.refused(kit.ven, "/resources", lacking, 400, lacks=name)


@check("RES-09")
async def each_role_has_its_own_shape_of_a_resource(kit: Kit) -> None:
    """A VEN that sends the BL shape is answered 403; Business Logic that sends the VEN shape is answered 400."""
    ven = await kit.ven_of(kit.ven)
    await kit.refused(kit.ven, "/resources", _bl_shape(kit, ven, targets=["x"]), 403)
    await kit.refused(kit.bl, "/resources", _ven_shape(kit, ven), 400)
    expect(await kit.bl.ids("/resources", ("venID", ven["id"])) == [], "a refused resource was made")


@check("RES-10")
async def a_resource_of_a_ven_client_is_its_own(kit: Kit) -> None:
    """A VEN's resource shows its clientID, whatever the body claims, in a POST and in a PUT."""
    ven = await kit.ven_of(kit.ven)
    claim = {"clientID": kit.ven2.client_id}
    resource = await kit.made(kit.ven, "/resources", _ven_shape(kit, ven, **claim))
    changed = (await kit.ven.put(f"/resources/{resource['id']}", _ven_shape(kit, ven, **claim))).shows(200).object
    for seen in (resource, changed):
        expect(seen["clientID"] == kit.ven.client_id, f"the resource belongs to {seen['clientID']}")
    (await kit.ven2.get(f"/resources/{resource['id']}")).problem(*HIDDEN)


@check("RES-11")
async def a_resource_hangs_on_a_ven_that_exists(kit: Kit) -> None:
    """A resource of an unknown ven is refused (404; 400 and 409 tolerated), from either role, and not made."""
    nowhere = {"id": UNKNOWN, "clientID": kit.ven.client_id}
    for party, body in ((kit.bl, _bl_shape(kit, nowhere)), (kit.ven, _ven_shape(kit, nowhere))):
        await kit.refused(party, "/resources", body, 404, 400, 409)
        found = await kit.bl.ids("/resources", ("resourceName", body["resourceName"]))
        expect(found == [], "a refused resource was made")


@check("RES-12")
async def a_resource_hangs_on_its_own_clients_ven(kit: Kit) -> None:
    """A VEN that posts a resource to another's ven is refused (404; 403 tolerated), and nothing is made."""
    ven, _ = await _two_vens(kit)
    await kit.refused(kit.ven2, "/resources", _ven_shape(kit, ven), 404, 403)
    expect(await kit.bl.ids("/resources", ("venID", ven["id"])) == [], "a VEN hung a resource on another's ven")


@check("RES-13")
async def a_resource_has_the_client_of_its_ven(kit: Kit) -> None:
    """Business Logic that names another clientID than the ven's is answered 400, and nothing is made."""
    ven, other = await _two_vens(kit)
    body = _bl_shape(kit, ven, clientID=other["clientID"])
    await kit.refused(kit.bl, "/resources", body, 400)
    expect(await kit.bl.ids("/resources", ("venID", ven["id"])) == [], "a refused resource was made")


@check("RES-14")
async def a_vens_put_keeps_the_targets_of_its_resource(kit: Kit) -> None:
    """Targets that a VEN leaves out or sends for its resource change nothing; sent, they may be refused (400, 403)."""
    stage = await staged(kit, "P0", "E9", "V1", "R1")
    place = f"/resources/{stage.id('R1')}"
    kept_ones = (await kit.ven.put(place, _ven_shape(kit, stage.things["V1"]))).shows(200).object
    expect(kept_ones["targets"] == stage.real("r1"), f"the targets are now {kept_ones.get('targets')}")
    greedy = _ven_shape(kit, stage.things["V1"], targets=stage.real("g9"))
    (await kit.ven.put(place, greedy)).shows(200, 400, 403)
    seen = await _read(kit, stage.things["R1"])
    expect(seen["targets"] == stage.real("r1"), f"the targets are now {seen.get('targets')}")
    (await kit.ven.get(f"/events/{stage.id('E9')}")).problem(*HIDDEN)


@check("RES-15")
async def the_targets_of_a_resource_are_grants_of_its_client(kit: Kit) -> None:
    """An event with a target of a VEN's resource is seen by that VEN, by no other, and no more once it is deleted."""
    stage = await staged(kit, "P0", "ER", "V1", "V2")
    expect(await stage.listed(kit.ven, "events", "r1") == {}, "the VEN sees an event of a target it was not granted")
    await stage.make("R1")
    seen = await stage.listed(kit.ven, "events", "r1")
    expect(seen == sight("ER:r1"), f"the VEN should see ER, but sees {seen}")
    expect(await stage.listed(kit.ven2, "events", "r1") == {}, "another VEN sees the event")
    await kit.drop(kit.bl, f"/resources/{stage.id('R1')}")
    expect(await stage.listed(kit.ven, "events", "r1") == {}, "the VEN sees an event of a target that it has lost")


@check("RES-16")
async def a_resource_name_is_given_once_in_a_ven(kit: Kit) -> None:
    """A second resource of one name in one ven is answered 409, by POST and PUT; in another ven it is made."""
    ven, other = await _two_vens(kit)
    resource, second = await kit.resource_of(ven), await kit.resource_of(ven)
    name = resource["resourceName"]
    await kit.refused(kit.bl, "/resources", _bl_shape(kit, ven, resourceName=name), 409)
    await kit.refused(kit.ven, "/resources", _ven_shape(kit, ven, resourceName=name), 409)
    (await kit.bl.put(f"/resources/{second['id']}", _bl_shape(kit, ven, resourceName=name))).problem(409)
    (await kit.bl.put(f"/resources/{resource['id']}", _bl_shape(kit, ven, resourceName=name))).shows(200)
    elsewhere = await kit.resource_of(other, resourceName=name)
    found = await kit.bl.ids("/resources", ("resourceName", name))
    expect(sorted(found) == sorted((resource["id"], elsewhere["id"])), f"{len(found)} resources have the name, not 2")


@check("RES-17")
async def a_client_has_access_to_its_own_resources_only(kit: Kit) -> None:
    """Another VEN does not list, read, change or delete a resource, also when it asks for its ven."""
    ven, other = await _two_vens(kit)
    resource = await kit.resource_of(ven)
    place = f"/resources/{resource['id']}"
    expect(await kit.ven.ids("/resources") == [resource["id"]], "the owner should list its resource and no other")
    expect(await kit.ven2.ids("/resources") == [], "another client lists the resource")
    asked = await kit.ven2.get("/resources", ("venID", ven["id"]))
    expect(asked.shows(200, 404).status == 404 or asked.list == [], "another client lists the resource by its ven")  # noqa: PLR2004 - Not Found
    (await kit.ven2.get(place)).problem(*HIDDEN)
    (await kit.ven2.put(place, _ven_shape(kit, other))).problem(*HIDDEN)
    (await kit.ven2.delete(place)).problem(*HIDDEN)
    expect(alike(await _read(kit, resource), resource), "another client changed the resource")


@check("RES-18")
async def business_logic_reads_all_resources(kit: Kit) -> None:
    """Business Logic lists and reads the resources of every client, also those that clients made themselves."""
    ven, other = await _two_vens(kit)
    made = [await kit.resource_of(ven), await kit.made(kit.ven2, "/resources", _ven_shape(kit, other))]
    found = await kit.bl.ids("/resources")
    for resource in made:
        expect(resource["id"] in found, f"Business Logic does not list the resource of {resource['clientID']}")
        expect(alike(await _read(kit, resource), resource), "Business Logic reads another resource")


@check("RES-19")
async def a_resource_shows_its_owner_all_of_its_targets(kit: Kit) -> None:
    """The owner reads and lists every target that its resource was granted."""
    targets = [kit.name("target") for _ in range(3)]
    resource = await kit.resource_of(await kit.ven_of(kit.ven), targets=targets)
    for where, seen in await views(kit.ven, "/resources", resource):
        expect(seen["targets"] == targets, f"the owner sees the targets {seen.get('targets')} {where}")


@check("RES-20")
async def a_resource_says_that_it_is_a_resource(kit: Kit) -> None:
    """The objectType of a resource is RESOURCE wherever it is shown, whichever shape made it."""
    ven = await kit.ven_of(kit.ven)
    rows: tuple[tuple[Party, Json], ...] = ((kit.bl, _bl_shape(kit, ven)), (kit.ven, _ven_shape(kit, ven)))
    for party, body in rows:
        resource = await kit.made(party, "/resources", body)
        changed = (await party.put(f"/resources/{resource['id']}", body)).shows(200).object
        for where, seen in (*await views(party, "/resources", resource), ("after a PUT", changed)):
            expect(seen["objectType"] == "RESOURCE", f"objectType is {seen['objectType']!r} {where}")


@check("RES-22")
async def an_unknown_ven_has_no_resources(kit: Kit) -> None:
    """GET /resources of an unknown ven is an empty list; 404, which the schema lists too, is tolerated."""
    await kit.resource_of(await kit.ven_of(kit.ven))
    for party in (kit.bl, kit.ven):
        answer = (await party.get("/resources", ("venID", UNKNOWN))).shows(200, 404)
        if answer.status == 200:  # noqa: PLR2004 - OK
            expect(answer.list == [], f"an unknown ven has {len(answer.list)} resources")
        else:
            answer.problem(404)


@check("RES-23")
async def a_resource_moves_between_vens_by_business_logic_only(kit: Kit) -> None:
    """A VEN cannot move its resource to another's ven (404; 403 tolerated); Business Logic can, with the new owner."""
    ven, other = await _two_vens(kit)
    resource = await kit.resource_of(ven)
    place = f"/resources/{resource['id']}"
    (await kit.ven.put(place, _ven_shape(kit, other))).problem(404, 403)
    expect(alike(await _read(kit, resource), resource), "a refused PUT changed the resource")
    moved = (await kit.bl.put(place, _bl_shape(kit, other))).shows(200).object
    expect(moved["venID"] == other["id"], f"the resource is still in the ven {moved['venID']}")
    (await kit.ven2.get(place)).shows(200)
    (await kit.ven.get(place)).problem(404)
