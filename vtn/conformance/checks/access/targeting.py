"""Targets and object privacy beyond the truth table (section TGT)."""

from http import HTTPStatus

from vtn.checking.verdict import expect
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.check import check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import HttpAnswer, Json, Party
from vtn.conformance.stage import sight, staged

TARGETED = ("programs", "events", "vens", "resources", "subscriptions")
BAD_TARGETS = ("", "x" * 129, {"type": "GROUP"}, 7)
GOOD_TARGETS = ("a", "x" * 128, "a,b", "ä ~#/%")


async def _body(kit: Kit, collection: str) -> Json:
    """A valid body of a collection whose objects have targets, as Business Logic writes it."""
    if collection == "programs":
        return {"programName": kit.name("program")}
    if collection == "events":
        return event_of((await kit.program())["id"])
    if collection == "subscriptions":
        return kit.subscribing()
    if collection == "vens":
        return {"objectType": "BL_VEN_REQUEST", "clientID": kit.ven.client_id, "venName": kit.name("ven")}
    ven = await kit.ven_of(kit.ven2)
    own = {"objectType": "BL_RESOURCE_REQUEST", "clientID": ven["clientID"], "venID": ven["id"]}
    return {**own, "resourceName": kit.name("resource")}


@check("TGT-01")
async def a_target_is_a_text_of_one_to_128_characters(kit: Kit) -> None:
    """All five kinds of object with targets keep texts of 1 to 128 characters and refuse anything else."""
    for collection in TARGETED:
        body = await _body(kit, collection)
        for bad in BAD_TARGETS:
            await kit.refused(kit.bl, f"/{collection}", {**body, "targets": [bad]}, 400)
        made = await kit.made(kit.bl, f"/{collection}", {**body, "targets": list(GOOD_TARGETS)})
        expect(made["targets"] == list(GOOD_TARGETS), f"targets should be kept, but are {made['targets']}")


@check("TGT-02")
async def business_logic_is_not_limited_by_targets(kit: Kit) -> None:
    """Business Logic lists and reads every event with all its targets; the parameter only filters."""
    stage = await staged(kit, "P0", "E0", "E12", "E9")
    seen = await stage.listed(kit.bl, "events")
    expect(seen == sight("E0 E12:g1,g2 E9:g9"), f"Business Logic should see all of them whole, sees {seen}")
    seen = stage.shown([(await kit.bl.get(f"/events/{stage.id('E12')}")).shows(200).object])
    expect(seen == sight("E12:g1,g2"), f"Business Logic should be shown E12 whole, sees {seen}")
    seen = await stage.listed(kit.bl, "events", "g9")
    expect(seen == sight("E9:g9"), f"targets=g9 should filter for Business Logic, who sees {seen}")


@check("TGT-04")
async def nobody_becomes_another_by_naming_its_client_id(kit: Kit) -> None:
    """A VEN that puts another's clientID into queries and bodies sees and writes no more than before."""
    stage = await staged(kit, "P0", "E0", "E1", "E12", "V1", "V2")
    claim = ("clientID", kit.ven.client_id)
    where = (("programID", stage.id("P0")), ("targets", stage.real("g1")[0]))
    for collection, mine, query in (("events", "", where), ("vens", "V2", ()), ("resources", "", ())):
        answer = await kit.ven2.get(f"/{collection}", *query, claim)
        if answer.status == HTTPStatus.BAD_REQUEST:
            continue  # a VTN may refuse parameters that it does not know
        seen = stage.shown(answer.shows(200).list)
        expect(set(seen) <= {mine}, f"clientID in the query opens another's {collection}: {seen}")
    report = await kit.report(kit.ven2, stage.things["E0"], clientID=kit.ven.client_id)
    expect(report["clientID"] == kit.ven2.client_id, "the clientID of a report should come from the token")


@check("TGT-11")
async def asking_for_targets_leaves_untargeted_objects_out(kit: Kit) -> None:
    """With targets asked for, a VEN and Business Logic list no untargeted program and no untargeted event."""
    stage = await staged(kit, "P0", "P1", "E0", "E1", "V1")
    for party in (kit.ven, kit.bl):
        for collection, right in (("events", "E1:g1"), ("programs", "P1:g1")):
            seen = await stage.listed(party, collection, "g1")
            expect(seen == sight(right), f"{party.who} should see {right} in /{collection}, sees {seen}")


@check("TGT-12", "TGT-03")
async def a_ven_is_shown_only_the_targets_it_holds(kit: Kit) -> None:
    """A program and an event of g1, v1, r1 and g9 show a VEN that asks for its three grants these, and not g9."""
    stage = await staged(kit, "P0", "V1", "R1")
    labels, granted = ("g1", "g9", "r1", "v1"), ("g1", "r1", "v1")
    stage.things["P"] = await kit.program(targets=stage.real(*labels))
    stage.things["E"] = await stage.event(*labels)
    for name, collection in (("P", "programs"), ("E", "events")):
        for party, right in ((kit.ven, granted), (kit.bl, labels)):
            seen = await stage.listed(party, collection, *granted)
            expect(seen.get(name) == sorted(right), f"{party.who} should see {right}, but sees {seen}")


