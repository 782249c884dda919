"""The central system: every station's line, and the questions that only a station can answer.

What stations tell goes to the register by way of their desks; what a change means for a directive is the owner's
affair. A station that connects again replaces its older line.
"""

import asyncio
import collections
import contextlib
import functools
import itertools
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from websockets.asyncio.server import ServerConnection

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.ocpp21.connection import CLOSED, StationConnection
from ven_adapters.transport.ocpp21.frames import SUBPROTOCOLS, VERSION, Payload
from ven_adapters.transport.ocpp21.listener import StationListener
from ven_adapters.transport.ocpp21.message_handlers import Listing, MessageHandlers
from ven_adapters.transport.ocpp21.settings import CentralSettings
from ven_adapters.transport.ocpp21.stations import charging_points
from ven_adapters.transport.ocpp21.stations.charging_points import V2X_CONTROLLER
from ven_adapters.transport.ocpp21.stations.inverter_alarms import Alarms
from ven_adapters.transport.ocpp21.stations.station_registry import Owner, Register
from ven_adapters.transport.ocpp21.stations.transactions import TransactionLog
from ven_adapters.transport.ocpp21.versions.v16 import OCPP_16_STATIONS
from ven_adapters.transport.ocpp21.versions.v21 import OCPP_21, OcppVersion
from ven_adapters.transport.ocpp21.versions.v201 import OCPP_201_STATIONS

_log = logging.getLogger(__name__)

_V2X = V2X_CONTROLLER
_VERSIONS: Mapping[str, OcppVersion] = {one.number: one for one in (OCPP_21, OCPP_201_STATIONS, OCPP_16_STATIONS)}
_ASKED = (
    (_V2X, "Enabled"),
    (_V2X, "SupportedOperationModes"),
    (_V2X, "SupportedEnergyTransferModes"),
    ("SmartChargingCtrlr", "ProfileStackLevel"),
    ("SmartChargingCtrlr", "RateUnit"),
)


def _variables(asked: Iterable[tuple[str, str]], evse: int | None = None) -> Payload:
    """The payload of GetVariables, of the station as a whole or of one EVSE."""
    where = {} if evse is None else {"evse": {"id": evse}}
    rows = [{"component": {"name": name} | where, "variable": {"name": variable}} for name, variable in asked]
    return {"getVariableData": rows}


