"""OCPP 2.0.1: nearly 2.1, without discharge, priority charging, DER control, and the offline limit of a profile.

A profile ends by its schedule's duration and its `validTo` alone, so a station that loses us keeps a cap or a pause to
the end of its window. What a station says of V2X is not asked for and not believed.
"""

from typing import ClassVar

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.ocpp21.frames import OCPP_201, Payload
from ven_adapters.transport.ocpp21.versions.v21 import Handlers, OcppVersion, Question, TransactionNumbers, without

_ONLY_21 = frozenset({"NotifyPriorityCharging", "NotifyDERAlarm", "NotifyDERStartStop"})
_CONTROLS_21 = frozenset({"V2XChargingCtrlr"})


class Ocpp201(OcppVersion):
    """The translation of OCPP 2.0.1."""

    number: ClassVar[str] = OCPP_201

    def request(self, action: str, payload: Payload) -> Question:
        """As 2.1, but for what 2.0.1 does not know."""
        if action == "SetChargingProfile":
            return action, {**payload, "chargingProfile": plain_profile(payload["chargingProfile"])}
        if action == "GetVariables":
            rows = [one for one in payload["getVariableData"] if one["component"]["name"] not in _CONTROLS_21]
            return action, {"getVariableData": rows}
        return action, payload

    def handlers(self, table: Handlers, station: str, numbers: TransactionNumbers) -> Handlers:
        """What 2.1 has anew is not taken."""
        del station, numbers
        return {action: handler for action, handler in table.items() if action not in _ONLY_21}


def plain_profile(profile: Payload) -> Payload:
    """A profile of limits, without what 2.1 added; BackendError NOT_SUPPORTED for one with set-points."""
    schedules = []
    for schedule in profile["chargingSchedule"]:
        periods = schedule["chargingSchedulePeriod"]
        if any(one.get("operationMode", "ChargingOnly") != "ChargingOnly" for one in periods):
            raise BackendError(ErrorCode.NOT_SUPPORTED, "discharge: this station's version of OCPP has none")
        schedules.append({**schedule, "chargingSchedulePeriod": [without(one, "operationMode") for one in periods]})
    kept = without(profile, "maxOfflineDuration", "invalidAfterOfflineDuration")
    return {**kept, "chargingSchedule": schedules}


OCPP_201_STATIONS = Ocpp201()
