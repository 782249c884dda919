"""What is heard on MQTT, by whom, and what is not (section MQTT): with the topics that the VTN names, and no others."""

import asyncio
import contextlib
from collections.abc import Mapping

import aiomqtt

from vtn.checking.verdict import Skipped, expect
from vtn.conformance.bodies.field_cases import alike
from vtn.conformance.check import Need, check
from vtn.conformance.checks.notifications.mqtt_discovery import login
from vtn.conformance.checks.notifications.webhooks import changed
from vtn.conformance.kit import COLLECTIONS, Kit
from vtn.conformance.parties.exchange import Json, Party
from vtn.conformance.parties.listener import Ear, connected, listening
from vtn.conformance.stage import Fixtures, staged

MQTT = (Need.MQTT,)
WRITES = ("CREATE", "UPDATE", "DELETE")
ACKNOWLEDGED_WITHIN_S = 5.0


def told_apart(topics: Mapping[str, str]) -> list[str]:
    """The topics of an endpoint, one an operation."""
    return [topics[operation] for operation in WRITES if operation in topics]


async def of_vens(kit: Kit, stage: Fixtures, kind: str = "/events") -> tuple[list[str], list[str]]:
    """The topics of V1 and V2, as their owners are told them."""
    first = await kit.topics(kit.ven, f"vens/{stage.id('V1')}{kind}")
    second = await kit.topics(kit.ven2, f"vens/{stage.id('V2')}{kind}")
    return told_apart(first), told_apart(second)


# --- what is said ----------------------------------------------------------------------------------------------------


@check("MQTT-33", "MQTT-19", "MQTT-40", needs=MQTT)
async def a_message_is_the_notification(kit: Kit) -> None:
    """Creations of all six kinds are heard on the topics named for them, as notifications of the object as it is read.

    No subscription object is needed for that.
    """
    topics = [(await kit.topics(kit.bl, collection))["CREATE"] for collection in COLLECTIONS]
    async with kit.ear(kit.bl, *topics) as ear:
        program, ven = await kit.program(), await kit.ven_of(kit.ven, targets=[kit.name("target")])
        event = await kit.event(program)
        report, subscription = await kit.report(kit.ven, event), await kit.subscription(kit.ven)
        things = [program, event, report, subscription, ven, await kit.resource_of(ven)]
        heard = {one.said[2]: one for one in await ear.hears_all(*(("CREATE", thing) for thing in things))}
    for collection, topic, thing in zip(COLLECTIONS, topics, things, strict=True):
        message = heard[thing["id"]]
        expect(message.topic == topic, f"the creation should be heard on {topic}, was on {message.topic}")
        kit.valid("NOTIFICATION", message.body)
        read = (await kit.bl.get(f"/{collection}/{thing['id']}")).shows(200).object
        expect(alike(message.body["object"], read), f"what is told of /{collection} is not what is read")


@check("MQTT-18", needs=MQTT)
async def the_topic_all_covers_the_others(kit: Kit) -> None:
    """Where ALL is named, who listens to it hears CREATE, UPDATE and DELETE."""
    topics = await kit.topics(kit.bl, "events")
    if "ALL" not in topics:
        raise Skipped("this VTN names no topic ALL, which is its choice")
    async with kit.ear(kit.bl, topics["ALL"]) as ear:
        event = await kit.event(await kit.program())
        await changed(kit, event)
        await kit.drop(kit.bl, f"/events/{event['id']}")
        await ear.hears_all(*((operation, event) for operation in WRITES))


@check("MQTT-34", needs=MQTT)
async def reads_are_not_published(kit: Kit) -> None:
    """Reading an event, by id and in lists, is not heard; its next change is."""
    program = await kit.program()
    topics = await kit.topics(kit.bl, f"programs/{program['id']}/events")
    async with kit.ear(kit.bl, *([topics["ALL"]] if "ALL" in topics else told_apart(topics))) as ear:
        event = await kit.event(program)
        await ear.until("CREATE", event)
        for party in (kit.bl, kit.ven):
            (await party.get(f"/events/{event['id']}")).shows(200)
            (await party.get("/events", ("programID", program["id"]))).shows(200)
        await changed(kit, event)
        said = (await ear.next()).said
        expect(said == ("UPDATE", "EVENT", event["id"]), f"the next thing heard should be the UPDATE, is {said}")


