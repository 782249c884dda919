"""Filters of the six lists: what each parameter takes and does (section FLT, query rows FLT-Q01..Q27)."""

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from vtn.checking.verdict import expect
from vtn.conformance.bodies.valid_bodies import VALUES_MAP
from vtn.conformance.check import ConformanceCheck, check, register
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json, Query
from vtn.conformance.requirements import every

TOO_LONG = "x" * 129
BAD_IDS = ("", TOO_LONG, "not an id!")
BAD_NAMES = ("", TOO_LONG)
BAD_NUMBERS = ("-1", "x", "1.5", "2147483648")
MOST = "50"


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """Two objects of a collection that differ in all a filter can ask for, and what the first one is found by."""

    first: Json
    second: Json
    found_by: Mapping[str, str]


async def _programs(kit: Kit) -> Pair:
    one, other = [await kit.program(targets=[kit.name("target")]) for _ in range(2)]
    return Pair(one, other, {"targets": one["targets"][0]})


async def _events(kit: Kit) -> Pair:
    one, other = [await kit.event(await kit.program(), targets=[kit.name("target")]) for _ in range(2)]
    return Pair(one, other, {"programID": one["programID"], "targets": one["targets"][0]})


async def _reports(kit: Kit) -> Pair:
    events = [await kit.event(await kit.program()) for _ in range(2)]
    one, other = [await kit.report(kit.ven, event) for event in events]
    return Pair(
        one,
        other,
        {"programID": events[0]["programID"], "eventID": events[0]["id"], "clientName": one["clientName"]},
    )


async def _subscriptions(kit: Kit) -> Pair:
    one, other = [await kit.subscription(kit.ven, programID=(await kit.program())["id"]) for _ in range(2)]
    return Pair(one, other, {"programID": one["programID"], "clientName": one["clientName"]})


async def _vens(kit: Kit) -> Pair:
    one, other = [await kit.ven_of(party, targets=[kit.name("target")]) for party in (kit.ven, kit.ven2)]
    return Pair(one, other, {"venName": one["venName"], "targets": one["targets"][0]})


async def _resources(kit: Kit) -> Pair:
    vens = [await kit.ven_of(party) for party in (kit.ven, kit.ven2)]
    one, other = [await kit.resource_of(ven, targets=[kit.name("target")]) for ven in vens]
    found_by = {"resourceName": one["resourceName"], "venID": one["venID"], "targets": one["targets"][0]}
    return Pair(one, other, found_by)


PAIRS: Mapping[str, Callable[[Kit], Awaitable[Pair]]] = {
    "programs": _programs,
    "events": _events,
    "reports": _reports,
    "subscriptions": _subscriptions,
    "vens": _vens,
    "resources": _resources,
}


# --- the rows --------------------------------------------------------------------------------------------------------


async def _refuses(kit: Kit, collection: str, name: str, values: tuple[str, ...]) -> None:
    for value in values:
        (await kit.bl.get(f"/{collection}", (name, value))).problem(400)


async def _finds(kit: Kit, collection: str, *query: Query) -> set[str]:
    return set(await kit.bl.ids(f"/{collection}", *query))


async def _filters(collection: str, name: str, bad: tuple[str, ...], kit: Kit) -> None:
    """A filter by id or name finds what matches and nothing else, and refuses what is no such value."""
    pair = await PAIRS[collection](kit)
    found = await _finds(kit, collection, (name, pair.found_by[name]))
    expect(pair.first["id"] in found, f"/{collection}?{name}= should find the object that matches")
    expect(pair.second["id"] not in found, f"/{collection}?{name}= should not find another object")
    await _finds_nothing(kit, collection, name)
    await _refuses(kit, collection, name, bad)


async def _finds_nothing(kit: Kit, collection: str, name: str) -> None:
    """An unknown value gives an empty list; for /resources?venID= the schema lists 404 as well."""
    answer = await kit.bl.get(f"/{collection}", (name, kit.name("unknown")))
    if name == "venID" and answer.status == HTTPStatus.NOT_FOUND:
        return
    expect(answer.shows(200).list == [], f"/{collection}?{name}= of an unknown value should give an empty list")


async def _targets(collection: str, kit: Kit) -> None:
    pair = await PAIRS[collection](kit)
    for asked in ([pair.found_by["targets"]], [pair.found_by["targets"]] * 2):
        found = await _finds(kit, collection, *(("targets", target) for target in asked))
        expect(
            found == {pair.first["id"]}, f"/{collection}?targets= should find the object with the target and no other"
        )
    both = [("targets", target) for target in (pair.found_by["targets"], pair.second["targets"][0])]
    expect((await _finds(kit, collection, *both)) <= {pair.first["id"], pair.second["id"]}, "others were found")
    await _refuses(kit, collection, "targets", BAD_NAMES)
    (await kit.bl.get(f"/{collection}", ("targets", "a"), ("targets", TOO_LONG))).problem(400)


