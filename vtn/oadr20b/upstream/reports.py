"""Reports towards the utility: what can be asked for, what is asked for, and what is due.

The figures are those that our VENs report on the utility's standing event, summed over all of them and, where settings
name resources, for these alone. Specifiers and rIDs are made of names and never change. What was sent is written down
after the utility took it, so what may have been lost is sent again with the same ids.
"""

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic

from vtn.client import Client
from vtn.oadr20b.codec.encode import metadata_values, pending_values, response_values
from vtn.oadr20b.codec.messages import (
    ZERO,
    Code,
    EiResponse,
    EiTarget,
    MetadataReport,
    OadrMessage,
    OadrReport,
    OadrReportRequest,
    ReportDescription,
    ReportPoint,
)
from vtn.oadr20b.mapping.events_up import reports_program
from vtn.oadr20b.mapping.report_types import ITEMS
from vtn.oadr20b.mapping.reports import (
    STANDING,
    Figure,
    figures,
    newest_of,
    points_of,
    standing_event,
    status_of,
    summed,
)
from vtn.oadr20b.store.database import BridgeStore, parse_at, print_at
from vtn.oadr20b.store.tables import PLACES, UP_REQUEST
from vtn.oadr20b.upstream.link import LinkFailed, UtilityLink
from vtn.oadr20b.upstream.settings import UtilitySettings
from vtn.oadr20b.vtn_client import ensure_program, exists, find_event
from vtn.wire.enumerations import ObjectType
from vtn.wire.report import ReportRequest

USAGE, STATUS, HISTORY = "TELEMETRY_USAGE", "TELEMETRY_STATUS", "HISTORY_USAGE"
KINDS = {"power": ("demand", "DEMAND", "powerReal", "Mean"), "energy": ("usage", "USAGE", "energyReal", "Direct Read")}
ASKED = (("DEMAND", None), ("USAGE", None), ("OPERATING_STATE", None), ("LOAD_SHED_DELTA_AVAILABLE", None))
LEAST_PERIOD, MOST_PERIOD = timedelta(seconds=10), timedelta(days=1)
MOST_POINTS = 20_000
AGAIN = timedelta(seconds=60)
_REQUEST = pydantic.TypeAdapter(OadrReportRequest)
log = logging.getLogger("vtn.oadr20b.upstream")


@dataclasses.dataclass(frozen=True, slots=True)
class HeldRequest:
    """A report that the utility asked for: when the next one is due, and how far it was told."""

    request: OadrReportRequest
    due_at: datetime
    sent_until: datetime | None = None
    done: bool = False


def specifier(name: str, kind: str) -> str:
    """The reportSpecifierID of a kind of report: the same for ever."""
    return f"{name}-{kind.lower().replace('_', '-')}"


def metadata(name: str, ven_id: str, utility: UtilitySettings, now: datetime) -> tuple[MetadataReport, ...]:
    """What can be asked for."""
    places: list[tuple[str, EiTarget]] = [("", EiTarget("venID", ven_id))]
    places += [(f"/{resource}", EiTarget("resourceID", resource)) for resource in utility.resources]
    values = tuple(
        ReportDescription(
            f"{kind}{suffix}",
            report_type,
            reading,
            ITEMS[item],
            None,
            (source,),
            None,
            utility.granularity,
            MOST_PERIOD,
        )
        for suffix, source in places
        for kind, (report_type, _, item, reading) in KINDS.items()
    )
    states = tuple(
        ReportDescription(
            f"status{suffix}",
            "x-resourceStatus",
            "x-notApplicable",
            None,
            None,
            (source,),
            None,
            LEAST_PERIOD,
            MOST_PERIOD,
        )
        for suffix, source in places
    )
    return (
        MetadataReport(specifier(name, USAGE), f"METADATA_{USAGE}", values, now, timedelta(days=1)),
        MetadataReport(specifier(name, STATUS), f"METADATA_{STATUS}", states, now, timedelta(days=1)),
        MetadataReport(specifier(name, HISTORY), f"METADATA_{HISTORY}", values, now, timedelta(days=365)),
    )


