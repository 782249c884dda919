"""Events: the five operations, their fields, and who sees what (section EVT; activity is in `events_active`)."""

import asyncio

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import alike, in_list, keeps, views
from vtn.conformance.bodies.valid_bodies import EVENT_DESCRIPTOR, REPORT_DESCRIPTOR, event_of, interval_of
from vtn.conformance.check import check
from vtn.conformance.kit import HIDDEN, Kit
from vtn.conformance.parties.exchange import Json
from vtn.conformance.requirements import Level
from vtn.conformance.stage import sight, staged

PRICED = [interval_of({"type": "PRICE", "values": [0.25]})]
BOTH = "E12:g1,g2"
VISIBLE = "E0 E1:g1 E12:g1 ER:r1"


@check("EVT-01")
async def events_are_listed_by_program(kit: Kit) -> None:
    """GET /events is an array of events; programID, targets, skip and limit narrow it."""
    program, other = await kit.program(), await kit.program()
    target = kit.name("target")
    one = await kit.event(program, targets=[target])
    two = await kit.event(program)
    elsewhere = await kit.event(other, targets=[target])
    query = ("programID", program["id"])
    found = (await kit.bl.get("/events", query)).shows(200).list
    expect(sorted(event["id"] for event in found) == sorted((one["id"], two["id"])), "the program has two events")
    for event in found:
        kit.valid("EVENT", event)
    by_target = await kit.bl.ids("/events", ("targets", target))
    expect(sorted(by_target) == sorted((one["id"], elsewhere["id"])), "two events have the target")
    both = await kit.bl.ids("/events", query, ("targets", target))
    expect(both == [one["id"]], "one event of the program has the target")
    pages = [(await kit.bl.get("/events", query, ("limit", "1"), ("skip", skip))).shows(200).list for skip in "012"]
    expect([len(page) for page in pages] == [1, 1, 0], "pages of one should hold one, one and none")


@check("EVT-02")
async def an_event_needs_only_its_program(kit: Kit) -> None:
    """POST /events with a programID and nothing else makes an event of that program."""
    program = await kit.program()
    event = await kit.made(kit.bl, "/events", {"programID": program["id"]})
    expect(event["programID"] == program["id"], f"the event belongs to {event['programID']}")
    kit.valid("EVENT", event)


@check("EVT-03")
async def an_event_is_read_by_its_id(kit: Kit) -> None:
    """GET /events/{eventID} answers that event, as the POST and the list have it."""
    program = await kit.program()
    event = await kit.event(program, intervals=PRICED)
    await kit.event(program)
    read = (await kit.bl.get(f"/events/{event['id']}")).shows(200).object
    expect(alike(read, event), "the event that was read is not the one that was made")
    keeps({"programID": program["id"], "intervals": PRICED}, read, "the event is not what was posted")
    expect(alike(await in_list(kit.bl, "/events", event), event), "the list shows another event")


@check("EVT-04")
async def an_event_is_replaced_by_a_put(kit: Kit) -> None:
    """PUT /events/{eventID} answers the event as it now is, and that is how it is read afterwards."""
    event = await kit.event(await kit.program(), priority=7, eventName="before")
    body = event_of(event["programID"], priority=2, intervals=PRICED)
    changed = (await kit.bl.put(f"/events/{event['id']}", body)).shows(200).object
    expect(changed["id"] == event["id"], "the answer is another event")
    keeps(body, changed, "the answer is not the event as it was put")
    read = (await kit.bl.get(f"/events/{event['id']}")).shows(200).object
    expect(alike(read, changed), "the event that is read is not the one that the PUT answered")
    expect(read.get("eventName") is None, f"the event is still called {read.get('eventName')}")


@check("EVT-05")
async def an_event_is_deleted(kit: Kit) -> None:
    """DELETE /events/{eventID} answers the event, which is then gone."""
    event = await kit.event(await kit.program(), intervals=PRICED)
    gone = await kit.drop(kit.bl, f"/events/{event['id']}")
    expect(alike(gone, event), "the answer is not the event that was deleted")
    (await kit.bl.get(f"/events/{event['id']}")).problem(404)
    expect(await kit.bl.ids("/events", ("programID", event["programID"])) == [], "the event is still listed")


@check("EVT-06")
async def an_event_belongs_to_a_program_that_exists(kit: Kit) -> None:
    """An event of an unknown program is refused (409; 400 and 404 tolerated), also by PUT, which changes nothing."""
    await kit.refused(kit.bl, "/events", event_of("no-such-id"), 409, 400, 404)
    event = await kit.event(await kit.program())
    (await kit.bl.put(f"/events/{event['id']}", event_of("no-such-id"))).problem(409, 400, 404)
    read = (await kit.bl.get(f"/events/{event['id']}")).shows(200).object
    expect(alike(read, event), "a refused PUT changed the event")


