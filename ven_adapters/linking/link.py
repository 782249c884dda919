"""Link one owner's account: show where he goes, take him back, keep what he gave, say which cars came.

One link of an account at a time, in all processes of this machine. What is shown goes through `show`; no secret does.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.linking.returns import listening, pasted
from ven_adapters.registry import consent
from ven_adapters.transport.consent import Begun, ConsentConversation
from ven_adapters.transport.grants.grants import only_writer

PATIENCE_S = 600.0
LOCK_S = 0.2

Show = Callable[[str], None]
Paste = Callable[[], Awaitable[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Ways:
    """How the command talks to whoever runs it; `paste` None listens for the browser instead."""

    show: Show
    paste: Paste | None = None
    browse: Show | None = None
    patience_s: float = PATIENCE_S


async def link(oem: str, settings: Mapping[str, Any], name: str, ways: Ways, *, again: bool = False) -> list[str]:
    """Link an account of an automaker; its cars. Raises BackendError with what to do next, UnknownOem."""
    asked = consent(oem)(settings, name)
    try:
        async with _alone(settings, oem, name):
            if asked.held() and not again:
                raise BackendError(ErrorCode.INVALID_REQUEST, f"{name}: has a grant already; --again replaces it")
            begun = await asked.begin()
            _say(begun, ways)
            await asked.finish(await _back(asked, begun, ways))
            return await _came(asked, ways)
    finally:
        await asked.close()


async def unlink(oem: str, settings: Mapping[str, Any], name: str) -> None:
    """Erase what an owner granted. Raises BackendError with what to do next, UnknownOem."""
    asked = consent(oem)(settings, name)
    try:
        async with _alone(settings, oem, name):
            await asked.forget()
    finally:
        await asked.close()


@contextlib.asynccontextmanager
async def _alone(settings: Mapping[str, Any], oem: str, name: str) -> AsyncIterator[None]:
    """The right to link this account, which one process has at a time."""
    tables = (settings, *(table for table in settings.values() if isinstance(table, Mapping)))
    folder = Path(next((table["state"] for table in tables if "state" in table), "var"))
    lock = only_writer(folder / f"link-{hashlib.sha256(f'{oem}/{name}'.encode()).hexdigest()[:16]}", longest_s=LOCK_S)
    try:
        await lock.__aenter__()
    except BackendError:
        detail = "another link of this account is under way: let it end, or end it"
        raise BackendError(ErrorCode.INVALID_REQUEST, detail) from None
    try:
        yield
    finally:
        await lock.__aexit__(None, None, None)


def _say(begun: Begun, ways: Ways) -> None:
    ways.show(f"The owner opens this page and agrees:\n\n  {begun.address}\n")
    if begun.user_code is not None:
        ways.show(f"and confirms the code {begun.user_code}")
    if ways.browse is not None:
        ways.browse(begun.address)


async def _back(asked: ConsentConversation, begun: Begun, ways: Ways) -> Mapping[str, str]:
    """What the owner's browser brings back; nothing when nothing returns."""
    if begun.state is None or asked.redirect_uri is None:
        return {}
    if ways.paste is not None:
        return pasted(await ways.paste(), begun.state)
    try:
        async with asyncio.timeout(ways.patience_s), listening(asked.redirect_uri, begun.state) as came:
            return await came
    except TimeoutError:
        detail = f"nobody came back within {ways.patience_s:g} s: run the command again"
        raise BackendError(ErrorCode.REAUTH_REQUIRED, detail) from None


async def _came(asked: ConsentConversation, ways: Ways) -> list[str]:
    """The cars; the grant is kept whether or not they can be listed now."""
    try:
        cars = await asked.cars()
    except BackendError as error:
        ways.show(f"The grant is kept, but the cars could not be listed now: {error}")
        return []
    ways.show("\n".join([f"{len(cars)} car(s) came:", *(f"  {car}" for car in cars)]) if cars else NO_CARS)
    if asked.afterwards:
        ways.show(f"Next: {asked.afterwards}")
    return cars


NO_CARS = "The owner agreed, but no car came: is it in his account, and did he choose it on the page?"
