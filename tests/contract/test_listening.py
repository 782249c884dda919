"""The one listener, on each event loop that it runs on: patience, keep-alive, TLS, and what it leans on in aiohttp."""

import asyncio
import contextlib
import inspect
import itertools
import logging
import resource
import socket
import ssl
from datetime import UTC, datetime

import aiohttp
import pytest
import uvloop
from aiohttp import web
from listening_ports import told

from vtn.auth.pki import make_development_certificates
from vtn.bounds import ConnectionBounds
from vtn.listening import accepting
from vtn.listening.http import HttpConnection, HttpOptions, HttpRunner, HttpServer, HttpSite, listening, proven
from vtn.listening.sockets import CannotListen, ListenAddress, bound, port_of, require_free
from vtn.tls import ServerTls

HERE = ListenAddress("127.0.0.1", 0)
SHORT = ConnectionBounds(patience_s=0.3, idle_s=30.0)
WITHIN_S = 20.0
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def on_each_loop(test):
    """Run a test on each event loop that programs of ours run on."""

    def run(loop, **given):
        own = LOOPS[loop]()
        try:
            own.run_until_complete(test(**given))
            own.run_until_complete(own.shutdown_asyncgens())
        finally:
            own.close()

    taken = inspect.signature(test).parameters.values()
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = inspect.Signature([*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in taken), loop])  # type: ignore[attr-defined]
    run.__name__, run.pytestmark = test.__name__, getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop", LOOPS)(run)


def application():
    async def answer(request):
        if request.path == "/unread":
            return web.Response(status=403)
        if request.path == "/known":
            proven(request)
        return web.Response(text=str(len(await request.read())))

    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{any:.*}", answer)
    return app


