"""Content codings: who gets gzip, which ETags mean the same text, and what a compressed body may grow to."""

import gzip
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.endpoints import content_coding
from vtn.endpoints.content_coding import gzip_tag, gzipped, held_tag, plain_body, takes_gzip
from vtn.errors import Rejected, TooLarge

BOUND = 1_048_576
TAKES = [
    "gzip",
    "GZIP",
    "x-gzip",
    "gzip, deflate, br",
    "deflate, gzip;q=0.5",
    "*",
    "br;q=1.0, *;q=0.1",
    "gzip ; q=1.000",
]
REFUSES = ["", "identity", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *", "identity, gzip;q=0.5", "gzip;q=x"]


@pytest.mark.parametrize("header", TAKES)
def test_who_asks_for_gzip_gets_it(header):
    assert takes_gzip(header)


@pytest.mark.parametrize("header", REFUSES)
def test_who_refuses_gzip_or_prefers_plain_text_gets_that(header):
    assert not takes_gzip(header)


@given(st.text(max_size=40))
def test_no_header_is_too_odd_to_be_read(header):
    assert takes_gzip(header) in {True, False}


@pytest.mark.parametrize("said", ['"e"', 'W/"e"', '"x", "e"', "*", ' "x" ,W/"e"'])
def test_a_client_that_has_the_text_is_told_so(said):
    assert held_tag(said, '"e"') == '"e"'


def test_a_client_that_has_the_compressed_form_is_told_so_by_the_tag_it_knows():
    assert held_tag('"e-gzip"', '"e"') == '"e-gzip"' == gzip_tag('"e"')
    assert held_tag('W/"e-gzip"', '"e"') == '"e-gzip"'


@pytest.mark.parametrize("said", ["", '"x"', "e", '"e', '"e-gzip-gzip"', '"x", "y"'])
def test_a_client_that_has_something_else_is_not(said):
    assert held_tag(said, '"e"') is None


@pytest.mark.parametrize("size", [0, 1000, content_coding.IN_A_THREAD_FROM + 1])
async def test_what_is_packed_is_read_back(size):
    body = bytes(range(256)) * (size // 256)
    assert gzip.decompress(await gzipped(body)) == body


@pytest.mark.parametrize("name", ["gzip", "x-gzip"])
def test_a_compressed_body_is_read(name):
    assert plain_body(gzip.compress(b"{}"), name, BOUND) == b"{}"


@pytest.mark.parametrize("name", ["", "identity"])
def test_a_plain_body_is_left_alone(name):
    assert plain_body(b"{}", name, BOUND) == b"{}"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"",
        gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}") + b"x",
        gzip.compress(b"{}") * 2,
        zlib.compress(b"{}"),
    ],
    ids=["no gzip", "empty", "cut short", "followed", "two members", "deflate"],
)
def test_what_is_not_one_whole_gzip_member_is_refused(body):
    with pytest.raises(Rejected, match="gzip"):
        plain_body(body, "gzip", BOUND)


@pytest.mark.parametrize("name", ["br", "deflate", "gzip, gzip", "zstd"])
def test_another_coding_is_refused(name):
    with pytest.raises(Rejected, match=r"header\.Content-Encoding: must be gzip"):
        plain_body(b"{}", name, BOUND)


def test_a_body_is_as_large_as_the_bound_and_not_a_byte_larger():
    assert len(plain_body(gzip.compress(b"x" * BOUND), "gzip", BOUND)) == BOUND
    with pytest.raises(TooLarge, match="when it is decompressed"):
        plain_body(gzip.compress(b"x" * (BOUND + 1)), "gzip", BOUND)


def test_a_gzip_bomb_is_refused_without_being_inflated():
    bomb = gzip.compress(bytes(64 * BOUND), 6)
    assert len(bomb) < BOUND
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(TooLarge):
        plain_body(bomb, "gzip", BOUND)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * BOUND
    assert time.perf_counter() - began < 1
