"""A charging station as a client of its central system: it connects by itself, says what happens, and never forgets.

Messages queue while there is no link and go out in order when there is one again. The link is watched by pings: one
that carries nothing any more is given up, and the station counts as offline since it last heard anything.
"""

import asyncio
import base64
import collections
import contextlib
import dataclasses
import logging
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import websockets
from ocpp.v21 import call

from ven_adapters.simulator.station import words
from ven_adapters.simulator.station.line import EVSE, StationLink
from ven_adapters.simulator.station.points import ChargingPoints, SimulatedPoint
from ven_adapters.simulator.station.versions import VERSIONS
from vtn.clock import Clock

RETRY_S = 0.05
QUEUED = 200
METER_EVERY = timedelta(seconds=60)
CHANGE_W = 1.0

_wire = logging.getLogger(f"{__name__}.wire")  # handshakes with their headers: never to be printed
_wire.setLevel(logging.CRITICAL)


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """How a station reaches its central system; `ping_s` is how often it sees whether its line is alive.

    `handshake_s` bounds how long a line may take to open and to close. Both are real seconds. `version` is one of
    `versions.VERSIONS`.
    """

    url: str
    password: str = dataclasses.field(repr=False)
    ping_s: float = 20.0
    handshake_s: float = 10.0
    version: str = "2.1"


@dataclasses.dataclass(slots=True)
class ReceivedCall:
    """One call that reached a station: what, when, and 200 once it was answered."""

    at: datetime
    action: str
    car: int
    status: int = 0


