"""Whether to send again, as values: decisions without a clock, a socket or dice of their own."""

import dataclasses

from ven_adapters.contract import BackendError
from vtn.limits import doubled_s


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How hard to try: calls in all, the first wait's ceiling, its growth bound, the longest wait worth sitting out."""

    attempts: int = 4
    base_s: float = 0.5
    cap_s: float = 8.0
    patience_s: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class RetryDecision:
    """Send again after `wait_s` seconds, or give the error to the caller; `reason` says why."""

    again: bool
    wait_s: float
    reason: str


def decide(error: BackendError, attempt: int, policy: RetryPolicy, chance: float) -> RetryDecision:
    """The decision after the `attempt`-th call (from 1) failed; `chance` in [0, 1) spreads the wait (full jitter).

    Only an error that is retryable and cannot have happened is sent again. A wait named by the backend is never cut
    short; one longer than our patience goes to the caller, who plans in minutes and knows what else to do.
    """
    if not error.retryable:
        return RetryDecision(again=False, wait_s=0.0, reason="not retryable")
    if error.may_have_happened:
        return RetryDecision(again=False, wait_s=0.0, reason="may have happened")
    if attempt >= policy.attempts:
        return RetryDecision(again=False, wait_s=0.0, reason="attempts spent")
    jitter_s = chance * doubled_s(attempt, policy.base_s, policy.cap_s)
    wait_s = (error.retry_after_s or 0.0) + jitter_s
    if wait_s > policy.patience_s:
        return RetryDecision(again=False, wait_s=wait_s, reason="the wait is longer than our patience")
    return RetryDecision(again=True, wait_s=wait_s, reason="transient")
