"""The register of stations and charging points: the newest that each told, and who is to hear of a change."""

import dataclasses
from collections.abc import Iterable
from typing import Protocol

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.ocpp21 import points
from ven_adapters.transport.ocpp21.alarms import Alarms
from ven_adapters.transport.ocpp21.frames import Payload
from ven_adapters.transport.ocpp21.points import Place, Point, Station
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
        self, stations: Iterable[str], places: Iterable[Place], clock: Clock, owner: Owner, alarms: Alarms
    ) -> None:
        self.clock = clock
        self.owner = owner
        self._alarms = alarms
        self._stations = {station: alarms.station(station, clock.now()) for station in stations}
        self._points = {place.ref: points.new_point(place) for place in places}
        self._refs: dict[str, dict[int, str]] = {station: {} for station in self._stations}
        for ref, point in self._points.items():
            self._refs[point.place.station][point.place.evse] = ref

    def point(self, ref: str) -> Point:
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

    def at(self, station: str, evse: int) -> Point | None:
        """The point of an EVSE, if a car is registered there."""
        ref = self._refs[station].get(evse)
        return None if ref is None else self._points[ref]

    def with_transaction(self, station: str, transaction: str) -> Point | None:
        """The point at which a transaction runs."""
        mine = (self._points[ref] for ref in self.refs(station))
        return next((point for point in mine if point.transaction == transaction), None)

    def welcomes(self, station: str, token: str) -> bool:
        """Whether a token may charge here: one of the cars' own, or any where a car is registered without one."""
        tokens = [self._points[ref].place.id_token for ref in self.refs(station)]
        return None in tokens or token in tokens

    def put(self, point: Point) -> None:
        """A point changed."""
        self._points[point.place.ref] = point
        self.owner.changed(point.place.ref)

    def put_station(self, name: str, station: Station) -> None:
        """A station changed, and with it every point of it; what it tells of alarms is kept."""
        self._alarms.note(name, station)
        self._stations[name] = station
        for ref in self.refs(name):
            self.owner.changed(ref)

    def reach(self, name: str, *, connected: bool) -> None:
        """A station came or went."""
        since = self.clock.now() if connected else None
        self._stations[name] = dataclasses.replace(self._stations[name], connected=connected, connected_at=since)
        for ref in self.refs(name):
            self.put(points.reached(self._points[ref], self.clock.now(), connected=connected))
