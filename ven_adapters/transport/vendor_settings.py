"""What the tables of public vendors have in common: our registration there, names of cars, money, homes, consent."""

import asyncio
import dataclasses
import functools
import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator, Callable, Container, Mapping
from typing import Annotated, Any, ClassVar

import pydantic

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.call_costs import CallCosts
from ven_adapters.transport.grants.grants import Folder
from ven_adapters.transport.grants.oauth import OAuthRegistration
from ven_adapters.transport.http.session import SessionLimits
from ven_adapters.transport.settings import (
    AnswerSeconds,
    Authorities,
    BackendTable,
    FilePath,
    HttpAddress,
    Seed,
    StrictSection,
)
from ven_adapters.transport.windows.command_backend import CommandPace
from ven_adapters.transport.windows.hold_leases import HoldLeases
from ven_adapters.transport.windows.journal import Journal
from ven_adapters.transport.windows.windows import KeptWindow
from vtn.clock import sleep_for

DIGITS = 16


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

    async def learn(
        self, ref: str, listed: Callable[[], AsyncIterator[Any]], known: Container[str] | None = None
    ) -> None:
        """Have the vendor list its cars when this one is not known yet: once, however many ask at the same time.

        `known` has the cars of which all is known that a list tells; without it, those whose names are known.
        """
        found = self._natives if known is None else known
        if ref in found:
            return
        async with self._listing:
            if ref not in found:
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


def _names_of_cars(given: Any) -> dict[str, str]:
    """Judged as a whole: a fault of one entry would name its car as the vendor does."""
    if not (isinstance(given, dict) and all(isinstance(ref, str) for ref in given.values())):
        raise ValueError("must be a table of texts: the vendor's name of a car, and its name here")
    return given


def _beside_the_systems(tls: ssl.SSLContext) -> ssl.SSLContext:
    tls.load_default_certs()
    return tls


Word = Annotated[str, pydantic.Field(min_length=1)]
Latitude = Annotated[float, pydantic.Field(ge=-90, le=90)]
Longitude = Annotated[float, pydantic.Field(ge=-180, le=180)]
Place = Annotated[tuple[Latitude, Longitude], pydantic.Field(strict=False)]


class ConsentSettings(StrictSection):
    """The table `consent`: how an owner lets us in. A key that only other vendors have is taken and not read."""

    passed_over: ClassVar[frozenset[str]] = frozenset(
        {"authorize_url", "device_url", "audience", "mode", "language", "vendor", "pkce"}
    )

    redirect_uri: HttpAddress = pydantic.Field("http://localhost:9190/", description="as registered with the vendor")
    scope: str = pydantic.Field("", description="what the owner is asked for")


class CodeConsentSettings(ConsentSettings):
    """Of a vendor whose page gives us a code."""

    authorize_url: HttpAddress = pydantic.Field(description="the page where an owner agrees")
    pkce: bool = pydantic.Field(default=False, description="true: codes are bound to us by RFC 7636")


class DeviceConsentSettings(ConsentSettings):
    """Of a vendor whose page takes a code from the owner."""

    device_url: HttpAddress = pydantic.Field(description="where such a code is had")


class VendorSettings(BackendTable):
    """What it takes to speak to one public vendor. A key that only other vendors have is taken and not read."""

    vendor: ClassVar[str]
    session_limits: ClassVar[SessionLimits] = SessionLimits()
    passed_over: ClassVar[frozenset[str]] = frozenset(
        {"webhook_secret", "webhook_host", "webhook_port", "webhook_verify_until", "webhook_url", "webhook_id"}
        | {"management_url", "listening", "time_zones", "container"}
    )

    url: HttpAddress = pydantic.Field(description="where the vendor is")
    token_url: HttpAddress = pydantic.Field(description="where its tokens are had")
    client_id: Word = pydantic.Field(description="our registration with the vendor")
    client_secret: str | None = pydantic.Field(None, repr=False, description="of that registration, where it has one")
    pseudonym_secret: Word = pydantic.Field(repr=False, description="makes the names by which cars are known here")
    state: FilePath | None = pydantic.Field(None, description="private folder: windows that are held, over restarts")
    vehicles: Annotated[dict[str, str], pydantic.PlainValidator(_names_of_cars)] = pydantic.Field(
        default_factory=dict, repr=False, description="the vendor's name of a car, and its name in the enrolments"
    )
    homes: dict[str, Place] = pydantic.Field(
        default_factory=dict, repr=False, description="of cars by our name: latitude and longitude, in degrees"
    )
    anywhere: bool = pydantic.Field(default=False, description="true: cars may be held whose home is not known")
    monthly_usd: Annotated[float, pydantic.Field(ge=0, le=10_000_000)] | None = pydantic.Field(
        None, description="calls of the whole account beyond this sum are not made"
    )
    answer_s: AnswerSeconds = pydantic.Field(30.0, description="real seconds that an answer may take")
    ca: Annotated[Authorities, pydantic.AfterValidator(_beside_the_systems)] | None = pydantic.Field(
        None, repr=False, description="certificates to trust besides the system's"
    )
    seed: Seed = pydantic.Field(0, description="spreads retries")
    consent: ConsentSettings = ConsentSettings()

    def model_post_init(self, _context: Any) -> None:
        """Read what was spent before anything is called: BackendError when that is not known any more."""
        _ = self.call_costs

    @functools.cached_property
    def client(self) -> OAuthRegistration:
        """Our registration."""
        return OAuthRegistration(self.token_url, self.client_id, self.client_secret)

    @functools.cached_property
    def names(self) -> Pseudonyms:
        """The names of its cars."""
        return Pseudonyms(self.vendor, self.pseudonym_secret, self.vehicles)

    @functools.cached_property
    def call_costs(self) -> CallCosts:
        """What calls have cost this month."""
        return CallCosts(self.monthly_usd, None if self.state is None else self.state / "spent.json")

    @property
    def pace(self) -> CommandPace:
        """How cars are told."""
        return CommandPace(anywhere=self.anywhere)

    @property
    def limits(self) -> SessionLimits:
        """Time-outs and call budgets."""
        return dataclasses.replace(self.session_limits, answer_s=self.answer_s)

    def journal(self) -> Journal[KeptWindow]:
        """Where windows are written down."""
        return Journal(None if self.state is None else self.state / "windows.jsonl", KeptWindow)

    def leases(self) -> HoldLeases | None:
        """Where the guard reads which cars are held; None without a folder."""
        return None if self.state is None else HoldLeases(self.state)

    async def wait(self, wait_s: float) -> None:
        """Let so many seconds pass on the shared clock."""
        await sleep_for(self.clock, wait_s)


class OwnersSettings(VendorSettings):
    """A vendor whose owners' grants are kept here."""

    state: FilePath = pydantic.Field(description="private folder: sealed grants, windows, what was spent")

    @property
    def grants(self) -> Folder:
        """The owners' grants."""
        return Folder(self.state / "grants")