@check("EVT-07")
async def an_event_may_have_no_intervals(kit: Kit) -> None:
    """An event without intervals, that only asks for reports, is made, and its intervals are not shown as null."""
    event = await kit.event(await kit.program(), intervals=None, reportDescriptors=[{"payloadType": "USAGE"}])
    for where, seen in await views(kit.bl, "/events", event):
        expect(seen.get("intervals", []) == [], f"intervals is {seen.get('intervals')} {where}")
        keeps({"reportDescriptors": [{"payloadType": "USAGE"}]}, seen, f"the request is lost {where}")


@check("EVT-09")
async def an_event_name_may_be_used_again(kit: Kit) -> None:
    """Two events of one program may have the same eventName."""
    program = await kit.program()
    one, other = [await kit.event(program, eventName="the same") for _ in range(2)]
    expect(one["id"] != other["id"], "both POSTs answered one event")
    names = [event["eventName"] for event in await kit.bl.all("/events", ("programID", program["id"]))]
    expect(names == ["the same"] * 2, f"the events are called {names}")


@check("EVT-10")
async def a_priority_is_an_integer_from_zero_up(kit: Kit) -> None:
    """Priorities 0 and 1000 are kept, null means none; a negative, broken or textual one is answered 400."""
    program = await kit.program()
    for good in (0, 1000, None):
        event = await kit.event(program, priority=good)
        expect(event.get("priority") == good, f"the priority {good} came back as {event.get('priority')}")
    for bad in (-1, 1.5, "1", True):
        await kit.refused(kit.bl, "/events", event_of(program["id"], priority=bad), 400)


@check("EVT-11")
async def an_event_describes_event_payloads_only(kit: Kit) -> None:
    """A report payload descriptor in an event, and a descriptor without objectType, are answered 400."""
    program = await kit.program()
    for wrong in (REPORT_DESCRIPTOR, {"payloadType": "PRICE"}):
        await kit.refused(kit.bl, "/events", event_of(program["id"], payloadDescriptors=[wrong]), 400)
    event = await kit.event(program, payloadDescriptors=[EVENT_DESCRIPTOR])
    keeps({"payloadDescriptors": [EVENT_DESCRIPTOR]}, event, "the event's descriptor came back changed")


@check("EVT-18")
async def vens_cannot_write_events(kit: Kit) -> None:
    """A VEN's POST, PUT and DELETE of events are answered 403 and have no effect."""
    program = await kit.program()
    event = await kit.event(program)
    await kit.refused(kit.ven, "/events", event_of(program["id"]), 403)
    (await kit.ven.put(f"/events/{event['id']}", event_of(program["id"], priority=1))).problem(403)
    (await kit.ven.delete(f"/events/{event['id']}")).problem(403)
    found = await kit.bl.all("/events", ("programID", program["id"]))
    expect(alike(found, [event]), "a VEN changed the events of a program")


@check("EVT-19")
async def a_ven_sees_untargeted_events_and_those_it_is_granted(kit: Kit) -> None:
    """A VEN lists events without targets, and, asking for each of its grants, those that have it; no others.

    It asks for its targets, because whether it has to is a reading (TGT-07), and so is a read by id (TGT-14).
    """
    stage = await staged(kit)
    for label, right in (("g1", {"E1", "E12"}), ("r1", {"ER"}), ("g9", set()), ("g2", set())):
        seen = await stage.listed(kit.ven, "events", label)
        expect(seen.keys() == right, f"the VEN that asks for {label} should see {right or 'nothing'}, but sees {seen}")
    other = await stage.listed(kit.ven2, "events", "g2")
    expect(other.keys() == {"E12"}, f"the VEN granted g2 should see E12, but sees {other}")
    for party, hidden in ((kit.ven, {"E9"}), (kit.ven2, {"E1", "ER", "E9"})):
        seen = await stage.listed(party, "events")
        expect("E0" in seen, f"{party.who} should see the untargeted event, but sees {seen}")
        expect(not hidden & seen.keys(), f"{party.who} should not see {hidden}, but sees {seen}")


@check("EVT-19", level=Level.READING)
async def a_ven_need_not_ask_for_its_targets(kit: Kit) -> None:
    """A VEN that asks for no targets lists what all its grants allow, and reads it by id."""
    stage = await staged(kit)
    seen = await stage.listed(kit.ven, "events")
    expect(seen.keys() == sight(VISIBLE).keys(), f"the VEN should see {VISIBLE}, but sees {seen}")
    for name in ("E0", "E1", "E12", "ER"):
        (await kit.ven.get(f"/events/{stage.id(name)}")).shows(200)


