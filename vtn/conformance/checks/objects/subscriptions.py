"""Subscriptions as objects: who may have them, and what they hold (section SUB); callbacks are in `callbacks`."""

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import (
    VALID,
    FieldCase,
    FieldPlace,
    Form,
    FormWriter,
    Presence,
    Rule,
    alike,
    checks_of,
)
from vtn.conformance.bodies.scalars import FREE_TEXT, NAME, NO_NAMES, TARGETS, uri_of
from vtn.conformance.check import Need, check
from vtn.conformance.kit import HIDDEN, Kit
from vtn.conformance.stage import staged

KINDS = ("PROGRAM", "EVENT", "REPORT", "SUBSCRIPTION", "VEN", "RESOURCE")
OPERATIONS = ("READ", "CREATE", "UPDATE", "DELETE")


@check("SUB-01")
async def subscriptions_are_listed_and_filtered(kit: Kit) -> None:
    """Business Logic lists everybody's subscriptions, a VEN its own; programID and clientName filter them."""
    program = await kit.program()
    mine = await kit.subscription(kit.ven, programID=program["id"])
    theirs = await kit.subscription(kit.ven2)
    expect({mine["id"], theirs["id"]} <= set(await kit.bl.ids("/subscriptions")), "BL should see both")
    own = await kit.ven.ids("/subscriptions")
    expect(mine["id"] in own and theirs["id"] not in own, "a VEN should see its own subscription only")
    for query in (("programID", program["id"]), ("clientName", mine["clientName"])):
        expect(await kit.bl.ids("/subscriptions", query) == [mine["id"]], f"{query[0]} should find one subscription")


@check("SUB-02")
async def a_subscription_needs_a_name_and_its_operations(kit: Kit) -> None:
    """POST takes clientName and objectOperations, with or without programID and targets, and nothing less."""
    body = kit.subscribing()
    for missing in body:
        lacking = {name: body[name] for name in body if name != missing}
        await kit.refused(kit.ven, "/subscriptions", lacking, 400, lacks=missing)
    (await kit.ven.send("POST", "/subscriptions", headers={"Content-Type": "application/json"})).problem(400)
    kit.valid("SUBSCRIPTION", await kit.subscription(kit.ven))
    whole = await kit.subscription(kit.ven, programID=(await kit.program())["id"], targets=["x"])
    expect(kit.valid("SUBSCRIPTION", whole)["targets"] == ["x"], "targets should be stored")


@check("SUB-03")
async def a_subscription_is_read_by_its_id(kit: Kit) -> None:
    """Its owner and Business Logic read a subscription by id as it was answered on creation."""
    made = await kit.subscription(kit.ven, targets=["x"])
    for party in (kit.ven, kit.bl):
        read = (await party.get(f"/subscriptions/{made['id']}")).shows(200).object
        expect(alike(kit.valid("SUBSCRIPTION", read), made), f"{party.who} should read what was created")


@check("SUB-04")
async def a_subscription_is_replaced_as_a_whole(kit: Kit) -> None:
    """PUT replaces name and targets, drops what is left out, and keeps id, clientID and createdDateTime."""
    made = await kit.subscription(kit.ven, targets=["x"], programID=(await kit.program())["id"])
    body = kit.subscribing()
    answer = (await kit.ven.put(f"/subscriptions/{made['id']}", body)).shows(200).object
    expect(answer["clientName"] == body["clientName"], "the name should be replaced")
    expect(not answer.get("targets") and not answer.get("programID"), "what is left out should be gone")
    kept = [answer[name] == made[name] for name in ("id", "clientID", "createdDateTime")]
    expect(all(kept), "id, clientID and createdDateTime should stay")
    read = (await kit.ven.get(f"/subscriptions/{made['id']}")).shows(200).object
    expect(alike(read, answer), "a read should show what the PUT answered")


@check("SUB-06")
async def a_subscription_belongs_to_the_client_of_the_token(kit: Kit) -> None:
    """The VTN writes clientID from the token, for Business Logic too, whatever the body says."""
    for party in (kit.bl, kit.ven):
        made = await kit.subscription(party, clientID=kit.ven2.client_id)
        expect(made["clientID"] == party.client_id, f"clientID should be {party.client_id}, is {made['clientID']}")


