"""Record a backend's real answers: the adapter talks to it through us, and what comes back is written down, redacted.

We listen on loopback, hand every call on to the backend as it is, and keep the answers. So any adapter that takes a
`url` can be recorded, and its own code decides what is asked. Tokens are fetched past us and never recorded.
"""

import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
from aiohttp import web

from ven_adapters.adapter_checks.bench import Bench
from ven_adapters.adapter_checks.redaction import Redactor, answer, printed
from ven_adapters.adapter_checks.runner import AdapterPlan, CannotCheck
from ven_adapters.adapter_checks.stage import CloudStage
from ven_adapters.adapter_checks.traffic_log import Overheard, blot, secrets_in
from ven_adapters.contract import BackendError, ChargeState, DirectiveKind, Known
from vtn.checking.verdict import Failed
from vtn.listening.http import HttpOptions, listening
from vtn.listening.sockets import ListenAddress

MOST_CARS = 3
MOST_ANSWERS = 200
MOST_BYTES = 4 * 1024 * 1024
ANSWER_S = 30.0
SUCCESSES = (200, 201, 202, 204)
PASSED_BACK = ("Content-Type", "Retry-After", "Observed-At", "ETag")
NOT_HANDED_ON = frozenset({"host", "content-length", "connection", "accept-encoding", "transfer-encoding"})
SEGMENT = re.compile(r"[a-z][a-z_-]{1,40}")
NOT_NAMED = frozenset({"api", "v"})


@dataclasses.dataclass(frozen=True, slots=True)
class Take:
    """What is to be recorded: the adapter and its backend, where the files go, which keys are safe to keep."""

    plan: AdapterPlan
    out: Path
    keep: frozenset[str] = frozenset()
    commands: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """What was recorded, the keys whose values were replaced, and what could not be recorded."""

    written: tuple[Path, ...]
    replaced: tuple[str, ...]
    problems: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """One answer as it came."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes


async def record_answers(take: Take) -> Done:
    """Record what a few reads (and a harmless pair of commands) are answered; CannotRun when there is no URL."""
    async with contextlib.AsyncExitStack() as stack:
        stage = None
        if take.plan.stage is not None:
            stage = await stack.enter_async_context(take.plan.stage(take.plan.seed))
        settings = take.plan.settings if stage is None else stage.settings
        if not str(settings.get("url", "")).startswith(("http://", "https://")):
            raise CannotCheck(f"{take.plan.name}: its settings have no url; only what speaks HTTP can be recorded")
        heard: list[RecordedAnswer] = []
        through = await stack.enter_async_context(_listening(str(settings["url"]), heard))
        refs, problems = await _asked(take, {**settings, "url": through}, stage)
    if not heard:
        raise CannotCheck(
            f"{take.plan.name}: nothing was asked over its url: {'; '.join(problems) or 'no call was made'}"
        )
    return _written(take, heard, refs, problems, settings)


async def _asked(take: Take, settings: Mapping[str, Any], stage: CloudStage | None) -> tuple[list[str], list[str]]:
    """Ask for what there is; the cars' names and what went wrong."""
    bench = Bench(take.plan.make, settings, stage=stage, heard=Overheard(), run="record")
    problems: list[str] = []
    refs: list[str] = []
    try:
        refs = await bench.refs()
        for ref in refs[:MOST_CARS]:
            for what in (bench.capability(ref), bench.snapshot(ref, None), bench.snapshot(ref, 0)):
                with _noting(problems, settings):
                    await what
        if take.commands and refs:
            with _noting(problems, settings):
                await _commanded(bench, refs)
    except (BackendError, Failed) as error:
        problems.append(blot(str(error), secrets_in(settings)))
    finally:
        await bench.close()
    return refs, problems


@contextlib.contextmanager
def _noting(problems: list[str], settings: Mapping[str, Any]) -> Any:
    """Go on after a refusal, which is itself an answer worth recording; note what else went wrong."""
    try:
        yield
    except BackendError:
        return
    except Failed as error:
        problems.append(blot(str(error), secrets_in(settings)))


