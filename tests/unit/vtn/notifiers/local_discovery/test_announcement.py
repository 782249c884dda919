"""What a VTN says of itself on its own network: the TXT record and the addresses, as tables."""

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtn.config import Discovery, Settings
from vtn.notifiers.local_discovery.records import LONGEST_TEXT_BYTES, ServicePlace, local_addresses, place, text_record

HERE = ServicePlace("evtn", 8443, "openadr3/3.1.0", secure=True, requires_auth=True)
EVERYWHERE_V4 = "0.0.0.0"  # noqa: S104 - a setting, nobody listens
TLS = {"certificate": "server.pem", "private_key": "server.key"}


def test_the_text_record_has_the_standards_keys_and_spelling():
    assert text_record(HERE, ["local", "prices"]) == {
        "version": "3.1.0",
        "base_path": "openadr3/3.1.0",
        "local_url": "https://evtn.local:8443/openadr3/3.1.0",
        "program_names": "local,prices",
        "requires_auth": "True",
        "openapi_url": "https://evtn.local:8443/openadr3/3.1.0/openapi.json",
    }


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], ""),
        (["a"], "a"),
        (["a,b", "c"], "c"),
        (["", "c"], "c"),
        (["x" * 241], "x" * 241),
        (["x" * 242], ""),
        (["x" * 242, "fits"], "fits"),
        (["é" * 120], "é" * 120),
        (["é" * 121], ""),
        (["x" * 239, "y"], "x" * 239 + ",y"),
        (["x" * 240, "y"], "x" * 240),
        (["a b", "c=d"], "a b,c=d"),
    ],
)
def test_program_names_are_whole_or_left_out(names, told):
    assert text_record(HERE, names)["program_names"] == told


@settings(max_examples=50)
@given(st.lists(st.text(min_size=1, max_size=128), max_size=30, unique=True))
def test_no_string_of_the_record_is_longer_than_dns_allows(names):
    record = text_record(HERE, names)
    assert all(len(f"{key}={value}".encode()) <= LONGEST_TEXT_BYTES for key, value in record.items())
    told = record["program_names"].split(",") if record["program_names"] else []
    assert told == [name for name in names if name in told]


@pytest.mark.parametrize(
    ("chosen", "url", "requires_auth"),
    [
        ({"server": TLS}, "https://evtn.local:4711/openadr3/3.1.0", "True"),
        ({}, "http://evtn.local:4711/openadr3/3.1.0", "True"),
        ({"auth": {"anonymous_read": True}}, "http://evtn.local:4711/openadr3/3.1.0", "False"),
        ({"discovery": {"name": "Home-7"}}, "http://Home-7.local:4711/openadr3/3.1.0", "True"),
    ],
)
def test_the_url_is_the_one_that_answers(chosen, url, requires_auth):
    record = text_record(place(Settings(**chosen), 4711, "/openadr3/3.1.0"), [])
    assert (record["local_url"], record["requires_auth"]) == (url, requires_auth)


@pytest.mark.parametrize(
    ("chosen", "found", "addresses"),
    [
        ({"discovery": {"addresses": ["192.0.2.7", "2001:db8::7"]}}, ["192.0.2.9"], ["192.0.2.7", "2001:db8::7"]),
        ({}, ["192.0.2.9"], ["127.0.0.1"]),
        ({"server": {"host": "localhost"}}, ["192.0.2.9"], ["127.0.0.1"]),
        ({"server": {"host": "192.0.2.7", **TLS}}, ["192.0.2.9"], ["192.0.2.7"]),
        (
            {"server": {"host": EVERYWHERE_V4, **TLS}},
            ["127.0.0.1", "192.0.2.9", "fe80::1", "169.254.3.4", "192.0.2.8"],
            ["192.0.2.8", "192.0.2.9"],
        ),
        ({"server": {"host": "::", **TLS}}, ["::1", "2001:db8::9"], ["2001:db8::9"]),
    ],
)
def test_the_addresses_are_those_that_others_can_reach(chosen, found, addresses):
    assert local_addresses(Settings(**chosen), lambda: found) == addresses


@pytest.mark.parametrize("name", ["", "evtn.local", "-evtn", "evtn-", "ev tn", "é", "x" * 64])
def test_a_name_that_is_no_host_name_is_refused(name):
    with pytest.raises(pydantic.ValidationError):
        Discovery(name=name)


@pytest.mark.parametrize("name", ["evtn", "E", "site-7-vtn", "x" * 63])
def test_a_host_name_is_taken(name):
    assert Discovery(name=name).name == name
