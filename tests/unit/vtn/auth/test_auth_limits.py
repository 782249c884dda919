"""How often tokens may be asked for: never more than the bucket and its refill, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.auth.limits import PAGE_BYTES, RefusalLimit, TokenLimits, address_name
from vtn.config import Auth
from vtn.limits import Limit


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600, 999])
def test_a_full_bucket_holds_a_minutes_worth(per_minute):
    limit = Limit(per_minute)
    assert sum(limit.wait_s("c1", 1e6) == 0 for _ in range(per_minute + 5)) == per_minute


def test_who_waits_as_long_as_told_is_served():
    limit = Limit(60)
    while not (wait_s := limit.wait_s("c1", 100.0)):
        pass
    assert 0 < wait_s <= 1.0
    assert limit.wait_s("c1", 100.0 + wait_s) == 0


def test_a_refused_request_costs_nothing():
    limit = Limit(1)
    assert limit.wait_s("c1", 0.0) == 0
    assert [limit.wait_s("c1", 1.0) for _ in range(3)] == [pytest.approx(59.0, abs=1e-3)] * 3


def test_one_name_does_not_pay_for_another():
    limit = Limit(1)
    limit.wait_s("c1", 0.0)
    assert limit.wait_s("c2", 0.0) == 0


@given(st.integers(1, 120), st.lists(st.floats(0, 90), max_size=60))
def test_no_span_of_time_sees_more_than_the_bucket_and_its_refill(per_minute, steps):
    limit, now_s, served = Limit(per_minute), 0.0, []
    for step_s in steps:
        now_s += step_s
        if limit.wait_s("c1", now_s) == 0:
            served.append(now_s)
    for first, start_s in enumerate(served):
        for last in range(first, len(served)):
            assert last - first + 1 <= per_minute + per_minute * (served[last] - start_s) / 60 + 1e-3


def test_invented_names_take_no_more_memory_than_the_bound():
    limit = Limit(60, most_names=100)
    for number in range(1000):
        limit.wait_s(f"x{number}", 0.0)
    assert len(limit) <= 100


def test_inventing_names_does_not_refill_a_bucket():
    limit = Limit(60, most_names=100)
    while not limit.wait_s("c1", 0.0):
        pass
    for number in range(1000):
        limit.wait_s(f"x{number}", 0.0)
    assert limit.wait_s("c1", 0.0) > 0


def test_full_buckets_are_forgotten_first():
    limit = Limit(60, most_names=2)
    limit.wait_s("old", 0.0)
    limit.wait_s("c1", 60.0)
    limit.wait_s("c2", 60.0)
    assert len(limit) == 2


@pytest.fixture
def limits():
    return TokenLimits(Auth(tokens_per_minute=2, tokens_per_minute_and_address=5), most_names=10)


def test_a_stranger_cannot_keep_a_client_from_its_tokens(limits):
    assert limits.client_wait_s("c1", "home", 0.0) == 0
    limits.proved("c1", "home")
    while not limits.client_wait_s("c1", "stranger", 0.0):
        pass
    assert limits.client_wait_s("c1", "home", 0.0) == 0


def test_a_client_is_limited_at_home_too(limits):
    limits.proved("c1", "home")
    assert [limits.client_wait_s("c1", "home", 0.0) == 0 for _ in range(3)] == [True, True, False]


def test_homes_are_remembered_in_bounded_memory(limits):
    for number in range(100):
        limits.proved("c1", f"home-{number}")
    assert len(limits._at_home) == 10
    assert "home-99 c1" in limits._at_home


def test_an_address_is_limited_whatever_clients_it_names(limits):
    assert [limits.address_wait_s("a", 0.0) == 0 for _ in range(6)] == [True] * 5 + [False]
    assert limits.address_wait_s("b", 0.0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::1", True),
        (None, "nonsense", True),
    ],
)
def test_an_ipv6_customer_is_one_address(one, other, same):
    assert (address_name(one) == address_name(other)) is same


def test_a_stranger_cannot_spell_the_bucket_of_a_client_at_home():
    limits = TokenLimits(Auth(tokens_per_minute=2))
    limits.proved("c1", "10.0.0.1")
    for _ in range(5):
        limits.client_wait_s("10.0.0.1 c1", "10.9.9.9", 0.0)
    assert limits.client_wait_s("c1", "10.0.0.1", 0.0) == 0


def test_thousands_of_small_faults_are_borne_and_few_large_ones():
    small, large = RefusalLimit(6_000), RefusalLimit(6_000)
    for _ in range(5_999):
        small.refused("c1", 0.0, 500)
    assert small.wait_s("c1", 0.0) == 0
    for _ in range(50):
        large.refused("c1", 0.0, 1_048_576)
    assert large.wait_s("c1", 0.0) > 0
    assert large.wait_s("c2", 0.0) == 0


def test_a_client_with_too_many_refusals_is_let_in_again_when_it_was_told():
    limit = RefusalLimit(60)
    limit.refused("c1", 0.0, 200 * PAGE_BYTES)
    wait_s = limit.wait_s("c1", 0.0)
    assert wait_s == pytest.approx(142.0)
    assert limit.wait_s("c1", wait_s - 0.1) > 0
    assert limit.wait_s("c1", wait_s) == 0


def test_to_be_let_in_costs_nothing():
    limit = RefusalLimit(1)
    assert [limit.wait_s("c1", 0.0) for _ in range(100)] == [0.0] * 100