async def _skip(collection: str, kit: Kit) -> None:
    pair = await PAIRS[collection](kit)
    name, value = next(iter(pair.found_by.items()))
    own = (name, value)
    for skip, length in (("0", 1), ("1", 0)):
        page = (await kit.bl.get(f"/{collection}", own, ("skip", skip))).shows(200).list
        expect(len(page) == length, f"one object matches, and skip={skip} gave {len(page)}")
    await _refuses(kit, collection, "skip", BAD_NUMBERS)


async def _limit(collection: str, kit: Kit) -> None:
    pair = await PAIRS[collection](kit)
    name, value = next(iter(pair.found_by.items()))
    for limit, length in (("0", 0), (MOST, 1)):
        page = (await kit.bl.get(f"/{collection}", (name, value), ("limit", limit))).shows(200).list
        expect(len(page) == length, f"one object matches, and limit={limit} gave {len(page)}")
    await _refuses(kit, collection, "limit", ("51", *BAD_NUMBERS))


async def _active(kit: Kit) -> None:
    program = await kit.program()
    own = ("programID", program["id"])
    past = {"start": "2020-01-01T00:00:00Z", "duration": "PT1H"}
    timed = {"id": 0, "payloads": [VALUES_MAP]}
    await kit.event(program, intervalPeriod=past, intervals=[timed])
    lasting = await kit.event(program, intervalPeriod={**past, "duration": "P9999Y"}, intervals=[timed])
    found = await _finds(kit, "events", own, ("active", "true"))
    expect(found == {lasting["id"]}, "active=true should leave out the event that is over, and nothing else")
    (await kit.bl.get("/events", own, ("active", "false"))).shows(200)
    await _refuses(kit, "events", "active", ("1", "yes", ""))


async def _objects(kit: Kit) -> None:
    async with kit.hook() as hook:
        name = kit.name("client")
        own = ("clientName", name)
        both = await kit.subscription(kit.ven, hook.wish("EVENT REPORT", "CREATE"), clientName=name)
        one = await kit.subscription(kit.ven, hook.wish("EVENT", "CREATE"), clientName=name)
    found = await _finds(kit, "subscriptions", own, ("objects", "EVENT"))
    expect(found == {both["id"], one["id"]}, "objects=EVENT should find both subscriptions")
    found = await _finds(kit, "subscriptions", own, ("objects", "REPORT"))
    expect(found == {both["id"]}, "objects=REPORT should find the subscription to reports only")
    found = await _finds(kit, "subscriptions", own, ("objects", "EVENT"), ("objects", "REPORT"))
    expect(both["id"] in found, "two objects should find the subscription that has both")
    await _refuses(kit, "subscriptions", "objects", ("FOO", "EVENTS", "event", ""))


Run = Callable[[Kit], Awaitable[None]]
QUERIES: tuple[tuple[str, str, Run], ...] = (
    ("programs", "targets", functools.partial(_targets, "programs")),
    ("programs", "skip", functools.partial(_skip, "programs")),
    ("programs", "limit", functools.partial(_limit, "programs")),
    ("reports", "programID", functools.partial(_filters, "reports", "programID", BAD_IDS)),
    ("reports", "eventID", functools.partial(_filters, "reports", "eventID", BAD_IDS)),
    ("reports", "clientName", functools.partial(_filters, "reports", "clientName", BAD_NAMES)),
    ("reports", "skip", functools.partial(_skip, "reports")),
    ("reports", "limit", functools.partial(_limit, "reports")),
    ("events", "programID", functools.partial(_filters, "events", "programID", BAD_IDS)),
    ("events", "targets", functools.partial(_targets, "events")),
    ("events", "skip", functools.partial(_skip, "events")),
    ("events", "limit", functools.partial(_limit, "events")),
    ("events", "active", _active),
    ("subscriptions", "programID", functools.partial(_filters, "subscriptions", "programID", BAD_IDS)),
    ("subscriptions", "clientName", functools.partial(_filters, "subscriptions", "clientName", BAD_NAMES)),
    ("subscriptions", "objects", _objects),
    ("subscriptions", "skip", functools.partial(_skip, "subscriptions")),
    ("subscriptions", "limit", functools.partial(_limit, "subscriptions")),
    ("vens", "venName", functools.partial(_filters, "vens", "venName", BAD_NAMES)),
    ("vens", "targets", functools.partial(_targets, "vens")),
    ("vens", "skip", functools.partial(_skip, "vens")),
    ("vens", "limit", functools.partial(_limit, "vens")),
    ("resources", "resourceName", functools.partial(_filters, "resources", "resourceName", BAD_NAMES)),
    ("resources", "venID", functools.partial(_filters, "resources", "venID", BAD_IDS)),
    ("resources", "targets", functools.partial(_targets, "resources")),
    ("resources", "skip", functools.partial(_skip, "resources")),
    ("resources", "limit", functools.partial(_limit, "resources")),
)
for _number, (_collection, _parameter, _run) in enumerate(QUERIES, start=1):
    _row = every()[f"FLT-Q{_number:02}"]
    register(ConformanceCheck(f"query_{_parameter}_of_{_collection}", _row.text, (_row.id,), _row.level, (), _run))


