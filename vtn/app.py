"""Composition: the only file that knows every room."""

import asyncio
import contextlib
import gc
import logging
import random
import secrets
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from aiohttp import web

from vtn.auth.clients import Registry
from vtn.auth.sealing import Seal
from vtn.auth.tokens import TokenDesk, load_key
from vtn.clock import RealClock, parse_clock
from vtn.config import Server, Settings
from vtn.endpoints.door import Hall
from vtn.endpoints.notifiers import Notifiers
from vtn.endpoints.paging import QueryRules
from vtn.endpoints.routes import BASE_PATHS, build
from vtn.errors import CannotStart, Fault, Rejected
from vtn.notifiers import station
from vtn.rules.admission import Strictness
from vtn.rules.scopes import BL_ONLY, STANDARD_SCOPES, standard_scope
from vtn.service.core import Core
from vtn.storage.ports import Change, Role
from vtn.storage.readmodel import ReadModel
from vtn.storage.sql import SqlStore, open_store
from vtn.wire.interval import print_date_time

log = logging.getLogger("vtn")
FIRST_CLIENT = "business-logic"
LONGEST_CLIENT_ID = 128
ID_BYTES, ID_BLOCK = 10, 512


def storage_url(settings: Settings) -> str:
    """The database: as set, or SQLite in the `var` folder."""
    return settings.storage.url or f"sqlite:///{settings.server.var / 'vtn.db'}"


@contextlib.asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[SqlStore]:
    """The store, its schema up to date, for the length of a block."""
    try:
        settings.server.var.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"the folder {settings.server.var} cannot be made: {error.strerror}") from None
    store = await open_store(storage_url(settings), shared_dir=settings.server.var)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def opened_registry(settings: Settings) -> AsyncIterator[Registry]:
    """The registered clients, for the length of a block."""
    async with opened_store(settings) as store:
        yield Registry(store)


async def add_client(settings: Settings, client_id: str, role: str, scopes: tuple[str, ...]) -> str:
    """Register a client and return its secret."""
    faults = []
    if role not in Role.__members__:
        faults.append(Fault("role", "must be BL or VEN"))
    if not 1 <= len(client_id) <= LONGEST_CLIENT_ID:
        faults.append(Fault("clientID", "must have 1 to 128 characters"))
    names = tuple(map(standard_scope, scopes))
    faults += [Fault("scope", f"there is no scope {name}") for name in names if name not in STANDARD_SCOPES]
    if role == Role.VEN:
        faults += [Fault("scope", f"{name} is for Business Logic only") for name in names if name in BL_ONLY]
    if faults:
        raise Rejected(faults)
    async with opened_registry(settings) as registry:
        return await registry.add(client_id, Role(role), names, at=print_date_time(RealClock().now()))


class Ids:
    """Object ids that sort by birth and cannot be guessed; chance is drawn in blocks, because each draw is costly."""

    def __init__(self) -> None:
        self._chance: Iterator[str] = iter(())

    def __call__(self) -> str:
        """An id that was never used."""
        drawn = next(self._chance, None)
        if drawn is None:
            block = secrets.token_hex(ID_BLOCK * ID_BYTES)
            self._chance = iter([block[i : i + 2 * ID_BYTES] for i in range(0, len(block), 2 * ID_BYTES)])
            drawn = next(self._chance)
        return f"{time.time_ns() // 1_000_000:012x}{drawn}"


def root_url(server: Server, port: int) -> str:
    """How clients reach this server, without a trailing slash."""
    if server.public_url:
        return server.public_url.rstrip("/")
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'https' if server.certificate else 'http'}://{host}:{port}"


def tls_context(certificate: Path | None, private_key: Path | None) -> ssl.SSLContext | None:
    """TLS 1.2 or later with this certificate; None without one."""
    if certificate is None or private_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, private_key)
    except (OSError, ssl.SSLError) as error:
        raise CannotStart(f"the certificate {certificate} or its key cannot be used: {error}") from None
    return context


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; CannotStart when the database, the broker or the port is not to be had."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as url:
        sys.stdout.write(f"vtn is ready at {url}{BASE_PATHS[0]}\n")
        sys.stdout.flush()
        await stop.wait()


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """A whole top node, for the length of a block; gives the URL it answers at."""
    var = settings.server.var
    async with contextlib.AsyncExitStack() as stack:
        tls = tls_context(settings.server.certificate, settings.server.private_key)
        sock = stack.enter_context(_bound_socket(settings.server))
        store = await stack.enter_async_context(opened_store(settings))
        model = ReadModel()
        await model.load(store)
        registry = Registry(store)
        await _first_client(registry)
        desk = TokenDesk(load_key(var / "keys" / "tokens.pem"), settings.auth.token_s, registry.get, registry.seen)
        seal = Seal(var / "keys" / "seal.key")
        clock = parse_clock(settings.server.clock)
        chance = random.Random()  # noqa: S311 - jitter between retries, not a secret
        parts = station.Parts(settings, store, model, registry, desk, seal, clock, chance)
        notifying = await stack.enter_async_context(station.running(parts))

        def committed(changes: Sequence[Change]) -> None:
            model.apply(changes)
            notifying.wake()

        store.on_commit = committed
        core = Core(
            store,
            model,
            clock,
            seal,
            Ids(),
            notifying.challenge,
            Strictness(
                strict_null=settings.protocol.strict_null,
                lenient_descriptors=settings.protocol.lenient_descriptors,
                allow_loopback_callbacks=settings.webhooks.allow_loopback,
            ),
            cascade=settings.protocol.on_delete == "cascade",
        )
        hall = Hall(core, desk, registry, _query_rules(settings), settings.protocol.problem_media_type)
        notifiers = Notifiers(notifying.uris, settings.mqtt.authentication)
        url = root_url(settings.server, sock.getsockname()[1])
        app = build(hall, notifiers, root_url=url, max_body_bytes=settings.server.max_body_bytes)
        await _listen(stack, app, sock, tls)
        if tls is None:
            log.warning("plain HTTP at %s: for this machine only, OpenADR clients elsewhere need TLS", url)
        yield url


def _query_rules(settings: Settings) -> QueryRules:
    protocol = settings.protocol
    return QueryRules(
        protocol.default_limit, protocol.match_targets, protocol.strict_target_query, protocol.split_commas
    )


async def _first_client(registry: Registry) -> None:
    """On the very first start, register a Business Logic client and print its secret, once."""
    await registry.current()
    if not registry.every():
        secret = await registry.add(FIRST_CLIENT, Role.BL, (), at=print_date_time(RealClock().now()))
        sys.stdout.write(f"first client (shown only now)\n  clientID  {FIRST_CLIENT}\n  secret    {secret}\n")


async def _listen(
    stack: contextlib.AsyncExitStack, app: web.Application, sock: socket.socket, tls: ssl.SSLContext | None
) -> None:
    """Answer on a bound socket."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.SockSite(runner, sock, ssl_context=tls, backlog=1024).start()
    except OSError as error:
        raise CannotStart(f"cannot listen: {error.strerror}") from None
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)  # the search for cycles, of which there are few, took a fifth of a request


def _bound_socket(server: Server) -> socket.socket:
    """The listening socket, or one sentence on why it is not to be had."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((server.host, server.port))
    except OSError as error:
        sock.close()
        raise CannotStart(f"cannot listen on {server.host}:{server.port}: {error.strerror}") from None
    return sock
