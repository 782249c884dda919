"""One HTTP session to one automaker's backend: time-outs, tokens, retries and budgets, as the contract's errors.

Waits between calls run on the shared clock, so a demonstration's retries keep pace with its cars; network time-outs
and token lifetimes are real. Nothing here knows what is in a body.
"""

import asyncio
import dataclasses
import random
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
import orjson

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.http.problems import parse_problem
from ven_adapters.transport.http.retry import RetryPolicy, decide
from vtn.clock import HOUR_S, Clock, sleep_for
from vtn.limits import Limit

MAX_ANSWER_BYTES = 8 * 1024 * 1024
MOST_VEHICLES = 1_000_000
TOKEN_MARGIN_S = 60.0
CLIENT_ERROR = 400
OK = 200
UNAUTHORIZED = 401
SERVER_ERROR = 500
_CHUNK_BYTES = 65536


@dataclasses.dataclass(frozen=True, slots=True)
class BackendCredentials:
    """A bearer token, or what it takes to ask for one by client credentials."""

    token: str | None = dataclasses.field(default=None, repr=False)
    token_url: str | None = None
    client_id: str | None = None
    client_secret: str | None = dataclasses.field(default=None, repr=False)
    scope: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SessionLimits:
    """Real network time-outs in seconds, connections at once, and call budgets on the shared clock."""

    connect_s: float = 5.0
    answer_s: float = 20.0
    connections: int = 32
    vehicle_burst: int = 30
    vehicle_per_hour: float = 120.0
    app_burst: int = 20_000
    app_per_hour: float = 1_000_000.0


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One request; `writes` marks a call that may move a car, `vehicle` the budget that pays for it."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    query: Mapping[str, str] = dataclasses.field(default_factory=dict)
    writes: bool = False
    vehicle: str | None = None


class BackendSession:
    """Calls to one base URL; every failure is a BackendError."""

    def __init__(
        self,
        url: str,
        credentials: BackendCredentials,
        clock: Clock,
        *,
        seed: int = 0,
        policy: RetryPolicy | None = None,
        limits: SessionLimits | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._credentials = credentials
        self._clock = clock
        self._dice = random.Random(seed)  # noqa: S311 - spreads retries, guards nothing
        self._policy = policy or RetryPolicy()
        self._limits = limits or SessionLimits()
        self._tls: ssl.SSLContext | None = None
        self._http: aiohttp.ClientSession | None = None
        self._token = credentials.token
        self._token_until_s = float("inf")
        self._token_lock = asyncio.Lock()
        self._lines = asyncio.Semaphore(self._limits.connections)
        limits = self._limits
        self._app = Limit(limits.app_burst, limits.app_per_hour / HOUR_S)
        self._vehicles = Limit(limits.vehicle_burst, limits.vehicle_per_hour / HOUR_S, MOST_VEHICLES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def call(self, call: Call) -> bytes:
        """The body of a 2xx answer; anything else raises BackendError, after the retries that `decide` allows."""
        attempt = 0
        while True:
            attempt += 1
            try:
                self._pay(call)
                return await self._once(call)
            except BackendError as error:
                decision = decide(error, attempt, self._policy, self._dice.random())
                if not decision.again:
                    raise
            await sleep_for(self._clock, decision.wait_s)

    def _pay(self, call: Call) -> None:
        now_s = self._clock.now().timestamp()
        if app_wait_s := self._app.wait_s("", now_s):
            raise BackendError(ErrorCode.RATE_LIMITED, "our own call budget is spent", retry_after_s=app_wait_s)
        if call.vehicle is not None and (wait_s := self._vehicles.wait_s(call.vehicle, now_s)):
            raise BackendError(ErrorCode.RATE_LIMITED, "our own budget for this car is spent", retry_after_s=wait_s)

    async def _once(self, call: Call) -> bytes:
        status, body, retry_after = await self._send(call, await self._bearer())
        if status == UNAUTHORIZED and self._renews():
            self._token = None
            status, body, retry_after = await self._send(call, await self._bearer())
        if status < OK or status >= CLIENT_ERROR:
            raise self._refusal(status, body, retry_after, call)
        return body

    def _renews(self) -> bool:
        """Whether a refused token can be replaced."""
        return self._credentials.token_url is not None

    def _refusal(self, status: int, body: bytes, retry_after: str | None, call: Call) -> BackendError:
        """What a refusal means; a vendor with words of its own overrides this."""
        return parse_problem(status, body, retry_after=retry_after, writes=call.writes)

    async def _send(self, call: Call, token: str) -> tuple[int, bytes, str | None]:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", **call.headers}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            # Waiting for a line here, and not inside the request, costs no time-out and a third less work.
            async with (
                self._lines,
                self._open().request(
                    call.method,
                    f"{self._url}{call.path}",
                    data=call.body,
                    headers=headers,
                    params=call.query or None,
                    allow_redirects=False,
                ) as response,
            ):
                return response.status, await bounded(response), response.headers.get("Retry-After")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"no connection: {type(error).__name__}") from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            code = ErrorCode.OUTCOME_UNKNOWN if call.writes else ErrorCode.BACKEND_TRANSIENT
            raise BackendError(code, f"no answer after the send: {type(error).__name__}") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._http is None:
            limits = self._limits
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=limits.answer_s, connect=limits.connect_s),
                connector=aiohttp.TCPConnector(limit=limits.connections, ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._http

    async def _bearer(self) -> str:
        async with self._token_lock:
            if self._token is None or time.monotonic() > self._token_until_s - TOKEN_MARGIN_S:
                self._token, self._token_until_s = await self._new_token()
            return self._token

    async def _new_token(self) -> tuple[str, float]:
        asked = self._credentials
        if asked.token_url is None:
            raise BackendError(ErrorCode.REAUTH_REQUIRED, "token: the backend refused it and there is no way to renew")
        form = {"grant_type": "client_credentials", "client_id": asked.client_id, "client_secret": asked.client_secret}
        form |= {"scope": asked.scope} if asked.scope else {}
        try:
            async with self._open().post(asked.token_url, data=form, allow_redirects=False) as response:
                status, body = response.status, await bounded(response)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"no token: {type(error).__name__}") from None
        return _token(status, body)


def _token(status: int, body: bytes) -> tuple[str, float]:
    if status >= SERVER_ERROR:
        raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"the token end point answered {status}")
    try:
        answer = orjson.loads(body)
        token, lifetime_s = str(answer["access_token"]), float(answer.get("expires_in", 3600))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise BackendError(ErrorCode.REAUTH_REQUIRED, f"the token end point answered {status}, no token") from None
    if not (token.isascii() and token.isprintable()):
        raise BackendError(ErrorCode.REAUTH_REQUIRED, "the token end point's token cannot stand in a header")
    return token, time.monotonic() + max(lifetime_s, TOKEN_MARGIN_S + 1.0)


async def bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer; ClientPayloadError when it is larger than any answer should be."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise aiohttp.ClientPayloadError
    return bytes(body)
