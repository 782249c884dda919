"""OCPP 1.6J: connectors for EVSEs, transactions that we number, readings as text, and no reading back of profiles.

What such a station calls becomes the messages of 2.1: StartTransaction, StopTransaction, MeterValues and the charging
states of StatusNotification become TransactionEvents at the EVSE of the connector's number. They carry no `seqNo`, so
they are ordered by their instants. Profiles are `TxProfile` with the transaction's number, in watts or amperes with one
decimal; they end by their schedule's duration and their `validTo`. A station is asked for watts in its readings and for
a reading each minute where it has been set otherwise. Discharge does not exist.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.ocpp21.frames import OCPP_16, Payload
from ven_adapters.transport.ocpp21.versions.v21 import Handlers, OcppVersion, Question, TransactionNumbers
from ven_adapters.transport.ocpp21.versions.v201 import plain_profile

RATE_UNIT, HIGHEST_LEVEL = "ChargingScheduleAllowedChargingRateUnit", "ChargeProfileMaxStackLevel"
CONNECTORS, INTERVAL, MEASURANDS = "NumberOfConnectors", "MeterValueSampleInterval", "MeterValuesSampledData"
SAMPLE_S = 60
QUEUED_S = 60.0  # a message of 1.6 does not say that it was made offline: one that is older than this was
POWER, CURRENT, ENERGY = "Power.Active.Import", "Current.Import", "Energy.Active.Import.Register"

_ACTIONS: Mapping[str, str] = {
    "GetVariables": "GetConfiguration",
    "TriggerMessage": "TriggerMessage",
    "SetChargingProfile": "SetChargingProfile",
    "ClearChargingProfile": "ClearChargingProfile",
    "GetCompositeSchedule": "GetCompositeSchedule",
    "ChangeConfiguration": "ChangeConfiguration",
}
# Keys of the configuration, and the variables of 2.1 that they are.
_VARIABLES: Mapping[str, tuple[str, str]] = {
    RATE_UNIT: ("SmartChargingCtrlr", "RateUnit"),
    HIGHEST_LEVEL: ("SmartChargingCtrlr", "ProfileStackLevel"),
    CONNECTORS: ("ChargingStation", CONNECTORS),
    INTERVAL: ("SampledDataCtrlr", "TxUpdatedInterval"),
    MEASURANDS: ("SampledDataCtrlr", "TxUpdatedMeasurands"),
}
_CONNECTOR_STATES: Mapping[str, str] = {
    **dict.fromkeys(("Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing"), "Occupied"),
    **{same: same for same in ("Available", "Reserved", "Unavailable", "Faulted")},
}
_CHARGING_STATES = frozenset({"Charging", "SuspendedEV", "SuspendedEVSE"})
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
_PASSED_OVER = {
    "DiagnosticsStatusNotification": "LogStatusNotification",
    "SignedFirmwareStatusNotification": "FirmwareStatusNotification",
    **{same: same for same in ("LogStatusNotification", "FirmwareStatusNotification", "SecurityEventNotification")},
}


class Ocpp16(OcppVersion):
    """The translation of OCPP 1.6J."""

    number: ClassVar[str] = OCPP_16
    reads_profiles: ClassVar[bool] = False

    def spoken(self, action: str) -> str:
        """1.6's word for an action of 2.1; BackendError NOT_SUPPORTED where it has none."""
        if action not in _ACTIONS:
            raise BackendError(ErrorCode.NOT_SUPPORTED, f"{action}: OCPP 1.6J has nothing like it")
        return _ACTIONS[action]

    def request(self, action: str, payload: Payload) -> Question:
        """The call of 1.6 for a call of 2.1."""
        spoken = self.spoken(action)
        if action == "GetVariables":
            return spoken, {"key": list(_VARIABLES)}
        if action == "TriggerMessage":
            asked = payload["requestedMessage"]
            wanted = "MeterValues" if asked == "TransactionEvent" else asked
            return spoken, {"requestedMessage": wanted, "connectorId": payload["evse"]["id"]}
        if action == "SetChargingProfile":
            return spoken, _set_profile(payload)
        if action == "ClearChargingProfile":
            return spoken, _clear_profile(payload)
        if action == "GetCompositeSchedule":
            return spoken, {("connectorId" if key == "evseId" else key): value for key, value in payload.items()}
        return spoken, payload

    def answer(self, action: str, answer: Payload) -> Payload:
        """An answer of 1.6 as one of 2.1."""
        if action == "GetVariables":
            known = {one["key"]: one["value"] for one in answer.get("configurationKey", ()) if "value" in one}
            return {"getVariableResult": [_variable(key, known.get(key)) for key in _VARIABLES]}
        if action == "SetChargingProfile" and answer["status"] == "NotSupported":
            return {"status": "Rejected", "statusInfo": {"reasonCode": "UnsupportedPurpose"}}
        if action == "GetCompositeSchedule" and "chargingSchedule" in answer:
            schedule = dict(answer["chargingSchedule"])
            start = answer.get("scheduleStart", schedule.get("startSchedule"))
            return {"status": answer["status"], "schedule": schedule | {"scheduleStart": start}}
        return answer

    def handlers(self, table: Handlers, station: str, numbers: TransactionNumbers) -> Handlers:
        """The calls of a station of 1.6, each answered by way of those of 2.1."""
        inbound = Inbound16(table, station, numbers)
        return {
            "BootNotification": lambda _: table["BootNotification"]({}),
            "Heartbeat": table["Heartbeat"],
            "Authorize": inbound.authorise,
            "StatusNotification": inbound.connector,
            "StartTransaction": inbound.start,
            "StopTransaction": inbound.stop,
            "MeterValues": inbound.meter_values,
            "DataTransfer": table["DataTransfer"],
            **{action: table[same] for action, same in _PASSED_OVER.items()},
        }

    def after_greeting(
        self, variables: Iterable[Payload], evses: Iterable[int], say: Callable[[str], None]
    ) -> list[Question]:
        """Have the station measure power, often enough, and say where its connectors stand."""
        told = {one["variable"]["name"]: one.get("attributeValue") for one in variables}
        asked: list[Question] = []
        interval, measurands = told["TxUpdatedInterval"] or "", told["TxUpdatedMeasurands"]
        if not interval.isdecimal() or not 0 < int(interval) <= SAMPLE_S:
            asked.append(("ChangeConfiguration", {"key": INTERVAL, "value": str(SAMPLE_S)}))
        listed = [one.strip() for one in (measurands or "").split(",") if one.strip()]
        if measurands is not None and not {POWER, CURRENT} & set(listed):
            asked.append(("ChangeConfiguration", {"key": MEASURANDS, "value": ",".join([*listed, POWER])}))
        connectors = told[CONNECTORS] or ""
        for evse in evses:
            if connectors.isdecimal() and evse > int(connectors):
                say(f"it has {int(connectors)} connectors, and a car is registered at number {evse}")
            asked.append(("TriggerMessage", {"requestedMessage": "StatusNotification", "evse": {"id": evse}}))
        return asked


