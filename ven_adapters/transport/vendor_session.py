"""A session with a public vendor that speaks its own refusals and prices."""

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.grants.grants import Tokens
from ven_adapters.transport.http.session import SERVER_ERROR, TOKEN_MARGIN_S, BackendCredentials, BackendSession, Call
from ven_adapters.transport.vendor_settings import VendorSettings

UNAVAILABLE = 503

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class VendorRefusal:
    """A vendor's answer that is no success; `document` is its JSON, empty when it is none."""

    status: int
    document: Mapping[str, Any]
    retry_after_s: float | None
    writes: bool


Judge = Callable[[VendorRefusal], BackendError]
Price = Callable[[Call], int]


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """How one vendor refuses, and what its calls cost in millionths of a US dollar."""

    judge: Judge
    price: Price = lambda _: 0


class VendorSession(BackendSession):
    """Calls to one public vendor with one grant."""

    def __init__(self, settings: VendorSettings, url: str, tokens: Tokens, dialect: Dialect) -> None:
        super().__init__(url, BackendCredentials(), settings.clock, seed=settings.seed, limits=settings.limits)
        self._tls = settings.ca
        self._tokens, self._dialect, self._call_costs = tokens, dialect, settings.call_costs
        self._last: str | None = None

    async def json(self, call: Call) -> Any:
        """The JSON of a 2xx answer; BACKEND_TRANSIENT when it is none."""
        return parsed(await self.call(call), writes=call.writes)

    def move(self, url: str) -> None:
        """From now on call another host of the same vendor."""
        self._url = url.rstrip("/")

    def _renews(self) -> bool:
        return True

    async def _new_token(self) -> tuple[str, float]:
        self._last, lifetime_s = await self._tokens.access(self._last)
        return self._last, time.monotonic() + max(lifetime_s, TOKEN_MARGIN_S + 1.0)

    def _pay(self, call: Call) -> None:
        super()._pay(call)
        self._call_costs.pay(self._dialect.price(call), self._clock.now(), command=call.writes)

    def _refusal(self, status: int, body: bytes, retry_after: str | None, call: Call) -> BackendError:
        error = self._dialect.judge(VendorRefusal(status, document(body), _seconds(retry_after), call.writes))
        _log.info("%s answered %d: %s", call.method, status, error.code)
        return error


def parsed(body: bytes, *, writes: bool) -> Any:
    """JSON from an answer. Half an answer to a write tells nothing of the car."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        code = ErrorCode.OUTCOME_UNKNOWN if writes else ErrorCode.BACKEND_TRANSIENT
        raise BackendError(code, "the vendor's answer is not JSON") from None


def document(body: bytes) -> Mapping[str, Any]:
    """An answer's JSON object, or an empty one."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return raw if isinstance(raw, dict) else {}


def by_status(refusal: VendorRefusal, table: Mapping[int, ErrorCode], detail: str) -> BackendError:
    """The error that a bare status tells: the vendor's own table, then what every HTTP server means.

    After a write, 5xx other than 503 says nothing about the car (vehicle-command's error model): OUTCOME_UNKNOWN.
    """
    code = table.get(refusal.status)
    if code is None and refusal.status >= SERVER_ERROR:
        lost = refusal.writes and refusal.status != UNAVAILABLE
        code = ErrorCode.OUTCOME_UNKNOWN if lost else ErrorCode.BACKEND_TRANSIENT
    return BackendError(code or ErrorCode.INVALID_REQUEST, detail, retry_after_s=refusal.retry_after_s)


def _seconds(raw: str | None) -> float | None:
    try:
        value = float(raw or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
