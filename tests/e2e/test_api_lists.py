"""Lists: filters, pages, and which events are still active (FLT-01..06, FLT-Q01..27, PAG-01..08, EVT-12..17)."""

from datetime import UTC, datetime, timedelta

import pytest
from vtn_process import fresh

PAGED = ("programs", "reports", "events", "subscriptions", "vens", "resources")
NOT_NUMBERS = ("-1", "x", "1.5", "", "2147483648", "+1", "٣")
IDS = {"reports": ("programID", "eventID"), "events": ("programID",), "subscriptions": ("programID",)}
IDS |= {"resources": ("venID",)}
NAMES = {"reports": ("clientName",), "subscriptions": ("clientName",), "vens": ("venName",)}
NAMES |= {"resources": ("resourceName",)}
TARGETED = ("programs", "events", "vens", "resources")


def rows():
    """Collection, parameter, good values and bad values: all 27 query parameters."""
    for collection in PAGED:
        yield collection, "skip", ("0", "1", "100000", "2147483647"), NOT_NUMBERS
        yield collection, "limit", ("0", "1", "50"), (*NOT_NUMBERS, "51", "1000")
        for name in IDS.get(collection, ()):
            yield collection, name, ("no-such-id", "x" * 128), ("", " ", "x" * 129, "a b", "a/b")
        for name in NAMES.get(collection, ()):
            yield collection, name, ("nobody", "x" * 128, "a b"), ("", "x" * 129)
        if collection in TARGETED:
            yield collection, "targets", ("a", "a,b", "x" * 128), ("", "x" * 129)
    yield "events", "active", ("true", "false"), ("maybe", "1", "0", "", "True")
    yield "subscriptions", "objects", ("EVENT", "PROGRAM"), ("FOO", "event", "", "EVENT,PROGRAM")


ROWS = list(rows())


def test_the_table_holds_all_27_parameters():
    assert len(ROWS) == 27


