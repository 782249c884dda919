"""What an operator should know of a station: a clock that is wrong, and what we do not use. Said once, always counted.

A clock ahead shows by any timestamp; one behind only by what was surely made just now, because a station may queue
while it is offline. A clock that is out is never corrected for: what it stamps proves nothing until it is right.
"""

import collections
import logging
from collections.abc import Mapping
from datetime import datetime

from ven_adapters.lifecycle.evidence import CLOCKS_AGREE, is_ahead, is_believable
from ven_adapters.transport.ocpp21.stations.charging_points import Station

CLOCK_BEHIND_S = 900.0
MOST_TOPICS = 200
SAME_CLOCK_S = 300.0
_SIZES = ((172_800.0, 86_400.0, "days"), (3_600.0, 3_600.0, "h"), (0.0, 60.0, "min"))

_log = logging.getLogger(__name__)


def clock_offset_s(before_s: float, at: datetime, heard: datetime, *, live: bool, queued: bool) -> float:
    """How far a station's clock is ahead (below zero: behind), after a timestamp `at` that was heard at `heard`.

    `live`: made just now for certain; `queued`: the station says that it was made earlier. Within the limits it is 0.
    """
    ahead_s = (at - heard).total_seconds()
    out = is_ahead(at, heard) or not is_believable(at, heard)
    if out or (live and ahead_s < -CLOCK_BEHIND_S):
        return before_s if abs(ahead_s - before_s) < SAME_CLOCK_S else ahead_s
    plausible = not queued and ahead_s >= -CLOCKS_AGREE.total_seconds()
    return 0.0 if live or plausible else before_s


def clock_text(offset_s: float) -> str | None:
    """In words, or None for a clock that is right."""
    if offset_s == 0.0:
        return None
    unit_s, unit = next((unit_s, unit) for least_s, unit_s, unit in _SIZES if abs(offset_s) >= least_s)
    size = round(abs(offset_s) / unit_s, 1 if unit == "h" else None)
    return f"the station's clock is {size:g} {unit} {'ahead' if offset_s > 0 else 'behind'}"


class StationNotices:
    """Counts by station and topic; the first of each is logged. Topics are our own words, or bounded ones of a peer."""

    def __init__(self) -> None:
        self._counts: collections.defaultdict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self._clocks: dict[str, str | None] = {}

    def counts(self, station: str) -> Mapping[str, int]:
        """How often each topic was met at a station."""
        return dict(self._counts[station])

    def count(self, station: str, topic: str) -> None:
        """Something was passed over."""
        mine = self._counts[station]
        if topic not in mine:
            topic = topic if len(mine) < MOST_TOPICS else "something else"
        if topic not in mine:
            _log.warning("station %s: %s (said once, counted on)", station, topic)
        mine[topic] += 1

    def clock(self, name: str, station: Station, *, has_offset: bool) -> None:
        """Say how a station's clock stands, when it went out of the limits or came back into them."""
        text = clock_text(station.clock_offset_s)
        before, self._clocks[name] = self._clocks.get(name), text
        if (text is None) is (before is None):
            return
        if text is None:
            _log.warning("station %s: its clock is right again", name)
            return
        why = "" if has_offset else " (its times have no offset from UTC, and are read as UTC)"
        _log.warning("station %s: %s%s; until it is right its readings prove nothing", name, text, why)