@check("MQTT-39", needs=MQTT)
async def a_topic_is_not_filtered_by_targets(kit: Kit) -> None:
    """The topic of all events carries to Business Logic those of every target, and those of none."""
    stage = await staged(kit, "P0")
    topics = await kit.topics(kit.bl, "events")
    async with kit.ear(kit.bl, topics["CREATE"]) as ear:
        await stage.make("E0", "E1", "E9")
        await ear.hears_all(*(("CREATE", stage.things[name]) for name in ("E0", "E1", "E9")))


@check("MQTT-42", needs=MQTT)
async def listeners_choose_their_quality_of_service(kit: Kit) -> None:
    """A topic is granted with QoS 0 and with QoS 1, and heard with both."""
    stage = await staged(kit, "P0", "V1")
    topic = (await kit.topics(kit.ven, f"vens/{stage.id('V1')}/events"))["CREATE"]
    how = await login(kit, kit.ven)
    async with listening(how) as first, listening(how) as second:
        for ear, qos in ((first, 0), (second, 1)):
            await ear.subscribe(topic, qos=qos)
            expect(not ear.refused, f"a topic of the client's own ven was refused with QoS {qos}")
        await stage.make("E0")
        for ear in (first, second):
            await ear.until("CREATE", stage.things["E0"])


@check("MQTT-41", needs=MQTT)
async def what_was_deleted_is_not_retained(kit: Kit) -> None:
    """Who listens only after an event was made, changed and deleted hears nothing of it."""
    stage = await staged(kit, "P0", "V1")
    mine = told_apart(await kit.topics(kit.ven, f"vens/{stage.id('V1')}/events"))
    every = told_apart(await kit.topics(kit.bl, "events"))
    async with kit.ear(kit.bl, *every) as before:
        event = await stage.event("g1")
        await changed(kit, event)
        await kit.drop(kit.bl, f"/events/{event['id']}")
        await before.until("DELETE", event)
    async with kit.ear(kit.ven, *mine) as of_ven, kit.ear(kit.bl, *every) as of_bl:
        await stage.make("E0")
        for ear in (of_ven, of_bl):
            await ear.until("CREATE", stage.things["E0"])
        await asyncio.gather(of_ven.never(event), of_bl.never(event))


# --- who hears it ----------------------------------------------------------------------------------------------------


@check("MQTT-35", "TGT-22", needs=MQTT)
async def a_targeted_event_is_heard_by_the_vens_it_is_for(kit: Kit) -> None:
    """Events of g1, of a resource's target, of g2 and of g9 are heard on the topics of the vens granted them, only."""
    stage = await staged(kit, "P0", "V1", "R1", "V2")
    first, second = await of_vens(kit, stage)
    async with kit.ear(kit.ven, *first) as of_v1, kit.ear(kit.ven2, *second) as of_v2:
        expect(not of_v1.refused + of_v2.refused, "a VEN should be let to its own topics")
        await stage.make("E9", "E1", "ER", "E12")
        await of_v1.hears_all(*(("CREATE", stage.things[name]) for name in ("E1", "E12", "ER")))
        await of_v2.until("CREATE", stage.things["E12"])
        foreign = [stage.things[name] for name in ("E1", "ER", "E9")]
        await asyncio.gather(of_v1.never(stage.things["E9"]), of_v2.never(*foreign))


@check("MQTT-36", needs=MQTT)
async def an_untargeted_event_is_heard_on_every_vens_topic(kit: Kit) -> None:
    """An event without targets, its change and its end are heard on the topics of both vens."""
    stage = await staged(kit, "P0", "V1", "V2")
    first, second = await of_vens(kit, stage)
    async with kit.ear(kit.ven, *first) as of_v1, kit.ear(kit.ven2, *second) as of_v2:
        event = await stage.event()
        await changed(kit, event)
        await kit.drop(kit.bl, f"/events/{event['id']}")
        for ear in (of_v1, of_v2):
            await ear.hears_all(*((operation, event) for operation in WRITES))


@check("MQTT-37", needs=MQTT)
async def the_topics_of_a_program_carry_nothing_private(kit: Kit) -> None:
    """A VEN that listens to a program's events hears of untargeted ones, and not of those targeted at others."""
    stage = await staged(kit, "P0", "V1", "V2")
    topics = told_apart(await kit.topics(kit.ven, f"programs/{stage.id('P0')}/events"))
    async with kit.ear(kit.ven, *topics) as ear:
        hidden = await stage.event("g2")
        await stage.make("E9", "E0")
        await ear.until("CREATE", stage.things["E0"])
        await ear.never(hidden, stage.things["E9"])


