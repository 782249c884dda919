"""Read cars from an MQTT broker: one line for each account that may log in there, held until cancelled.

How an account logs in is told by `StreamAccounts`. Of BMW's (`GrantAccounts`) the id token of the grant is the password
and the owner's subject the user name, so a line is taken down shortly before its token ends and put up again with the
next one; a broker that refuses a token makes us renew it. A broker of our own has one account (`BrokerAccount`), whose
password does not end. Lines that break come back with growing pauses. Two processes never read one account: a lock says
whose line it is. What a message means is told by the automaker's file. Topics name owners and cars: neither they nor
bodies are logged.
"""

import asyncio
import contextlib
import dataclasses
import logging
import random
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Protocol, Self
from urllib.parse import urlsplit

import aiomqtt
import pydantic

from ven_adapters.contract import BackendError, ErrorCode, Snapshot
from ven_adapters.transport.grants.grants import Folder, OwnerTokens, only_writer
from ven_adapters.transport.grants.oauth import OAuthRegistration
from ven_adapters.transport.readings import vocabulary
from vtn.limits import half_spread_s
from vtn.settings import LOOPBACK
from vtn.tasks import cancel_tasks
from vtn.tls import system_authorities

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

    def trusted_by(self, tls: ssl.SSLContext | None) -> Self:
        """The same with other authorities, where some are named and TLS is spoken."""
        return self if tls is None or self.tls is None else dataclasses.replace(self, tls=tls)


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
    tls = system_authorities() if parts.scheme == "mqtts" else None
    return VendorBroker(parts.hostname, parts.port or PORTS[parts.scheme], tls)


MqttBroker = Annotated[VendorBroker, pydantic.PlainValidator(broker_of)]


@dataclasses.dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message; `retained` when the broker had kept it, so that nobody knows how old it is."""

    topic: str
    body: bytes
    retained: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class StreamLogin:
    """How a line is put up, and what is subscribed to; `token` is what is used up at `ends_at` (None: never)."""

    user: str | None
    password: str | None = dataclasses.field(repr=False)
    topics: tuple[str, ...]
    token: str | None = dataclasses.field(default=None, repr=False)
    ends_at: datetime | None = None


class StreamAccounts(Protocol):
    """Who may log in to a broker."""

    def names(self) -> Collection[str]:
        """Every account, as it is now."""

    def lock(self, name: str) -> Path:
        """The file by which one process at a time holds an account's line."""

    async def login(self, name: str, used_up: str | None) -> StreamLogin:
        """How an account logs in, with another token than `used_up`; BackendError when it cannot."""


@dataclasses.dataclass(frozen=True, slots=True)
class GrantAccounts:
    """Owners' grants: the id token is the password, the owner's subject the user and the first part of topics."""

    client: OAuthRegistration
    folder: Folder

    def names(self) -> Collection[str]:
        """Every owner with a grant."""
        return self.folder.names()

    def lock(self, name: str) -> Path:
        """A file beside the grant."""
        return self.folder.file(name).with_suffix(".stream")

    async def login(self, name: str, used_up: str | None) -> StreamLogin:
        """By the grant as it is stored, or a renewed one."""
        grant = await OwnerTokens(self.client, self.folder.file(name)).grant(used_up)
        if grant.subject is None or grant.id_token is None:
            detail = "the grant names no owner or has no id token: link again with the scopes openid and streaming"
            raise BackendError(ErrorCode.REAUTH_REQUIRED, detail)
        return StreamLogin(grant.subject, grant.id_token, (f"{grant.subject}/+",), grant.access_token, grant.expires_at)


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerAccount:
    """The one account of a broker of our own."""

    file: Path
    user: str | None
    password: str | None = dataclasses.field(repr=False)
    topics: tuple[str, ...]

    def names(self) -> Collection[str]:
        """The account."""
        return (self.file.name,)

    def lock(self, name: str) -> Path:
        """The account's file."""
        del name
        return self.file

    async def login(self, name: str, used_up: str | None) -> StreamLogin:
        """Always the same."""
        del name, used_up
        return StreamLogin(self.user, self.password, self.topics)


