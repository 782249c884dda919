"""What every operation has in common: routes, media types, answers, metadata and replacement (GEN-01..14)."""

from datetime import datetime, timedelta
from http import HTTPStatus

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import keeps, views
from vtn.conformance.bodies.specimens import METADATA, NULLABLE, Specimen, one_of_each
from vtn.conformance.bodies.valid_bodies import PERIOD_OF_EVENT, RESOURCE_DATA, event_of
from vtn.conformance.check import Need, check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import HttpAnswer, Json
from vtn.rules.scopes import OPERATIONS

CLAIMED = {"id": "mine", "createdDateTime": "1999-01-01T00:00:00Z", "modificationDateTime": "1999-01-01T00:00:00Z"}
CLOCKS_AGREE_WITHIN = timedelta(days=1)
NAME_OF_ID = {
    "programID": "PROGRAM",
    "eventID": "EVENT",
    "reportID": "REPORT",
    "subscriptionID": "SUBSCRIPTION",
    "venID": "VEN",
    "resourceID": "RESOURCE",
}


def media_type(answer: HttpAnswer) -> str:
    """The media type of an answer without its parameters."""
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _is_json(answer: HttpAnswer) -> None:
    found = media_type(answer)
    expect(found == "application/json", f"{answer.method} {answer.url} answered {answer.status} as {found!r}")


@check("GEN-01", needs=(Need.RECEIVER,))
async def all_forty_five_operations_are_served(kit: Kit) -> None:
    """Each of the 45 operations succeeds once; MQTT topics may be absent where the VTN offers no MQTT."""
    specimens = {one.kind: one for one in await one_of_each(kit)}
    absent = set(NAME_OF_ID.values()) - specimens.keys()
    expect(not absent, f"there is no collection of {', '.join(sorted(absent))}")
    ids = {name: specimens[kind].content["id"] for name, kind in NAME_OF_ID.items()}
    (await kit.nobody.get("/auth/server")).shows(200)
    (await kit.bl.ask_token({})).shows(200)
    for operation in (one for one in OPERATIONS if one.method == "GET"):
        if "mqtt" not in operation.path or kit.mqtt is not None:
            (await kit.bl.get(operation.path.format(**ids))).shows(200)
    for one in specimens.values():
        (await one.party.put(one.place, one.request)).shows(200)
    for one in reversed(specimens.values()):
        (await one.party.delete(one.place)).shows(200)


@check("GEN-02")
async def answers_are_json(kit: Kit) -> None:
    """Lists, objects, the answers to writes, and problems have the media type application/json."""
    for one in reversed(await one_of_each(kit)):
        changed = await one.party.put(one.place, one.request)
        for answer in (await kit.bl.get(one.path), await kit.bl.get(one.place), changed):
            _is_json(answer.shows(200))
        for answer in (await one.party.post(one.path, {}), await kit.bl.get(f"{one.path}/no-such-id")):
            _is_json(answer.shows(400, 404))
        _is_json((await kit.nobody.post(one.path, one.request)).shows(401))
        _is_json((await one.party.delete(one.place)).shows(200))
    _is_json((await kit.ven.post("/programs", {"programName": kit.name("program")})).shows(403))


@check("GEN-02")
async def a_form_is_a_request_body_of_the_token_endpoint_only(kit: Kit) -> None:
    """An object cannot be posted as a form, and a token is asked for with one."""
    target = kit.name("target")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = f"programName={kit.name('program')}&targets={target}".encode()
    answer = await kit.bl.send("POST", "/programs", raw=form, headers=headers)
    answer.problem(400, 415)
    expect(await kit.bl.ids("/programs", ("targets", target)) == [], "a program was made of a form")
    _is_json((await kit.bl.ask_token({})).shows(200))


@check("GEN-03")
async def a_post_answers_201_and_the_whole_object(kit: Kit) -> None:
    """The answer to each creating POST holds what was sent and the four fields of metadata."""
    for one in await one_of_each(kit):
        expect(one.status == HTTPStatus.CREATED, f"POST {one.path} should be answered 201, but got {one.status}")
        keeps(one.said, one.content, f"the answer to POST {one.path} does not hold what was sent")
        lacking = [name for name in METADATA if name not in one.content]
        expect(not lacking, f"the answer to POST {one.path} lacks {', '.join(lacking)}")


