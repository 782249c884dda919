"""Keep grants and renew them: one sealed file per grant, mode 0600, and one writer per refresh token.

A refresh token may be good for one use only, and a server that sees it twice may end the whole grant (Tesla). So the
file is locked, read again under the lock, marked as spending before the token leaves, and replaced whole. When the
answer is lost the mark stays: the token is not sent again, and the answer is REAUTH_REQUIRED.
"""

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import aiohttp
import orjson

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.grants import oauth
from ven_adapters.transport.grants.oauth import Flow, Grant, OAuthRegistration, TokenAnswer, TokenAsk
from ven_adapters.transport.grants.sealing import Unopened, seal, unseal
from ven_adapters.transport.http.session import bounded
from vtn.privatefiles import private_folder, write_private

MARGIN = timedelta(seconds=60)
ANSWER_S = 30.0
LOCK_NAP_S = 0.02
AGAIN = "`ven-adapters link` gets another"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tokens(Protocol):
    """Where a session gets its bearer tokens."""

    async def access(self, after: str | None) -> tuple[str, float]:
        """A token that is not `after`, which has been refused or used up, and the seconds that it is still good for."""


@contextlib.asynccontextmanager
async def only_writer(path: Path, longest_s: float = 60.0) -> AsyncIterator[None]:
    """Hold the lock beside `path`, against other processes and other tasks; BACKEND_TRANSIENT when it stays taken.

    The kernel lets go of the lock when its holder dies, so no lock outlives a `kill -9`.
    """
    private_folder(path.parent)
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            async with asyncio.timeout(longest_s):
                await _taken(descriptor)
        except TimeoutError:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "another process is renewing this grant") from None
        yield
    finally:
        os.close(descriptor)


async def _taken(descriptor: int) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(LOCK_NAP_S)
        else:
            return


class Folder:
    """All grants of one automaker, by account name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> tuple[str, ...]:
        """The accounts that have a grant, sorted."""
        return tuple(sorted(file.stem for file in self._path.glob("*.json")))

    def file(self, name: str) -> Path:
        """Where one account's grant lies; INVALID_REQUEST for a name that is no plain word."""
        if not _NAME.fullmatch(name):
            raise BackendError(ErrorCode.INVALID_REQUEST, "account: must be letters, digits, - and _, at most 64")
        return self._path / f"{name}.json"

    async def keep(self, name: str, grant: Grant) -> None:
        """Keep a grant that an owner has just given; a renewal of the old one that is under way ends before."""
        async with only_writer(self.file(name)):
            store(self.file(name), grant)

    async def forget(self, name: str) -> None:
        """Erase a grant that an owner took back; a renewal that is under way cannot bring it back."""
        async with only_writer(self.file(name)):
            self.file(name).unlink(missing_ok=True)

    def holds(self, name: str) -> bool:
        """Whether there is a grant of this account."""
        return self.file(name).exists()


def store(file: Path, grant: Grant) -> None:
    """Write a grant, whole, sealed and private."""
    write_private(file, seal(file, orjson.dumps(grant, option=orjson.OPT_UTC_Z)))


def fetch(file: Path) -> Grant:
    """Read a grant; REAUTH_REQUIRED when there is none that can be read."""
    try:
        raw = orjson.loads(unseal(file, file.read_bytes()))
        return Grant(**(raw | {"expires_at": datetime.fromisoformat(raw["expires_at"])}))
    except Unopened as error:
        raise BackendError(ErrorCode.REAUTH_REQUIRED, f"the grant of this account {error}; {AGAIN}") from None
    except (OSError, ValueError, TypeError, KeyError):
        raise BackendError(
            ErrorCode.REAUTH_REQUIRED, f"the grant of this account is missing or damaged; {AGAIN}"
        ) from None


class OwnerTokens:
    """The tokens of one owner's grant, shared by every task and process that reads the same file."""

    def __init__(
        self, client: OAuthRegistration, file: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._file = file
        self._now = now

    async def access(self, after: str | None) -> tuple[str, float]:
        """The stored token while it is good, else a renewed one."""
        grant = await self.grant(after)
        return grant.access_token, (grant.expires_at - self._now()).total_seconds()

    async def grant(self, after: str | None) -> Grant:
        """The stored grant while its access token is good and not `after`, else a renewed one."""
        grant = fetch(self._file)
        if not self._good(grant, after):
            async with only_writer(self._file):
                grant = fetch(self._file)
                if not self._good(grant, after):
                    grant = await self._renewed(grant)
        return grant

    def _good(self, grant: Grant, after: str | None) -> bool:
        return grant.access_token != after and grant.expires_at - MARGIN > self._now()

    async def _renewed(self, grant: Grant) -> Grant:
        if grant.spending:
            raise BackendError(
                ErrorCode.REAUTH_REQUIRED, "refresh_token: was sent once and its answer lost; the driver consents again"
            )
        flow = oauth.refresh(self._client, grant)
        ask = next(flow)
        store(self._file, dataclasses.replace(grant, spending=True))
        try:
            answer = await post(ask)
        except NeverSent as error:
            store(self._file, grant)
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, error.detail) from None
        try:
            renewed = _end(flow, answer)
        except BackendError:
            store(self._file, grant)
            raise
        store(self._file, renewed)
        return renewed


class AppTokens:
    """The tokens of our own client credentials; nothing is stored, a new one is simply asked for."""

    def __init__(self, client: OAuthRegistration, scope: str | None = None) -> None:
        self._client = client
        self._scope = scope

    async def access(self, after: str | None) -> tuple[str, float]:
        """A new token."""
        del after
        grant = await run(oauth.client_credentials(self._client, self._scope))
        return grant.access_token, (grant.expires_at - datetime.now(UTC)).total_seconds()


class NeverSent(BackendError):
    """The authorisation server could not be reached, so nothing was spent."""


async def run(flow: Flow) -> Grant:
    """Hold a conversation that asks once."""
    ask = next(flow)
    return _end(flow, await post(ask))


def _end(flow: Flow, answer: TokenAnswer) -> Grant:
    try:
        flow.send(answer)
    except StopIteration as done:
        grant: Grant = done.value
        return grant
    raise BackendError(ErrorCode.BACKEND_TRANSIENT, "the authorisation server's answer ended nothing")


async def post(ask: TokenAsk) -> TokenAnswer:
    """Send one form. NeverSent when there was no connection; OUTCOME_UNKNOWN when a spent form's answer was lost."""
    if ask.wait_s > 0:
        await asyncio.sleep(ask.wait_s)
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.post(ask.url, data=dict(ask.form), allow_redirects=False) as response,
        ):
            return TokenAnswer(response.status, await bounded(response))
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
        raise NeverSent(ErrorCode.BACKEND_TRANSIENT, f"no token: {type(error).__name__}") from None
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        code = ErrorCode.OUTCOME_UNKNOWN if ask.spends else ErrorCode.BACKEND_TRANSIENT
        raise BackendError(code, f"no token: {type(error).__name__}") from None
