"""A small top node without HTTP, for tests of the notifiers: a real SQLite store, its read model and its clients."""

import asyncio
import contextlib
import dataclasses
import functools
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vtn.auth import pki
from vtn.auth.installation_keys import client_key
from vtn.auth.tokens import Principal
from vtn.bounds import DeliveryBounds
from vtn.config import Mqtt, Webhooks
from vtn.errors import Unauthenticated
from vtn.notifiers.audience import Audience
from vtn.notifiers.broker import identity
from vtn.notifiers.broker.authorisation import Authorisation
from vtn.notifiers.broker.process import BundledBroker
from vtn.notifiers.broker.publisher import MqttOutlet, Publisher, forget_session
from vtn.notifiers.reads import Reads
from vtn.notifiers.relay import Relay, Wake
from vtn.notifiers.webhooks.addresses import refusal
from vtn.notifiers.webhooks.breaker import Breaker
from vtn.notifiers.webhooks.callbacks import Callbacks
from vtn.notifiers.webhooks.delivery import Webhooker, WebhookOutlet
from vtn.notifiers.webhooks.hosts import Hosts
from vtn.notifiers.webhooks.sender import CallbackSender
from vtn.service.identifiers import Identifiers
from vtn.storage.ports import Change, ClientRecord, Create, Delete, DeliveryState, Record, Replace, Role
from vtn.storage.read_model import ReadModel
from vtn.storage.sql import SqlStore, open_store
from vtn.tasks import cancel_tasks
from vtn.wire import document
from vtn.wire.enumerations import ObjectType as Kind

PATIENCE_S = 90.0
POLL_S = 0.05


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for `vtn.example`, signed by an authority that nobody knows, and its key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("CA", "vtn.example")]
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(names[1]).issuer_name(names[0]).public_key(keys[1].public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("vtn.example")]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False
    )
    signed = builder.sign(keys[0], hashes.SHA256())
    encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(signed.public_bytes(encoding))
    paths[1].write_bytes(keys[1].private_bytes(encoding, private, serialization.NoEncryption()))
    return paths


class Clients:
    """Registered clients in a dictionary."""

    def __init__(self, **roles: Role) -> None:
        self.held = {name: _client(name, role) for name, role in roles.items()}

    async def current(self) -> None:
        pass

    def standing(self, client_id: str | None) -> ClientRecord | None:
        client = self.held.get(client_id or "")
        return client if client and not client.revoked else None

    def revoke(self, client_id: str) -> None:
        self.held[client_id] = dataclasses.replace(self.held[client_id], revoked=True)


def _client(name: str, role: Role) -> ClientRecord:
    return ClientRecord(name, role, (), "hash", "2026-01-01T00:00:00.000000Z", 0.0)


def clients() -> Clients:
    return Clients(bl=Role.BL, c1=Role.VEN, c2=Role.VEN)


def record(kind: Kind, object_id: str, at: str, owner: str | None = None, **content) -> Record:
    body = {"id": object_id, "createdDateTime": at, "modificationDateTime": at, "objectType": kind.value, **content}
    if owner:
        body["clientID"] = owner
    return Record(
        kind,
        object_id,
        at,
        at,
        document.render(body),
        client_id=owner,
        name=content.get("programName") or content.get("venName") or content.get("resourceName"),
        program_id=content.get("programID"),
        event_id=content.get("eventID"),
        ven_id=content.get("venID"),
        client_name=content.get("clientName"),
    )


