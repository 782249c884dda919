"""What was measured: energy with what of it is estimated, when a report is corrected, and the end of a cancelled event.

A report is corrected once, hours later, when readings that came late moved a figure by more than a twentieth. An event
that is cancelled or shortened while it is in force still owes what was measured of it until then.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.fleet.columns import Tri
from ven_adapters.ven.fleet.metering import Energy
from ven_adapters.ven.openadr.vtn_objects import ReadEvent
from ven_adapters.ven.reporting.reports import KINDS, Wanted
from vtn.rules.timeline import DueReport, Window, lifespan_end, windows
from vtn.wire.enumerations import ReportPayload

Json = dict[str, Any]

CORRECTED_AFTER = timedelta(hours=2)
CORRECTED_SHARE, LEAST_CORRECTED_KWH = 0.05, 0.5
LONGEST_MEASURED = timedelta(hours=48)
MOST_WINDOWS = 1_024
_ENERGIES = frozenset({ReportPayload.USAGE.value, ReportPayload.DEMAND.value})

Told = Mapping[tuple[str, int, str, str], float]


def measured_energy(fleet_state: FleetState, part: str, start_s: float, end_s: float) -> tuple[Energy, float]:
    """What a part of a zone drew and fed over a window, and the share of it that rests on no fresh reading, 0 to 1.

    Cars at their plugs that no reading reaches are taken to do as measured cars of which plans expect the same: the
    error is zero on the average whichever cars are not heard of (`zone_control.unread_kw`).
    """
    meter, fleet = fleet_state.meter, fleet_state.fleet
    energy, rows = meter.energy(part, start_s, end_s), fleet.zone_rows(part)
    plugged, at_home = (fleet.read(name, rows) for name in ("plugged", "at_home"))
    rows = rows[(plugged == Tri.YES) & (at_home != Tri.NO)]
    since_s = fleet.read("plugged_since_s", rows)
    covered = meter.coverage(rows, since_s, (start_s, end_s), fleet_state.old_after_s)
    if covered.unread_h > 0:
        more_kwh = covered.unread_h * meter.unread_kw(part, start_s, end_s)
        energy = Energy(energy.imported_kwh + more_kwh, energy.exported_kwh)
    return energy, covered.estimated_share


def energies_in(body: Json) -> Told:
    """The energies and mean powers that a report told, by resource, interval, its start and the payload type."""
    return {
        (entry["resourceName"], interval["id"], interval["intervalPeriod"]["start"], payload["type"]): value
        for entry in body["resources"]
        for interval in entry["intervals"]
        for payload in interval["payloads"]
        for value in payload["values"][:1]
        if payload["type"] in _ENERGIES
    }


def needs_correction(told: Told, now: Told) -> bool:
    """Whether a figure that was told has moved by more than a twentieth, and by more than a trifle."""
    return any(
        abs(now[key] - before) > max(LEAST_CORRECTED_KWH, CORRECTED_SHARE * abs(before))
        for key, before in told.items()
        if key in now
    )


def was_ended(before: ReadEvent, after: ReadEvent | None, now: datetime, seed: str) -> bool:
    """Whether an event was in force as it was read before, and a new version of it, or that it is gone, ended it."""
    if after is not None and (after.event == before.event or lifespan_end(after.event) > now):
        return False
    return next(_measured(before, now, seed, running=True), None) is not None


def until_its_end(read: ReadEvent, now: datetime, seed: str) -> tuple[Wanted, ...]:
    """What an event that was ended now still owes: per descriptor about the past, what was measured until now."""
    found = [one for one in (read.event.report_descriptors or ()) if one.payload_type in KINDS]
    cut = tuple(_measured(read, now, seed, running=False))
    return tuple(Wanted(one, DueReport(now, 0, cut)) for one in found if one.historical is not False and cut)


def _measured(read: ReadEvent, now: datetime, seed: str, *, running: bool) -> Iterator[Window]:
    """An event's intervals that began before now, the one in force cut at now; `running`: that one alone."""
    since, until = (now, now + timedelta(seconds=1)) if running else (now - LONGEST_MEASURED, now)
    every = windows(read.event, read_at=read.read_at, since=since, until=until, seed=seed)
    last: Window | None = None
    for number, window in enumerate(every):
        if number == MOST_WINDOWS or window.start >= now:
            break
        cut = dataclasses.replace(window, end=min(window.end, now))
        if last is not None and last.position == cut.position:
            last = dataclasses.replace(last, end=cut.end)
            continue
        if last is not None:
            yield last
        last = cut
    if last is not None:
        yield last


def others(
    reads: Mapping[str, ReadEvent], events: Mapping[str, ReadEvent]
) -> Sequence[tuple[ReadEvent, ReadEvent | None]]:
    """Every event that was read before and is not there as it was, with what it is now."""
    return [(read, events.get(key)) for key, read in reads.items() if events.get(key) is not read]
