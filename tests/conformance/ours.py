"""Our own VTN, in this process and on a socket of its own, for the kit to judge: whole, or with one thing broken."""

import contextlib
import dataclasses
import io
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from vtn.app import opened_registry, running
from vtn.auth.pki import make_development_certificates
from vtn.clock import RealClock
from vtn.config import Settings
from vtn.conformance.exchange import Credentials
from vtn.conformance.runner import Plan
from vtn.storage.ports import Role
from vtn.wire.interval import print_date_time

CLIENTS = {"bl": Role.BL, "ven-one": Role.VEN, "ven-two": Role.VEN}
RECEIVER = "http://127.0.0.1:0"


def settings_for(var: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """The settings under which the kit's receiver on this machine can be reached, and failures are retried quickly."""
    base: dict[str, dict[str, Any]] = {
        "server": {"port": 0, "var": var},
        "mqtt": {"port": 0},
        "webhooks": {"allow_loopback": True, "first_retry_s": 0.2, "longest_retry_s": 1.0, "timeout_s": 2.0},
    }
    for section, values in (changes or {}).items():
        base[section] = {**base.get(section, {}), **values}
    return Settings.model_validate(base)


def settings_with_everything(var: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """The same behind TLS, for the API and the broker, and announced by mDNS on this machine."""
    certificates = {path.name: path for path in make_development_certificates(var, ["127.0.0.1"], RealClock().now())}
    tls = {"certificate": certificates["server.pem"], "private_key": certificates["server.key"]}
    discovery = {"enabled": True, "addresses": ["127.0.0.1"]}
    return settings_for(var, {**(changes or {}), "server": tls, "mqtt": {"port": 0, **tls}, "discovery": discovery})


@contextlib.asynccontextmanager
async def served(settings: Settings, *, only: tuple[str, ...] = ()) -> AsyncIterator[Plan]:
    """A running VTN with the kit's three clients, and the plan of a run against it."""
    secrets = {}
    async with opened_registry(settings) as registry:
        for client_id, role in CLIENTS.items():
            secrets[client_id] = await registry.add(client_id, role, (), at=print_date_time(RealClock().now()))
    with contextlib.redirect_stdout(io.StringIO()):
        async with running(settings) as url:
            clients = [Credentials(client_id, secret) for client_id, secret in secrets.items()]
            base = f"{url}/openadr3/3.1.0"
            yield Plan(base, *clients, tls=trusting(settings), receiver_url=RECEIVER, only=only)


def trusting(settings: Settings) -> ssl.SSLContext | bool:
    """What trusts the development authority of these settings."""
    certificate = settings.server.certificate
    return ssl.create_default_context(cafile=certificate.with_name("ca.pem")) if certificate else True


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    """One thing broken: `breaks` says what, `requirement` names whose checks must notice, `apply` breaks it."""

    name: str
    breaks: str
    requirement: str
    apply: Any
    mqtt: bool = False
    settings: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


@contextlib.asynccontextmanager
async def mutated(mutant: Mutant, var: Path) -> AsyncIterator[Plan]:
    """Our VTN with one thing broken, and the plan of the checks that should notice."""
    mode = {"mqtt": {} if mutant.mqtt else {"mode": "off"}}
    with pytest.MonkeyPatch.context() as patch:
        mutant.apply(patch)
        settings = settings_for(var, {**mode, **mutant.settings})
        async with served(settings, only=(mutant.requirement,)) as plan:
            yield plan
