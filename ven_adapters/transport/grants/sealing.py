"""Keep secrets sealed where they lie: AES-256-GCM under a key that is kept apart from them.

The key of a folder `x` is the file `x.key` beside it, made at the first seal and private to us; a link to a mounted
secret does as well. So a copy of the folder alone tells nothing. What is sealed is bound to its file's name: a sealed
body moved to another name does not open. Nothing here knows what is sealed.
"""

import base64
import secrets
from pathlib import Path

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vtn.privatefiles import read_or_make

KEY_BYTES = 32
NONCE_BYTES = 12
SEALED = "sealed"


class Unopened(Exception):
    """A sealed body that cannot be opened, and why."""


def key_file(file: Path) -> Path:
    """Where the key of a file's folder lies."""
    return file.parent.with_name(f"{file.parent.name}.key")


def seal(file: Path, body: bytes) -> bytes:
    """The body as it may lie in `file`."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    hidden = nonce + AESGCM(_key_made(key_file(file))).encrypt(nonce, body, file.name.encode())
    return orjson.dumps({SEALED: base64.b64encode(hidden).decode()})


def unseal(file: Path, raw: bytes) -> bytes:
    """The body that `seal` was given; a body that was never sealed is returned as it stands. Raises Unopened."""
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Unopened("is damaged") from None
    if not isinstance(told, dict) or SEALED not in told:
        return raw
    try:
        hidden = base64.b64decode(told[SEALED])
        key = AESGCM(key_file(file).read_bytes())
        return key.decrypt(hidden[:NONCE_BYTES], hidden[NONCE_BYTES:], file.name.encode())
    except OSError:
        raise Unopened(f"cannot be opened: the key {key_file(file).name} is missing") from None
    except (InvalidTag, ValueError, TypeError):
        raise Unopened("cannot be opened: it is damaged, or the key is another") from None


def _key_made(path: Path) -> bytes:
    """The key, made when there is none. One that is there stays as it is: it may be a mounted secret."""
    return path.read_bytes() if path.exists() else read_or_make(path, lambda: secrets.token_bytes(KEY_BYTES))
