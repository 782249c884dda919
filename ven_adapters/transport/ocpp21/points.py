"""What stations told, as values: a charging point with its car, and a station. Each message folds into the next value.

Every reading keeps the instant at which the station observed it; an older message never overwrites a newer one, so
that what a station queued while it was offline may arrive in any order. Pure; knows no frames' transport.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ven_adapters.contract import METER, ChargeState, Known, Reachability, Reading, Snapshot, Validity
from ven_adapters.transport.ocpp21.meter import Measured, instant, measured

T = TypeVar("T")

IDLE_W = 50.0
OLDEST_BELIEVABLE_YEAR = 2000
CLOCK_ERROR = timedelta(minutes=10)
SOURCE = METER

_STATES: Mapping[str, ChargeState] = {
    "Charging": ChargeState.CHARGING,
    "SuspendedEV": ChargeState.STOPPED,
    "SuspendedEVSE": ChargeState.NO_POWER,
    "EVConnected": ChargeState.STOPPED,
    "Idle": ChargeState.STOPPED,
}
_BIDIRECTIONAL = frozenset({"AC_BPT", "AC_BPT_DER", "DC_BPT", "DC_ACDP_BPT"})


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """One car's charging point as its owner registered it; `max_discharge_w` 0 means that it never gives."""

    ref: str
    station: str
    usable_wh: int
    max_charge_w: int
    evse: int = 1
    model: str = "charging point"
    max_discharge_w: int = 0
    min_discharge_w: int = 0
    phases: int = 1
    voltage_v: int = 240
    id_token: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Needs:
    """What the car itself said it needs and allows; powers are magnitudes, None where it said nothing.

    `spare_wh` is what the car lets out from the moment `at`, at which the export counter stood at `exported_wh`.
    """

    at: datetime
    bidirectional: bool = False
    own_schedule: bool = False
    departure: datetime | None = None
    max_charge_w: float | None = None
    max_discharge_w: float | None = None
    min_discharge_w: float | None = None
    spare_wh: float | None = None
    exported_wh: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A charging point now. `transaction` is the car's live one; without it no profile can be set.

    `stranger` is a transaction that somebody else's token began: another car, which is none of ours.
    """

    place: Place
    snapshot: Snapshot
    transaction: str | None = None
    needs: Needs | None = None
    prior: bool = False
    changed_at: datetime | None = None
    stranger: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Station:
    """A station now: connected or not, what it can do (None until asked), and which alarms of its inverter stand.

    `alarmed_at`: when the newest alarm, or the end of one, was told.
    """

    connected: bool = False
    connected_at: datetime | None = None
    v2x: bool | None = None
    modes: frozenset[str] = frozenset()
    transfers: tuple[str, ...] = ()
    highest_level: int | None = None
    alarms: frozenset[str] = frozenset()
    alarmed_at: datetime | None = None


def new_point(place: Place) -> Point:
    """A charging point of which nothing is known."""
    return Point(place, Snapshot(place.ref))


def reading(value: T, at: datetime, heard: datetime, source: str = SOURCE) -> Reading[T]:
    """A reading; one from before the year 2000 or from the future is a sentinel."""
    wrong = at.year < OLDEST_BELIEVABLE_YEAR or at - heard > CLOCK_ERROR
    return Reading(value, min(at, heard), heard, source, Validity.SENTINEL if wrong else Validity.OK)


def reached(point: Point, heard: datetime, *, connected: bool) -> Point:
    """The station came or went."""
    value = Reachability.ONLINE if connected else Reachability.OFFLINE
    snapshot = dataclasses.replace(point.snapshot, reachability=reading(value, heard, heard, "line"))
    return dataclasses.replace(point, snapshot=snapshot)


def connector(point: Point, message: Mapping[str, Any], heard: datetime) -> Point:
    """A StatusNotification: an available connector has no car; an occupied one may have."""
    at, status = instant(message["timestamp"]), message["connectorStatus"]
    if point.changed_at is not None and at < point.changed_at:
        return point
    if (
        status == "Available" and point.transaction is not None
    ):  # connectors flap; a transaction's end is told by itself
        return _with(point, plugged=reading(Known.NO, at, heard))
    if status == "Available":
        return _unplugged(point, at, heard)
    if status == "Faulted":
        return _with(point, charge_state=reading(ChargeState.FAULT, at, heard))
    return point


def transaction(point: Point, event: Mapping[str, Any], heard: datetime) -> Point:
    """A TransactionEvent with its meter values; another car's is as good as no car."""
    at, info = instant(event["timestamp"]), event["transactionInfo"]
    token = event.get("idToken", {}).get("idToken", point.place.id_token)
    late = point.changed_at is not None and at < point.changed_at
    if point.place.id_token not in (None, token):
        point = point if late else _unplugged(point, at, heard)
        return dataclasses.replace(point, stranger=info["transactionId"])
    if info["transactionId"] == point.stranger:  # what that car said of itself goes with it
        return point if point.transaction is not None else dataclasses.replace(point, needs=None)
    point = _metered(point, event.get("meterValue", ()), heard)
    if late:
        return point
    if event["eventType"] == "Ended" or info.get("stoppedReason") == "EVDisconnected":
        return _unplugged(point, at, heard) if _cable_out(event) else _stopped(point, at, heard)
    fresh = point.transaction != info["transactionId"]
    point = dataclasses.replace(
        point,
        transaction=info["transactionId"],
        needs=None if fresh and point.transaction is not None else point.needs,
        prior=point.prior and not fresh,
        changed_at=min(at, heard),  # a clock ahead of ours hides nothing later
    )
    state = _state(info.get("chargingState"), point.snapshot, at)
    more = {} if state is None else {"charge_state": reading(state, at, heard)}
    return _with(
        point, plugged=reading(Known.YES, at, heard), at_site=reading(Known.YES, at, heard, "charging point"), **more
    )


