"""What stations told, as values: a charging point with its car, and a station. Each message folds into the next value.

Every reading keeps the instant at which the station observed it; an older message never overwrites a newer one, so
that what a station queued while it was offline may arrive in any order. Pure; knows no frames' transport.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

import pydantic

from ven_adapters.contract import METER, ChargeState, Known, Reachability, Reading, Snapshot, Validity
from ven_adapters.lifecycle.evidence import is_ahead, is_believable
from ven_adapters.transport.ocpp21.frames import VERSION
from ven_adapters.transport.ocpp21.stations.meter_values import IDLE_W, Circuit, Measured, MeterMemory, instant, read
from ven_adapters.transport.ocpp21.stations.transactions import is_end, made_now
from ven_adapters.transport.settings import StrictSection

T = TypeVar("T")

SOURCE = METER
LINE = "line"
V2X_CONTROLLER = "V2XChargingCtrlr"
DERIVED = "derived"  # from what a meter measured, by our own sums: no meter's word, so it makes no effect METERED

_STATES: Mapping[str, ChargeState] = {
    "Charging": ChargeState.CHARGING,
    "SuspendedEV": ChargeState.STOPPED,
    "SuspendedEVSE": ChargeState.NO_POWER,
    "EVConnected": ChargeState.STOPPED,
    "Idle": ChargeState.STOPPED,
}
_BIDIRECTIONAL = frozenset({"AC_BPT", "AC_BPT_DER", "DC_BPT", "DC_ACDP_BPT"})


WattHours = Annotated[int, pydantic.Field(gt=0, le=10_000_000)]
Power = Annotated[int, pydantic.Field(gt=0, le=10_000_000)]
DischargePower = Annotated[int, pydantic.Field(ge=0, le=10_000_000)]


class ChargedCar(StrictSection):
    """The charging point of one car as its owner registered it; `max_discharge_w` 0 means that it never gives."""

    station: str = pydantic.Field(description="its identity, which is one of `stations`")
    evse: Annotated[int, pydantic.Field(gt=0, le=10_000)] = 1
    usable_wh: WattHours = pydantic.Field(description="of the battery")
    max_charge_w: Power = pydantic.Field(description="what car and station can take")
    max_discharge_w: DischargePower = 0
    min_discharge_w: DischargePower = pydantic.Field(0, description="less than this is not asked for")
    phases: Annotated[int, pydantic.Field(gt=0, le=3)] = 1
    voltage_v: Annotated[int, pydantic.Field(gt=0, le=2_000)] = 240
    model: str = pydantic.Field("charging point", description="of the car")
    id_token: str | None = pydantic.Field(None, repr=False)


class RegisteredPoint(ChargedCar):
    """The same with the car's ref."""

    ref: str


@dataclasses.dataclass(frozen=True, slots=True)
class CarNeeds:
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
    direct_current: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ChargingPoint:
    """A charging point now. `transaction` is the car's live one; without it no profile can be set.

    `stranger` is a transaction that somebody else's token began: another car, which is none of ours. `phases_used` is
    what the station said of this transaction, `seq_no` the highest number that it told it under, and `over` the newest
    transaction that has ended; `occupied` are the EVSE's connectors that hold a car.
    """

    place: RegisteredPoint
    snapshot: Snapshot
    transaction: str | None = None
    needs: CarNeeds | None = None
    prior: bool = False
    changed_at: datetime | None = None
    stranger: str | None = None
    meter: MeterMemory = MeterMemory()  # noqa: RUF009 - frozen
    phases_used: int | None = None
    seq_no: int | None = None
    over: str | None = None
    occupied: frozenset[int] = frozenset()

    @property
    def circuit(self) -> Circuit:
        """How the car is connected: what its owner registered, unless the station knows better."""
        gives = self.place.max_discharge_w > 0 and self.needs is not None and self.needs.bidirectional
        return Circuit(self.phases_used or self.place.phases, self.place.voltage_v, gives)


