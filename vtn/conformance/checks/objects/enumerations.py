"""The names that OpenADR 3.1 defines: all are taken, and others too unless the schema has an enum (section ENUM)."""

import asyncio
from collections.abc import Iterable

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import keeps, kept, views
from vtn.conformance.bodies.valid_bodies import EVENT_DESCRIPTOR, REPORT_DESCRIPTOR, event_of, interval_of
from vtn.conformance.check import Need, check
from vtn.conformance.kit import NO_WEBHOOKS, Kit
from vtn.conformance.parties.exchange import Json
from vtn.wire.enumerations import EventPayload, ObjectType, OperatingState, Operation, ReportPayload

UNITS = (
    "KWH",
    "THERMS",
    "GHG",
    "VOLTS",
    "AMPS",
    "CELSIUS",
    "FAHRENHEIT",
    "PERCENT",
    "KW",
    "KVAH",
    "KVARH",
    "KVA",
    "KVAR",
)
READING_TYPES = ("DIRECT_READ", "ESTIMATED", "SUMMED", "MEAN", "PEAK", "FORECAST", "AVERAGE")
DATA_QUALITIES = ("OK", "MISSING", "ESTIMATED", "BAD")
VEN_ATTRIBUTES: list[Json] = [
    {"type": "LOCATION", "values": [-73.5, 40.5]},
    {"type": "AREA", "values": [1.5, 2.5, 3.5]},
    {"type": "MAX_POWER_CONSUMPTION", "values": [7.5]},
    {"type": "MAX_POWER_EXPORT", "values": [3]},
    {"type": "DESCRIPTION", "values": ["a building"]},
]
PROGRAM_ATTRIBUTES: list[Json] = [
    *(
        {"type": name, "values": ["x"]}
        for name in ("PROGRAM_LONG_NAME", "RETAILER_NAME", "RETAILER_LONG_NAME", "PROGRAM_TYPE")
    ),
    {"type": "COUNTRY", "values": ["US"]},
    {"type": "PRINCIPAL_SUBDIVISION", "values": ["US-CO"]},
    {"type": "BINDING_EVENTS", "values": [True]},
    {"type": "LOCAL", "values": [False]},
]
MODES = ("INTERVALS", "SUB_INTERVALS", "OPEN_INTERVALS")
AUTHENTICATIONS = {"ANONYMOUS", "OAUTH2_BEARER_TOKEN", "CERTIFICATE"}
TEXTUAL = ("ALERT_", "DISPATCH_INSTRUCTION")


def _values(payload_type: str) -> list[object]:
    """A value of the kind that a payload type has."""
    if payload_type.startswith(TEXTUAL):
        return ["a text"]
    if payload_type == EventPayload.CURVE:
        return [{"x": 0.5, "y": 1}, {"x": 1, "y": 0.5}]
    if payload_type == ReportPayload.OPERATING_STATE:
        return ["RUNNING_NORMAL"]
    return ["OK"] if payload_type == ReportPayload.DATA_QUALITY else [1]


async def _event_with(kit: Kit, program: Json, payload_type: str, values: Iterable[object]) -> None:
    """An event with this payload is made and comes back."""
    payload = {"type": payload_type, "values": list(values)}
    event = await kit.event(program, intervals=[interval_of(payload)])
    found = event["intervals"][0]["payloads"]
    expect(kept([payload], found), f"the payload {payload} came back as {found}")


async def _report_with(kit: Kit, event: Json, payload_type: str, values: Iterable[object]) -> None:
    """A report with this payload is made and comes back."""
    payload = {"type": payload_type, "values": list(values)}
    resources = [{"resourceName": "x", "intervals": [interval_of(payload)]}]
    report = await kit.report(kit.ven, event, resources=resources)
    keeps({"resources": resources}, report, f"the payload {payload} came back as {report['resources']}")


