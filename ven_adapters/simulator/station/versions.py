"""The versions of OCPP that a simulated station speaks; the station itself thinks in the messages of 2.1. Pure.

What a version has no word for is not said. A transaction of 1.6J has the number that its central system gave it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ocpp import v21, v201
from ocpp.v16 import call as call16

from ven_adapters.simulator.station.line import EVSE, StationLink, StationLink21, StationLink201
from ven_adapters.simulator.station.line16 import StationLink16

ID_TAG = "TAG-1"
ONLY_21 = (v21.call.NotifyEVChargingNeeds, v21.call.NotifyPriorityCharging)
NumberOf = Callable[[str | None], int | None]

_UNITS = {
    "Power.Active.Import": "W",
    "Energy.Active.Import.Register": "Wh",
    "Current.Import": "A",
    "Voltage": "V",
    "SoC": "Percent",
}
_STATES = {"Charging": "Charging", "SuspendedEVSE": "SuspendedEVSE", "Idle": "Available"}


@dataclasses.dataclass(frozen=True, slots=True)
class StationVersion:
    """How one version is connected, and what it says for a message of 2.1, oldest first."""

    subprotocol: str
    link: type[StationLink]
    spoken: Callable[[Any, NumberOf], Sequence[Any]]


def _as_is(message: Any, _number_of: NumberOf) -> Sequence[Any]:
    return (message,)


def _of_201(message: Any, _number_of: NumberOf) -> Sequence[Any]:
    if isinstance(message, ONLY_21):
        return ()
    twin = getattr(v201.call, type(message).__name__)
    given = {
        field.name: getattr(message, field.name) for field in dataclasses.fields(twin) if field.name != "custom_data"
    }
    return (twin(**given),)


def _of_16(message: Any, number_of: NumberOf) -> Sequence[Any]:
    if isinstance(message, v21.call.BootNotification):
        return (call16.BootNotification("Simulated", "VTN"),)
    if isinstance(message, v21.call.StatusNotification):
        state = "Available" if message.connector_status == "Available" else "Preparing"
        return (call16.StatusNotification(EVSE, "NoError", state, message.timestamp),)
    if isinstance(message, v21.call.TransactionEvent):
        return _transaction_16(message, number_of)
    return ()


def _transaction_16(event: Any, number_of: NumberOf) -> Sequence[Any]:
    info, at = event.transaction_info, event.timestamp
    if event.event_type == "Started":
        return (call16.StartTransaction(EVSE, ID_TAG, _register_wh(event), at),)
    number = number_of(info["transaction_id"])
    if number is None:
        return ()
    values = _values_16(event)
    metered = (call16.MeterValues(EVSE, values, number),) if values else ()
    if event.event_type == "Ended":
        stopped = call16.StopTransaction(_register_wh(event), at, number, reason=info.get("stopped_reason"))
        return (*metered, stopped)
    state = _STATES.get(info["charging_state"], "SuspendedEV")
    return (*metered, call16.StatusNotification(EVSE, "NoError", state, at))


def _register_wh(event: Any) -> int:
    registers = [
        sample["value"]
        for one in event.meter_value or ()
        for sample in one["sampled_value"]
        if sample["measurand"] == "Energy.Active.Import.Register"
    ]
    return int(registers[-1]) if registers else 0


def _values_16(event: Any) -> list[dict[str, Any]]:
    context = "Trigger" if event.trigger_reason == "Trigger" else "Sample.Periodic"
    values = []
    for one in event.meter_value or ():
        samples = [
            {"value": f"{row['value']:.1f}", "measurand": row["measurand"], "unit": unit, "context": context}
            for row in one["sampled_value"]
            if (unit := _UNITS.get(row["measurand"])) is not None
        ]
        if samples:
            values.append({"timestamp": one["timestamp"], "sampled_value": samples})
    return values


VERSIONS: Mapping[str, StationVersion] = {
    "2.1": StationVersion("ocpp2.1", StationLink21, _as_is),
    "2.0.1": StationVersion("ocpp2.0.1", StationLink201, _of_201),
    "1.6": StationVersion("ocpp1.6", StationLink16, _of_16),
}
