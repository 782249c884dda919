"""`/health`: whether this server can do its work, part by part, each looked at and not assumed.

The API needs its database, writes that succeed, an up-to-date read model and a folder that takes files: without one of
them the answer is 503. A broker that is gone or a relay that stands still makes notifications late and loses none, so
the API stays up. A look has its time; what was found counts for a second, and a write for five, so that asking often
costs the database nothing. No answer holds an address or a secret; a stranger's says up or down, and nothing else.
"""

import asyncio
import dataclasses
import enum
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from vtn.endpoints.guard import AiohttpHandler
from vtn.endpoints.status.insiders import Insider
from vtn.errors import Unavailable
from vtn.service.core import Core
from vtn.wire import document

LOOK_S = 2.0
FRESH_S, FRESH_WRITE_S = 1.0, 5.0
STUCK_S = 30.0
SERVICE_UNAVAILABLE = 503


class PartState(enum.StrEnum):
    """How a part is: at work, not wanted, at work but behind, or not to be had."""

    UP = "up"
    OFF = "off"
    LATE = "late"
    DOWN = "down"


ORDER = tuple(PartState)


class NotifierStatus(Protocol):
    """What the notifiers of this process tell about themselves; `notifiers.counters.NotifierFigures` does.

    `broker` is None without MQTT; `positions` gives how far each outlet has read the change log, and is None while
    another process relays. `webhooks` counts: `overdue` receivers have waited for longer than the longest retry,
    `hosts_away` cannot be reached, and the rest is how deliveries ended without being taken.
    """

    @property
    def broker(self) -> bool | None: ...  # noqa: D102 - see above

    @property
    def sessions(self) -> int | None: ...  # noqa: D102

    @property
    def published(self) -> int: ...  # noqa: D102

    @property
    def attempts(self) -> Mapping[str, int]: ...  # noqa: D102

    @property
    def positions(self) -> Mapping[str, int] | None: ...  # noqa: D102

    @property
    def webhooks(self) -> Mapping[str, int]: ...  # noqa: D102


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What a look came to."""

    state: PartState
    words: str
    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)


Look = Callable[[], Awaitable[Finding]]


class Checkup:
    """All looks together. `now_s` is a monotonic clock."""

    def __init__(self, looks: Mapping[str, Look], now_s: Callable[[], float]) -> None:
        self._looks = looks
        self._now_s = now_s
        self._turn = asyncio.Lock()
        self._held: Mapping[str, Finding] = {}
        self._held_at_s = float("-inf")

    async def findings(self) -> Mapping[str, Finding]:
        """What each look found, at most a second ago."""
        async with self._turn:
            if self._now_s() - self._held_at_s > FRESH_S:
                found = await asyncio.gather(*(_in_time(look) for look in self._looks.values()))
                self._held = dict(zip(self._looks, found, strict=True))
                self._held_at_s = self._now_s()
            return self._held


async def _in_time(look: Look) -> Finding:
    try:
        async with asyncio.timeout(LOOK_S):
            return await look()
    except TimeoutError:
        return Finding(PartState.DOWN, f"gave no answer within {LOOK_S:g} s")
    except Unavailable:
        return Finding(PartState.DOWN, "the database is out of reach")


def worst(findings: Sequence[Finding]) -> PartState:
    """The state of the whole; what is not wanted is not missed."""
    return max(
        (finding.state for finding in findings if finding.state is not PartState.OFF),
        key=ORDER.index,
        default=PartState.UP,
    )


def looks(
    core: Core, var: Path, notifiers: Callable[[], NotifierStatus], now_s: Callable[[], float]
) -> dict[str, Look]:
    """What is looked at, by name."""
    progress = Progress(now_s)
    return {
        "database": lambda: _database(core),
        "writes": seldom(lambda: _writes(core), FRESH_WRITE_S, now_s),
        "read_model": lambda: _read_model(core),
        "disk": lambda: _disk(var),
        "broker": lambda: _broker(notifiers()),
        "relay": lambda: _relay(core, notifiers(), progress),
        "webhooks": lambda: _webhooks(core, notifiers()),
    }


async def _database(core: Core) -> Finding:
    return Finding(PartState.UP, "answers", {"change_log": await core.store.head()})


async def _writes(core: Core) -> Finding:
    """Tries one, through the same queue and the same connection as every other: what it meets, all would meet."""
    await core.store.probe()
    return Finding(PartState.UP, "succeed")


def seldom(look: Look, fresh_s: float, now_s: Callable[[], float]) -> Look:
    """A look that costs something: what it found counts for so long; what it did not find is looked for again."""
    held: list[tuple[float, Finding]] = []

    async def remembered() -> Finding:
        if not held or now_s() - held[0][0] > fresh_s:
            held[:] = [(now_s(), await look())]
        return held[0][1]

    return remembered


async def _read_model(core: Core) -> Finding:
    """Behind only for as long as it takes to read on: a request would do the same before it is answered."""
    behind = core.store.shared_head() - core.model.seq
    await core.model.current(core.store)
    left = core.store.shared_head() - core.model.seq
    figures = {"applied": core.model.seq, "behind": left}
    if left > 0 and left >= behind:
        return Finding(PartState.DOWN, "does not catch up with the change log", figures)
    return Finding(PartState.UP, "holds what has been committed", figures)


async def _disk(var: Path) -> Finding:
    try:
        await asyncio.to_thread(_write_and_remove, var / f".health-{secrets.token_hex(8)}")
    except OSError as error:
        return Finding(PartState.DOWN, f"takes no files: {error.strerror}")
    return Finding(PartState.UP, "takes files")


def _write_and_remove(path: Path) -> None:
    try:
        path.write_bytes(b"x" * 4096)
    finally:
        path.unlink(missing_ok=True)


async def _broker(notifiers: NotifierStatus) -> Finding:
    if notifiers.broker is None:
        return Finding(PartState.OFF, "no MQTT is offered")
    if notifiers.positions is None:
        return Finding(PartState.UP, "another process publishes")
    figures = {"published": notifiers.published}
    if notifiers.broker:
        return Finding(PartState.UP, "connected", figures)
    return Finding(PartState.LATE, "not connected; what is to be published waits", figures)


class Progress:
    """Since when something that is behind has not moved, over several looks."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._seen: dict[str, tuple[int, float]] = {}

    def still_s(self, name: str, position: int, head: int) -> float:
        """For how many seconds it has stood at this position with something left to do."""
        held = self._seen.get(name)
        if held is None or held[0] != position or position >= head:
            held = self._seen[name] = (position, self._now_s())
        return self._now_s() - held[1]


