"""What the files of public vendors share: their settings, and a session that speaks a vendor's own refusals and prices.

Settings: `url`, `token_url`, `client_id`, `pseudonym_secret` (required); `client_secret` (BMW gives none); `state`, the
private folder of grants, windows and money; `consent`, how owners let us in (`transport.consent`); `container`, BMW's
name for a choice of readings; `vehicles` (the vendor's name of a car to the ref that we give it); `webhook_secret`,
`webhook_host`, `webhook_port`, `webhook_url` (where Enode reaches us: its webhook is then made and kept by us),
`webhook_id` (the webhook of Smartcar's that every linked car is subscribed to) and `management_url` (where);
`webhook_verify_until` (an instant: before it a vendor's unsigned challenge is answered, which is needed while the
webhook is made); `monthly_usd`; `anywhere`; `homes` (ref to latitude and longitude);
`ca`, a file of certificates to trust besides the system's (Tesla's signing proxy has one of its own as a rule);
`time_zones` (ref to the IANA name of its home's time zone, for schedules that a car keeps itself);
`answer_s`; `clock`; `seed`.
"""

import asyncio
import dataclasses
import hashlib
import hmac
import logging
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.call_costs import CallCosts
from ven_adapters.transport.grants.grants import Tokens
from ven_adapters.transport.grants.oauth import OAuthRegistration
from ven_adapters.transport.http.listener import bounds_of
from ven_adapters.transport.http.session import (
    SERVER_ERROR,
    TOKEN_MARGIN_S,
    BackendCredentials,
    BackendSession,
    Call,
    SessionLimits,
)
from ven_adapters.transport.http.settings import clock_of, typed, wrong
from ven_adapters.transport.http.webhooks import WebhookAddress
from ven_adapters.transport.windows.command_backend import CommandPace
from ven_adapters.transport.windows.hold_leases import HoldLeases
from ven_adapters.transport.windows.journal import Journal
from ven_adapters.transport.windows.windows import KeptWindow
from vtn.clock import Clock, sleep_for
from vtn.errors import CannotStart
from vtn.tls import trusting

_KINDS: Mapping[str, tuple[type, ...]] = {
    "url": (str,),
    "token_url": (str,),
    "client_id": (str,),
    "client_secret": (str,),
    "pseudonym_secret": (str,),
    "state": (str, Path),
    "vehicles": (dict,),
    "webhook_secret": (str,),
    "webhook_host": (str,),
    "webhook_port": (int,),
    "webhook_verify_until": (str, datetime),
    "webhook_url": (str,),
    "webhook_id": (str,),
    "management_url": (str,),
    "listening": (dict,),
    "monthly_usd": (int, float),
    "anywhere": (bool,),
    "homes": (dict,),
    "time_zones": (dict,),
    "answer_s": (int, float),
    "ca": (str, Path),
    "seed": (int,),
    "container": (str,),
    "consent": (dict,),
}
_REQUIRED = ("url", "token_url", "client_id", "pseudonym_secret")

UNAVAILABLE = 503
DIGITS = 16
FARTHEST_NORTH, FARTHEST_EAST = 90.0, 180.0

_log = logging.getLogger(__name__)


