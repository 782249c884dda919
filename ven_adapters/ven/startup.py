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
from ven_adapters.transport.http.listener import addresses_of
from ven_adapters.ven.openadr.notifications import hook_address
from ven_adapters.ven.queue.connection import queue_tls
from vtn.errors import CannotStart, ConfigError
from vtn.listening.sockets import require_free
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
    except (UnknownOem, BackendError) as error:
        raise ConfigError(f"backend: {error}") from None
    if isinstance(table.get("state"), (str, Path)):
        require_folder("backend.state", Path(table["state"]))
    for where in addresses_of(table):
        require_free(where)
    return made


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
