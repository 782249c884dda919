"""Reports: the five operations, whose they are, and what they may say (section RPT)."""

import json

from vtn.checking.verdict import Skipped, expect
from vtn.conformance.bodies.field_cases import alike, in_list, keeps, views
from vtn.conformance.bodies.valid_bodies import EVENT_DESCRIPTOR, REPORT_DESCRIPTOR, interval_of
from vtn.conformance.check import check
from vtn.conformance.kit import HIDDEN, Kit
from vtn.conformance.parties.exchange import HttpAnswer, Json
from vtn.conformance.stage import staged

USAGE: list[Json] = [interval_of({"type": "USAGE", "values": [1.5]})]
DATA: list[Json] = [{"resourceName": "meter-1", "intervals": USAGE}]


async def _open_event(kit: Kit) -> Json:
    return await kit.event(await kit.program())


def _request(kit: Kit, event: Json, **extra: object) -> Json:
    return kit.report_on(event["id"], **extra)


@check("RPT-01")
async def reports_are_listed_by_event(kit: Kit) -> None:
    """GET /reports is an array of reports; eventID, clientName, skip and limit narrow it."""
    program = await kit.program()
    one, other = await kit.event(program), await kit.event(program)
    name = kit.name("client")
    made = [await kit.report(kit.ven, one, clientName=name), await kit.report(kit.ven, one)]
    await kit.report(kit.ven, other, clientName=name)
    query = ("eventID", one["id"])
    found = (await kit.bl.get("/reports", query)).shows(200).list
    expect(sorted(r["id"] for r in found) == sorted(r["id"] for r in made), "the event has two reports")
    for report in found:
        kit.valid("REPORT", report)
    both = await kit.bl.ids("/reports", query, ("clientName", name))
    expect(both == [made[0]["id"]], "one report of the event has the clientName")
    pages = [(await kit.bl.get("/reports", query, ("limit", "1"), ("skip", skip))).shows(200).list for skip in "012"]
    expect([len(page) for page in pages] == [1, 1, 0], "pages of one should hold one, one and none")


@check("RPT-02")
async def reports_are_listed_by_the_program_of_their_event(kit: Kit) -> None:
    """The query programID finds the reports on events of that program, though reports do not name it."""
    program, other = await kit.program(), await kit.program()
    made = [await kit.report(kit.ven, await kit.event(program)) for _ in range(2)]
    elsewhere = await kit.report(kit.ven, await kit.event(other))
    for party in (kit.bl, kit.ven):
        found = await party.ids("/reports", ("programID", program["id"]))
        expect(sorted(found) == sorted(r["id"] for r in made), f"{party.who} should find two reports, not {len(found)}")
        expect(elsewhere["id"] not in found, "a report of another program was found")


@check("RPT-03")
async def a_report_needs_an_event_a_client_name_and_resources(kit: Kit) -> None:
    """A report with the three required properties is made; without one of them it is 400."""
    event = await _open_event(kit)
    body = _request(kit, event)
    report = await kit.made(kit.ven, "/reports", body)
    keeps(body, report, "the report came back changed")
    for name in body:
        lacking = {key: value for key, value in body.items() if key != name}
        await kit.refused(kit.ven, "/reports", lacking, 400, lacks=name)


@check("RPT-04")
async def a_report_is_read_by_its_id(kit: Kit) -> None:
    """GET /reports/{reportID} answers that report to its VEN, as the POST and the list have it."""
    event = await _open_event(kit)
    report = await kit.report(kit.ven, event, resources=DATA)
    await kit.report(kit.ven, event)
    read = (await kit.ven.get(f"/reports/{report['id']}")).shows(200).object
    expect(alike(read, report), "the report that was read is not the one that was made")
    keeps({"eventID": event["id"], "resources": DATA}, read, "the report is not what was posted")
    expect(alike(await in_list(kit.ven, "/reports", report), report), "the list shows another report")


@check("RPT-05")
async def a_report_is_replaced_by_its_ven(kit: Kit) -> None:
    """A VEN's PUT of its report answers it as it now is, still its own, and that is how it is read afterwards."""
    event = await _open_event(kit)
    report = await kit.report(kit.ven, event, reportName="before")
    body = _request(kit, event, resources=DATA)
    changed = (await kit.ven.put(f"/reports/{report['id']}", body)).shows(200).object
    expect(changed["id"] == report["id"], "the answer is another report")
    keeps(body, changed, "the answer is not the report as it was put")
    expect(changed["clientID"] == kit.ven.client_id, f"the report now belongs to {changed['clientID']}")
    read = (await kit.ven.get(f"/reports/{report['id']}")).shows(200).object
    expect(alike(read, changed), "the report that is read is not the one that the PUT answered")
    expect(read.get("reportName") is None, f"the report is still called {read.get('reportName')}")