@contextlib.asynccontextmanager
async def connected(port, **more):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **more)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answered(reader, method="GET"):
    """The status of the next answer, all of which is read."""
    async with asyncio.timeout(WITHIN_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        if method != "HEAD":
            await reader.readexactly(int(fields.get("content-length", 0)))
    return int(head.split()[1])


async def ended(reader, within_s=WITHIN_S):
    """Whether the other side hangs up in this time."""
    try:
        async with asyncio.timeout(within_s):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def parts_of(method, shape):
    """A request with a body of 6 bytes, in the segments in which it goes over the line."""
    head = f"{method} /{'unread' if shape == 'unread' else 'x'} HTTP/1.1\r\nHost: x\r\n"
    if shape == "none":
        return [f"{head}\r\n".encode()]
    if shape == "chunked":
        return [f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"]
    whole = f"{head}Content-Length: 6\r\n\r\n".encode()
    return [whole + b"abcdef"] if shape == "together" else [whole, b"abc", b"def"]


async def kept(port, method, shape):
    """Ask twice in this way on one connection, which is left alone for long enough in between and afterwards."""
    async with connected(port) as (reader, writer):
        for _ in range(2):
            for part in parts_of(method, shape):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.02)  # so that the parts arrive one by one
            assert await answered(reader, method) in {200, 403}
            assert not await ended(reader, 3 * SHORT.patience_s), (method, shape)


@on_each_loop
async def test_a_connection_is_kept_after_every_method_however_its_body_came():
    async with listening(application(), HERE, HttpOptions(SHORT)) as port, asyncio.TaskGroup() as group:
        for method, shape in itertools.product(METHODS, ["none", "together", "apart", "chunked", "unread"]):
            group.create_task(kept(port, method, shape))


@on_each_loop
async def test_a_connection_on_which_nobody_asks_anything_more_ends_after_its_time():
    bounds = ConnectionBounds(patience_s=0.1, idle_s=1.0)
    async with listening(application(), HERE, HttpOptions(bounds)) as port, connected(port) as (reader, writer):
        for part in parts_of("POST", "apart"):
            writer.write(part)
        assert await answered(reader) == 200
        assert await ended(reader)


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nX-Slow: "], ids=["nothing", "a byte", "half a head"])
@pytest.mark.parametrize("before", ["none", "apart"])
@on_each_loop
async def test_a_head_that_does_not_come_ends_the_connection(sent, before):
    async with listening(application(), HERE, HttpOptions(SHORT)) as port, connected(port) as (reader, writer):
        if before != "none":
            for part in parts_of("POST", before):
                writer.write(part)
            assert await answered(reader) == 200
        writer.write(sent)
        if sent or before == "none":
            assert await ended(reader)


@on_each_loop
async def test_a_body_that_does_not_come_is_answered_408_and_the_connection_ends():
    async with listening(application(), HERE, HttpOptions(SHORT)) as port, connected(port) as (reader, writer):
        writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert await answered(reader) == 408
        assert await ended(reader)


@on_each_loop
async def test_a_body_that_nobody_wants_is_waited_for_no_longer_than_any_other(caplog):
    caplog.set_level(logging.WARNING)
    async with listening(application(), HERE, HttpOptions(SHORT)) as port, connected(port) as (reader, writer):
        writer.write(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert await answered(reader) == 403
        assert await ended(reader)
    assert not told(caplog)


@on_each_loop
async def test_what_is_asked_in_one_go_is_answered_in_order_and_the_connection_kept():
    async with listening(application(), HERE, HttpOptions(SHORT)) as port, connected(port) as (reader, writer):
        writer.write(b"".join(b"".join(parts_of("POST", shape)) for shape in ("together", "chunked", "apart") * 30))
        for _ in range(90):
            assert await answered(reader) == 200
        assert not await ended(reader, 3 * SHORT.patience_s)


@on_each_loop
async def test_a_head_beyond_the_bounds_is_refused():
    bounds = ConnectionBounds(head_line_bytes=1024, head_fields=16)
    async with listening(application(), HERE, HttpOptions(bounds)) as port:
        for lines in (["X: " + "x" * 2000], [f"X{number}: y" for number in range(30)]):
            async with connected(port) as (reader, writer):
                writer.write("\r\n".join(["GET / HTTP/1.1", "Host: x", *lines, "", ""]).encode())
                assert await answered(reader) == 400
                assert await ended(reader)


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path):
    make_development_certificates(tmp_path, ["localhost", "127.0.0.1"], datetime.now(UTC))
    return tmp_path


@on_each_loop
async def test_hundreds_who_begin_no_handshake_keep_nobody_out(certificates):
    tls = ServerTls(certificates / "server.pem", certificates / "server.key")
    trust = ssl.create_default_context(cafile=certificates / "ca.pem")
    bounds = ConnectionBounds(unproven=40, unproven_of_one_address=20, patience_s=5.0)
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(listening(application(), HERE, HttpOptions(bounds, tls)))
        kept, writer = await stack.enter_async_context(connected(port, ssl=trust))
        writer.write(b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await answered(kept) == 200
        silent = [await stack.enter_async_context(connected(port)) for _ in range(300)]
        async with connected(port, ssl=trust) as (reader, other):
            other.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await answered(reader) == 200
        assert await ended(silent[0][0])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await answered(kept) == 200


@on_each_loop
async def test_a_handshake_that_does_not_come_ends_the_connection(certificates):
    tls = ServerTls(certificates / "server.pem", certificates / "server.key")
    async with listening(application(), HERE, HttpOptions(SHORT, tls)) as port, connected(port) as (reader, _):
        assert await ended(reader)


@on_each_loop
async def test_a_new_certificate_is_shown_without_a_restart(certificates, tmp_path):
    tls = ServerTls(certificates / "server.pem", certificates / "server.key", reload_s=0.05)
    trust = ssl.create_default_context(cafile=certificates / "ca.pem")

    async def shown(port):
        async with connected(port, ssl=trust) as (_, writer):
            return writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]

    async with listening(application(), HERE, HttpOptions(tls=tls)) as port:
        old = await shown(port)
        make_development_certificates(certificates, ["localhost", "127.0.0.1"], datetime.now(UTC))
        async with asyncio.timeout(WITHIN_S):
            while await shown(port) == old:  # noqa: ASYNC110 - files ring no bell
                await asyncio.sleep(0.02)


# --- sockets ---------------------------------------------------------------------------------------------------------


@on_each_loop
async def test_a_taken_port_is_one_sentence_that_names_it():
    async with listening(application(), HERE) as port:
        with pytest.raises(
            CannotListen, match=rf"^here: cannot listen on 127\.0\.0\.1:{port}: Address already in use$"
        ):
            require_free(ListenAddress("127.0.0.1", port, "here"))
    require_free(ListenAddress("127.0.0.1", port))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "x" * 300, "192.0.2.77"])
