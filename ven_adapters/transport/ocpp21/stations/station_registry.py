"""The register of stations and charging points: the newest that each told, and who is to hear of a change."""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.ocpp21.frames import VERSION, Payload
from ven_adapters.transport.ocpp21.stations import charging_points
from ven_adapters.transport.ocpp21.stations.charging_points import ChargingPoint, RegisteredPoint, Station
from ven_adapters.transport.ocpp21.stations.inverter_alarms import Alarms
from ven_adapters.transport.ocpp21.stations.meter_values import instant, stamp
from ven_adapters.transport.ocpp21.stations.operator_notices import StationNotices, clock_offset_s
from ven_adapters.transport.ocpp21.stations.transactions import (
    PendingTriggers,
    TransactionLog,
    TransactionRecord,
    is_end,
)
from vtn.clock import Clock


class Owner(Protocol):
    """Who hears of changes."""

    def changed(self, ref: str) -> None:
        """Something about a car's charging point or its station changed."""

    def back(self, ref: str) -> None:
        """The station of a car can be spoken to again, and has said what it can do."""

    def prior(self, ref: str, *, on: bool) -> None:
        """A driver asked the station for priority charging, or gave it up."""

    def late(self, station: str, action: str, payload: Payload, answer: Payload) -> None:
        """An answer came after its question was given up."""