class Pseudonyms:
    """Vendor's names of cars to refs and back: a keyed digest, since a VIN is half guessable and unkeyed would be none.

    The mapping back lives in memory only and is made anew from the vendor's own list. `named` gives chosen refs to some
    cars (vendor's name to ref).
    """

    def __init__(self, prefix: str, secret: str, named: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._secret = secret.encode()
        self._named = dict(named or {})
        self._natives: dict[str, str] = {}
        self._listing = asyncio.Lock()

    async def learn(self, ref: str, listed: Callable[[], AsyncIterator[Any]]) -> None:
        """Have the vendor list its cars when this one is not known yet: once, however many ask at the same time."""
        if self.knows(ref):
            return
        async with self._listing:
            if not self.knows(ref):
                async for _ in listed():
                    pass

    def ref(self, native: str) -> str:
        """The car's ref; from now on it can be turned back."""
        ref = self._named.get(native) or self._digest(native)
        self._natives[ref] = native
        return ref

    def find(self, native: str) -> str | None:
        """The ref of a car that was listed; None for any other, of which nothing is kept."""
        ref = self._named.get(native) or self._digest(native)
        return ref if ref in self._natives else None

    def _digest(self, native: str) -> str:
        digest = hmac.new(self._secret, native.encode(), hashlib.sha256).hexdigest()[:DIGITS]
        return f"{self._prefix}-{digest}"

    def native(self, ref: str) -> str:
        """What the vendor calls the car; INVALID_REQUEST when it was not listed."""
        if ref not in self._natives:
            raise BackendError(ErrorCode.INVALID_REQUEST, "vehicle_ref: is not enrolled here")
        return self._natives[ref]

    def knows(self, ref: str) -> bool:
        """Whether the car was listed."""
        return ref in self._natives


@dataclasses.dataclass(frozen=True, slots=True)
class VendorSettings:
    """What it takes to speak to one public vendor."""

    url: str
    client: OAuthRegistration
    names: Pseudonyms
    clock: Clock
    state: Path | None
    webhook: WebhookAddress | None
    call_costs: CallCosts
    pace: CommandPace
    homes: Mapping[str, tuple[float, float]]
    limits: SessionLimits
    seed: int
    container: str = ""
    verify_until: datetime | None = None
    time_zones: Mapping[str, ZoneInfo] = dataclasses.field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    webhook_url: str | None = None
    webhook_id: str | None = None
    management_url: str | None = None

    def journal(self) -> Journal[KeptWindow]:
        """Where windows are written down."""
        return Journal(None if self.state is None else self.state / "windows.jsonl", KeptWindow)

    def leases(self) -> HoldLeases | None:
        """Where the guard reads which cars are held; None without a folder."""
        return None if self.state is None else HoldLeases(self.state)

    async def wait(self, wait_s: float) -> None:
        """Let so many seconds pass on the shared clock."""
        await sleep_for(self.clock, wait_s)


def vendor_settings(name: str, settings: Mapping[str, Any], usual: SessionLimits | None = None) -> VendorSettings:
    """Read strictly; BackendError INVALID_REQUEST names the key that is wrong, never its value."""
    usual = usual or SessionLimits(answer_s=30.0)
    given = {key: value for key, value in settings.items() if value is not None}
    clock = clock_of(given.pop("clock", None))
    typed(given, _KINDS)
    for key in _REQUIRED:
        if not given.get(key):
            raise wrong(key, "is required")
    for key in ("url", "token_url"):
        if not given[key].startswith(("http://", "https://")):
            raise wrong(key, "must begin with http:// or https://")
    state = Path(given["state"]) if "state" in given else None
    secret = given.get("webhook_secret")
    return VendorSettings(
        url=given["url"],
        client=OAuthRegistration(given["token_url"], given["client_id"], given.get("client_secret")),
        names=Pseudonyms(name, given["pseudonym_secret"], given.get("vehicles")),
        clock=clock,
        state=state,
        webhook=None
        if secret is None
        else WebhookAddress(
            secret, given.get("webhook_host", "127.0.0.1"), given.get("webhook_port", 0), bounds_of(given)
        ),
        call_costs=CallCosts(given.get("monthly_usd"), None if state is None else state / "spent.json"),
        pace=CommandPace(anywhere=given.get("anywhere", False)),
        homes={ref: _place(ref, place) for ref, place in given.get("homes", {}).items()},
        limits=dataclasses.replace(usual, answer_s=given.get("answer_s", usual.answer_s)),
        seed=given.get("seed", 0),
        container=given.get("container", ""),
        verify_until=_instant("webhook_verify_until", given.get("webhook_verify_until")),
        time_zones={ref: _time_zone(ref, zone) for ref, zone in given.get("time_zones", {}).items()},
        webhook_url=given.get("webhook_url"),
        webhook_id=given.get("webhook_id"),
        management_url=given.get("management_url"),
        tls=None if "ca" not in given else _trusted(Path(given["ca"])),
    )


def _trusted(ca: Path) -> ssl.SSLContext:
    """TLS that trusts a proxy's own authority beside the system's: the vendor's other hosts are called too."""
    try:
        tls = trusting(ca)
    except CannotStart:
        raise wrong("ca", "is no file of certificates") from None
    tls.load_default_certs()
    return tls


def _instant(key: str, given: str | datetime | None) -> datetime | None:
    """An instant of the settings: TOML's own, or RFC 3339 text; both with an offset."""
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given) if isinstance(given, str) else given
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong(key, "must be an RFC 3339 date-time with an offset") from None
    raise wrong(key, "must be an RFC 3339 date-time with an offset")


def _time_zone(ref: str, zone: Any) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (TypeError, ValueError, OSError, ZoneInfoNotFoundError):
        raise wrong(f"time_zones.{ref}", "must be the name of a time zone, such as America/Los_Angeles") from None


def _place(ref: str, place: Any) -> tuple[float, float]:
    try:
        latitude, longitude = map(float, place)
    except (TypeError, ValueError, OverflowError):
        latitude = longitude = math.nan
    if not (abs(latitude) <= FARTHEST_NORTH and abs(longitude) <= FARTHEST_EAST):
        raise wrong(f"homes.{ref}", "must be [latitude, longitude], in degrees")
    return latitude, longitude


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
        self._tls = settings.tls
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
