"""Tesla's Fleet Telemetry: what cars stream to Tesla's own server of that name, as it passes it on by MQTT.

Topics are `BASE/VIN/v/FIELD`, `BASE/VIN/connectivity`, `BASE/VIN/alerts/NAME/current` and `BASE/VIN/errors/NAME`. The
server is not the car: whoever can publish at the broker can say anything, so a message is bounded in size and number,
of a car that is not ours nothing is kept, and what is not understood is counted (`readings.vocabulary`). A value that
the broker had kept is passed over, for nobody knows how old it is. When our line breaks, all that was held is dropped:
what changed meanwhile was missed, and a car is trusted again once it has told something.
"""

import dataclasses
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import orjson

from ven_adapters.contract import BackendError, Reachability, Snapshot
from ven_adapters.lifecycle.evidence import CLOCK_ERROR
from ven_adapters.oems.tesla.fields import AFFECTED, RESEND_S, SOURCE, STATE, TRANSIT, FieldValue, snapshot_of_field
from ven_adapters.oems.tesla.settings import TelemetrySettings
from ven_adapters.transport.readings.mqtt_readings import BrokerAccount, Pauses, Stream, StreamMessage
from ven_adapters.transport.readings.vendor_readings import instant, snapshot_of
from ven_adapters.transport.readings.vocabulary import note, shown
from ven_adapters.transport.vendor_settings import OwnersSettings
from vtn.limits import Limit

MAX_FIELD_BYTES = 4 * 1024
# Messages of one car: what a connection brings at once, and what all fields together may bring ever after.
CAR_BURST, CAR_PER_S = 200.0, 5.0
STEADY = timedelta(seconds=1.5 * RESEND_S)
# A car that was seen to go to sleep is taken to sleep for so long at most.
ASLEEP_FOR = timedelta(hours=6)
OLDEST_NEWS = timedelta(minutes=10)


@dataclasses.dataclass(slots=True)
class CarLine:
    """What one car has told since our own line stands."""

    held: dict[str, FieldValue] = dataclasses.field(default_factory=dict)
    heard_at: datetime | None = None
    asleep_since: datetime | None = None
    connection: str | None = None


class FleetTelemetry:
    """Every car's stream. `batches` are readings as they come; `last_heard` is when each car last told a field."""

    def __init__(self, telemetry: TelemetrySettings, settings: OwnersSettings, pauses: Pauses | None = None) -> None:
        self._settings, self._base = settings, telemetry.topic_base
        self._cars: dict[str, CarLine] = {}
        self.last_heard: dict[str, datetime] = {}
        self._limit = Limit(CAR_BURST, CAR_PER_S)
        base = telemetry.topic_base
        topics = (f"{base}/+/v/+", f"{base}/+/connectivity", f"{base}/+/alerts/+/current", f"{base}/+/errors/+")
        self.stream = Stream(
            telemetry.broker,
            BrokerAccount(settings.state / "telemetry.stream", telemetry.user, telemetry.password, topics),
            self._read,
            pauses=pauses,
            seed=settings.seed,
            interrupted=self._cars.clear,
        )

    def batches(self) -> AsyncIterator[tuple[Snapshot, ...]]:
        """What cars tell; the line stands for as long as this is read."""
        return self.stream.batches()

    def flows(self, ref: str, now: datetime) -> bool:
        """Whether a car is connected, told its state and something lately, so that what it told last is so still."""
        line = self._cars.get(ref)
        steady = line is not None and line.heard_at is not None and now - line.heard_at <= STEADY
        return steady and line is not None and STATE in line.held

    def sleeps(self, ref: str, now: datetime) -> bool:
        """Whether a car was seen to end its connection, and not to begin another."""
        line = self._cars.get(ref)
        return line is not None and line.asleep_since is not None and now - line.asleep_since <= ASLEEP_FOR

    def _read(self, message: StreamMessage) -> Snapshot | None:
        """What a message says; None for one that says nothing of ours."""
        vin, _, rest = message.topic.removeprefix(f"{self._base}/").partition("/")
        ref, now = self._settings.names.find(vin), self._settings.clock.now()
        if ref is None:
            note(SOURCE, "a message of a car that is not ours")
            return None
        if len(message.body) > MAX_FIELD_BYTES:
            note(SOURCE, f"a message of more than {MAX_FIELD_BYTES} bytes")
            return None
        if self._limit.wait_s(ref, now.timestamp()):
            note(SOURCE, "more messages of one car than all of its fields bring")
            return None
        if message.retained:
            note(SOURCE, "a message that the broker had kept, of which nobody knows how old it is")
            return None
        try:
            return self._meaning(ref, rest.split("/"), orjson.loads(message.body), now)
        except (orjson.JSONDecodeError, BackendError):
            note(SOURCE, f"a message of {shown(rest.partition('/')[0])} is not of the documented shape")
            return None

    def _meaning(self, ref: str, parts: list[str], raw: Any, now: datetime) -> Snapshot | None:
        match parts:
            case ["v", name] if name in AFFECTED:
                return self._field(ref, name, raw, now)
            case ["v", name]:
                note(SOURCE, f"the field {shown(name)} is not read")
            case ["connectivity"]:
                return self._connectivity(ref, raw, now)
            case ["alerts", name, "current"]:
                note(SOURCE, f"the alert {shown(name)}")
            case ["errors", name]:
                note(SOURCE, f"the error {shown(name)}")
            case _:
                note(SOURCE, "a topic that is not known")
        return None

    def _field(self, ref: str, name: str, raw: Any, now: datetime) -> Snapshot:
        line = self._cars.setdefault(ref, CarLine())
        line.heard_at, line.asleep_since = now, None
        self.last_heard[ref] = now
        line.held[name] = FieldValue(raw, now - TRANSIT)
        return snapshot_of_field(ref, name, line.held, self._settings.homes.get(ref), now)

    def _connectivity(self, ref: str, raw: Any, now: datetime) -> Snapshot | None:
        """A connection that begins or ends; the end of one that another has followed says nothing."""
        status = raw.get("Status") if isinstance(raw, dict) else None
        at = instant(raw.get("CreatedAt")) if isinstance(raw, dict) else None
        if status not in {"CONNECTED", "DISCONNECTED"} or at is None:
            note(SOURCE, "a message of connectivity is not of the documented shape")
            return None
        if not now - OLDEST_NEWS <= at <= now + CLOCK_ERROR:
            note(SOURCE, "a message of connectivity whose instant is not about now")
            return None
        line, connection = self._cars.setdefault(ref, CarLine()), str(raw.get("ConnectionId"))
        if status == "CONNECTED":
            line.heard_at, line.asleep_since, line.connection = now, None, connection
            return _reachable(ref, Reachability.ONLINE, at, now)
        if line.connection not in {None, connection}:
            return None
        line.heard_at, line.asleep_since = None, now
        line.held.clear()  # what the car finds changed when it wakes up it tells anew
        return _reachable(ref, Reachability.ASLEEP, at, now)


def _reachable(ref: str, how: Reachability, at: datetime, now: datetime) -> Snapshot:
    return snapshot_of(ref, {"reachability": (how, min(at, now))}, SOURCE, now)
