"""Pagination: skip and limit on all six collections (section PAG)."""

from vtn.conformance.check import check, expect
from vtn.conformance.kit import COLLECTIONS, Kit


@check("PAG-03")
async def a_limit_is_at_most_fifty(kit: Kit) -> None:
    """On every collection a limit of 51 or below 0 is refused and 50 is served."""
    for collection in COLLECTIONS:
        for limit in ("51", "-1"):
            (await kit.bl.get(f"/{collection}", ("limit", limit))).problem(400)
        page = (await kit.bl.get(f"/{collection}", ("limit", "50"))).shows(200).list
        expect(len(page) <= 50, f"GET /{collection}?limit=50 gave {len(page)} objects")  # noqa: PLR2004 - the maximum


@check("PAG-01", "PAG-07")
async def every_object_is_met_once_on_pages_of_one(kit: Kit) -> None:
    """Pages of one event walk through a program's events in one order, meeting each exactly once."""
    program = await kit.program()
    made = [(await kit.event(program))["id"] for _ in range(3)]
    walked = []
    for skip in range(4):
        query = (("programID", program["id"]), ("limit", "1"), ("skip", str(skip)))
        walked += [event["id"] for event in (await kit.bl.get("/events", *query)).shows(200).list]
    expect(sorted(walked) == sorted(made), f"three events were made, the pages showed {len(walked)}")
