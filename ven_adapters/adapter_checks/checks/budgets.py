"""Budgets: few calls, few at once, short waits, one wake; and nothing left behind after close()."""

import asyncio
import contextlib
import gc
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from ven_adapters.adapter_checks.bench import STUCK_S, Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.stage import ContactKind
from ven_adapters.contract import BackendError
from vtn.checking.verdict import Failed, Skipped, expect
from vtn.listening.http import HttpOptions, listening
from vtn.listening.sockets import ListenAddress

BURST = 80
MOST_OF_BURST = 60
MOMENT_S, MOMENTS = 0.4, 10
AT_ONCE = 100
MOST_AT_ONCE = 64
IDLE_S = 1_800.0
MOST_IDLE = 10
CLOSE_S = 5.0
SHORT_S = 0.2
BABBLE = (b"", b"not json", b"[]", b"{}", b'"text"', b'{"vehicles": 3}', b"\xff\xfe")


@check(Group.BUDGETS, "field fault 4")
async def one_car_is_not_called_without_end(bench: Bench) -> None:
    """Of eighty directives for one car within moments, at most sixty reach the cloud."""
    ref = await bench.pausable()
    capability, snapshot = await bench.capability(ref), await bench.snapshot(ref, None)
    since = len(bench.stage.contacts())
    sends = [
        asyncio.create_task(bench.adapter.submit(bench.directive(ref), capability, snapshot)) for _ in range(BURST)
    ]
    await _moments(bench, sends)
    for send in sends:
        send.cancel()
    await asyncio.gather(*sends, return_exceptions=True)
    sent = len(bench.contacts(ContactKind.COMMAND, ref=ref, since=since))
    expect(sent <= MOST_OF_BURST, f"{sent} of {BURST} directives for one car were sent within moments")


async def _moments(bench: Bench, sends: list["asyncio.Task[Any]"]) -> None:
    """Wait until every call has ended, or none has reached the cloud for a moment."""
    for _ in range(MOMENTS):
        made = len(bench.stage.contacts())
        done, waiting = await asyncio.wait(sends, timeout=MOMENT_S)
        if not waiting or (done and made == len(bench.stage.contacts())):
            return


@check(Group.BUDGETS, "ErrorCode.RATE_LIMITED")
async def calls_at_once_are_bounded(bench: Bench) -> None:
    """Of a hundred readings asked at once, at most 64 are under way side by side."""
    refs, since = bench.stage.refs, len(bench.stage.contacts())
    reads = [bench.adapter.snapshot(refs[n % len(refs)], max_age_s=0) for n in range(AT_ONCE)]
    async with asyncio.timeout(STUCK_S):
        await asyncio.gather(*reads, return_exceptions=True)
    most = max((one.at_once for one in bench.contacts(since=since)), default=0)
    expect(most <= MOST_AT_ONCE, f"{most} calls were under way at once")


@check(Group.BUDGETS, "field fault 5")
async def an_adapter_that_is_not_asked_does_not_call(bench: Bench) -> None:
    """Without a directive and without a question no car is read or woken for half an hour."""
    await bench.refs()
    since = len(bench.stage.contacts())
    await bench.stage.advance(IDLE_S)
    made = bench.contacts(ContactKind.READ, ContactKind.COMMAND, ContactKind.WAKE, since=since)
    expect(len(made) <= MOST_IDLE, f"{len(made)} calls were made for nothing")