# --- what holds for all of them --------------------------------------------------------------------------------------


@check("FLT-01")
async def filters_combine_with_and(kit: Kit) -> None:
    """Two filters find what both find, on reports, events, subscriptions and resources."""
    for collection, name, other in (
        ("reports", "eventID", "clientName"),
        ("events", "programID", "targets"),
        ("subscriptions", "programID", "clientName"),
        ("resources", "venID", "resourceName"),
    ):
        pair = await PAIRS[collection](kit)
        values = {**pair.second, "targets": (pair.second.get("targets") or [""])[0]}
        right, wrong = (other, pair.found_by[other]), (other, values[other])
        found = await _finds(kit, collection, (name, pair.found_by[name]), right)
        expect(found == {pair.first["id"]}, f"/{collection}: what both filters find should be found")
        found = await _finds(kit, collection, (name, pair.found_by[name]), wrong)
        expect(found == set(), f"/{collection}: {name} of one object and {other} of another should find nothing")
        await kit.clean()


@check("FLT-02")
async def filter_values_are_checked_against_their_schema(kit: Kit) -> None:
    """Ids with foreign characters and empty or overlong names are refused with 400, as Business Logic and as a VEN."""
    for party in (kit.bl, kit.ven):
        for path, name in (("/events", "programID"), ("/reports", "eventID"), ("/resources", "venID")):
            for value in (" ", "a/b", TOO_LONG):
                (await party.get(path, (name, value))).problem(400)
        for path, name in (("/vens", "venName"), ("/resources", "resourceName"), ("/reports", "clientName")):
            (await party.get(path, (name, ""))).problem(400)


@check("FLT-03")
async def an_id_that_matches_nothing_gives_an_empty_list(kit: Kit) -> None:
    """A well-formed unknown id in a filter is answered 200 with an empty list; /resources may say 404."""
    unknown = kit.name("unknown")
    for path, name in (("/events", "programID"), ("/reports", "eventID"), ("/subscriptions", "programID")):
        expect((await kit.bl.get(path, (name, unknown))).shows(200).json == [], f"{path} should be empty")
    await _finds_nothing(kit, "resources", "venID")


@check("FLT-04")
async def unknown_parameters_are_ignored(kit: Kit) -> None:
    """Parameters of 3.0.1, such as targetType, and parameters that nobody knows change nothing."""
    program = await kit.program()
    for query in ((("targetType", "GROUP"), ("targetValues", "x")), (("no-such-parameter", ""),)):
        found = await _finds(kit, "programs", *query)
        expect(program["id"] in found, f"{query} should be ignored")


@check("FLT-05")
async def reports_and_subscriptions_have_no_targets_filter(kit: Kit) -> None:
    """targets= on /reports and /subscriptions changes nothing, or is refused as unknown (400)."""
    for collection in ("reports", "subscriptions"):
        pair = await PAIRS[collection](kit)
        query = (("clientName", pair.found_by["clientName"]), ("targets", kit.name("t")))
        if (await kit.bl.get(f"/{collection}", *query)).status == HTTPStatus.BAD_REQUEST:
            continue
        found = await _finds(kit, collection, *query)
        expect(found == {pair.first["id"]}, f"targets should be ignored on /{collection}")


@check("FLT-06")
async def booleans_are_true_or_false(kit: Kit) -> None:
    """active=true and active=false are served; 1, TRUE, yes and nothing are refused."""
    own = ("programID", (await kit.program())["id"])
    for value in ("true", "false"):
        (await kit.bl.get("/events", own, ("active", value))).shows(200)
    for value in ("1", "TRUE", "yes", ""):
        (await kit.bl.get("/events", own, ("active", value))).problem(400)
