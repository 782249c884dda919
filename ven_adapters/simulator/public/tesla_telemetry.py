"""Tesla's Fleet Telemetry over simulated cars: configurations, and what Tesla's own server would publish by MQTT.

A car takes its configuration when it is connected. While it is, it tells each field of it that has changed, no oftener
than the field's interval, and again after the field's resend interval; it tells when its connection begins and ends.
Topics and payloads are those of the fleet-telemetry server: `BASE/VIN/v/FIELD` with the bare value as JSON.
"""

import asyncio
import collections
import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import aiomqtt
import orjson

from ven_adapters.simulator.public.vendor_cloud import VendorCloud, stamp

BASE = "telemetry"
USUAL_INTERVAL_S = 60
MOST_WAITING = 100_000
EXACT = 1e-9
FIRMWARE, TELEMETRY_VERSION = "2026.20.3", "1.1.0"
KEYS = 3


@dataclasses.dataclass(slots=True)
class CarSetupState:
    """How one car stands to the application: its key, its software, the configuration that it was given."""

    paired: bool = True
    signed_only: bool = False
    software: str = FIRMWARE
    telemetry_version: str | None = TELEMETRY_VERSION
    streaming_allowed: bool | None = None
    limit_reached: bool = False
    config: dict[str, Any] | None = None
    synced: bool = False
    connection: int | None = None
    told: dict[str, tuple[Any, float]] = dataclasses.field(default_factory=dict)

    def refusal(self) -> str | None:
        """Why Tesla leaves the car out of a configuration."""
        if not self.paired:
            return "missing_key"
        if self.telemetry_version is None:
            return "unsupported_firmware"
        return "max_configs" if self.limit_reached else None

    def status(self) -> dict[str, Any]:
        """The car in `fleet_status`."""
        return {
            "firmware_version": self.software,
            "vehicle_command_protocol_required": self.signed_only,
            "discounted_device_data": False,
            "fleet_telemetry_version": self.telemetry_version,
            "total_number_of_keys": KEYS,
            "safety_screen_streaming_toggle_enabled": self.streaming_allowed,
        }


class TelemetryServer:
    """Every car's line to the fleet-telemetry server. `look` tells what changed; `run` publishes it."""

    def __init__(self, vendor_cloud: VendorCloud) -> None:
        self._vendor_cloud = vendor_cloud
        self.cars = [CarSetupState() for _ in vendor_cloud.natives]
        self.waiting: collections.deque[tuple[str, bytes]] = collections.deque(maxlen=MOST_WAITING)
        self.signals = 0
        self._connections = 0

    def configure(self, car: int, config: dict[str, Any] | None) -> None:
        """Give a car a configuration, or take it away; the car takes it when it is connected."""
        state = self.cars[car]
        state.config, state.synced = config, False

    def look(self, now: datetime, charge_of: Mapping[int, Mapping[str, Any]]) -> None:
        """What every car tells now; `charge_of` are the fields of the cars that are awake, by car."""
        at_s = now.timestamp()
        for car, state in enumerate(self.cars):
            fields = charge_of.get(car)
            state.synced = state.synced or fields is not None
            if fields is None or state.config is None:
                self._hang_up(car, state, now)
                continue
            if state.connection is None:
                self._connections += 1
                state.connection = self._connections
                self._connectivity(car, state, "CONNECTED", now)
            for name, value in self._due(state, fields, at_s):
                state.told[name] = value, at_s
                self.signals += 1
                self._offer(car, f"v/{name}", value)

    async def run(self, host: str, port: int, wakes_s: float = 0.05, **login: Any) -> None:
        """Publish what is waiting, until cancelled."""
        async with aiomqtt.Client(host, port, **login) as client:
            while True:
                while self.waiting:
                    topic, body = self.waiting.popleft()
                    await client.publish(topic, body)  # at most once, as the server does by itself
                await asyncio.sleep(wakes_s)

    @staticmethod
    def _due(state: CarSetupState, fields: Mapping[str, Any], at_s: float) -> Iterator[tuple[str, Any]]:
        """The fields of the configuration that are to be told now."""
        wanted = (state.config or {}).get("fields") or {}
        for name, rate in wanted.items():
            if name not in fields:
                continue
            told = state.told.get(name)
            if told is None:
                yield name, fields[name]
                continue
            age_s, resend_s = at_s - told[1], rate.get("resend_interval_seconds")
            changed = _differs(told[0], fields[name], rate.get("minimum_delta", 0.0))
            if (changed and age_s >= rate.get("interval_seconds", USUAL_INTERVAL_S)) or (
                resend_s and age_s >= resend_s
            ):
                yield name, fields[name]

    def _hang_up(self, car: int, state: CarSetupState, now: datetime) -> None:
        if state.connection is not None:
            self._connectivity(car, state, "DISCONNECTED", now)
            state.connection = None
            state.told.clear()

    def _connectivity(self, car: int, state: CarSetupState, status: str, now: datetime) -> None:
        told = {"ConnectionId": f"connection-{state.connection}", "Status": status, "CreatedAt": stamp(now)}
        self._offer(car, "connectivity", told)

    def _offer(self, car: int, topic: str, value: Any) -> None:
        self.waiting.append((f"{BASE}/{self._vendor_cloud.natives[car]}/{topic}", orjson.dumps(value)))


def _differs(before: Any, after: Any, least: float) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (before, after))
    return bool(abs(after - before) >= max(least, EXACT)) if numbers else bool(before != after)
