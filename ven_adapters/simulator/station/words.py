"""What a station says of a car, as OCPP 2.1 payloads made from what its meter and its car tell. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ocpp.v21 import call

from ven_adapters.contract import ChargeState, Known, Reading, Snapshot

TRANSFERS = ("AC_BPT", "AC_three_phase")
LEAST_DISCHARGE_W = 500.0
STATES: Mapping[ChargeState, str] = {
    ChargeState.CHARGING: "Charging",
    ChargeState.DISCHARGING: "Charging",
    ChargeState.PAUSED_BY_DIRECTIVE: "SuspendedEVSE",
    ChargeState.UNPLUGGED: "Idle",
}
WATTS = {"unit_of_measure": {"unit": "W"}}


def stamp(at: datetime) -> str:
    """An instant as OCPP writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def meter_values(told: Snapshot) -> list[dict[str, Any]]:
    """One meter value for each instant at which something was observed, oldest first."""
    at: defaultdict[datetime, list[dict[str, Any]]] = defaultdict(list)
    for reading, samples in _sampled(told):
        if reading is not None:
            at[reading.observed_at] += samples(reading.value)
    return [{"timestamp": stamp(seen), "sampled_value": at[seen]} for seen in sorted(at)]


def _sampled(told: Snapshot) -> list[tuple[Reading[float] | None, Any]]:
    return [
        (told.power_w, _power),
        (told.energy_added_wh, lambda wh: [_sample("Energy.Active.Import.Register", wh)]),
        (told.energy_exported_wh, lambda wh: [_sample("Energy.Active.Export.Register", wh)]),
        (told.current_a, lambda amps: [_sample("Current.Import", amps)]),
        (told.voltage_v, lambda volts: [_sample("Voltage", volts)]),
        (told.soc_pct, lambda percent: [_sample("SoC", percent, location="EV")]),
    ]


def _power(watts: float) -> list[dict[str, Any]]:
    taken, given = max(0.0, watts), max(0.0, -watts)
    return [_sample("Power.Active.Import", taken, **WATTS), _sample("Power.Active.Export", given, **WATTS)]


def _sample(measurand: str, value: float, **more: Any) -> dict[str, Any]:
    return {"measurand": measurand, "value": value, **more}


def charging_state(told: Snapshot) -> str:
    """The state of a transaction as its station tells it."""
    state = told.charge_state
    return "EVConnected" if state is None else STATES.get(state.value, "SuspendedEV")


def flapping(told: Snapshot) -> bool:
    """Whether the connector is told to be free."""
    return told.plugged is not None and told.plugged.value is Known.NO


def needs(max_charge_w: float, max_discharge_w: float, at: datetime) -> call.NotifyEVChargingNeeds:
    """What the car itself says that it needs and allows in this session."""
    v2x = {
        "maxChargePower": max_charge_w,
        "maxDischargePower": max_discharge_w,
        "minDischargePower": LEAST_DISCHARGE_W,
        "targetSoC": 80,
    }
    told = {
        "requested_energy_transfer": "AC_BPT",
        "available_energy_transfer": list(TRANSFERS),
        "control_mode": "DynamicControl",
        "v2x_charging_parameters": v2x,
    }
    return call.NotifyEVChargingNeeds(told, 1, timestamp=stamp(at))
