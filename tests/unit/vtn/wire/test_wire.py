"""Wire values: numbers keep their digits, and times never overflow."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.wire import document
from vtn.wire.interval import END_OF_TIME, FOREVER, Span, parse_date_time, parse_duration, parse_start, print_date_time

NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["0.170", "1e3", "1.0", "1", "-0", "-0.0", "12345678901234567890123", "1E-7", "123456789012345678"]
)
def test_a_number_comes_back_digit_for_digit(text):
    body = f'{{"values":[{text}]}}'.encode()
    assert document.render(document.parse(body)) == body


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
def test_what_was_rendered_is_parsed_to_the_same_value(value):
    assert document.parse(document.render(value)) == value


@pytest.mark.parametrize("text", [b"{", b"", b"NaN", b"[Infinity]", b"1e999", b"\xff", b"[" * 100_000, b"{'a':1}"])
def test_what_is_not_json_is_refused_with_a_reason(text):
    with pytest.raises(ValueError, match=r"."):
        document.parse(text)


@pytest.mark.parametrize(("depth", "deep"), [(64, False), (65, True), (500, True)])
def test_a_text_may_be_64_levels_deep(depth, deep):
    text = b"[" * depth + b"]" * depth
    if deep:
        with pytest.raises(ValueError, match="too deeply"):
            document.parse(text)
    else:
        assert document.render(document.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("PT1H", Span(exact=timedelta(hours=1))),
        ("P1W", Span(exact=timedelta(weeks=1))),
        ("P1Y2M3DT4H5M6.5S", Span(14, timedelta(days=3, hours=4, minutes=5, seconds=6.5))),
        ("-PT5M", Span(exact=-timedelta(minutes=5))),
        ("P9999Y", FOREVER),
        ("PT0S", Span()),
    ],
)
def test_durations_are_read(text, span):
    assert parse_duration(text) == span


def test_months_end_on_the_last_day_there_is():
    assert parse_duration("P1M").after(datetime(2026, 1, 31, tzinfo=UTC)) == datetime(2026, 2, 28, tzinfo=UTC)


@given(st.integers(0, 10**9), st.sampled_from(["Y", "M", "D", "W"]))
def test_no_duration_overflows_the_calendar(amount, unit):
    assert NOON <= parse_duration(f"P{amount}{unit}").after(NOON) <= END_OF_TIME


def test_a_start_in_the_year_one_means_now():
    assert parse_start("0001-01-01") is None
    assert parse_start("2026-07-15T05:00:00-07:00") == NOON


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_are_printed_and_parsed_alike(at):
    assert parse_date_time(print_date_time(at)) == at


@pytest.mark.parametrize("text", ["2016-12-31T23:59:60Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_odd_but_valid_date_times_are_read_without_overflow(text):
    assert parse_date_time(text).tzinfo is UTC


@pytest.mark.parametrize("text", [f"P{'9' * 5000}D", f"PT{'9' * 5000}M", f"P{'9' * 5000}M", f"PT{'9' * 5000}S"])
def test_a_duration_of_thousands_of_digits_is_beyond_the_calendar_and_no_fault(text):
    assert parse_duration(text).after(NOON) == END_OF_TIME


def test_leading_zeros_do_not_make_a_duration_longer():
    assert parse_duration(f"P{'0' * 5000}1D") == Span(exact=timedelta(days=1))


@pytest.mark.parametrize("body", [rb'{"a":"\ud800"}', rb'{"a":["\udc00x"]}', rb'{"\ud800":1}'])
def test_half_of_a_surrogate_pair_is_refused_because_it_could_not_be_written_again(body):
    with pytest.raises(ValueError, match="surrogate"):
        document.parse(body)


def test_a_whole_surrogate_pair_is_one_character():
    assert document.parse(rb'{"a":"\ud83d\ude97"}') == {"a": "\U0001f697"}