class Node:
    """A store, a read model that hears of every commit, and shorthands for writing objects."""

    def __init__(self, store: SqlStore, known: Clients) -> None:
        self.store = store
        self.clients = known
        self.model = ReadModel()
        self.wake = Wake()
        self.audience = Audience(store, self.model, known)
        self._ticks = itertools.count()
        store.on_commit = self._committed

    def _committed(self, changes) -> None:
        self.model.apply(changes)
        self.wake.set()

    def tick(self) -> str:
        return f"2026-07-01T00:00:00.{next(self._ticks):06d}Z"

    async def put(self, kind: Kind, object_id: str, owner: str | None = None, **content) -> Change:
        """Create an object, or replace it when it exists."""
        at = self.tick()
        fresh = record(kind, object_id, at, owner, **content)
        if kind is Kind.REPORT and (event := self.model.get(Kind.EVENT, content["eventID"])):
            fresh = dataclasses.replace(fresh, program_id=event.program_id)
        exists = self.model.get(kind, object_id) is not None
        command = Replace(kind, object_id, lambda _: fresh) if exists else Create(fresh)
        return (await self.store.write(command, at=at, actor="bl"))[0]

    async def delete(self, kind: Kind, object_id: str) -> tuple[Change, ...]:
        return await self.store.write(Delete(kind, object_id, lambda _: None), at=self.tick(), actor="bl")

    async def ven(self, ven_id: str, owner: str, *targets: str) -> Change:
        return await self.put(Kind.VEN, ven_id, owner, venName=ven_id, targets=list(targets))

    async def program(self, program_id: str, *targets: str) -> Change:
        return await self.put(Kind.PROGRAM, program_id, programName=program_id, targets=list(targets) or None)

    async def event(self, event_id: str, program_id: str, *targets: str, **more) -> Change:
        return await self.put(Kind.EVENT, event_id, programID=program_id, targets=list(targets) or None, **more)

    async def subscribe(self, subscription_id: str, owner: str, url: str, kinds=("EVENT",), **more) -> Change:
        entry = {"objects": list(kinds), "operations": ["CREATE", "UPDATE", "DELETE"], "callbackUrl": url}
        entry["bearerToken"] = more.pop("token", None)
        return await self.put(
            Kind.SUBSCRIPTION, subscription_id, owner, clientName=owner, objectOperations=[entry], **more
        )


@contextlib.asynccontextmanager
async def node(folder: Path, known: Clients | None = None):
    store = await open_store(f"sqlite:///{folder / 'vtn.db'}", shared_dir=folder)
    try:
        made = Node(store, known or clients())
        await made.model.load(store)
        yield made
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def running(*loops):
    """Run loops beside the block; a loop that fails fails the test."""
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    try:
        yield
    finally:
        await cancel_tasks(tasks)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome


