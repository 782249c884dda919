"""Get to know cars: what each can do, and a first reading of those that have not told anything yet."""

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from typing import TypeVar

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    Capability,
    ErrorCode,
    Snapshot,
    VehicleBackend,
    WriteDown,
)

# Young objects before a first look, first looks before a second, second looks before a third.
COLLECTOR_THRESHOLDS = (20_000, 10, 100)
T = TypeVar("T")
AT_ONCE = 32

# A car that its backend does not know, or may not speak of, will not be known a minute later.
_NEVER = frozenset({ErrorCode.INVALID_REQUEST, ErrorCode.NOT_PERMITTED, ErrorCode.CONSENT_REVOKED})

_log = logging.getLogger(__name__)


async def capabilities(backend: VehicleBackend, refs: Collection[str]) -> tuple[dict[str, Capability], set[str]]:
    """What cars can do, and the cars to ask again later."""
    return await _each(backend.capabilities, refs)


async def readings(backend: VehicleBackend, refs: Collection[str]) -> tuple[dict[str, Snapshot], set[str]]:
    """The newest reading of cars, and the cars to ask again later."""
    return await _each(backend.snapshot, refs)


async def hear(
    backend: VehicleBackend, take: Callable[[BackendEvent], None], written: Callable[[], Awaitable[None]]
) -> None:
    """Take in what a backend pushes until it ends; drivers' choices are `written` before they are answered for."""
    events = backend.events()
    try:
        async for event in events:
            if isinstance(event, WriteDown):
                await written()
            else:
                take(event)
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


async def _each(ask: Callable[[str], Awaitable[T]], refs: Iterable[str]) -> tuple[dict[str, T], set[str]]:
    found: dict[str, T] = {}
    again: set[str] = set()
    queue = iter(refs)

    async def worker() -> None:
        for ref in queue:
            try:
                found[ref] = await ask(ref)
            except BackendError as error:
                if error.code not in _NEVER:
                    again.add(ref)
                else:
                    _log.warning("a car is left out: %s", error.code)
            except Exception:  # noqa: BLE001 - one car's failure, of whatever kind, must not keep the others from us
                _log.exception("a car could not be asked in a way that no backend may fail")
                again.add(ref)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return found, again


def freeze_fleet() -> None:
    """Call when the fleet has been taken in: what is here now is passed over from now on, and freed when it is let go.

    Calls to a backend make some hundred short-lived objects each; with the usual thresholds a quarter of the time at
    full rate goes into looking for cycles among a million objects that have none.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
