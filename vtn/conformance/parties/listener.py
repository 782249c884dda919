"""An MQTT session as one of the parties, made as `/notifiers` says: which broker, and how to log in."""

import asyncio
import contextlib
import dataclasses
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt

from vtn.conformance.parties.channel import Inbox, NotificationChannel, Said, said_by
from vtn.conformance.parties.receiver import Note, read_notification

Json = dict[str, Any]
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclasses.dataclass(frozen=True, slots=True)
class HeardMessage:
    """One message."""

    topic: str
    body: Json
    retained: bool

    @property
    def said(self) -> Said:
        """The operation, the kind of object, and its id."""
        return said_by(self.body)


@dataclasses.dataclass(kw_only=True)
class Ear(Inbox[HeardMessage]):
    """What an MQTT session hears. `refused` holds the topics that it was not let to; `note` records what comes."""

    client: aiomqtt.Client
    note: Note = lambda *_: None
    refused: list[str] = dataclasses.field(default_factory=list)

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
            content = message.payload if isinstance(message.payload, bytes) else str(message.payload or "").encode()
            self.note("the VTN by MQTT", "PUBLISH", str(message.topic), content, 0)
            self.channel.arrived()
            self.take(HeardMessage(str(message.topic), read_notification(content), message.retain))


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    """A broker as `/notifiers` describes it (`binding`), who logs in, and whose certificates to trust (False: any)."""

    binding: Mapping[str, Any]
    client_id: str
    token: str | None = dataclasses.field(repr=False)
    trust: ssl.SSLContext | bool = True
    channel: NotificationChannel = dataclasses.field(default_factory=lambda: NotificationChannel("MQTT", ()))
    note: Note = lambda *_: None


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
        ear = Ear(client=client, channel=login.channel, note=login.note)
        task = asyncio.create_task(ear.listen())
        try:
            await ear.subscribe(*topics)
            yield ear
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