@contextlib.asynccontextmanager
async def elsewhere(
    bench: Bench, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> AsyncIterator[Bench]:
    """The same adapter with a server of ours in place of its backend; Skipped when it takes no URL."""
    if "url" not in bench.settings:
        raise Skipped("the adapter takes no url")
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with listening(app, ListenAddress("127.0.0.1", 0), HttpOptions(shutdown_s=SHORT_S)) as port:
        short = {"answer_s": SHORT_S} if "answer_s" in bench.settings else {}
        other = bench.another(url=f"http://127.0.0.1:{port}", **short)
        try:
            yield other
        finally:
            await other.close()


@check(Group.BUDGETS, "ErrorCode.BACKEND_TRANSIENT")
async def a_backend_that_never_answers_is_given_up(bench: Bench) -> None:
    """Where no answer comes the call fails with a BackendError within half a minute."""

    async def silence(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(STUCK_S)
        return web.Response()

    async with elsewhere(bench, silence) as other:
        error = await other.refused(other.snapshot(bench.stage.refs[0]), "a reading that nobody answered")
        expect(error.detail, "the error says nothing")


@check(Group.BUDGETS, "ErrorCode.BACKEND_TRANSIENT")
async def a_backend_that_is_not_there_is_an_error_of_the_contract(bench: Bench) -> None:
    """Where nobody listens the call fails with a BackendError that may be tried again."""
    if "url" not in bench.settings:
        raise Skipped("the adapter takes no url")
    other = bench.another(url="http://127.0.0.1:9")
    try:
        error = await other.refused(other.snapshot(bench.stage.refs[0]), "a reading of nobody")
        expect(error.retryable, f"{error.code} is not retryable, although nothing was reached")
    finally:
        await other.close()


@check(Group.BUDGETS, "ErrorCode.BACKEND_TRANSIENT")
async def an_answer_that_makes_no_sense_is_an_error_of_the_contract(bench: Bench) -> None:
    """200 with a body that is no answer fails with a BackendError, whatever the call."""
    ref = bench.stage.refs[0]
    for body in BABBLE:

        async def babble(_: web.Request, said: bytes = body) -> web.StreamResponse:
            return web.Response(body=said, content_type="application/json")

        async with elsewhere(bench, babble) as other:
            await _sensible(other, other.adapter.capabilities(ref), body)
            await _sensible(other, other.adapter.snapshot(ref), body)


async def _sensible(other: Bench, work: Awaitable[Any], body: bytes) -> None:
    """A BackendError, or a reading without a value."""
    try:
        found = await other.call(work)
    except BackendError:
        return
    expect(getattr(found, "soc_pct", found) is None, f"the answer {body!r} was taken for an answer")


@check(Group.BUDGETS, "VehicleBackend.close", staged=False)
async def close_leaves_nothing_behind(bench: Bench) -> None:
    """close() ends every task and closes every connection, and may be called twice."""
    before = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        other = bench.another()
        if bench.staged:
            other.listen()
        for ref in (await other.refs())[:1]:
            await other.snapshot(ref, None)
        await _closed(other)
        left = await _left(before)
        del other
        gc.collect()
    unclosed = [str(one.message) for one in told if issubclass(one.category, ResourceWarning)]
    expect(not left, f"after close() tasks live on: {', '.join(left)}")
    expect(not unclosed, f"after close() something is still open: {unclosed[:1]}")


async def _closed(other: Bench) -> None:
    begun_s = time.monotonic()
    try:
        await other.close()
        await other.adapter.close()
    except BackendError:
        raise
    except Exception as error:
        raise Failed(f"close() raised {type(error).__name__}") from error
    expect(time.monotonic() - begun_s <= CLOSE_S, "close() took longer than five seconds")


async def _left(before: set["asyncio.Task[Any]"]) -> list[str]:
    """The tasks of ours that outlive close(), after a moment in which they may end."""
    for _ in range(10):
        await asyncio.sleep(0.01)
        left = [task for task in asyncio.all_tasks() - before if _of_an_adapter(task)]
        if not left:
            break
    return [task.get_name() for task in left]


def _of_an_adapter(task: "asyncio.Task[Any]") -> bool:
    """Whether a task is neither this one nor one of the stage's server."""
    code = getattr(task.get_coro(), "cr_code", None)
    where = "" if code is None else code.co_filename
    return not task.done() and "aiohttp/web" not in where and "/simulator/" not in where and "asyncio/" not in where
