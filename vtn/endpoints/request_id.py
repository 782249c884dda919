"""One id for every request: in its answer's head, in its problem document, and in each log line written meanwhile.

The id is always ours, so that no client can make two requests look like one. A caller's own `X-Request-Id` is set
beside it in the log when it is short and plain (SEC-11: nothing else of a request's head is logged). An id is a random
UUID: two of them do not tell how many requests came between.
"""

import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar

from vtn.ids import uuids

HEADER = "X-Request-Id"
PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
NOBODY: Mapping[str, str] = {}

_next = uuids()
_now: ContextVar[tuple[str, Mapping[str, str]] | None] = ContextVar("request", default=None)  # its id and its head


def begin(headers: Mapping[str, str] = NOBODY) -> None:
    """Give the request that is handled in this task an id."""
    _now.set((_next(), headers))


def current() -> str:
    """The id of the request that is handled in this task; a new one where none has begun."""
    request = _now.get()
    if request is None:
        begin()
        return current()
    return request[0]


def urn() -> str:
    """The current id as the `instance` of a problem document (ERR-04)."""
    return f"urn:uuid:{current()}"


class Marked(logging.Filter):
    """Gives each log record the attribute `request`: empty outside of requests, else `[id] ` or `[id caller's-id] `."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mark the record and let it pass."""
        record.request = mark()
        return True


def mark() -> str:
    """What a log line says of the request that it belongs to."""
    request = _now.get()
    if request is None:
        return ""
    theirs = request[1].get(HEADER, "")
    return f"[{current()} {theirs}] " if PLAIN.fullmatch(theirs) else f"[{current()}] "
