"""Answer a vendor's unsigned challenge, and stay no signing oracle.

Some vendors verify a webhook's address by an unsigned request: "digest this text with our secret". The same digest
signs their bodies, so whoever may choose the text could have a body signed. Three bounds stand against that: a
challenge is of an alphabet in which no JSON object can be written, it is answered only until an instant that the
operator has set while making the webhook, and few are answered in a minute.
"""

import logging
import re
from collections.abc import Callable
from datetime import datetime

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.http.retry import full_bucket, take
from vtn.clock import Clock

# No brace, quote, colon, point or blank: no body that anybody signs consists of these alone.
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{8,128}")
CHALLENGE_RULE = "must be 8 to 128 of A-Z, a-z, 0-9, _ and -"
AT_ONCE, PER_S = 5, 5 / 60.0

_log = logging.getLogger(__name__)


def is_challenge(text: object) -> bool:
    """Whether a text may be answered as a challenge."""
    return isinstance(text, str) and CHALLENGE.fullmatch(text) is not None


class ChallengeAnswers:
    """Digests of challenges by `digest`, while the shared clock stands before `until` (None: never)."""

    def __init__(self, digest: Callable[[str], str], clock: Clock, until: datetime | None) -> None:
        self._digest, self._clock, self._until = digest, clock, until
        self._bucket = full_bucket(AT_ONCE, PER_S, clock.now())

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
        self._bucket, wait_s = take(self._bucket, now)
        if wait_s:
            _log.warning("a webhook challenge was not answered: more than %d came in a minute", AT_ONCE)
            raise BackendError(ErrorCode.RATE_LIMITED, "challenge: too many came", retry_after_s=wait_s)
        return self._digest(str(challenge))
