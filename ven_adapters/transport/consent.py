"""How an owner lets us in, as one conversation of three steps whatever the vendor: begin, finish, the cars that came.

`begin` says where the owner goes and, with a code flow, which `state` must come back; `finish` takes what came back, or
with a device code waits for the owner, and keeps the grant; `cars` lists what the owner opened to us. Whoever shows the
address and catches the return stands in `ven_adapters.linking`. No token and no VIN is ever returned or logged.
"""

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.grants import oauth
from ven_adapters.transport.grants.grants import Folder, post, run
from ven_adapters.transport.grants.oauth import OAuthRegistration, Prompt, TokenAsk
from ven_adapters.transport.vendor_settings import (
    CodeConsentSettings,
    ConsentSettings,
    DeviceConsentSettings,
    OwnersSettings,
)

STATE_BYTES, VERIFIER_BYTES = 24, 48
POLL_AGAIN_S = 5.0
PENDING = 400
LONGEST_WORD = 40

Cars = Callable[[], Coroutine[Any, Any, list[str]]]
Close = Callable[[], Coroutine[Any, Any, None]]
Sleep = Callable[[float], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """Where the owner goes; the code to confirm there, or the state that the browser must bring back."""

    address: str
    user_code: str | None = None
    state: str | None = None


class ConsentConversation(Protocol):
    """One owner's consent under way. Every method raises BackendError and nothing else."""

    redirect_uri: str | None
    """Where the browser returns to; None when nothing returns."""
    afterwards: str
    """What is left to do once the cars have come; empty when nothing is."""

    def held(self) -> bool:
        """Whether a grant of this account is kept already."""

    async def begin(self) -> Begun:
        """Where the owner goes."""

    async def finish(self, returned: Mapping[str, str]) -> None:
        """Take what the browser brought back, or wait for the owner; keep the grant."""

    async def cars(self) -> list[str]:
        """The cars that this owner opened to us, by our refs."""

    async def forget(self) -> None:
        """Erase what the owner granted, here or at the vendor who keeps it."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclasses.dataclass(frozen=True, slots=True)
class GrantHolder:
    """Whose consent it is: the vendor's settings, the account's name here, and the folder of grants."""

    settings: OwnersSettings
    name: str
    folder: Folder

    def held(self) -> bool:
        """Whether its grant is kept already."""
        return self.folder.holds(self.name)

    async def forget(self) -> None:
        """Erase its grant; INVALID_REQUEST when there is none."""
        if not self.held():
            raise BackendError(ErrorCode.INVALID_REQUEST, f"{self.name}: has no grant here")
        await self.folder.forget(self.name)


def account(settings: OwnersSettings, name: str) -> GrantHolder:
    """The account; INVALID_REQUEST for a name that is no plain word."""
    settings.grants.file(name)
    return GrantHolder(settings, name, settings.grants)


def code_of(returned: Mapping[str, str]) -> str:
    """The code that came back; CONSENT_REVOKED when the owner said no, INVALID_REQUEST when there is none."""
    refused(returned)
    if not returned.get("code"):
        raise BackendError(ErrorCode.INVALID_REQUEST, "code: did not come back with the owner; begin again")
    return returned["code"]


def refused(returned: Mapping[str, str]) -> None:
    """Raise when what came back is a refusal (RFC 6749 section 4.1.2.1); a vendor's own words are not repeated."""
    error = returned.get("error")
    if error is not None:
        plain = error.isascii() and error.replace("_", "").isalnum() and len(error) <= LONGEST_WORD
        said = error if plain else "an error"
        raise BackendError(ErrorCode.CONSENT_REVOKED, f"{said}: the owner did not agree; begin again when he does")


class CodeConsent:
    """Authorization code, with PKCE where the vendor knows it; the grant is kept in the account's file."""

    def __init__(
        self, account: GrantHolder, options: CodeConsentSettings, cars: Cars, close: Close, **more: str
    ) -> None:
        known = account.settings.client
        self._client = dataclasses.replace(
            known, authorize_url=options.authorize_url, redirect_uri=options.redirect_uri, more=more
        )
        self._account, self._options = account, options
        self._verifier = secrets.token_urlsafe(VERIFIER_BYTES) if options.pkce else None
        self.cars, self.close, self.afterwards = cars, close, ""
        self.redirect_uri: str | None = options.redirect_uri

    def held(self) -> bool:
        """Whether a grant of this account is kept already."""
        return self._account.held()

    async def forget(self) -> None:
        """Erase the grant."""
        await self._account.forget()

    async def begin(self) -> Begun:
        """The vendor's consent page."""
        state = secrets.token_urlsafe(STATE_BYTES)
        scope = self._options.scope
        return Begun(oauth.consent_url(self._client, scope=scope, state=state, verifier=self._verifier), state=state)

    async def finish(self, returned: Mapping[str, str]) -> None:
        """Redeem the code and keep the grant."""
        code = code_of(returned)
        try:
            grant = await run(oauth.redeem_code(self._client, code, self._verifier))
        except BackendError as error:
            if error.code is not ErrorCode.CONSENT_REVOKED:
                raise
            detail = "code: was refused; it lasts a few minutes and is good once. Begin again"
            raise BackendError(ErrorCode.REAUTH_REQUIRED, detail) from None
        await self._account.folder.keep(self._account.name, grant)


class DeviceConsent:
    """A code that the owner confirms on any screen (RFC 8628); nothing returns to us, we ask until he has decided."""

    redirect_uri: str | None = None

    def __init__(
        self,
        account: GrantHolder,
        options: DeviceConsentSettings,
        cars: Cars,
        close: Close,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        client: OAuthRegistration = dataclasses.replace(account.settings.client, device_url=options.device_url)
        verifier = secrets.token_urlsafe(VERIFIER_BYTES)
        self._flow = oauth.device_code(client, scope=options.scope, verifier=verifier)
        self._account, self._sleep = account, sleep
        self.cars, self.close, self.afterwards = cars, close, ""

    def held(self) -> bool:
        """Whether a grant of this account is kept already."""
        return self._account.held()

    async def forget(self) -> None:
        """Erase the grant."""
        await self._account.forget()

    async def begin(self) -> Begun:
        """The page where the owner confirms, and the code."""
        ask = next(self._flow)
        if not isinstance(ask, TokenAsk):
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "the authorisation server asked for nothing")
        prompt = self._flow.send(await post(ask))
        if not isinstance(prompt, Prompt):
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "the authorisation server gave no code")
        return Begun(prompt.uri, user_code=prompt.user_code)

    async def finish(self, returned: Mapping[str, str]) -> None:
        """Ask until the owner has decided or the code is too old; a server that is away for a moment is asked again."""
        del returned
        try:
            ask = next(self._flow)
            while True:
                ask = self._flow.send(await self._answer(ask))
        except StopIteration as done:
            await self._account.folder.keep(self._account.name, done.value)

    async def _answer(self, ask: TokenAsk | Prompt) -> oauth.TokenAnswer:
        if not isinstance(ask, TokenAsk):
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "the authorisation server asked for nothing")
        await self._sleep(ask.wait_s)
        try:
            answer = await post(dataclasses.replace(ask, wait_s=0.0))
            if answer.status < oauth.SERVER_ERROR:
                return answer
        except BackendError as error:
            if error.code is not ErrorCode.BACKEND_TRANSIENT:
                raise
        await self._sleep(POLL_AGAIN_S)
        return oauth.TokenAnswer(PENDING, b'{"error": "authorization_pending"}', datetime.now(UTC))


class HostedConsent:
    """A vendor's own page that keeps the owner's grant itself: nothing comes back but the owner."""

    def __init__(
        self, options: ConsentSettings, page: Callable[[str], Awaitable[str]], cars: Cars, close: Close, forget: Close
    ) -> None:
        self._page, self.cars, self.close, self.forget, self.afterwards = page, cars, close, forget, ""
        self.redirect_uri: str | None = options.redirect_uri

    def held(self) -> bool:
        """Nothing is kept here."""
        return False

    async def begin(self) -> Begun:
        """The vendor's page, made for this state."""
        state = secrets.token_urlsafe(STATE_BYTES)
        return Begun(await self._page(state), state=state)

    async def finish(self, returned: Mapping[str, str]) -> None:
        """The owner is back: agreed, unless the return says otherwise."""
        refused(returned)