async def eventually(condition: Callable[[], object]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - any condition, not only those with an event
            await asyncio.sleep(0.01)


# --- webhooks ---


class Receiver:
    """A real HTTP server that takes callbacks; `answers` says how, given the number of the call (from 1)."""

    def __init__(self, answers=lambda _number: 200, hang: asyncio.Event | None = None) -> None:
        self.answers = answers
        self.by_path: Callable[[str], int] | None = None
        self.port = 0
        self.hang = hang
        self.echo = lambda value: value
        self.calls: list[dict] = []
        self.headers: list = []
        self.asked: list = []
        self.taken: list[dict] = []
        self.heard = asyncio.Condition()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._challenged)
        app.router.add_post("/{tail:.*}", self._called)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    def at(self, port: int) -> Self:
        """The same, at a port that is known before."""
        self.port = port
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.hang:
            self.hang.set()
        await self._runner.cleanup()

    async def _challenged(self, request):
        self.asked.append(request)
        answer = self.answers(len(self.asked))
        if isinstance(answer, web.StreamResponse):
            return answer
        return web.Response(status=answer, text=self.echo(request.query.get("echo", "")))

    async def _called(self, request):
        message = await request.json()
        self.calls.append(message)
        self.headers.append(request.headers)
        status = self.by_path(request.path) if self.by_path else self.answers(len(self.calls))
        if 200 <= status < 300:
            self.taken.append(message)
        async with self.heard:
            self.heard.notify_all()
        if self.hang:
            await self.hang.wait()
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def wait_for(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.heard:
            await self.heard.wait_for(condition)


def told(messages) -> list[str]:
    return [f"{message['operation']} {message['object']['id']}" for message in messages]


@contextlib.asynccontextmanager
async def webhooks(
    made: Node, unseal=lambda token: token, now_s=time.time, monotonic_s=time.monotonic, bounds=None, **settings
):
    """The webhook half of the notifiers, running."""
    bounds = bounds or DeliveryBounds()
    defaults = {"timeout_s": 5.0, "attempts": 3, "first_retry_s": 0.02, "longest_retry_s": 0.05, "allow_loopback": True}
    chosen = Webhooks(**{**defaults, **settings})
    guard = functools.partial(refusal, allow_loopback=chosen.allow_loopback)
    async with Callbacks(chosen.timeout_s, guard=guard) as callbacks:
        sender = CallbackSender(callbacks, unseal, webhook_key, now_s)
        breaker = Breaker(made.store, chosen.broken_after, made.tick)
        chance, first_s, longest_s = random.Random(7), chosen.first_retry_s, chosen.longest_retry_s
        hosts = Hosts(bounds, first_s=first_s, longest_s=longest_s, chance=chance, now_s=monotonic_s)
        parts = made.store, made.audience, sender, breaker, hosts
        hooks = Webhooker(*parts, settings=chosen, bounds=bounds, chance=chance, monotonic_s=monotonic_s)
        reads = Reads(*parts[1:], notice_s=chosen.read_notice_s, now_s=monotonic_s)
        relay = Relay(made.store, WebhookOutlet(made.audience, hooks.feed, now_s), made.wake, POLL_S)
        async with running(hooks.run, reads.run, relay.run):
            yield Hooks(hooks, callbacks, reads, hosts)


def webhook_key(client_id: str) -> str:
    """The webhook key of a client."""
    return client_key(b"master", client_id)


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What tests of webhooks reach into."""

    webhooker: Webhooker
    callbacks: Callbacks
    reads: Reads
    hosts: Hosts


async def settled(made: Node) -> None:
    """Return when nothing is pending and the relay has read the whole log."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await _busy(made):  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        read, written = await made.store.cursor("webhooks"), await made.store.head()
        pending = await made.store.deliveries(DeliveryState.PENDING)
        raise AssertionError(f"read to {read} of {written}, {made.store.shared_head()} known; {pending=}") from None


async def _busy(made: Node) -> bool:
    behind = await made.store.cursor("webhooks") < await made.store.head()
    return behind or bool(await made.store.deliveries(DeliveryState.PENDING))


# --- MQTT ---


def desk(known: Clients, lifetime_s: float = 600.0) -> Callable[[str], Awaitable[Principal]]:
    """Checks tokens of the form `token-CLIENT`."""
    dies = time.time() + lifetime_s

    async def check(token: str) -> Principal:
        client = known.standing(token.removeprefix("token-")) if token.startswith("token-") else None
        if client is None:
            raise Unauthenticated("no such token")
        return Principal(client.client_id, client.role is Role.BL, frozenset(), dies)

    return check


@contextlib.asynccontextmanager
async def started(broker: BundledBroker):
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


def certificates_for(chosen: Mqtt, folder: Path) -> identity.Certificates | None:
    """What makes client certificates, when the settings ask for them."""
    if chosen.authentication != "CERTIFICATE":
        return None
    lifetime = timedelta(seconds=chosen.client_certificate_s)
    authority = pki.ClientAuthority(folder, datetime.now(UTC))
    return identity.Certificates(authority, pki.trust_anchor(chosen.certificate), lifetime, lambda: datetime.now(UTC))


@contextlib.asynccontextmanager
async def broker_for(
    made: Node, folder: Path, lifetime_s: float = 600.0, largest_body_bytes: int = 1_048_576, bounds=None, **settings
):
    """A broker, its authorisation and the MQTT relay, running."""
    chance, chosen = random.Random(7), Mqtt(port=0, **settings)
    options = {"certificates": certificates_for(chosen, folder / "clients"), "largest_body_bytes": largest_body_bytes}
    options["reload_s"] = POLL_S
    async with started(BundledBroker(chosen, folder / "broker", chance, **options)) as broker:
        check = desk(made.clients, lifetime_s)
        identify = identity.by_method(chosen.authentication, made.audience, check)
        bounds = bounds or DeliveryBounds()
        authorisation = Authorisation(
            broker.keys,
            broker.nats_url,
            made.audience,
            identify=identify,
            identifiers=Identifiers(made.store, bounds, made.audience.standing, time.time),
            most_sessions=bounds.sessions_per_client,
            forget=lambda identifier: forget_session(broker.address, identifier),
            now_s=time.time,
        )
        publisher = Publisher(broker.address, chance)
        outlet = MqttOutlet(made.audience, publisher, authorisation.review)
        relay = Relay(made.store, outlet, made.wake, POLL_S)
        async with running(broker.run, authorisation.run, publisher.run, relay.run):
            async with asyncio.timeout(PATIENCE_S):
                await authorisation.ready.wait()
                while await made.store.cursor("mqtt") < await made.store.head():  # noqa: ASYNC110 - see `settled`
                    await asyncio.sleep(0.01)
            yield broker
