"""Runs checks one after the other against one VTN, and says of each whether it held, failed or was left out and why."""

import contextlib
import dataclasses
import enum
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import aiohttp

from vtn.conformance.check import CHECKS, Check, Failed, Need, Skipped
from vtn.conformance.exchange import Credentials, Exchange, Party, Transcript, session
from vtn.conformance.kit import Kit
from vtn.conformance.receiver import receiving
from vtn.conformance.requirements import Level
from vtn.errors import VtnError
from vtn.rules.scopes import OPERATIONS
from vtn.tls import ServerTls

SHOWN_EXCHANGES = 12


class CannotRun(VtnError):
    """The kit cannot judge this VTN as it was called; the text says what to change."""


class Outcome(enum.StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """One check's outcome; `reason` and the last `exchanges` say why it failed, `reason` why it was skipped."""

    check: Check
    outcome: Outcome
    reason: str = ""
    exchanges: tuple[Exchange, ...] = ()
    seconds: float = 0.0


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


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    url: str
    results: tuple[Result, ...]
    operations: tuple[str, ...]
    requests: int
    left_behind: tuple[str, ...]

    def failed(self, level: Level) -> list[Result]:
        """The failed checks of a level."""
        return [r for r in self.results if r.outcome is Outcome.FAILED and r.check.level is level]

    def skipped(self) -> list[Result]:
        """The checks that were left out."""
        return [r for r in self.results if r.outcome is Outcome.SKIPPED]

    @property
    def exit_code(self) -> int:
        """0, or 1 when a SHALL failed."""
        return 1 if self.failed(Level.SHALL) else 0


def chosen(only: Iterable[str]) -> list[Check]:
    """The checks that a run makes, in the order of the requirements."""
    import vtn.conformance.checks  # noqa: F401 - importing registers them

    return [check for check in CHECKS.values() if check.matches(only)]


async def run(plan: Plan, done: Callable[[Result], None] = lambda _result: None) -> Run:
    """Make a run; CannotRun when the VTN or the credentials do not allow one."""
    checks = chosen(plan.only)
    if not checks:
        raise CannotRun(f"no check matches {', '.join(plan.only)}; `--list` shows them all")
    async with opened(plan) as kit:
        results = []
        left: list[str] = []
        for one in checks:
            results.append(await _make(one, kit))
            left += await kit.clean()
            done(results[-1])
        transcript = kit.transcript
        return Run(plan.url, tuple(results), exercised(transcript), transcript.requests, tuple(left))


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
            listening = receiving(plan.receiver_url, plan.receiver_listen, plan.receiver_tls)
            receiver = await stack.enter_async_context(listening)
        parties = (party("BL", plan.bl), party("VEN", plan.ven), party("VEN2", plan.ven2), party("nobody"))
        kit = Kit(plan.url.rstrip("/"), *parties, transcript, f"{time.time_ns() // 1_000_000:x}", receiver)
        kit.trust = plan.tls
        await _begin(kit)
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
    except (Failed, KeyError) as error:
        raise CannotRun(f"{kit.url}: the clients cannot log in or look around: {error}") from None
    if offered.status == 200:  # noqa: PLR2004 - OK
        kit.mqtt = offered.object.get("MQTT")


def _missing(check: Check, kit: Kit) -> str | None:
    """Why a check cannot be tried here."""
    met = {
        Need.RECEIVER: kit.receiver is not None,
        Need.MQTT: kit.mqtt is not None,
        Need.TLS: kit.url.startswith("https:"),
        Need.OWN_TOKENS: True,
    }
    lacking = [str(need) for need in check.needs if not met[need]]
    return f"needs {' and '.join(lacking)}" if lacking else None


async def _make(check: Check, kit: Kit) -> Result:
    """Make one check. An answer that the check cannot make sense of is a failure of the VTN, and shown as such."""
    missing = _missing(check, kit)
    if missing:
        return Result(check, Outcome.SKIPPED, missing)
    kit.transcript.clear()
    begun_s = time.monotonic()

    def result(outcome: Outcome, reason: str) -> Result:
        shown = tuple(kit.transcript.exchanges[-SHOWN_EXCHANGES:]) if outcome is Outcome.FAILED else ()
        return Result(check, outcome, reason, shown, time.monotonic() - begun_s)

    try:
        await check.run(kit)
    except Failed as failure:
        return result(Outcome.FAILED, str(failure))
    except Skipped as reason:
        return result(Outcome.SKIPPED, str(reason))
    except Exception as error:  # noqa: BLE001 - whatever a VTN answers must not end the run
        return result(Outcome.FAILED, f"the answer makes no sense to this check: {type(error).__name__}: {error}")
    return result(Outcome.PASSED, "")


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


def options_of(plan: Plan) -> dict[str, Any]:
    """How the run was called, for reports; no secrets."""
    clients = {"bl": plan.bl.client_id, "ven": plan.ven.client_id, "ven2": plan.ven2.client_id}
    return {"url": plan.url, **clients, "receiver": plan.receiver_url, "only": list(plan.only)}
