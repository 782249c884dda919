"""Programs: the five operations, unique names, descriptors, and who sees what (section PROG)."""

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import alike, in_list, keeps, views
from vtn.conformance.bodies.valid_bodies import EVENT_DESCRIPTOR, PERIOD_OF_EVENT, REPORT_DESCRIPTOR
from vtn.conformance.check import check
from vtn.conformance.kit import HIDDEN, Kit
from vtn.conformance.parties.exchange import Json
from vtn.conformance.stage import sight, staged

OF_OLD: Json = {
    "programLongName": "x",
    "retailerName": "x",
    "programType": "x",
    "country": "US",
    "principalSubdivision": "CO",
    "timeZoneOffset": "PT1H",
    "bindingEvents": True,
    "localPrice": False,
}
ATTRIBUTES = [
    {"type": "PROGRAM_LONG_NAME", "values": ["Residential time of use"]},
    {"type": "RETAILER_NAME", "values": ["ACME"]},
    {"type": "COUNTRY", "values": ["US"]},
    {"type": "PRINCIPAL_SUBDIVISION", "values": ["CO"]},
    {"type": "BINDING_EVENTS", "values": [True]},
    {"type": "LOCAL", "values": [False]},
]


@check("PROG-01")
async def programs_are_listed_as_an_array(kit: Kit) -> None:
    """GET /programs is an array of programs that targets, skip and limit narrow."""
    target = kit.name("target")
    made = [await kit.program(targets=[target]) for _ in range(2)]
    query = ("targets", target)
    for item in (await kit.bl.get("/programs")).shows(200).list:
        kit.valid("PROGRAM", item)
    expect(sorted(await kit.bl.ids("/programs", query)) == sorted(p["id"] for p in made), "targets should find two")
    first = (await kit.bl.get("/programs", query, ("limit", "1"))).shows(200).list
    second = (await kit.bl.get("/programs", query, ("limit", "1"), ("skip", "1"))).shows(200).list
    paged = {program["id"] for program in first + second}
    expect(len(first) == 1 and paged == {p["id"] for p in made}, "skip and limit should show one program each")


@check("PROG-02")
async def a_program_needs_only_a_name(kit: Kit) -> None:
    """POST /programs with a programName and nothing else makes a program of that name."""
    name = kit.name("program")
    program = await kit.made(kit.bl, "/programs", {"programName": name})
    expect(program["programName"] == name, f"the program is called {program['programName']!r}")
    kit.valid("PROGRAM", program)


@check("PROG-03")
async def a_program_is_read_by_its_id(kit: Kit) -> None:
    """GET /programs/{programID} answers that program, as the POST and the list have it."""
    program = await kit.program(targets=[kit.name("target")], attributes=ATTRIBUTES)
    await kit.program()
    read = (await kit.bl.get(f"/programs/{program['id']}")).shows(200).object
    expect(alike(read, program), "the program that was read is not the one that was made")
    keeps({"attributes": ATTRIBUTES}, read, "the program is not what was posted")
    expect(alike(await in_list(kit.bl, "/programs", program), program), "the list shows another program")


@check("PROG-04")
async def a_program_is_replaced_by_a_put(kit: Kit) -> None:
    """PUT /programs/{programID} answers the program as it now is, and that is how it is read afterwards."""
    program = await kit.program()
    period = {**PERIOD_OF_EVENT, "duration": "P1Y"}
    body = {"programName": kit.name("program"), "attributes": ATTRIBUTES, "intervalPeriod": period}
    changed = (await kit.bl.put(f"/programs/{program['id']}", body)).shows(200).object
    expect(changed["id"] == program["id"], "the answer is another program")
    keeps(body, changed, "the answer is not the program as it was put")
    read = (await kit.bl.get(f"/programs/{program['id']}")).shows(200).object
    expect(alike(read, changed), "the program that is read is not the one that the PUT answered")


@check("PROG-05")
async def changing_a_program_takes_a_token(kit: Kit) -> None:
    """PUT /programs/{programID} without a token is answered 401, and changes nothing."""
    program = await kit.program()
    (await kit.nobody.put(f"/programs/{program['id']}", {"programName": kit.name("program")})).problem(401)
    read = (await kit.bl.get(f"/programs/{program['id']}")).shows(200).object
    expect(read["programName"] == program["programName"], "nobody renamed the program")


