"""The line to NATS: connect and stay connected, keep the streams in order, publish, compare-and-set, read records.

It answers with values, or with `Away` and `Overtaken`; it knows nothing of what a backend is. Never logs a password.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from nats.aio.client import Client as Connection
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    Header,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from ven_adapters.config import QueueSettings
from ven_adapters.contract import BackendError
from ven_adapters.ven.queue.messages import LARGEST_BYTES, CommandRecord, QueueNames, StoredRecord, place, read, write
from vtn.tasks import cancel_tasks
from vtn.tls import trusting

WITHIN_S = 5.0
AGAIN_S = 1.0
RECORDS_KEPT_S = 8 * 86_400.0
FACTS_KEPT_S = 3_600.0
FACTS_BYTES = 1 << 28
LARGEST_FACT_BYTES = 1 << 19
EXECUTORS = "executors"
WRONG_LAST_SEQUENCE = 10071

_log = logging.getLogger(__name__)


class Away(Exception):
    """The queue is out of reach. `maybe`: what was being published may have got there all the same."""

    def __init__(self, *, maybe: bool) -> None:
        super().__init__("the queue is out of reach")
        self.maybe = maybe


class Overtaken(Exception):
    """Somebody else wrote the record first."""


class _Client(Connection):
    """nats-py follows what the server says of TLS; where we demand it, nothing secret is said without it."""

    demands_tls = False

    def _connect_command(self) -> bytes:
        if self.demands_tls and not self._server_info.get("tls_required"):
            raise NatsError("the server offers no TLS, which queue.url or queue.ca demands")
        return super()._connect_command()


class QueueConnection:
    """One process's connection. `start` returns at once; `up` says whether the queue can be used now."""

    def __init__(self, settings: QueueSettings, oem: str, *, executes: bool = False) -> None:
        self.names = QueueNames(settings.stream, oem)
        self.settings = settings
        self.reconnects = 0
        self._trouble = ""
        self._closing = False
        self._executes = executes
        self._connection: Connection = Connection()
        self._streams: JetStreamContext | None = None
        self._starting: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._found: list[Callable[[], Awaitable[None]]] = []

    # --- the connection -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect, and go on trying for as long as it takes."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._connect())

    async def close(self) -> None:
        """Send what is buffered and let go."""
        self._closing = True
        trying = [task for task in (self._starting, self._settling) if task is not None]
        await cancel_tasks(trying)
        await asyncio.gather(*trying, return_exceptions=True)
        self._ready.clear()
        with contextlib.suppress(NatsError, TimeoutError, OSError):
            if self._connection.is_connected:
                await self._connection.flush(timeout=int(WITHIN_S))
        with contextlib.suppress(NatsError, TimeoutError, OSError):
            await self._connection.close()

    @property
    def up(self) -> bool:
        """Whether the queue can be used now."""
        return self._ready.is_set() and self._connection.is_connected

    async def ready(self) -> None:
        """Return once the queue can be used."""
        self.start()
        await self._ready.wait()

    async def when_found(self, prepare: Callable[[], Awaitable[None]]) -> None:
        """Do something now if the queue is up, and each time that it is found again."""
        if prepare not in self._found:
            self._found.append(prepare)
        if self.up:
            await prepare()

    async def _connect(self) -> None:
        """Connect; nats-py then reconnects by itself, for ever. Wrong credentials and a dead host look alike here."""
        while True:
            self._connection = connection = _Client()
            connection.demands_tls = self.settings.secure
            try:
                await connection.connect(**self._options())
                await self._settle()
            except (NatsError, OSError, TimeoutError) as error:
                _log.error("the queue cannot be used yet: %s", _words(error))
                await connection.close()
                await asyncio.sleep(AGAIN_S)
            else:
                _log.info("the queue is there")
                return

    def _options(self) -> dict[str, Any]:
        settings = self.settings
        options: dict[str, Any] = {
            "servers": settings.url.split(","),
            "user": settings.user,
            "password": settings.password,
            "user_credentials": str(settings.credentials) if settings.credentials else None,
            "tls": queue_tls(settings),
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": AGAIN_S,
            "ping_interval": 10,
            "error_cb": self._troubled,
            "disconnected_cb": self._lost,
            "reconnected_cb": self._back,
        }
        return {name: value for name, value in options.items() if value is not None}

    async def _troubled(self, error: Exception) -> None:
        """Say what is wrong, once; nats-py comes here at each of its attempts."""
        if (words := _words(error)) != self._trouble:
            self._trouble = words
            _log.warning("the queue: %s", words)

    async def _lost(self) -> None:
        if self._closing:
            return
        self._ready.clear()
        _log.error("the queue is out of reach; what is held is kept")

    async def _back(self) -> None:
        self.reconnects += 1
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle_again())

    async def _settle_again(self) -> None:
        while not self._ready.is_set():
            try:
                await self._settle()
            except (NatsError, OSError, TimeoutError) as error:
                _log.error("the queue is back and cannot be used yet: %s", _words(error))
                await asyncio.sleep(AGAIN_S)
        self._trouble = ""
        _log.warning("the queue is back")

    async def _settle(self) -> None:
        """Make sure that streams and consumers are there, also after a broker lost its disk."""
        self._streams = self._connection.jetstream(timeout=WITHIN_S)
        for stream in (_commands(self.names, self.settings), _facts(self.names, self.settings)):
            await _have(self._streams, stream)
        if self._executes:
            await self._streams.add_consumer(self.names.stream, _turns(self.names, self.settings))
        for prepare in self._found:
            await prepare()
        await self._connection.flush(timeout=int(WITHIN_S))
        self._ready.set()

    @property
    def connection(self) -> Connection:
        """For what needs no stream."""
        return self._connection

    @property
    def streams(self) -> JetStreamContext:
        """For what needs one; Away before the first connection."""
        if self._streams is None:
            raise Away(maybe=False)
        return self._streams

    # --- what is done over it -------------------------------------------------------------------------------------

    async def publish(self, subject: str, body: bytes, *, ttl_s: float | None = None, after: int | None = None) -> int:
        """Store a message and return its place; `after`: only as the successor of that place on its subject."""
        if not self.up:
            raise Away(maybe=False)
        headers = {} if after is None else {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(after)}
        try:
            stored = await self.streams.publish(
                subject, body, headers=headers or None, msg_ttl=None if ttl_s is None else max(1, round(ttl_s))
            )
        except NoStreamResponseError:
            raise Away(maybe=False) from None
        except APIError as error:
            if error.err_code == WRONG_LAST_SEQUENCE:
                raise Overtaken from None
            _log.error("the queue refused a message: %s", error.description)
            raise Away(maybe=False) from None
        except (NatsError, OSError, TimeoutError):
            raise Away(maybe=True) from None
        return stored.seq

    async def last(self, car: str) -> StoredRecord | None:
        """A car's record; None when there is none that can be read."""
        try:
            raw = await self.streams.get_last_msg(self.names.stream, self.names.record(car), direct=True)
        except NotFoundError:
            return None
        except (NatsError, OSError, TimeoutError):
            raise Away(maybe=False) from None
        at = raw.time or datetime.now(UTC)
        return StoredRecord(read(CommandRecord, raw.data or b"", at), raw.seq or 0, at)

    async def record(self, car: str, record: CommandRecord, *, after: int) -> int:
        """Write a car's record as the successor of what was read; its mark. Raises Overtaken or Away."""
        return await self.publish(self.names.record(car), write(record), after=after)

    async def server_time(self) -> datetime:
        """What time it is where leases are kept."""
        try:
            answer = await self._connection.request(f"$JS.API.STREAM.INFO.{self.names.stream}", b"", timeout=WITHIN_S)
            return datetime.fromisoformat(orjson.loads(answer.data)["ts"]).astimezone(UTC)
        except (NatsError, OSError, TimeoutError, KeyError, ValueError):
            raise Away(maybe=False) from None

    async def outcome_of(self, vehicle_ref: str, command: str) -> CommandRecord | None:
        """The record of one command, when it is the car's newest and done; None also when the queue is away."""
        try:
            kept = await self.last(place(vehicle_ref))
        except (Away, BackendError):
            return None
        done = kept is not None and kept.record.command == command and kept.record.outcome is not None
        return kept.record if kept is not None and done else None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if not isinstance(error, NoRespondersError) else "JetStream is not there"