@check("ENUM-01")
async def every_event_payload_type_is_taken(kit: Kit) -> None:
    """An event of each of the 38 types, and one of a private type, is made and comes back."""
    program = await kit.program()
    names = [str(one) for one in EventPayload]
    await asyncio.gather(*(_event_with(kit, program, name, _values(name)) for name in (*names, "MY_TYPE")))


@check("ENUM-02")
async def every_report_payload_type_is_taken(kit: Kit) -> None:
    """A report of each of the 24 types, and one of a private type, is made and comes back."""
    event = await kit.event(await kit.program())
    names = [str(one) for one in ReportPayload]
    await asyncio.gather(*(_report_with(kit, event, name, _values(name)) for name in (*names, "MY_TYPE")))


@check("ENUM-03")
async def every_unit_is_taken(kit: Kit) -> None:
    """Each of the 13 units is accepted in descriptors of both kinds, and comes back."""
    whole = [{**kind, "units": unit} for unit in UNITS for kind in (EVENT_DESCRIPTOR, REPORT_DESCRIPTOR)]
    program = await kit.program(payloadDescriptors=whole)
    keeps({"payloadDescriptors": whole}, program, "the units came back changed")


@check("ENUM-04")
async def every_reading_type_is_taken(kit: Kit) -> None:
    """Each of the 7 reading types is accepted in descriptors and in report requests, and comes back."""
    whole = [{**REPORT_DESCRIPTOR, "readingType": name} for name in READING_TYPES]
    program = await kit.program(payloadDescriptors=whole)
    keeps({"payloadDescriptors": whole}, program, "the reading types came back changed")
    asked = [{"payloadType": "USAGE", "readingType": name} for name in READING_TYPES]
    event = await kit.event(program, reportDescriptors=asked)
    keeps({"reportDescriptors": asked}, event, "the reading types asked for came back changed")


@check("ENUM-05")
async def every_operating_state_is_taken(kit: Kit) -> None:
    """A report of each of the 11 operating states is made and comes back."""
    event = await kit.event(await kit.program())
    names = [str(one) for one in OperatingState]
    await asyncio.gather(*(_report_with(kit, event, "OPERATING_STATE", [name]) for name in names))


@check("ENUM-06")
async def every_data_quality_is_taken(kit: Kit) -> None:
    """A report of each of the four data qualities is made and comes back."""
    event = await kit.event(await kit.program())
    await asyncio.gather(*(_report_with(kit, event, "DATA_QUALITY", [name]) for name in DATA_QUALITIES))


@check("ENUM-07")
async def every_attribute_of_vens_and_resources_is_taken(kit: Kit) -> None:
    """The five attributes are accepted for a ven and for a resource, and come back."""
    ven = await kit.ven_of(kit.ven, attributes=VEN_ATTRIBUTES)
    resource = await kit.resource_of(ven, attributes=VEN_ATTRIBUTES)
    for path, made in (("/vens", ven), ("/resources", resource)):
        for where, seen in await views(kit.ven, path, made):
            keeps({"attributes": VEN_ATTRIBUTES}, seen, f"the attributes in {path} are others {where}")


@check("ENUM-08")
async def every_attribute_of_programs_is_taken(kit: Kit) -> None:
    """The eight program attributes are accepted, and come back."""
    program = await kit.program(attributes=PROGRAM_ATTRIBUTES, targets=[kit.name("target")])
    for where, seen in await views(kit.bl, "/programs", program):
        keeps({"attributes": PROGRAM_ATTRIBUTES}, seen, f"the attributes are others {where}")


@check("ENUM-09", needs=(Need.RECEIVER,))
async def object_types_are_an_enumeration(kit: Kit) -> None:
    """A subscription to each of the six object types is made; one to another word is answered 400."""
    async with kit.hook() as hook:
        for kind in ObjectType:
            entry = {"objects": [kind], "operations": ["CREATE"], "callbackUrl": hook.url}
            made = await kit.subscription(kit.bl, entry)
            expect(made["objectOperations"][0]["objects"] == [kind], f"{kind} came back changed")
        for wrong in ("FOO", "Program", "BL_VEN_REQUEST"):
            entry = {"objects": ["EVENT", wrong], "operations": ["CREATE"], "callbackUrl": hook.url}
            await kit.refused(kit.bl, "/subscriptions", kit.subscribing(entry), 400)