@pytest.mark.parametrize(("collection", "name", "good", "bad"), ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
async def test_a_query_parameter_is_held_to_its_schema_flt_q(bl, c1, collection, name, good, bad):
    for party in (bl, c1):
        for value in good:
            (await party.get(f"/{collection}", (name, value))).shows(200)
        for value in bad:
            answer = (await party.get(f"/{collection}", (name, value))).shows(400)
            assert any(path.startswith(f"query.{name}") for path in answer.paths()), answer.content


async def test_all_faults_of_a_query_are_told_at_once(bl):
    answer = await bl.get("/events", ("limit", "51"), ("skip", "x"), ("active", "maybe"), ("programID", "?"))
    assert set(answer.shows(400).paths()) == {"query.limit", "query.skip", "query.active", "query.programID"}


async def test_a_well_formed_id_that_matches_nothing_gives_an_empty_list_flt_03_res_22(bl):
    for collection, names in {**IDS, **NAMES}.items():
        for name in names:
            assert (await bl.get(f"/{collection}", (name, "no-such"))).shows(200).json == []


async def test_unknown_parameters_are_ignored_flt_04_05(bl, program):
    for query in (("targetType", "GROUP"), ("targetValues", "g1"), ("nonsense", "")):
        assert program["id"] in await everything(bl, "/programs", query)
    (await bl.get("/subscriptions", ("targets", ""))).shows(200)
    (await bl.get("/reports", ("targets", ""))).shows(200)


async def everything(party, path, *query):
    found = []
    while page := (await party.get(path, *query, ("skip", str(len(found))))).shows(200).ids:
        found += page
    return found


@pytest.fixture
async def many(bl, program):
    """Sixty events of one program, in the order of their creation."""
    body = {"programID": program["id"]}
    return [(await bl.made("/events", {**body, "eventName": f"e{n}"}))["id"] for n in range(60)]


async def test_pages_hold_every_object_once_in_a_stable_order_pag_01_07(bl, c1, program, many):
    mine = ("programID", program["id"])
    for party in (bl, c1):
        for limit in ("1", "7", "50"):
            seen, skip = [], 0
            while page := (await party.get("/events", mine, ("skip", str(skip)), ("limit", limit))).ids:
                seen += page
                skip += len(page)
            assert seen == many


async def test_all_six_collections_have_pages_pag_01(bl, c1, program):
    event = await bl.made("/events", {"programID": program["id"]})
    owner = fresh("owner")
    ven = {"objectType": "BL_VEN_REQUEST", "venName": fresh("v"), "clientID": owner}
    ven = await bl.made("/vens", ven)
    resource = {"objectType": "BL_RESOURCE_REQUEST", "clientID": owner, "venID": ven["id"]}
    report = {"eventID": event["id"], "clientName": "x", "resources": []}

    def another(collection):
        return {
            "programs": (bl, {"programName": fresh("p")}),
            "events": (bl, {"programID": program["id"]}),
            "reports": (c1, report),
            "subscriptions": (c1, {"clientName": "x", "objectOperations": []}),
            "vens": (bl, {"objectType": "BL_VEN_REQUEST", "venName": fresh("v"), "clientID": fresh("o")}),
            "resources": (bl, {**resource, "resourceName": fresh("r")}),
        }[collection]

    for collection in PAGED:
        made = []
        for _ in range(3):
            writer, body = another(collection)
            made.append((await writer.made(f"/{collection}", body))["id"])
        every = await everything(bl, f"/{collection}")
        assert every[-3:] == made
        first = str(len(every) - 3)
        assert (await bl.get(f"/{collection}", ("skip", first), ("limit", "2"))).ids == made[:2]
        assert (await bl.get(f"/{collection}", ("skip", str(len(every) - 1)))).ids == made[2:]


async def test_a_list_without_a_limit_is_fifty_long_pag_05(bl, program, many):
    assert (await bl.get("/events", ("programID", program["id"]))).ids == many[:50]


async def test_the_ends_of_paging_pag_04_06(bl, program, many):
    mine = ("programID", program["id"])
    assert (await bl.get("/events", mine, ("limit", "0"))).json == []
    assert (await bl.get("/events", mine, ("skip", "60"))).json == []
    assert (await bl.get("/events", mine, ("skip", "59"))).ids == many[59:]


async def test_reports_are_filtered_and_paged_rpt_01_02_19_flt_01(bl, c1, program):
    other = await bl.made("/programs", {"programName": fresh("p")})
    first = await bl.made("/events", {"programID": program["id"]})
    second = await bl.made("/events", {"programID": other["id"]})
    name = fresh("client")
    made = []
    for event, client in ((first, name), (first, "y"), (second, name)):
        made.append((await c1.made("/reports", {"eventID": event["id"], "clientName": client, "resources": []}))["id"])
    for query, expected in (
        ([("eventID", first["id"])], made[:2]),
        ([("programID", program["id"])], made[:2]),
        ([("programID", other["id"])], made[2:]),
        ([("clientName", name)], [made[0], made[2]]),
        ([("clientName", name), ("programID", other["id"])], made[2:]),
        ([("clientName", "y"), ("eventID", second["id"])], []),
        ([("eventID", first["id"]), ("skip", "1"), ("limit", "1")], made[1:2]),
        ([("eventID", first["id"]), ("limit", "0")], []),
    ):
        for party in (bl, c1):
            assert (await party.get("/reports", *query)).ids == expected, query
    assert (await bl.get("/reports", ("eventID", first["id"]), ("clientName", "c1"))).json == []


async def test_subscriptions_are_filtered_by_program_name_and_kinds_sub_14(c1, program, receiver):
    def entries(*kinds):
        return [{"objects": [kind], "operations": ["CREATE"], "callbackUrl": receiver.url} for kind in kinds]

    name = fresh("s")
    events = await c1.made("/subscriptions", {"clientName": name, "objectOperations": entries("EVENT")})
    both = {"clientName": name, "objectOperations": entries("EVENT", "REPORT"), "programID": program["id"]}
    both = await c1.made("/subscriptions", both)
    for query, expected in (
        ([("clientName", name)], [events, both]),
        ([("clientName", name), ("objects", "EVENT")], [events, both]),
        ([("clientName", name), ("objects", "EVENT"), ("objects", "REPORT")], [both]),
        ([("clientName", name), ("objects", "VEN")], []),
        ([("programID", program["id"])], [both]),
    ):
        assert (await c1.get("/subscriptions", *query)).json == expected, query


async def test_names_match_whole_gen_33(bl):
    name = fresh("ven")
    made = await bl.made("/vens", {"objectType": "BL_VEN_REQUEST", "clientID": fresh("c"), "venName": name})
    assert (await bl.get("/vens", ("venName", name))).ids == [made["id"]]
    for other in (name[:-1], name + "x", name.upper(), "%"):
        assert (await bl.get("/vens", ("venName", other))).json == []


# --- active ----------------------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def at(hours):
    return (datetime.now(UTC) + hours * HOUR).isoformat().replace("+00:00", "Z")


def intervals(count):
    return [{"id": number, "payloads": [{"type": "PRICE", "values": [1]}]} for number in range(count)]


def timed(hours, duration="PT1H", count=1, **extra):
    return {"intervalPeriod": {"start": at(hours), "duration": duration}, "intervals": intervals(count), **extra}


WANT = [{"payloadType": "USAGE"}]
ACTIVE = {
    "past": (timed(-4, count=3), False),
    "running": (timed(-2, count=3), True),
    "future": (timed(24), True),
    "endless interval": (timed(-100, "P9999Y"), True),
    "past but looping for ever (EVT-15, EVT-16)": (timed(-4, count=3, duration="PT1H") | {"duration": "P9999Y"}, True),
    "cut short by its duration": (timed(-2, count=5) | {"duration": "PT1H"}, False),
    "no timing at all (EVT-17)": ({}, True),
    "report request only (EVT-17, TR-55)": ({"reportDescriptors": WANT}, True),
    "ad hoc report request (TR-55)": (
        {"reportDescriptors": WANT, "intervalPeriod": {"start": "0001-01-01", "duration": "PT0H"}},
        True,
    ),
    "cancelled by an empty window (EVT-25)": ({"intervalPeriod": {"start": "0001-01-01", "duration": "PT0S"}}, False),
    "interval periods of its own, past": (
        {"intervals": [{**intervals(1)[0], "intervalPeriod": {"start": at(-5), "duration": "PT1H"}}]},
        False,
    ),
    "interval periods of its own, future": (
        {"intervals": [{**intervals(1)[0], "intervalPeriod": {"start": at(5), "duration": "PT1H"}}]},
        True,
    ),
    "beyond the calendar (TR-97)": (timed(1, "P8000Y"), True),
    "before the calendar": ({"intervalPeriod": {"start": at(-1), "duration": "-P9998Y"}}, False),
}


@pytest.mark.parametrize("what", ACTIVE)
async def test_active_leaves_out_what_is_over_and_nothing_else_evt_12_13(bl, program, what):
    body, alive = ACTIVE[what]
    made = await bl.made("/events", {"programID": program["id"], **body})
    mine = ("programID", program["id"])
    assert (await bl.get("/events", mine, ("active", "true"))).ids == ([made["id"]] if alive else [])
    assert (await bl.get("/events", mine, ("active", "false"))).ids == [made["id"]]
    assert (await bl.get("/events", mine)).ids == [made["id"]]


async def test_a_cancelled_event_leaves_the_active_list_at_once_evt_25(bl, c1, program):
    made = await bl.made("/events", {"programID": program["id"], **timed(-1, "PT5H")})
    mine = ("programID", program["id"]), ("active", "true")
    assert (await c1.get("/events", *mine)).ids == [made["id"]]
    empty = {"start": "0001-01-01", "duration": "PT0S"}
    (await bl.put(f"/events/{made['id']}", {"programID": program["id"], "intervalPeriod": empty})).shows(200)
    assert (await c1.get("/events", *mine)).json == []
