"""Which events `active=true` leaves out: life spans, loops, infinity, cancellation (EVT-12..17, 25, 26, INT-03, 10)."""

from datetime import datetime, timedelta
from typing import Any

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import kept
from vtn.conformance.check import check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json

INFINITE = "P9999Y"
THREE_HOURS: list[Json] = [{"id": n, "payloads": [{"type": "PRICE", "values": [n]}]} for n in range(3)]
REPORT_REQUESTS = [{"payloadType": "USAGE"}]


def _written(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _period(kit: Kit, starts_h: float, duration: str = "PT1H") -> Json:
    """A period that starts so many hours from now."""
    return {"start": _written(kit.now() + timedelta(hours=starts_h)), "duration": duration}


async def _event(kit: Kit, program: Json, starts_h: float, each: str = "PT1H", **extra: Any) -> Json:
    """An event with one interval, or those in `extra`, that starts so many hours from now."""
    body = {"intervalPeriod": _period(kit, starts_h, each), "intervals": THREE_HOURS[:1], **extra}
    return await kit.event(program, **body)


async def _listed(kit: Kit, program: Json, active: str | None, **events: Json) -> set[str]:
    """The names of those of these events that are listed."""
    query = [("programID", program["id"]), *([("active", active)] if active else [])]
    found = await kit.bl.ids("/events", *query)
    return {name for name, event in events.items() if event["id"] in found}


async def _three(kit: Kit, program: Json) -> dict[str, Json]:
    return {
        "past": await _event(kit, program, -48),
        "running": await _event(kit, program, -0.5),
        "future": await _event(kit, program, 48),
    }


@check("EVT-12")
async def active_leaves_out_what_is_over(kit: Kit) -> None:
    """With active=true the running and the future event are listed and the past one is not."""
    program = await kit.program()
    seen = await _listed(kit, program, "true", **await _three(kit, program))
    expect(seen == {"running", "future"}, f"active=true should list running and future, but lists {seen}")


@check("EVT-13")
async def without_active_all_events_are_listed(kit: Kit) -> None:
    """With active=false, and without active, past, running and future events are listed."""
    program = await kit.program()
    events = await _three(kit, program)
    for active in ("false", None):
        seen = await _listed(kit, program, active, **events)
        expect(seen == set(events), f"active={active} should list all three, but lists {seen}")


@check("EVT-14")
async def active_is_true_or_false(kit: Kit) -> None:
    """Another value of active is answered 400."""
    for wrong in ("maybe", "2", ""):
        (await kit.bl.get("/events", ("active", wrong))).problem(400)


@check("EVT-15")
async def an_event_lasts_as_long_as_its_intervals_or_its_duration(kit: Kit) -> None:
    """Three hours of intervals that began four hours ago are over, unless the event's own duration is longer."""
    program = await kit.program()
    events = {
        "over": await _event(kit, program, -4, intervals=THREE_HOURS),
        "last": await _event(kit, program, -2.5, intervals=THREE_HOURS),
        "endless": await _event(kit, program, -4, intervals=THREE_HOURS, duration=INFINITE),
    }
    seen = await _listed(kit, program, "true", **events)
    expect(seen == {"last", "endless"}, f"active=true should list last and endless, but lists {seen}")


@check("EVT-16")
async def infinity_does_not_overflow(kit: Kit) -> None:
    """An event of P9999Y, from now, from year 1 and from year 9999, is made, listed as active, and read back."""
    program = await kit.program()
    for start in (_written(kit.now()), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        period = {"start": start, "duration": INFINITE}
        event = await kit.event(program, intervalPeriod=period, intervals=THREE_HOURS)
        seen = await _listed(kit, program, "true", endless=event)
        expect(seen == {"endless"}, f"an endless event from {start} should be active")
        read = (await kit.bl.get(f"/events/{event['id']}")).shows(200).object
        expect(kept(INFINITE, read["intervalPeriod"].get("duration"), "duration"), "the duration came back changed")


@check("EVT-17")
async def an_event_without_times_is_never_over(kit: Kit) -> None:
    """An event with no timing, and a bare request for reports, are listed with active=true."""
    program = await kit.program()
    events = {
        "request": await kit.event(program, reportDescriptors=REPORT_REQUESTS, intervalPeriod=None, intervals=None),
        "untimed": await kit.event(program, intervals=THREE_HOURS, intervalPeriod=None),
        "empty": await kit.event(program, intervalPeriod=None, intervals=None),
    }
    seen = await _listed(kit, program, "true", **events)
    expect(seen == set(events), f"active=true should list all three, but lists {seen}")


@check("EVT-25")
async def an_event_is_cancelled_by_shrinking_its_window(kit: Kit) -> None:
    """A PUT of the window 0001-01-01, PT0S, takes an event off the active list; there is no status field."""
    program = await kit.program()
    event = await _event(kit, program, -0.5, "PT4H")
    expect(await _listed(kit, program, "true", event=event), "the event should be active before it is cancelled")
    window = {"start": "0001-01-01", "duration": "PT0S"}
    body = {"programID": program["id"], "intervalPeriod": window, "intervals": THREE_HOURS[:1]}
    changed = (await kit.bl.put(f"/events/{event['id']}", body)).shows(200).object
    expect(kept("PT0S", changed["intervalPeriod"].get("duration"), "duration"), "the window was not stored")
    expect("status" not in changed, "an event has no status")
    expect(not await _listed(kit, program, "true", event=event), "a cancelled event is still active")


@check("EVT-26")
async def an_absent_duration_is_not_zero(kit: Kit) -> None:
    """An event without a duration of its own lasts as long as its intervals: absence, or a default, is not zero."""
    program = await kit.program()
    event = await _event(kit, program, -0.5)
    read = (await kit.bl.get(f"/events/{event['id']}")).shows(200).object
    shown = read.get("duration", "PT0S")
    expect(kept("PT0S", shown, "duration"), f"the event was given the duration {shown}")
    expect(await _listed(kit, program, "true", event=event), "a running event without a duration should be active")


@check("INT-03")
async def an_intervals_own_period_outranks_the_events(kit: Kit) -> None:
    """An interval's own start and duration are kept, and decide when the event is over, field by field."""
    program = await kit.program()
    longer = [{**THREE_HOURS[0], "intervalPeriod": {"duration": "PT8H"}}]
    later = [{**THREE_HOURS[0], "intervalPeriod": _period(kit, 2)}]
    earlier = [{**THREE_HOURS[0], "intervalPeriod": {"start": _period(kit, -8)["start"]}}]
    events = {
        "longer": await _event(kit, program, -4, intervals=longer),
        "later": await _event(kit, program, -4, intervals=later),
        "earlier": await _event(kit, program, 4, intervals=earlier),
        "default": await _event(kit, program, -4),
    }
    own = events["longer"]["intervals"][0]["intervalPeriod"]
    unchanged = kept("PT8H", own["duration"], "duration") and own.get("start") is None
    expect(unchanged, f"the interval's period came back as {own}")
    seen = await _listed(kit, program, "true", **events)
    expect(seen == {"longer", "later"}, f"active=true should list longer and later, but lists {seen}")


@check("INT-10")
async def an_events_duration_cuts_or_repeats_its_intervals(kit: Kit) -> None:
    """A duration shorter than the intervals ends the event early; a longer one repeats them, P9999Y for ever."""
    program = await kit.program()
    events = {
        "cut": await _event(kit, program, -2, intervals=THREE_HOURS, duration="PT1H"),
        "repeated": await _event(kit, program, -4, intervals=THREE_HOURS, duration="PT9H"),
        "for ever": await _event(kit, program, -400, intervals=THREE_HOURS, duration=INFINITE),
    }
    for name, event in events.items():
        expect(len(event["intervals"]) == len(THREE_HOURS), f"the intervals of {name} were unrolled or cut")
    seen = await _listed(kit, program, "true", **events)
    expect(seen == {"repeated", "for ever"}, f"active=true should list repeated and for ever, but lists {seen}")
