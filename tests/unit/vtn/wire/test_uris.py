"""URIs as RFC 3986 has them, in time that grows with their length and no faster (SUB-15, PROG-F07)."""

import time

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.wire.model import URI

GOOD = [
    *(
        "https://example.org/path",
        "http://a:1/x?y=%20#z",
        "urn:uuid:1",
        "about:blank",
        "mailto:a@b.c",
        "x:/",
        "x:?q",
        "a:b",
    ),
    *("http://[::1]:80/", "https://u:p@h:1/", "https://h", "https://h?x", "https://h.example/hook?token=a+b&c=d/e?f"),
]
BAD = [
    *(
        "",
        "x",
        "x:",
        "a:b c",
        "a:<",
        "a:\u0094",
        "a:\u00e9",
        "a:#b#c",
        "a:%zz",
        "a:%4",
        "a:[x]",
        "http://[zz]/",
        "a:{b}",
    ),
    *("://x", "1a:b", "a:b\n", "http://h/\\x", "https://\u4f8b.example/", "https://h/\U0001f600"),
]
JUDGE = jsonschema_rs.Draft202012Validator({"format": "uri"}, validate_formats=True)
LONG = ["a://" + "x" * 7990 + "<", "a:" + "x/" * 3990 + "<", "a://" + "@" * 7990 + "[", "a:" + "%41" * 2600 + "%"]


@pytest.mark.parametrize("text", GOOD)
def test_a_uri_is_taken(text):
    assert URI.fullmatch(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_uri_is_refused(text):
    assert not URI.fullmatch(text)


@given(st.text("aZ1:/?#[]@!$%4f.~-_\\^{ \u00e9<", min_size=1, max_size=14))
def test_another_judge_says_the_same(rest):
    text = f"a:{rest}"
    assert bool(URI.fullmatch(text)) is JUDGE.is_valid(text)


@pytest.mark.parametrize("text", LONG, ids=["host", "path", "users", "codes"])
def test_no_long_text_takes_long(text):
    began_s = time.perf_counter()
    assert not URI.fullmatch(text)
    assert time.perf_counter() - began_s < 1
