"""The programs that are measured, each on a core of its own and ended by its own process id.

Everything listens on loopback and keeps its files in the folder it is given.
"""

import contextlib
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_S = 30.0
STOP_S = 10.0
NGINX_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin")
NGINX_CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    open_file_cache max=10 inactive=600s;
    open_file_cache_valid 600s;
    default_type application/json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ root {folder}; try_files /answer.json =404; }}
    }}
}}
"""


class CannotMeasureError(Exception):
    """A program of the bench did not start, or did not answer as it must."""


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Processes that are started in this block stay on one core; None pins nothing."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def process(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that runs for the length of a block; what it says on standard error goes to `log`."""
    with log.open("w") as errors:
        running = subprocess.Popen(command, env=dict(environ), stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(STOP_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextlib.contextmanager
def top_node(var: Path, url: str | None) -> Iterator[int]:
    """`vtn serve` as it comes, without a broker; gives its port."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("EVTN_")}
    environ |= {"EVTN_SERVER__PORT": "0", "EVTN_SERVER__VAR": str(var), "EVTN_MQTT__MODE": "off"}
    if url is not None:
        environ["EVTN_STORAGE__URL"] = url
    log = var / "vtn.log"
    with process([str(Path(sys.executable).with_name("vtn")), "serve"], environ, log) as running:
        yield int(ready_line(running, log).rsplit(":", 1)[1].split("/")[0])


def ready_line(running: subprocess.Popen[str], log: Path, within_s: float = START_S) -> str:
    """The line by which a program says that it is ready."""
    until = time.monotonic() + within_s
    with selectors.DefaultSelector() as waiting:
        assert running.stdout is not None
        waiting.register(running.stdout, selectors.EVENT_READ)
        while waiting.select(max(0.0, until - time.monotonic())):
            line = running.stdout.readline()
            if "is ready at" in line:
                return line
            if not line:
                break
    raise CannotMeasureError(f"a program did not start: {log.read_text()[-500:]}")


def find_nginx() -> str | None:
    """The nginx of this machine."""
    return shutil.which("nginx") or shutil.which("nginx", path=os.pathsep.join(NGINX_FOLDERS))


@contextlib.contextmanager
def nginx(program: str, folder: Path, answer: bytes) -> Iterator[int]:
    """One nginx worker that serves `answer` from a file at every path; gives its port."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answer.json").write_bytes(answer)
    port = _free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(folder=folder, port=port))
    with process([program, "-p", str(folder), "-c", str(config)], os.environ, folder / "stderr.log") as running:
        _await_port(port, running, folder / "stderr.log")
        yield port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int, running: subprocess.Popen[str], log: Path) -> None:
    until = time.monotonic() + START_S
    while running.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)
    raise CannotMeasureError(f"nginx did not start: {log.read_text()[-500:]}")
