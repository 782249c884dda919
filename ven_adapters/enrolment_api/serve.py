"""Start the enrolment API from an adapter's settings and serve it until SIGTERM or SIGINT."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from ven_adapters.config import AdapterSettings, EnrollingSettings, opening
from ven_adapters.enrolment_api.endpoints import EnrolmentEndpoints, Explain, refusal
from ven_adapters.enrolment_api.operations import EnrolmentOperations
from ven_adapters.enrolment_api.reevaluation import Reevaluated, judge_again
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.enrolment_api.webhooks.notice_sender import tell_drivers
from ven_adapters.enrolment_api.webhooks.webhook_sender import tell
from vtn.clock import Clock
from vtn.errors import CannotStart, ConfigError
from vtn.listening.http import HttpOptions, served
from vtn.listening.sockets import ListenAddress, bound, port_of
from vtn.tasks import on_stop_signal
from vtn.tls import ServerTls

_log = logging.getLogger(__name__)
READY = "enrolment is ready at "


def enrolling_of(settings: AdapterSettings) -> tuple[EnrollingSettings, str]:
    """The section [enrolling] and its store's URL; ConfigError without one."""
    url = settings.enrolment_store()
    if settings.enrolling is None or url is None:
        raise ConfigError("enrolling: the settings file has no section [enrolling]")
    return settings.enrolling, url


def operations_of(settings: AdapterSettings) -> EnrolmentOperations:
    """The operations, with the settings' programmes and zones."""
    programs, zones = enrolling_of(settings)[0].programs, frozenset(settings.zones)
    return EnrolmentOperations(programs, zones, settings.patience.skip_tokens)


@contextlib.asynccontextmanager
async def opened(settings: AdapterSettings) -> AsyncIterator[EnrolmentStore]:
    """The enrolment store, open."""
    with opening("enrolling.store_url"):
        store = EnrolmentStore(enrolling_of(settings)[1])
    try:
        with opening("enrolling.store_url"):
            await store.open()
        yield store
    finally:
        await store.close()


async def judged(store: EnrolmentStore, operations: EnrolmentOperations, clock: Clock) -> Reevaluated | None:
    """Judge enrolled cars again, if the rules of programmes are others than when it was last done."""
    async with store.write(clock.now()) as write:
        return await judge_again(write, operations.programs)


def _tell(done: Reevaluated | None) -> None:
    if done is not None:
        told = (done.left, done.suspended, done.back)
        _log.info("the rules of programmes are new: %d cars left one, %d are in none, %d are in one again", *told)


@contextlib.asynccontextmanager
async def running(settings: AdapterSettings, clock: Clock, explain: Explain | None = None) -> AsyncIterator[str]:
    """The API, listening; yields its address. `explain` tells why a car did what it did."""
    enrolling, _ = enrolling_of(settings)
    tls = _tls(enrolling)
    async with contextlib.AsyncExitStack() as stack:
        sockets = bound(ListenAddress(enrolling.host, enrolling.port, "enrolling.port"), enrolling.listening.patience_s)
        for sock in sockets:
            stack.enter_context(sock)
        port = port_of(sockets)
        store = await stack.enter_async_context(opened(settings))
        operations = operations_of(settings)
        _tell(await judged(store, operations, clock))
        endpoints = EnrolmentEndpoints(store, operations, clock, enrolling, explain)
        if enrolling.webhook_url is not None and enrolling.webhook_secret is not None:
            telling = tell(store, enrolling.webhook_url, enrolling.webhook_secret, endpoints.changed)
            await stack.enter_async_context(_beside(telling))
            drivers = tell_drivers(store, enrolling.webhook_url, enrolling.webhook_secret, clock)
            await stack.enter_async_context(_beside(drivers))
        await stack.enter_async_context(
            served(endpoints.application(), sockets, HttpOptions(enrolling.listening, tls, refusal))
        )
        yield f"{'http' if tls is None else 'https'}://{enrolling.host}:{port}"


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have something run beside a block; when it fails, so does the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()


def _tls(enrolling: EnrollingSettings) -> ServerTls | None:
    if enrolling.certificate is None or enrolling.key is None:
        return None
    try:
        return ServerTls(enrolling.certificate, enrolling.key)
    except CannotStart as error:
        raise ConfigError(f"enrolling.certificate: {error}") from None


async def serve(settings: AdapterSettings, clock: Clock, explain: Explain | None = None) -> None:
    """Serve until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    stopping = asyncio.Event()
    with on_stop_signal(stopping.set):
        async with running(settings, clock, explain) as address:
            sys.stdout.write(f"{READY}{address}\n")
            sys.stdout.flush()
            await stopping.wait()