@check("SUB-07")
async def a_ven_has_to_do_with_its_own_subscriptions_only(kit: Kit) -> None:
    """Another VEN's subscription is not listed, and answered 404 (403) to GET, PUT and DELETE, and stays as it was."""
    made = await kit.subscription(kit.ven)
    path = f"/subscriptions/{made['id']}"
    expect(made["id"] not in await kit.ven2.ids("/subscriptions"), "another VEN sees the subscription in its list")
    (await kit.ven2.get(path)).problem(*HIDDEN)
    (await kit.ven2.put(path, kit.subscribing())).problem(*HIDDEN)
    (await kit.ven2.delete(path)).problem(*HIDDEN)
    expect(alike((await kit.ven.get(path)).shows(200).object, made), "the subscription should be as it was")


@check("SUB-08")
async def business_logic_has_subscriptions_and_reads_all(kit: Kit) -> None:
    """Business Logic creates subscriptions and reads those of VENs, by list and by id."""
    own, of_ven = await kit.subscription(kit.bl), await kit.subscription(kit.ven)
    expect({own["id"], of_ven["id"]} <= set(await kit.bl.ids("/subscriptions")), "BL should list both")
    (await kit.bl.get(f"/subscriptions/{of_ven['id']}")).shows(200)


@check("SUB-09", "SUB-10", needs=(Need.RECEIVER,))
async def kinds_and_operations_are_those_of_the_schema(kit: Kit) -> None:
    """All six kinds and all four operations are taken; EVENTS, event, POST and create are refused."""
    async with kit.hook() as hook:
        wishes = (hook.wish(" ".join(KINDS), "DELETE"), hook.wish("VEN", " ".join(OPERATIONS)))
        made = await kit.subscription(kit.ven, *wishes)
        first, second = made["objectOperations"]
        expect(first["objects"] == list(KINDS), f"the kinds should be kept, are {first['objects']}")
        expect(second["operations"] == list(OPERATIONS), f"the operations should be kept, are {second['operations']}")
        for entry in (
            hook.wish("EVENTS"),
            hook.wish("event"),
            hook.wish("EVENT", "POST"),
            hook.wish("EVENT", "create"),
        ):
            await kit.refused(kit.ven, "/subscriptions", kit.subscribing(entry), 400)


@check("SUB-13")
async def a_subscription_to_an_unknown_program_is_refused(kit: Kit) -> None:
    """A programID that does not exist, or is hidden from the VEN, is a conflict (or 400, 404); nothing is stored."""
    hidden = (await staged(kit, "P9")).id("P9")
    for program_id in ("no-such-id", hidden):
        body = kit.subscribing(programID=program_id)
        await kit.refused(kit.ven, "/subscriptions", body, 409, 400, 404)
        found = await kit.ven.ids("/subscriptions", ("clientName", body["clientName"]))
        expect(found == [], "a refused subscription was stored")


@check("SUB-14", needs=(Need.RECEIVER,))
async def the_objects_filter_wants_every_kind_it_names(kit: Kit) -> None:
    """`objects=EVENT` finds subscriptions to events, with `objects=REPORT` beside it those to both; FOO is refused."""
    async with kit.hook() as hook:
        name = kit.name("client")
        events = await kit.subscription(kit.ven, hook.wish("EVENT", "CREATE"), clientName=name)
        wishes = (hook.wish("EVENT", "CREATE"), hook.wish("REPORT", "CREATE"))
        both = await kit.subscription(kit.ven, *wishes, clientName=name)
    own = ("clientName", name)
    found = await kit.ven.ids("/subscriptions", own, ("objects", "EVENT"))
    expect(set(found) == {events["id"], both["id"]}, "objects=EVENT should find both")
    found = await kit.ven.ids("/subscriptions", own, ("objects", "EVENT"), ("objects", "REPORT"))
    expect(found == [both["id"]], "two kinds should find the subscription that has both of them only")
    (await kit.ven.get("/subscriptions", own, ("objects", "FOO"))).problem(400)


