"""An MQTT session as one of the parties, made as `/notifiers` says: which broker, and how to log in."""

import asyncio
import contextlib
import dataclasses
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt

from vtn.conformance.check import Failed, expect

Json = dict[str, Any]
ARRIVES_WITHIN_S = 10.0
SILENCE_S = 0.5
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclasses.dataclass(frozen=True, slots=True)
class Heard:
    """One message."""

    topic: str
    body: Json
    retained: bool

    @property
    def said(self) -> tuple[Any, Any, Any]:
        """The operation, the kind of object, and its id."""
        return self.body.get("operation"), self.body.get("objectType"), (self.body.get("object") or {}).get("id")


class Ear:
    """What an MQTT session hears. `refused` holds the topics that it was not let to, `log` all that it ever heard."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.refused: list[str] = []
        self.log: list[Heard] = []
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()

    async def subscribe(self, *topics: str, qos: int = 1) -> None:
        """Subscribe to topics; those that are not granted are noted."""
        for topic in topics:
            granted: Any = await self.client.subscribe(topic, qos=qos)
            codes = [int(getattr(code, "value", code)) for code in granted]
            if any(code >= 0x80 for code in codes):  # noqa: PLR2004 - SUBACK's failure codes
                self.refused.append(topic)

    async def listen(self) -> None:
        """Collect messages until cancelled."""
        async for message in self.client.messages:
            body = json.loads(message.payload) if isinstance(message.payload, (bytes, str)) and message.payload else {}
            said = body if isinstance(body, dict) else {}
            self.log.append(Heard(str(message.topic), said, message.retain))
            self._heard.put_nowait(self.log[-1])

    async def next(self, within_s: float = ARRIVES_WITHIN_S) -> Heard:
        """The next message; Failed when none comes."""
        try:
            async with asyncio.timeout(within_s):
                return await self._heard.get()
        except TimeoutError:
            raise Failed(f"no MQTT message came within {within_s:g} s") from None

    async def until(self, operation: str, thing: Json) -> Heard:
        """The message of this operation on this object, whatever else comes before it."""
        return (await self.hears_all((operation, thing)))[0]

    async def hears_all(self, *wanted: tuple[str, Json]) -> list[Heard]:
        """The messages of these operations on these objects, which may come in any order and among others."""
        missing = {(operation, thing["objectType"], thing["id"]) for operation, thing in wanted}
        found: list[Heard] = []
        while missing:
            try:
                heard = await self.next()
            except Failed:
                raise Failed(f"no MQTT message of {missing} came within {ARRIVES_WITHIN_S:g} s") from None
            if heard.said in missing:
                missing.remove(heard.said)
                found.append(heard)
        return found

    async def never(self, *things: Json) -> None:
        """Failed when anything about these objects has come or comes now; called after what must come has come."""
        await asyncio.sleep(SILENCE_S)  # nothing says that a message will not come
        ids = {thing["id"] for thing in things}
        for heard in self.log:
            expect(heard.said[2] not in ids, f"what should not be heard was heard on {heard.topic}: {heard.said}")

    async def none(self, within_s: float = SILENCE_S) -> None:
        """Failed when a message comes; call it after one that must come has come."""
        try:
            async with asyncio.timeout(within_s):
                heard = await self._heard.get()
        except TimeoutError:
            return
        raise Failed(f"a message came on {heard.topic} that should not have come: {heard.body.get('operation')}")


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """A broker as `/notifiers` describes it (`binding`), who logs in, and whose certificates to trust (False: any)."""

    binding: Mapping[str, Any]
    client_id: str
    token: str | None = dataclasses.field(repr=False)
    trust: ssl.SSLContext | bool = True


@contextlib.asynccontextmanager
async def connected(login: Login, **options: Any) -> AsyncIterator[aiomqtt.Client]:
    """A session with the first broker named; aiomqtt.MqttError when it is refused. `options` outrank the login."""
    parts = urlsplit(login.binding["URIS"][0])
    method = login.binding["authentication"]
    with tempfile.TemporaryDirectory() as folder:
        tls = _tls(login, Path(folder)) if parts.scheme == "mqtts" else None
        named: dict[str, Any] = {}
        if method["method"] == "OAUTH2_BEARER_TOKEN":
            named = {"username": method["username"].replace("{clientID}", login.client_id), "password": login.token}
        port = parts.port or PORTS.get(parts.scheme, 1883)
        async with aiomqtt.Client(parts.hostname or "", port, tls_context=tls, **{**named, **options}) as client:
            yield client


def _tls(login: Login, folder: Path) -> ssl.SSLContext:
    method = login.binding["authentication"]
    if isinstance(login.trust, ssl.SSLContext) and "clientKey" not in method:
        return login.trust
    context = ssl.create_default_context(cadata=method.get("caCert"))
    if login.trust is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "clientKey" in method:
        pair = folder / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_text(method["clientKey"] + "\n" + method["clientCert"])
        context.load_cert_chain(pair)
    return context


@contextlib.asynccontextmanager
async def listening(login: Login, *topics: str) -> AsyncIterator[Ear]:
    """A session that is subscribed to topics and collects what comes."""
    async with connected(login) as client:
        ear = Ear(client)
        task = asyncio.create_task(ear.listen())
        try:
            await ear.subscribe(*topics)
            yield ear
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