class SimulatedStation:
    """One station with one charging point: the column `car` of `points`."""

    def __init__(self, name: str, points: ChargingPoints, car: int, clock: Clock, access: Access) -> None:
        self.name, self.points, self.car, self.clock = name, points, car, clock
        self.heard: collections.deque[ReceivedCall] = collections.deque(maxlen=100_000)
        self.online = asyncio.Event()
        self.busy = 0
        self._access, self._version = access, VERSIONS[access.version]
        self._numbers: dict[str, int] = {}
        self._line: StationLink | None = None
        self._socket: websockets.ClientConnection | None = None
        self._booted = False
        self._queued: collections.deque[Any] = collections.deque(maxlen=QUEUED)
        self._filled = asyncio.Event()
        self._metered_at, self._metered_w = clock.now(), 0.0
        self._free = False
        self._alive_at = clock.now()
        self.point.offline_since = clock.now()

    @property
    def point(self) -> SimulatedPoint:
        """The station's charging point."""
        return self.points.points[self.car]

    @property
    def bidirectional(self) -> bool:
        """Whether the car at this point can feed the grid, and this version has words for it."""
        return bool(self.points.fleet.max_discharge_w[self.car] > 0) and self._access.version == "2.1"

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to say or to answer."""
        return self._line is None or not (self._queued or self.busy)

    @contextlib.contextmanager
    def witnessed(self, action: str) -> Iterator[ReceivedCall]:
        """Note a call from the central system."""
        self.heard.append(ReceivedCall(self.clock.now(), action, self.car))
        self.busy += 1
        try:
            yield self.heard[-1]
        finally:
            self.busy -= 1

    async def run(self) -> None:
        """Stay connected until cancelled; while there is no link, time without one is counted."""
        while True:
            with contextlib.suppress(OSError, TimeoutError, websockets.WebSocketException):
                await self._connection()
            self._line = self._socket = None
            self.online.clear()
            self.point.offline_since = self.point.offline_since or self._alive_at
            await asyncio.sleep(RETRY_S)

    def number_of(self, transaction: str | None) -> int | None:
        """The number that the central system gave to a transaction; None before it did, and from 2.0.1 on."""
        return None if transaction is None else self._numbers.get(transaction)

    def plugged(self) -> None:
        """The cable went in or out."""
        point, plugged = self.point, bool(self.points.world.plugged[self.car])
        self._tell_connector(self.clock.now(), free=not plugged)
        if point.transaction is not None:
            self.report("Ended", "EVDeparted", stopped_reason="EVDisconnected")
            point.transaction = None
        if plugged:
            point.transaction, point.sequence = str(uuid.uuid4()), 0
            self.report("Started", "CablePluggedIn")
            self._tell_needs()

    def pressed(self, *, on: bool) -> None:
        """A driver pressed 'charge now', or took it back."""
        if self.point.transaction is not None:
            self._say(call.NotifyPriorityCharging(on, self.point.transaction))

    def cut(self) -> None:
        """Break the line."""
        if self._socket is not None:
            self._socket.transport.abort()

    def tick(self, now: datetime) -> None:
        """Say what is due by `now`, until which the cars have lived: another power, a minute that passed."""
        power_w = float(self.points.world.power_w[self.car])
        due = now - self._metered_at >= METER_EVERY or abs(power_w - self._metered_w) > CHANGE_W
        if self.point.transaction is not None and due and self._booted:
            self._metered_at, self._metered_w = now, power_w
            self.report("Updated", "MeterValuePeriodic")

    def tell_connector(self) -> None:
        """Say how the connector stands, and what its transaction is doing."""
        if self.point.transaction is None:
            self._tell_connector(self.clock.now(), free=True)
        else:
            self.report("Updated", "ChargingStateChanged")

    def report(self, kind: str, reason: str, **more: Any) -> None:
        """Queue a transaction event with the meter as it stands."""
        now, point = self.clock.now(), self.point
        told = self.points.told(self.car)
        seen = now if told.power_w is None else told.power_w.observed_at
        info = {"transaction_id": point.transaction, "charging_state": words.charging_state(told), **more}
        event = call.TransactionEvent(
            event_type=kind,
            seq_no=point.sequence,
            timestamp=words.stamp(seen),
            transaction_info=info,
            trigger_reason=reason,
            evse={"id": EVSE} if kind == "Started" else None,  # once for each transaction, and never again (E01.FR.16)
            meter_value=words.meter_values(told),
            offline=self._line is None,
        )
        point.sequence += 1
        self._say(event)
        self._flap(free=words.flapping(told) and kind == "Updated", now=now)

    def _stand(self) -> None:
        """How everything stands, on a new line: a central system that is new has heard none of it."""
        self._queued = collections.deque((one for one in self._queued if not _fleeting(one)), QUEUED)
        self._tell_connector(self.clock.now(), free=self.point.transaction is None)
        if self.point.transaction is not None:
            self.points.live(self.clock.now())
            self._tell_needs()
            self.report("Updated", "MeterValuePeriodic")

    def _flap(self, *, free: bool, now: datetime) -> None:
        if free is not self._free:
            self._tell_connector(now, free=free)

    def _tell_connector(self, now: datetime, *, free: bool) -> None:
        self._free = free
        self._say(call.StatusNotification(1, "Available" if free else "Occupied", EVSE, words.stamp(now)))

    def _tell_needs(self) -> None:
        if self.bidirectional:
            fleet = self.points.fleet
            limits = float(fleet.max_charge_w[self.car]), float(fleet.max_discharge_w[self.car])
            self._say(words.needs(*limits, self.clock.now()))

    def _say(self, message: Any) -> None:
        self._queued.append(message)
        self._filled.set()

    async def _connection(self) -> None:
        access = self._access
        pair = base64.b64encode(f"{self.name}:{access.password}".encode()).decode()
        async with websockets.connect(
            f"{access.url}/{self.name}",
            subprotocols=[self._version.subprotocol],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Basic {pair}"},
            ping_interval=None,
            logger=_wire,
            open_timeout=access.handshake_s,
            close_timeout=access.handshake_s,
        ) as socket:
            self._line, self._socket = self._version.link(self, socket), socket
            line: Any = self._line  # the library's part of it has no types
            work = (line.start(), self._talk(self._line), self._watch(socket))
            tasks = [asyncio.ensure_future(one) for one in work]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, socket: websockets.ClientConnection) -> None:
        """Return when the line carries nothing any more; what is silent is broken off, not closed politely."""
        with contextlib.suppress(TimeoutError, websockets.WebSocketException):
            while True:
                self._alive_at = self.clock.now()
                async with asyncio.timeout(self._access.ping_s):
                    await (await socket.ping())
                await asyncio.sleep(self._access.ping_s)
        socket.transport.abort()

    async def _talk(self, line: StationLink) -> None:
        """Boot once, then say what there is, oldest first; what was not answered is said again on the next line."""
        if not self._booted:
            boot = call.BootNotification({"model": "Simulated", "vendor_name": "VTN"}, "PowerUp")
            answer = await self._tell(line, boot)
            self._booted = answer is not None and answer.status == "Accepted"
            self.plugged()
        else:
            self._stand()
        self.point.offline_since = None
        self.online.set()
        while True:
            while self._queued:
                await self._tell(line, self._queued[0])
                self._queued.popleft()
            self._filled.clear()
            await self._filled.wait()

    async def _tell(self, line: Any, message: Any) -> Any:
        """Say a message of 2.1 in our version's words; the last answer."""
        answer = None
        for spoken in self._version.spoken(message, self.number_of):
            answer = await line.call(spoken)
            number = getattr(answer, "transaction_id", None)
            if number is not None:
                self._numbers[message.transaction_info["transaction_id"]] = int(number)
        return answer


def _fleeting(message: Any) -> bool:
    """Whether a message is of no use later: how a connector stood while there was no link."""
    return isinstance(message, call.StatusNotification)
