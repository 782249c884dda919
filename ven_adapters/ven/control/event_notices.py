"""What drivers are to be told of events: before each, so long ahead as settings say or at once, and after it.

Before an event it is told to the cars that the plan for its beginning asks, and during it to any car that is asked and
was not told. After it, or when it was taken back, to whoever was told of it. Runs that are over are finished for the
cars' patience too. No I/O: notices are gathered in `pending` until a shell has stored them.
"""

import asyncio
import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from ven_adapters.enrolment_api.webhooks.notices import EventNotice, NoticeCall, NoticeType, Readiness, notice_id
from ven_adapters.ven.control.car_steps import ZoneResult
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.zone_control import ZoneController
from ven_adapters.ven.fleet.columns import Floats, Ints
from ven_adapters.ven.fleet.telemetry import instant
from ven_adapters.ven.openadr.event_runs import EventRun, runs_of
from ven_adapters.ven.openadr.zone_requests import HeldEvent
from ven_adapters.ven.planning.patience import ASKED
from vtn.clock import HOUR_S

MOST_PENDING = 500_000
MINUTE_S = 60.0
# An event without an end, or one that lasts for years, is told as one that ends within this time.
LONGEST_TOLD_S = 7 * 24 * HOUR_S

PendingKey = tuple[NoticeType, int, str, float, float]
"""What a notice is about: its type, the car's row, the event, and when the event begins and ends (epoch seconds)."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class EventOutcome:
    """What an event asked of a car: seconds, kWh, and how the car stands after it."""

    held_s: float
    kwh: float
    readiness: Readiness


@dataclasses.dataclass(slots=True)
class KnownRun:
    """A run of an event as a zone's cars know it: what was told to which rows, by the end that was told; if announced.

    `announced`: the cars that it is expected to ask were told.
    """

    run: EventRun
    told: dict[int, float] = dataclasses.field(default_factory=dict)
    announced: bool = False


class EventNotices:
    """By zone. `enabled`: somebody takes notices; without that runs are only finished."""

    def __init__(
        self, fleet_state: FleetState, zone_controller: ZoneController, lead_s: float, *, enabled: bool
    ) -> None:
        self._fleet_state = fleet_state
        self._zone_controller = zone_controller
        self._lead_s = lead_s
        self._enabled = enabled
        self._known: dict[str, list[KnownRun]] = {}
        self._restored: dict[str, list[KnownRun]] = {}
        self.pending: dict[PendingKey, Callable[[str, ZoneInfo], EventNotice]] = {}
        self.news = asyncio.Event()

    def restore(self, notices: Iterable[EventNotice]) -> None:
        """Take up what an earlier run told and did not end; call after enrolments were taken up."""
        for one in notices:
            enrolment = self._fleet_state.fleet.enrolled(one.vehicle_ref)
            if enrolment is None:
                continue
            run = EventRun(one.event_id, one.kind, one.start.timestamp(), one.end.timestamp())
            runs = self._restored.setdefault(enrolment.zone, [])
            known = next((each for each in runs if each.run.overlaps(run)), None)
            if known is None:
                runs.append(known := KnownRun(run))
            known.told[self._fleet_state.fleet.row(one.vehicle_ref)] = run.end_s

    def take(self, zone: str, events: Sequence[HeldEvent], result: ZoneResult, now: datetime) -> None:
        """What a cycle of a zone changes: runs that are near, cars that are asked, runs that are over."""
        now_s = now.timestamp()
        first = zone not in self._known
        known = self._known.get(zone) or self._restored.pop(zone, [])
        current = [run for run in runs_of(result.requests.loads) if run.end_s > now_s]
        live = [_matched(run, known) for run in current]
        self._known[zone] = live
        for over in [one for one in known if all(one is not other for other in live)]:
            self._finish(zone, over, now)
        if first:
            self._finish_unknown(zone, current)
        if self._enabled:
            for one in live:
                self._announce(zone, events, one, now)
            self._tell_asked(live, result, now)

    def next_s(self, now_s: float) -> float:
        """When drivers are next to be told of an event that is known; infinite when none is."""
        due_s = [
            one.run.start_s - self._lead_s
            for runs in (self._known.values() if self._enabled else ())
            for one in runs
            if not one.announced
        ]
        return min((at_s for at_s in due_s if at_s > now_s), default=math.inf)

    def _announce(self, zone: str, events: Sequence[HeldEvent], one: KnownRun, now: datetime) -> None:
        if one.announced or one.run.start_s - self._lead_s > now.timestamp():
            return
        one.announced = True
        rows, kwh = self._zone_controller.expect(zone, events, one.run, now)
        self._tell_ahead(one, rows, kwh, now)

    def _tell_asked(self, live: Sequence[KnownRun], result: ZoneResult, now: datetime) -> None:
        """Whoever is asked now and does not know it, or knows another end."""
        ask, plan, now_s = result.requests.ruling_ask, result.plan, now.timestamp()
        if ask is None or result.step_source.decision.leads:
            return
        one = next((one for one in live if one.run.event_id == ask.event_id and one.run.start_s <= now_s), None)
        if one is None:
            return
        asked = (plan.burden_kw > 0) & np.isin(plan.reason, ASKED)
        asked &= ~np.isin(plan.row, self._zone_controller.out_of_event(ask.event_id))
        hours = max(0.0, one.run.end_s - now_s) / HOUR_S
        self._tell_ahead(one, plan.row[asked], plan.burden_kw[asked] * hours, now)

    def _tell_ahead(self, one: KnownRun, rows: Ints, kwh: Floats, now: datetime) -> None:
        for row, expected_kwh in zip(rows.tolist(), kwh.tolist(), strict=True):
            if one.told.get(row) != one.run.end_s:
                one.told[row] = one.run.end_s
                told = functools.partial(_notice_ahead, one.run, expected_kwh, now)
                self._put(NoticeType.EVENT_AHEAD, one.run, row, told)

    def _finish(self, zone: str, one: KnownRun, now: datetime) -> None:
        """A run is over: what it asked of each car is told to those who knew of it, and remembered of all."""
        told = [row for row in one.told if self._fleet_state.fleet.enrolled(self._fleet_state.fleet.ref(row))]
        rows = np.union1d(self._fleet_state.fleet.zone_rows(zone), np.array(told, dtype=np.int64))
        held_s, kwh = self._fleet_state.patience.finish(one.run.event_id, rows)
        if self._enabled:
            place = {row: number for number, row in enumerate(rows.tolist())}
            stands = self._zone_controller.readiness(np.array(told, dtype=np.int64), now)
            for row, ready in zip(told, stands, strict=True):
                done = EventOutcome(float(held_s[place[row]]), float(kwh[place[row]]), ready)
                over = functools.partial(_notice_over, one.run, done, now)
                self._put(NoticeType.EVENT_OVER, one.run, row, over)

    def _finish_unknown(self, zone: str, current: Sequence[EventRun]) -> None:
        """Events that an earlier life left under way, and that ended, or were taken back, before this one began."""
        for event_id in self._fleet_state.patience.unfinished:
            if all(run.event_id != event_id for run in current):
                self._fleet_state.patience.finish(event_id, self._fleet_state.fleet.zone_rows(zone))

    def _put(self, kind: NoticeType, run: EventRun, row: int, told: Callable[[str, ZoneInfo], EventNotice]) -> None:
        self.pending.setdefault((kind, row, run.event_id, run.start_s, run.end_s), told)
        if len(self.pending) > MOST_PENDING:
            del self.pending[next(iter(self.pending))]
            _log.error("a notice to a driver is let go: %d wait for the enrolment store", MOST_PENDING)
        self.news.set()

    def drain(self, most: int) -> dict[PendingKey, EventNotice | None]:
        """The oldest notices that are not stored yet, None for cars that have left; they stay until `stored`."""
        found: dict[PendingKey, EventNotice | None] = {}
        for key, told in itertools.islice(self.pending.items(), most):
            ref = self._fleet_state.fleet.ref(key[1])
            enrolment = self._fleet_state.fleet.enrolled(ref)
            found[key] = None if enrolment is None else told(ref, ZoneInfo(enrolment.timezone))
        return found

    def stored(self, keys: Iterable[PendingKey]) -> None:
        """These are in the enrolment store, from which they are sent."""
        for key in keys:
            self.pending.pop(key, None)


_STANDS = {
    Readiness.READY: "is at the level that you want",
    Readiness.IN_TIME: "will be at the level that you want when you leave",
    Readiness.LATE: "may not be at the level that you want when you leave",
    Readiness.UNKNOWN: "its level is not known",
}


def _notice_ahead(run: EventRun, expected_kwh: float, now: datetime, ref: str, zone: ZoneInfo) -> EventNotice:
    start, end = _times(run, now)
    opt_out, skip = f"/v1/cars/{ref}/opt-out", f"/v1/cars/{ref}/skip"
    body = {"event_id": run.event_id, "until": end.isoformat()}
    local = _local(start, end, zone)
    return EventNotice(
        type=NoticeType.EVENT_AHEAD,
        notice_id=notice_id(NoticeType.EVENT_AHEAD, ref, run.event_id, start.isoformat(), end.isoformat()),
        vehicle_ref=ref,
        event_id=run.event_id,
        kind=run.kind,
        start=start,
        end=end,
        expected_kwh=None if math.isnan(expected_kwh) else round(expected_kwh, 2),
        opt_out=NoticeCall(path=opt_out, body=body),
        skip=NoticeCall(path=skip, body=body),
        text=f"The grid asks for your car's help {local}; opt out with POST {opt_out}, or skip with POST {skip}.",
    )


def _notice_over(run: EventRun, done: EventOutcome, now: datetime, ref: str, zone: ZoneInfo) -> EventNotice:
    start, end = _times(run, now)
    minutes, moved_kwh = round(done.held_s / MINUTE_S, 1), round(done.kwh, 2)
    return EventNotice(
        type=NoticeType.EVENT_OVER,
        notice_id=notice_id(NoticeType.EVENT_OVER, ref, run.event_id, start.isoformat()),
        vehicle_ref=ref,
        event_id=run.event_id,
        kind=run.kind,
        start=start,
        end=end,
        held_minutes=minutes,
        moved_kwh=moved_kwh,
        readiness=done.readiness,
        text=f"The event {_local(start, end, zone)} is over: your car helped for {minutes:g} minutes with "
        f"{moved_kwh:g} kWh, and {_STANDS[done.readiness]}.",
    )


def _times(run: EventRun, now: datetime) -> tuple[datetime, datetime]:
    latest_s = max(run.start_s, now.timestamp()) + LONGEST_TOLD_S
    return instant(run.start_s), instant(min(run.end_s, latest_s))


def _local(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    return f"from {start.astimezone(zone):%H:%M} to {end.astimezone(zone):%H:%M}"


def _matched(run: EventRun, known: Sequence[KnownRun]) -> KnownRun:
    """What is known of a run, with its end as it is now; its start stays the one that was told."""
    one = next((each for each in known if each.run.overlaps(run)), None)
    if one is None:
        return KnownRun(run)
    if one.run.end_s != run.end_s or (not one.told and one.run.start_s != run.start_s):
        start_s = one.run.start_s if one.told else run.start_s
        one.announced &= one.run.end_s == run.end_s
        one.run = dataclasses.replace(run, start_s=start_s)
    return one
