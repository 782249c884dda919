"""Report descriptors: what an event asks to be reported (section RDS)."""

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import keeps, kept, views
from vtn.conformance.bodies.scalars import BOOLEAN, INT32_MAX
from vtn.conformance.bodies.valid_bodies import event_of, interval_of
from vtn.conformance.check import check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json

DEFAULTS: Json = {
    "aggregate": False,
    "startInterval": -1,
    "numIntervals": -1,
    "historical": True,
    "frequency": -1,
    "repeat": 1,
    "reportIntervals": "INTERVALS",
    "targets": None,
    "units": None,
    "readingType": None,
}


async def _kept(kit: Kit, name: str, *values: object) -> None:
    """Each of these values of a property is stored, and shown unchanged wherever the event is read."""
    program = await kit.program()
    for value in values:
        request = {"payloadType": "USAGE", name: value}
        event = await kit.event(program, reportDescriptors=[request])
        for where, seen in await views(kit.bl, "/events", event):
            found = seen["reportDescriptors"][0].get(name)
            expect(kept(value, found, name), f"{name} {value!r} is {found!r} {where}")


@check("RDS-01")
async def a_report_request_needs_only_a_payload_type(kit: Kit) -> None:
    """A report descriptor with a payloadType and nothing else is kept; one without is answered 400."""
    program = await kit.program()
    event = await kit.event(program, reportDescriptors=[{"payloadType": "USAGE"}])
    expect(event["reportDescriptors"][0]["payloadType"] == "USAGE", "the payload type was changed")
    for wrong in ({}, {"units": "KWH"}):
        await kit.refused(kit.bl, "/events", event_of(program["id"], reportDescriptors=[wrong]), 400)


@check("RDS-02")
async def a_report_request_has_the_defaults_of_the_schema(kit: Kit) -> None:
    """What a report descriptor leaves out is absent when it is read, or has the default of the schema."""
    event = await kit.event(await kit.program(), reportDescriptors=[{"payloadType": "USAGE"}])
    for where, seen in await views(kit.bl, "/events", event):
        found = seen["reportDescriptors"][0]
        odd = {name: found[name] for name, default in DEFAULTS.items() if found.get(name, default) != default}
        expect(not odd, f"a minimal report descriptor has {odd} {where}")


@check("RDS-03")
async def the_interval_to_report_on_is_stored(kit: Kit) -> None:
    """Any startInterval, counted from 0, and -1 for the end of the last interval, comes back."""
    await _kept(kit, "startInterval", 0, 5, -1)


@check("RDS-04")
async def the_number_of_intervals_is_stored(kit: Kit) -> None:
    """Any numIntervals, and -1 for all of them, comes back."""
    await _kept(kit, "numIntervals", 1, 24, -1)


@check("RDS-05")
async def history_and_forecast_are_told_apart(kit: Kit) -> None:
    """Both values of historical come back: true for what was, false for what will be."""
    await _kept(kit, "historical", *BOOLEAN.good)


@check("RDS-06")
async def the_frequency_of_reports_is_stored(kit: Kit) -> None:
    """A frequency in intervals, 0 for ad hoc reports and -1 for the default come back."""
    await _kept(kit, "frequency", 4, 0, -1)


@check("RDS-07")
async def the_number_of_reports_is_stored(kit: Kit) -> None:
    """A repeat of one, of many and of -1 without end come back."""
    await _kept(kit, "repeat", 1, INT32_MAX, -1)


@check("RDS-08")
async def report_intervals_are_one_of_three(kit: Kit) -> None:
    """INTERVALS, SUB_INTERVALS and OPEN_INTERVALS come back; another word is 400, null is 400 or taken as absent."""
    await _kept(kit, "reportIntervals", "INTERVALS", "SUB_INTERVALS", "OPEN_INTERVALS")
    program = await kit.program()
    body = event_of(program["id"], reportDescriptors=[{"payloadType": "USAGE", "reportIntervals": "FOO"}])
    await kit.refused(kit.bl, "/events", body, 400)
    body["reportDescriptors"] = [{"payloadType": "USAGE", "reportIntervals": None}]
    answer = (await kit.bl.post("/events", body)).shows(400, 201)
    if "reportDescriptors" in answer.object:
        shown = answer.object["reportDescriptors"][0].get("reportIntervals", "INTERVALS")
        expect(shown == "INTERVALS", f"a null reportIntervals came back as {shown!r}")


@check("RDS-09")
async def an_aggregated_report_may_be_asked_for_and_given(kit: Kit) -> None:
    """An event asks for an aggregate, and a report with one entry called AGGREGATED_REPORT is taken."""
    request = {"payloadType": "USAGE", "aggregate": True}
    event = await kit.event(await kit.program(), reportDescriptors=[request])
    expect(event["reportDescriptors"][0]["aggregate"] is True, "aggregate was not kept")
    intervals = [interval_of({"type": "USAGE", "values": [12.5]})]
    resources = [{"resourceName": "AGGREGATED_REPORT", "intervals": intervals}]
    report = await kit.report(kit.ven, event, resources=resources)
    keeps({"resources": resources}, report, "the aggregated report came back changed")


@check("RDS-10")
async def programs_do_not_ask_for_reports(kit: Kit) -> None:
    """A program that is posted with reportDescriptors, an unknown property there, is made all the same."""
    descriptors = [{"payloadType": "USAGE"}]
    program = await kit.program(reportDescriptors=descriptors)
    kit.valid("PROGRAM", program)
    shown = program.get("reportDescriptors", descriptors)
    expect(shown == descriptors, f"reportDescriptors of a program came back as {shown}")
    event = await kit.event(program)
    expect(event.get("reportDescriptors") in (None, []), "an event inherited reportDescriptors of its program")
