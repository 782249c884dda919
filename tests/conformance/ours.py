"""Our own VTN, in this process and on a socket of its own, for the kit to judge: whole, or with one thing broken."""

import contextlib
import dataclasses
import io
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from vtn.app import opened_registry, running
from vtn.auth.pki import make_development_certificates
from vtn.checking.verdict import Outcome
from vtn.clock import RealClock
from vtn.config import Settings
from vtn.conformance import runner
from vtn.conformance.parties.exchange import Credentials
from vtn.conformance.runner import Plan, Run
from vtn.conformance.verdicts import Result
from vtn.storage.ports import Role
from vtn.wire.interval import print_date_time

CLIENTS = {"bl": Role.BL, "ven-one": Role.VEN, "ven-two": Role.VEN}
KNOWN_GAPS = {"the_broker_speaks_mqtt_5"}  # a SHOULD: the bundled broker speaks MQTT 3.1.1, others can be set
NOT_TRIED = {"a_vtn_with_an_external_token_service_says_so", "the_certificate_is_from_a_known_authority"}
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


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """A way to configure our VTN for checks that need it: behind TLS or not, and which checks (none named: all)."""

    only: tuple[str, ...]
    tls: bool
    changes: Mapping[str, Mapping[str, Any]]

    def settings(self, var: Path, storage: Mapping[str, Any]) -> Settings:
        """The settings, in this folder and on this database."""
        make = settings_behind_tls if self.tls else settings_for
        return make(var, {**self.changes, "storage": storage})


VARIANTS: tuple[Variant, ...] = (
    Variant((), tls=True, changes={}),
    Variant(("MQTT-09", "MQTT-F09", "MQTT-F1"), tls=True, changes={"mqtt": {"authentication": "CERTIFICATE"}}),
    Variant(
        ("MQTT-07", "MQTT-F06", "AUTH-26"),
        tls=False,
        changes={"mqtt": {"authentication": "ANONYMOUS"}, "auth": {"anonymous_read": True}},
    ),
    Variant(("MQTT-15",), tls=False, changes={"mqtt": {"mode": "off"}}),
)


def settings_behind_tls(var: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """The same behind TLS, for the API and the broker, and announced by mDNS on this machine."""
    certificates = {path.name: path for path in make_development_certificates(var, ["127.0.0.1"], RealClock().now())}
    tls = {"certificate": certificates["server.pem"], "private_key": certificates["server.key"]}
    discovery = {"enabled": True, "addresses": ["127.0.0.1"]}
    mqtt = {"port": 0, **tls, **(changes or {}).get("mqtt", {})}
    return settings_for(var, {**(changes or {}), "server": tls, "mqtt": mqtt, "discovery": discovery})


async def judged(folder: Path, storage: Mapping[str, Any], done: Callable[[Result], None] = lambda _r: None) -> Run:
    """All variants judged, as one run: what one had to skip counts as another found it."""
    runs = []
    for number, variant in enumerate(VARIANTS):
        settings = variant.settings(folder / str(number), storage if not number else {})
        async with served(settings, only=variant.only) as plan:
            runs.append(await runner.run(plan, done))
    return merged(runs)


def merged(runs: Sequence[Run]) -> Run:
    """The first run, with what it skipped replaced by what a later one tried."""
    tried = {r.check.name: r for run in runs[1:] for r in run.results if r.outcome is not Outcome.SKIPPED}
    results = tuple(tried.get(r.check.name, r) if r.outcome is Outcome.SKIPPED else r for r in runs[0].results)
    left = tuple(path for run in runs for path in run.left_behind)
    return dataclasses.replace(runs[0], results=results, requests=sum(run.requests for run in runs), left_behind=left)


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
