"""Pagination: skip and limit on all six collections (section PAG)."""

from vtn.checking.verdict import expect
from vtn.conformance.check import check
from vtn.conformance.checks.general.filters import BAD_NUMBERS, PAIRS
from vtn.conformance.kit import COLLECTIONS, Kit

FULL_PAGE = 50
FAR = "100000"


@check("PAG-03")
async def a_limit_is_at_most_fifty(kit: Kit) -> None:
    """On every collection a limit of 51 or below 0 is refused and 50 is served."""
    for collection in COLLECTIONS:
        for limit in ("51", "-1"):
            (await kit.bl.get(f"/{collection}", ("limit", limit))).problem(400)
        page = (await kit.bl.get(f"/{collection}", ("limit", "50"))).shows(200).list
        expect(len(page) <= FULL_PAGE, f"GET /{collection}?limit=50 gave {len(page)} objects")


@check("PAG-07")
async def every_object_is_met_once_on_pages_of_one(kit: Kit) -> None:
    """Pages of one event walk through a program's events in one order, meeting each exactly once, twice alike."""
    program = await kit.program()
    made = [(await kit.event(program))["id"] for _ in range(5)]
    walks = []
    for _ in range(2):
        walked = []
        for skip in range(6):
            query = (("programID", program["id"]), ("limit", "1"), ("skip", str(skip)))
            walked += [event["id"] for event in (await kit.bl.get("/events", *query)).shows(200).list]
        walks.append(walked)
    expect(sorted(walks[0]) == sorted(made), f"five events were made, the pages showed {len(walks[0])}")
    expect(walks[0] == walks[1], "the order should be the same each time")


@check("PAG-01")
async def skip_and_limit_work_on_all_six_collections(kit: Kit) -> None:
    """Of two objects of each collection pages of one show one each, in the order of the whole list."""
    for collection in COLLECTIONS:
        pair = await PAIRS[collection](kit)
        ids = [pair.first["id"], pair.second["id"]]
        whole = await kit.bl.ids(f"/{collection}")
        places = [whole.index(one) for one in ids]
        for place, one in zip(places, ids, strict=True):
            page = (await kit.bl.get(f"/{collection}", ("skip", str(place)), ("limit", "1"))).shows(200).list
            expect([item["id"] for item in page] == [one], f"/{collection}?skip={place}&limit=1 shows something else")
        page = (await kit.bl.get(f"/{collection}", ("skip", str(min(places))), ("limit", "2"))).shows(200).list
        expect(len(page) == 2, f"/{collection}?limit=2 should give two, gave {len(page)}")  # noqa: PLR2004 - of two
        await kit.clean()


@check("PAG-02")
async def skip_is_a_whole_number(kit: Kit) -> None:
    """A skip below 0, of letters, with a fraction or beyond 32 bits is refused on every collection, and 0 is served."""
    for collection in COLLECTIONS:
        for skip in BAD_NUMBERS:
            (await kit.bl.get(f"/{collection}", ("skip", skip))).problem(400)
        (await kit.bl.get(f"/{collection}", ("skip", "0"), ("limit", "1"))).shows(200)


@check("PAG-04")
async def a_limit_of_zero_is_an_empty_page(kit: Kit) -> None:
    """limit=0 is answered 200 with an empty list, also where there are objects."""
    await kit.event(await kit.program())
    for collection in COLLECTIONS:
        expect(
            (await kit.bl.get(f"/{collection}", ("limit", "0"))).shows(200).json == [], f"/{collection} is not empty"
        )


@check("PAG-05")
async def a_page_without_a_limit_has_fifty(kit: Kit) -> None:
    """Of 52 events of a program a request without a limit gets the first 50, and the rest with skip=50."""
    program = await kit.program()
    made = [(await kit.event(program))["id"] for _ in range(FULL_PAGE + 2)]
    own = ("programID", program["id"])
    first = [event["id"] for event in (await kit.bl.get("/events", own)).shows(200).list]
    rest = [event["id"] for event in (await kit.bl.get("/events", own, ("skip", "50"))).shows(200).list]
    expect(len(first) == FULL_PAGE, f"a page without a limit should have 50 events, but has {len(first)}")
    expect(sorted(first + rest) == sorted(made), "two pages should show all 52 events")


@check("PAG-06")
async def beyond_the_end_there_is_an_empty_page(kit: Kit) -> None:
    """A skip past the end is answered 200 with an empty list."""
    own = ("programID", (await kit.program())["id"])
    expect((await kit.bl.get("/events", own, ("skip", "1"))).shows(200).json == [], "the page should be empty")
    for collection in COLLECTIONS:
        expect(
            (await kit.ven.get(f"/{collection}", ("skip", FAR))).shows(200).json == [], f"/{collection} is not empty"
        )


@check("PAG-08")
async def notifiers_and_topics_are_not_paged(kit: Kit) -> None:
    """limit=0 and limit=51 change nothing at /notifiers and at topic endpoints, or are refused as unknown (400)."""
    paths = ["/notifiers"]
    if kit.mqtt is not None:
        paths.append("/notifiers/mqtt/topics/programs")
    for path in paths:
        whole = (await kit.bl.get(path)).shows(200).object
        for limit in ("0", "51"):
            answer = (await kit.bl.get(path, ("limit", limit), ("skip", "1"))).shows(200, 400)
            same = answer.status == 400 or answer.object.keys() == whole.keys()  # noqa: PLR2004 - Bad Request
            expect(same, f"{path}?limit={limit} should answer as without it")
