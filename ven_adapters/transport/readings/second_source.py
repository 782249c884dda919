"""Second sources of readings: a public interface that only reads, beside the backend that commands.

Each value of a snapshot is the newer of the two; a source that fails or has spent its quota changes nothing. Every
owner has a grant, a session and a call budget of his own. What a source pushes comes beside what the backend pushes.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from ven_adapters.contract import (
    Ack,
    BackendError,
    BackendEvent,
    Capability,
    Directive,
    DirectiveStatus,
    ErrorCode,
    Reading,
    Snapshot,
    Validity,
    VehicleBackend,
    VehicleRef,
    WriteDown,
)
from ven_adapters.transport.call_quota import DayQuota
from ven_adapters.transport.grants.grants import OwnerTokens, Tokens
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.vendor_session import Dialect, VendorSession
from ven_adapters.transport.vendor_settings import OwnersSettings, VendorSettings

_log = logging.getLogger(__name__)
QUEUED = 1_000
Natives = Callable[[VendorSession], Awaitable[list[str]]]


class Source(Protocol):
    """A public interface that reads cars."""

    async def read(self, ref: str) -> Snapshot:
        """The newest reading; BackendError when there is none to be had."""

    def pushes(self) -> AsyncIterator[BackendEvent]:
        """Readings as they are pushed; may end, and never raises."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclasses.dataclass(frozen=True, slots=True)
class VendorReader:
    """How one vendor's cars are read: its refusals, an owner's cars, its calls of 24 hours (None: no quota)."""

    dialect: Dialect
    natives: Natives
    calls_of_a_day: int | None = None


class Owners:
    """One session for each grant in `state`/grants, and which owner a car belongs to."""

    def __init__(self, settings: OwnersSettings, reader: VendorReader) -> None:
        self._settings, self._reader, self.folder = settings, reader, settings.grants
        self._sessions: dict[str, VendorSession] = {}
        self._asked: set[str] = set()
        self._of: dict[str, VendorSession] = {}

    async def session(self, ref: str) -> VendorSession:
        """The session that reads a car; each owner is asked for his cars once."""
        for name in self.folder.names():
            if ref not in self._of and name not in self._asked:
                await self._ask(name)
        if ref not in self._of:
            raise BackendError(ErrorCode.INVALID_REQUEST, "vehicle_ref: no owner's grant covers it")
        return self._of[ref]

    async def cars(self, name: str) -> list[str]:
        """The refs of one owner's cars, asked for anew."""
        session = self._session(name)
        refs = [self._settings.names.ref(native) for native in await self._reader.natives(session)]
        self._of |= dict.fromkeys(refs, session)
        self._asked.add(name)
        return refs

    async def _ask(self, name: str) -> None:
        try:
            await self.cars(name)
        except BackendError as error:
            _log.warning("an owner's cars could not be listed: %s", error.code)

    def _session(self, name: str) -> VendorSession:
        if name not in self._sessions:
            tokens = OwnerTokens(self._settings.client, self.folder.file(name))
            self._sessions[name] = self._made(name, tokens)
        return self._sessions[name]

    def _made(self, name: str, tokens: Tokens) -> VendorSession:
        settings, calls = self._settings, self._reader.calls_of_a_day
        if calls is None:
            return VendorSession(settings, settings.url, tokens, self._reader.dialect)
        quota = DayQuota(calls, settings.state / "quota" / f"{name}.json", settings.clock.now())
        return Rationed(settings, tokens, self._reader.dialect, quota)

    async def close(self) -> None:
        """Let go of every owner's connections."""
        for session in self._sessions.values():
            await session.close()


class Rationed(VendorSession):
    """Calls with one grant, within an account's quota of 24 hours."""

    def __init__(self, settings: VendorSettings, tokens: Tokens, dialect: Dialect, quota: DayQuota) -> None:
        super().__init__(settings, settings.url, tokens, dialect)
        self._quota = quota

    def _pay(self, call: Call) -> None:
        super()._pay(call)
        self._quota.pay(self._clock.now())

    def _refusal(self, status: int, body: bytes, retry_after: str | None, call: Call) -> BackendError:
        error = super()._refusal(status, body, retry_after, call)
        if error.code is ErrorCode.QUOTA_EXHAUSTED:
            self._quota.refused(self._clock.now())
        return error


class WithSource:
    """A backend whose readings are the newest of its own and a source's."""

    def __init__(self, backend: VehicleBackend, source: Source) -> None:
        self._backend, self._source = backend, source

    def vehicles(self) -> AsyncIterator[VehicleRef]:
        """As the backend says."""
        return self._backend.vehicles()

    async def capabilities(self, ref: str) -> Capability:
        """As the backend says."""
        return await self._backend.capabilities(ref)

    async def snapshot(self, ref: str, *, max_age_s: int | None = None) -> Snapshot:
        """The newest of each value; the source alone when the backend has no reading."""
        try:
            found = await self._backend.snapshot(ref, max_age_s=max_age_s)
        except BackendError as error:
            try:
                return await self._source.read(ref)
            except BackendError:
                raise error from None
        try:
            return newest(found, await self._source.read(ref))
        except BackendError as error:
            _log.info("a second source had nothing: %s", error.code)
            return found

    async def submit(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Ack:
        """As the backend says."""
        return await self._backend.submit(directive, capability, snapshot)

    async def cancel(self, vehicle_ref: str, directive_id: str) -> Ack:
        """As the backend says."""
        return await self._backend.cancel(vehicle_ref, directive_id)

    async def status(self, vehicle_ref: str, directive_id: str) -> DirectiveStatus:
        """As the backend says."""
        return await self._backend.status(vehicle_ref, directive_id)

    async def events(self) -> AsyncIterator[BackendEvent]:
        """What the backend pushes, and what the source does; a backend that pushes nothing leaves the source alone."""
        queue: asyncio.Queue[BackendEvent | BackendError] = asyncio.Queue(QUEUED)
        pumps = [
            asyncio.create_task(_pump(events, queue)) for events in (self._backend.events(), self._source.pushes())
        ]
        try:
            while True:
                event = await queue.get()
                if isinstance(event, BackendError):
                    raise event
                yield event
                queue.task_done()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def close(self) -> None:
        """Let go of both."""
        await self._source.close()
        await self._backend.close()


async def _pump(events: AsyncIterator[BackendEvent], queue: asyncio.Queue[BackendEvent | BackendError]) -> None:
    """Carry events into the queue; the error that ends them too, unless it says that none are to be had."""
    try:
        async for event in events:
            await queue.put(event)
            if isinstance(event, WriteDown):
                await queue.join()  # it is answered for once the next event is asked for, and not before
    except BackendError as error:
        if error.code is not ErrorCode.INVALID_REQUEST:
            await queue.put(error)
    finally:
        if isinstance(events, AsyncGenerator):
            with contextlib.suppress(RuntimeError):
                await events.aclose()


def newest(one: Snapshot, other: Snapshot) -> Snapshot:
    """Value by value the one that the car saw later; a sentinel never wins."""
    better: dict[str, Any] = {
        field.name: theirs
        for field in dataclasses.fields(other)
        if isinstance(theirs := getattr(other, field.name), Reading)
        and theirs.validity is Validity.OK
        and _later(theirs, getattr(one, field.name))
    }
    return dataclasses.replace(one, **better)


def _later(theirs: Reading[object], ours: Reading[object] | None) -> bool:
    return ours is None or ours.validity is not Validity.OK or theirs.seen_at > ours.seen_at
