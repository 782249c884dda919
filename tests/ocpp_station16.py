"""What a station of OCPP 1.6J says and hears in its own way; battery, meter and profiles are those of `ocpp_station`.

Its connector is its EVSE. It measures what `MeterValuesSampledData` names, tells it each `meter_s` and when power
changes, and takes a transaction's number from the central system. It holds profiles as the standard says: one of the
same number, or of the same level, replaces the one before.
"""

# mypy: disable-error-code="attr-defined, override"
# classes of one line are mixed with those of one version of the library
import json
from datetime import timedelta

from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action
from ocpp_station import LINES, LossyLine, Station, stamp

SAMPLED = {"Power.Active.Import": "W", "Energy.Active.Import.Register": "Wh", "SoC": "Percent"}
UNITS = {"A": "Current", "W": "Power"}


class Line16(LossyLine, ChargePoint):
    """One connection."""

    @property
    def booted(self):
        return call.BootNotification("Test", "Test")

    @on(Action.get_configuration)
    def configuration(self, key):
        given = self.station.given
        known = {
            "ChargingScheduleAllowedChargingRateUnit": ",".join(UNITS[one] for one in given["rate_unit"].split(",")),
            "ChargeProfileMaxStackLevel": given["highest_level"],
            "NumberOfConnectors": str(given["evse"]),
            "MeterValueSampleInterval": str(int(given["meter_s"])),
            "MeterValuesSampledData": given["sampled"],
        }
        rows = [{"key": one, "readonly": False, "value": known[one]} for one in key if one in known]
        return call_result.GetConfiguration(rows, [one for one in key if one not in known])

    @on(Action.change_configuration)
    def change(self, key, value):
        self.station.changed[key] = value
        name = {"MeterValueSampleInterval": "meter_s", "MeterValuesSampledData": "sampled"}[key]
        self.station.given[name] = float(value) if name == "meter_s" else value
        return call_result.ChangeConfiguration("Accepted")

    @on(Action.set_charging_profile)
    def set_profile(self, connector_id, cs_charging_profiles):
        station, profile = self.station, json.loads(json.dumps(cs_charging_profiles, default=float))  # no Decimals
        if station.refusals:
            return call_result.SetChargingProfile(station.refusals.popleft())
        theirs = (profile.get("transaction_id"), connector_id) == (station.car.transaction, station.given["evse"])
        if not theirs or profile["charging_schedule"]["charging_rate_unit"] not in station.given["taken_units"]:
            return call_result.SetChargingProfile("Rejected")
        profile |= {"id": profile.pop("charging_profile_id"), "charging_schedule": [profile["charging_schedule"]]}
        held = station.car.profiles
        for number in [number for number, one in held.items() if one["stack_level"] == profile["stack_level"]]:
            del held[number]
        held[profile["id"]] = profile
        station.sets.append(profile)
        return call_result.SetChargingProfile("Accepted")

    @on(Action.clear_charging_profile)
    def clear_profile(self, id=None, **_):  # noqa: A002 - its name
        profiles = self.station.car.profiles
        gone = set(profiles) & {id} if id is not None else set(profiles)
        for number in gone:
            del profiles[number]
        return call_result.ClearChargingProfile("Accepted" if gone else "Unknown")

    @on(Action.get_composite_schedule)
    def compose(self, connector_id, duration, charging_rate_unit="W"):
        car, given = self.station.car, self.station.given
        if not given["composes"]:
            return call_result.GetCompositeSchedule("Rejected")
        per_unit = 1 if charging_rate_unit == "W" else given["voltage_v"] * given["phases"]
        now, periods = car.at, []
        for into_s in range(0, duration, 5):
            car.at = now + timedelta(seconds=into_s)
            limit = round(min(car.period().get("limit_w", given["max_w"]), given["max_w"]) / per_unit, 1)
            if not periods or periods[-1]["limit"] != limit:
                periods.append({"start_period": into_s, "limit": limit})
        car.at = now
        schedule = {"charging_rate_unit": charging_rate_unit, "charging_schedule_period": periods, "duration": duration}
        return call_result.GetCompositeSchedule("Accepted", connector_id, stamp(now), schedule)

    @on(Action.trigger_message)
    def trigger(self, **_):
        return call_result.TriggerMessage("Accepted")

    @after(Action.trigger_message)
    async def triggered(self, requested_message, **_):
        if requested_message == "MeterValues":
            self.station.tell(self.station.metered("Trigger"))
        else:
            self.station.tell(self.station.status())


LINES["1.6"] = Line16


class Station16(Station):
    """The station, with the messages of 1.6J."""

    def __init__(self, given) -> None:
        super().__init__(given)
        self.changed = {}

    def status(self):
        free = self.car.transaction is None
        state = "Available" if free else "Charging" if self.car.power_w else "SuspendedEVSE"
        at = self.car.wrong_clock(self.clock.now())
        return call.StatusNotification(self.given["evse"], "NoError", state, at)

    def metered(self, context):
        """MeterValues, each number a text."""
        told = {
            "Power.Active.Import": self.car.power_w,
            "Energy.Active.Import.Register": self.car.imported_wh,
            "SoC": self.car.soc_pct,
        }
        samples = [
            {"value": f"{told[one]:.1f}", "measurand": one, "unit": SAMPLED[one], "context": context}
            for one in self.given["sampled"].split(",")
        ]
        meter_value = [{"timestamp": self.car.wrong_clock(self.car.at), "sampled_value": samples}]
        return call.MeterValues(self.given["evse"], meter_value, self.car.transaction)

    def transaction(self, kind, _reason, **more):
        if kind == "Ended":
            told = (int(self.car.imported_wh), self.car.wrong_clock(self.clock.now()), self.car.transaction)
            self.tell(call.StopTransaction(*told, reason=more.get("stopped_reason")))
        elif kind == "Updated":
            self.tell(self.metered("Sample.Periodic"))
            self.tell(self.status())

    async def talk_to(self, message):
        answer = await self.line.call(message)
        if isinstance(message, call.StartTransaction) and answer.id_tag_info["status"] == "Accepted":
            self.car.transaction, self.number = answer.transaction_id, 1

    async def do_unplug(self):
        await super().do_unplug()
        self.number = 0
        self.tell(self.status())

    async def do_plug(self):
        started = (self.given["evse"], self.given.get("id_tag", "TAG-1"), int(self.car.imported_wh))
        self.tell(call.StartTransaction(*started, self.car.wrong_clock(self.clock.now())))

    async def do_tell(self):
        self.extra = {"transaction": self.car.transaction, "changed": self.changed}
        await super().do_tell()
