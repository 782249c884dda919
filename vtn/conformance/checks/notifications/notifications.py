"""What notifications say, and who gets which (section NOTIF); the same rules hold on MQTT."""

import asyncio
from collections.abc import Callable
from typing import Any

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import alike
from vtn.conformance.bodies.scalars import LONGEST_NAME
from vtn.conformance.bodies.valid_bodies import event_of, interval_of
from vtn.conformance.check import ConformanceCheck, Need, check, register
from vtn.conformance.checks.notifications.webhooks import changed
from vtn.conformance.checks.objects.subscriptions import KINDS
from vtn.conformance.kit import COLLECTIONS, Kit
from vtn.conformance.parties.exchange import Json
from vtn.conformance.requirements import Level, every
from vtn.conformance.stage import staged

RECEIVER = (Need.RECEIVER,)
WRITES = ("CREATE", "UPDATE", "DELETE")
OPERATIONS = {"READ", *WRITES}
PATHS = {kind: f"/{kind.lower()}s" for kind in KINDS}


async def life(kit: Kit) -> tuple[list[Json], list[Json]]:
    """Notifications of the creation, change and end of an event of three targets: what BL and what a VEN was told."""
    async with kit.hook() as of_bl, kit.hook() as of_ven:
        stage = await staged(kit, "P0", "V1")
        await kit.subscription(kit.bl, of_bl.wish("EVENT"), programID=stage.id("P0"))
        asked = stage.real("g1")
        await kit.subscription(kit.ven, of_ven.wish("EVENT"), programID=stage.id("P0"), targets=asked)
        event = await stage.event("g1", "g2", "v1")
        body = event_of(stage.id("P0"), targets=event["targets"], eventName=kit.name("event"))
        (await kit.bl.put(f"/events/{event['id']}", body)).shows(200)
        await kit.drop(kit.bl, f"/events/{event['id']}")
        said = [[await hook.hears(operation, event) for operation in WRITES] for hook in (of_bl, of_ven)]
        return said[0], said[1]


# --- what they say ---------------------------------------------------------------------------------------------------


@check("NOTIF-01", "NOTIF-02", "NOTIF-03", needs=RECEIVER)
async def a_notification_names_operation_and_object(kit: Kit) -> None:
    """Creating, changing and deleting an event says CREATE, UPDATE and DELETE, in any order, with an EVENT as such."""
    for said in await life(kit):
        for body in said:
            kit.valid("NOTIFICATION", body)
            kit.valid("EVENT", body["object"])
            expect(body["objectType"] == body["object"]["objectType"] == "EVENT", "objectType should be EVENT, twice")


@check("NOTIF-04", needs=RECEIVER)
async def a_notification_carries_the_object_as_it_is_read(kit: Kit) -> None:
    """The object of a CREATE of each of the six kinds is what Business Logic then reads by id."""
    async with kit.hook() as hook:
        await kit.subscription(kit.bl, hook.wish(" ".join(KINDS), "CREATE"))
        program = await kit.program(targets=[kit.name("target")], attributes=[{"type": "x", "values": [1, "a"]}])
        event = await kit.event(program, priority=3, intervals=[interval_of({"type": "x", "values": [1]})])
        ven = await kit.ven_of(kit.ven, targets=program["targets"])
        things = [program, event, ven, await kit.resource_of(ven), await kit.report(kit.ven, event)]
        for thing in [*things, await kit.subscription(kit.ven)]:
            said = await hook.hears("CREATE", thing)
            read = (await kit.bl.get(f"{PATHS[thing['objectType']]}/{thing['id']}")).shows(200).object
            expect(alike(said["object"], read), f"the {thing['objectType']} told is not the one that is read")