@check("RPT-06")
async def a_report_is_deleted_by_its_ven(kit: Kit) -> None:
    """A VEN's DELETE of its report answers the report, which is then gone for it and for Business Logic."""
    report = await kit.report(kit.ven, await _open_event(kit), resources=DATA)
    gone = await kit.drop(kit.ven, f"/reports/{report['id']}")
    expect(alike(gone, report), "the answer is not the report that was deleted")
    for party in (kit.ven, kit.bl):
        (await party.get(f"/reports/{report['id']}")).problem(404)


@check("RPT-07")
async def a_report_belongs_to_the_client_that_wrote_it(kit: Kit) -> None:
    """The clientID of a report is that of the token, whatever the body says, in a POST and in a PUT."""
    event = await _open_event(kit)
    claim = {"clientID": kit.ven2.client_id}
    report = await kit.report(kit.ven, event, **claim)
    changed = (await kit.ven.put(f"/reports/{report['id']}", _request(kit, event, **claim))).shows(200).object
    for content in (report, changed):
        expect(content["clientID"] == kit.ven.client_id, f"the report belongs to {content['clientID']}")
    (await kit.ven2.get(f"/reports/{report['id']}")).problem(*HIDDEN)


@check("RPT-08")
async def a_ven_has_access_to_its_own_reports_only(kit: Kit) -> None:
    """Another VEN does not list, read, change or delete a report: 404 (or 403), and nothing happens to it."""
    event = await _open_event(kit)
    report = await kit.report(kit.ven, event)
    place = f"/reports/{report['id']}"
    expect(report["id"] not in await kit.ven2.ids("/reports", ("eventID", event["id"])), "another VEN lists the report")
    (await kit.ven2.get(place)).problem(*HIDDEN)
    (await kit.ven2.put(place, _request(kit, event))).problem(*HIDDEN)
    (await kit.ven2.delete(place)).problem(*HIDDEN)
    read = (await kit.ven.get(place)).shows(200).object
    expect(alike(read, report), "another VEN changed the report")


@check("RPT-09")
async def business_logic_reads_all_reports(kit: Kit) -> None:
    """Business Logic lists and reads the reports of every VEN."""
    event = await _open_event(kit)
    made = [await kit.report(party, event) for party in (kit.ven, kit.ven2)]
    found = await kit.bl.all("/reports", ("eventID", event["id"]))
    owners = sorted(report["clientID"] for report in found)
    expect(owners == sorted((kit.ven.client_id, kit.ven2.client_id)), f"Business Logic lists reports of {owners}")
    for report in made:
        (await kit.bl.get(f"/reports/{report['id']}")).shows(200)


@check("RPT-10")
async def business_logic_does_not_write_reports(kit: Kit) -> None:
    """POST and PUT of reports by Business Logic are answered 403 and have no effect."""
    event = await _open_event(kit)
    report = await kit.report(kit.ven, event)
    await kit.refused(kit.bl, "/reports", _request(kit, event), 403)
    (await kit.bl.put(f"/reports/{report['id']}", _request(kit, event))).problem(403)
    found = await kit.bl.all("/reports", ("eventID", event["id"]))
    expect(alike(found, [report]), "Business Logic wrote a report")


@check("RPT-11")
async def business_logic_does_not_delete_reports(kit: Kit) -> None:
    """DELETE of a report by a Business Logic client without write_reports is answered 403, and the report stays."""
    granted = (await kit.bl.ask_token({})).shows(200).object.get("scope", "")
    if "write_reports" in granted.split():
        raise Skipped("this Business Logic client was given write_reports, and so may delete reports (TR-19)")
    report = await kit.report(kit.ven, await _open_event(kit))
    (await kit.bl.delete(f"/reports/{report['id']}")).problem(403)
    (await kit.ven.get(f"/reports/{report['id']}")).shows(200)


@check("RPT-12")
async def a_report_is_on_an_event_that_its_ven_may_see(kit: Kit) -> None:
    """A report on an unknown event is refused (409; 400 and 404 tolerated), and so, alike, on a hidden one."""
    stage = await staged(kit, "P0", "E0", "E9", "V1")
    unknown, hidden = [
        _words(await kit.refused(kit.ven, "/reports", _request(kit, {"id": event_id}), 409, 400, 404), event_id)
        for event_id in ("no-such-id", stage.id("E9"))
    ]
    expect(unknown == hidden, f"an unknown event is answered {unknown}, a hidden one {hidden}")
    expect(not await kit.bl.ids("/reports", ("eventID", stage.id("E9"))), "a report on a hidden event was stored")
    await kit.report(kit.ven, stage.things["E0"])


