"""The VTN's own connection to the MQTT broker, and the relay's outlet that publishes on it.

QoS 1, not retained (TR-65). A broker that goes away is waited for; what was not acknowledged is published again, judged
anew. A change that a broker refuses each time (MQTT 3.1.1 has no other refusal than to hang up) is left out after some
tries, so that the others go on. Which topics and what they say is decided in `rules.topics`.
"""

import asyncio
import contextlib
import dataclasses
import logging
import math
import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from vtn.errors import CannotStart
from vtn.notifiers.audience import Audience
from vtn.notifiers.relay import Taken
from vtn.rules import topics
from vtn.scheduling import retry_delay_s
from vtn.storage.ports import Change, Delivery
from vtn.tasks import cancel_tasks
from vtn.tls import trusting

WINDOW = 64
BATCH = 1_000
QOS = 1
ACKNOWLEDGE_S = 30.0
CONNECT_S = 10.0
FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 15.0
TRIES, TRIES_TOGETHER = 8, 2
STANDARD_PORTS = {"mqtt": 1883, "tcp": 1883, "mqtts": 8883, "ssl": 8883}

_log = logging.getLogger(__name__)
_quiet = logging.getLogger("vtn.notifiers.broker.publisher.protocol")
_quiet.setLevel(logging.CRITICAL)

Publication = tuple[str, bytes]
Outcomes = Sequence[BaseException | None]


class BrokerGone(Exception):
    """The broker did not acknowledge everything; some of it may have been published."""


@dataclasses.dataclass(frozen=True, slots=True)
class PublisherAddress:
    """Where the broker is, and who the VTN is to it. `tls` is asked at each connection: certificates are renewed."""

    host: str
    port: int
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    tls: Callable[[], ssl.SSLContext] | None = None


def external_address(url: str, username: str | None, password: str | None, ca: Path | None = None) -> PublisherAddress:
    """The address in a URL such as `mqtts://broker.example:8883`, checked by `ca` or by what the system trusts.

    CannotStart when it is no such URL, or `ca` no certificate.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in STANDARD_PORTS or not parts.hostname:
        raise CannotStart(f"mqtt.url must be mqtt://HOST:PORT or mqtts://HOST:PORT, not {url!r}")
    standard = STANDARD_PORTS[parts.scheme]
    tls = partial(trusting, ca) if standard == STANDARD_PORTS["mqtts"] else None
    try:
        if tls:
            tls()
    except CannotStart as error:
        raise CannotStart(f"mqtt.ca: {error}") from None
    return PublisherAddress(parts.hostname, port or standard, username, password, tls)


class Publisher:
    """Keeps a connection to the broker and publishes on it."""

    def __init__(self, address: PublisherAddress, chance: random.Random) -> None:
        self._address = address
        self._chance = chance
        self._client: aiomqtt.Client | None = None
        self._ready = asyncio.Event()
        self._spoilt = asyncio.Event()
        self._gone = asyncio.Event()
        self._retries = asyncio.Event()
        self._failures = 0

    def retry_now(self) -> None:
        """Connect at once where that waits: the broker is known to answer again."""
        self._retries.set()

    async def probe(self, *, asks_us: bool = False) -> None:
        """Connect once; CannotStart when the broker is not to be had.

        A broker that asks this VTN who may come in cannot let it in before it answers; there only the way is tried.
        """
        where = f"{self._address.host}:{self._address.port}"
        try:
            if asks_us:
                await self._reach()
            else:
                async with self._new_client():
                    pass
        except MqttConnectError as error:
            raise CannotStart(f"the MQTT broker at {where} refuses mqtt.username and mqtt.password: {error}") from None
        except (aiomqtt.MqttError, OSError) as error:
            raise CannotStart(f"the MQTT broker at {where} cannot be used: {error or 'no answer'}") from None

    async def _reach(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(self._address.host, self._address.port, ssl=self._tls())
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            self._spoilt.clear()
            self._retries.clear()
            try:
                async with self._new_client() as client:
                    _require_connected(client)
                    _log.info("connected to the MQTT broker at %s:%d", self._address.host, self._address.port)
                    self._client, self._gone = client, asyncio.Event()
                    self._ready.set()
                    await self._until_lost(client)
            except (aiomqtt.MqttError, OSError) as error:
                _log.warning("the MQTT broker at %s:%d is gone: %s", self._address.host, self._address.port, error)
            finally:
                self._ready.clear()
                self._client = None
            self._failures += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(retry_delay_s(self._failures, FIRST_RETRY_S, LONGEST_RETRY_S, self._chance)):
                    await self._retries.wait()

    async def connected(self) -> None:
        """Return while there is a connection."""
        await self._ready.wait()

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Publish in order and return once all are acknowledged; BrokerGone otherwise."""
        client = self._client
        if client is None:
            raise BrokerGone
        outcomes = await self._unless_gone(asyncio.create_task(_acknowledged(client, publications)))
        if failure := next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None):
            self._ready.clear()
            self._spoilt.set()
            if isinstance(failure, aiomqtt.MqttError):
                raise BrokerGone(str(failure)) from None
            raise failure
        self._failures = 0

    async def _unless_gone(self, work: asyncio.Task[Outcomes]) -> Outcomes:
        """The outcomes; a connection that breaks meanwhile will acknowledge nothing, so nobody waits for it."""
        gone = asyncio.create_task(self._gone.wait())
        both: set[asyncio.Task[Any]] = {work, gone}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else [BrokerGone("it hung up")]
        finally:
            for task in both:
                task.cancel()

    async def _until_lost(self, client: aiomqtt.Client) -> None:
        """Wait until the connection breaks (MqttError) or a publication on it has failed."""
        listening = asyncio.ensure_future(_listen(client))
        spoilt = asyncio.ensure_future(self._spoilt.wait())
        try:
            await asyncio.wait({listening, spoilt}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
        finally:
            self._gone.set()
            await cancel_tasks((listening, spoilt))
            await asyncio.gather(listening, spoilt, return_exceptions=True)

    def _tls(self) -> ssl.SSLContext | None:
        return self._address.tls() if self._address.tls else None

    def _new_client(self) -> aiomqtt.Client:
        client = aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._address.username,
            password=self._address.password,
            tls_context=self._tls(),
            timeout=CONNECT_S,
            max_inflight_messages=WINDOW,
            max_concurrent_outgoing_calls=WINDOW,
            logger=_quiet,
        )
        client.pending_calls_threshold = WINDOW
        return client


