"""One id for every request: in its answer's head, in its problem document, and in each log line written meanwhile.

The id is always ours, so that no client can make two requests look like one. A caller's own `X-Request-Id` is set
beside it in the log when it is short and plain (SEC-11: nothing else of a request's head is logged). An id is a random
prefix of this process and a number, written as a UUID; drawing each id whole costs ten times as much.
"""

import itertools
import logging
import re
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple

HEADER = "X-Request-Id"
PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
PREFIX = str(uuid.uuid4())[:24]
NOBODY: Mapping[str, str] = {}

_numbers = itertools.count()


class Occurrence(NamedTuple):
    """The request that is handled now: its id, and the head that came with it."""

    id: str
    headers: Mapping[str, str]


_now: ContextVar[Occurrence | None] = ContextVar("request", default=None)


def begin(headers: Mapping[str, str] = NOBODY) -> str:
    """Give the request that is handled in this task an id."""
    fresh = f"{PREFIX}{next(_numbers):012x}"
    _now.set(Occurrence(fresh, headers))
    return fresh


def current() -> str:
    """The id of the request that is handled in this task; a new one where none has begun."""
    occurrence = _now.get()
    return occurrence.id if occurrence else begin()


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
    occurrence = _now.get()
    if occurrence is None:
        return ""
    theirs = occurrence.headers.get(HEADER, "")
    return f"[{occurrence.id} {theirs}] " if PLAIN.fullmatch(theirs) else f"[{occurrence.id}] "
