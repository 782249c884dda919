"""A station's connection of OCPP 2.1 or 2.0.1: what its central system may call, and how a call can go astray.

On the `ocpp` library. A call that meets `lost_answer` is not heard, or obeyed without an answer, or obeyed on a line
that breaks.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
from ocpp import v21, v201
from ocpp.routing import after, on
from ocpp.v21.enums import Action

from ven_adapters.simulator.faults.call_faults import Visit
from ven_adapters.simulator.station.words import TRANSFERS

if TYPE_CHECKING:
    from ven_adapters.simulator.station.station import SimulatedStation

CALL = 2
EVSE = 1
HIGHEST_LEVEL = "9"
RATE_UNIT = "W"
ANSWER_S = 10
COMMANDS = frozenset({"SetChargingProfile", "ClearChargingProfile"})
MODES = "ChargingOnly,CentralSetpoint,Idle"


class StationLink:
    """A station while it is connected, in any version; stands before the library's `ChargePoint` of that version."""

    def __init__(self, station: "SimulatedStation", socket: Any) -> None:
        super().__init__(station.name, socket, response_timeout=ANSWER_S)  # type: ignore[call-arg]  # the library's
        self._station, self._socket = station, socket
        self._silent: set[str] = set()
        self._followers: set[asyncio.Task[None]] = set()

    async def _send(self, message: str) -> None:
        _, unique_id, *_ = orjson.loads(message)
        if unique_id in self._silent:
            self._silent.discard(unique_id)
            return
        await super()._send(message)  # type: ignore[misc]  # the library's

    async def route_message(self, raw_msg: str) -> None:
        """Every call is witnessed; a command may go astray."""
        kind, unique_id, *rest = orjson.loads(raw_msg)
        if kind != CALL:
            await super().route_message(raw_msg)  # type: ignore[misc]  # the library's
            return
        with self._station.witnessed(rest[0]) as seen:
            astray = self._astray(rest[0])
            if astray is not None and not astray.executes:
                return
            if astray is not None:
                self._silent.add(unique_id)
            await super().route_message(raw_msg)  # type: ignore[misc]  # the library's
            if astray is not None and astray.cut:
                self._socket.transport.abort()
            seen.status = 200 if astray is None else 0

    def _astray(self, action: str) -> Any:
        found = self.met() if action in COMMANDS else None
        return found[1] if found is not None and found[0] == "lost_answer" else None

    def met(self) -> Any:
        """The fault that a call meets now, and how it is answered; None without one."""
        station = self._station
        points = station.points
        at_s = points.world.seconds(station.clock.now())
        return points.fault_state.meets(station.car, Visit("PUT", points.fleet.refs[station.car], at_s))

    def beside(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Do something once the call that is being answered is answered."""

        async def quietly() -> None:
            with contextlib.suppress(Exception):  # the line may break under it
                await work()

        task = asyncio.create_task(quietly())
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)


class StationLink2(StationLink):
    """The calls of OCPP 2.1 and 2.0.1, whose messages have the same names; `words` is the library's of the version."""

    words: Any

    @on(Action.get_variables)  # type: ignore[untyped-decorator]
    def variables(self, get_variable_data: list[dict[str, Any]]) -> Any:
        """What the station can do."""
        known = {
            "Enabled": str(self._station.bidirectional).lower(),
            "SupportedOperationModes": MODES,
            "SupportedEnergyTransferModes": ",".join(TRANSFERS),
            "ProfileStackLevel": HIGHEST_LEVEL,
            "RateUnit": RATE_UNIT,
        }
        rows = []
        for one in get_variable_data:
            value = known.get(one["variable"]["name"])
            told = {"attribute_status": "UnknownVariable"} if value is None else {"attribute_status": "Accepted"}
            rows.append({**one, **told, **({} if value is None else {"attribute_value": value})})
        return self.words.call_result.GetVariables(rows)

    @on(Action.set_charging_profile)  # type: ignore[untyped-decorator]
    def set_profile(self, evse_id: int, charging_profile: dict[str, Any]) -> Any:
        """Take a profile for the transaction that runs."""
        station, met = self._station, self.met()
        if met is not None and met[0] == "rate_limited":
            return self._rejected("RateLimitExceeded")
        if evse_id != EVSE or charging_profile.get("transaction_id") != station.point.transaction:
            return self._rejected("TxNotFound")
        if any(one["charging_rate_unit"] != RATE_UNIT for one in charging_profile["charging_schedule"]):
            return self._rejected("UnsupportedRateUnit")
        station.points.set_profile(station.car, charging_profile, station.clock.now())
        return self.words.call_result.SetChargingProfile("Accepted")

    @on(Action.clear_charging_profile)  # type: ignore[untyped-decorator]
    def clear_profile(
        self, charging_profile_id: int | None = None, charging_profile_criteria: dict[str, Any] | None = None
    ) -> Any:
        """Forget one profile, or all that fit; here all are of one purpose."""
        station = self._station
        held = set(station.point.held)
        gone = held if charging_profile_criteria else held & {charging_profile_id or 0}
        station.points.clear(station.car, gone, station.clock.now())
        return self.words.call_result.ClearChargingProfile("Accepted" if gone else "Unknown")

    @on(Action.get_charging_profiles)  # type: ignore[untyped-decorator]
    def get_profiles(self, **_: Any) -> Any:
        """Whether there are any; they follow by themselves."""
        return self.words.call_result.GetChargingProfiles("Accepted" if self._station.point.held else "NoProfiles")

    @after(Action.get_charging_profiles)  # type: ignore[untyped-decorator]
    async def report_profiles(self, request_id: int, **_: Any) -> None:
        """The profiles that are held."""
        held = list(self._station.point.held.values())
        if held:
            line: Any = self  # the library's part of it has no types
            self.beside(lambda: line.call(self.words.call.ReportChargingProfiles("CSO", held, EVSE, request_id)))

    @on(Action.trigger_message)  # type: ignore[untyped-decorator]
    def trigger(self, **_: Any) -> Any:
        """A transaction event can be had while there is a transaction."""
        return self.words.call_result.TriggerMessage("Accepted" if self._station.point.transaction else "Rejected")

    @after(Action.trigger_message)  # type: ignore[untyped-decorator]
    async def triggered(self, **_: Any) -> None:
        """It follows by itself."""
        if self._station.point.transaction:
            self._station.points.live(self._station.clock.now())
            self._station.report("Updated", "Trigger")

    def _rejected(self, reason: str) -> Any:
        return self.words.call_result.SetChargingProfile("Rejected", status_info={"reason_code": reason})


class StationLink21(StationLink2, v21.ChargePoint):  # type: ignore[misc]  # the library has no types
    """A station of OCPP 2.1."""

    words = v21

    @on(Action.notify_allowed_energy_transfer)  # type: ignore[untyped-decorator]
    def allowed(self, **_: Any) -> Any:
        """The owner's word on bidirectional transfer."""
        return self.words.call_result.NotifyAllowedEnergyTransfer("Accepted")


class StationLink201(StationLink2, v201.ChargePoint):  # type: ignore[misc]  # the library has no types
    """A station of OCPP 2.0.1."""

    words = v201
