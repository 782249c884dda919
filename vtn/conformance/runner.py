"""Runs checks one after the other against one VTN, and says of each whether it held, failed or was left out and why."""

import asyncio
import contextlib
import dataclasses
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from http import HTTPStatus

import aiohttp

from vtn.checking.runner import attempt
from vtn.checking.verdict import Blocked, Cause, CheckRun, Failed, Outcome, Skipped
from vtn.conformance.bodies import members
from vtn.conformance.check import CHECKS, ConformanceCheck, Need
from vtn.conformance.kit import COLLECTIONS, UNREACHABLE, Kit
from vtn.conformance.parties.channel import is_wait
from vtn.conformance.parties.exchange import INSIDE, Credentials, Exchange, HttpAnswer, Party, Transcript, session
from vtn.conformance.parties.receiver import receiving
from vtn.conformance.requirements import Level
from vtn.conformance.verdicts import NOT_READABLE, Result, accused_once
from vtn.errors import VtnError
from vtn.rules.scopes import OPERATIONS
from vtn.tls import ServerTls

SHOWN_EXCHANGES = 12
LONGEST_CHECK_S = 120.0
LONGEST_RUN_S = 3600.0
READABLE_WITHIN_S = 5.0
MOST_SILENT = 3
NO_ANSWER = Cause("the VTN does not answer", INSIDE, general=True)


class CannotRun(VtnError):
    """The kit cannot judge this VTN as it was called; the text says what to change."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How a run was called: the VTN, its three clients, and what else the VTN can reach."""

    url: str
    bl: Credentials
    ven: Credentials
    ven2: Credentials
    tls: ssl.SSLContext | bool = True
    receiver_url: str | None = None
    receiver_listen: str | None = None
    receiver_tls: ServerTls | None = None
    only: tuple[str, ...] = ()
    longest_s: float = LONGEST_RUN_S


@dataclasses.dataclass(frozen=True, slots=True)
class Run(CheckRun[ConformanceCheck, Exchange]):
    """A finished run against the VTN at the URL `subject`."""

    operations: tuple[str, ...]
    requests: int
    left_behind: tuple[str, ...]

    def failed(self, level: Level) -> list[Result]:
        """The failed checks of a level."""
        return [result for result in self.having(Outcome.FAILED) if result.check.level is level]

    @property
    def exit_code(self) -> int:
        """0, or 1 when a SHALL failed."""
        return 1 if self.failed(Level.SHALL) else 0


async def run(plan: Plan, done: Callable[[Result], None] = lambda _result: None) -> Run:
    """Make a run; CannotRun when the VTN or the credentials do not allow one."""
    checks = CHECKS.chosen(plan.only)
    if not checks:
        raise CannotRun(f"no check matches {', '.join(plan.only)}; `--list` shows them all")
    async with opened(plan) as kit:
        checking = CheckRunner(kit, time.monotonic() + plan.longest_s)
        for one in checks:
            done(await checking.make(one))
        left = await kit.sweep() if checking.silent < MOST_SILENT else []
        transcript = kit.transcript
        results = accused_once(checking.settled())
        return Run(plan.url, results, exercised(transcript), transcript.requests, tuple({*checking.left, *left}))


