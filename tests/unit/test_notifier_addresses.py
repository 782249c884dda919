"""Which addresses callbacks may be made to."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.notifiers.addresses import refusal
from vtn.notifiers.webhook import retry_delay_s


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("::ffff:192.168.1.1", "private"),
        ("64:ff9b::c0a8:101", "private"),
        ("2002:c0a8:0101::1", "private"),
        ("fec0::1", "private"),
        ("fd12:3456::1", "unique-local"),
        ("fc00::1", "unique-local"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("168.63.129.16", "metadata"),
        ("100.100.100.200", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("192.0.0.192", "metadata"),
        ("192.0.0.170", "reserved"),
        ("64:ff9b:1::a00:1", "private"),
        ("::ffff:0:127.0.0.1", "loopback"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "reserved"),  # noqa: S104 - an address to refuse
        ("0.1.2.3", "reserved"),
        ("::", "reserved"),
        ("100.64.0.1", "reserved"),
        ("192.0.2.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("2001:db8::1", "reserved"),
        ("", "not an IP address"),
        ("localhost", "not an IP address"),
    ],
)
def test_callbacks_into_the_vtns_own_surroundings_are_refused(address, reason):
    assert reason in (refusal(address) or "")


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"])
def test_callbacks_into_the_world_are_allowed(address):
    assert refusal(address) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_can_be_opened_for_a_local_site(address):
    assert refusal(address, allow_loopback=True) is None


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "fd00::1", "0.1.2.3"])
def test_opening_loopback_opens_nothing_else(address):
    assert refusal(address, allow_loopback=True)


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
