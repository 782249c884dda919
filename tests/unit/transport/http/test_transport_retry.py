from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.http.retry import RetryPolicy, decide, full_bucket, take

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
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
    bucket = full_bucket(2, 0.1, NOON)
    bucket, first_s = take(bucket, NOON)
    bucket, second_s = take(bucket, NOON)
    bucket, third_s = take(bucket, NOON)
    assert (first_s, second_s, third_s) == (0.0, 0.0, 10.0)
    assert take(bucket, NOON + timedelta(seconds=10))[1] == 0.0


@given(st.lists(st.floats(0.0, 20.0), max_size=40))
@settings(max_examples=50)
def test_a_bucket_never_gives_more_than_burst_and_rate_allow(gaps_s):
    bucket, now, given_out = full_bucket(3, 0.2, NOON), NOON, 0
    for gap_s in gaps_s:
        now += timedelta(seconds=gap_s)
        bucket, wait_s = take(bucket, now)
        given_out += wait_s == 0.0
    assert given_out <= 3 + 0.2 * (now - NOON).total_seconds() + 1e-6


def test_a_clock_that_steps_back_gives_nothing_away():
    bucket, _ = take(full_bucket(1, 1.0, NOON), NOON)
    bucket, wait_s = take(bucket, NOON - timedelta(hours=1))
    assert wait_s == 1.0


def test_a_clock_that_steps_back_keeps_nobody_waiting():
    bucket, _ = take(full_bucket(1, 1.0, NOON), NOON)
    bucket, wait_s = take(bucket, NOON - timedelta(hours=1))
    assert take(bucket, NOON - timedelta(hours=1) + timedelta(seconds=wait_s))[1] == 0.0