class Stream:
    """Every account's line. `read` makes readings of a message: None when it is none of ours.

    `interrupted` is called whenever a line ends: what was sent until it stands again is lost.
    """

    def __init__(
        self,
        broker: VendorBroker,
        accounts: StreamAccounts,
        read: Callable[[StreamMessage], Snapshot | None],
        *,
        pauses: Pauses | None = None,
        seed: int = 0,
        interrupted: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker, self._accounts, self._read = broker, accounts, read
        self._interrupted = interrupted
        self._pauses = pauses or Pauses()
        self._dice = random.Random(seed)  # noqa: S311 - spreads reconnects, guards nothing
        self._queue: asyncio.Queue[Snapshot] = asyncio.Queue(QUEUED)
        self.up: set[str] = set()

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """What cars send, as it comes; lines stand for as long as this is read."""
        async for batch in self.batches():
            for snapshot in batch:
                yield snapshot

    async def batches(self) -> AsyncIterator[tuple[Snapshot, ...]]:
        """The same, together with what else has come meanwhile."""
        keeping = asyncio.create_task(self._keep_all())
        try:
            while True:
                batch = [await self._queue.get()]
                while not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                yield tuple(batch)
        finally:
            await cancel_tasks([keeping])

    async def _keep_all(self) -> None:
        """A task for each account; one that is gone takes its line with it, a new one brings another."""
        lines: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                names = self._accounts.names()
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
                async with only_writer(self._accounts.lock(name), longest_s=LOCK_S):
                    await self._once(name, worn)
                failures = 0
            except (aiomqtt.MqttError, BackendError, OSError) as error:
                failures = 1 if time.monotonic() - began_s > self._pauses.longest_s else failures + 1
                what = error.code if isinstance(error, BackendError) else type(error).__name__
                _log.warning("a stream of cars' readings is interrupted: %s", what)
                await asyncio.sleep(self._pauses.after(failures, self._dice.random()))

    async def _once(self, name: str, worn: "_Worn") -> None:
        """One connection, from a good token to shortly before its end."""
        login = await self._accounts.login(name, worn.token)
        try:
            async with self._line(login) as line:
                worn.token = None
                for topic in login.topics:
                    await line.subscribe(topic, qos=QOS)
                self.up.add(name)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_left_s(login, datetime.now(UTC))):
                        async for message in line.messages:
                            await self._take(message)
            worn.token = login.token
        except aiomqtt.MqttCodeError as error:
            worn.token = login.token if _refused(error) else worn.token
            raise
        finally:
            self.up.discard(name)
            self._interrupted()

    def _line(self, login: StreamLogin) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=login.user,
            password=login.password,
            identifier=f"evtn-{secrets.token_hex(8)}",
            tls_context=self._broker.tls,
            max_queued_incoming_messages=QUEUED,
        )

    async def _take(self, message: aiomqtt.Message) -> None:
        body = message.payload if isinstance(message.payload, bytes) else b""
        if len(body) > MAX_BODY_BYTES:
            vocabulary.note("stream", f"a message of more than {MAX_BODY_BYTES} bytes was passed over")
            return
        snapshot = self._read(StreamMessage(str(message.topic), body, bool(message.retain)))
        if snapshot is not None:
            await self._queue.put(snapshot)


@dataclasses.dataclass(slots=True)
class _Worn:
    """The access token beside the id token that is used up or was refused; None while the stored one is good."""

    token: str | None = None


def _left_s(login: StreamLogin, now: datetime) -> float | None:
    """For how long a line may stand; None for one that does not end."""
    if login.ends_at is None:
        return None
    return max(SHORTEST_S, (login.ends_at - now).total_seconds() - RENEW_BEFORE_S)


def _refused(error: aiomqtt.MqttCodeError) -> bool:
    code = error.rc
    return (code if isinstance(code, int) else getattr(code, "value", None)) in REFUSED