@check("GEN-04")
async def get_put_and_delete_answer_200_and_the_object(kit: Kit) -> None:
    """A read gives the object, a PUT the object as it now is, a DELETE the object as it was."""
    for one in reversed(await one_of_each(kit)):
        read = (await one.party.get(one.place)).shows(200).object
        expect(read["id"] == one.content["id"], f"GET {one.place} gave the object {read['id']}")
        changed = _changed(kit, one)
        updated = (await one.party.put(one.place, changed)).shows(200).object
        wanted = {name: value for name, value in changed.items() if name != "objectType"}
        expect(updated["id"] == one.content["id"], f"PUT {one.place} answered the object {updated['id']}")
        keeps(wanted, updated, f"the answer to PUT {one.place} does not hold what was put")
        gone = (await one.party.delete(one.place)).shows(200).object
        expect(gone["id"] == one.content["id"], f"DELETE {one.place} answered the object {gone['id']}")
        keeps(wanted, gone, f"DELETE {one.place} does not answer the object as it was")


def _changed(kit: Kit, one: Specimen) -> Json:
    """The request of a specimen with one property changed."""
    if one.kind == "EVENT":
        return {**one.request, "eventName": kit.name("event")}
    names = ("programName", "clientName", "venName", "resourceName")
    return {**one.request, **{name: kit.name("changed") for name in names if name in one.request}}


@check("GEN-05")
async def the_vtn_gives_metadata_to_all_six_kinds(kit: Kit) -> None:
    """An object that was posted without metadata has all of it, with the right kind and an order of times."""
    for one in await one_of_each(kit):
        expect(one.content["objectType"] == one.kind, f"objectType of a {one.kind} is {one.content['objectType']!r}")
        created, modified = (datetime.fromisoformat(one.content[name]) for name in METADATA[1:3])
        expect(created <= modified, f"a {one.kind} was modified before it was created")
        late = abs(created - kit.now())
        expect(late < CLOCKS_AGREE_WITHIN, f"createdDateTime of a {one.kind} is {late} from now")


@check("GEN-06")
async def every_answer_satisfies_the_schema_of_its_kind(kit: Kit) -> None:
    """Objects in answers to writes, in reads by id and in lists have their metadata and satisfy their schemas."""
    for one in reversed(await one_of_each(kit)):
        seen = [found for _, found in await views(one.party, one.path, one.content)]
        seen.append((await one.party.put(one.place, one.request)).shows(200).object)
        seen.append((await one.party.delete(one.place)).shows(200).object)
        for content in seen:
            expect(set(METADATA) <= content.keys(), f"a {one.kind} lacks {set(METADATA) - content.keys()}")
            kit.valid(one.kind, content)


@check("GEN-06", needs=(Need.RECEIVER,))
async def objects_in_notifications_have_their_metadata(kit: Kit) -> None:
    """The object in a notification has the four fields and satisfies the schema of its kind."""
    async with kit.hook() as hook:
        program = await kit.program()
        entry = {"objects": ["EVENT"], "operations": ["CREATE", "DELETE"], "callbackUrl": hook.url}
        await kit.subscription(kit.bl, entry, programID=program["id"])
        event = await kit.event(program)
        await kit.bl.delete(f"/events/{event['id']}")
        for _ in range(2):
            content = (await hook.next()).body["object"]
            expect(set(METADATA) <= content.keys(), f"the event lacks {set(METADATA) - content.keys()}")
            expect(content["id"] == event["id"], f"the notification is about {content['id']}")
            kit.valid("EVENT", content)


@check("GEN-07")
async def metadata_sent_by_a_client_is_ignored(kit: Kit) -> None:
    """A client's id, times and objectType have no effect, in a POST or in a PUT."""
    for one in await one_of_each(kit):
        claim = {**CLAIMED, "objectType": one.request.get("objectType", "FOO")}
        named = {**_changed(kit, one), **claim}
        if one.kind == "VEN":
            named["clientID"] = kit.ven2.client_id
        made = await kit.made(one.party, one.path, named)
        replaced = (await one.party.put(one.place, {**_changed(kit, one), **claim})).shows(200).object
        expect(replaced["id"] == one.content["id"], f"a PUT gave a {one.kind} the id {replaced['id']}")
        for content in (made, replaced):
            expect(content["id"] != "mine", f"a {one.kind} took the id of its client")
            expect(content["objectType"] == one.kind, f"a {one.kind} says it is a {content['objectType']}")
            for name in METADATA[1:3]:
                expect(not content[name].startswith("1999"), f"a {one.kind} took {name} from its client")


@check("GEN-08")
async def a_put_changes_the_object_in_the_path_whatever_id_its_body_has(kit: Kit) -> None:
    """A PUT with another id in its body keeps id and createdDateTime, and makes no object of the other id."""
    other = kit.name("other")
    for one in await one_of_each(kit):
        body = {**_changed(kit, one), "id": other, "createdDateTime": "1999-01-01T00:00:00Z"}
        (await one.party.put(one.place, body)).shows(200)
        read = (await one.party.get(one.place)).shows(200).object
        for name in ("id", "createdDateTime"):
            expect(read[name] == one.content[name], f"a PUT changed {name} of a {one.kind}")
        (await kit.bl.get(f"{one.path}/{other}")).problem(404)