class Inbound16:
    """What one station of 1.6 calls, handed on to the handlers of 2.1."""

    def __init__(self, table: Handlers, station: str, numbers: TransactionNumbers) -> None:
        self._table, self._station, self._numbers = table, station, numbers

    def authorise(self, message: Payload) -> Payload:
        """Authorize."""
        return _id_tag_info(self._table["Authorize"]({"idToken": _token(message["idTag"])}))

    def connector(self, message: Payload) -> Payload:
        """StatusNotification: the connector's state, and what its transaction is doing where one runs."""
        evse, status = message["connectorId"], message["status"]
        at = message.get("timestamp", self._numbers.now_text())
        self._table["StatusNotification"](
            {"timestamp": at, "connectorStatus": _CONNECTOR_STATES[status], "evseId": evse, "connectorId": 1}
        )
        running = self._numbers.running_transaction(self._station, evse)
        if status in _CHARGING_STATES and running is not None:
            info = {"transactionId": running, "chargingState": status}
            self._tell("Updated", "ChargingStateChanged", at, info, evse={"id": evse})
        return {}

    def start(self, message: Payload) -> Payload:
        """StartTransaction: the number that it gets is on disk, with the connector, before it is answered."""
        evse, at = message["connectorId"], message["timestamp"]
        number = self._numbers.begin_transaction(self._station, evse, message)
        values = [{"timestamp": at, "sampledValue": [_register(message["meterStart"])]}]
        more = {"evse": {"id": evse}, "meterValue": values, "idToken": _token(message["idTag"])}
        answer = self._tell("Started", "Authorized", at, {"transactionId": str(number)}, **more)
        return _id_tag_info(answer) | {"transactionId": number}

    def stop(self, message: Payload) -> Payload:
        """StopTransaction; its connector is the one of its start. Only a cable that was pulled leaves no car there."""
        at, reason = message["timestamp"], message.get("reason", "Local")
        values = [_meter_value(one) for one in message.get("transactionData", ())]
        if not values:
            values = [{"timestamp": at, "sampledValue": [_register(message["meterStop"])]}]
        why = "EVDeparted" if reason == "EVDisconnected" else "StopAuthorized"
        info = {"transactionId": str(message["transactionId"]), "stoppedReason": reason}
        self._tell("Ended", why, at, info, meterValue=values)
        return {}

    def meter_values(self, message: Payload) -> Payload:
        """MeterValues: of its transaction, where it names one or one is known to run at the connector."""
        evse, values = message["connectorId"], [_meter_value(one) for one in message["meterValue"]]
        told = message.get("transactionId")
        running = self._numbers.running_transaction(self._station, evse) if told is None else str(told)
        if running is None or evse == 0:
            self._table["MeterValues"]({"evseId": evse, "meterValue": values})
        else:
            contexts = {sample.get("context") for one in message["meterValue"] for sample in one["sampledValue"]}
            why = "Trigger" if "Trigger" in contexts else "MeterValuePeriodic"
            newest = min((one["timestamp"] for one in values), key=self._numbers.age_s)
            self._tell("Updated", why, newest, {"transactionId": running}, evse={"id": evse}, meterValue=values)
        self._numbers.heard_trigger(self._station, evse)
        return {}

    def _tell(self, kind: str, why: str, at: str, transaction: Payload, **more: Any) -> Payload:
        """A TransactionEvent; `transaction` is its transactionInfo."""
        event = {
            "eventType": kind,
            "timestamp": at,
            "triggerReason": why,
            "seqNo": 0,
            "offline": self._numbers.age_s(at) > QUEUED_S,
            "transactionInfo": transaction,
        }
        return self._table["TransactionEvent"](event | more)


