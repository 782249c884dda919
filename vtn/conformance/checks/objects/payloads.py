"""Payloads, values and the descriptors that explain them (section PAY)."""

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import kept, views
from vtn.conformance.bodies.scalars import TOO_LONG
from vtn.conformance.bodies.valid_bodies import EVENT_DESCRIPTOR, REPORT_DESCRIPTOR, event_of, interval_of
from vtn.conformance.check import check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json

UNITS = "KWH"


async def _refused(kit: Kit, program: Json, payload: Json) -> None:
    """An event with this one payload is answered 400."""
    await kit.refused(kit.bl, "/events", event_of(program["id"], intervals=[interval_of(payload)]), 400)


async def _described(kit: Kit, *, event: Json | None = None, report: Json | None = None) -> Json:
    """A descriptor as a program with it shows it: of events, or of reports."""
    whole = {**EVENT_DESCRIPTOR, **event} if event is not None else {**REPORT_DESCRIPTOR, **(report or {})}
    program = await kit.program(payloadDescriptors=[whole])
    found: Json = (await kit.bl.get(f"/programs/{program['id']}")).shows(200).object["payloadDescriptors"][0]
    expect(kept(whole, found), f"the descriptor {whole} came back as {found}")
    return found


@check("PAY-01")
async def a_payload_has_a_type_and_values(kit: Kit) -> None:
    """A payload without type or values, or with an empty or too long type, is answered 400."""
    program = await kit.program()
    wrong: list[Json] = [
        {"type": "PRICE"},
        {"values": [1]},
        {"type": "", "values": [1]},
        {"type": TOO_LONG, "values": [1]},
        {"type": "PRICE", "values": 1},
    ]
    for payload in wrong:
        await _refused(kit, program, payload)
    right = {"type": TOO_LONG[1:], "values": [1]}
    event = await kit.event(program, intervals=[interval_of(right)])
    expect(event["intervals"][0]["payloads"] == [right], "a payload with a type of 128 characters was changed")


@check("PAY-02")
async def a_value_is_a_number_a_text_a_truth_or_a_point(kit: Kit) -> None:
    """Numbers, text, true, false and points are kept; null, lists and other objects are 400."""
    program = await kit.program()
    for good in ([1], [-0.5], ["x"], [True, False], [{"x": 1, "y": 2}], [1, "1", True, {"x": 0.5, "y": -2}]):
        event = await kit.event(program, intervals=[interval_of({"type": "X", "values": good})])
        found = event["intervals"][0]["payloads"][0]["values"]
        expect(kept(good, found), f"the values {good} came back as {found}")
    wrong: list[list[object]] = [[None], [[1]], [{"x": 1}], [{}], [1, None], [{"a": "b"}]]
    for bad in wrong:
        await _refused(kit, program, {"type": "X", "values": bad})


@check("PAY-03")
async def a_point_has_two_numbers(kit: Kit) -> None:
    """A point with x and y is kept; one that lacks either, or has text, is answered 400."""
    program = await kit.program()
    curve = [{"x": 1, "y": 2}, {"x": 0.25, "y": -0.5}]
    event = await kit.event(program, intervals=[interval_of({"type": "CURVE", "values": curve})])
    for where, seen in await views(kit.bl, "/events", event):
        expect(kept(curve, seen["intervals"][0]["payloads"][0]["values"]), f"the curve is another {where}")
    for bad in ({"x": 1}, {"y": 1}, {"x": "1", "y": 2}, {"x": 1, "y": None}):
        await _refused(kit, program, {"type": "CURVE", "values": [bad]})


@check("PAY-04")
async def an_event_payload_descriptor_names_its_type(kit: Kit) -> None:
    """An event payload descriptor needs objectType and payloadType; units and currency may be absent or null."""
    for more in ({}, {"units": UNITS, "currency": "USD"}, {"units": None, "currency": None}):
        found = await _described(kit, event=more)
        expect(found["objectType"] == "EVENT_PAYLOAD_DESCRIPTOR", f"the descriptor is a {found['objectType']}")
    program = await kit.program()
    for lacking in ("objectType", "payloadType"):
        descriptor = {name: value for name, value in EVENT_DESCRIPTOR.items() if name != lacking}
        await kit.refused(kit.bl, "/events", event_of(program["id"], payloadDescriptors=[descriptor]), 400)


