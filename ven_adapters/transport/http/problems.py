"""Refusals on the wire: `application/problem+json` with the contract's code, and what a bare status can mean."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from ven_adapters.contract import BackendError, ErrorCode

CONTENT_TYPE = "application/problem+json"
UNPROCESSABLE = 422
SERVER_ERROR = 500

# The first status at which a code is told; the code, not the status, says what it means.
STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.REAUTH_REQUIRED: 401,
    ErrorCode.NOT_PLUGGED: 409,
    ErrorCode.ASLEEP: 409,
    ErrorCode.UNREACHABLE: 409,
    ErrorCode.SCHEDULE_CONFLICT: 409,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.QUOTA_EXHAUSTED: 429,
    ErrorCode.BACKEND_TRANSIENT: 503,
}

_BARE: Mapping[int, ErrorCode] = {
    401: ErrorCode.REAUTH_REQUIRED,
    403: ErrorCode.NOT_PERMITTED,
    # A page instead of a problem document: the interface has changed, which says nothing about a directive.
    404: ErrorCode.NOT_SUPPORTED,
    405: ErrorCode.NOT_SUPPORTED,
    410: ErrorCode.NOT_SUPPORTED,
    409: ErrorCode.SCHEDULE_CONFLICT,
    429: ErrorCode.RATE_LIMITED,
    502: ErrorCode.BACKEND_TRANSIENT,
    503: ErrorCode.BACKEND_TRANSIENT,
    504: ErrorCode.BACKEND_TRANSIENT,
}
MOST_CHARACTERS = 300

# A vehicle identification number: seventeen letters and digits, never I, O or Q, at least one of each kind.
VIN = re.compile(r"(?i)(?<![A-Z0-9])(?=[A-Z]*\d)(?=\d*[A-Z])[A-HJ-NPR-Z0-9]{17}(?![A-Z0-9])")
_PLACE = re.compile(r"-?\b\d{1,3}\.\d{3,}\b")
# Nothing is tried twice: a long text from outside costs its length and not the square of it.
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++")
_RULES = ((VIN, "[VIN]"), (_ADDRESS, "[address]"), (_PLACE, "[place]"))


def discreet(text: str) -> str:
    """The text without VINs, e-mail addresses and numbers exact enough to be a place, bounded in length."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text[:MOST_CHARACTERS]


def print_problem(error: BackendError, *, status: int | None = None, **more: Any) -> tuple[int, bytes]:
    """The status and body that tell `error`; `more` members stand beside it (a last known snapshot)."""
    status = status or STATUS.get(error.code, UNPROCESSABLE)
    body = {
        "type": "about:blank",
        "title": error.code.value,
        "status": status,
        "detail": error.detail,
        "code": error.code.value,
        "retryable": error.retryable,
        "may_have_happened": error.may_have_happened,
        "retry_after_s": error.retry_after_s,
        **more,
    }
    return status, orjson.dumps(body, option=orjson.OPT_UTC_Z)


def parse_problem(status: int, body: bytes, *, retry_after: str | None = None, writes: bool = False) -> BackendError:
    """The error that a refusal tells; a body that is no problem document leaves only the status to go by.

    A bare 500 after a write says nothing about the car: it becomes OUTCOME_UNKNOWN, never success and never failure.
    """
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        raw = None
    document = raw if isinstance(raw, dict) else {}
    code = _code(document.get("code"), status, writes=writes)
    detail = document.get("detail")
    wait = _seconds(document.get("retry_after_s"))
    return BackendError(
        code,
        discreet(detail) if isinstance(detail, str) else f"the backend answered {status}",
        retry_after_s=wait if wait is not None else _seconds(retry_after),
    )


def _code(named: Any, status: int, *, writes: bool) -> ErrorCode:
    if isinstance(named, str) and named in ErrorCode.__members__:
        return ErrorCode(named)
    if status in _BARE:
        return _BARE[status]
    if status >= SERVER_ERROR:
        return ErrorCode.OUTCOME_UNKNOWN if writes else ErrorCode.BACKEND_TRANSIENT
    return ErrorCode.INVALID_REQUEST


def _seconds(raw: Any) -> float | None:
    try:
        value = float(raw)
    except (TypeError, ValueError):
        return None
    return value if 0 <= value < float("inf") else None