async def forget_session(address: PublisherAddress, identifier: str) -> None:
    """Have the broker drop the session that it stores under a client identifier, as MQTT has it: by coming as it."""
    try:
        async with aiomqtt.Client(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=identifier,
            clean_session=True,
            tls_context=address.tls() if address.tls else None,
            timeout=CONNECT_S,
            logger=_quiet,
        ):
            pass
    except (aiomqtt.MqttError, OSError) as error:
        _log.warning("a stored MQTT session could not be dropped: %s", error)


async def _acknowledged(client: aiomqtt.Client, publications: Sequence[Publication]) -> Outcomes:
    calls = (
        client.publish(topic, payload, qos=QOS, retain=False, timeout=ACKNOWLEDGE_S) for topic, payload in publications
    )
    outcomes: Outcomes = await asyncio.gather(*calls, return_exceptions=True)
    return outcomes


def _require_connected(client: aiomqtt.Client) -> None:
    """MqttError when the broker hung up with its first answer: aiomqtt forgets that, and would wait for ever."""
    if not client._client.is_connected():  # noqa: SLF001 - it has no public word for this
        raise aiomqtt.MqttError("it hung up at once")


async def _listen(client: aiomqtt.Client) -> None:
    """The publisher subscribes to nothing; iterating is how a lost connection makes itself heard."""
    async for _ in client.messages:
        pass
    await asyncio.sleep(math.inf)


def _give_up(change: Change, error: BrokerGone) -> None:
    record = change.record
    _log.error(
        "change %d (%s %s, %d bytes) is not published: the MQTT broker hangs up on it (%s)",
        change.seq,
        record.kind.value,
        record.id,
        len(record.body),
        error,
    )


class MqttOutlet:
    """The relay's outlet for MQTT. `before_publishing` closes sessions that may no longer hear what follows."""

    name = "mqtt"

    def __init__(
        self, audience: Audience, publisher: Publisher, before_publishing: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._audience = audience
        self._publisher = publisher
        self._before_publishing = before_publishing

    async def take(self, changes: Sequence[Change]) -> AsyncIterator[Taken]:
        """Publish the changes, in order; a broker that is away is waited for. Nothing remains owed.

        After some failures each change goes alone, to find one that the broker hangs up on, which is then left out.
        """
        waiting, alone, failures = deque(changes), False, 0
        while waiting:
            batch = [waiting[0]] if alone else list(waiting)
            await self._publisher.connected()
            try:
                await self._publish(batch)
            except BrokerGone as error:
                failures += 1
                alone = alone or failures >= TRIES_TOGETHER
                if failures < TRIES:
                    continue
                _give_up(batch[0], error)
            for _ in batch:
                waiting.popleft()
            failures = 0
        yield changes[-1].seq, ()

    def stored(self, owed: Sequence[Delivery]) -> None:
        """Nothing is owed."""

    def quiet_until(self, after: int) -> int:
        """Everything is published: somebody may listen."""
        return after

    async def _publish(self, changes: Sequence[Change]) -> None:
        await self._audience.current()
        if self._before_publishing is not None:
            await self._before_publishing()
        waiting: list[Publication] = []
        for change in changes:
            happening = await self._audience.happening(change)
            for message in topics.messages(happening, self._audience.vens(change)):
                body = await self._audience.body(change.seq, message.told, message.viewer)
                waiting.append((message.topic, body))
                if len(waiting) >= BATCH:
                    await self._publisher.publish(waiting)
                    waiting.clear()
        if waiting:
            await self._publisher.publish(waiting)
