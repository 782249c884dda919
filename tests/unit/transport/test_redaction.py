"""What a backend says of a car or a person is blotted out of its refusals before anybody can log them."""

import asyncio
import logging

import orjson
import pytest
from aiohttp import web

from ven_adapters.transport.http.problems import MOST_CHARACTERS, discreet, parse_problem
from vtn.listening.http import listening
from vtn.listening.sockets import ListenAddress


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("vehicle 1ZZZZ9ZZ9Z1000042 sleeps", "vehicle [VIN] sleeps"),
        ("vehicle 1zzzz9zz9z1000042 sleeps", "vehicle [VIN] sleeps"),
        ("vin_1ZZZZ9ZZ9Z1000042_sleeps", "vin_[VIN]_sleeps"),
        ("at 37.774931,-122.419416", "at [place],[place]"),
        ("ask jo.doe+ev@mail.example.org", "ask [address]"),
        ("power_w: must be 0..11500, is 7.5", "power_w: must be 0..11500, is 7.5"),
        ("setting.current_a: 6 A is the least", "setting.current_a: 6 A is the least"),
        ("THIRD_PARTY_INTERFERENCE", "THIRD_PARTY_INTERFERENCE"),
        ("request 12345678901234567", "request 12345678901234567"),
    ],
)
def test_vins_places_and_addresses_go_and_the_rest_stays(said, kept):
    assert discreet(said) == kept


@pytest.mark.parametrize("text", ["x", "a@", "a.b@c", "1.", "A1"])
def test_a_text_from_outside_is_bounded_and_costs_its_length_alone(text):
    assert len(discreet(text * 100_000)) == MOST_CHARACTERS  # what tried again at every place would take minutes


def test_a_problem_document_is_told_discreetly():
    body = orjson.dumps({"code": "ASLEEP", "detail": "1ZZZZ9ZZ9Z1000042 sleeps"})
    assert parse_problem(409, body).detail == "[VIN] sleeps"


async def test_what_is_no_http_leaves_none_of_its_bytes_in_a_log(caplog):
    caplog.set_level(logging.INFO)
    async with listening(web.Application(), ListenAddress("127.0.0.1", 0)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer hush\r\n\r\n")
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert "no HTTP" in caplog.text
    assert "hush" not in caplog.text
