"""Sign and verify webhook bodies: `X-Signature: v1=<hex HMAC-SHA256(timestamp "." body)>` beside `X-Timestamp`.

A challenge is answered by `<hex HMAC-SHA256("challenge:" challenge)>`. What is digested for a body begins with a digit,
so an answer never signs a body, whoever chose the challenge.
"""

import hashlib
import hmac

SIGNATURE_HEADER = "X-Signature"
TIMESTAMP_HEADER = "X-Timestamp"
WINDOW_S = 300
LONGEST_TIMESTAMP = 12
CHALLENGE_DOMAIN = b"challenge:"


def sign(secret: str, timestamp_s: int, body: bytes) -> str:
    """The signature header's value for a body sent at `timestamp_s` (Unix seconds, real time)."""
    return f"v1={_digest(secret, str(timestamp_s).encode() + b'.' + body)}"


def answer(secret: str, challenge: str) -> str:
    """The answer to a `backend.challenge`: it proves that the receiver holds the secret."""
    return _digest(secret, CHALLENGE_DOMAIN + challenge.encode())


def verify(secret: str, timestamp: str | None, signature: str | None, body: bytes, *, now_s: float) -> str | None:
    """None when the body is genuine and fresh, otherwise what is wrong with it."""
    if not timestamp or not signature:
        return "signature or timestamp is missing"
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= LONGEST_TIMESTAMP):
        return "timestamp is not a number of seconds"
    if abs(now_s - int(timestamp)) > WINDOW_S:
        return f"timestamp is more than {WINDOW_S} s away"
    expected = sign(secret, int(timestamp), body)
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape")):
        return "signature does not match"
    return None


def _digest(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