@on_each_loop
async def test_a_host_that_is_not_ours_is_one_sentence(host):
    with pytest.raises(CannotListen, match="cannot listen on "):
        bound(ListenAddress(host, 0), 1.0)


@on_each_loop
async def test_a_name_with_two_addresses_is_listened_at_on_both_at_one_port():
    sockets = bound(ListenAddress("localhost", 0), 1.0)
    try:
        assert {sock.getsockname()[1] for sock in sockets} == {port_of(sockets)}
        assert len(sockets) == len({info[4][0] for info in socket.getaddrinfo("localhost", 0)} & {"127.0.0.1", "::1"})
    finally:
        for sock in sockets:
            sock.close()


@on_each_loop
async def test_two_that_bind_the_same_port_before_either_listens_end_in_a_sentence():
    first = bound(HERE, 1.0)
    second = bound(ListenAddress("127.0.0.1", port_of(first)), 1.0)
    runners = []
    try:
        for sockets in (first, second):
            runners.append(HttpRunner(application(), HttpOptions()))
            await runners[-1].setup()
            if sockets is second:
                with pytest.raises(CannotListen, match="Address already in use"):
                    await HttpSite(runners[-1], sockets, HttpOptions()).start()
            else:
                await HttpSite(runners[-1], sockets, HttpOptions()).start()
    finally:
        for runner in runners:
            await runner.cleanup()
        for sock in (*first, *second):
            sock.close()


@on_each_loop
async def test_when_no_files_are_left_unproven_connections_make_room(monkeypatch, caplog):
    """The limit on files is this process's own, so it is lowered only as far as what is open already."""
    monkeypatch.setattr(accepting, "raise_files_limit", lambda: 10_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listening(application(), HERE) as port, contextlib.AsyncExitStack() as stack:
        ours = [socket.socket() for _ in range(30)]
        for sock in ours:
            sock.settimeout(0)
        highest = max(sock.fileno() for sock in ours)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 12, hard))
        try:
            for sock in ours:
                with contextlib.suppress(BlockingIOError):
                    sock.connect(("127.0.0.1", port))
            last = ours.pop()
            async with asyncio.timeout(WITHIN_S):
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(last, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await loop.sock_recv(last, 100)).startswith(b"HTTP/1.1 200")
            last.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in ours:
                sock.close()
        await stack.aclose()
    assert "no files are left" in caplog.text


# --- what of aiohttp is leaned on ------------------------------------------------------------------------------------

READ = {"_request_count", "_messages", "_current_request", "_waiter", "_reading_paused", "_buffer_paused", "_loop"}
SET = {"_lingering_time"}


def slots(kind):
    return {name for one in kind.__mro__ for name in getattr(one, "__slots__", ())}


def test_aiohttps_own_members_that_are_read_or_set_are_where_they_were():
    assert aiohttp.__version__.startswith("3.14.")
    assert slots(web.RequestHandler) >= READ | SET
    assert slots(web.BaseSite) >= {"_runner", "_ssl_context", "_server"}
    source = inspect.getsource(HttpConnection)
    assert all(f"self.{name}" in source for name in READ | SET)


def test_aiohttps_own_methods_that_are_overridden_are_called_as_they_were():
    assert inspect.iscoroutinefunction(web.AppRunner._make_server)
    assert "self._server = await self._make_server()" in inspect.getsource(web.BaseRunner.setup)
    assert list(inspect.signature(web.RequestHandler.handle_error).parameters) == list(
        inspect.signature(HttpConnection.handle_error).parameters
    )
    made = inspect.getsource(web.Server)
    assert all(f"self.{name} =" in made for name in ("request_handler", "request_factory", "_loop"))
    for kind, names in {
        web.RequestHandler: ("connection_made", "connection_lost", "data_received", "force_close", "handle_error"),
        web.Server: ("__call__",),
        web.BaseSite: ("start", "name"),
    }.items():
        assert all(name in vars(kind) for name in names)
    assert issubclass(HttpServer, web.Server)


def test_aiohttp_closes_and_asks_a_sites_server_in_the_ways_that_an_acceptor_has():
    text = inspect.getsource(web.BaseSite.stop) + inspect.getsource(web.BaseRunner.addresses.fget)  # type: ignore[attr-defined]
    assert "self._server.close()" in text
    assert "server.sockets" in text
    assert {"close", "wait_closed", "is_serving", "get_loop"} <= vars(accepting.Acceptor).keys()
