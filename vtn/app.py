"""Composition: the only file that knows every room."""

import asyncio
import contextlib
import gc
import importlib.metadata
import logging
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus

from aiohttp import web

from vtn.auth import issuers
from vtn.auth.clients import Registry, standing
from vtn.auth.installation_keys import Seal, WebhookKeys
from vtn.auth.limits import RefusalLimit
from vtn.auth.tokens import TokenService, load_key
from vtn.clock import RealClock, parse_clock
from vtn.config import Server, Settings
from vtn.endpoints import request_id
from vtn.endpoints.broker_hooks import broker_hooks
from vtn.endpoints.cache_headers import CrossOrigin
from vtn.endpoints.guard import AiohttpHandler, HttpContext
from vtn.endpoints.notifiers import NotifierEndpoints
from vtn.endpoints.paging import QueryRules
from vtn.endpoints.problems import problem
from vtn.endpoints.routes import BASE_PATHS, build
from vtn.endpoints.status import health, metrics
from vtn.endpoints.status.insiders import everyone, insider
from vtn.errors import CannotStart, Fault, Rejected
from vtn.ids import Ids
from vtn.listening.http import HttpOptions, served
from vtn.listening.sockets import ListenAddress, bound, port_of
from vtn.notifiers import composition
from vtn.notifiers.local_discovery import records
from vtn.privatefiles import closed_tree
from vtn.rules.admission import Strictness
from vtn.rules.scopes import BL_ONLY, STANDARD_SCOPES, standard_scope
from vtn.service import broken_callbacks, compat30
from vtn.service.bodies import Bodies, give_way
from vtn.service.core import Core
from vtn.service.subscriptions import ChallengeLimits
from vtn.storage.ports import Change, Role
from vtn.storage.read_model import ReadModel
from vtn.storage.sql import SqlStore, open_store
from vtn.tasks import on_stop_signal
from vtn.tls import ServerTls
from vtn.wire.interval import print_date_time

log = logging.getLogger("vtn")
FIRST_CLIENT = "business-logic"
LONGEST_CLIENT_ID = 128
OWN_FILES = ("vtn.db*", "head-*", "keys", "broker", ".health-*")
"""What this program makes in its `var` folder."""


def storage_url(settings: Settings) -> str:
    """The database: as set, or SQLite in the `var` folder."""
    return settings.storage.url or f"sqlite:///{settings.server.var / 'vtn.db'}"


@contextlib.asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[SqlStore]:
    """The store, its schema up to date, for the length of a block; what is ours in `var` is for this user alone."""
    try:
        closed_tree(settings.server.var, OWN_FILES)
    except OSError as error:
        raise CannotStart(f"the folder {settings.server.var} cannot be used: {error.strerror}") from None
    store = await open_store(
        storage_url(settings),
        shared_dir=settings.server.var,
        quotas=settings.bounds.client,
        lease_s=settings.storage.lease_s,
    )
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def opened_registry(settings: Settings) -> AsyncIterator[Registry]:
    """The registered clients, for the length of a block."""
    async with opened_store(settings) as store:
        yield Registry(store)


async def add_client(
    settings: Settings,
    client_id: str,
    role: str,
    scopes: tuple[str, ...],
    issuer: str | None = None,
    *,
    fixed_scopes: bool = False,
) -> str | None:
    """Register a client and return its secret; None for one that brings tokens of an external issuer ("": of any).

    With `fixed_scopes` the scopes that its token requests name mean nothing: it gets its own.
    """
    faults = []
    if role not in Role.__members__:
        faults.append(Fault("role", "must be BL or VEN"))
    if not 1 <= len(client_id) <= LONGEST_CLIENT_ID:
        faults.append(Fault("clientID", "must have 1 to 128 characters"))
    names = tuple(map(standard_scope, scopes))
    faults += [Fault("scope", f"there is no scope {name}") for name in names if name not in STANDARD_SCOPES]
    if role == Role.VEN:
        faults += [Fault("scope", f"{name} is for Business Logic only") for name in names if name in BL_ONLY]
    if issuer and issuer not in {trusted.issuer for trusted in settings.auth.issuers}:
        faults.append(Fault("issuer", "is not one of auth.issuers in the settings"))
    if issuer is not None and fixed_scopes:
        faults.append(Fault("fixed-scopes", "is for clients that get their tokens here, not from an issuer"))
    if faults:
        raise Rejected(faults)
    at = print_date_time(RealClock().now())
    async with opened_registry(settings) as registry:
        if issuer is None:
            return await registry.add(client_id, Role(role), names, at=at, fixed_scopes=fixed_scopes)
        await registry.add_external(client_id, Role(role), names, issuer=issuer, at=at)
        return None


