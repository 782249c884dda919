"""The public keys of an external issuer: reading its JWK set, and choosing the key that a token names.

Pure. What a set holds beside usable signing keys (encryption keys, unknown kinds, broken entries) is left out, one
entry at a time, because providers put all sorts of keys there. Rules: RFC 7517, RFC 7518 (3), RFC 8725 (3.1, 3.2).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from vtn.wire import document

PublicKey = RSAKey | ECKey | OKPKey
KINDS: Mapping[str, tuple[type[RSAKey] | type[ECKey] | type[OKPKey], tuple[str, ...]]] = {
    "RSA": (RSAKey, ("n", "e")),
    "EC": (ECKey, ("crv", "x", "y")),
    "OKP": (OKPKey, ("crv", "x")),
}
NEEDS: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    **dict.fromkeys(("Ed25519", "EdDSA"), ("OKP", "Ed25519")),
}
SAME_ALGORITHM = {"EdDSA": "Ed25519"}
SHORTEST_RSA_BYTES = 256
MOST_KEYS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key, its id, what kind it is, and the one algorithm it is meant for (None: any that fits)."""

    kid: str | None
    kind: tuple[str, str | None]
    algorithm: str | None
    fields: tuple[str, ...]
    key: PublicKey = dataclasses.field(repr=False, compare=False)


def read_keys(content: bytes) -> tuple[SigningKey, ...]:
    """The usable signing keys of a JWK set; ValueError when it is no JWK set or holds none."""
    try:
        parsed = document.parse(content)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        raise ValueError("is no JWK set")  # noqa: TRY004 - content that cannot be used, as the docstring says
    keys = tuple(key for entry in entries[:MOST_KEYS] if isinstance(entry, dict) and (key := _read_key(entry)))
    if not keys:
        raise ValueError("holds no usable signing key")
    return keys


def _read_key(entry: Mapping[str, Any]) -> SigningKey | None:
    """One key by its public fields only, or None when it is not for verifying signatures or cannot be read."""
    kty, kid, algorithm = str(entry.get("kty")), entry.get("kid"), entry.get("alg")
    if kty not in KINDS or entry.get("use", "sig") != "sig" or not isinstance(kid, str | None):
        return None
    make, names = KINDS[kty]
    fields = {name: str(entry.get(name, "")) for name in names}
    try:
        if "verify" not in entry.get("key_ops", ["verify"]):
            return None
        if kty == "RSA" and len(urlsafe_b64decode(fields["n"].encode())) < SHORTEST_RSA_BYTES:
            return None
        key = make.import_key({"kty": kty, **fields})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    meant_for = SAME_ALGORITHM.get(algorithm, algorithm) if isinstance(algorithm, str) else None
    return SigningKey(kid, (kty, fields.get("crv")), meant_for, tuple(fields.values()), key)


def choose(keys: Sequence[SigningKey], kid: str | None, algorithm: str) -> SigningKey | None:
    """The key that verifies a token: by its `kid`, without one the only key of the kind; None when none or several."""
    meant_for = SAME_ALGORITHM.get(algorithm, algorithm)
    fit = [
        held
        for held in keys
        if held.kind == NEEDS[algorithm] and held.algorithm in {None, meant_for} and kid in {None, held.kid}
    ]
    return fit[0] if len(fit) == 1 else None