def resampled(found: Sequence[Figure], granularity: timedelta, kind: str) -> list[Figure]:
    """Figures of finer intervals as those of a coarser granularity: energy added up, power averaged over time.

    Only what is whole is told: an interval that is not covered to its end is left for later.
    """
    if granularity <= ZERO or all(one.end - one.start >= granularity for one in found):
        return list(found)
    bins: dict[datetime, list[Figure]] = defaultdict(list)
    step_s = granularity.total_seconds()
    for one in found:
        number = (one.start.timestamp() + 1e-6) // step_s
        bins[datetime.fromtimestamp(number * step_s, UTC)].append(one)
    made = []
    for start, ones in sorted(bins.items()):
        end = start + granularity
        if max(one.end for one in ones) < end:
            continue
        hours = [(one.end - one.start).total_seconds() / 3600.0 for one in ones]
        total = sum(
            one.values[0] * (1.0 if kind == "energy" else share) for one, share in zip(ones, hours, strict=True)
        )
        value = total if kind == "energy" else total / sum(hours)
        quality = "ESTIMATED" if any(one.quality == "ESTIMATED" for one in ones) else "OK"
        made.append(Figure(ones[0].resource, ones[0].payload, start, end, (round(value, 6),), quality))
    return made


class UpstreamReports:
    """The reports of one utility."""

    def __init__(self, link: UtilityLink, utility: UtilitySettings, vtn: Client, store: BridgeStore) -> None:
        self._link = link
        self._utility = utility
        self._vtn = vtn
        self._store = store
        self.held: dict[str, HeldRequest] = {}

    async def load(self) -> None:
        """Read what was asked for before the process ended."""
        rows = await self._store.rows(UP_REQUEST, name=self._link.name)
        self.held = {
            row["request_id"]: HeldRequest(
                _REQUEST.validate_json(row["document"]),
                parse_at(row["due_at"]),
                parse_at(row["sent_until"]) if row["sent_until"] else None,
                row["done"],
            )
            for row in rows
        }

    # --- what our VENs reported ---------------------------------------------------------------------------------------

    async def standing_id(self, now: datetime) -> str:
        """The utility's standing event, on which our VENs report; made once, and again when somebody deleted it."""
        name = f"20b:{self._link.name}:standing"
        row = await self._store.row(PLACES, name=name)
        if row is not None and await exists(self._vtn, ObjectType.EVENT, row["object_id"]):
            return str(row["object_id"])
        program_id = await ensure_program(self._vtn, reports_program(self._link.name))
        object_id = await find_event(self._vtn, program_id, STANDING)
        if object_id is None:
            start = now.replace(minute=0, second=0, microsecond=0)
            every = timedelta(seconds=self._utility.report_every_s)
            content = standing_event(program_id, start, ASKED, self._utility.granularity, every)
            object_id = str((await self._vtn.create(ObjectType.EVENT, content))["id"])
        await self._store.write(self._store.put(PLACES, [{"name": name, "object_id": object_id}]))
        return object_id

    async def reported(self, event_id: str) -> list[Figure]:
        """Everything that was reported on an event of our VTN, the newest last, but for what cannot be read."""
        found: list[Figure] = []
        for raw in newest_of(await self._vtn.search(ObjectType.REPORT, eventID=event_id)):
            try:
                found += figures(ReportRequest.model_validate(raw))
            except pydantic.ValidationError:
                log.warning("%s: the report %s cannot be read", self._link.name, raw["id"])
        return found

    # --- what the utility asks ----------------------------------------------------------------------------------------

    async def register(self, ven_id: str, request_id: str, now: datetime) -> None:
        """Say what can be asked for, and take what is asked for in the answer."""
        offered = metadata(self._link.name, ven_id, self._utility, now)
        reply = await self._link.exchange(
            "EiReport",
            "oadrRegisterReport",
            request_id=request_id,
            reports=[metadata_values(one) for one in offered],
            ven_id=ven_id,
        )
        if reply is not None and reply.requests:
            await self.take(reply, ven_id, now)

    async def take(self, message: OadrMessage, ven_id: str, now: datetime) -> None:
        """Keep what is asked for, and say so; a report that was never offered is refused with 461."""
        offered = {
            one.specifier_id: {point.r_id for point in one.descriptions}
            for one in metadata(self._link.name, ven_id, self._utility, now)
        }
        good: list[OadrReportRequest] = []
        bad: list[OadrReportRequest] = []
        for request in message.requests:
            known = offered.get(request.specifier_id, set())
            (good if request.r_ids and all(r_id in known for r_id, _ in request.r_ids) else bad).append(request)
        for request in good:
            held = self.held.get(request.request_id)
            if held is None or held.request != request:
                goes_on = request.start is None and request.report_back > ZERO
                await self._keep(HeldRequest(request, _first_due(request, now), now if goes_on else None))
        answer = EiResponse(request_id=message.request_id)
        if bad:
            answer = EiResponse(Code.REPORT_NOT_SUPPORTED, "the report was never offered", message.request_id)
        await self._link.exchange(
            "EiReport",
            "oadrCreatedReport",
            response=response_values(answer),
            pending_reports=pending_values(self._pending()),
            ven_id=ven_id,
        )

    async def cancel(self, message: OadrMessage, ven_id: str) -> None:
        """Send no more of what is cancelled; a last report follows where that is asked for."""
        for request_id in message.report_request_ids:
            held = self.held.get(request_id)
            if held is not None:
                last = dataclasses.replace(held.request, report_back=ZERO)
                ended = dataclasses.replace(held, done=not message.report_to_follow, request=last)
                await self._keep(ended)
        await self._link.exchange(
            "EiReport",
            "oadrCanceledReport",
            response=response_values(EiResponse(request_id=message.request_id)),
            pending_reports=pending_values(self._pending()),
            ven_id=ven_id,
        )

    def _pending(self) -> list[str]:
        return [request_id for request_id, held in self.held.items() if not held.done]

    # --- what is due --------------------------------------------------------------------------------------------------

    async def settle(self, ven_id: str, request_id: str, standing: Sequence[Figure], now: datetime) -> None:
        """Send every report that is due; what the utility took is written down."""
        for key, held in list(self.held.items()):
            if held.done or held.due_at > now:
                continue
            report, until = self._report(held, standing, now)
            if report.points:
                try:
                    reply = await self._link.exchange(
                        "EiReport", "oadrUpdateReport", request_id=request_id, reports=[report], ven_id=ven_id
                    )
                except LinkFailed as error:  # it keeps no other from being sent, and is sent again with what follows
                    log.warning("the report %s is not taken: %s", report.specifier_id, error)
                    wait = max(held.request.report_back, AGAIN)
                    await self._keep(dataclasses.replace(held, due_at=now + wait))
                    continue
                for cancelled in reply.report_request_ids if reply is not None else ():
                    if cancelled in self.held:
                        await self._keep(dataclasses.replace(self.held[cancelled], done=True))
            await self._keep(_sent(self.held[key], until, now))

    def _report(
        self, held: HeldRequest, standing: Sequence[Figure], now: datetime
    ) -> tuple[OadrReport, datetime | None]:
        """The report that is due, and up to when it tells."""
        request = held.request
        name = {specifier(self._link.name, kind): kind for kind in (USAGE, STATUS, HISTORY)}[request.specifier_id]
        first = request.start
        until = now if request.start is None or not request.duration else min(now, request.start + request.duration)
        points: list[ReportPoint] = []
        for r_id, _ in request.r_ids:
            kind, _, resource = r_id.partition("/")
            if name == STATUS:
                status = status_of(standing, resource or None)
                points += [ReportPoint(r_id, now.replace(microsecond=0), status[1])] if status is not None else []
                continue
            known = summed(standing, KINDS[kind][1], resource or None)
            fitting = resampled(known, request.granularity, kind)
            points += points_of(fitting, r_id, held.sent_until or first, until)
        points = sorted(points, key=lambda one: one.start)[-MOST_POINTS:]
        told = max((one.start + (one.duration or ZERO) for one in points), default=held.sent_until)
        start = points[0].start if points else None
        report_id = f"{request.request_id}-{int((start or now).timestamp())}"
        return (
            OadrReport(
                request.request_id, request.specifier_id, name, tuple(points), now, report_id, start, apart=True
            ),
            told if name != STATUS else held.sent_until,
        )

    async def _keep(self, held: HeldRequest) -> None:
        row: dict[str, Any] = {
            "name": self._link.name,
            "request_id": held.request.request_id,
            "due_at": print_at(held.due_at),
            "sent_until": print_at(held.sent_until) if held.sent_until is not None else None,
            "done": held.done,
            "document": _REQUEST.dump_json(held.request).decode(),
        }
        await self._store.write(self._store.put(UP_REQUEST, [row]))
        self.held[held.request.request_id] = held

    async def forget(self) -> None:
        """Drop requests that are over."""
        await self._store.write(self._store.drop(UP_REQUEST, name=self._link.name, done=True))
        self.held = {key: held for key, held in self.held.items() if not held.done}


def _first_due(request: OadrReportRequest, now: datetime) -> datetime:
    """A history is due at once; telemetry after the first report-back, from its own start on."""
    start = request.start if request.start is not None else now
    if request.report_back == ZERO:
        return now
    return max(now, start) + request.report_back


def _sent(held: HeldRequest, until: datetime | None, now: datetime) -> HeldRequest:
    request = held.request
    over = request.start is not None and request.duration and now >= request.start + request.duration
    if held.done or request.report_back == ZERO or over:
        return dataclasses.replace(held, sent_until=until, done=True)
    due_at = held.due_at + request.report_back
    if due_at <= now:  # what was missed is in this report already
        due_at = now + request.report_back
    return dataclasses.replace(held, sent_until=until, due_at=due_at)
