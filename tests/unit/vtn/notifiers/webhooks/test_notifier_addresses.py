"""Which addresses callbacks may be made to."""

import ipaddress
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtn.config import Settings
from vtn.notifiers import composition
from vtn.notifiers.webhooks.addresses import refusal
from vtn.scheduling import retry_delay_s

REFUSED = {
    "loopback": [
        *("127.0.0.1", "127.8.8.8", "127.255.255.255", "::1", "::ffff:127.0.0.1", "::127.0.0.1"),
        *("::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
    ],
    "private": [
        *("10.0.0.0", "10.1.2.3", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.0", "192.168.255.255"),
        *("::ffff:192.168.1.1", "::ffff:c0a8:101", "64:ff9b::c0a8:101", "64:ff9b::10.0.0.1", "fec0::1", "feff::1"),
    ],
    "unique-local": ["fd12:3456::1", "fc00::1", "fdff:ffff::1"],
    "link-local": ["169.254.0.1", "169.254.255.254", "fe80::1", "fe80::1%eth0", "febf::1", "::ffff:169.254.1.1"],
    "metadata": [
        *("169.254.169.254", "169.254.169.123", "169.254.169.253", "169.254.170.2", "169.254.170.23"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd00:ec2::253", "168.63.129.16", "fd20:ce::254"),
        *("100.100.100.200", "192.0.0.192", "fd00:c1::a9fe:a9fe", "169.254.0.23", "169.254.42.42", "fd00:42::42"),
        *("fe80::a9fe:a9fe", "fe80::a9fe:a9fe%2", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::169.254.169.254"),
        *("64:ff9b::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "64:ff9b::168.63.129.16"),
    ],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1", "::ffff:224.0.0.1"],
    "broadcast": ["::ffff:255.255.255.255", "64:ff9b::ffff:ffff"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "::2"],  # noqa: S104 - addresses to refuse
    "tunnel": [
        *("2002:7f00:1::", "2002:c0a8:101::1", "2002:808:808::1", "192.88.99.1", "2001::1", "2001:0:5ef5:79fd::1"),
        *("2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1", "fe80::5efe:c0a8:101", "192.52.193.1", "2001:3::1"),
        *("64:ff9b:1::a00:1", "64:ff9b:1:ffff::1"),
    ],
    "shared": ["100.64.0.1", "100.127.255.255", "::ffff:100.64.0.1"],
    "reserved": [
        *("192.0.0.170", "192.0.0.9", "192.0.2.1", "198.51.100.7", "203.0.113.255", "198.18.0.1", "198.19.255.255"),
        *("240.0.0.1", "255.255.255.254", "192.31.196.1", "192.175.48.1"),
        *("2001:db8::1", "2001:db8:ffff::1", "3fff::1", "3fff:fff::1", "5f00::1", "100::1", "100:0:0:1::1"),
        *("2001:2::1", "2001:10::1", "2001:1ff::1", "2620:4f:8000::1", "200::1", "4000::1", "64:ff9b:2::1"),
        *("64:ff9b::192.0.2.1", "8000::1", "f000::1"),
    ],
    "not an IP address": ["", "localhost", "127.1", "0x7f000001", "2130706433", "10.0.0.256", "::g", "1.2.3.4/32"],
}
WORLD = (
    *("93.184.216.34", "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.1"),
    *("192.167.255.255", "192.169.0.0", "100.63.255.255", "100.128.0.0", "169.253.255.255", "169.255.0.0"),
    *("198.17.255.255", "198.20.0.0", "192.88.98.255", "192.88.100.0", "168.63.129.15", "223.255.255.255"),
    *("2606:4700::1111", "2a00:1450:4001::1", "2001:200::1", "2400:cb00::1", "3ffe::1"),
    *("::ffff:8.8.8.8", "64:ff9b::808:808"),
)
CLOSED_FOR_EVER = ("loopback", "metadata", "multicast", "broadcast", "unspecified", "tunnel")
CAN_BE_OPENED = ("private", "unique-local", "link-local", "shared")
WHOLE_INTERNET = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


@pytest.mark.parametrize(("reason", "address"), [(reason, one) for reason, all_ in REFUSED.items() for one in all_])
def test_callbacks_into_the_vtns_own_surroundings_are_refused(reason, address):
    assert reason in (refusal(address) or "")


@pytest.mark.parametrize("address", WORLD)
def test_callbacks_into_the_world_are_allowed(address):
    assert refusal(address) is None


@pytest.mark.parametrize("address", REFUSED["loopback"])
def test_loopback_can_be_opened_for_a_local_site(address):
    assert refusal(address, allow_loopback=True) is None


@pytest.mark.parametrize("address", [one for reason, all_ in REFUSED.items() if reason != "loopback" for one in all_])
def test_opening_loopback_opens_nothing_else(address):
    assert refusal(address, allow_loopback=True)


@pytest.mark.parametrize("address", [one for reason in CAN_BE_OPENED for one in REFUSED[reason]])
def test_a_site_can_open_networks_of_its_own(address):
    assert refusal(address, local_networks=WHOLE_INTERNET) is None


def test_opening_a_network_opens_that_network_only():
    mine = [ipaddress.ip_network("192.168.7.0/24"), ipaddress.ip_network("fd12::/16")]
    for address in ("192.168.7.9", "::ffff:192.168.7.9", "fd12::1"):
        assert refusal(address, local_networks=mine) is None
    for address in ("192.168.8.1", "10.0.0.1", "fd13::1", "127.0.0.1"):
        assert refusal(address, local_networks=mine)


def test_the_settings_of_a_site_make_its_guard():
    guard = composition._guard(Settings(webhooks={"local_networks": ["192.168.7.0/24"]}))
    assert guard("192.168.7.9") is None
    assert "private" in guard("192.168.8.9")
    assert "loopback" in guard("127.0.0.1")
    assert composition._guard(Settings(webhooks={"allow_loopback": True}))("127.0.0.1") is None


@pytest.mark.parametrize("address", [one for reason in CLOSED_FOR_EVER for one in REFUSED[reason]])
def test_no_setting_opens_what_is_closed_for_ever(address):
    assert refusal(address, local_networks=WHOLE_INTERNET)


SPECIAL = (
    "127.0.0.0",
    "10.0.0.0",
    "169.254.169.254",
    "100.64.0.0",
    "192.168.0.0",
    "198.18.0.0",
    "224.0.0.0",
    "240.0.0.0",
)
V4 = st.integers(0, 2**32 - 1) | st.builds(
    lambda base, offset: (int(ipaddress.IPv4Address(base)) + offset) % 2**32,
    st.sampled_from(SPECIAL),
    st.integers(-3, 2**16),
)
PREFIXES = (
    "::ffff:0:0",
    "64:ff9b::",
    "::",
    "::ffff:0:0:0",
    "2606:4700::5efe:0:0",
    "2002::",
    "fd00::",
    "fe80::",
    "2001::",
)
V6 = st.integers(0, 2**128 - 1) | st.builds(
    lambda prefix, low: int(ipaddress.IPv6Address(prefix)) | low, st.sampled_from(PREFIXES), V4
)
ADDRESSES = V4.map(ipaddress.IPv4Address) | V6.map(ipaddress.IPv6Address)


def embedded(address):
    """Every IPv4 address that hides in the last bits of an IPv6 address of a form that somebody translates."""
    translated = isinstance(address, ipaddress.IPv6Address) and int(address) >> 32 in {
        int(ipaddress.IPv6Address(prefix)) >> 32 for prefix in PREFIXES[:5]
    }
    return [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)] if translated else []


@settings(max_examples=500)
@given(ADDRESSES)
def test_nothing_passes_that_is_not_global_or_stands_for_what_is_not(address):
    if refusal(str(address)) is None:
        meant = embedded(address) or [address]
        assert all(one.is_global and not one.is_multicast for one in meant)


@settings(max_examples=300)
@given(ADDRESSES, st.lists(V4.map(lambda number: ipaddress.ip_network((number, 24), strict=False)), max_size=2))
def test_opened_networks_let_nothing_pass_that_lies_outside_them(address, opened):
    inside = any(one.version == 4 and one in network for one in (address, *embedded(address)) for network in opened)
    if refusal(str(address), local_networks=opened) is None and not inside:
        assert refusal(str(address)) is None


@given(st.integers(1, 10_000), st.integers(0, 1000))
def test_retries_wait_between_nothing_and_a_doubling_bounded_time(attempt, seed):
    delay_s = retry_delay_s(attempt, 1.0, 300.0, random.Random(seed))
    assert 0 <= delay_s <= min(300.0, 2.0 ** min(attempt - 1, 20))


def test_retry_delays_grow_and_repeat_for_the_same_seed():
    delays = [
        [retry_delay_s(attempt, 1.0, 300.0, random.Random(seed)) for attempt in range(1, 9)] for seed in (3, 3, 4)
    ]
    assert delays[0] == delays[1] != delays[2]
    assert all(later > earlier for earlier, later in zip(delays[0], delays[0][1:], strict=False))
