"""What the answers to all messages share."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from vtn.clock import Clock
from vtn.oadr20b.codec.encode import response_values
from vtn.oadr20b.codec.messages import Code, EiResponse, OadrMessage
from vtn.oadr20b.downstream.outbox import ReportOutbox
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.downstream.vens import VenRegistry
from vtn.oadr20b.downstream.vtn_watch import VtnWatch
from vtn.oadr20b.store.database import BridgeStore


@dataclasses.dataclass(frozen=True, slots=True)
class DownstreamContext:
    """The parts of the server."""

    settings: DownstreamSettings
    store: BridgeStore
    registry: VenRegistry
    outbox: ReportOutbox
    watch: VtnWatch
    clock: Clock
    loop_s: Callable[[], float]
    ids: Callable[[], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A message to be written: its kind, and the values of its template. None of either is an empty answer."""

    kind: str
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class MessageRefused(Exception):
    """A message that is answered with a code other than 200."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def answered(message: OadrMessage, code: int = Code.OK, reason: str = "OK") -> dict[str, Any]:
    """The eiResponse to a message."""
    return response_values(EiResponse(code, reason[:200], message.request_id))


def stable_id(*parts: str) -> str:
    """An id that is the same whenever it is made of the same parts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]