async def webhook_key(settings: Settings, client_id: str) -> str:
    """The key that a client's webhooks are signed with; NotFound or Conflict for a client that may not act."""
    async with opened_registry(settings) as registry:
        await registry.current()
        standing(registry.get(client_id), client_id)
    return WebhookKeys(settings.server.var / "keys" / "webhooks.key").of(client_id)


async def replay(settings: Settings, subscription_id: str | None) -> broken_callbacks.Replayed:
    """Have dead deliveries tried again, of one subscription or of all; a running server takes them up by itself."""
    async with opened_store(settings) as store:
        return await broken_callbacks.replay(
            store, subscription_id, print_date_time(parse_clock(settings.server.clock).now())
        )


def root_url(server: Server, port: int) -> str:
    """How clients reach this server, without a trailing slash."""
    if server.public_url:
        return server.public_url.rstrip("/")
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'https' if server.certificate else 'http'}://{host}:{port}"


def _tls(server: Server) -> ServerTls | None:
    if server.certificate is None or server.private_key is None:
        return None
    return ServerTls(server.certificate, server.private_key, server.client_ca, reload_s=server.reload_s)


@contextlib.asynccontextmanager
async def _token_service(settings: Settings, registry: Registry) -> AsyncIterator[TokenService]:
    """Where tokens are checked, with the keys of external issuers kept fresh, for the length of a block."""
    auth = settings.auth
    async with issuers.running(auth.issuers) as outside:
        key = load_key(settings.server.var / "keys" / "tokens.pem")
        tokens = TokenService(
            key, auth.token_s, registry.get, registry.seen, outside=outside, own_tokens=auth.own_tokens
        )
        tokens.remembering(settings.bounds.caches.tokens_bytes)
        if outside:
            outside.on_withdrawn(tokens.forget)
        yield tokens


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; CannotStart when the database, the broker or the port is not to be had."""
    _log_to_stderr()
    os.umask(0o077)  # whatever is made from here on, by the broker too, is for this user alone
    stop = asyncio.Event()
    with on_stop_signal(stop.set):
        async with running(settings) as url:
            sys.stdout.write(f"vtn is ready at {url}{BASE_PATHS[0]}\n")
            sys.stdout.flush()
            await stop.wait()


def _log_to_stderr() -> None:
    """Log lines that name the request they belong to."""
    form = "%(asctime)s %(levelname)s %(name)s %(request)s%(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(request_id.Marked())


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """A whole top node, for the length of a block; gives the URL it answers at."""
    var = settings.server.var
    async with contextlib.AsyncExitStack() as stack:
        tls = _tls(settings.server)
        where = ListenAddress(settings.server.host, settings.server.port, "server")
        sockets = bound(where, settings.bounds.connections.patience_s)
        for sock in sockets:
            stack.enter_context(sock)
        store = await stack.enter_async_context(opened_store(settings))
        protocol = settings.protocol
        model = ReadModel(
            through_programs=protocol.hide_events_of_hidden_programs,
            names=protocol.names_grant,
            named_clients=protocol.ven_clients,
            views_bytes=settings.bounds.caches.views_bytes,
        )
        await model.load(store)
        registry = Registry(store)
        if settings.auth.own_tokens:
            await _first_client(registry)
        tokens = await stack.enter_async_context(_token_service(settings, registry))
        seal = Seal(var / "keys" / "seal.key")
        clock = parse_clock(settings.server.clock)
        chance = random.Random()  # noqa: S311 - jitter between retries, not a secret
        webhook_keys = WebhookKeys(var / "keys" / "webhooks.key")
        port = port_of(sockets)
        place = records.place(settings, port, BASE_PATHS[0]) if settings.discovery.enabled else None
        bodies = Bodies(settings.bounds.body, settings.bounds.caches)
        stack.callback(bodies.off.close)
        parts = composition.Parts(
            settings, store, model, registry, tokens, seal, webhook_keys, clock, chance, place, bodies
        )
        notifying = await stack.enter_async_context(composition.running(parts))

        def committed(changes: Sequence[Change]) -> None:
            model.apply(changes)
            notifying.wake()

        store.on_commit = committed
        url = root_url(settings.server, port)
        app = _application(settings, _http_context(settings, parts, notifying), notifying, url)
        options = HttpOptions(settings.bounds.connections, tls, _refused, auto_decompress=False)
        await stack.enter_async_context(served(app, sockets, options))
        _collect_rarely()
        if tls is None:
            log.warning("plain HTTP at %s: for this machine only, OpenADR clients elsewhere need TLS", url)
        yield url


def _http_context(settings: Settings, parts: composition.Parts, notifying: composition.Notifiers) -> HttpContext:
    """What the endpoints share: the use cases, the token service, and the settings that concern them."""
    protocol, server, bounds = settings.protocol, settings.server, settings.bounds
    core = Core(
        parts.store,
        parts.model,
        parts.clock,
        parts.seal,
        Ids(),
        notifying.challenge,
        Strictness(
            strict_null=protocol.strict_null,
            lenient_descriptors=protocol.lenient_descriptors,
            allow_loopback_callbacks=settings.webhooks.allow_loopback,
            most_faults=bounds.body.faults,
        ),
        cascade=protocol.on_delete == "cascade",
        note_read=notifying.note_read,
        admit_challenges=ChallengeLimits(settings.bounds.delivery, time.monotonic).admit,
        quotas=settings.bounds.client,
        bodies=parts.bodies,
    )
    return HttpContext(
        core,
        parts.tokens,
        parts.registry,
        _query_rules(settings),
        protocol.problem_media_type,
        settings.auth,
        server.gzip_from_bytes,
        settings.bounds.connections.patience_s,
        cross_origin=CrossOrigin(frozenset(server.cors_origins)),
        public_topics=settings.mqtt.mode != "off" and settings.mqtt.authentication == "ANONYMOUS",
        face301=compat30.face(core, protocol.ven_clients, http_callbacks=settings.webhooks.legacy_http),
        refusals=RefusalLimit(bounds.body.refusals_per_minute),
        answers_bytes=bounds.caches.answers_bytes,
    )


def _application(
    settings: Settings, context: HttpContext, notifying: composition.Notifiers, url: str
) -> web.Application:
    """Everything that is answered, at this URL."""
    return build(
        context,
        NotifierEndpoints(notifying.uris, settings.mqtt.authentication, notifying.certificate),
        root_url=url,
        max_body_bytes=settings.server.max_body_bytes,
        hooks=broker_hooks(context, settings.mqtt, settings.bounds.delivery),
        pages=_pages(settings, context, notifying),
    )


def _pages(settings: Settings, context: HttpContext, notifying: composition.Notifiers) -> Mapping[str, AiohttpHandler]:
    """What is read at the root, beside the documents: how this server is and what it did."""
    looks = health.looks(context.core, settings.server.var, notifying.figures, time.monotonic)
    checkup, version = health.Checkup(looks, time.monotonic), importlib.metadata.version("evtn")
    inside = insider(context)
    pages = {"/health": health.health(checkup, version, inside)}
    if settings.server.metrics != "off":
        scrapers = everyone if settings.server.metrics == "everyone" else inside
        pages["/metrics"] = metrics.metrics(context, notifying.figures, scrapers)
    return pages


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


def _refused(status: HTTPStatus, detail: str) -> web.Response:
    """A problem document for what is no HTTP, or failed outside of every operation."""
    request_id.begin()
    return problem(status, detail)


def _collect_rarely() -> None:
    """The search for cycles, of which there are few, took a fifth of a request."""
    gc.collect()
    gc.freeze()
    give_way()
    gc.set_threshold(100_000, 50, 1000)