@check("TGT-13")
async def owned_objects_show_all_their_targets(kit: Kit) -> None:
    """A VEN's own ven, resource and subscription show their targets whole, also those that grant it nothing."""
    stage = await staged(kit, "V1", "R1")
    wanted = stage.real("g1", "g9")
    subscription = await kit.subscription(kit.ven, targets=wanted)
    shown = (await kit.ven.get(f"/subscriptions/{subscription['id']}")).shows(200).object["targets"]
    expect(shown == wanted, f"the subscription should show {wanted}, but shows {shown}")
    for path, right in ((f"/vens/{stage.id('V1')}", ("g1", "v1")), (f"/resources/{stage.id('R1')}", ("r1",))):
        shown = (await kit.ven.get(path)).shows(200).object["targets"]
        expect(shown == stage.real(*right), f"{path} should show {right}, but shows {shown}")


@check("TGT-16")
async def grants_count_from_the_next_read_on(kit: Kit) -> None:
    """A VEN's next list lacks the events of a target that its ven has lost, and has them when it is given back."""
    stage = await staged(kit, "P0", "E1", "ER", "V1", "R1")
    for labels, right in (((), "ER:r1"), (("g1",), "E1:g1 ER:r1"), ((), "ER:r1")):
        await stage.grant("V1", *labels)
        seen = await stage.listed(kit.ven, "events", "g1", "r1")
        expect(seen == sight(right), f"after granting {labels} the VEN should see {right}, sees {seen}")
    (await kit.ven.get(f"/events/{stage.id('E1')}")).problem(404)


@check("TGT-17", "TGT-18")
async def targets_are_compared_as_they_are(kit: Kit) -> None:
    """`targets=a,b` asks for one target with a comma, `targets=a&targets=b` for two, and capitals matter."""
    stage = await staged(kit, "P0")
    first, second = stage.real("g1", "g2")
    comma = await kit.event(stage.things["P0"], targets=[f"{first},{second}"])
    plain = await kit.event(stage.things["P0"], targets=[first, second])
    where = ("programID", stage.id("P0"))
    expect(await kit.bl.ids("/events", where, ("targets", f"{first},{second}")) == [comma["id"]], "a comma separates")
    both = await kit.bl.ids("/events", where, ("targets", first), ("targets", second))
    expect(both == [plain["id"]], f"two targets should find the event that has both, but find {len(both)} events")
    expect(await kit.bl.ids("/events", where, ("targets", first.upper())) == [], "targets match in any case")


@check("TGT-19")
async def a_target_named_twice_counts_once(kit: Kit) -> None:
    """An event, a ven and a query that name a target twice behave as if they named it once."""
    stage = await staged(kit, "P0")
    await kit.ven_of(kit.ven, targets=stage.real("g1", "g1"))
    event = await stage.event("g1", "g1")
    where = ("programID", stage.id("P0"))
    twice = [("targets", target) for target in stage.real("g1", "g1")]
    for party in (kit.ven, kit.bl):
        expect(await party.ids("/events", where, *twice) == [event["id"]], f"{party.who} should see the event once")


@check("TGT-20")
async def pages_are_cut_from_what_the_client_may_see(kit: Kit) -> None:
    """A VEN's pages of two are full, though every second event is hidden from it, and show each visible one once."""
    stage = await staged(kit, "P0", "V1")
    visible = []
    for _ in range(5):
        await stage.event("g9")
        visible.append((await stage.event("g1"))["id"])
    where = (("programID", stage.id("P0")), ("targets", stage.real("g1")[0]), ("limit", "2"))
    walked = []
    for skip, length in ((0, 2), (2, 2), (4, 1), (6, 0)):
        page = (await kit.ven.get("/events", *where, ("skip", str(skip)))).shows(200).list
        expect(len(page) == length, f"the page from {skip} should hold {length} events, but holds {len(page)}")
        walked += [event["id"] for event in page]
    expect(sorted(walked) == sorted(visible), "the pages should show every visible event once")


def _words(answer: HttpAnswer) -> Json:
    """What a refusal says, without what names this one occurrence."""
    return {name: value for name, value in answer.object.items() if name != "instance"}


async def _alike(party: Party, hidden: str, unknown: str, body: Json) -> None:
    words = [
        _words(await party.send(method, path, body=body if method == "PUT" else None))
        for path in (hidden, unknown)
        for method in ("GET", "PUT", "DELETE")
    ]
    expect(words[:3] == words[3:], f"{hidden} is refused in other words than an unknown id")


@check("TGT-21", "TGT-14")
async def what_is_hidden_looks_like_what_is_not_there(kit: Kit) -> None:
    """What is hidden or another VEN's is refused in the words for an unknown id, also where a body refers to it."""
    stage = await staged(kit, "P0", "P9", "E9", "V1")
    foreign = await kit.subscription(kit.ven2)
    await _alike(kit.ven, f"/subscriptions/{foreign['id']}", "/subscriptions/no-such-id", kit.subscribing())
    for path, unknown in ((f"/events/{stage.id('E9')}", "/events/no"), (f"/programs/{stage.id('P9')}", "/programs/no")):
        first, second = [_words((await kit.ven.get(one)).problem(404)) for one in (path, unknown)]
        expect(first == second, f"{path} is refused in other words than an unknown id")
    for path, body, field, hidden in (
        ("/subscriptions", kit.subscribing(), "programID", stage.id("P9")),
        ("/reports", kit.report_on(""), "eventID", stage.id("E9")),
    ):
        answers = [await kit.ven.post(path, {**body, field: value}) for value in (hidden, "no-such-id")]
        for answer in answers:
            answer.problem(409, 404, 400)
        expect(answers[0].status == answers[1].status, f"POST {path} tells hidden from unknown by its status")
        said = [str(_words(answer)).replace(hidden, "no-such-id") for answer in answers]
        expect(said[0] == said[1], f"POST {path} tells hidden from unknown by its words")