@check("NOTIF-04", "NOTIF-10", "TGT-22", needs=RECEIVER)
async def a_ven_is_told_what_it_would_read(kit: Kit) -> None:
    """An event of g1 and g2 is told to a VEN granted g1 as that VEN reads it, with the target g1 only."""
    async with kit.hook() as hook:
        stage = await staged(kit, "P0", "V1")
        wish, asked = hook.wish("EVENT", "CREATE"), stage.real("g1")
        await kit.subscription(kit.ven, wish, programID=stage.id("P0"), targets=asked)
        await stage.make("E12")
        said = await hook.hears("CREATE", stage.things["E12"])
        listed = await kit.ven.all("/events", ("programID", stage.id("P0")), ("targets", asked[0]))
        expect(len(listed) == 1, f"the VEN should list one event of g1, but lists {len(listed)}")
        read = listed[0]
        expect(alike(said["object"], read), "the VEN is told another event than it reads")
        expect(said["object"]["targets"] == stage.real("g1"), f"it is told the targets {said['object']['targets']}")
        shown = said.get("targets")
        expect(shown in (None, stage.real("g1")), f"notification.targets should hold g1 only, but holds {shown}")


@check("NOTIF-12", needs=RECEIVER)
async def a_deletion_carries_the_last_state(kit: Kit) -> None:
    """The DELETE of an event, a program and a report carries the object as it last was."""
    async with kit.hook() as hook:
        program = await kit.program()
        await kit.subscription(kit.bl, hook.wish("EVENT REPORT PROGRAM", "DELETE"), programID=program["id"])
        event = await changed(kit, await kit.event(program))
        report = await kit.report(kit.ven, event)
        for party, thing in ((kit.ven, report), (kit.bl, event), (kit.bl, program)):
            await kit.drop(party, f"{PATHS[thing['objectType']]}/{thing['id']}")
            said = (await hook.hears("DELETE", thing))["object"]
            expect(alike(said, thing), f"the DELETE of a {thing['objectType']} should carry its last state")


# --- who is told what ------------------------------------------------------------------------------------------------


@check("NOTIF-05", needs=RECEIVER)
async def every_matching_entry_is_called_once(kit: Kit) -> None:
    """An event's creation, change and end call each of three matching entries once, and another entry never."""
    async with kit.hook() as first, kit.hook() as second, kit.hook() as third, kit.hook() as other:
        program = await kit.program()
        wishes = (first.wish("EVENT"), second.wish("EVENT REPORT"), other.wish("REPORT"))
        await kit.subscription(kit.bl, *wishes, programID=program["id"])
        await kit.subscription(kit.ven, third.wish("EVENT"), programID=program["id"])
        event = await kit.event(program)
        await changed(kit, event)
        await kit.drop(kit.bl, f"/events/{event['id']}")
        for hook in (first, second, third):
            for operation in WRITES:
                await hook.hears(operation, event)
        await asyncio.gather(first.none(), other.none())
        expect([hook.attempts for hook in (first, second, third, other)] == [3, 3, 3, 0], "some were called twice")


@check("NOTIF-06", needs=RECEIVER)
async def only_listed_operations_on_listed_kinds_are_told(kit: Kit) -> None:
    """An entry for DELETE of events hears of no CREATE, no UPDATE and no report, and then of the DELETE."""
    async with kit.hook() as hook, kit.hook() as created:
        program = await kit.program()
        await kit.subscription(kit.bl, hook.wish("EVENT", "DELETE"), programID=program["id"])
        await kit.subscription(kit.bl, created.wish("EVENT", "CREATE"), programID=program["id"])
        event = await kit.event(program)
        report = await kit.report(kit.ven, event)
        await changed(kit, event)
        await kit.drop(kit.ven, f"/reports/{report['id']}")
        await kit.drop(kit.bl, f"/events/{event['id']}")
        await hook.hears("DELETE", event)
        await created.hears("CREATE", event)
        await asyncio.gather(created.none(), hook.none())