@check("EVT-20")
async def an_event_of_a_hidden_program_is_hidden(kit: Kit) -> None:
    """A VEN does not see an untargeted event of a program that it may not see, listed or by id."""
    stage = await staged(kit, "P0", "P9", "V1")
    hidden = await kit.event(stage.things["P9"])
    open_one = await kit.event(stage.things["P0"])
    seen = await kit.ven.ids("/events")
    expect(open_one["id"] in seen, "the VEN does not see an open event")
    expect(hidden["id"] not in seen, "the VEN sees an event of a program that is hidden from it")
    (await kit.ven.get(f"/events/{hidden['id']}")).problem(404)


@check("EVT-21")
async def a_hidden_event_looks_like_a_missing_one(kit: Kit) -> None:
    """A VEN that reads an event hidden from it gets 404, as for an id that nothing has."""
    stage = await staged(kit, "P0", "E9", "V1")
    hidden = (await kit.ven.get(f"/events/{stage.id('E9')}")).problem(404).object
    unknown = (await kit.ven.get("/events/no-such-id")).problem(404).object
    expect(hidden.get("title") == unknown.get("title"), "the titles of the two answers differ")


@check("EVT-22")
async def a_ven_sees_its_own_targets_of_an_event(kit: Kit) -> None:
    """The targets of an event that a VEN lists by its targets are those it was granted; Business Logic sees all."""
    stage = await staged(kit)
    for party, label, wanted in ((kit.ven, "g1", "E1:g1 E12:g1"), (kit.ven2, "g2", "E12:g2"), (kit.bl, "g2", BOTH)):
        seen = await stage.listed(party, "events", label)
        expect(seen == sight(wanted), f"{party.who} that asks for {label} should see {wanted}, but sees {seen}")


@check("EVT-22", level=Level.READING)
async def a_ven_sees_its_own_targets_of_an_event_by_id(kit: Kit) -> None:
    """The targets of an event that a VEN reads by id are those it was granted; Business Logic sees all."""
    stage = await staged(kit)
    for party, wanted in ((kit.ven, "E12:g1"), (kit.ven2, "E12:g2"), (kit.bl, BOTH)):
        read = stage.shown([(await party.get(f"/events/{stage.id('E12')}")).shows(200).object])
        expect(read == sight(wanted), f"{party.who} should see {wanted}, but sees {read}")


@check("EVT-23")
async def a_ven_sees_its_own_targets_of_a_report_request(kit: Kit) -> None:
    """The targets of a report request inside an event are cut down for a VEN as the event's own are."""
    stage = await staged(kit, "P0", "V1")
    request = {"payloadType": "USAGE", "targets": stage.real("g1", "g9")}
    event = await kit.event(stage.things["P0"], reportDescriptors=[request])
    seen = (await kit.ven.get(f"/events/{event['id']}")).shows(200).object
    targets = seen["reportDescriptors"][0].get("targets")
    expect(targets == stage.real("g1"), f"the VEN should see the target it was granted, but sees {targets}")
    whole = (await kit.bl.get(f"/events/{event['id']}")).shows(200).object
    expect(whole["reportDescriptors"][0]["targets"] == request["targets"], "Business Logic should see all targets")


@check("EVT-24")
async def a_client_without_a_ven_sees_no_targeted_event(kit: Kit) -> None:
    """A VEN client for which no ven was made sees untargeted events only, whatever targets it asks for."""
    stage = await staged(kit, "P0", "E0", "E1", "E9")
    seen = await stage.listed(kit.ven, "events")
    expect(seen.keys() == {"E0"}, f"a client without a ven should see E0, but sees {seen}")
    asked = await stage.listed(kit.ven, "events", "g1")
    expect(not asked, f"a client without a ven asked for a target and saw {asked}")
    (await kit.ven.get(f"/events/{stage.id('E1')}")).problem(*HIDDEN)


@check("EVT-27")
async def intervals_and_lists_have_an_order(kit: Kit) -> None:
    """Intervals come back in the order they were written, and a list comes in the same order every time."""
    program = await kit.program()
    intervals: list[Json] = [interval_of(number=n) for n in (7, 3, 5, 1)]
    events = await asyncio.gather(*(kit.event(program, intervals=intervals) for _ in range(6)))
    for event in events:
        ids = [interval["id"] for interval in event["intervals"]]
        expect(ids == [7, 3, 5, 1], f"the intervals 7, 3, 5, 1 came back as {ids}")
    first, *later = [await kit.bl.ids("/events", ("programID", program["id"])) for _ in range(3)]
    expect(sorted(first) == sorted(event["id"] for event in events), "the list does not hold the program's events")
    expect(all(other == first for other in later), "the same GET gave another order")