class Register:
    """One value per station and per charging point; `put` replaces a value and tells the owner."""

    def __init__(
        self,
        stations: Iterable[str],
        places: Iterable[RegisteredPoint],
        clock: Clock,
        owner: Owner,
        alarms: Alarms,
        transactions: TransactionLog,
    ) -> None:
        self.clock = clock
        self.owner = owner
        self.notices = StationNotices()
        self.triggers = PendingTriggers()
        self._alarms = alarms
        self._transactions = transactions
        self._evses: dict[str, set[int]] = {}
        self._starts: dict[tuple[str, int], tuple[Payload, int]] = {}
        self._stations = {station: alarms.station(station, clock.now()) for station in stations}
        self._points = {place.ref: charging_points.new_point(place) for place in places}
        self._refs: dict[str, dict[int, str]] = {station: {} for station in self._stations}
        for ref, point in self._points.items():
            self._refs[point.place.station][point.place.evse] = ref

    def point(self, ref: str) -> ChargingPoint:
        """A car's charging point; INVALID_REQUEST for a car that is not registered."""
        if ref not in self._points:
            raise BackendError(ErrorCode.INVALID_REQUEST, "vehicle_ref: is not known")
        return self._points[ref]

    def station(self, name: str) -> Station:
        """A station."""
        return self._stations[name]

    def refs(self, station: str) -> list[str]:
        """The cars at a station."""
        return list(self._refs[station].values())

    def evses_of(self, station: str) -> list[int]:
        """The EVSEs of the cars at a station."""
        return list(self._refs[station])

    def at(self, station: str, evse: int) -> ChargingPoint | None:
        """The point of an EVSE, if a car is registered there."""
        ref = self._refs[station].get(evse)
        return None if ref is None else self._points[ref]

    def with_transaction(self, station: str, transaction: str) -> ChargingPoint | None:
        """The point at which a transaction runs."""
        record = self._transactions.find(station, transaction)
        point = None if record is None or record.ended else self.at(station, record.evse)
        runs = point is not None and point.transaction in (None, transaction) and point.stranger != transaction
        return point if runs else None

    def place_event(self, station: str, event: Mapping[str, Any]) -> tuple[int, int | None] | None:
        """The EVSE of a TransactionEvent and the highest `seqNo` told before, noted down; None when it means nothing.

        It means nothing when its transaction has ended, and when no EVSE can be found for it: that is counted and said.
        """
        transaction = event["transactionInfo"]["transactionId"]
        before = self._transactions.find(station, transaction)
        evse = event.get("evse", {}).get("id") or self._evse_of(station, before, event)
        if evse is None:
            self.notices.count(station, "a transaction event names no EVSE, and which one is meant is not known")
            now = self._stations[station]
            self.put_station(station, dataclasses.replace(now, unplaced=now.unplaced + 1))
            return None
        self._evses.setdefault(station, set()).add(evse)
        if event["triggerReason"] == "Trigger":
            self.triggers.heard(station, evse)
        if before is not None and before.ended:
            return None
        last_seq = None if before is None else before.seq_no
        newest = event["seqNo"] if last_seq is None else max(last_seq, event["seqNo"])
        after = TransactionRecord(evse, newest, is_end(event))
        self._transactions.note(station, transaction, after)
        return evse, last_seq

    def end_transaction(self, station: str, transaction: str) -> None:
        """Another one began at its EVSE: whatever else is told of it comes late."""
        before = self._transactions.find(station, transaction)
        if before is not None and not before.ended:
            self._transactions.note(station, transaction, dataclasses.replace(before, ended=True))

    # Where the central system numbers the transactions (OCPP 1.6J).

    def begin_transaction(self, station: str, evse: int, start: Payload) -> int:
        """A number for a transaction that begins; the same one for a start that is said again."""
        before = self._starts.get((station, evse))
        if before is None or before[0] != start:
            before = start, self._transactions.next_number(self.clock.now())
            self._starts[station, evse] = before
        return before[1]

    def running_transaction(self, station: str, evse: int) -> str | None:
        """The transaction that runs at an EVSE, a stranger's too, as far as was ever told."""
        return self._transactions.running(station, evse)

    def heard_trigger(self, station: str, evse: int) -> None:
        """An EVSE that was asked for its readings told them."""
        self.triggers.heard(station, evse)

    def now_text(self) -> str:
        """Our time, as OCPP writes it."""
        return stamp(self.clock.now())

    def age_s(self, at: str) -> float:
        """How long ago an instant was; ValueError for what is none."""
        return (self.clock.now() - instant(at)).total_seconds()

    def _evse_of(self, station: str, before: TransactionRecord | None, event: Mapping[str, Any]) -> int | None:
        """Where a transaction runs that does not say so: where it ran, where we asked, or the only place there is."""
        if before is not None:
            return before.evse
        asked = self.triggers.evse(station)
        if asked is not None and event["triggerReason"] == "Trigger":
            return asked
        mine = self._refs[station]
        if len(mine) != 1 or self.point(next(iter(mine.values()))).transaction is not None:
            return None
        told = self._evses.get(station, set()) | self._transactions.evses(station)
        return next(iter(mine)) if told <= mine.keys() else None

    def saw_evse(self, station: str, evse: int) -> None:
        """A station named an EVSE of its own; 0 is the station itself."""
        if evse:
            self._evses.setdefault(station, set()).add(evse)

    def saw_time(self, station: str, at: datetime, *, live: bool, queued: bool, has_offset: bool) -> bool:
        """A station stamped a message; True when its clock was out before or is after, so that it proves nothing."""
        before = self._stations[station]
        offset_s = clock_offset_s(before.clock_offset_s, at, self.clock.now(), live=live, queued=queued)
        if offset_s != before.clock_offset_s:
            after = dataclasses.replace(before, clock_offset_s=offset_s)
            self.notices.clock(station, after, has_offset=has_offset)
            self.put_station(station, after)
        return bool(offset_s or before.clock_offset_s)

    def welcomes(self, station: str, token: str) -> bool:
        """Whether a token may charge here: one of the cars' own, or any where a car is registered without one."""
        tokens = [self._points[ref].place.id_token for ref in self.refs(station)]
        return None in tokens or token in tokens

    def put(self, point: ChargingPoint) -> None:
        """A point changed."""
        self._points[point.place.ref] = point
        self.owner.changed(point.place.ref)

    def put_station(self, name: str, station: Station) -> None:
        """A station changed, and with it every point of it; what it tells of alarms is kept.

        OSError when news of alarms could not be written down; they count all the same.
        """
        before, self._stations[name] = self._stations[name], station
        for ref in self.refs(name):
            self.owner.changed(ref)
        try:
            self._alarms.note(name, station)
        except OSError:
            if station.alarms != before.alarms:
                raise

    def refused_unit(self, name: str, unit: str) -> None:
        """A station took no schedule in this unit, whatever it had said; remembered as long as it is connected."""
        before = self._stations[name]
        self.put_station(name, dataclasses.replace(before, refused_units=before.refused_units | {unit}))

    def reach(self, name: str, *, connected: bool, version: str | None = None) -> None:
        """A station came or went; one that comes back with another version of OCPP has told nothing of itself yet."""
        since = self.clock.now() if connected else None
        self.triggers.renew(name)
        before = dataclasses.replace(self._stations[name], refused_units=frozenset())
        if version not in (None, before.version):
            kept = {key: getattr(before, key) for key in ("alarms", "alarmed_at", "clock_offset_s")}
            before = Station(version=version or VERSION, **kept)
        self._stations[name] = dataclasses.replace(before, connected=connected, connected_at=since)
        for ref in self.refs(name):
            self.put(charging_points.reached(self._points[ref], self.clock.now(), connected=connected))
