"""What later messages of a transaction need to be understood: at which EVSE it runs, how far it was told, if it ended.

A station names the EVSE of a transaction once (E01.FR.16), and tells the rest by the transaction's id; so the place is
on disk before the message that named it is answered. `seqNo` orders what one transaction tells, and nothing follows its
end. A transaction that began before we knew of it is placed by the EVSE that was just asked for an event, or is that of
a station's only EVSE; a guess that could be wrong is not made.
"""

import asyncio
import collections
import dataclasses
import json
import logging
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from vtn.privatefiles import write_private

KEPT_PER_STATION = 32
LINES = 20_000
NUMBERED_FROM = datetime(2020, 1, 1, tzinfo=UTC)
LARGEST_NUMBER = 2**31 - 2

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class TransactionRecord:
    """One transaction of a station: its EVSE, the highest `seqNo` that was told, and whether it has ended."""

    evse: int
    seq_no: int
    ended: bool = False


class TransactionLog:
    """The newest transactions of every station; `path` None keeps nothing beyond this life."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._lines = self._number = 0
        self._by_station: collections.defaultdict[str, collections.OrderedDict[str, TransactionRecord]] = (
            collections.defaultdict(collections.OrderedDict)
        )

    def open(self, stations: Iterable[str]) -> None:
        """Take up what an earlier life was told; a line that cannot be read, as a crash leaves one, is passed over."""
        if self._path is None:
            return
        known = frozenset(stations)
        for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
            try:
                station, transaction, evse, seq_no, ended = json.loads(line)
                record = TransactionRecord(int(evse), int(seq_no), bool(ended))
            except (ValueError, TypeError, OverflowError, RecursionError):
                continue
            if isinstance(station, str) and station in known and isinstance(transaction, str):
                self._keep(station, transaction, record)
        self._rewrite()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def find(self, station: str, transaction: str) -> TransactionRecord | None:
        """What is known of a transaction."""
        return self._by_station[station].get(transaction)

    def running(self, station: str, evse: int) -> str | None:
        """The newest transaction at an EVSE, if it has not ended."""
        mine = self._by_station[station]
        newest = next((one for one in reversed(mine) if mine[one].evse == evse), None)
        return None if newest is None or mine[newest].ended else newest

    def next_number(self, now: datetime) -> int:
        """A transaction's number that was never given before, where it is the central system that gives them.

        Above every number on record, and not below the seconds since 2020: so no number comes twice where the record
        was lost. It fits in 31 bits until 2088.
        """
        numbers = (int(one) for mine in self._by_station.values() for one in mine if one.isascii() and one.isdecimal())
        taken = max((one for one in numbers if one <= LARGEST_NUMBER), default=0)
        self._number = max(taken, self._number, int((now - NUMBERED_FROM).total_seconds())) + 1
        return self._number

    def evses(self, station: str) -> frozenset[int]:
        """The EVSEs at which a station has told transactions."""
        return frozenset(record.evse for record in self._by_station[station].values())

    def note(self, station: str, transaction: str, record: TransactionRecord) -> None:
        """Keep a record; what a restart must not lose is on disk when this returns. OSError when it cannot be."""
        before = self.find(station, transaction)
        if before is None or (before.evse, before.ended) != (record.evse, record.ended):
            self._append(_line(station, transaction, record))
        self._keep(station, transaction, record)
        if self._lines > LINES:
            self._shorten()

    def _keep(self, station: str, transaction: str, record: TransactionRecord) -> None:
        mine = self._by_station[station]
        mine[transaction] = record
        mine.move_to_end(transaction)
        if len(mine) > KEPT_PER_STATION:
            mine.popitem(last=False)

    def _append(self, line: bytes) -> None:
        if self._file is not None:
            self._file.write(b"\n" + line)  # whatever a full disk left half written stays a line of its own
            self._file.flush()
            os.fsync(self._file.fileno())
            self._lines += 1

    def _shorten(self) -> None:
        """Rewrite the file short; where there is no room for a second one, it grows on until there is."""
        try:
            self._rewrite()
        except OSError as error:
            self._lines = 0
            _log.warning("the file of transactions could not be shortened: %s", error.strerror)

    def _rewrite(self) -> None:
        if self._path is None:
            return
        rows = [_line(name, one, record) for name, mine in self._by_station.items() for one, record in mine.items()]
        write_private(self._path, b"".join(rows))
        before, self._file, self._lines = self._file, self._path.open("ab"), 0
        if before is not None:
            before.close()


def _line(station: str, transaction: str, record: TransactionRecord) -> bytes:
    return json.dumps([station, transaction, record.evse, record.seq_no, record.ended]).encode() + b"\n"


def is_end(event: Mapping[str, Any]) -> bool:
    """Whether a TransactionEvent is the last of its transaction; a cable that is out ends it whatever the type says."""
    reason = event["transactionInfo"].get("stoppedReason")
    return bool(event["eventType"] == "Ended" or reason == "EVDisconnected")


def made_now(event: Mapping[str, Any]) -> bool:
    """Whether a TransactionEvent was surely made just now: it answers our TriggerMessage, or tells a live beginning."""
    fresh = event["triggerReason"] == "Trigger" or event["eventType"] == "Started"
    return bool(fresh and not event.get("offline", False))


class PendingTriggers:
    """Which EVSE of a station was asked for a transaction event, one at a time; its answer need not name the EVSE.

    An answer that did not come in its time may still come, and would be taken for another's: from then on nothing is
    concluded from triggers until the station has connected again.
    """

    def __init__(self) -> None:
        self._pending: dict[str, tuple[int, asyncio.Event]] = {}
        self._spoilt: set[str] = set()

    def begin(self, station: str, evse: int) -> asyncio.Event:
        """An EVSE is about to be asked; the event is set once it has answered."""
        answered = asyncio.Event()
        self._pending[station] = evse, answered
        return answered

    def end(self, station: str, *, lost: bool = False) -> None:
        """It answered, refused, or (`lost`) let the time pass."""
        self._pending.pop(station, None)
        if lost:
            self._spoilt.add(station)

    def renew(self, station: str) -> None:
        """A new connection: what was asked on the older one is not answered on this."""
        self._pending.pop(station, None)
        self._spoilt.discard(station)

    def evse(self, station: str) -> int | None:
        """The one EVSE that an event may come from which names none."""
        pending = self._pending.get(station)
        return None if pending is None or station in self._spoilt else pending[0]

    def heard(self, station: str, evse: int) -> None:
        """A triggered event of this EVSE came."""
        pending = self._pending.get(station)
        if pending is not None and pending[0] == evse:
            pending[1].set()
