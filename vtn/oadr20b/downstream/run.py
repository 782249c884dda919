"""`vtn 20b serve`: a VTN for 2.0b VENs, until it is stopped."""

import asyncio
import contextlib
import dataclasses
import logging
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta

from vtn.client import Client, VtnRefused, VtnUnreachable
from vtn.clock import parse_clock
from vtn.errors import CannotStart
from vtn.ids import uuids
from vtn.limits import doubled_s
from vtn.listening.http import HttpOptions, served
from vtn.listening.sockets import ListenAddress, bound, port_of
from vtn.oadr20b.codec.signatures import MessageWriter
from vtn.oadr20b.downstream.context import DownstreamContext
from vtn.oadr20b.downstream.outbox import ReportOutbox
from vtn.oadr20b.downstream.push import MessagePusher
from vtn.oadr20b.downstream.services import Services
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.downstream.vens import VenRegistry
from vtn.oadr20b.downstream.vtn_watch import VtnWatch
from vtn.oadr20b.process import run_bridge
from vtn.oadr20b.settings import OWN_FILES
from vtn.oadr20b.store.database import FORGET_EVERY, opened
from vtn.oadr20b.tls import TwoCertificateTls, client_tls
from vtn.oadr20b.vtn_client import vtn_client
from vtn.privatefiles import closed_tree
from vtn.tasks import cancel_tasks

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 60.0
log = logging.getLogger("vtn.oadr20b.downstream")


@dataclasses.dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs: where, and its parts."""

    url: str
    context: DownstreamContext
    services: Services
    tasks: list[asyncio.Task[None]]


async def serve(settings: DownstreamSettings) -> None:
    """Serve until SIGTERM or SIGINT; CannotStart names what the operator must mend."""
    await run_bridge(running(settings), lambda made: f"2.0b is ready at {made.url}", lambda made: made.tasks)


@contextlib.asynccontextmanager
async def running(settings: DownstreamSettings) -> AsyncIterator[Serving]:
    """The whole server, for the length of a block."""
    listener = settings.server
    try:
        closed_tree(settings.var, OWN_FILES)
    except OSError as error:
        raise CannotStart(f"the folder {settings.var} cannot be used: {error.strerror}") from None
    async with contextlib.AsyncExitStack() as stack:
        tls, outgoing = _tls(settings)
        writer = MessageWriter(*((listener.certificate, listener.private_key) if settings.sign else (None, None)))
        sockets = bound(ListenAddress(listener.host, listener.port, "server"), listener.connections.patience_s)
        for sock in sockets:
            stack.enter_context(sock)
        store = await stack.enter_async_context(opened(settings.store()))
        registry = VenRegistry(store)
        await registry.load()
        client = await stack.enter_async_context(vtn_client(settings.vtn))
        clients = ReportClients(settings, registry)
        stack.push_async_callback(clients.close)
        outbox = ReportOutbox(store, clients.of)
        watch = VtnWatch(client, registry, store, settings.reports_client_id)
        clock, loop = parse_clock(settings.clock), asyncio.get_running_loop()
        context = DownstreamContext(settings, store, registry, outbox, watch, clock, loop.time, uuids())
        services = Services(context, writer)
        tasks = [
            asyncio.create_task(_watch(context)),
            asyncio.create_task(outbox.run()),
            asyncio.create_task(MessagePusher(context, services, writer, outgoing).run()),
            asyncio.create_task(_tidy(context)),
        ]
        stack.push_async_callback(cancel_tasks, tasks)
        options = HttpOptions(listener.connections, tls)
        await stack.enter_async_context(served(services.application(), sockets, options))
        host = f"[{listener.host}]" if ":" in listener.host else listener.host
        url = f"{'https' if tls else 'http'}://{host}:{port_of(sockets)}{listener.path}"
        if tls is None:
            log.warning("plain HTTP at %s: VENs are known by what they call themselves, for this machine only", url)
        yield Serving(url, context, services, tasks)


def _tls(settings: DownstreamSettings) -> tuple[TwoCertificateTls | None, ssl.SSLContext | None]:
    """TLS for the listener and for pushing; None of both where plain HTTP is spoken."""
    listener = settings.server
    if listener.certificate is None or listener.private_key is None or listener.client_ca is None:
        return None, None
    pairs = [(listener.certificate, listener.private_key)]
    if listener.ecc_certificate is not None and listener.ecc_private_key is not None:
        pairs.append((listener.ecc_certificate, listener.ecc_private_key))
    tls = TwoCertificateTls(tuple(pairs), listener.client_ca, all_ciphers=listener.all_ciphers)
    outgoing = client_tls(
        listener.client_ca, listener.certificate, listener.private_key, all_ciphers=listener.all_ciphers
    )
    return tls, outgoing


class ReportClients:
    """The VTN's clients that report for VENs: each VEN's own, or the one for all that have none."""

    def __init__(self, settings: DownstreamSettings, registry: VenRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._clients: dict[str, Client] = {}

    def of(self, ven_id: str) -> Client | None:
        """The client that reports for a VEN; None when there is none."""
        ven = self._registry.vens.get(ven_id)
        client_id, secret = self._settings.reports_client_id, self._settings.reports_client_secret
        if ven is not None and ven.provision.client_id is not None:
            client_id, secret = ven.provision.client_id, ven.provision.client_secret
        if client_id is None or secret is None:
            return None
        key = f"{client_id}\n{secret}"
        if key not in self._clients:
            self._clients[key] = vtn_client(self._settings.vtn, client_id, secret)
        return self._clients[key]

    async def close(self) -> None:
        """Let go of connections."""
        for client in self._clients.values():
            await client.close()


async def _watch(context: DownstreamContext) -> None:
    """Look at the VTN for ever; while it cannot be reached VENs are told what was known last."""
    failures, settings, watch = 0, context.settings, context.watch
    pending = False
    while True:
        try:
            pending = await context.registry.reload_provisions() or pending
            every = timedelta(seconds=settings.report_back_s)
            await watch.prepare(context.clock.now(), timedelta(seconds=settings.granularity_s), every)
            await watch.look(context.clock.now(), provisions_changed=pending)
            failures, pending, wait_s = 0, False, settings.look_s
        except (VtnRefused, VtnUnreachable) as error:
            failures += 1
            wait_s = doubled_s(failures, FIRST_RETRY_S, LONGEST_RETRY_S)
            log.warning("the VTN cannot be read (%d times in a row): %s", failures, error)
        await asyncio.sleep(wait_s)


async def _tidy(context: DownstreamContext) -> None:
    while True:
        now = context.clock.now()
        await context.store.forget(now, context.settings.journal_days)
        await context.outbox.forget(now)
        await asyncio.sleep(FORGET_EVERY.total_seconds())
