"""The utility: a Business Logic client that speaks OpenADR 3 to the VTN and knows no more of cars than any utility."""

import asyncio
import dataclasses
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ven_adapters.demo import scenario
from ven_adapters.demo.scenario import BASELINE, NOMINATION, Nomination
from vtn.client import Client
from vtn.clock import HOUR_S, Clock, sleep_until
from vtn.wire.enumerations import ObjectType
from vtn.wire.interval import parse_duration

Json = dict[str, Any]
REGISTRATION_S = 300.0
REPORTS_EVERY_S = 1.0
KNOWN_SHARE = 0.5  # of the load that the utility expects itself
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class AskedSetPoint:
    """A set-point that held for one resource from `start` to `end`, kW."""

    target: str
    start: datetime
    end: datetime
    kw: float


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """One write that VENs must hear of: when (real Unix seconds), what, and which automakers may see it."""

    at_s: float
    operation: str
    event_id: str
    name: str
    oems: frozenset[str]


@dataclasses.dataclass(slots=True)
class Utility:
    """What the utility has sent, how its set-points and capacity limits stand, and every report as it read it.

    `hours` is for how long prices are published. `limits_capacity` says whether one zone has a capacity limit at night.
    """

    client: Client
    nominations: Sequence[Nomination]
    forecast_kw: tuple[float, ...]
    hours: int = scenario.HOURS
    limits_capacity: bool = True
    sent: list[Sent] = dataclasses.field(default_factory=list)
    asks: list[AskedSetPoint] = dataclasses.field(default_factory=list)
    caps: list[AskedSetPoint] = dataclasses.field(default_factory=list)
    report_versions: dict[tuple[str, str], Json] = dataclasses.field(default_factory=dict)
    reports_held: int = 0
    events: dict[str, Json] = dataclasses.field(default_factory=dict)
    programs: dict[str, str] = dataclasses.field(default_factory=dict)

    async def registered(self) -> None:
        """Wait until every automaker's adapter has registered its ven and zones; TimeoutError after five minutes."""
        async with asyncio.timeout(REGISTRATION_S):
            wanted = {(n.oem, n.zone) for n in self.nominations}
            while wanted - {(oem, zone) for oem, zone, _ in await self._resources()}:  # noqa: ASYNC110 - asked, not told
                await asyncio.sleep(0.25)

    async def _resources(self) -> list[tuple[str, str, Json]]:
        vens = {ven["id"]: ven["clientID"] for ven in await self.client.search(ObjectType.VEN)}
        found = await self.client.search(ObjectType.RESOURCE)
        return [(vens[r["venID"]].removeprefix("ven-"), r["resourceName"], r) for r in found]

    async def grant(self) -> None:
        """Grant each ven the program and each zone its own target."""
        for ven in await self.client.search(ObjectType.VEN):
            body = {**ven, "objectType": "BL_VEN_REQUEST", "targets": [scenario.EVENING_TARGET]}
            await self.client.replace(ObjectType.VEN, ven["id"], body)
        for oem, zone, resource in await self._resources():
            body = {**resource, "objectType": "BL_RESOURCE_REQUEST", "targets": [f"{oem}-{zone}"]}
            await self.client.replace(ObjectType.RESOURCE, resource["id"], body)

    async def publish(self) -> None:
        """Create the programs, two price events, one dispatch event per resource and one capacity limit."""
        for name, targets in (
            (scenario.TARIFF_PROGRAM, None),
            (scenario.MARKET_PROGRAM, None),
            (scenario.EVENING_PROGRAM, [scenario.EVENING_TARGET]),
        ):
            program = await self.client.create(ObjectType.PROGRAM, {"programName": name, "targets": targets})
            self.programs[name] = program["id"]
        everyone = frozenset(n.oem for n in self.nominations)
        await self._create(scenario.tariff_event(self.programs[scenario.TARIFF_PROGRAM], self.hours), everyone)
        await self._create(scenario.market_event(self.programs[scenario.MARKET_PROGRAM], self.hours), everyone)
        for nomination in self.nominations:
            points = scenario.setpoints_kw(nomination, self.forecast_kw)
            program_id = self.programs[scenario.EVENING_PROGRAM]
            await self._create(scenario.evening_event(program_id, nomination, points), frozenset({nomination.oem}))
            self._remember(nomination.target, points)
        if self.limits_capacity:
            await self._limit_capacity(self.nominations[scenario.CAPPED_ZONE])

    async def _limit_capacity(self, nomination: Nomination) -> None:
        kw = scenario.cap_kw(nomination, self.forecast_kw)
        event = scenario.cap_event(self.programs[scenario.EVENING_PROGRAM], nomination, kw)
        dispatch = self.events[nomination.target]
        await self._create(event, frozenset({nomination.oem}))
        self.events[nomination.target] = dispatch
        first, last = (scenario.STARTS + timedelta(hours=hour) for hour in scenario.CAPPED_HOURS)
        self.caps.append(AskedSetPoint(nomination.target, first, last, kw))

    async def conduct(self, clock: Clock) -> None:
        """What was nominated is asked; then surprises, each at its time: a change, a cancellation, an emergency."""
        await sleep_until(clock, scenario.ASKED_AT)
        await self.ask_what_is_nominated()
        await sleep_until(clock, scenario.MODIFIED_AT)
        await self.modify(self.nominations[0], clock.now())
        await sleep_until(clock, scenario.CANCELLED_AT)
        await self.cancel(self.nominations[-1], clock.now())
        await sleep_until(clock, scenario.ALERT_AT)
        everyone = frozenset(n.oem for n in self.nominations)
        await self._create(scenario.alert_event(self.programs[scenario.TARIFF_PROGRAM]), everyone)

    async def ask_what_is_nominated(self) -> None:
        """Ask each resource for what it has nominated: what it would draw unmanaged less what it can do without.

        A resource that foretells less than half of what the utility expects does not know its cars yet, and is asked as
        before; so is one that has nominated nothing.
        """
        await self.read_reports()
        for nomination in self.nominations:
            event = self.events[nomination.target]
            told = nominated_kw(self.report_versions.values(), event["id"], nomination.zone)
            expected_kw = nomination.cars * sum(self.forecast_kw)
            if sum(baseline_kw for baseline_kw, _ in told.values()) < KNOWN_SHARE * expected_kw:
                continue
            before = [interval["payloads"][0]["values"][0] for interval in event["intervals"]]
            allowed = {number: round(baseline_kw - held_kw, 1) for number, (baseline_kw, held_kw) in told.items()}
            points = tuple(allowed.get(number, kw) for number, kw in enumerate(before))
            body = scenario.evening_event(event["programID"], nomination, points)
            changed = await self.client.replace(ObjectType.EVENT, event["id"], body)
            self._note("UPDATE", changed, frozenset({nomination.oem}))
            self._remember(nomination.target, points)

    async def modify(self, nomination: Nomination, now: datetime) -> None:
        """Halve what one resource may still draw, in the middle of its event."""
        event = self.events[nomination.target]
        passed = sum(ask.end <= now for ask in self._of(nomination.target))
        before = [interval["payloads"][0]["values"][0] for interval in event["intervals"]]
        points = tuple(kw if n <= passed else round(kw / 2, 1) for n, kw in enumerate(before))
        body = scenario.evening_event(event["programID"], nomination, points)
        changed = await self.client.replace(ObjectType.EVENT, event["id"], body)
        self._note("UPDATE", changed, frozenset({nomination.oem}))
        self._remember(nomination.target, points)

    async def cancel(self, nomination: Nomination, now: datetime) -> None:
        """Cancel what is left of one resource's event by deleting it."""
        gone = await self.client.delete(ObjectType.EVENT, self.events[nomination.target]["id"])
        self._note("DELETE", gone, frozenset({nomination.oem}))
        held = self._of(nomination.target)
        self.asks = [ask for ask in self.asks if ask not in held] + [
            dataclasses.replace(ask, end=min(ask.end, now)) for ask in held if ask.start < now
        ]

    async def read_reports(self) -> None:
        """Read all reports; of those that changed since, the new version is kept beside the old one."""
        reports = await self.client.search(ObjectType.REPORT)
        self.reports_held = len(reports)
        for report in reports:
            self.report_versions.setdefault((report["id"], report["modificationDateTime"]), report)

    async def watch_reports(self) -> None:
        """Read reports again and again, so that it is known when the utility could know what they say."""
        while True:
            await self.read_reports()
            await asyncio.sleep(REPORTS_EVERY_S)

    async def _create(self, content: Json, oems: frozenset[str]) -> None:
        event = await self.client.create(ObjectType.EVENT, content)
        self._note("CREATE", event, oems)

    def _note(self, operation: str, event: Json, oems: frozenset[str]) -> None:
        self.sent.append(Sent(time.time(), operation, event["id"], event["eventName"], oems))
        self.events[(event.get("targets") or [event["eventName"]])[0]] = event

    def _of(self, target: str) -> list[AskedSetPoint]:
        return [ask for ask in self.asks if ask.target == target]

    def _remember(self, target: str, points: tuple[float, ...]) -> None:
        held = self._of(target)
        hours = [scenario.STARTS.replace(hour=scenario.EVENING_HOUR + n) for n in range(len(points) + 1)]
        asks = [AskedSetPoint(target, a, b, kw) for a, b, kw in zip(hours, hours[1:], points, strict=False)]
        self.asks = [ask for ask in self.asks if ask not in held] + asks


def nominated_kw(reports: Iterable[Json], event_id: str, zone: str) -> dict[int, tuple[float, float]]:
    """By interval what a zone would draw unmanaged and what it can do without, kW, by an event's newest nomination."""
    mine = [one for one in reports if one["eventID"] == event_id and str(one["reportName"]).startswith("nomination")]
    found: dict[int, tuple[float, float]] = {}
    for report in sorted(mine, key=lambda one: str(one["modificationDateTime"])):
        for resource in report["resources"]:
            if resource["resourceName"] == zone:
                found |= {interval["id"]: _of_interval(interval) for interval in resource["intervals"]}
    return found


def _of_interval(interval: Json) -> tuple[float, float]:
    values = {payload["type"]: payload["values"] for payload in interval["payloads"]}
    lasts = parse_duration(interval["intervalPeriod"]["duration"]).after(_EPOCH) - _EPOCH
    return float(values[BASELINE][0]) * HOUR_S / lasts.total_seconds(), float(sum(values[NOMINATION]))
