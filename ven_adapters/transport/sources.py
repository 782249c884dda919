"""Second sources of readings: a public interface that only reads, beside the backend that commands.

Each value of a snapshot is the newer of the two; a source that fails or has spent its quota changes nothing. Every
owner has a grant, a session and a call budget of his own.
"""

import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
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
)
from ven_adapters.transport.grants import Folder, OwnerTokens
from ven_adapters.transport.vendor import Dialect, VendorSession, VendorSettings

_log = logging.getLogger(__name__)
Natives = Callable[[VendorSession], Awaitable[list[str]]]


class Source(Protocol):
    """A public interface that reads cars."""

    async def read(self, ref: str) -> Snapshot:
        """The newest reading; BackendError when there is none to be had."""

    async def close(self) -> None:
        """Let go of connections."""


class Owners:
    """One session for each grant in `state`/grants, and which owner a car belongs to."""

    def __init__(self, settings: VendorSettings, dialect: Dialect, natives: Natives) -> None:
        if settings.state is None:
            raise BackendError(ErrorCode.INVALID_REQUEST, "settings.state: is required, for the owners' grants")
        self._settings, self._dialect, self._natives = settings, dialect, natives
        self._folder = Folder(settings.state / "grants")
        self._sessions: dict[str, VendorSession] = {}
        self._of: dict[str, VendorSession] = {}

    async def session(self, ref: str) -> VendorSession:
        """The session that reads a car; each owner is asked for his cars once."""
        for name in self._folder.names():
            if ref not in self._of and name not in self._sessions:
                tokens = OwnerTokens(self._settings.client, self._folder.file(name))
                session = VendorSession(self._settings, self._settings.url, tokens, self._dialect)
                self._sessions[name] = session
                for native in await self._natives(session):
                    self._of[self._settings.names.ref(native)] = session
        if ref not in self._of:
            raise BackendError(ErrorCode.INVALID_REQUEST, "vehicle_ref: no owner's grant covers it")
        return self._of[ref]

    async def close(self) -> None:
        """Let go of every owner's connections."""
        for session in self._sessions.values():
            await session.close()


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

    def events(self) -> AsyncIterator[BackendEvent]:
        """As the backend says."""
        return self._backend.events()

    async def close(self) -> None:
        """Let go of both."""
        await self._source.close()
        await self._backend.close()


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
    return ours is None or ours.validity is not Validity.OK or theirs.observed_at > ours.observed_at