async def _commanded(bench: Bench, refs: list[str]) -> None:
    """A command that changes nothing (CHARGE for a car that charges, else RELEASE), its status, and its end."""
    for ref in refs:
        snapshot = await bench.snapshot(ref, None)
        if snapshot.plugged is not None and snapshot.plugged.value is Known.YES:
            charges = snapshot.charge_state is not None and snapshot.charge_state.value is ChargeState.CHARGING
            kind = DirectiveKind.CHARGE if charges else DirectiveKind.RELEASE
            directive = bench.directive(ref, kind, minutes=5)
            await bench.submit(directive)
            await bench.status(directive)
            await bench.cancel(directive)
            return
    raise Failed("no car is plugged in, so no command was sent")


@contextlib.asynccontextmanager
async def _listening(url: str, heard: list[RecordedAnswer]) -> AsyncIterator[str]:
    """A server that hands every call on to `url`; its own URL."""
    base = url.rstrip("/")
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=ANSWER_S), cookie_jar=aiohttp.DummyCookieJar()
    ) as http:

        async def hand_on(request: web.Request) -> web.Response:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_HANDED_ON}
            async with http.request(
                request.method,
                f"{base}{request.rel_url}",
                data=await request.read() or None,
                headers=headers,
                allow_redirects=False,
            ) as came:
                body = await _whole(came)
                if len(heard) < MOST_ANSWERS:
                    heard.append(RecordedAnswer(request.method, request.path, came.status, dict(came.headers), body))
                back = {name: came.headers[name] for name in PASSED_BACK if name in came.headers}
                return web.Response(status=came.status, body=body, headers=back)

        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_route("*", "/{tail:.*}", hand_on)
        async with listening(app, ListenAddress("127.0.0.1", 0), HttpOptions(shutdown_s=1.0)) as port:
            yield f"http://127.0.0.1:{port}"


async def _whole(came: aiohttp.ClientResponse) -> bytes:
    """The body, up to a bound; one read brings no more than what has arrived by then."""
    body = bytearray()
    async for chunk in came.content.iter_any():
        body += chunk
        if len(body) >= MOST_BYTES:
            break
    return bytes(body[:MOST_BYTES])


def _written(
    take: Take, heard: list[RecordedAnswer], refs: list[str], problems: list[str], settings: Mapping[str, Any]
) -> Done:
    """Redact everything first, so that what one answer gives away is not kept in another; then write."""
    redactor = Redactor(take.keep)
    for ref in refs:
        redactor.pseudonym(ref)
    recorded: dict[str, dict[str, Any]] = {}
    answers = [answer(redactor, one.status, one.headers, one.body) for one in heard]
    for one, kept in zip(heard, answers, strict=True):
        recorded.setdefault(name_of(one, refs, redactor.hides), kept)
    written, forbidden = [], [*refs, *secrets_in(settings)]
    for name, kept in recorded.items():
        body = printed(redactor, kept)
        if any(word.encode() in body for word in forbidden):
            problems.append(f"{name}: still names a car or a secret after the redaction")
            continue
        written.append(_put(take.out / f"{name}.json", body))
    return Done(tuple(written), tuple(sorted(redactor.replaced)), tuple(problems))


def _put(path: Path, body: bytes) -> Path:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(body)
    part.replace(path)
    return path


def name_of(heard: RecordedAnswer, refs: list[str], hides: Callable[[str], bool] = lambda _: False) -> str:
    """A fixture's name: the words of the path, the method unless it is GET, the status unless it is a success.

    `hides` tells which words stand for somebody; they stay out, as the names of cars do.
    """
    segments = [unquote(segment) for segment in heard.path.split("/")]
    words = [one for one in segments if SEGMENT.fullmatch(one) and one not in refs and one not in NOT_NAMED]
    words = [one for one in words if not hides(one)]
    words += [] if heard.method == "GET" else [heard.method.lower()]
    words += [] if heard.status in SUCCESSES else [str(heard.status)]
    return "_".join(words or ["root"]).replace("-", "_")
