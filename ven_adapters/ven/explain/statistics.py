"""The adapter's own account of what it does: one JSON line per cycle, and a summary at the end. No car is named.

`progress.jsonl` has simulated and real time, per zone what was asked, planned and measured in kW, what it can do now at
the least and at the most, what is short and what binds, its coming day in quarter hours whenever that was worked out
anew; how many of its nodes are limited, full, broken and by how much; directives by state, opt-outs, and per event
when it was read and when directives for it were sent; `readings` has how old cars' newest readings are and how many
were asked for; `fairness` how evenly the season's burden lies on cars (`fleet.event_burden`);
`alarms` are what stands and should be seen to. `summary.json` has the totals.
"""

import collections
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from ven_adapters.contract import DirectiveState
from ven_adapters.ven.directives.rung_powers import RungPowers
from ven_adapters.ven.explain.decision_log import plain_band, plain_flexibility, plain_limits
from ven_adapters.ven.fleet.metering import Sample
from ven_adapters.ven.openadr.notifications import ReceivedNotification
from ven_adapters.ven.planning.flexibility.feasible_band import FeasibleBand
from ven_adapters.ven.planning.flexibility.shortfall import Flexibility
from ven_adapters.ven.planning.limits.report import LimitsReport
from vtn.privatefiles import private_folder

MOST_SEND_TIMES = 5_000
MOST_EVENTS, MOST_UNKNOWN = 20_000, 100_000

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class EventAccount:
    """One event: its newest version, when that was first read, when directives for it went out (Unix seconds)."""

    revision: str
    read_s: float
    zones: tuple[str, ...] = ()
    sent: int = 0
    times_s: list[float] = dataclasses.field(default_factory=list)
    last_s: float | None = None

    def plain(self) -> dict[str, Any]:
        """For a progress line."""
        first_s = self.times_s[0] if self.times_s else None
        told = {"revision": self.revision, "read_s": self.read_s, "directives": self.sent}
        return told | {"first_directive_s": first_s, "last_directive_s": self.last_s}


