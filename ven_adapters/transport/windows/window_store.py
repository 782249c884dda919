"""The windows of one vendor's cars in memory: what is to be sent is on disk before, and what becomes of it after."""

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    Directive,
    DirectivesChanged,
    DirectiveState,
    ErrorCode,
)
from ven_adapters.lifecycle import transitions
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.transport.windows.journal import Journal
from ven_adapters.transport.windows.windows import KeptWindow

REMEMBERED = 10_000
QUEUED = 10_000


class WindowStore:
    """Windows by directive, keys seen, and which window holds which car."""

    def __init__(self, journal: Journal[KeptWindow]) -> None:
        self._journal = journal
        self._windows: dict[str, KeptWindow] = {}
        self._keys: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._closed: collections.deque[str] = collections.deque()
        self._opened = False
        self.queue: asyncio.Queue[BackendEvent] = asyncio.Queue(QUEUED)
        self.on_final: Callable[[KeptWindow], None] = lambda _: None

    def open(self, now: datetime) -> tuple[str, ...]:
        """Take up what the journal holds, once; the directives that must be attended to."""
        if self._opened:
            return ()
        self._opened = True
        self._windows = self._journal.open(now)
        for name, window in self._windows.items():
            self._keys[window.directive.key] = name
            if window.final:
                self._closed.append(name)
            elif window.sent_at is not None:
                self._held[window.directive.vehicle_ref] = name
        return tuple(name for name, window in self._windows.items() if not window.final)

    def close(self) -> None:
        """Let go of the journal; what is in it is taken up at the next opening."""
        self._journal.close()

    def seen(self, directive: Directive) -> KeptWindow | None:
        """The window of a key that was used before; INVALID_REQUEST when it was for another directive."""
        window = self._windows.get(self._keys.get(directive.key, ""))
        if window is not None and window.directive != directive:
            raise BackendError(ErrorCode.INVALID_REQUEST, "key: was used for another directive")
        return window

    def window(self, directive_id: str) -> KeptWindow:
        """One window by its directive; INVALID_REQUEST when there is none."""
        if directive_id not in self._windows:
            raise BackendError(ErrorCode.INVALID_REQUEST, "directive_id: is not known here")
        return self._windows[directive_id]

    def known(self, directive_id: str) -> bool:
        """Whether there is such a window."""
        return directive_id in self._windows

    def holding(self, ref: str) -> KeptWindow | None:
        """The window that the car was last told, while it is not final."""
        window = self._windows.get(self._held.get(ref, ""))
        return None if window is None or window.final else window

    def holding_any(self) -> Iterator[KeptWindow]:
        """Every window that its car was last told and that is not final."""
        return (window for ref in tuple(self._held) if (window := self.holding(ref)) is not None)

    def hold(self, window: KeptWindow) -> None:
        """From now on this window is the car's."""
        self._held[window.directive.vehicle_ref] = window.directive.directive_id

    def begin(self, window: KeptWindow) -> KeptWindow:
        """Write a window down before its car is told; OSError when that cannot be, and then nobody may be told."""
        self._journal.note(window)
        return self._hold_in_memory(window)

    def keep(self, window: KeptWindow) -> KeptWindow:
        """Write down what became of a window; one that ended during a call to its car stays as it ended."""
        kept = self._windows.get(window.directive.directive_id)
        if kept is not None and kept.final:
            return kept
        self._journal.follow(window)
        return self._hold_in_memory(window)

    def _hold_in_memory(self, window: KeptWindow) -> KeptWindow:
        name = window.directive.directive_id
        self._windows[name] = window
        self._keys[window.directive.key] = name
        return window

    def move(self, window: KeptWindow, state: DirectiveState, trigger: Trigger, **more: Any) -> KeptWindow:
        """Write down a new state, or news in the same one, and tell whoever listens; a final window stays as it is.

        IllegalTransition for a state that may not follow. Final windows are remembered for a while.
        """
        kept = self._windows.get(window.directive.directive_id, window)
        if kept.final:
            return kept
        if state is not kept.state:
            transitions.move(kept.state, state, trigger)
        moved = self.keep(dataclasses.replace(window, state=state, **more))
        if moved.final:
            self._retire(moved)
        self.say(DirectivesChanged((moved.status(),)))
        return moved

    def forget(self, directive: Directive) -> None:
        """A directive that was refused before anything happened was never here."""
        self._journal.forget(directive.directive_id)
        self._windows.pop(directive.directive_id, None)
        self._keys.pop(directive.key, None)

    def say(self, event: BackendEvent) -> None:
        """Queue an event; when nobody listens the oldest gives way, for `status` tells the same."""
        if self.queue.full():
            self.queue.get_nowait()
            self.queue.task_done()
        self.queue.put_nowait(event)

    def _retire(self, window: KeptWindow) -> None:
        self.on_final(window)
        self._closed.append(window.directive.directive_id)
        if len(self._closed) > REMEMBERED:
            old = self._windows.pop(self._closed.popleft(), None)
            if old is not None:
                self._keys.pop(old.directive.key, None)
        self._journal.shorten(self._windows.values())
