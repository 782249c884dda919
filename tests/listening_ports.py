"""Every kind of port that a process of ours listens at, started on loopback, and what proves somebody at each."""

import asyncio
import base64
import contextlib
import dataclasses
import socket
import time
from datetime import UTC, datetime

from enrolling_parts import KEY, settings
from ocpp_rig import PASSWORD
from ocpp_rig import settings as ocpp_settings

from ven_adapters.config import WakeSettings
from ven_adapters.enrolment_api import serve as enrolling
from ven_adapters.linking import returns
from ven_adapters.oems import ocpp
from ven_adapters.simulator import serve as simulator
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings
from ven_adapters.transport.http import signatures
from ven_adapters.transport.http.codec import EventDelivery, dump_delivery
from ven_adapters.transport.http.webhooks import (
    WebhookAddress,
    WebhookBody,
    WebhookReceiver,
    backend_webhooks,
    digest_in,
    keyed_digest,
)
from ven_adapters.ven.openadr.notifications import WakeSignal, _receiver, hook_address
from vtn.app import add_client, running
from vtn.bounds import Bounds
from vtn.clock import RealClock
from vtn.config import Mqtt, Server, Settings
from vtn.conformance.parties.receiver import receiving
from vtn.listening.http import HttpOptions, listening

SECRET = "a-secret-of-the-tests"
STRANGER = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_S = 90.0


@dataclasses.dataclass(frozen=True)
class ListeningPort:
    """Its number, and a request with a valid credential; None where nothing is secret."""

    number: int
    proof: bytes | None


def request(method, path, body=b"", **headers):
    """A request as it goes over the line."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *length, *lines, "", ""]).encode() + body


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def vtn(folder, bounds):
    own = Settings(server=Server(port=0, var=folder), mqtt=Mqtt(mode="off"), bounds=Bounds(connections=bounds))
    secret = await add_client(own, "bl", "BL", ())
    form = f"grant_type=client_credentials&client_id=bl&client_secret={secret}".encode()
    async with running(own) as url:
        kind = "application/x-www-form-urlencoded"
        proof = request("POST", "/openadr3/3.1.0/auth/token", form, Content_Type=kind)
        yield ListeningPort(int(url.rpartition(":")[2]), proof)


@contextlib.asynccontextmanager
async def enrolment(folder, bounds):
    own = settings(folder, listening=bounds.model_dump())
    async with enrolling.opened(own) as store, store.write(datetime.now(UTC)) as write:
        await write.put_key("app", KEY)
    async with enrolling.running(own, RealClock()) as url:
        proof = request("GET", "/v1/cars", Authorization=f"Bearer {KEY}")
        yield ListeningPort(int(url.rpartition(":")[2]), proof)


@contextlib.asynccontextmanager
async def webhook(_folder, bounds):
    receiver = backend_webhooks(WebhookAddress(SECRET, bounds=bounds), RealClock())
    port = await receiver.start()
    body, now = dump_delivery(EventDelivery("e-1", challenge="c" * 32)), int(time.time())
    headers = {signatures.TIMESTAMP_HEADER: now, signatures.SIGNATURE_HEADER: signatures.sign(SECRET, now, body)}
    try:
        yield ListeningPort(port, request("POST", "/", body, **headers))
    finally:
        await receiver.stop()


@contextlib.asynccontextmanager
async def pushes(_folder, bounds):
    listener = WebhookReceiver(
        WebhookAddress(SECRET, bounds=bounds),
        digest_in("Sign", SECRET, "sha256"),
        lambda _: WebhookBody(once="1"),
    )
    events = listener.events()
    taking = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(PATIENCE_S):
        while not listener.port:  # noqa: ASYNC110 - it rings no wake signal
            await asyncio.sleep(0.01)
    try:
        yield ListeningPort(listener.port, request("POST", "/", b"{}", Sign=keyed_digest(SECRET, b"{}", "sha256")))
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        await events.aclose()  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def wake(_folder, bounds):
    own = WakeSettings(mode="webhook", listening=bounds)
    async with listening(_receiver(WakeSignal(), SECRET), hook_address(own), HttpOptions(own.listening)) as port:
        yield ListeningPort(port, request("POST", "/", b"{}", Authorization=f"Bearer {SECRET}"))


@contextlib.asynccontextmanager
async def consent(_folder, _bounds):
    port = free_port()
    async with returns.listening(f"http://127.0.0.1:{port}/back", SECRET):
        yield ListeningPort(port, request("GET", f"/back?state={SECRET}"))


@contextlib.asynccontextmanager
async def backend(_folder, _bounds):
    own = SimulatorSettings("bmw", 1, 7, datetime.now(UTC), SECRET, faults=NO_FAULTS, truth="as_told")
    async with simulator.running(own, RealClock()) as live:
        yield ListeningPort(live.port, request("GET", "/v1/vehicles", Authorization=f"Bearer {SECRET}"))


@contextlib.asynccontextmanager
async def kit(_folder, _bounds):
    async with receiving("http://127.0.0.1:0", None, None) as receiver:
        yield ListeningPort(int(receiver.url.rpartition(":")[2]), None)


@contextlib.asynccontextmanager
async def stations(_folder, bounds):
    made = ocpp.backend(ocpp_settings(listening=bounds.model_dump()))
    try:
        pair = base64.b64encode(f"CP-1:{PASSWORD}".encode()).decode()
        proof = request(
            "GET",
            "/CP-1",
            Upgrade="websocket",
            Connection="Upgrade",
            Sec_WebSocket_Key=base64.b64encode(bytes(16)).decode(),
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Protocol="ocpp2.1",
            Authorization=f"Basic {pair}",
        )
        yield ListeningPort(await made.port(), proof)  # type: ignore[attr-defined]
    finally:
        await made.close()


PORTS = {
    "vtn": vtn,
    "enrolment": enrolment,
    "webhook": webhook,
    "pushes": pushes,
    "wake": wake,
    "consent": consent,
    "simulated backend": backend,
    "kit": kit,
    "stations": stations,
}


def told(caplog):
    """What was logged, but for what the garbage collector says of tasks that an earlier test's servers left behind."""
    return [one for one in caplog.records if "destroyed but it is pending" not in one.getMessage()]