class AdapterStatistics:
    """Counts, and two files in `folder`."""

    def __init__(self, folder: Path, achieved: RungPowers) -> None:
        private_folder(folder)
        self._summary = folder / "summary.json"
        self._lines = (folder / "progress.jsonl").open("ab", buffering=0)
        self._failing = False
        self._achieved = achieved
        self.events: dict[str, EventAccount] = {}
        self.unknown: collections.Counter[str] = collections.Counter()
        self._unknown_seen: set[tuple[str, int, str]] = set()
        self.reports_sent = 0
        self.reports_refused = 0
        self.choices: collections.Counter[str] = collections.Counter()
        self.cycles = 0
        self.queue: Callable[[], Mapping[str, Any]] | None = None
        self.faults: Callable[[], Mapping[str, Any]] | None = None
        self.readings: Callable[[], Mapping[str, Any]] | None = None
        self.fairness: Callable[[], Mapping[str, Any]] | None = None
        self.flexibility: Mapping[str, Flexibility] = {}
        self.bands: Mapping[str, FeasibleBand] = {}
        self.limits: Mapping[str, LimitsReport] = {}
        self._zones: Mapping[str, Sample] = {}
        self._bands_told: dict[str, float] = {}

    def read(self, event_id: str, revision: str, real_s: float) -> None:
        """An event, or a new version of it, was read."""
        known = self.events.get(event_id)
        if known is None:
            self.events[event_id] = EventAccount(revision, real_s)
            if len(self.events) > MOST_EVENTS:
                del self.events[next(iter(self.events))]
        else:
            known.revision, known.read_s = revision, real_s

    def sent(self, event_id: str | None, real_s: float) -> None:
        """A directive for an event goes out."""
        known = self.events.get(event_id or "")
        if known is not None:
            known.sent += 1
            known.last_s = real_s
            if len(known.times_s) < MOST_SEND_TIMES:
                known.times_s.append(real_s)

    def take_sent(self, sent: collections.deque[tuple[str | None, float]]) -> None:
        """Directives that went out since this was last asked: for which event each, and when (Unix seconds)."""
        while sent:
            self.sent(*sent.popleft())

    def note_reports(self, sent: int, refused: int) -> None:
        """How many reports were posted in all, and how many the VTN would not have."""
        self.reports_sent, self.reports_refused = sent, refused

    def puzzled(self, event_id: str, interval_id: int, payload_type: str) -> None:
        """A payload that nobody acts on; counted once per interval."""
        key = (event_id, interval_id, payload_type)
        if key not in self._unknown_seen and len(self._unknown_seen) < MOST_UNKNOWN:
            self._unknown_seen.add(key)
            self.unknown[payload_type] += 1

    def line(
        self, now: datetime, real_s: float, zones: Mapping[str, Sample], by_state: Mapping[DirectiveState, int]
    ) -> None:
        """Append one line of progress."""
        self._zones = zones
        line = {
            "at": now,
            "real_s": real_s,
            "zones": {name: _figures(sample) | self._able(name) for name, sample in zones.items()},
            "directives_by_state": _counted(by_state),
            "powers_by_rung": self._achieved.plain(),
            "opted_out": sum(sample.opted_out for sample in zones.values()),
            "events": {event_id: event.plain() for event_id, event in self.events.items() if event.sent},
            **self._of_others(),
        }
        self._append(orjson.dumps(line, option=orjson.OPT_UTC_Z) + b"\n")

    def _able(self, zone: str) -> dict[str, Any]:
        """What a zone can do and lacks; its coming day once for each time that it was worked out."""
        able, band = self.flexibility.get(zone), self.bands.get(zone)
        found = {} if able is None else plain_flexibility(able)
        if (limits := self.limits.get(zone)) is not None:
            found["limits"] = plain_limits(limits)
        if band is not None and self._bands_told.get(zone) != band.start_s:
            self._bands_told[zone] = band.start_s
            found["band"] = plain_band(band)
        return found

    def _append(self, text: bytes) -> None:
        """Write a line; a disk that is full costs the line and nothing else."""
        try:
            whole = self._lines.write(b"\n" + text if self._failing else text) == len(text) + self._failing
        except OSError as error:
            whole = False
            if not self._failing:
                _log.warning("no progress is written: %s", error.strerror)
        self._failing = not whole

    def _of_others(self) -> dict[str, Any]:
        found = {} if self.queue is None else {"queue": dict(self.queue())}
        found |= {} if self.readings is None else {"readings": dict(self.readings())}
        found |= {} if self.fairness is None else {"fairness": dict(self.fairness())}
        return found if self.faults is None else found | dict(self.faults())

    def abandon(self) -> None:
        """Let go of the file of an adapter that never began."""
        self._lines.close()

    def close(
        self,
        now: datetime,
        real_s: float,
        by_state: Mapping[DirectiveState, int],
        confirmed: int,
        heard: Iterable[ReceivedNotification],
    ) -> None:
        """Write the last line, and the summary whole or not at all."""
        self.line(now, real_s, self._zones, by_state)
        self.abandon()
        told = [item for item in heard if item.object_type == "EVENT"]
        summary = {
            "at": now,
            "cycles": self.cycles,
            "directives_by_state": _counted(by_state),
            "directives_confirmed": confirmed,
            "powers_by_rung": self._achieved.plain(),
            "reports_sent": self.reports_sent,
            "reports_refused": self.reports_refused,
            "unknown_payload_types": dict(self.unknown),
            "driver_choices": dict(self.choices),
            "notifications": [(item.object_id, item.operation) for item in told],
            "notification_times_s": [item.real_s for item in told],
            "events": {
                event_id: event.plain() | {"directive_times_s": event.times_s}
                for event_id, event in self.events.items()
            },
            **self._of_others(),
        }
        part = self._summary.with_suffix(".part")
        try:
            part.write_bytes(orjson.dumps(summary, option=orjson.OPT_UTC_Z | orjson.OPT_INDENT_2))
            part.replace(self._summary)
        except OSError as error:
            _log.warning("no summary is written: %s", error.strerror)


def _counted(by_state: Mapping[DirectiveState, int]) -> dict[str, int]:
    return {state.value: count for state, count in by_state.items() if count}


def _figures(sample: Sample) -> dict[str, Any]:
    return {
        "asked_kw": sample.asked_kw,
        "planned_kw": None if sample.planned_kw is None else round(sample.planned_kw, 2),
        "measured_kw": round(sample.power_kw, 2),
        "cars": sample.members,
        "measured": sample.measured,
        "plugged": sample.plugged,
        "charging": sample.charging,
        "discharging": sample.discharging,
        "held_back": sample.held_back,
        "opted_out": sample.opted_out,
        "alarmed": sample.alarmed,
    }
