"""A station's connection of OCPP 1.6J: its connector is its EVSE, and a profile replaces the one of its own level."""

import math
from datetime import timedelta
from typing import Any

from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action

from ven_adapters.simulator.station import profiles, words
from ven_adapters.simulator.station.line import EVSE, HIGHEST_LEVEL, RATE_UNIT, StationLink

SAMPLED = "Power.Active.Import,Energy.Active.Import.Register,SoC"
SAMPLE_S = 60
STEP_S = 5
CONFIGURATION = {
    "ChargingScheduleAllowedChargingRateUnit": "Power",
    "ChargeProfileMaxStackLevel": HIGHEST_LEVEL,
    "NumberOfConnectors": str(EVSE),
    "MeterValueSampleInterval": str(SAMPLE_S),
    "MeterValuesSampledData": SAMPLED,
}


class StationLink16(StationLink, ChargePoint):  # type: ignore[misc]  # the library has no types
    """A station of OCPP 1.6J."""

    @on(Action.get_configuration)  # type: ignore[untyped-decorator]
    def configuration(self, key: list[str]) -> Any:
        """What the station can do."""
        rows = [{"key": one, "readonly": True, "value": CONFIGURATION[one]} for one in key if one in CONFIGURATION]
        return call_result.GetConfiguration(rows, [one for one in key if one not in CONFIGURATION])

    @on(Action.set_charging_profile)  # type: ignore[untyped-decorator]
    def set_profile(self, connector_id: int, cs_charging_profiles: dict[str, Any]) -> Any:
        """Take a profile for the transaction that runs; there is no word for why one is not taken."""
        station, profile = self._station, profiles.of_16(cs_charging_profiles)
        running = station.number_of(station.point.transaction)
        theirs = connector_id == EVSE and running is not None and profile.get("transaction_id") == running
        units = {one["charging_rate_unit"] for one in profile["charging_schedule"]}
        met = self.met()
        if not theirs or units != {RATE_UNIT} or (met is not None and met[0] == "rate_limited"):
            return call_result.SetChargingProfile("Rejected")
        level, held, now = profile["stack_level"], station.point.held, station.clock.now()
        replaced = {number for number, one in held.items() if one["stack_level"] == level} - {profile["id"]}
        for number in replaced:
            del held[number]
        station.points.set_profile(station.car, profile, now)
        return call_result.SetChargingProfile("Accepted")

    @on(Action.clear_charging_profile)  # type: ignore[untyped-decorator]
    def clear_profile(self, id: int | None = None, **_: Any) -> Any:  # noqa: A002 - its name
        """Forget one profile, or all that fit; here all are of one purpose."""
        station = self._station
        held = set(station.point.held)
        gone = held if id is None else held & {id}
        station.points.clear(station.car, gone, station.clock.now())
        return call_result.ClearChargingProfile("Accepted" if gone else "Unknown")

    @on(Action.get_composite_schedule)  # type: ignore[untyped-decorator]
    def compose(self, connector_id: int, duration: int, **_: Any) -> Any:
        """What all profiles come to, from now on."""
        station = self._station
        now, most_w = station.clock.now(), float(station.points.fleet.max_charge_w[station.car])
        periods: list[dict[str, Any]] = []
        for into_s in range(0, duration, STEP_S):
            asked_w = profiles.asked_w(station.point.held.values(), now + timedelta(seconds=into_s))
            limit_w = round(most_w if asked_w == math.inf else min(asked_w, most_w), 1)
            if not periods or periods[-1]["limit"] != limit_w:
                periods.append({"start_period": into_s, "limit": limit_w})
        schedule = {"charging_rate_unit": RATE_UNIT, "charging_schedule_period": periods, "duration": duration}
        return call_result.GetCompositeSchedule("Accepted", connector_id, words.stamp(now), schedule)

    @on(Action.trigger_message)  # type: ignore[untyped-decorator]
    def trigger(self, **_: Any) -> Any:
        """Readings and the connector's state can be had at any time."""
        return call_result.TriggerMessage("Accepted")

    @after(Action.trigger_message)  # type: ignore[untyped-decorator]
    async def triggered(self, requested_message: str, **_: Any) -> None:
        """It follows by itself."""
        self._station.points.live(self._station.clock.now())
        if requested_message == "MeterValues" and self._station.point.transaction is not None:
            self._station.report("Updated", "Trigger")
        elif requested_message == "StatusNotification":
            self._station.tell_connector()