def _commands(names: QueueNames, settings: QueueSettings) -> StreamConfig:
    return StreamConfig(
        name=names.stream,
        subjects=[names.command("*"), names.record("*")],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=1,
        max_msg_size=LARGEST_BYTES * 2,
        max_age=RECORDS_KEPT_S,
        storage=StorageType.FILE,
        num_replicas=settings.replicas,
        allow_direct=True,
        allow_msg_ttl=True,
    )


def _facts(names: QueueNames, settings: QueueSettings) -> StreamConfig:
    return StreamConfig(
        name=names.facts_stream,
        subjects=[names.facts],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_bytes=FACTS_BYTES,
        max_msg_size=LARGEST_FACT_BYTES * 2,
        max_age=FACTS_KEPT_S,
        storage=StorageType.FILE,
        num_replicas=settings.replicas,
    )


async def _have(streams: JetStreamContext, wanted: StreamConfig) -> None:
    """Create a stream, or bring its limits up to date. One with another retention is refused by the server."""
    try:
        await streams.stream_info(str(wanted.name))
    except NotFoundError:
        await streams.add_stream(wanted)
    else:
        await streams.update_stream(wanted)


def _turns(names: QueueNames, settings: QueueSettings) -> ConsumerConfig:
    """The one consumer that all executors share; `max_ack_pending` bounds their calls together."""
    return ConsumerConfig(
        durable_name=EXECUTORS,
        filter_subject=names.command("*"),
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=settings.ack_wait_s,
        max_deliver=-1,
        max_ack_pending=settings.all_at_once,
    )


def queue_tls(settings: QueueSettings) -> ssl.SSLContext | None:
    """The TLS that the files of the settings make; None where the URL alone decides. CannotStart names a file."""
    if settings.ca is None and settings.certificate is None:
        return None
    return trusting(settings.ca, settings.certificate, settings.key)