@check("MQTT-38", needs=MQTT)
async def targets_are_cut_on_the_topics_of_vens(kit: Kit) -> None:
    """An event of g1 and g2 shows g1 on the topic of a ven granted g1, and both to Business Logic."""
    stage = await staged(kit, "P0", "V1", "V2")
    first, second = await of_vens(kit, stage)
    every = (await kit.topics(kit.bl, "events"))["CREATE"]
    ears = (kit.ear(kit.ven, *first), kit.ear(kit.ven2, *second), kit.ear(kit.bl, every))
    async with ears[0] as of_v1, ears[1] as of_v2, ears[2] as of_bl:
        await stage.make("E12")
        for ear, labels in ((of_v1, ("g1",)), (of_v2, ("g2",)), (of_bl, ("g1", "g2"))):
            body = (await ear.until("CREATE", stage.things["E12"])).body
            shown = body["object"]["targets"]
            expect(shown == stage.real(*labels), f"the event should show {labels}, but shows {shown}")
            beside = body.get("targets")
            expect(beside in (None, stage.real(*labels)), f"notification.targets should be {labels}, is {beside}")


@check("MQTT-27", "MQTT-30", "MQTT-31", needs=MQTT)
async def a_ven_hears_of_itself_its_resources_and_its_programs(kit: Kit) -> None:
    """On the topics of its ven a VEN hears the ven change, a resource come and go, and programs that it may see."""
    stage = await staged(kit, "V1")
    ven = f"vens/{stage.id('V1')}"
    topics = [
        one for kind in ("", "/resources", "/programs") for one in told_apart(await kit.topics(kit.ven, ven + kind))
    ]
    async with kit.ear(kit.ven, *topics) as ear:
        await stage.make("R1")
        await ear.until("CREATE", stage.things["R1"])
        await stage.make("P9", "P1")
        await ear.until("CREATE", stage.things["P1"])
        await kit.drop(kit.bl, f"/resources/{stage.id('R1')}")
        await ear.until("DELETE", stage.things["R1"])
        await stage.grant("V1", "v1")
        heard = await ear.until("UPDATE", stage.things["V1"])
        expect(heard.body["object"]["targets"] == stage.real("v1"), "the ven should be told as it is now")
        await ear.never(stage.things["P9"])


@check("MQTT-20", "MQTT-21", needs=MQTT)
async def a_ven_hears_only_of_programs_it_may_see(kit: Kit) -> None:
    """A VEN that listens to all programs, and to one, hears of those it sees and not of those targeted at others."""
    stage = await staged(kit, "P0", "V1")
    topics = told_apart(await kit.topics(kit.ven, "programs"))
    one = told_apart(await kit.topics(kit.ven, f"programs/{stage.id('P0')}"))
    async with kit.ear(kit.ven, *topics) as ear, kit.ear(kit.ven, *one) as narrow:
        await stage.make("P9")
        seen = await kit.program()
        await ear.until("CREATE", seen)
        (await kit.bl.put(f"/programs/{stage.id('P0')}", {"programName": kit.name("program")})).shows(200)
        await narrow.until("UPDATE", stage.things["P0"])
        await asyncio.gather(narrow.never(seen, stage.things["P9"]), ear.never(stage.things["P9"]))


# --- who may not -----------------------------------------------------------------------------------------------------


async def _overhears(kit: Kit, stack: contextlib.AsyncExitStack, party: Party, topic: str) -> Ear | None:
    """A session of its own that tries to listen to a topic; None when the broker closes it for that."""
    ear = await stack.enter_async_context(listening(await login(kit, party)))
    try:
        await ear.subscribe(topic)
    except aiomqtt.MqttError:
        return None
    return ear


