import asyncio
import contextlib
from datetime import UTC, datetime

import pytest
from aiohttp import web

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.http.retry import RetryPolicy
from ven_adapters.transport.http.session import BackendCredentials, BackendSession, Call, SessionLimits

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
READ = Call("GET", "/x")
WRITE = Call("PUT", "/x", body=b"{}", writes=True, vehicle="v")


class FrozenClock:
    """Time that stands still and yet never makes anybody wait."""

    def now(self):
        return NOON

    def real_seconds_until(self, _at):
        return 0.0


@contextlib.asynccontextmanager
async def server(handler):
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def session(url, credentials=None, **limits):
    return BackendSession(
        url,
        credentials or BackendCredentials(token="t"),
        FrozenClock(),
        policy=RetryPolicy(),
        limits=SessionLimits(**limits),
    )


async def fails(url, call, **limits):
    async with session(url, **limits) as one:
        with pytest.raises(BackendError) as caught:
            await one.call(call)
        return caught.value


@pytest.mark.parametrize(
    ("call", "code"), [(READ, ErrorCode.BACKEND_TRANSIENT), (WRITE, ErrorCode.OUTCOME_UNKNOWN)], ids=["read", "write"]
)
async def test_silence_after_a_send_is_an_unknown_outcome_for_a_write_only(call, code):
    calls = []

    async def silent(request):
        calls.append(request.method)
        await asyncio.Event().wait()

    async with server(silent) as url:
        assert (await fails(url, call, answer_s=0.1)).code is code
    assert len(calls) == (1 if call.writes else 4)


async def test_a_refused_connection_is_transient_even_for_a_write(unused_tcp_port):
    assert (await fails(f"http://127.0.0.1:{unused_tcp_port}", WRITE)).code is ErrorCode.BACKEND_TRANSIENT


@pytest.fixture
def unused_tcp_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def test_a_transient_answer_is_tried_again_and_then_succeeds():
    answers = [503, 502, 200]

    async def flaky(request):
        return web.Response(status=answers.pop(0), body=b"ok")

    async with server(flaky) as url, session(url) as one:
        assert await one.call(WRITE) == b"ok"
    assert answers == []


async def test_a_refusal_is_not_tried_again():
    calls = []

    async def refuses(request):
        calls.append(1)
        return web.Response(status=403)

    async with server(refuses) as url:
        assert (await fails(url, WRITE)).code is ErrorCode.NOT_PERMITTED
    assert len(calls) == 1


async def test_client_credentials_are_exchanged_once_and_renewed_when_refused():
    issued, seen = [], []

    async def both(request):
        if request.path == "/token":
            form = await request.post()
            assert (form["grant_type"], form["client_id"]) == ("client_credentials", "me")
            issued.append(f"t{len(issued)}")
            return web.json_response({"access_token": issued[-1], "expires_in": 3600})
        seen.append(request.headers["Authorization"])
        return web.Response(status=401 if seen[-1] == "Bearer t0" and len(seen) > 1 else 200)

    async with server(both) as url:
        credentials = BackendCredentials(token_url=f"{url}/token", client_id="me", client_secret="s")
        async with session(url, credentials) as one:
            await asyncio.gather(one.call(READ))
            await one.call(READ)
    assert seen == ["Bearer t0", "Bearer t0", "Bearer t1"]


async def test_a_fixed_token_that_is_refused_asks_for_new_credentials():
    async def refuses(request):
        return web.Response(status=401)

    async with server(refuses) as url:
        assert (await fails(url, READ)).code is ErrorCode.REAUTH_REQUIRED


async def test_a_cars_budget_bounds_the_calls_that_reach_its_backend():
    calls = []

    async def takes(request):
        calls.append(1)
        return web.Response()

    async with server(takes) as url, session(url, vehicle_burst=3, vehicle_per_hour=60.0) as one:
        for _ in range(3):
            await one.call(WRITE)
        with pytest.raises(BackendError) as caught:
            await one.call(WRITE)
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert caught.value.retry_after_s == pytest.approx(60.0, abs=1e-5)
    assert len(calls) == 3


def test_credentials_do_not_show_their_secrets():
    shown = repr(BackendCredentials(token="sesame", token_url="http://x", client_id="me", client_secret="hush"))
    assert "sesame" not in shown
    assert "hush" not in shown