async def _relay(core: Core, notifiers: NotifierStatus, progress: Progress) -> Finding:
    """Who leads, and how far it is; a leader that gives no sign of life is told before another follows it."""
    leader = await core.store.leader()
    if leader is None:
        return Finding(PartState.LATE, "no process relays")
    words = f"{leader.holder} relays since {leader.since}"
    if notifiers.positions is None:
        figures = {"term": leader.term, "quiet_s": round(leader.quiet_s, 1)}
        if leader.late:
            return Finding(PartState.LATE, f"{words}, and gives no sign of life", figures)
        return Finding(PartState.UP, words, figures)
    head = core.store.shared_head()
    behind = {name: max(0, head - position) for name, position in notifiers.positions.items()}
    still_s = {name: progress.still_s(name, position, head) for name, position in notifiers.positions.items()}
    stuck = sorted(name for name, seconds in still_s.items() if seconds > STUCK_S)
    if stuck:
        return Finding(PartState.LATE, f"{words}, and stands still: {', '.join(stuck)}", behind)
    return Finding(PartState.UP, words, behind)


async def _webhooks(core: Core, notifiers: NotifierStatus) -> Finding:
    backlog = await core.store.backlog()
    owed = {"pending": backlog.pending, "dead": backlog.dead, "oldest_s": backlog.oldest_s(core.clock.now())}
    figures = {**owed, **notifiers.webhooks}
    if overdue := notifiers.webhooks.get("overdue", 0):
        return Finding(PartState.LATE, f"{overdue} receivers wait for longer than the longest retry", figures)
    return Finding(PartState.UP, "deliveries are owed and retried" if backlog.pending else "nothing is owed", figures)


def health(checkup: Checkup, version: str, inside: Insider) -> AiohttpHandler:
    """The endpoint; `inside` tells who may read more than up or down."""

    async def handle(request: web.Request) -> web.StreamResponse:
        findings = await checkup.findings()
        state = worst(list(findings.values()))
        status = SERVICE_UNAVAILABLE if state is PartState.DOWN else 200
        if await inside(request):
            return web.Response(status=status, body=_rendered(findings, state, version), headers=HEADERS)
        word = PartState.DOWN if state is PartState.DOWN else PartState.UP
        return web.Response(status=status, body=document.render({"status": str(word)}), headers=HEADERS)

    return handle


HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def _rendered(findings: Mapping[str, Finding], state: PartState, version: str) -> bytes:
    checks: dict[str, Any] = {
        name: {"state": str(found.state), "words": found.words, "figures": dict(found.figures)}
        for name, found in findings.items()
    }
    return document.render({"status": str(state), "version": version, "checks": checks})