@dataclasses.dataclass(frozen=True, slots=True)
class Station:
    """A station now: connected or not, what it can do (None until asked), and which alarms of its inverter stand.

    `alarmed_at`: when the newest alarm, or the end of one, was told. `rate_units`: of schedules, empty until told;
    `refused_units`: those that it refused all the same. `clock_offset_s`: how far its clock is ahead, 0 while it is
    right. `unplaced`: how many events of transactions came that no charging point could be found for. `by_evse`: facts
    that it told of one EVSE alone; see `at_evse`. `version`: the OCPP that it speaks; `controls`: the DER controls that
    somebody else has begun and not ended.
    """

    connected: bool = False
    version: str = VERSION
    connected_at: datetime | None = None
    v2x: bool | None = None
    modes: frozenset[str] = frozenset()
    transfers: tuple[str, ...] = ()
    highest_level: int | None = None
    alarms: frozenset[str] = frozenset()
    alarmed_at: datetime | None = None
    controls: frozenset[str] = frozenset()
    rate_units: frozenset[str] = frozenset()
    refused_units: frozenset[str] = frozenset()
    clock_offset_s: float = 0.0
    unplaced: int = 0
    by_evse: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def new_point(place: RegisteredPoint) -> ChargingPoint:
    """A charging point of which nothing is known."""
    return ChargingPoint(place, Snapshot(place.ref))


def reading(value: T, at: datetime, heard: datetime, source: str = SOURCE) -> Reading[T]:
    """A reading; one from before 2000 or from far ahead is a sentinel, and one from somewhat ahead proves nothing."""
    doubtful = Validity.STALE if is_ahead(at, heard) else Validity.OK
    validity = doubtful if is_believable(at, heard) else Validity.SENTINEL
    return Reading(value, min(at, heard), heard, source, validity)


def distrusted(point: ChargingPoint, heard: datetime) -> ChargingPoint:
    """What was heard just now, from a station whose clock is out: to be used, and to prove nothing."""
    told = {field.name: getattr(point.snapshot, field.name) for field in dataclasses.fields(Snapshot)}
    doubtful = {
        name: dataclasses.replace(one, validity=Validity.STALE)
        for name, one in told.items()
        if isinstance(one, Reading) and one.received_at == heard and one.source != LINE and one.validity is Validity.OK
    }
    return _with(point, **doubtful)


def reached(point: ChargingPoint, heard: datetime, *, connected: bool) -> ChargingPoint:
    """The station came or went."""
    value = Reachability.ONLINE if connected else Reachability.OFFLINE
    snapshot = dataclasses.replace(point.snapshot, reachability=reading(value, heard, heard, LINE))
    return dataclasses.replace(point, snapshot=snapshot)


def connector(point: ChargingPoint, message: Mapping[str, Any], heard: datetime) -> ChargingPoint:
    """A StatusNotification: an EVSE has no car when none of its connectors has; an occupied one may have.

    Connectors flap, and while a transaction runs only its own end ends it.
    """
    at, status = instant(message["timestamp"]), message["connectorStatus"]
    if point.changed_at is not None and at < point.changed_at:
        return point
    one = frozenset({message["connectorId"]})
    point = dataclasses.replace(point, occupied=point.occupied | one if status == "Occupied" else point.occupied - one)
    if status == "Available" and not point.occupied:
        free = _with(point, plugged=reading(Known.NO, at, heard))
        return free if point.transaction is not None else _unplugged(point, at, heard)
    if status == "Faulted":
        return _with(point, charge_state=reading(ChargeState.FAULT, at, heard))
    return point


def transaction(
    point: ChargingPoint, event: Mapping[str, Any], heard: datetime, last_seq: int | None = None
) -> ChargingPoint:
    """A TransactionEvent with its meter values; another car's is as good as no car.

    `last_seq`: the highest `seqNo` that this transaction had told before, None for one that is new to us. The order of
    one transaction is that of its numbers, and of different ones that of their instants. An end ends its own only, and
    nothing follows it.
    """
    at, info = instant(event["timestamp"]), event["transactionInfo"]
    if info["transactionId"] == point.over:
        return point
    if last_seq is None and info["transactionId"] == point.transaction:
        last_seq = point.seq_no
    token = event.get("idToken", {}).get("idToken", point.place.id_token)
    late = _late(point, event, at, last_seq)
    if point.place.id_token not in (None, token):
        point = point if late else _unplugged(point, at, heard)
        return dataclasses.replace(point, stranger=info["transactionId"])
    if info["transactionId"] == point.stranger:  # what that car said of itself goes with it
        return point if point.transaction is not None else dataclasses.replace(point, needs=None)
    fresh = point.transaction != info["transactionId"]
    if not late and not is_end(event):
        point = _begun(point) if fresh else point
        point = dataclasses.replace(point, phases_used=event.get("numberOfPhasesUsed") or point.phases_used)
    point = _metered(point, event.get("meterValue", ()), heard, late=late)
    if late:
        return point
    if is_end(event):
        point = _unplugged(point, at, heard) if _cable_out(event) else _stopped(point, at, heard)
        return dataclasses.replace(point, over=info["transactionId"])
    point = dataclasses.replace(
        point,
        transaction=info["transactionId"],
        seq_no=event["seqNo"],
        needs=None if fresh and point.transaction is not None else point.needs,
        prior=point.prior and not fresh,
        changed_at=min(at, heard),  # a clock ahead of ours hides nothing later
    )
    state = _state(info.get("chargingState"), point.snapshot, at)
    more = {} if state is None else {"charge_state": reading(state, at, heard)}
    return _with(
        point, plugged=reading(Known.YES, at, heard), at_site=reading(Known.YES, at, heard, "charging point"), **more
    )


