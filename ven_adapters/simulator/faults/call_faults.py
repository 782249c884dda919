"""Faults that a call meets before it reaches the car's cloud, or on the way back: pure functions, visit to answer.

The answer is what the automaker's server would send, never an exception; `executes` says whether the cloud does as
asked although the caller cannot know it.
"""

import dataclasses

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.simulator.faults.fault_draws import Chance, minute_of
from ven_adapters.transport.http.problems import CONTENT_TYPE, print_problem
from vtn.clock import HOUR_S

RETRY_AFTER_S = (15.0, 45.0)
NIGHT_S = (15.0 * HOUR_S, 33.0 * HOUR_S)
SCHEDULE_S = 3.0 * HOUR_S
WRITES = frozenset({"PUT", "DELETE"})
GONE = b"<html><head><title>410 Gone</title></head><body>This service has been retired.</body></html>"


@dataclasses.dataclass(frozen=True, slots=True)
class Visit:
    """One call for one car: HTTP method, the car's name, seconds since the fleet's midnight."""

    method: str
    ref: str
    at_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class CallAnswer:
    """What the caller sees instead of the cloud's own answer; `cut` is a connection that ends without one."""

    status: int = 500
    body: bytes = b""
    content_type: str = "text/plain"
    retry_after_s: float | None = None
    executes: bool = False
    cut: bool = False


LOST = (CallAnswer(), CallAnswer(executes=True), CallAnswer(executes=True, cut=True))


def token_revoked(chance: Chance, visit: Visit) -> CallAnswer | None:
    """From some instant of the night on, every call for the car is 401 REAUTH_REQUIRED."""
    if visit.at_s < chance.between(NIGHT_S, "token_revoked", visit.ref):
        return None
    return _told(BackendError(ErrorCode.REAUTH_REQUIRED, "the driver's grant was revoked: link the car again"))


def path_gone(chance: Chance, visit: Visit) -> CallAnswer | None:
    """From some instant of the night on, every path of the car is 410 with a page for humans."""
    if visit.at_s < chance.between(NIGHT_S, "path_gone", visit.ref):
        return None
    return CallAnswer(410, GONE, "text/html")


def rate_limited(chance: Chance, visit: Visit) -> CallAnswer | None:
    """429 with a time to wait, for directives."""
    if visit.method != "PUT":
        return None
    wait_s = round(chance.between(RETRY_AFTER_S, "rate_limited", minute_of(visit.ref, visit.at_s)))
    return _told(BackendError(ErrorCode.RATE_LIMITED, "too many calls to this car", retry_after_s=wait_s))


def schedule_clobbered(chance: Chance, visit: Visit) -> CallAnswer | None:
    """For three hours another app's schedule owns the car: 409 SCHEDULE_CONFLICT."""
    begins_s = chance.between(NIGHT_S, "schedule_clobbered", visit.ref)
    if visit.method != "PUT" or not begins_s <= visit.at_s < begins_s + SCHEDULE_S:
        return None
    return _told(BackendError(ErrorCode.SCHEDULE_CONFLICT, "a schedule of another application owns the car"))


def lost_answer(chance: Chance, visit: Visit) -> CallAnswer | None:
    """A write whose answer is lost: a bare 500 before or after it was done, or a connection cut after it was done."""
    if visit.method not in WRITES:
        return None
    return LOST[chance.form("lost_answer", minute_of(visit.ref, visit.at_s), len(LOST))]


def _told(error: BackendError) -> CallAnswer:
    status, body = print_problem(error)
    return CallAnswer(status, body, CONTENT_TYPE, error.retry_after_s)
