"""Teslas that stream: their recorded cloud, a real broker that knows its users, an adapter on a clock that jumps."""

import asyncio
import collections
import contextlib
import json
from datetime import timedelta
from pathlib import Path

import aiomqtt
from external_broker import ExternalBroker, knowing
from public_rigs import PATIENCE_S, Rig, consented, usual
from recorded import EVENING, TeslaCloud

from ven_adapters.contract import SnapshotsSeen
from ven_adapters.oems.tesla import backend as tesla
from ven_adapters.simulator.stepped_clock import NAP_S, SteppedClock
from ven_adapters.transport.readings import vocabulary
from ven_adapters.transport.readings.mqtt_readings import Pauses
from vtn.tls import trusting

USER, PASSWORD, SERVER = "evtn-reads", "hush-broker", "fleet-telemetry"
QUICK = Pauses(first_s=0.05, longest_s=0.2, look_s=0.05)
FIRST, SECOND = "SYNTHETICVIN00001", "SYNTHETICVIN00002"
BASE = "telemetry"


def broker_at(folder, authority):
    """A broker with TLS; `ca` is the file of who vouches for it."""
    pair = authority.issue("broker", server=True)
    plugins = knowing(folder, **{USER: PASSWORD, SERVER: PASSWORD})
    made = ExternalBroker(folder, plugins, tls=(pair.pem, pair.key_file))
    made.ca = str(authority.file)  # type: ignore[attr-defined]
    return made


class JumpingClock(SteppedClock):
    """Time that jumps in one step however far it goes: nobody in these tests has to act in between."""

    async def advance(self, seconds):
        self._jumped += timedelta(seconds=seconds)
        await asyncio.sleep(5.0 * NAP_S)


class TelemetryRig(Rig):
    """`listen` takes what the backend pushes; `seen` has it."""

    def start(self, broker):
        self.broker = broker
        self.seen = collections.deque()
        self.telemetry.stream._pauses = QUICK
        self.listening = asyncio.create_task(self.listen())

    @property
    def telemetry(self):
        return self.backend._cars._cars._telemetry  # type: ignore[attr-defined]

    @property
    def arming(self):
        return self.backend._cars._cars._arming  # type: ignore[attr-defined]

    async def listen(self):
        async for event in self.backend.events():  # type: ignore[attr-defined]
            if isinstance(event, SnapshotsSeen):
                self.seen.extend(event.snapshots)

    async def until(self, holds):
        async with asyncio.timeout(PATIENCE_S):
            while not (found := holds()):  # noqa: ASYNC110 - the line's own pace
                await asyncio.sleep(0.01)
            return found

    async def up(self, *, standing=True):
        await self.until(lambda: bool(self.telemetry.stream.up) is standing)

    async def publish(self, *told, vin=FIRST, retain=False):
        """The server publishes: pairs of a topic below the car's and a value, or the bytes of one."""
        tls = trusting(Path(self.broker.ca)) if self.broker.ca else None
        async with aiomqtt.Client(
            "127.0.0.1", self.broker.port, username=SERVER, password=PASSWORD, tls_context=tls
        ) as client:
            for topic, value in told:
                body = value if isinstance(value, bytes) else json.dumps(value)
                await client.publish(f"{BASE}/{vin}/{topic}", body, qos=1, retain=retain)

    async def stream(self, *, vin=FIRST, **fields):
        """A car tells fields; returns when the last of them was read."""
        before = len(self.seen)
        await self.publish(*((f"v/{name}", value) for name, value in fields.items()), vin=vin)
        await self.until(lambda: len(self.seen) >= before + len(fields))

    async def connected(self, status="CONNECTED", *, connection="c-1", at=None, vin=FIRST):
        told = {"ConnectionId": connection, "Status": status, "CreatedAt": (at or self.clock.now()).isoformat()}  # type: ignore[attr-defined]
        await self.publish(("connectivity", told), vin=vin)

    async def counted(self, what):
        """Until something was counted, and how often."""
        return await self.until(lambda: vocabulary.counts[("tesla-telemetry", what)])

    def reads(self):
        """Calls for cars' data."""
        return [path for _, path in self.cloud.requests if path.endswith("/vehicle_data")]  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def telemetry_rig(state, broker=None, *, speed=1.0, hostname=None, vehicles=True, **more):
    """An adapter of two Teslas; with a broker its table has `telemetry`."""
    vocabulary.counts.clear()
    clock = JumpingClock(EVENING, speed)
    async with TeslaCloud(clock).open() as cloud:
        consented(state)
        settings = usual(cloud, clock, state) | {"homes": {"t-0": [0.0, 0.0], "t-1": [0.0, 0.0]}}
        settings |= {"vehicles": {vin: f"t-{n}" for n, vin in enumerate(cloud.cars)}} if vehicles else {}
        table = {} if broker is None else {"stream": broker.url, "stream_ca": broker.ca, "user": USER}
        table |= {} if broker is None else {"password": PASSWORD}
        table |= {} if hostname is None else {"hostname": hostname, "port": 443}
        settings |= ({"telemetry": table} if table else {}) | more
        rig = TelemetryRig("tesla", tesla.backend(settings), cloud, clock, settings, refs=("t-0", "t-1"))
        if broker is not None:
            rig.start(broker)
        try:
            yield rig
        finally:
            if broker is not None:
                rig.listening.cancel()
                await asyncio.gather(rig.listening, return_exceptions=True)
            await rig.backend.close()  # type: ignore[attr-defined]
