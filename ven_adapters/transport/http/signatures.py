"""Sign and verify webhook bodies: `X-Signature: v1=<hex HMAC-SHA256(timestamp "." body)>` beside `X-Timestamp`.

A challenge is answered by `<hex HMAC-SHA256("challenge:" challenge)>`. What is digested for a body begins with a digit,
so an answer never signs a body, whoever chose the challenge.

Some vendors verify a webhook's address by an unsigned request: "digest this text with our secret". The same digest
signs their bodies, so whoever may choose the text could have a body signed. Three bounds stand against that: a
challenge is of an alphabet in which no JSON object can be written, it is answered only until an instant that the
operator has set while making the webhook, and few are answered in a minute.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Callable
from datetime import datetime

from ven_adapters.contract import BackendError, ErrorCode
from vtn.clock import Clock
from vtn.limits import Limit

SIGNATURE_HEADER = "X-Signature"
TIMESTAMP_HEADER = "X-Timestamp"
WINDOW_S = 300
LONGEST_TIMESTAMP = 12
CHALLENGE_DOMAIN = b"challenge:"
# No brace, quote, colon, point or blank: no body that anybody signs consists of these alone.
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{8,128}")
CHALLENGE_RULE = "must be 8 to 128 of A-Z, a-z, 0-9, _ and -"
A_MINUTE = 5

_log = logging.getLogger(__name__)


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


def is_challenge(text: object) -> bool:
    """Whether a text may be answered as a challenge."""
    return isinstance(text, str) and CHALLENGE.fullmatch(text) is not None


class ChallengeAnswers:
    """Digests of challenges by `digest`, while the shared clock stands before `until` (None: never)."""

    def __init__(self, digest: Callable[[str], str], clock: Clock, until: datetime | None) -> None:
        self._digest, self._clock, self._until = digest, clock, until
        self._limit = Limit(A_MINUTE)

    def answer(self, challenge: object) -> str | None:
        """The answer; None while nobody is to be answered.

        Raises BackendError: INVALID_REQUEST for a text that is no challenge, RATE_LIMITED when too many came.
        """
        now = self._clock.now()
        if self._until is None or now >= self._until:
            _log.warning("a webhook challenge was not answered: settings.webhook_verify_until is not set or has passed")
            return None
        if not is_challenge(challenge):
            raise BackendError(ErrorCode.INVALID_REQUEST, f"challenge: {CHALLENGE_RULE}")
        if wait_s := self._limit.wait_s("", now.timestamp()):
            _log.warning("a webhook challenge was not answered: more than %d came in a minute", A_MINUTE)
            raise BackendError(ErrorCode.RATE_LIMITED, "challenge: too many came", retry_after_s=wait_s)
        return self._digest(str(challenge))
