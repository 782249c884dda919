"""The hosts that callbacks lead to: how many calls each may get, and when one that is away is tried again.

A call waits here for its turn, in the order of coming. A host answers for all entries of all subscriptions: when it
cannot be reached they wait, and one of them at a time tries it, after pauses that grow. Whoever waits has not been
tried. Times are monotonic seconds, so no step of a clock keeps anybody waiting.
"""

import asyncio
import dataclasses
import random
from collections import deque
from collections.abc import Callable

from vtn.bounds import DeliveryBounds
from vtn.scheduling import retry_delay_s

MOST_HOSTS = 10_000
ROUNDING_S = 1e-6


@dataclasses.dataclass(slots=True)
class Host:
    """One host. `failures` counts tries in a row that did not reach it; then `due_s` is when the next may be made.

    `full_s` is when its bucket of calls is full again; `moved_s` is when a call began or ended last.
    """

    moved_s: float
    failures: int = 0
    reason: str = ""
    due_s: float = 0.0
    full_s: float = 0.0
    calls: int = 0
    probing: bool = False
    waiting: deque[asyncio.Future[None]] = dataclasses.field(default_factory=deque)
    timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody calls it or waits to."""
        return not self.calls and not self.waiting


class Hosts:
    """Turns at hosts, for one event loop. A host that is away is tried after pauses of `first_s` up to `longest_s`."""

    def __init__(
        self,
        bounds: DeliveryBounds,
        *,
        first_s: float,
        longest_s: float,
        chance: random.Random,
        now_s: Callable[[], float],
    ) -> None:
        self._most_calls = bounds.calls_per_host
        self._step_s = 1.0 / bounds.calls_per_host_and_second
        self._slack_s = 1.0 - self._step_s + ROUNDING_S
        self._first_s, self._longest_s = first_s, longest_s
        self._chance = chance
        self._now_s = now_s
        self._hosts: dict[str, Host] = {}

    @property
    def away(self) -> int:
        """How many hosts that are waited for cannot be reached."""
        return sum(host.failures > 0 and not host.idle for host in self._hosts.values())

    def of(self, name: str) -> Host:
        """A host as it is now; one that is not known is well."""
        return self._hosts.get(name) or Host(self._now_s())

    async def enter(self, name: str, patience_s: float) -> bool:
        """Wait for a turn, but not longer than this; with True comes the duty to `leave`."""
        host = self._known(name)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        host.waiting.append(turn)
        self._advance(host)
        try:
            if not turn.done():
                await asyncio.wait({turn}, timeout=max(0.0, patience_s))
        except asyncio.CancelledError:
            if turn.done():
                self.leave(name)
            raise
        finally:
            if not turn.done():
                host.waiting.remove(turn)
        return turn.done()

    def leave(self, name: str, *, reached: bool | None = None, reason: str = "") -> None:
        """A turn is over: the host was reached, was not (for this `reason`), or (None) was not called at all."""
        host = self._hosts[name]
        host.calls -= 1
        host.moved_s = self._now_s()
        was_probe, host.probing = host.probing, False
        if reached:
            host.failures, host.reason = 0, ""
        elif reached is False and (was_probe or not host.failures):
            host.failures, host.reason = host.failures + 1, reason
            host.due_s = host.moved_s + retry_delay_s(host.failures, self._first_s, self._longest_s, self._chance)
        self._advance(host)

    def _known(self, name: str) -> Host:
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= MOST_HOSTS:
                self._hosts = {known: one for known, one in self._hosts.items() if not one.idle}
            host = self._hosts[name] = Host(self._now_s())
        return host

    def _advance(self, host: Host) -> None:
        """Give turns to those who wait, as far as the host may be called now, and come back when it may be again."""
        if host.timer is not None:
            host.timer.cancel()
            host.timer = None
        while host.waiting:
            wait_s = self._wait_s(host)
            if wait_s is None:
                return
            if wait_s > 0:
                host.timer = asyncio.get_running_loop().call_later(wait_s, self._advance, host)
                return
            host.moved_s = self._now_s()
            host.full_s = max(host.full_s, host.moved_s) + self._step_s
            host.calls += 1
            host.probing = host.failures > 0
            host.waiting.popleft().set_result(None)

    def _wait_s(self, host: Host) -> float | None:
        """0 when a call may be made, else in how many seconds one may; None until another call has ended."""
        if host.calls >= (1 if host.failures else self._most_calls):
            return None
        now_s = self._now_s()
        return max(0.0, host.full_s - now_s - self._slack_s, host.due_s - now_s if host.failures else 0.0)
