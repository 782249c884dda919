"""What a VTN may be lenient or strict in: empty lists, periods without a start, times that run backwards, new clients.

The schema names no least length and requires no start, so that a VTN is expected to take both. Some servers refuse them
as meaning nothing, and no text forbids that in so many words: these checks are readings, and no other check sends an
empty list or an untimed interval. What may be left out altogether is not judged here.
"""

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import keeps, kept, views
from vtn.conformance.bodies.scalars import LONGEST_NAME
from vtn.conformance.bodies.valid_bodies import PERIOD_OF_EVENT, VALUES_MAP, event_of, interval_of
from vtn.conformance.check import Need, check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json
from vtn.conformance.requirements import Level

READING = Level.READING
LISTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("/programs", ("programDescriptions", "payloadDescriptors", "attributes", "targets")),
    ("/events", ("targets", "reportDescriptors", "payloadDescriptors", "intervals")),
    ("/reports", ("payloadDescriptors",)),
    ("/vens", ("targets", "attributes")),
    ("/resources", ("targets", "attributes")),
)


@check("EVT-08", "PAY-02", level=READING)
async def an_interval_may_have_no_payloads(kit: Kit) -> None:
    """Intervals with empty payload lists, and payloads without values, are accepted and come back."""
    bare = [{**interval_of(number=number), "payloads": []} for number in range(2)]
    for intervals in (bare, [interval_of({"type": "X", "values": []})]):
        event = await kit.event(await kit.program(), intervals=intervals)
        for where, seen in await views(kit.bl, "/events", event):
            keeps({"intervals": intervals}, seen, f"intervals are {seen.get('intervals')} {where}")


@check("RPT-03", "RPT-14", level=READING)
async def a_report_may_have_no_resources(kit: Kit) -> None:
    """A report with an empty list of resources, or a resource with an empty list of intervals, is taken."""
    event = await kit.event(await kit.program())
    for resources in ([], [{"resourceName": "meter-1", "intervals": []}]):
        report = await kit.report(kit.ven, event, resources=resources)
        keeps({"resources": resources}, report, f"resources are {report['resources']}")


@check("GEN-13", level=READING)
async def optional_lists_may_be_empty(kit: Kit) -> None:
    """Each optional list of five kinds of object may be empty, and then is absent, null or empty."""
    program = await kit.program()
    event = await kit.event(program)
    ven = await kit.ven_of(kit.ven2)
    own = {"clientID": ven["clientID"], "venID": ven["id"]}
    for path, names in LISTS:
        empty: Json = {name: [] for name in names}
        bodies: dict[str, Json] = {
            "/programs": {"programName": kit.name("program"), **empty},
            "/events": event_of(program["id"], **empty),
            "/reports": kit.report_on(event["id"], **empty),
            "/vens": {"objectType": "BL_VEN_REQUEST", "clientID": kit.ven.client_id, "venName": kit.name("v"), **empty},
            "/resources": {"objectType": "BL_RESOURCE_REQUEST", **own, "resourceName": kit.name("r"), **empty},
        }
        made = await kit.made(kit.ven if path == "/reports" else kit.bl, path, bodies[path])
        odd = {name: made.get(name) for name in names if made.get(name) not in (None, [])}
        expect(not odd, f"the answer to POST {path} has {odd}")


@check("GEN-29", "EVT-F03", "INT-F05", level=READING)
async def a_duration_may_be_negative(kit: Kit) -> None:
    """The pattern has an optional minus: a negative duration is taken, and comes back, whatever it may mean."""
    period = {**PERIOD_OF_EVENT, "randomizeStart": "-PT5M"}
    for body in (
        {"duration": "-PT5M"},
        {"intervalPeriod": period},
        {"intervalPeriod": {**period, "duration": "-PT1H"}},
    ):
        event = await kit.event(await kit.program(), **body)
        keeps(body, event, "the event came back changed")


@check("VEN-F02", level=READING)
async def a_ven_may_be_made_for_a_client_to_come(kit: Kit) -> None:
    """Business Logic makes vens, and resources, for clientIDs of up to 128 characters that no client has yet."""
    for length in (0, LONGEST_NAME):
        client = kit.name("client").ljust(length, "x")
        ven = await kit.ven_of(kit.ven, clientID=client)
        resource = await kit.resource_of(ven)
        expect(ven["clientID"] == resource["clientID"] == client, f"the clientID {client} is {ven['clientID']}")


@check("SUB-26", needs=(Need.RECEIVER,), level=READING)
async def empty_lists_are_taken_and_call_nobody(kit: Kit) -> None:
    """objectOperations, objects and operations may be empty; such subscriptions cause no callback."""
    async with kit.hook() as hook, kit.hook() as other:
        program = await kit.program()
        await kit.made(kit.bl, "/subscriptions", {"clientName": kit.name("client"), "objectOperations": []})
        entries = (hook.wish("", "CREATE"), hook.wish("EVENT", ""), hook.wish("", ""))
        await kit.subscription(kit.bl, *entries, programID=program["id"])
        await kit.subscription(kit.bl, other.wish("EVENT"), programID=program["id"])
        await other.hears("CREATE", await kit.event(program))
        await hook.none()


@check("INT-F04", "INT-05", level=READING)
async def a_start_may_be_left_out_wherever_a_period_stands(kit: Kit) -> None:
    """A period of a program, an event, an interval and a reported resource may have no start, and is given none."""
    period = {"duration": "PT1H"}
    program = await kit.program(intervalPeriod=period)
    interval = {"id": 0, "intervalPeriod": period, "payloads": [VALUES_MAP]}
    event = await kit.event(program, intervalPeriod=period, intervals=[interval])
    resources = [{"resourceName": "meter-1", "intervalPeriod": period, "intervals": [interval]}]
    report = await kit.report(kit.ven, event, resources=resources)
    for part in (program, event, event["intervals"][0], report["resources"][0]):
        found = part["intervalPeriod"]
        expect(kept(period, found) and found.get("start") is None, f"the period {period} is {found}")