@check("PROG-06")
async def a_program_is_deleted(kit: Kit) -> None:
    """DELETE /programs/{programID} answers the program, which is then gone."""
    program = await kit.program()
    gone = await kit.drop(kit.bl, f"/programs/{program['id']}")
    expect(alike(gone, program), "the answer is not the program that was deleted")
    (await kit.bl.get(f"/programs/{program['id']}")).problem(404)


@check("PROG-07")
async def a_program_name_is_given_once(kit: Kit) -> None:
    """A second program of the same name is answered 409 and not made; the name is free again after a DELETE."""
    body = {"programName": kit.name("program"), "targets": [kit.name("target")]}
    program = await kit.made(kit.bl, "/programs", body)
    again = await kit.bl.post("/programs", body)
    again.problem(409)
    found = await kit.bl.ids("/programs", ("targets", body["targets"][0]))
    expect(found == [program["id"]], f"there are {len(found)} programs of one name")
    await kit.drop(kit.bl, f"/programs/{program['id']}")
    await kit.made(kit.bl, "/programs", body)


@check("PROG-08")
async def a_put_may_keep_a_name_but_not_take_one(kit: Kit) -> None:
    """A PUT with another program's name is answered 409 and changes nothing; with its own name it succeeds."""
    one, other = await kit.program(), await kit.program()
    (await kit.bl.put(f"/programs/{other['id']}", {"programName": one["programName"]})).problem(409)
    read = (await kit.bl.get(f"/programs/{other['id']}")).shows(200).object
    expect(alike(read, other), "a refused PUT changed the program")
    (await kit.bl.put(f"/programs/{one['id']}", {"programName": one["programName"]})).shows(200)


@check("PROG-09")
async def vens_cannot_write_programs(kit: Kit) -> None:
    """A VEN's POST, PUT and DELETE of programs are answered 403 (or 404 for a program that is hidden from it)."""
    name = kit.name("program")
    target = kit.name("target")
    await kit.refused(kit.ven, "/programs", {"programName": name, "targets": [target]}, 403)
    expect(await kit.bl.ids("/programs", ("targets", target)) == [], "a VEN made a program")
    hidden = await kit.program(targets=[target])
    for program, statuses in ((await kit.program(), (403,)), (hidden, HIDDEN)):
        (await kit.ven.put(f"/programs/{program['id']}", {"programName": name})).problem(*statuses)
        (await kit.ven.delete(f"/programs/{program['id']}")).problem(*statuses)
        read = (await kit.bl.get(f"/programs/{program['id']}")).shows(200).object
        expect(alike(read, program), "a VEN changed a program")


@check("PROG-10")
async def a_programs_descriptors_are_not_copied_into_its_events(kit: Kit) -> None:
    """An event that was posted without payloadDescriptors has none, whatever its program says."""
    program = await kit.program(payloadDescriptors=[EVENT_DESCRIPTOR])
    event = await kit.event(program)
    for where, seen in await views(kit.bl, "/events", event):
        found = seen.get("payloadDescriptors")
        expect(found in (None, []), f"the event has payloadDescriptors {found} {where}")


@check("PROG-11")
async def a_program_describes_event_and_report_payloads(kit: Kit) -> None:
    """Event and report payload descriptors stand in one list, told apart by objectType, and come back."""
    descriptors = [{**EVENT_DESCRIPTOR, "currency": "USD"}, {**REPORT_DESCRIPTOR, "readingType": "MEAN"}]
    program = await kit.program(payloadDescriptors=descriptors, targets=[kit.name("target")])
    for where, seen in await views(kit.bl, "/programs", program):
        keeps({"payloadDescriptors": descriptors}, seen, f"the descriptors are not the same {where}")


@check("PROG-12")
async def a_programs_descriptor_says_what_it_describes(kit: Kit) -> None:
    """A descriptor without objectType, or with another one than the two constants, is answered 400."""
    wrong: list[Json] = [{}, {"objectType": "PROGRAM"}, {"objectType": "FOO"}, {"objectType": None}]
    for fields in wrong:
        body = {"programName": kit.name("program"), "payloadDescriptors": [{"payloadType": "PRICE", **fields}]}
        await kit.refused(kit.bl, "/programs", body, 400)