@check("NOTIF-07", needs=RECEIVER)
async def a_subscription_to_a_program_hears_of_that_program_only(kit: Kit) -> None:
    """With programID the program, its events and the reports on them are told, and nothing of another program."""
    async with kit.hook() as hook:
        program, other = await kit.program(), await kit.program()
        await kit.subscription(kit.bl, hook.wish("PROGRAM EVENT REPORT"), programID=program["id"])
        await kit.report(kit.ven, await kit.event(other))
        (await kit.bl.put(f"/programs/{other['id']}", {"programName": kit.name("program")})).shows(200)
        event = await kit.event(program)
        await hook.hears("CREATE", event)
        await hook.hears("CREATE", await kit.report(kit.ven, event))
        (await kit.bl.put(f"/programs/{program['id']}", {"programName": kit.name("program")})).shows(200)
        await hook.hears("UPDATE", program)
        await hook.none()


@check("NOTIF-08", "TGT-22", needs=RECEIVER)
async def targeted_events_are_told_by_the_grants_of_the_owner(kit: Kit) -> None:
    """A VEN that subscribes to targets hears of those granted to its ven and its resource, and of no others.

    Each subscription names one target, because whether a VEN has to name them is a reading, and so is what two mean.
    """
    async with kit.hook() as hook, kit.hook() as other:
        stage = await staged(kit, "P0", "V1", "R1", "V2")
        for party, one, labels in ((kit.ven, hook, ("g1", "r1", "g9")), (kit.ven2, other, ("g2", "g1", "r1", "g9"))):
            for label in labels:
                await kit.subscription(party, one.wish("EVENT PROGRAM", "CREATE"), targets=stage.real(label))
        await stage.make("P9", "E9")
        await stage.make("P1", "E1", "ER", "E12")
        seen = stage.things
        await hook.hears_all(*(("CREATE", seen[name]) for name in ("P1", "E1", "ER", "E12")))
        await other.hears("CREATE", seen["E12"])
        foreign = [seen[name] for name in ("P1", "E1", "ER", "P9", "E9")]
        await asyncio.gather(hook.never(seen["P9"], seen["E9"]), other.never(*foreign))


@check("NOTIF-08", needs=RECEIVER, level=Level.READING)
async def a_subscription_without_targets_means_all_grants(kit: Kit) -> None:
    """A VEN that subscribes without targets hears of what its ven and its resource are granted, and of nothing else."""
    async with kit.hook() as hook, kit.hook() as other:
        stage = await staged(kit, "P0", "V1", "R1", "V2")
        for party, one in ((kit.ven, hook), (kit.ven2, other)):
            await kit.subscription(party, one.wish("EVENT PROGRAM", "CREATE"))
        await stage.make("P9", "E9")
        await stage.make("P1", "E1", "ER", "E12")
        seen = stage.things
        await hook.hears_all(*(("CREATE", seen[name]) for name in ("P1", "E1", "ER", "E12")))
        await other.hears("CREATE", seen["E12"])
        foreign = [seen[name] for name in ("P1", "E1", "ER", "P9", "E9")]
        await asyncio.gather(hook.never(seen["P9"], seen["E9"]), other.never(*foreign))


@check("NOTIF-09", needs=RECEIVER)
async def owned_objects_are_told_to_their_owner_only(kit: Kit) -> None:
    """A VEN hears nothing of another VEN's report, subscription, ven and resource, and then of its own; BL of all."""
    async with kit.hook() as of_ven, kit.hook() as of_bl:
        event = await kit.event(await kit.program())
        kinds = "REPORT SUBSCRIPTION VEN RESOURCE"
        await kit.subscription(kit.bl, of_bl.wish(kinds, "CREATE"))
        await kit.subscription(kit.ven, of_ven.wish(kinds, "CREATE"))
        things: dict[str, list[Json]] = {}
        for party in (kit.ven2, kit.ven):
            ven = await kit.ven_of(party)
            own = [ven, await kit.resource_of(ven), await kit.subscription(party), await kit.report(party, event)]
            things[party.who] = own
        for own in things.values():
            await of_bl.hears_all(*(("CREATE", thing) for thing in own))
        await of_ven.hears_all(*(("CREATE", thing) for thing in things[kit.ven.who]))
        await of_ven.never(*things[kit.ven2.who])


