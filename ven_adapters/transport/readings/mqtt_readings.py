"""Read owners' cars from a vendor's MQTT broker: one line for each account that has a grant, held until cancelled.

The id token of the grant is the password and the owner's subject the user name, so a line is taken down shortly before
its token ends and put up again with the next one; a broker that refuses a token makes us renew it. Lines that break
come back with growing pauses. Two processes never read one account: a lock beside the grant says whose line it is. What
a body means is told by the automaker's file. Topics name owners and cars: neither they nor bodies are logged.
"""

import asyncio
import contextlib
import dataclasses
import logging
import random
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt

from ven_adapters.contract import BackendError, ErrorCode, Snapshot
from ven_adapters.transport.grants.grants import Folder, OwnerTokens, only_writer
from ven_adapters.transport.grants.oauth import Grant, OAuthRegistration
from ven_adapters.transport.readings import vocabulary
from vtn.limits import half_spread_s
from vtn.settings import LOOPBACK
from vtn.tasks import cancel_tasks
from vtn.tls import trusting

RENEW_BEFORE_S = 30.0
SHORTEST_S = 1.0
LOCK_S = 1.0
MAX_BODY_BYTES = 256 * 1024
QUEUED = 1_000
QOS = 1
PORTS = {"mqtt": 1883, "mqtts": 8883}
# Bad user name or password, not authorised: as MQTT 3.1.1 numbers them, and as MQTT 5 does.
REFUSED = frozenset({4, 5, 134, 135})

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class VendorBroker:
    """Where a vendor's broker is, and whom it is trusted by."""

    host: str
    port: int
    tls: ssl.SSLContext | None


@dataclasses.dataclass(frozen=True, slots=True)
class Pauses:
    """Real seconds between tries, growing by doubling, and between two looks for new grants."""

    first_s: float = 2.0
    longest_s: float = 900.0
    look_s: float = 30.0

    def after(self, failures: int, chance: float) -> float:
        """The pause after so many failures in a row; `chance` in [0, 1) spreads it over its upper half."""
        return half_spread_s(failures, self.first_s, self.longest_s, chance)


def broker_of(url: Any) -> VendorBroker:
    """The broker at `mqtts://HOST:PORT`; ValueError for another address, or one that would show tokens."""
    parts = urlsplit(str(url))
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("must be mqtts://HOST:PORT")
    if parts.scheme == "mqtt" and parts.hostname not in LOOPBACK:
        raise ValueError("must be mqtts://, or tokens would be readable")
    tls = trusting(None) if parts.scheme == "mqtts" else None
    return VendorBroker(parts.hostname, parts.port or PORTS[parts.scheme], tls)


class Stream:
    """Every account's line. `read` makes readings of a body: None when it is none of ours."""

    def __init__(
        self,
        broker: VendorBroker,
        client: OAuthRegistration,
        folder: Folder,
        read: Callable[[bytes], Snapshot | None],
        *,
        pauses: Pauses | None = None,
        seed: int = 0,
    ) -> None:
        self._broker, self._client, self._folder, self._read = broker, client, folder, read
        self._pauses = pauses or Pauses()
        self._dice = random.Random(seed)  # noqa: S311 - spreads reconnects, guards nothing
        self._queue: asyncio.Queue[Snapshot] = asyncio.Queue(QUEUED)
        self.up: set[str] = set()

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """What cars send, as it comes; lines stand for as long as this is read."""
        keeping = asyncio.create_task(self._keep_all())
        try:
            while True:
                yield await self._queue.get()
        finally:
            await cancel_tasks([keeping])

    async def _keep_all(self) -> None:
        """A task for each grant; one that is gone takes its line with it, a new one brings another."""
        lines: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                names = self._folder.names()
                for name in [name for name in lines if name not in names]:
                    lines.pop(name).cancel()
                lines |= {name: asyncio.create_task(self._keep(name)) for name in names if name not in lines}
                await asyncio.sleep(self._pauses.look_s)
        finally:
            await cancel_tasks(lines.values())
            await asyncio.gather(*lines.values(), return_exceptions=True)

    async def _keep(self, name: str) -> None:
        """One account's line, again and again."""
        failures, worn = 0, _Worn()
        while True:
            began_s = time.monotonic()
            try:
                async with only_writer(_lock(self._folder, name), longest_s=LOCK_S):
                    await self._once(name, worn)
                failures = 0
            except (aiomqtt.MqttError, BackendError, OSError) as error:
                failures = 1 if time.monotonic() - began_s > self._pauses.longest_s else failures + 1
                what = error.code if isinstance(error, BackendError) else type(error).__name__
                _log.warning("a stream of cars' readings is interrupted: %s", what)
                await asyncio.sleep(self._pauses.after(failures, self._dice.random()))

    async def _once(self, name: str, worn: "_Worn") -> None:
        """One connection, from a good token to shortly before its end."""
        grant = await OwnerTokens(self._client, self._folder.file(name)).grant(worn.token)
        user, password = _credentials(grant)
        left_s = (grant.expires_at - datetime.now(UTC)).total_seconds() - RENEW_BEFORE_S
        try:
            async with self._line(user, password) as line:
                worn.token = None
                await line.subscribe(f"{user}/+", qos=QOS)
                self.up.add(name)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(SHORTEST_S, left_s)):
                        async for message in line.messages:
                            await self._take(message.payload)
            worn.token = grant.access_token
        except aiomqtt.MqttCodeError as error:
            worn.token = grant.access_token if _refused(error) else worn.token
            raise
        finally:
            self.up.discard(name)

    def _line(self, user: str, password: str) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=user,
            password=password,
            identifier=f"evtn-{secrets.token_hex(8)}",
            tls_context=self._broker.tls,
            max_queued_incoming_messages=QUEUED,
        )

    async def _take(self, payload: object) -> None:
        body = payload if isinstance(payload, bytes) else b""
        if len(body) > MAX_BODY_BYTES:
            vocabulary.note("stream", f"a message of more than {MAX_BODY_BYTES} bytes was passed over")
            return
        snapshot = self._read(body)
        if snapshot is not None:
            await self._queue.put(snapshot)


@dataclasses.dataclass(slots=True)
class _Worn:
    """The access token beside the id token that is used up or was refused; None while the stored one is good."""

    token: str | None = None


def _lock(folder: Folder, name: str) -> Path:
    return folder.file(name).with_suffix(".stream")


def _credentials(grant: Grant) -> tuple[str, str]:
    if grant.subject is None or grant.id_token is None:
        detail = "the grant names no owner or has no id token: link again with the scopes openid and streaming"
        raise BackendError(ErrorCode.REAUTH_REQUIRED, detail)
    return grant.subject, grant.id_token


def _refused(error: aiomqtt.MqttCodeError) -> bool:
    code = error.rc
    return (code if isinstance(code, int) else getattr(code, "value", None)) in REFUSED
