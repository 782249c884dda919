"""Which alarms of their inverters stations have told and not taken back, kept through a restart of ours.

A station tells an alarm once. Forgotten, it would let a battery feed a grid that is in trouble; so what is on disk
stands until its station says that it has ended. A file that cannot be read is an alarm of every station, until
its owner has looked and taken it away.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import orjson

from ven_adapters.transport.ocpp21.stations.charging_points import Station
from vtn.privatefiles import write_private

UNREADABLE = "the record of alarms cannot be read"


class Alarms:
    """The stations that have ever told of one; `path` None keeps nothing, which is for tests and try-outs."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._told: dict[str, tuple[frozenset[str], datetime | None]] = {}

    def station(self, name: str, now: datetime) -> Station:
        """A station as it is known before it has said a word."""
        alarms, at = self._told.get(name, (frozenset(), None))
        return Station(alarms=alarms, alarmed_at=None if at is None else min(at, now))

    def read(self, names: Mapping[str, object], now: datetime) -> None:
        """Take up what an earlier life was told."""
        if self._path is None or not self._path.exists():
            return
        try:
            raw = orjson.loads(self._path.read_bytes())
            self._told = {str(name): (frozenset(map(str, of)), datetime.fromisoformat(at)) for name, (of, at) in raw}
        except (orjson.JSONDecodeError, TypeError, ValueError):
            self._told = {name: (frozenset({UNREADABLE}), now) for name in names}

    def note(self, name: str, station: Station) -> None:
        """What a station told; on disk when this returns. OSError when it cannot be, and the next call tries again."""
        if self._told.get(name, (frozenset(), None)) == (station.alarms, station.alarmed_at):
            return
        told = self._told | {name: (station.alarms, station.alarmed_at)}
        if self._path is not None:
            rows = [(one, [sorted(of), at]) for one, (of, at) in told.items()]
            write_private(self._path, orjson.dumps(rows, option=orjson.OPT_UTC_Z))
        self._told = told
