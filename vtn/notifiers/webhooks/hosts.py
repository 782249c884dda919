"""The hosts that callbacks lead to: how many calls each may get, and when one that is away is tried again.

A call waits here for its turn, in the order of coming. How many are made at once, and in a second, is counted for all
clients together. Whether a host is away is found out for each client by itself: many share a host and choose their
paths, so what fails for one says nothing of another's. For a client it holds for all entries of all its subscriptions:
they wait, and one of them at a time tries the host, after pauses that grow. Whoever waits has not been tried. Times are
monotonic seconds, so no step of a clock keeps anybody waiting.
"""

import asyncio
import dataclasses
import random
from collections.abc import Callable

from vtn.bounds import DeliveryBounds
from vtn.scheduling import retry_delay_s

MOST_HOSTS = 10_000
ROUNDING_S = 1e-6


@dataclasses.dataclass(slots=True)
class HostForClient:
    """How a host is to one client: `failures` in a row to reach it; then `due_s` is when the next try may be made."""

    failures: int = 0
    reason: str = ""
    due_s: float = 0.0
    calls: int = 0
    probing: bool = False

    def wait_s(self, now_s: float) -> float | None:
        """In how many seconds it may be called; None until a call under way has ended."""
        if not self.failures:
            return 0.0
        return None if self.calls else max(0.0, self.due_s - now_s)


@dataclasses.dataclass(slots=True)
class Host:
    """One host. `full_s` is when its bucket of calls is full again; `moved_s` is when a call began or ended last.

    `seen_by` knows the clients to whom it is away or who call it now; `waiting` says whose each turn will be.
    """

    moved_s: float
    full_s: float = 0.0
    calls: int = 0
    seen_by: dict[str, HostForClient] = dataclasses.field(default_factory=dict)
    waiting: dict[asyncio.Future[None], str] = dataclasses.field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody calls it or waits to."""
        return not self.calls and not self.waiting

    @property
    def failures(self) -> int:
        """The most failures in a row that any client has had."""
        return max((seen.failures for seen in self.seen_by.values()), default=0)

    def to(self, client_id: str) -> HostForClient:
        """How it is to a client; one that is not known is well."""
        return self.seen_by.get(client_id) or HostForClient()


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

    async def enter(self, name: str, patience_s: float, client_id: str = "") -> bool:
        """Wait for a client's turn, but not longer than this; with True comes the duty to `leave`."""
        host = self._known(name)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        host.waiting[turn] = client_id
        self._advance(host)
        try:
            if not turn.done():
                await asyncio.wait({turn}, timeout=max(0.0, patience_s))
        except asyncio.CancelledError:
            if turn.done():
                self.leave(name, client_id)
            raise
        finally:
            if not turn.done():
                del host.waiting[turn]
        return turn.done()

    def leave(self, name: str, client_id: str = "", *, reached: bool | None = None, reason: str = "") -> None:
        """A turn is over: the host was reached, was not (for this `reason`), or (None) was not called at all."""
        host = self._hosts[name]
        seen = host.seen_by[client_id]
        host.calls -= 1
        seen.calls -= 1
        host.moved_s = self._now_s()
        was_probe, seen.probing = seen.probing, False
        if reached:
            seen.failures, seen.reason = 0, ""
        elif reached is False and (was_probe or not seen.failures):
            seen.failures, seen.reason = seen.failures + 1, reason
            seen.due_s = host.moved_s + retry_delay_s(seen.failures, self._first_s, self._longest_s, self._chance)
        if not seen.failures and not seen.calls:
            del host.seen_by[client_id]
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
        while host.calls < self._most_calls:
            now_s = self._now_s()
            turn, wait_s = _next(host, now_s)
            if turn is None:
                return
            wait_s = max(wait_s, host.full_s - now_s - self._slack_s)
            if wait_s > 0:
                host.timer = asyncio.get_running_loop().call_later(wait_s, self._advance, host)
                return
            host.moved_s = now_s
            host.full_s = max(host.full_s, now_s) + self._step_s
            host.calls += 1
            seen = host.seen_by.setdefault(host.waiting.pop(turn), HostForClient())
            seen.calls += 1
            seen.probing = seen.failures > 0
            turn.set_result(None)


def _next(host: Host, now_s: float) -> tuple[asyncio.Future[None] | None, float]:
    """The first turn of a client to whom the host is well, else the one that may come soonest, and in how long."""
    soonest: tuple[asyncio.Future[None] | None, float] = None, 0.0
    looked_at = set()
    for turn, client_id in host.waiting.items():
        if client_id in looked_at:
            continue
        looked_at.add(client_id)
        wait_s = host.to(client_id).wait_s(now_s)
        if wait_s is not None and (soonest[0] is None or wait_s < soonest[1]):
            soonest = turn, wait_s
            if not wait_s:
                break
    return soonest