@contextlib.asynccontextmanager
async def opened(plan: Plan) -> AsyncIterator[Kit]:
    """The kit, logged in; its receiver listens for the length of the block."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(session(tls=plan.tls))
        transcript = Transcript()

        def party(who: str, credentials: Credentials | None = None) -> Party:
            return Party(who, plan.url, http, transcript, credentials)

        receiver = None
        if plan.receiver_url:
            note = transcript.note_arrival
            listening = receiving(plan.receiver_url, plan.receiver_listen, plan.receiver_tls, note)
            receiver = await stack.enter_async_context(listening)
        parties = (party("BL", plan.bl), party("VEN", plan.ven), party("VEN2", plan.ven2), party("nobody"))
        kit = Kit(plan.url.rstrip("/"), *parties, transcript, f"{time.time_ns() // 1_000_000:x}", receiver)
        kit.trust = plan.tls
        await _begin(kit)
        await kit.try_receiver()
        yield kit


async def _begin(kit: Kit) -> None:
    """See that the VTN is there, lets all three in, and that the VEN clients own nothing that would be touched."""
    try:
        for who in (kit.bl, kit.ven, kit.ven2):
            await who.token()
        for who in (kit.ven, kit.ven2):
            if await who.all("/vens"):
                raise CannotRun(f"the client {who.client_id} owns a ven already; give the kit test clients of its own")
        offered = await kit.bl.get("/notifiers")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise CannotRun(f"{kit.url} cannot be reached: {error}") from None
    except (Failed, Skipped) as error:
        raise CannotRun(f"{kit.url}: the clients cannot log in or look around: {error}") from None
    with contextlib.suppress(Failed):  # what is wrong with it is for the checks of the section MQTT to say
        binding = offered.shows(200).object.get("MQTT")
        kit.mqtt = binding if isinstance(binding, dict) else None


def _missing(check: ConformanceCheck, kit: Kit) -> str | None:
    """Why a check cannot be tried here."""
    met = {
        Need.RECEIVER: kit.receiver is not None,
        Need.MQTT: kit.mqtt is not None,
        Need.TLS: kit.url.startswith("https:"),
        Need.OWN_TOKENS: True,
    }
    lacking = [kit.no_receiver if need is Need.RECEIVER else str(need) for need in check.needs if not met[need]]
    return f"needs {' and '.join(lacking)}" if lacking else None


@dataclasses.dataclass(slots=True)
class CheckRunner:
    """Makes the checks of one run; `left` is what could not be deleted, `silent` how often nothing answered at all."""

    kit: Kit
    ends_s: float
    results: list[Result] = dataclasses.field(default_factory=list)
    left: list[str] = dataclasses.field(default_factory=list)
    silent: int = 0
    broken: frozenset[str] = frozenset()

    async def make(self, check: ConformanceCheck) -> Result:
        """Make one check, clean up after it, and see what it did to the VTN."""
        result = await self._tried(check)
        if result.outcome is Outcome.FAILED and result.cause is not None and result.cause.owners == INSIDE:
            result = await self._examined(result)
        if self.silent < MOST_SILENT:
            self.left += await self.kit.clean()
        await self._hear()
        self.results.append(result)
        return result

    async def _tried(self, check: ConformanceCheck) -> Result:
        if missing := _missing(check, self.kit):
            return Result(check, Outcome.SKIPPED, missing)
        if self.silent >= MOST_SILENT:
            return Result(check, Outcome.FAILED, "the VTN has stopped to answer", cause=NO_ANSWER)
        if time.monotonic() > self.ends_s:
            return Result(check, Outcome.FAILED, "not begun").blocked("the time that a run may take")
        return await _make(check, self.kit)

    async def _examined(self, result: Result) -> Result:
        """The result with what a fault inside the VTN did to the rest of it, told when it begins."""
        ill = await _unreadable_collections(self.kit)
        if result.cause == NO_ANSWER:
            self.kit.transcript.timeout_s = READABLE_WITHIN_S
            self.silent = self.silent + 1 if len(ill) == len(COLLECTIONS) else 0
        if ill - self.broken:
            words = f"{result.reason}; since then {', '.join(sorted(ill))} cannot be read by anybody"
            result = dataclasses.replace(result, reason=words)
        self.broken = ill
        return result

    async def _hear(self) -> None:
        """See whether webhooks, or MQTT, still come, after notifications that never came."""
        kit = self.kit
        kit.transcript.clear()
        if kit.receiver is not None:
            await kit.receiver.channel.judge(lambda: simplest_webhook(kit))
        await kit.mqtt_channel.judge(lambda: simplest_message(kit))
        if kit.transcript.made:
            self.left += await kit.clean()

    def settled(self) -> list[Result]:
        """The results; a wait for a notification stands by its own claim, unless its channel turned out to be dead."""
        channels = [self.kit.mqtt_channel, *([self.kit.receiver.channel] if self.kit.receiver else [])]

        def own(result: Result) -> bool:
            waited = result.cause is not None and is_wait(result.cause)
            return waited and not any(one.killed(result.cause) for one in channels if result.cause is not None)

        return [dataclasses.replace(one, cause=None) if own(one) else one for one in self.results]


async def simplest_webhook(kit: Kit) -> None:
    """Business Logic is told of the creation of an event; Failed when it is not."""
    async with kit.hook() as hook:
        await kit.subscription(kit.bl, hook.wish("EVENT", "CREATE"))
        await hook.hears("CREATE", await kit.event(await kit.program()))


async def simplest_message(kit: Kit) -> None:
    """Business Logic hears of the creation of an event on the topic of all events; Failed when it does not."""
    topics = await kit.topics(kit.bl, "events")
    async with kit.ear(kit.bl, topics["CREATE"]) as ear:
        await ear.until("CREATE", await kit.event(await kit.program()))


async def _unreadable_collections(kit: Kit) -> frozenset[str]:
    """The collections that Business Logic cannot list any more, because they fail inside or do not answer."""

    async def ill(path: str) -> bool:
        try:
            async with asyncio.timeout(READABLE_WITHIN_S):
                return (await kit.bl.get(path)).status >= HTTPStatus.INTERNAL_SERVER_ERROR
        except (*UNREACHABLE, Failed):
            return True

    paths = [f"/{collection}" for collection in COLLECTIONS]
    found = await asyncio.gather(*(ill(path) for path in paths))
    return frozenset(path for path, one in zip(paths, found, strict=True) if one)


async def _make(check: ConformanceCheck, kit: Kit) -> Result:
    """Make one check. What the check cannot read is accused as what it is, or else blocks the check."""
    kit.transcript.clear()
    result: Result = await attempt(
        check, check.run(kit), LONGEST_CHECK_S, lambda error, late: _behind(error, kit.transcript.answers, late=late)
    )
    if result.outcome is not Outcome.FAILED:
        return result
    return dataclasses.replace(result, exchanges=kit.transcript.evidence(SHOWN_EXCHANGES))


def _behind(error: Exception, answers: list[HttpAnswer], *, late: bool) -> Failed | Blocked:
    """What lies behind an error that a check did not expect: no answer, or an object that breaks its schema.

    Otherwise it is something that the check itself cannot make sense of, which accuses nobody; so is the end of the
    time that a check may take (`late`).
    """
    last = f"{answers[-1].method} {answers[-1].url} was answered {answers[-1].status}" if answers else "no request"
    words = f"{type(error).__name__}: {error}, after {last}"
    found = Failed(f"no answer: {words}", NO_ANSWER) if isinstance(error, UNREACHABLE) else _unreadable(answers)
    if late:
        return Blocked(str(found or words), f"the {LONGEST_CHECK_S:g} s that a check may take")
    return found or Blocked(words, NOT_READABLE)


def _unreadable(answers: Iterable[HttpAnswer]) -> Failed | None:
    """The first object in these answers that breaks the schema of its kind: what a check could not make sense of."""
    for answer in answers:
        if answer.kind and answer.status in {200, 201}:
            try:
                content = answer.json
            except Failed as failure:
                return failure
            for item in members.objects_in(answer.kind, content):
                if fault := members.fault_of(answer.kind, item):
                    return fault
    return None


def exercised(transcript: Transcript) -> tuple[str, ...]:
    """The operations (of 45) that succeeded at least once, by their names in the specification."""
    table: list[tuple[str, str, str]] = [(op.method, op.path, op.name) for op in OPERATIONS]
    table += [("GET", "/auth/server", "getAuthServerInfo")]
    done = {name for method, path, name in table if any(_is(method, path, *asked) for asked in transcript.succeeded)}
    if any(method == "POST" and path.endswith("/auth/token") for method, path in transcript.succeeded):
        done.add("fetchToken")
    return tuple(sorted(done))


def _is(method: str, pattern: str, asked_method: str, asked_path: str) -> bool:
    wanted, parts = pattern.split("/"), asked_path.split("/")
    same = len(wanted) == len(parts) and method == asked_method
    return same and all(w == p or w.startswith("{") for w, p in zip(wanted, parts, strict=True))