def _set_profile(payload: Payload) -> Payload:
    profile = plain_profile(payload["chargingProfile"])
    (schedule,) = profile["chargingSchedule"]
    if not str(profile["transactionId"]).isdecimal():
        raise BackendError(ErrorCode.NOT_PLUGGED, "transaction: it began under another version of OCPP")
    periods = [
        {**one, "limit": math.floor(one["limit"] * 10 + 1e-9) / 10} for one in schedule["chargingSchedulePeriod"]
    ]
    kept = {key: value for key, value in profile.items() if key not in ("id", "transactionId", "chargingSchedule")}
    return {
        "connectorId": payload["evseId"],
        "csChargingProfiles": {
            "chargingProfileId": profile["id"],
            "transactionId": int(profile["transactionId"]),
            **kept,
            "chargingSchedule": {
                **{key: schedule[key] for key in ("duration", "startSchedule", "chargingRateUnit")},
                "chargingSchedulePeriod": periods,
            },
        },
    }


def _clear_profile(payload: Payload) -> Payload:
    if "chargingProfileId" in payload:
        return {"id": payload["chargingProfileId"]}
    criteria = payload["chargingProfileCriteria"]
    return {"connectorId": criteria["evseId"], "chargingProfilePurpose": criteria["chargingProfilePurpose"]}


def _variable(key: str, value: str | None) -> Payload:
    component, variable = _VARIABLES[key]
    row = {"component": {"name": component}, "variable": {"name": variable}}
    if value is None:
        return {**row, "attributeStatus": "UnknownVariable"}
    return {**row, "attributeStatus": "Accepted", "attributeValue": value}


def _token(id_tag: str) -> Payload:
    return {"idToken": id_tag, "type": "Central"}


def _id_tag_info(answer: Payload) -> Payload:
    welcome = answer["idTokenInfo"]["status"] == "Accepted"
    return {"idTagInfo": {"status": "Accepted" if welcome else "Invalid"}}


def _register(watt_hours: int) -> Payload:
    return {"value": float(watt_hours), "measurand": ENERGY, "unitOfMeasure": {"unit": "Wh"}}


def _meter_value(told: Payload) -> Payload:
    """A MeterValue of 2.1; signed data is no number, and a text that is none makes no value of its whole."""
    samples = []
    for one in told["sampledValue"]:
        if one.get("format") == "SignedData":
            continue
        value = float(one["value"]) if _NUMBER.fullmatch(one["value"]) else math.nan
        unit = {"unitOfMeasure": {"unit": one["unit"]}} if "unit" in one else {}
        kept = {key: one[key] for key in ("context", "measurand", "phase", "location") if key in one}
        samples.append({"value": value, **kept, **unit})
    return {"timestamp": told["timestamp"], "sampledValue": samples}


OCPP_16_STATIONS = Ocpp16()