@check("NOTIF-11", needs=RECEIVER)
async def untargeted_events_are_told_to_all_but_those_who_want_targets(kit: Kit) -> None:
    """An untargeted event is told to VENs with and without a ven, but not to a subscription that names targets."""
    async with kit.hook() as first, kit.hook() as second, kit.hook() as narrow:
        stage = await staged(kit, "P0", "V1")
        for party, hook in ((kit.ven, first), (kit.ven2, second)):
            await kit.subscription(party, hook.wish("EVENT", "CREATE"), programID=stage.id("P0"))
        targets = stage.real("g1")
        await kit.subscription(kit.ven, narrow.wish("EVENT", "CREATE"), programID=stage.id("P0"), targets=targets)
        await stage.make("E0")
        for hook in (first, second):
            await hook.hears("CREATE", stage.things["E0"])
        await stage.make("E1")
        await narrow.hears("CREATE", stage.things["E1"])
        await asyncio.gather(second.none(), narrow.none())


@check("NOTIF-13", needs=RECEIVER)
async def a_read_is_told_to_those_who_want_reads(kit: Kit) -> None:
    """Business Logic that wishes for READ of events is told when a VEN reads one by its id, and not of writes."""
    async with kit.hook() as hook:
        program = await kit.program()
        event = await kit.event(program)
        made = await kit.subscription(kit.bl, hook.wish("EVENT", "READ"), programID=program["id"])
        expect(made["objectOperations"][0]["operations"] == ["READ"], "READ should be stored")
        event = await changed(kit, event)
        (await kit.ven.get(f"/events/{event['id']}")).shows(200)
        said = kit.valid("NOTIFICATION", await hook.hears("READ", event))
        await hook.never_of("CREATE UPDATE DELETE")
        expect(said["object"]["eventName"] == event["eventName"], "a READ should carry the object that was read")


@check("NOTIF-14", needs=RECEIVER)
async def reads_are_not_told_across_vens(kit: Kit) -> None:
    """A VEN that wishes for READ of an event it may see is not told when another VEN reads it."""
    async with kit.hook() as of_ven, kit.hook() as of_bl:
        program = await kit.program()
        event = await kit.event(program)
        await kit.subscription(kit.ven, of_ven.wish("EVENT", "READ CREATE"), programID=program["id"])
        await kit.subscription(kit.bl, of_bl.wish("EVENT", "READ"), programID=program["id"])
        (await kit.ven2.get(f"/events/{event['id']}")).shows(200)
        await of_bl.hears("READ", event)
        await of_ven.hears("CREATE", await kit.event(program))
        await of_ven.none()


@check("NOTIF-14", needs=RECEIVER)
async def a_list_tells_of_every_object_in_it(kit: Kit) -> None:
    """When a VEN lists events, Business Logic that wishes for READ is told of each event that the VEN was shown."""
    async with kit.hook() as hook:
        stage = await staged(kit, "P0", "E0", "E1", "E9", "V1")
        await kit.subscription(kit.bl, hook.wish("EVENT", "READ"), programID=stage.id("P0"))
        (await kit.ven.get("/events", ("programID", stage.id("P0")))).shows(200)
        await hook.hears_all(("READ", stage.things["E0"]), ("READ", stage.things["E1"]))
        await hook.never(stage.things["E9"])


@check("NOTIF-15", needs=RECEIVER)
async def who_loses_sight_of_an_event_is_told_that_it_is_gone(kit: Kit) -> None:
    """An event retargeted from g1 to g2 is told as DELETE, with the old targets, to one VEN, as new to the other."""
    async with kit.hook() as first, kit.hook() as second:
        stage = await staged(kit, "P0", "V1", "V2")
        for party, hook in ((kit.ven, first), (kit.ven2, second)):
            await kit.subscription(party, hook.wish("EVENT"), programID=stage.id("P0"))
        await stage.make("E1")
        event = stage.things["E1"]
        await first.hears("CREATE", event)
        await stage.retarget("E1", "g2")
        lost = await first.hears("DELETE", event)
        expect(lost["object"].get("targets") == stage.real("g1"), "the DELETE should show the target that the VEN knew")
        expect((await second.next()).said[0] in {"CREATE", "UPDATE"}, "who gains sight should hear CREATE or UPDATE")
        await stage.retarget("E1", "g1", "g2")
        expect((await first.next()).said[0] in {"CREATE", "UPDATE"}, "who gains sight should hear CREATE or UPDATE")
        await second.hears("UPDATE", event)


