import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.http.retry import RetryPolicy, decide
from vtn.limits import Limit

NOON_S = 1_782_907_200.0
POLICY = RetryPolicy(attempts=4, base_s=0.5, cap_s=8.0, patience_s=30.0)
CHANCE = st.floats(0.0, 1.0, exclude_max=True)


@given(st.sampled_from(list(ErrorCode)), st.integers(1, 6), CHANCE)
@settings(max_examples=100)
def test_only_what_is_retryable_and_cannot_have_happened_is_sent_again(code, attempt, chance):
    error = BackendError(code, "x")
    decision = decide(error, attempt, POLICY, chance)
    assert decision.again == (error.retryable and not error.may_have_happened and attempt < POLICY.attempts)


@given(st.integers(1, 3), CHANCE)
@settings(max_examples=50)
def test_the_wait_is_spread_over_the_whole_of_a_growing_span(attempt, chance):
    decision = decide(BackendError(ErrorCode.BACKEND_TRANSIENT, "x"), attempt, POLICY, chance)
    assert decision.wait_s == pytest.approx(chance * 0.5 * 2 ** (attempt - 1))


@given(st.floats(0.0, 100.0), CHANCE)
@settings(max_examples=50)
def test_a_named_wait_is_never_cut_short(named_s, chance):
    decision = decide(BackendError(ErrorCode.RATE_LIMITED, "x", retry_after_s=named_s), 1, POLICY, chance)
    assert decision.wait_s >= named_s
    assert decision.again == (decision.wait_s <= POLICY.patience_s)


def test_a_bucket_gives_its_burst_and_then_its_rate():
    limit = Limit(2, 0.1)
    assert [limit.wait_s("x", NOON_S) for _ in range(3)] == [0.0, 0.0, pytest.approx(10.0, abs=1e-5)]
    assert limit.wait_s("x", NOON_S + 10) == 0.0


@given(st.lists(st.floats(0.0, 20.0), max_size=40))
@settings(max_examples=50)
def test_a_bucket_never_gives_more_than_burst_and_rate_allow(gaps_s):
    limit, now_s, given_out = Limit(3, 0.2), NOON_S, 0
    for gap_s in gaps_s:
        now_s += gap_s
        given_out += limit.wait_s("x", now_s) == 0.0
    assert given_out <= 3 + 0.2 * (now_s - NOON_S) + 1e-3


def test_a_clock_that_steps_back_gives_nothing_away():
    limit = Limit(1, 1.0)
    limit.wait_s("x", NOON_S)
    assert limit.wait_s("x", NOON_S - 3600) == pytest.approx(1.0, abs=1e-5)


def test_a_clock_that_steps_back_keeps_nobody_waiting():
    limit = Limit(1, 1.0)
    limit.wait_s("x", NOON_S)
    wait_s = limit.wait_s("x", NOON_S - 3600)
    assert limit.wait_s("x", NOON_S - 3600 + wait_s) == 0.0
