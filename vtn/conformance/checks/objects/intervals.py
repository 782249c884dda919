"""Intervals and their times (section INT; what an event's activity makes of them is in `events_active`)."""

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import keeps, kept, same_instant, views
from vtn.conformance.bodies.scalars import BAD_DURATIONS, INT32_MAX, INT32_MIN
from vtn.conformance.bodies.valid_bodies import PERIOD_OF_EVENT, event_of, interval_of
from vtn.conformance.check import check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json
from vtn.conformance.requirements import Level

NOW = "0001-01-01T00:00:00Z"
PRICE: list[Json] = [{"type": "PRICE", "values": [0.25]}]


async def _refused(kit: Kit, program: Json, **fields: object) -> None:
    """An event with these fields is answered 400."""
    await kit.refused(kit.bl, "/events", event_of(program["id"], **fields), 400)


@check("INT-01")
async def an_interval_id_is_a_label_of_the_client(kit: Kit) -> None:
    """Interval ids are kept as given, repeated and out of order; without one, beyond int32 or as text is 400."""
    program = await kit.program()
    ids = [5, 5, 2, INT32_MAX, INT32_MIN]
    event = await kit.event(program, intervals=[interval_of(*PRICE, number=n) for n in ids])
    for where, seen in await views(kit.bl, "/events", event):
        found = [interval["id"] for interval in seen["intervals"]]
        expect(found == ids, f"the ids {ids} are {found} {where}")
    for wrong in ({}, {"id": INT32_MAX + 1}, {"id": INT32_MIN - 1}, {"id": "0"}, {"id": None}):
        await _refused(kit, program, intervals=[{**wrong, "payloads": PRICE}])


@check("INT-02")
async def an_interval_has_payloads(kit: Kit) -> None:
    """An interval without payloads is answered 400, also when others have them, in events and in reports."""
    program = await kit.program()
    whole, bare = interval_of(*PRICE), {"id": 1}
    for intervals in ([bare], [whole, bare]):
        await _refused(kit, program, intervals=intervals)
    event = await kit.event(program, intervals=[whole])
    resources = [{"resourceName": "x", "intervals": [bare]}]
    await kit.refused(kit.ven, "/reports", kit.report_on(event["id"], resources=resources), 400)


@check("INT-04")
async def an_interval_without_any_period_is_stored(kit: Kit) -> None:
    """An event may have no intervalPeriod, of its own or in its intervals: whether that makes sense is not judged."""
    intervals = [{"id": 0, "payloads": PRICE}, {"id": 1, "payloads": PRICE}]
    event = await kit.event(await kit.program(), intervals=intervals, intervalPeriod=None)
    for where, seen in await views(kit.bl, "/events", event):
        keeps({"intervals": intervals}, seen, f"the intervals are not the same {where}")
        expect(seen.get("intervalPeriod") in (None, {}), f"there is a period {seen.get('intervalPeriod')} {where}")


@check("INT-05", level=Level.READING)
async def a_period_needs_no_start(kit: Kit) -> None:
    """An intervalPeriod with a duration only, and an empty one, are accepted and are given no start.

    The schema allows them; that a VTN must take an event of no known time is a reading.
    """
    program = await kit.program()
    for period in ({"duration": "PT1H"}, {}):
        event = await kit.event(program, intervalPeriod=period)
        for where, seen in await views(kit.bl, "/events", event):
            found = seen.get("intervalPeriod") or {}
            expect(kept(period, found), f"the period {period} is {found} {where}")
            expect("start" not in found, f"the period {period} has the start {found.get('start')} {where}")


@check("INT-06")
async def the_literals_for_now_are_taken(kit: Kit) -> None:
    """Each spelling of year 1 is taken as a start, and comes back as the RFC 3339 date-time of that instant."""
    program = await kit.program()
    for start in ("0001-01-01", "0001-01-01T00:00:00", NOW):
        period = {"start": start, "duration": "PT1H"}
        intervals = [{"id": 0, "payloads": PRICE, "intervalPeriod": period}]
        event = await kit.event(program, intervalPeriod=period, intervals=intervals)
        for where, seen in await views(kit.bl, "/events", event):
            for part in (seen, seen["intervals"][0]):
                found = str(part["intervalPeriod"]["start"])
                right = found.endswith(("Z", "+00:00")) and same_instant(NOW, found)
                expect(right, f"the start {start!r} is {found!r} {where}")


@check("INT-07")
async def infinity_comes_back_verbatim(kit: Kit) -> None:
    """The duration P9999Y, a literal that clients look for, is kept as it was written wherever it may stand."""
    period = {"start": NOW, "duration": "P9999Y"}
    intervals = [{"id": 0, "payloads": PRICE, "intervalPeriod": period}]
    event = await kit.event(await kit.program(), duration="P9999Y", intervalPeriod=period, intervals=intervals)
    for where, seen in await views(kit.bl, "/events", event):
        found = [part["duration"] for part in (seen, seen["intervalPeriod"], seen["intervals"][0]["intervalPeriod"])]
        expect(found == ["P9999Y"] * 3, f"P9999Y is {found} {where}")


@check("INT-08")
async def a_random_start_is_stored_and_not_acted_on(kit: Kit) -> None:
    """A randomizeStart comes back as written, and does not move the start; one outside the pattern is 400."""
    program = await kit.program()
    period = {"start": "2026-07-15T16:00:00Z", "duration": "PT1H", "randomizeStart": "PT5M"}
    event = await kit.event(program, intervalPeriod=period)
    for where, seen in await views(kit.bl, "/events", event):
        keeps({"intervalPeriod": period}, seen, f"the period is {seen['intervalPeriod']} {where}")
    for wrong in BAD_DURATIONS:
        await _refused(kit, program, intervalPeriod={"randomizeStart": wrong})


@check("INT-09")
async def several_values_may_share_an_interval(kit: Kit) -> None:
    """Packed values of a single-valued type are kept in one interval: three prices in three hours."""
    three_hours = {**PERIOD_OF_EVENT, "duration": "PT3H"}
    intervals: list[Json] = [
        {**interval_of({"type": kind, "values": [0.25, 0.5, 0.125]}), "intervalPeriod": three_hours}
        for kind in ("PRICE", "EXPORT_PRICE", "GHG")
    ]
    event = await kit.event(await kit.program(), intervals=intervals)
    for where, seen in await views(kit.bl, "/events", event):
        keeps({"intervals": intervals}, seen, f"the packed values are not the same {where}")


@check("INT-11")
async def overlapping_events_are_the_clients_affair(kit: Kit) -> None:
    """Two events of one program, with the same window and priority, are both made and both listed."""
    program = await kit.program()
    period = {"start": "2026-07-15T16:00:00Z", "duration": "PT4H"}
    interval = [{"id": 0, "payloads": PRICE}]
    made = [await kit.event(program, intervalPeriod=period, priority=1, intervals=interval) for _ in range(2)]
    found = await kit.bl.ids("/events", ("programID", program["id"]))
    expect(sorted(found) == sorted(event["id"] for event in made), f"two events overlap, {len(found)} are listed")


@check("INT-12")
async def a_month_is_a_duration(kit: Kit) -> None:
    """Durations of months and years are accepted and come back."""
    program = await kit.program()
    for duration in ("P1M", "P1Y6M"):
        event = await kit.event(program, duration=duration, intervalPeriod={**PERIOD_OF_EVENT, "duration": duration})
        found = (event.get("duration"), event["intervalPeriod"]["duration"])
        expect(all(kept(duration, one, "duration") for one in found), f"the duration {duration} came back as {found}")