@check("ENUM-10", needs=(Need.RECEIVER,))
async def operations_are_an_enumeration(kit: Kit) -> None:
    """A subscription to each of the four operations is made; one to an HTTP method or another word is answered 400."""
    async with kit.hook() as hook:
        for operation in Operation:
            entry = {"objects": ["EVENT"], "operations": [operation], "callbackUrl": hook.url}
            made = await kit.subscription(kit.bl, entry)
            expect(made["objectOperations"][0]["operations"] == [operation], f"{operation} came back changed")
        for wrong in ("POST", "create", "FOO"):
            entry = {"objects": ["EVENT"], "operations": ["CREATE", wrong], "callbackUrl": hook.url}
            await kit.refused(kit.bl, "/subscriptions", kit.subscribing(entry), 400)


@check("ENUM-11")
async def report_interval_modes_are_an_enumeration(kit: Kit) -> None:
    """The three modes of reportIntervals come back; another word, or another spelling, is answered 400."""
    program = await kit.program()
    asked = [{"payloadType": "USAGE", "reportIntervals": mode} for mode in MODES]
    event = await kit.event(program, reportDescriptors=asked)
    found = [request.get("reportIntervals", MODES[0]) for request in event["reportDescriptors"]]
    expect(found == list(MODES), f"the modes came back as {found}")
    for wrong in ("FOO", "open_intervals", ""):
        request = {"payloadType": "USAGE", "reportIntervals": wrong}
        await kit.refused(kit.bl, "/events", event_of(program["id"], reportDescriptors=[request]), 400)


@check("ENUM-12")
async def notifiers_have_the_names_of_the_tables(kit: Kit) -> None:
    """GET /notifiers says WEBHOOK true, and MQTT, if at all, with JSON and one of three ways to log in."""
    offered = (await kit.bl.get("/notifiers")).shows(200).object
    expect(offered.get("WEBHOOK") is True, f"WEBHOOK is {offered.get('WEBHOOK')}", NO_WEBHOOKS)
    mqtt = offered.get("MQTT")
    if mqtt is not None:
        expect(mqtt["serialization"] == "JSON", f"serialization is {mqtt['serialization']!r}")
        method = mqtt["authentication"]["method"]
        expect(method in AUTHENTICATIONS, f"the MQTT authentication is {method!r}")


@check("ENUM-13")
async def the_enumeration_files_do_not_keep_values_out(kit: Kit) -> None:
    """Values outside the enumeration files are stored: they are aids for clients, and no gate of the VTN."""
    program = await kit.program(
        attributes=[{"type": "COUNTRY", "values": [7, "Atlantis"]}],
        payloadDescriptors=[{**REPORT_DESCRIPTOR, "readingType": "NORMAL", "units": "PERCENTAGE"}],
    )
    expect(program["attributes"][0]["values"] == [7, "Atlantis"], "an odd attribute came back changed")
    rows: tuple[tuple[str, list[object]], ...] = (
        ("SIMPLE", [7]),
        ("DISPATCH_SETPOINT", [-3.5]),
        ("CONTROL_LEVEL_OFFSET", [11, -11]),
        ("OLS", [1.5]),
        ("CURVE", [{"x": 1, "y": 2}]),
        ("GHG", ["much"]),
    )
    for payload_type, values in rows:
        await _event_with(kit, program, payload_type, values)
    event = await kit.event(program)
    reported: tuple[tuple[str, list[object]], ...] = (
        ("OPERATING_STATE", ["ASLEEP", "AWAKE"]),
        ("USAGE", [-1]),
        ("DATA_QUALITY", ["FAIR"]),
    )
    for payload_type, values in reported:
        await _report_with(kit, event, payload_type, values)