@check("PROG-13")
async def a_program_carries_its_descriptive_data_as_attributes(kit: Kit) -> None:
    """What 3.0.1 had as fields of a program travels in attributes, and comes back."""
    program = await kit.program(attributes=ATTRIBUTES, targets=[kit.name("target")])
    for where, seen in await views(kit.bl, "/programs", program):
        expect(seen.get("attributes") == ATTRIBUTES, f"the attributes are {seen.get('attributes')} {where}")


@check("PROG-14")
async def fields_of_3_0_1_are_unknown_properties(kit: Kit) -> None:
    """A program with the fields of 3.0.1 is accepted; they are dropped, or come back as they were."""
    program = await kit.program(**OF_OLD)
    for name, value in OF_OLD.items():
        expect(program.get(name, value) == value, f"{name} came back as {program.get(name)!r}")
    kit.valid("PROGRAM", program)


@check("PROG-15")
async def a_ven_sees_untargeted_programs_and_those_it_is_granted(kit: Kit) -> None:
    """A VEN lists programs without targets, and, asking for its grants, those that have one; and no others."""
    stage = await staged(kit, "P0", "P1", "P9", "V1")
    for label, right in (("g1", {"P1"}), ("g9", set())):
        seen = await stage.listed(kit.ven, "programs", label)
        expect(seen.keys() == right, f"the VEN that asks for {label} should see {right or 'nothing'}, sees {seen}")
    seen = await stage.listed(kit.ven, "programs")
    expect("P0" in seen and "P9" not in seen, f"the VEN should see P0, and not P9, but sees {', '.join(seen)}")
    ungranted = await stage.listed(kit.ven2, "programs")
    expect(ungranted.keys() == {"P0"}, f"a VEN without grants should see P0, but sees {', '.join(ungranted)}")


@check("PROG-16")
async def a_hidden_program_looks_like_a_missing_one(kit: Kit) -> None:
    """A VEN that reads a program hidden from it gets 404, as for an id that nothing has."""
    stage = await staged(kit, "P9", "V1")
    hidden = (await kit.ven.get(f"/programs/{stage.id('P9')}")).problem(404).object
    unknown = (await kit.ven.get("/programs/no-such-id")).problem(404).object
    expect(hidden.get("title") == unknown.get("title"), "the titles of the two answers differ")


@check("PROG-17")
async def a_ven_sees_its_own_targets_of_a_program(kit: Kit) -> None:
    """The targets of a program that a VEN lists by its targets are those it was granted; Business Logic sees all."""
    stage = await staged(kit, "V1")
    stage.things["P"] = await kit.program(targets=stage.real("g1", "g9"))
    for party, wanted in ((kit.ven, "P:g1"), (kit.bl, "P:g1,g9")):
        listed = stage.shown(await party.all("/programs", ("targets", stage.targets["g1"])))
        expect(listed == sight(wanted), f"in the list, {party.who} should see {wanted}, but sees {listed}")


@check("PROG-18")
async def a_program_description_has_a_url(kit: Kit) -> None:
    """Program descriptions are objects, each with a URL, and come back; one without it is answered 400."""
    links = [{"URL": "https://example.org/x/y"}, {"URL": "https://example.org/z?a=b#c"}]
    program = await kit.program(programDescriptions=links)
    expect(program["programDescriptions"] == links, f"descriptions came back as {program['programDescriptions']}")
    refused: tuple[list[Json], ...] = ([{}], [{"url": "https://example.org"}], [links[0], {}])
    for wrong in refused:
        await kit.refused(kit.bl, "/programs", {"programName": kit.name("program"), "programDescriptions": wrong}, 400)


@check("PROG-19")
async def a_program_has_a_life_span(kit: Kit) -> None:
    """A program's intervalPeriod may span years, and comes back."""
    period = {"start": "2026-01-01T00:00:00Z", "duration": "P10Y"}
    program = await kit.program(intervalPeriod=period, targets=[kit.name("target")])
    for where, seen in await views(kit.bl, "/programs", program):
        keeps({"intervalPeriod": period}, seen, f"the period is another {where}")