@check("NOTIF-16", needs=RECEIVER)
async def a_change_of_grants_tells_of_the_ven_only(kit: Kit) -> None:
    """When a ven's targets change its VEN hears UPDATE of the ven, and nothing of programs and events."""
    async with kit.hook() as hook, kit.hook() as of_ven:
        stage = await staged(kit, "P0", "E1", "V1")
        await kit.subscription(kit.ven, hook.wish("PROGRAM EVENT"), programID=stage.id("P0"))
        await kit.subscription(kit.ven, of_ven.wish("VEN"))
        await stage.grant("V1")
        said = await of_ven.hears("UPDATE", stage.things["V1"])
        expect(not said["object"].get("targets"), "the notification should show the new grants")
        await stage.grant("V1", "g1")
        await of_ven.hears("UPDATE", stage.things["V1"])
        await stage.make("E0")
        await hook.hears("CREATE", stage.things["E0"])
        await hook.none()


@check("NOTIF-17", needs=RECEIVER)
async def business_logic_hears_of_what_vens_own(kit: Kit) -> None:
    """Business Logic is told of reports, subscriptions, vens and resources that a VEN makes, changes and deletes."""
    async with kit.hook() as hook:
        event = await kit.event(await kit.program())
        await kit.subscription(kit.bl, hook.wish("REPORT SUBSCRIPTION VEN RESOURCE"))
        own = {"objectType": "VEN_VEN_REQUEST", "venName": kit.name("ven")}
        ven = await kit.made(kit.ven, "/vens", own)
        of_ven = {"objectType": "VEN_RESOURCE_REQUEST", "venID": ven["id"], "resourceName": kit.name("resource")}
        resource = await kit.made(kit.ven, "/resources", of_ven)
        report, subscription = await kit.report(kit.ven, event), await kit.subscription(kit.ven)
        for thing, body in ((report, None), (subscription, None), (resource, of_ven), (ven, own)):
            path = f"{PATHS[thing['objectType']]}/{thing['id']}"
            (await kit.ven.put(path, body or _writable(thing))).shows(200)
            await kit.drop(kit.ven, path)
        told = [(operation, thing) for thing in (report, subscription, resource, ven) for operation in WRITES]
        await hook.hears_all(*told)


def _writable(thing: Json) -> Json:
    """A report or subscription as its owner sends it."""
    wanted = ("eventID", "clientName", "resources", "objectOperations")
    return {name: thing[name] for name in wanted if name in thing}


# --- the fields ------------------------------------------------------------------------------------------------------


def _field(name: str, right: Callable[[Any], bool]) -> Callable[[Kit], Any]:
    async def obeyed(kit: Kit) -> None:
        for said in await life(kit):
            for body in said:
                expect(right(body.get(name)), f"notification.{name} breaks its schema: {body.get(name)!r}")

    return obeyed


def _targets(value: Any) -> bool:
    if not isinstance(value, list):
        return value is None
    return all(isinstance(target, str) and 1 <= len(target) <= LONGEST_NAME for target in value)


FIELDS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("objectType", lambda value: value in KINDS),
    ("operation", lambda value: value in OPERATIONS),
    ("object", lambda value: isinstance(value, dict) and f"{str(value.get('objectType')).lower()}s" in COLLECTIONS),
    ("targets", _targets),
)
for _number, (_name, _right) in enumerate(FIELDS, start=1):
    _row = every()[f"NOTIF-F{_number:02}"]
    _run = _field(_name, _right)
    register(
        ConformanceCheck(f"notification_{_name}_follows_its_schema", _row.text, (_row.id,), _row.level, RECEIVER, _run)
    )