def metered(point: Point, meter_values: Iterable[Mapping[str, Any]], heard: datetime) -> Point:
    """Meter values of a charging point; while another car charges there they are none of ours."""
    elsewhere = point.transaction is None and point.stranger is not None
    return point if elsewhere else _metered(point, meter_values, heard)


def _metered(point: Point, meter_values: Iterable[Mapping[str, Any]], heard: datetime) -> Point:
    """Oldest first; each quantity moves only to a newer instant."""
    for one in measured(meter_values):
        point = dataclasses.replace(point, snapshot=_folded(point.snapshot, one, heard))
    return point


def needs(point: Point, message: Mapping[str, Any], heard: datetime) -> Point:
    """A NotifyEVChargingNeeds. A minimum V2X energy below zero is what the car lets out."""
    asked = message["chargingNeeds"]
    v2x = asked.get("v2xChargingParameters", {})
    transfers = {asked["requestedEnergyTransfer"], *asked.get("availableEnergyTransfer", ())}
    least_wh = v2x.get("evMinV2XEnergyRequest", v2x.get("evMinEnergyRequest"))
    counter = point.snapshot.energy_exported_wh
    departure = asked.get("departureTime")
    told = Needs(
        at=instant(message["timestamp"]) if "timestamp" in message else heard,
        bidirectional=bool(v2x) and not transfers.isdisjoint(_BIDIRECTIONAL),
        own_schedule=asked.get("controlMode") == "ScheduledControl",
        departure=None if departure is None else instant(departure),
        max_charge_w=v2x.get("maxChargePower"),
        max_discharge_w=v2x.get("maxDischargePower"),
        min_discharge_w=v2x.get("minDischargePower"),
        spare_wh=None if least_wh is None else max(0.0, -float(least_wh)),
        exported_wh=None if counter is None else counter.value,
    )
    point = dataclasses.replace(point, needs=told)
    if "targetSoC" in v2x:
        point = _with(point, limit_soc_pct=reading(float(v2x["targetSoC"]), told.at, heard, "car"))
    return point


def variables(station: Station, results: Iterable[Mapping[str, Any]]) -> Station:
    """The rows of a GetVariables answer or of a NotifyReport; what they do not name stays as it was known."""
    facts: dict[str, Any] = {}
    for one in results:
        fact = _FACTS.get((one["component"]["name"], one["variable"]["name"]))
        if fact is not None and "attributeValue" in one and one.get("attributeStatus", "Accepted") == "Accepted":
            facts[fact[0]] = fact[1](str(one["attributeValue"]))
    return dataclasses.replace(station, v2x=facts.pop("v2x", bool(station.v2x)), **facts)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


_FACTS: Mapping[tuple[str, str], tuple[str, Callable[[str], Any]]] = {
    ("V2XChargingCtrlr", "Enabled"): ("v2x", lambda text: text.lower() == "true"),
    ("V2XChargingCtrlr", "SupportedOperationModes"): ("modes", lambda text: frozenset(_listed(text))),
    ("V2XChargingCtrlr", "SupportedEnergyTransferModes"): ("transfers", _listed),
    ("SmartChargingCtrlr", "ProfileStackLevel"): (
        "highest_level",
        lambda text: int(text) if text.isdecimal() else None,
    ),
}


def _cable_out(event: Mapping[str, Any]) -> bool:
    departed = event["triggerReason"] in ("EVDeparted", "EVCommunicationLost")
    return departed or event["transactionInfo"].get("stoppedReason") == "EVDisconnected"


def _unplugged(point: Point, at: datetime, heard: datetime) -> Point:
    point = _stopped(point, at, heard)
    return _with(point, plugged=reading(Known.NO, at, heard), charge_state=reading(ChargeState.UNPLUGGED, at, heard))


def _stopped(point: Point, at: datetime, heard: datetime) -> Point:
    point = dataclasses.replace(point, transaction=None, needs=None, prior=False, changed_at=min(at, heard))
    return _with(
        point, charge_state=reading(ChargeState.STOPPED, at, heard), power_w=reading(0.0, at, heard, "transaction")
    )


def _with(point: Point, **values: Any) -> Point:
    return dataclasses.replace(point, snapshot=dataclasses.replace(point.snapshot, **values))


def _state(told: str | None, snapshot: Snapshot, at: datetime) -> ChargeState | None:
    """The meter says which way the power flows; the station's word says why none does."""
    power = snapshot.power_w
    if power is not None and power.observed_at >= at and abs(power.value) > IDLE_W:
        return ChargeState.CHARGING if power.value > 0 else ChargeState.DISCHARGING
    return None if told is None else _STATES.get(told)


def _folded(snapshot: Snapshot, one: Measured, heard: datetime) -> Snapshot:
    names = {
        "power_w": one.power_w,
        "soc_pct": one.soc_pct,
        "energy_added_wh": one.imported_wh,
        "energy_exported_wh": one.exported_wh,
        "current_a": one.current_a,
        "voltage_v": one.voltage_v,
    }
    fresh: dict[str, Any] = {}
    for name, value in names.items():
        held = getattr(snapshot, name)
        if value is not None and (held is None or held.observed_at <= one.at):
            fresh[name] = reading(value, one.at, heard)
    return dataclasses.replace(snapshot, **fresh)