def _late(point: ChargingPoint, event: Mapping[str, Any], at: datetime, last_seq: int | None) -> bool:
    """Whether what an event tells of its transaction has been overtaken."""
    running, own = point.transaction, event["transactionInfo"]["transactionId"]
    if is_end(event) and running is not None:
        return bool(running != own)
    if running == own and last_seq is not None and event["seqNo"] != last_seq:
        return bool(event["seqNo"] < last_seq)
    if running is None and last_seq is None and made_now(event):
        return False  # whatever a station's clock says, which may have been set back
    return point.changed_at is not None and at < point.changed_at


def _begun(point: ChargingPoint) -> ChargingPoint:
    """Another transaction is another car, perhaps, with a meter that tells other phases."""
    return dataclasses.replace(point, meter=MeterMemory(), phases_used=None)


def metered(point: ChargingPoint, meter_values: Iterable[Mapping[str, Any]], heard: datetime) -> ChargingPoint:
    """Meter values of a charging point; while another car charges there they are none of ours."""
    elsewhere = point.transaction is None and point.stranger is not None
    return point if elsewhere else _metered(point, meter_values, heard)


def _metered(
    point: ChargingPoint, values: Iterable[Mapping[str, Any]], heard: datetime, *, late: bool = False
) -> ChargingPoint:
    """Oldest first; each quantity moves only to a newer instant."""
    instants, memory = read(values, point.circuit, point.meter, late=late)
    snapshot = point.snapshot
    for one in instants:
        snapshot = _folded(snapshot, one, heard, late=late and one.at != memory.at)
    counter, needs = snapshot.energy_exported_wh, point.needs
    if needs is not None and needs.exported_wh is None and counter is not None:
        needs = dataclasses.replace(needs, exported_wh=counter.value)
    return dataclasses.replace(point, snapshot=snapshot, meter=memory, needs=needs)


def needs(point: ChargingPoint, message: Mapping[str, Any], heard: datetime) -> ChargingPoint:
    """A NotifyEVChargingNeeds. A minimum V2X energy below zero is what the car lets out."""
    asked = message["chargingNeeds"]
    v2x = asked.get("v2xChargingParameters", {})
    transfers = {asked["requestedEnergyTransfer"], *asked.get("availableEnergyTransfer", ())}
    least_wh = v2x.get("evMinV2XEnergyRequest", v2x.get("evMinEnergyRequest"))
    counter = point.snapshot.energy_exported_wh
    departure = asked.get("departureTime")
    told = CarNeeds(
        at=instant(message["timestamp"]) if "timestamp" in message else heard,
        bidirectional=bool(v2x) and not transfers.isdisjoint(_BIDIRECTIONAL),
        own_schedule=asked.get("controlMode") == "ScheduledControl",
        departure=None if departure is None else instant(departure),
        max_charge_w=_of_all_phases(v2x, "maxChargePower"),
        max_discharge_w=_of_all_phases(v2x, "maxDischargePower"),
        min_discharge_w=_of_all_phases(v2x, "minDischargePower"),
        direct_current=asked["requestedEnergyTransfer"].startswith("DC"),
        spare_wh=None if least_wh is None else max(0.0, -float(least_wh)),
        exported_wh=None if counter is None else counter.value,
    )
    point = dataclasses.replace(point, needs=told)
    if "targetSoC" in v2x:
        point = _with(point, limit_soc_pct=reading(float(v2x["targetSoC"]), told.at, heard, "car"))
    return point


def _of_all_phases(told: Mapping[str, Any], name: str) -> float | None:
    """A power of all phases: the field alone is that; beside fields for L2 and L3 it is that of L1."""
    parts = [told[key] for key in (name, f"{name}_L2", f"{name}_L3") if key in told]
    return float(sum(parts)) if name in told else None


