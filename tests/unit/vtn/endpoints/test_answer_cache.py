"""JSON answers: what leaves in one write says the same as what aiohttp would have said."""

import asyncio
import gzip
from http import HTTPStatus

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from vtn.endpoints import answer_cache, request_id
from vtn.endpoints.answer_cache import AnswerMemo, Text
from vtn.endpoints.json_response import JsonAnswer

BODY = b'[{"id":"1"}]'
LONG = b'["' + b"long " * 1000 + b'"]'
ANSWERS = {
    "list": lambda: JsonAnswer(BODY, etag='"e1"'),
    "created": lambda: JsonAnswer(BODY, HTTPStatus.CREATED),
    "unchanged": lambda: JsonAnswer(None, HTTPStatus.NOT_MODIFIED, '"e1"'),
    "empty": lambda: JsonAnswer(b"[]"),
}


@pytest.fixture
async def connect():
    runner = web.ServerRunner(web.Server(_handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    writers = []

    async def open_connection():
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writers.append(writer)
        return reader, writer

    yield open_connection
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    await runner.cleanup()


async def _handle(request):
    request_id.begin(request.headers)
    if request.path == "/packed":
        answer = JsonAnswer(LONG, etag='"e1"')
        await answer.compress()
        return answer
    return ANSWERS[request.path.strip("/")]()


async def _ask(connection, path, version="1.1", *headers):
    reader, writer = connection
    writer.write("\r\n".join([f"GET /{path} HTTP/{version}", "Host: here", *headers, "", ""]).encode())
    async with asyncio.timeout(60):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        said = dict(line.split(": ", 1) for line in lines)
        return status.split(" ", 1)[1], said, await reader.readexactly(int(said.get("Content-Length", 0)))


@pytest.mark.parametrize("path", [*ANSWERS, "packed"])
async def test_an_answer_is_the_same_on_a_connection_that_goes_on_and_on_one_that_ends(connect, path):
    status, said, body = await _ask(await connect(), path)
    closing_status, closing_said, closing_body = await _ask(await connect(), path, "1.1", "Connection: close")
    assert closing_said.pop("Connection") == "close"
    for changing in ("Date", "X-Request-Id"):
        assert said.pop(changing)
        assert closing_said.pop(changing)
    assert (status, said, body) == (closing_status, closing_said, closing_body)


@pytest.mark.parametrize("path", ANSWERS)
async def test_a_connection_serves_many_answers(connect, path):
    connection = await connect()
    first, second = [await _ask(connection, path), await _ask(connection, "list")]
    assert (first[0], second[0], second[2]) == (f"{ANSWERS[path]().status} {ANSWERS[path]().reason}", "200 OK", BODY)


async def test_an_unchanged_answer_has_no_body_and_announces_none(connect):
    status, said, _ = await _ask(await connect(), "unchanged")
    assert status == "304 Not Modified"
    assert said.keys() == {"ETag", "Vary", "Cache-Control", "X-Request-Id", "Date", "Server"}


async def test_a_client_of_http_1_0_is_hung_up_on(connect):
    connection = await connect()
    status, _, body = await _ask(connection, "list", "1.0")
    assert (status, body) == ("200 OK", BODY)
    assert await connection[0].read() == b""


@pytest.mark.parametrize("headers", [(), ("Connection: close",)])
async def test_an_answer_to_head_has_the_length_of_the_body_and_no_body(connect, headers):
    reader, writer = await connect()
    writer.write("\r\n".join(["HEAD /list HTTP/1.1", "Host: here", *headers, "", ""]).encode())
    async with asyncio.timeout(60):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert f"Content-Length: {len(BODY)}\r\n" in head
    if headers:
        assert await reader.read() == b""
    else:
        writer.write(b"GET /list HTTP/1.1\r\nHost: here\r\n\r\n")
        async with asyncio.timeout(60):
            assert (await reader.readexactly(8)) == b"HTTP/1.1"


async def test_a_compressed_answer_says_so_and_has_a_tag_of_its_own(connect):
    _, said, body = await _ask(await connect(), "packed")
    assert gzip.decompress(body) == LONG
    assert (said["Content-Encoding"], said["Vary"], said["ETag"]) == ("gzip", "Accept-Encoding", '"e1-gzip"')


async def test_a_remembered_text_is_compressed_once():
    text = Text(LONG, '"e1"')
    bodies = []
    for _ in range(2):
        answer = JsonAnswer(LONG, etag=text.etag, text=text)
        await answer.compress()
        bodies.append(answer.body)
    assert bodies[0] is bodies[1] is text.gzipped


async def test_an_answer_that_might_have_been_compressed_says_so():
    answer = JsonAnswer(LONG)
    assert b"Vary" not in answer._message()
    answer.varies = True
    assert b"Vary: Accept-Encoding" in answer._message()
    assert b"Content-Encoding" not in answer._message()


async def test_remembered_answers_are_bounded_in_bytes():
    remembered = AnswerMemo(5_000)
    for number in range(100):
        await remembered.put(("c1", f"/events?x={number}"), 1, b"%100d" % number)
        assert remembered.bytes <= 5_000
    held = [number for number in range(100) if remembered.get(("c1", f"/events?x={number}"), 1)]
    assert 0 < len(held) < 10
    assert held[-1] == 99


async def test_the_keys_of_one_text_are_bounded_too():
    remembered = AnswerMemo(10_000)
    for number in range(1000):
        await remembered.put(("c1", f"/events?x={number}"), 1, BODY)
    assert 0 < sum(remembered.get(("c1", f"/events?x={number}"), 1) is not None for number in range(1000)) < 100


async def test_an_answer_that_is_larger_than_all_the_room_is_not_remembered():
    remembered = AnswerMemo(1_000)
    text = await remembered.put(("c1", "/events"), 1, bytes(LONG))
    assert text.body == bytes(LONG)
    assert (remembered.get(("c1", "/events"), 1), remembered.bytes) == (None, 0)


async def test_clients_that_read_the_same_list_share_its_bytes():
    remembered = AnswerMemo()
    texts = [await remembered.put((client, "/events"), 1, bytes(LONG)) for client in ("c1", "c2")]
    assert texts[0] is texts[1]
    assert remembered.get(("c2", "/events"), 1) is texts[0]
    assert remembered.get(("c2", "/events"), 2) is None


async def test_what_is_never_remembered_still_has_its_tag():
    remembered = AnswerMemo()
    never = await remembered.put(("c1", "/events"), answer_cache.NEVER, BODY)
    assert never.etag == (await remembered.put(("c1", "/x"), 1, BODY)).etag
    assert remembered.get(("c1", "/events"), answer_cache.NEVER) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 900)), max_size=40))
def test_the_weight_of_what_is_remembered_is_that_of_its_keys_and_of_its_different_texts(puts):
    remembered = AnswerMemo(6_000)

    async def put():
        for key, version, size in puts:
            await remembered.put(("c", f"/{key}"), version, bytes(size))

    asyncio.run(put())
    texts = {text.etag: text for _, text in remembered._answers.values()}
    keys = sum(answer_cache._key_weight(key) for key in remembered._answers)
    assert remembered.bytes == keys + sum(map(answer_cache._text_weight, texts.values())) <= 6_000