@check("GEN-09")
async def the_modification_time_only_moves_forward(kit: Kit) -> None:
    """The time of modification is not before createdDateTime, and no PUT moves it back."""
    for one in await one_of_each(kit):
        times = [one.content["createdDateTime"], one.content["modificationDateTime"]]
        for _ in range(2):
            changed = (await one.party.put(one.place, _changed(kit, one))).shows(200).object
            times.append(changed["modificationDateTime"])
        moments = [datetime.fromisoformat(time) for time in times]
        expect(moments == sorted(moments), f"the times of a {one.kind} go back: {times}")
        expect(moments[0] < moments[-1], f"two PUTs did not move modificationDateTime of a {one.kind}")


@check("GEN-10")
async def a_put_without_an_optional_field_takes_it_away(kit: Kit) -> None:
    """What a PUT leaves out goes back to its default, on every kind."""
    attributes = [{"type": "X", "values": [1]}]
    rich: dict[str, Json] = {
        "PROGRAM": {"attributes": attributes, "intervalPeriod": PERIOD_OF_EVENT},
        "EVENT": {"eventName": "x", "priority": 3, "duration": "PT1H"},
        "REPORT": {"reportName": "x"},
        "SUBSCRIPTION": {"targets": ["x"]},
        "VEN": {"attributes": attributes, "targets": ["x"]},
        "RESOURCE": {"attributes": attributes, "targets": ["x"]},
    }
    for one in await one_of_each(kit):
        full = (await one.party.put(one.place, {**one.request, **rich[one.kind]})).shows(200).object
        keeps(rich[one.kind], full, f"a PUT did not set {list(rich[one.kind])} of a {one.kind}")
        (await one.party.put(one.place, one.request)).shows(200)
        read = (await one.party.get(one.place)).shows(200).object
        for name in rich[one.kind]:
            found = read.get(name)
            expect(found in (None, [], "PT0S"), f"{name} of a {one.kind} is still {found} after a PUT without it")


@check("GEN-11")
async def a_body_without_a_required_property_changes_nothing(kit: Kit) -> None:
    """A POST or PUT that lacks one is refused with 400: nothing is made, and what was there stays as it was."""
    for one in await one_of_each(kit):
        (await one.party.post(one.path, {})).problem(400)
        (await one.party.put(one.place, {})).problem(400)
        read = (await one.party.get(one.place)).shows(200).object
        keeps(one.said, read, f"a refused PUT changed a {one.kind}")
        expect(
            read["modificationDateTime"] == one.content["modificationDateTime"], f"a refused PUT touched a {one.kind}"
        )
    program = await kit.program()
    broken = event_of(program["id"], intervals=[{"id": 0}])
    (await kit.bl.post("/events", broken)).problem(400)
    left = await kit.bl.ids("/events", ("programID", program["id"]))
    expect(left == [], "a refused POST made an event")


@check("GEN-12")
async def no_required_property_has_a_default_of_the_vtn(kit: Kit) -> None:
    """A required property is not filled in from the token or anything else: a body without it is refused."""
    event = await kit.event(await kit.program())
    (await kit.ven.post("/reports", {"eventID": event["id"], "resources": [RESOURCE_DATA]})).problem(400)
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": "https://example.org/hook"}
    (await kit.ven.post("/subscriptions", {"objectOperations": [entry]})).problem(400)
    (await kit.ven.post("/vens", {"objectType": "VEN_VEN_REQUEST"})).problem(400)
    (await kit.bl.post("/vens", {"objectType": "BL_VEN_REQUEST", "venName": kit.name("ven")})).problem(400)
    (await kit.bl.post("/programs", {})).problem(400)
    (await kit.bl.post("/events", {})).problem(400)
    expect(not await kit.ven.ids("/reports", ("eventID", event["id"])), "a refused POST made a report")
    expect(not await kit.ven.ids("/vens"), "a refused POST made a ven")


@check("GEN-13", "GEN-14")
async def optional_properties_may_be_left_out(kit: Kit) -> None:
    """A minimal object of each kind is made; each optional property is then absent, or shown with its default."""
    bare = await kit.event(await kit.program(), intervalPeriod=None, intervals=None)
    expect(bare["objectType"] == "EVENT", "an event with nothing but its program should be made")
    for one in await one_of_each(kit):
        for where, seen in await views(one.party, one.path, one.content):
            shown = {name: seen.get(name) for name in NULLABLE[one.kind] if name not in one.request}
            odd = {name: value for name, value in shown.items() if value not in (None, [])}
            expect(not odd, f"a minimal {one.kind} has {odd} {where}")