@check("PAY-05")
async def a_report_payload_descriptor_says_how_good_its_data_is(kit: Kit) -> None:
    """Reading type, units, accuracy and confidence are optional; confidence 101 and textual accuracy are 400."""
    whole = {"readingType": "MEAN", "units": UNITS, "accuracy": 0.5, "confidence": 100}
    for more in ({}, whole, dict.fromkeys(whole), {"confidence": 0}):
        await _described(kit, report=more)
    wrong: list[Json] = [{"confidence": 101}, {"confidence": -1}, {"confidence": 1.5}, {"accuracy": "x"}]
    event = await kit.event(await kit.program())
    for more in wrong:
        body = kit.report_on(event["id"], payloadDescriptors=[{**REPORT_DESCRIPTOR, **more}])
        await kit.refused(kit.ven, "/reports", body, 400)


@check("PAY-06")
async def a_descriptor_need_not_match_a_payload(kit: Kit) -> None:
    """An event may have payloads that no descriptor explains, and descriptors that explain no payload."""
    interval = interval_of({"type": "GHG", "values": [3]})
    event = await kit.event(await kit.program(), payloadDescriptors=[EVENT_DESCRIPTOR], intervals=[interval])
    for where, seen in await views(kit.bl, "/events", event):
        types = (seen["payloadDescriptors"][0]["payloadType"], seen["intervals"][0]["payloads"][0]["type"])
        expect(types == ("PRICE", "GHG"), f"descriptor and payload are of {types} {where}")


@check("PAY-07")
async def private_strings_are_allowed(kit: Kit) -> None:
    """Private payload types, units, reading types and attributes are accepted and kept."""
    await _described(kit, event={"payloadType": "MY_TYPE", "units": "PERSON_DAYS", "currency": "SHELLS"})
    await _described(kit, report={"payloadType": "MY_TYPE", "units": "FURLONGS", "readingType": "GUESSED"})
    program = await kit.program(attributes=[{"type": "MY_ATTRIBUTE", "values": ["x"]}])
    expect(program["attributes"] == [{"type": "MY_ATTRIBUTE", "values": ["x"]}], "a private attribute was changed")
    event = await kit.event(program, intervals=[interval_of({"type": "MY_TYPE", "values": [1]})])
    expect(event["intervals"][0]["payloads"][0]["type"] == "MY_TYPE", "a private payload type was changed")


@check("PAY-08")
async def a_currency_is_not_judged(kit: Kit) -> None:
    """ISO 4217 codes and other texts are accepted as a currency and kept."""
    for currency in ("USD", "EUR", "XXX1"):
        await _described(kit, event={"currency": currency})


@check("PAY-09")
async def units_are_any_text_of_up_to_128_characters(kit: Kit) -> None:
    """Units of the table and others of 1 to 128 characters are kept; none or 129 characters are answered 400."""
    for units in (UNITS, "KW", "x", TOO_LONG[1:]):
        await _described(kit, event={"units": units})
        await _described(kit, report={"units": units})
    for units in ("", TOO_LONG):
        body = {"programName": kit.name("program"), "payloadDescriptors": [{**EVENT_DESCRIPTOR, "units": units}]}
        await kit.refused(kit.bl, "/programs", body, 400)


@check("PAY-10")
async def a_reading_type_may_be_null(kit: Kit) -> None:
    """A null readingType is accepted, and is read as null, as absent or as DIRECT_READ; a given one is kept."""
    found = await _described(kit, report={"readingType": None})
    shown = found.get("readingType")
    expect(shown in (None, "DIRECT_READ"), f"a null readingType came back as {shown!r}")
    given = await _described(kit, report={"readingType": "SUMMED"})
    expect(given["readingType"] == "SUMMED", f"SUMMED came back as {given['readingType']!r}")


@check("PAY-11")
async def descriptors_are_told_apart_by_the_constants(kit: Kit) -> None:
    """The discriminator takes the objectType constants; the names of the schemas are answered 400."""
    for descriptor in (EVENT_DESCRIPTOR, REPORT_DESCRIPTOR):
        program = await kit.program(payloadDescriptors=[descriptor])
        found = program["payloadDescriptors"][0]["objectType"]
        expect(found == descriptor["objectType"], f"{descriptor['objectType']} came back as {found}")
    for name in ("eventPayloadDescriptor", "reportPayloadDescriptor"):
        wrong = [{"objectType": name, "payloadType": "PRICE"}]
        await kit.refused(kit.bl, "/programs", {"programName": kit.name("program"), "payloadDescriptors": wrong}, 400)