@check("MQTT-13", "SEC-13", needs=MQTT)
async def a_ven_cannot_listen_to_another_ones_topics(kit: Kit) -> None:
    """A VEN that tries another ven's topics, those of Business Logic, and wildcards, hears nothing that is not its own.

    The broker may refuse the subscription, end the session, or deliver nothing.
    """
    stage = await staged(kit, "P0", "V1", "V2")
    paths = [f"vens/{stage.id('V1')}{kind}" for kind in ("", "/events", "/programs", "/resources")]
    wanted = [topic for path in paths for topic in told_apart(await kit.topics(kit.ven, path))]
    for collection in COLLECTIONS:
        wanted += told_apart(await kit.topics(kit.bl, collection))
    wanted += ["#", "+/#", "+/+/+", "+/+/+/+"]
    watched = told_apart(await kit.topics(kit.bl, "events")) + told_apart(await kit.topics(kit.bl, "resources"))
    async with contextlib.AsyncExitStack() as stack:
        ears = [await _overhears(kit, stack, kit.ven2, topic) for topic in wanted]
        watch = await stack.enter_async_context(kit.ear(kit.bl, *watched))
        await stage.make("P1", "E1", "E9")
        report = await kit.report(kit.ven, stage.things["E1"])
        await stage.make("R1")
        await stage.grant("V1", "g1")
        await watch.hears_all(("CREATE", stage.things["E9"]), ("CREATE", stage.things["R1"]))
        private = (*(stage.things[name] for name in ("P1", "E1", "E9", "R1", "V1")), report)
        await asyncio.gather(*(ear.never(*private) for ear in ears if ear is not None))


@check("MQTT-13", needs=MQTT)
async def clients_cannot_publish(kit: Kit) -> None:
    """What a VEN, or Business Logic, publishes on a topic is heard by nobody."""
    stage = await staged(kit, "P0", "V1")
    every = await kit.topics(kit.bl, "events")
    mine = await kit.topics(kit.ven, f"vens/{stage.id('V1')}/events")
    forged = {"id": kit.name("forged"), "objectType": "EVENT"}
    async with kit.ear(kit.bl, every["CREATE"]) as of_bl, kit.ear(kit.ven, mine["CREATE"]) as of_ven:
        for party, topic in ((kit.ven, every["CREATE"]), (kit.ven, mine["CREATE"]), (kit.bl, mine["CREATE"])):
            await _published(kit, party, topic, forged)
        await stage.make("E0")
        for ear in (of_bl, of_ven):
            await ear.until("CREATE", stage.things["E0"])
        await asyncio.gather(of_bl.never(forged), of_ven.never(forged))


async def _published(kit: Kit, party: Party, topic: str, forged: Json) -> None:
    """Try to publish, and wait until the broker has seen it: it answers a subscription, or ends the session."""
    body = f'{{"objectType":"EVENT","operation":"CREATE","object":{{"id":"{forged["id"]}","objectType":"EVENT"}}}}'
    with contextlib.suppress(aiomqtt.MqttError):
        async with connected(await login(kit, party)) as client:
            await client.publish(topic, body, qos=0, timeout=ACKNOWLEDGED_WITHIN_S)
            await client.subscribe(topic, timeout=ACKNOWLEDGED_WITHIN_S)


@check("MQTT-43", needs=MQTT)
async def a_grant_that_is_lost_ends_delivery(kit: Kit) -> None:
    """After a ven loses g1 its VEN hears no more of events of g1, in the session that it has and in a new one."""
    stage = await staged(kit, "P0", "V1")
    mine = told_apart(await kit.topics(kit.ven, f"vens/{stage.id('V1')}/events"))
    every = (await kit.topics(kit.bl, "events"))["CREATE"]
    async with kit.ear(kit.ven, *mine) as before, kit.ear(kit.bl, every) as watch:
        await stage.make("E1")
        await before.until("CREATE", stage.things["E1"])
        await stage.grant("V1", "v1")
        async with kit.ear(kit.ven, *mine) as after:
            hidden = await stage.event("g1")
            shown = await stage.event("v1")
            await watch.hears_all(("CREATE", hidden), ("CREATE", shown))
            await after.until("CREATE", shown)
            await asyncio.gather(before.never(hidden), after.never(hidden))


@check("MQTT-43", needs=MQTT)
async def the_end_of_a_ven_ends_delivery(kit: Kit) -> None:
    """After its ven is deleted a VEN hears no more on its topics, in the session that it has and in a new one."""
    stage = await staged(kit, "P0", "V1")
    mine = told_apart(await kit.topics(kit.ven, f"vens/{stage.id('V1')}/events"))
    every = (await kit.topics(kit.bl, "events"))["CREATE"]
    async with kit.ear(kit.ven, *mine) as before, kit.ear(kit.bl, every) as watch, contextlib.AsyncExitStack() as stack:
        await kit.drop(kit.bl, f"/vens/{stage.id('V1')}")
        after = await _overhears(kit, stack, kit.ven, mine[0])
        await stage.make("E1", "E0")
        gone = (stage.things["E1"], stage.things["E0"])
        await watch.hears_all(*(("CREATE", event) for event in gone))
        await asyncio.gather(*(ear.never(*gone) for ear in (before, after) if ear is not None))