class CentralSystem:
    """Speaks to the stations. Every method that asks raises BackendError and nothing else."""

    def __init__(self, settings: CentralSettings, owner: Owner) -> None:
        self._settings = settings
        alarms = Alarms(settings.state / "alarms.json" if settings.state else None)
        alarms.read(settings.passwords, settings.clock.now())
        self._transactions = TransactionLog(settings.state / "transactions.jsonl" if settings.state else None)
        given = (settings.passwords, settings.places, settings.clock, owner, alarms, self._transactions)
        self.register = Register(*given)
        self._listener = StationListener(settings, self._welcome)
        self._lines: dict[str, StationConnection] = {}
        self._listings: dict[tuple[str, int], Listing] = {}
        self._numbers = itertools.count(1)
        self._triggering: collections.defaultdict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self) -> int:
        """Listen; the port."""
        self._closed = False
        self._transactions.open(self._settings.passwords)
        return await self._listener.open()

    async def close(self) -> None:
        """Hang up and stop what runs beside."""
        self._closed = True
        await self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._transactions.close()

    async def ask(
        self, ref: str, action: str, payload: Payload, *, ready: Callable[[], None] = lambda: None
    ) -> Payload:
        """Call the station of a car; BACKEND_TRANSIENT when it is not connected, OUTCOME_UNKNOWN without an answer."""
        line = self._lines.get(self.register.point(ref).place.station)
        if line is None:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, CLOSED)
        return await line.ask(action, payload, ready=ready)

    def version(self, ref: str) -> OcppVersion:
        """The OCPP that the station of a car spoke last."""
        return _VERSIONS[self.register.station(self.register.point(ref).place.station).version]

    async def refresh(self, ref: str) -> None:
        """Ask for a transaction event now; its meter values arrive on their own.

        At a station with several cars one is asked after the other, because an answer need not name its EVSE.
        """
        place, triggers = self.register.point(ref).place, self.register.triggers
        wanted = {"requestedMessage": "TransactionEvent", "evse": {"id": place.evse}}
        alone = len(self.register.refs(place.station)) == 1
        async with self._triggering[place.station]:
            answered = triggers.begin(place.station, place.evse)
            lost = True
            try:
                answer = await self.ask(ref, "TriggerMessage", wanted)
                lost = answer["status"] == "Accepted"
                if lost and not alone:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._settings.answer_s):
                            await answered.wait()
            except BackendError as error:
                lost = error.may_have_happened
                raise
            finally:
                if not alone:
                    triggers.end(place.station, lost=lost and not answered.is_set())

    async def profiles(self, ref: str) -> Mapping[int, int]:
        """The levels of the transaction profiles that the station holds for a car, by their numbers."""
        place, number = self.register.point(ref).place, next(self._numbers)
        listing = Listing({}, asyncio.get_running_loop().create_future())
        self._listings[place.station, number] = listing
        wanted = {"chargingProfilePurpose": "TxProfile"}
        try:
            asked = {"requestId": number, "evseId": place.evse, "chargingProfile": wanted}
            answer = await self.ask(ref, "GetChargingProfiles", asked)
            if answer["status"] == "Accepted":
                async with asyncio.timeout(self._settings.answer_s):
                    await listing.done
        except TimeoutError:
            raise BackendError(ErrorCode.OUTCOME_UNKNOWN, "GetChargingProfiles: no report came") from None
        finally:
            del self._listings[place.station, number]
        return listing.levels

    async def schedule(self, ref: str, duration_s: int, unit: str) -> Payload | None:
        """The limits that hold at a car's connector from now on, all profiles together; None from who cannot say.

        For stations that cannot list their profiles: `chargingSchedulePeriod` counts from `scheduleStart`.
        """
        asked = {"evseId": self.register.point(ref).place.evse, "duration": duration_s, "chargingRateUnit": unit}
        try:
            answer = await self.ask(ref, "GetCompositeSchedule", asked)
        except BackendError as error:
            if error.code is ErrorCode.NOT_SUPPORTED:
                return None
            raise
        schedule: Payload | None = answer.get("schedule")
        return schedule if schedule is not None and schedule["chargingRateUnit"] == unit else None

    async def allow(self, ref: str) -> None:
        """Let the car's energy transfer be bidirectional, where its owner and its station have it (use case Q01)."""
        point = self.register.point(ref)
        station = charging_points.at_evse(self.register.station(point.place.station), point.place.evse)
        if point.transaction is None or not (station.v2x and station.transfers and point.place.max_discharge_w):
            return
        allowed = {"transactionId": point.transaction, "allowedEnergyTransfer": list(station.transfers)}
        await self.ask(ref, "NotifyAllowedEnergyTransfer", allowed)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside; a refusal or a dead line ends it with a line in the log. After `close` nothing runs."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(_calmly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # one that was cancelled before it began

    async def _welcome(self, station: str, socket: ServerConnection) -> None:
        late = functools.partial(self.register.owner.late, station)
        passed_over = functools.partial(self.register.notices.count, station)
        version = _VERSIONS[SUBPROTOCOLS.get(str(socket.subprotocol), VERSION)]
        handlers = self._handlers(station, version).handlers()
        line = StationConnection(
            *(socket, handlers),
            answer_s=self._settings.answer_s,
            late=late,
            passed_over=passed_over,
            version=version,
        )
        older, self._lines[station] = self._lines.get(station), line
        if older is not None:
            older.end()
            self.beside(older.close())
        self.register.reach(station, connected=True, version=version.number)
        try:
            await line.serve()
        finally:
            if self._lines.get(station) is line:
                del self._lines[station]
                self.register.reach(station, connected=False)

    def _handlers(self, station: str, version: OcppVersion) -> MessageHandlers:
        return MessageHandlers(
            name=station,
            register=self.register,
            listings=self._listings,
            heartbeat_s=self._settings.heartbeat_s,
            first=lambda: self.beside(self._greet(station)),
            begun=lambda ref: self.beside(self.allow(ref)),
            version=version,
        )

    async def _asked(self, refs: list[str]) -> list[Payload]:
        """What the station says of its variables; of V2X where it does not say it as a whole, EVSE by EVSE."""
        if not refs:
            return []
        rows = list((await self.ask(refs[0], "GetVariables", _variables(_ASKED)))["getVariableResult"])
        if self.version(refs[0]).number != VERSION:
            return rows
        whole = any(one["component"]["name"] == _V2X and one["attributeStatus"] == "Accepted" for one in rows)
        for ref in () if whole else refs:
            evse, wanted = self.register.point(ref).place.evse, [one for one in _ASKED if one[0] == _V2X]
            rows += (await self.ask(ref, "GetVariables", _variables(wanted, evse)))["getVariableResult"]
        return rows

    async def _greet(self, station: str) -> None:
        """Once per connection: what the station can do, and where its transactions stand."""
        refs = self.register.refs(station)
        with contextlib.suppress(BackendError):
            rows = await self._asked(refs)
            self.register.put_station(station, charging_points.variables(self.register.station(station), rows))
            evses, say = self.register.evses_of(station), functools.partial(self.register.notices.count, station)
            for action, payload in self.version(refs[0]).after_greeting(rows, evses, say) if refs else ():
                with contextlib.suppress(BackendError):
                    await self.ask(refs[0], action, payload)
        for ref in refs:
            with contextlib.suppress(BackendError):
                await self.allow(ref)
                await self.refresh(ref)
            self.register.owner.back(ref)


async def _calmly(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except BackendError as error:
        _log.warning("a station could not be told: %s", error)
