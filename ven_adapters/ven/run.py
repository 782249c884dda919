"""Start one adapter from its settings and run it until SIGTERM or SIGINT: what `ven-adapters run` calls."""

import logging
import sys
from pathlib import Path

from ven_adapters.config import AdapterSettings, opening
from ven_adapters.contract import VehicleBackend
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.guard.child import guarded
from ven_adapters.ven.agent import Agent, AgentPorts
from ven_adapters.ven.enrolment.files import Unreadable
from ven_adapters.ven.queue.connection import QueueConnection
from ven_adapters.ven.queue.remote_backend import RemoteBackend
from ven_adapters.ven.startup import backend_of, check_adapter
from ven_adapters.ven.store.database import AdapterStore
from vtn.client import Client
from vtn.clock import Clock
from vtn.errors import ConfigError
from vtn.tasks import on_stop_signal
from vtn.tls import trusting

_log = logging.getLogger(__name__)


async def run(settings: AdapterSettings, clock: Clock, config: Path | None = None) -> None:
    """One adapter, until it is told to stop; ConfigError when settings or enrolments cannot be used.

    `config` is the file of the settings, which the guard reads too.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    check_adapter(settings)
    if settings.shard:
        _log.info("steers the zones %s; its own files are in %s", ", ".join(settings.shard), settings.folder)
    agent = Agent(settings, clock, ports_of(settings))
    with on_stop_signal(agent.stop):
        try:
            async with guarded(settings.guard, agent.ports.backend, settings.oem, config):
                await agent.run()
        except Unreadable as error:
            raise ConfigError(str(error)) from None


def ports_of(settings: AdapterSettings) -> AgentPorts:
    """The outside of an adapter, as its settings say; nothing is called yet."""
    vtn = settings.vtn
    tls = trusting(vtn.ca) if vtn.ca is not None else True
    backend = _backend(settings)
    with opening("store_url"):
        store = AdapterStore(settings.store())
    with opening("enrolling.store_url"):
        url = settings.enrolment_store()
        enrolments = EnrolmentStore(url) if url is not None else None
    client = Client(vtn.url, vtn.client_id, vtn.client_secret, scope=vtn.scope, tls=tls)
    return AgentPorts(client, backend, store, enrolments)


def _backend(settings: AdapterSettings) -> VehicleBackend:
    """The automaker's own backend; or, with a section [queue], executors that hold it."""
    if settings.queue is not None:
        link = QueueConnection(settings.queue, settings.oem)
        return RemoteBackend(link, settings.shared_clock(), f"{settings.client_name}/{settings.part}")
    return backend_of(settings.oem, settings.backend)
