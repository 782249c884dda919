"""Servers for clients that we did not write: over TLS, as those demand, with a development certificate authority.

The servers and clients are those of the end-to-end tests.
"""

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from environments import Client, python_or_skip
from vtn_process import Vtn, run_cli

HERE = Path(__file__).parent
END_TO_END = HERE.parent / "e2e" / "conftest.py"
DRIVE_S = 90.0

_found = importlib.util.spec_from_file_location("end_to_end_fixtures", END_TO_END)
assert _found
assert _found.loader
_end_to_end = importlib.util.module_from_spec(_found)
_found.loader.exec_module(_end_to_end)
template, launch = _end_to_end.template, _end_to_end.launch


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Path:
    """A folder with `ca.pem`, `server.pem` and `server.key` for this machine."""
    folder = tmp_path_factory.mktemp("certificates")
    made = run_cli("certs", "--folder", str(folder), "--host", "127.0.0.1", var=folder / "var")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def https(certificates) -> dict[str, str]:
    """The settings that make a server speak HTTPS."""
    return {
        "server.certificate": str(certificates / "server.pem"),
        "server.private_key": str(certificates / "server.key"),
    }


@pytest.fixture(scope="session")
def vtn(launch, https) -> Iterator[Vtn]:
    """A server over HTTPS with the bundled broker, which admits nobody without a token."""
    with launch({**https, "mqtt.mode": "bundled", "mqtt.port": "0"}) as server:
        yield server


@pytest.fixture(scope="session")
def open_vtn(launch, https) -> Iterator[Vtn]:
    """A server over HTTPS whose bundled broker admits everybody."""
    with launch({**https, "mqtt.mode": "bundled", "mqtt.port": "0", "mqtt.authentication": "ANONYMOUS"}) as server:
        yield server


@pytest.fixture(scope="session")
def certified_vtn(launch, https) -> Iterator[Vtn]:
    """A server over HTTPS whose broker knows clients by certificates that the VTN hands out; anybody may read."""
    tls = {name.replace("server.", "mqtt."): value for name, value in https.items()}
    broker = {"mqtt.mode": "bundled", "mqtt.port": "0", "mqtt.authentication": "CERTIFICATE"}
    with launch({**https, **tls, **broker, "auth.anonymous_read": "true"}) as server:
        yield server


@pytest.fixture(scope="session")
def drive(certificates) -> Callable[..., list[dict[str, Any]]]:
    """Run a drive in the environment of its library and return the lines it printed."""

    def run(client: Client, script: str, url: str, secrets: dict[str, str], **more: Any) -> list[dict[str, Any]]:
        facts = {"url": url, "ca": str(certificates / "ca.pem"), "secrets": secrets, **more}
        done = subprocess.run(
            [python_or_skip(client), HERE / script],
            input=json.dumps(facts),
            env=os.environ | dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), facts["ca"]),
            capture_output=True,
            text=True,
            timeout=DRIVE_S,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