def _words(answer: HttpAnswer, asked: str) -> str:
    """What a problem says, without what names one occurrence and without the id that was asked for."""
    content = {name: value for name, value in answer.object.items() if name != "instance"}
    return json.dumps(content, sort_keys=True).replace(asked, "ID")


@check("RPT-13")
async def an_event_may_have_many_reports_of_one_client(kit: Kit) -> None:
    """The same report posted twice, with or without a name, makes two reports."""
    event = await _open_event(kit)
    for extra in ({}, {"reportName": "the same"}):
        body = _request(kit, event, **extra)
        one, other = [await kit.made(kit.ven, "/reports", body) for _ in range(2)]
        expect(one["id"] != other["id"], "both POSTs answered one report")
        found = await kit.ven.ids("/reports", ("clientName", body["clientName"]))
        expect(sorted(found) == sorted((one["id"], other["id"])), f"two reports were made, {len(found)} are listed")


@check("RPT-14")
async def a_reported_resource_has_a_name_and_intervals(kit: Kit) -> None:
    """A resources entry without resourceName or intervals is answered 400; intervalPeriod may be absent."""
    event = await _open_event(kit)
    period = {"start": "2026-07-15T16:00:00Z", "duration": "PT1H"}
    for extra in ({}, {"intervalPeriod": period}):
        resources = [{**DATA[0], **extra}]
        report = await kit.report(kit.ven, event, resources=resources)
        keeps({"resources": resources}, report, "the resources came back changed")
    for name in DATA[0]:
        lacking = {key: value for key, value in DATA[0].items() if key != name}
        await kit.refused(kit.ven, "/reports", _request(kit, event, resources=[lacking]), 400)


@check("RPT-15")
async def a_resource_name_in_a_report_is_a_label(kit: Kit) -> None:
    """A report may name a resource that does not exist, and AGGREGATED_REPORT for a sum."""
    event = await _open_event(kit)
    for name in (kit.name("unknown"), "AGGREGATED_REPORT"):
        resources = [{**DATA[0], "resourceName": name}]
        report = await kit.report(kit.ven, event, resources=resources)
        expect(report["resources"][0]["resourceName"] == name, f"{name} came back changed")


@check("RPT-16")
async def a_report_describes_report_payloads_only(kit: Kit) -> None:
    """Report payload descriptors are kept; an event payload descriptor, or one without objectType, is 400."""
    event = await _open_event(kit)
    report = await kit.report(kit.ven, event, payloadDescriptors=[REPORT_DESCRIPTOR])
    keeps({"payloadDescriptors": [REPORT_DESCRIPTOR]}, report, "the descriptor came back changed")
    for wrong in (EVENT_DESCRIPTOR, {"payloadType": "USAGE"}):
        await kit.refused(kit.ven, "/reports", _request(kit, event, payloadDescriptors=[wrong]), 400)


@check("RPT-17")
async def reports_have_no_targets(kit: Kit) -> None:
    """Targets in a report's body change nothing: its VEN and Business Logic see it, a VEN with that grant does not."""
    target = kit.name("target")
    await kit.ven_of(kit.ven2, targets=[target])
    report = await kit.report(kit.ven, await _open_event(kit), targets=[target])
    for party in (kit.ven, kit.bl):
        (await party.get(f"/reports/{report['id']}")).shows(200)
    (await kit.ven2.get(f"/reports/{report['id']}")).problem(*HIDDEN)


@check("RPT-18")
async def the_quality_of_data_stands_beside_the_data(kit: Kit) -> None:
    """A DATA_QUALITY payload in the interval of a USAGE payload is stored and comes back beside it."""
    payloads: list[Json] = [{"type": "USAGE", "values": [1.5]}, {"type": "DATA_QUALITY", "values": ["ESTIMATED"]}]
    resources = [{"resourceName": "meter-1", "intervals": [interval_of(*payloads)]}]
    report = await kit.report(kit.ven, await _open_event(kit), resources=resources)
    for where, seen in await views(kit.ven, "/reports", report):
        keeps({"resources": resources}, seen, f"the resources are not the same {where}")


@check("RPT-19")
async def the_query_client_name_is_not_the_client_id(kit: Kit) -> None:
    """The query clientName finds reports by the name that they give, and none by the clientID of their writer."""
    event = await _open_event(kit)
    report = await kit.report(kit.ven, event)
    found = await kit.bl.ids("/reports", ("clientName", report["clientName"]))
    expect(found == [report["id"]], f"one report has the clientName, {len(found)} were found")
    wrong = await kit.bl.ids("/reports", ("clientName", kit.ven.client_id), ("eventID", event["id"]))
    expect(wrong == [], "the query clientName found a report by its clientID")
