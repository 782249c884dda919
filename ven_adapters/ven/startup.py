"""What an adapter or an executor needs of the machine it starts on: files, folders, ports; looked at first.

Each fault is one ConfigError or CannotStart that names the setting. Ports are bound and let go again, because what
listens there comes later, and when it cannot, tries again without ending the process.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ven_adapters.config import AdapterSettings, ExecutorSettings, QueueSettings, WakeSettings
from ven_adapters.contract import BackendError, VehicleBackend
from ven_adapters.registry import UnknownOem, factory
from ven_adapters.transport.http.settings import WebhookTable
from ven_adapters.transport.ocpp21.settings import STATIONS_PORT
from ven_adapters.transport.settings import LOOPBACK_HOST, read_table
from ven_adapters.ven.openadr.notifications import hook_address
from ven_adapters.ven.queue.connection import queue_tls
from vtn.errors import CannotStart, ConfigError
from vtn.listening.sockets import ListenAddress, require_free
from vtn.privatefiles import private_folder
from vtn.tls import require_readable, trusting


def check_adapter(settings: AdapterSettings) -> None:
    """Whether an adapter can start: its own folder, whom it trusts, the queue's files, the port of its wake hook."""
    require_folder("var", settings.folder)
    if settings.vtn.ca is not None:
        _named("vtn.ca", settings.vtn.ca)
    if settings.queue is not None:
        check_queue(settings.queue)
    _check_hook(settings.wake)


def check_executor(settings: ExecutorSettings) -> None:
    """Whether an executor can start: the queue's files."""
    check_queue(settings.queue)


def check_queue(queue: QueueSettings) -> None:
    """Whether the files that the section [queue] names can be used."""
    try:
        if queue.credentials is not None:
            require_readable(queue.credentials)
        queue_tls(queue)
    except CannotStart as error:
        raise ConfigError(f"queue: {error}") from None


def backend_of(oem: str, table: Mapping[str, Any]) -> VehicleBackend:
    """The automaker's backend, whose table is right, whose folder can be written to and whose ports are free."""
    try:
        made = factory(oem)(table)
        addresses = _addresses(table)
    except (UnknownOem, BackendError) as error:
        raise ConfigError(f"backend: {error}") from None
    if isinstance(table.get("state"), (str, Path)):
        require_folder("backend.state", Path(table["state"]))
    for where in addresses:
        require_free(where)
    return made


def _addresses(table: Mapping[str, Any]) -> list[ListenAddress]:
    """Where an automaker's file will listen, by a table that it has accepted."""
    found = []
    keys = ("webhook_secret", "webhook_host", "webhook_port")
    webhook = read_table(WebhookTable, {key: table.get(key) for key in keys}).webhook
    if webhook is not None:
        found.append(ListenAddress(webhook.host, webhook.port, "backend.webhook_port"))
    if table.get("stations") is not None:
        port = table["port"] if table.get("port") is not None else STATIONS_PORT
        found.append(ListenAddress(table.get("host") or LOOPBACK_HOST, port, "backend.port"))
    return found


def require_folder(setting: str, folder: Path) -> None:
    """A folder that files can be made in; it is made itself when it is not there."""
    probe = folder / ".writable"
    try:
        private_folder(folder)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"{setting}: {folder} cannot be written to: {error.strerror}") from None


def _named(setting: str, ca: Path) -> None:
    try:
        trusting(ca)
    except CannotStart as error:
        raise ConfigError(f"{setting}: {error}") from None


def _check_hook(wake: WakeSettings) -> None:
    if wake.mode == "webhook":
        require_free(hook_address(wake))
