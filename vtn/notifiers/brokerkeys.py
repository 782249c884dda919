"""The bundled broker's secrets, made once and kept in a file for this user only, and its configuration as text."""

import dataclasses
import json
import os
import secrets
from pathlib import Path

import nkeys

from vtn.config import LOOPBACK, Mqtt
from vtn.errors import CannotStart

APP, AUTH, SYS = "APP", "AUTH", "SYS"
PUBLISHER, AUTHORISER, OVERSEER = "vtn-publisher", "vtn-authoriser", "vtn-overseer"
LARGEST_MESSAGE_BYTES = 8_388_608
FORGET_SESSION_AFTER = "168h"


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
        write_private(path, json.dumps(dataclasses.asdict(keys)))
    try:
        return BrokerKeys(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise CannotStart(f"{path} does not hold the broker's keys; remove it and they are made anew") from None


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def configuration(settings: Mqtt, keys: BrokerKeys, folder: Path, client_port: int) -> str:
    """The server's configuration: MQTT for everyone who may, NATS on loopback for the VTN itself."""
    if settings.authentication == "ANONYMOUS":
        raise CannotStart("the bundled broker admits nobody without a token; mqtt.authentication must stay as it is")
    if settings.host not in LOOPBACK and settings.certificate is None:
        raise CannotStart("mqtt.host is beyond this machine and needs mqtt.certificate and mqtt.private_key (MQTT-11)")
    return f"""\
server_name: evtn
listen: "127.0.0.1:{client_port}"
max_payload: {LARGEST_MESSAGE_BYTES}
log_file: {_quoted(str(folder / "broker.log"))}
logfile_size_limit: 10MB
logfile_max_num: 3
jetstream {{ store_dir: {_quoted(str(folder / "store"))} }}
mqtt {{
  host: {_quoted(settings.host)}
  port: {settings.port}
  consumer_inactive_threshold: {_quoted(FORGET_SESSION_AFTER)}
  {_tls(settings)}
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


def _tls(settings: Mqtt) -> str:
    if settings.certificate is None or settings.private_key is None:
        return ""
    certificate, key = (_quoted(str(path.absolute())) for path in (settings.certificate, settings.private_key))
    return f'tls {{ cert_file: {certificate}, key_file: {key}, min_version: "1.2" }}'


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