def variables(station: Station, results: Iterable[Mapping[str, Any]]) -> Station:
    """The rows of a GetVariables answer or of a NotifyReport; what they do not name stays as it was known.

    A component of one EVSE speaks for that EVSE. Discharge is a matter of OCPP 2.1.
    """
    facts: dict[str, Any] = {}
    by_evse = {evse: dict(known) for evse, known in station.by_evse.items()}
    for one in results:
        if station.version != VERSION and one["component"]["name"] == V2X_CONTROLLER:
            continue
        fact = _FACTS.get((one["component"]["name"], one["variable"]["name"]))
        if fact is not None and "attributeValue" in one and one.get("attributeStatus", "Accepted") == "Accepted":
            evse = one["component"].get("evse", {}).get("id")
            known = facts if evse is None else by_evse.setdefault(evse, {})
            known[fact[0]] = fact[1](str(one["attributeValue"]))
    return dataclasses.replace(station, v2x=facts.pop("v2x", bool(station.v2x)), by_evse=by_evse, **facts)


def at_evse(station: Station, evse: int) -> Station:
    """A station as it is for one of its EVSEs."""
    return dataclasses.replace(station, **station.by_evse.get(evse, {}))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _units(text: str) -> frozenset[str]:
    """Units of schedules, also as OCPP 1.6 spelled them; what is neither tells nothing."""
    spelled = {"w": "W", "power": "W", "a": "A", "current": "A"}
    return frozenset(spelled[one.lower()] for one in _listed(text) if one.lower() in spelled)


_FACTS: Mapping[tuple[str, str], tuple[str, Callable[[str], Any]]] = {
    (V2X_CONTROLLER, "Enabled"): ("v2x", lambda text: text.lower() == "true"),
    (V2X_CONTROLLER, "SupportedOperationModes"): ("modes", lambda text: frozenset(_listed(text))),
    (V2X_CONTROLLER, "SupportedEnergyTransferModes"): ("transfers", _listed),
    ("SmartChargingCtrlr", "RateUnit"): ("rate_units", _units),
    ("SmartChargingCtrlr", "ProfileStackLevel"): (
        "highest_level",
        lambda text: int(text) if text.isdecimal() else None,
    ),
}


def _cable_out(event: Mapping[str, Any]) -> bool:
    departed = event["triggerReason"] in ("EVDeparted", "EVCommunicationLost")
    return departed or event["transactionInfo"].get("stoppedReason") == "EVDisconnected"


def _unplugged(point: ChargingPoint, at: datetime, heard: datetime) -> ChargingPoint:
    point = _stopped(point, at, heard)
    return _with(point, plugged=reading(Known.NO, at, heard), charge_state=reading(ChargeState.UNPLUGGED, at, heard))


def _stopped(point: ChargingPoint, at: datetime, heard: datetime) -> ChargingPoint:
    point = dataclasses.replace(point, transaction=None, needs=None, prior=False, changed_at=min(at, heard))
    return _with(
        point, charge_state=reading(ChargeState.STOPPED, at, heard), power_w=reading(0.0, at, heard, "transaction")
    )


def _with(point: ChargingPoint, **values: Any) -> ChargingPoint:
    return dataclasses.replace(point, snapshot=dataclasses.replace(point.snapshot, **values))


def _state(told: str | None, snapshot: Snapshot, at: datetime) -> ChargeState | None:
    """The meter says which way the power flows; the station's word says why none does."""
    power = snapshot.power_w
    if power is not None and power.observed_at >= at and abs(power.value) > IDLE_W:
        return ChargeState.CHARGING if power.value > 0 else ChargeState.DISCHARGING
    return None if told is None else _STATES.get(told)


def _folded(snapshot: Snapshot, one: Measured, heard: datetime, *, late: bool) -> Snapshot:
    names = {
        "power_w": one.power_w,
        "soc_pct": one.soc_pct,
        "energy_added_wh": one.imported_wh,
        "energy_exported_wh": one.exported_wh,
        "current_a": one.current_a,
        "voltage_v": one.voltage_v,
    }
    fresh: dict[str, Any] = {}
    at = min(one.at, heard)  # as it is kept
    for name, value in names.items():
        held = getattr(snapshot, name)
        newer = held is None or held.observed_at < at or (held.observed_at == at and not late)
        if value is not None and newer:
            fresh[name] = reading(value, one.at, heard, DERIVED if one.derived and name == "power_w" else SOURCE)
    return dataclasses.replace(snapshot, **fresh)