@check("SUB-25")
async def targets_of_a_subscription_are_shown_whole(kit: Kit) -> None:
    """A VEN's subscription shows all its targets, also those that the VEN was not granted."""
    stage = await staged(kit, "V1")
    wanted = stage.real("g1", "g9")
    made = await kit.subscription(kit.ven, targets=wanted)
    read = (await kit.ven.get(f"/subscriptions/{made['id']}")).shows(200).object
    expect(made["targets"] == read["targets"] == wanted, f"targets should be {wanted}, are {read['targets']}")


# --- the fields ------------------------------------------------------------------------------------------------------


async def _of_a_program(kit: Kit) -> FormWriter:
    program = await kit.program()
    return FormWriter(kit.ven, lambda: kit.subscribing(programID=program["id"]))


async def _with_a_callback(kit: Kit) -> FormWriter:
    async with kit.hook() as hook:
        return FormWriter(kit.ven, lambda: kit.subscribing(hook.wish("EVENT", "CREATE")))


async def _with_a_long_callback(kit: Kit) -> FormWriter:
    async with kit.hook() as hook:
        wish = hook.wish("EVENT", "CREATE")
        return FormWriter(
            kit.ven, lambda: kit.subscribing({**wish, "callbackUrl": f"{hook.url}?".ljust(LONGEST_URI, "x")})
        )


LONGEST_URI = 8000
SCHEMA = "subscriptionRequest"
ENTRY = f"{SCHEMA}.objectOperations[]"
PLAIN = FieldPlace(Form(SCHEMA, "/subscriptions", "SUBSCRIPTION", _of_a_program))
CALLED = Form(SCHEMA, "/subscriptions", "SUBSCRIPTION", _with_a_callback)
WAY = ("objectOperations", 0)
ONE = FieldPlace(CALLED, way=WAY)
LONG = FieldPlace(Form(SCHEMA, "/subscriptions", "SUBSCRIPTION", _with_a_long_callback), way=WAY)
ENTRIES = Rule((VALID,), ("x", {}, [7], [{}], [{"objects": [], "operations": []}]))
REQUIRED, NULLABLE, OMITTABLE = Presence.REQUIRED, Presence.NULLABLE, Presence.OMITTABLE


def _listed(*constants: str) -> Rule:
    """A list of these constants."""
    return Rule((list(constants), [constants[0]]), (constants[0], {}, ["FOO"], [7], [None], [constants[0].lower()]))


checks_of(
    (
        FieldCase("SUB-F01", SCHEMA, "clientName", (PLAIN,), REQUIRED, NAME),
        FieldCase("SUB-F02", SCHEMA, "programID", (PLAIN,), OMITTABLE, Rule((VALID,), (*NO_NAMES, "not an id!"))),
        FieldCase("SUB-F03", SCHEMA, "objectOperations", (FieldPlace(CALLED),), REQUIRED, ENTRIES),
        FieldCase("SUB-F04", SCHEMA, "targets", (PLAIN,), NULLABLE, TARGETS),
        FieldCase("SUB-F05", ENTRY, "objects", (ONE,), REQUIRED, _listed(*KINDS)),
        FieldCase("SUB-F06", ENTRY, "operations", (ONE,), REQUIRED, _listed(*OPERATIONS)),
        FieldCase(
            *("SUB-F07", ENTRY, "callbackUrl", (ONE, LONG), REQUIRED),
            Rule((VALID,), ("", "x", "not a URL", uri_of(LONGEST_URI + 1), 7)),
        ),
        FieldCase("SUB-F08", ENTRY, "bearerToken", (ONE,), NULLABLE, FREE_TEXT),
    )
)


@check("SUB-F09")
async def subscription_clientid_follows_its_schema(kit: Kit) -> None:
    """`subscription.clientID` is always present, a text of 1 to 128 characters: in answers, reads and lists."""
    made = await kit.subscription(kit.ven)
    listed = (await kit.ven.get("/subscriptions", ("clientName", made["clientName"]))).shows(200).list
    for seen in (made, (await kit.ven.get(f"/subscriptions/{made['id']}")).object, *listed):
        client = seen.get("clientID")
        expect(isinstance(client, str) and 1 <= len(client) <= 128, f"clientID is {client!r}")  # noqa: PLR2004 - of the schema
