"""What a driver is told before and after an event, through the automaker's app. Pure.

A notice has an id made of what it is about, so that one that is made or sent twice is known to be the same. It holds a
pseudonym and nothing on whose car it is.
"""

import enum
import hashlib
from collections.abc import Mapping
from typing import Annotated

import pydantic

from ven_adapters.enrolment_api.models import Instant, Model, Text


class NoticeType(enum.StrEnum):
    """Before an event, and after it."""

    EVENT_AHEAD = "event_ahead"
    EVENT_OVER = "event_over"


class Readiness(enum.StrEnum):
    """How a car stands after an event: at its target, in time for it, late for it; or nobody knows its level."""

    READY = "READY"
    IN_TIME = "IN_TIME"
    LATE = "LATE"
    UNKNOWN = "UNKNOWN"


class NoticeCall(Model):
    """A request to this API that answers a notice: POST `path` with `body`."""

    path: str
    body: Mapping[str, str]


class EventNotice(Model):
    """A signed webhook to the automaker: an event that will ask a car, or that is over for it.

    `notice_id` is the same whenever this notice is sent; it may come more than once. `kind`: the payload type by which
    the event asks. `expected_kwh`: what it is expected to hold back, or to take from the battery, if the car is plugged
    in by then; left out where the car's level is not known. `opt_out` is free, `skip` spends a token. After the event:
    `held_minutes` for which the car was held back or gave, `moved_kwh` held back and given, and `readiness`.
    `text`: the same in words, in the home's local time.
    """

    type: Annotated[NoticeType, pydantic.Field(strict=False)]
    notice_id: str
    vehicle_ref: str
    event_id: Text
    kind: Text
    start: Instant
    end: Instant
    text: str
    expected_kwh: float | None = None
    opt_out: NoticeCall | None = None
    skip: NoticeCall | None = None
    held_minutes: float | None = None
    moved_kwh: float | None = None
    readiness: Annotated[Readiness, pydantic.Field(strict=False)] | None = None


def notice_id(*about: str) -> str:
    """The id of a notice about these: its type, car, event and times."""
    return hashlib.sha256("\0".join(about).encode()).hexdigest()[:32]
