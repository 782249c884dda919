"""The bundled broker's secrets, made once and kept in a file for this user only, and its configuration as text."""

import dataclasses
import json
import os
import secrets
from pathlib import Path

import nkeys

from vtn.config import Mqtt
from vtn.errors import CannotStart
from vtn.privatefiles import write_private
from vtn.settings import LOOPBACK

APP, AUTH, SYS = "APP", "AUTH", "SYS"
PUBLISHER, AUTHORISER, OVERSEER = "vtn-publisher", "vtn-authoriser", "vtn-overseer"
GROWTH = 8
MOST_PAYLOAD_BYTES = 67_108_864
MOST_SUBSCRIPTIONS = 1_000
FORGET_SESSION_AFTER = {"ANONYMOUS": "1h"}
SESSION_KEPT_S = 604_800


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerKeys:
    """The account key that signs who may connect, and the passwords of the VTN's own three users."""

    issuer_seed: str = dataclasses.field(repr=False)
    publisher_password: str = dataclasses.field(repr=False)
    authoriser_password: str = dataclasses.field(repr=False)
    overseer_password: str = dataclasses.field(repr=False)

    @property
    def issuer(self) -> str:
        """The public account key."""
        return str(nkeys.from_seed(self.issuer_seed.encode()).public_key.decode())


def load_keys(path: Path) -> BrokerKeys:
    """The keys in a file, made on first use."""
    if not path.exists():
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT).decode()
        keys = BrokerKeys(seed, *(secrets.token_urlsafe(32) for _ in range(3)))
        write_private(path, json.dumps(dataclasses.asdict(keys)).encode())
    try:
        return BrokerKeys(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise CannotStart(f"{path} does not hold the broker's keys; remove it and they are made anew") from None


def payload_bytes(largest_body_bytes: int) -> int:
    """The largest message: a stored object may be longer than the body it came in (`1e15` has sixteen digits)."""
    return min(GROWTH * largest_body_bytes, MOST_PAYLOAD_BYTES)


@dataclasses.dataclass(frozen=True, slots=True)
class Setup:
    """What a broker is started with; `clients_ca` is the authority of client certificates, when those are asked for."""

    settings: Mqtt
    folder: Path
    client_port: int
    largest_body_bytes: int
    clients_ca: Path | None = None
    session_kept_s: int = SESSION_KEPT_S


def configuration(setup: Setup, keys: BrokerKeys) -> str:
    """The server's configuration: MQTT for everyone who may, NATS on loopback for the VTN itself."""
    settings, folder = setup.settings, setup.folder
    if settings.host not in LOOPBACK and settings.certificate is None:
        raise CannotStart("mqtt.host is beyond this machine and needs mqtt.certificate and mqtt.private_key (MQTT-11)")
    forget_after = FORGET_SESSION_AFTER.get(settings.authentication, f"{setup.session_kept_s}s")
    return f"""\
server_name: evtn
listen: "127.0.0.1:{setup.client_port}"
max_payload: {payload_bytes(setup.largest_body_bytes)}
max_subscriptions: {MOST_SUBSCRIPTIONS}
log_file: {_quoted(str(folder / "broker.log"))}
logfile_size_limit: 10MB
logfile_max_num: 3
jetstream {{ store_dir: {_quoted(str(folder / "store"))} }}
mqtt {{
  host: {_quoted(settings.host)}
  port: {settings.port}
  consumer_inactive_threshold: {_quoted(forget_after)}
  {_tls(settings, setup.clients_ca)}
}}
accounts {{
{_accounts(keys)}
}}
system_account: {SYS}
authorization {{
  timeout: 2
  auth_callout {{ issuer: {keys.issuer}, auth_users: [{PUBLISHER}, {AUTHORISER}, {OVERSEER}], account: {AUTH} }}
}}
"""


def _tls(settings: Mqtt, clients_ca: Path | None) -> str:
    if settings.certificate is None or settings.private_key is None:
        return ""
    certificate, key = (_quoted(str(path.absolute())) for path in (settings.certificate, settings.private_key))
    asked = f", ca_file: {_quoted(str(clients_ca.absolute()))}, verify: true" if clients_ca else ""
    return f'tls {{ cert_file: {certificate}, key_file: {key}, min_version: "1.2"{asked} }}'


def _accounts(keys: BrokerKeys) -> str:
    """Clients and the publisher in one account, which alone has a store; the VTN's services in two others."""
    users = (
        (APP, "jetstream: enabled, ", PUBLISHER, keys.publisher_password),
        (AUTH, "", AUTHORISER, keys.authoriser_password),
        (SYS, "", OVERSEER, keys.overseer_password),
    )
    return "\n".join(
        f"  {name} {{ {store}users: [{{ user: {_quoted(user)}, password: {_quoted(password)} }}] }}"
        for name, store, user, password in users
    )


def _quoted(text: str) -> str:
    return json.dumps(text)
