"""Event timing: the User Guide's cases (7.3, 7.4, 7.9, 8.5-8.7) and laws that hold for any interval set."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from timeline_cases import AT_DAY, DAY, HOUR, NOW_START, WRITTEN, event, stamp

from vtn.rules.timeline import lifespan_end, transpired, windows
from vtn.wire.interval import END_OF_TIME


def laid(one, *, read_at=DAY, since=DAY - timedelta(days=2), until=DAY + timedelta(days=2), seed=None):
    return list(windows(one, read_at=read_at, since=since, until=until, seed=seed))


def hours(found):
    """(start, end, first value) in hours since DAY."""
    return [
        ((w.start - DAY) / HOUR, None if w.end == END_OF_TIME else (w.end - DAY) / HOUR, w.payloads[0].values[0])
        for w in found
    ]


TIMINGS = {
    "one period for the whole set": (event([1, 2, 3], period=AT_DAY), [(0, 1, 1), (1, 2, 2), (2, 3, 3)]),
    "an interval's own duration moves its followers": (
        event([1, ({"duration": "PT2H"}, [2]), 3], period=AT_DAY),
        [(0, 1, 1), (1, 3, 2), (3, 4, 3)],
    ),
    "an interval's own start leaves a gap": (
        event([1, ({"start": stamp(DAY + 5 * HOUR)}, [2]), 3], period=AT_DAY),
        [(0, 1, 1), (5, 6, 2), (6, 7, 3)],
    ),
    "every interval brings its own period": (
        event([({"start": stamp(DAY + h * HOUR), "duration": "PT30M"}, [h]) for h in (4, 1)]),
        [(4, 4.5, 4), (1, 1.5, 1)],
    ),
    "start zero in a later interval follows the one before": (
        event([({"start": stamp(DAY), "duration": "PT2H"}, [1]), ({"start": "0001-01-01", "duration": "PT1H"}, [2])]),
        [(0, 2, 1), (2, 3, 2)],
    ),
    "start zero in the first interval takes the event's start": (
        event([({"start": "0001-01-01"}, [1])], period={"start": stamp(DAY + 2 * HOUR), "duration": "PT1H"}),
        [(2, 3, 1)],
    ),
    "start zero without an event period means when it was read": (
        event([({"start": "0001-01-01", "duration": "PT1H"}, [1])]),
        [(0, 1, 1)],
    ),
    "an alert from now without end": (event([1], period={"start": "0001-01-01", "duration": "P9999Y"}), [(0, None, 1)]),
    "no timing at all is from now without end": (event([1]), [(0, None, 1)]),
    "three prices packed in three hours last one each": (
        event([({"start": stamp(DAY), "duration": "PT3H"}, [{"type": "PRICE", "values": [0.17, 0.03, 0.11]}])]),
        [(0, 1, 0.17), (1, 2, 0.03), (2, 3, 0.11)],
    ),
    "an optimum load shape is not split": (
        event([{"type": "OLS", "values": [0.2, 0.8]}], period=AT_DAY),
        [(0, 1, 0.2)],
    ),
    "instructions are not split": (
        event([{"type": "DISPATCH_INSTRUCTION", "values": ["a", "b"]}], period=AT_DAY),
        [(0, 1, "a")],
    ),
    "the event's duration cuts the set": (
        event([1, 2, 3], period=AT_DAY, duration="PT90M"),
        [(0, 1, 1), (1, 1.5, 2)],
    ),
    "a longer duration repeats the set and cuts the last lap": (
        event([1, 2], period=AT_DAY, duration="PT5H"),
        [(0, 1, 1), (1, 2, 2), (2, 3, 1), (3, 4, 2), (4, 5, 1)],
    ),
    "a month is a calendar month": (
        event([1], period={"start": stamp(DAY), "duration": "P1M"}),
        [(0, 31 * 24, 1)],
    ),
    "a zero duration is no window": (event([1], period={"start": "0001-01-01", "duration": "PT0S"}), []),
    "no intervals, no windows": (event(period=AT_DAY), []),
}


@pytest.mark.parametrize(("one", "expected"), TIMINGS.values(), ids=TIMINGS)
def test_an_event_is_laid_on_the_calendar(one, expected):
    assert hours(laid(one)) == expected


def test_a_daily_tariff_that_loops_for_ever_is_read_years_later():
    tariff = event(list(range(24)), period={"start": "2020-01-01T00:00:00Z", "duration": "PT1H"}, duration="P9999Y")
    assert hours(laid(tariff, since=DAY + 6 * HOUR, until=DAY + 8 * HOUR)) == [(6, 7, 6), (7, 8, 7)]


def test_a_monthly_loop_stays_on_its_day():
    bill = event([1], period={"start": "2026-01-31T00:00:00Z", "duration": "P1M"}, duration="P9999Y")
    since, until = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    found = laid(bill, since=since, until=until)
    assert [(w.start.month, w.start.day) for w in found] == [(1, 31), (2, 28), (3, 31), (4, 30)]
    assert all(first.end == second.start for first, second in pairwise(found))


def test_an_endless_loop_is_generated_lazily():
    tariff = event([1, 2], period=AT_DAY, duration="P9999Y")
    endless = windows(tariff, read_at=DAY, since=DAY, until=END_OF_TIME, seed=None)
    assert [w.position for w in islice(endless, 5)] == [0, 1, 2, 3, 4]


def test_different_packings_of_one_interval_are_cut_at_every_change():
    payloads = [{"type": "PRICE", "values": [1, 2]}, {"type": "GHG", "values": [7, 8, 9]}]
    found = laid(event([({"start": stamp(DAY), "duration": "PT6H"}, payloads)]))
    rows = [((w.start - DAY) / HOUR, w.payloads[0].values[0], w.payloads[1].values[0]) for w in found]
    assert rows == [(0, 1, 7), (2, 1, 8), (3, 2, 8), (4, 2, 9)]


def test_a_packed_interval_that_the_event_cuts_keeps_the_length_of_its_parts():
    packed = {"type": "PRICE", "values": [1, 2, 3, 4]}
    found = laid(event([packed], period={"start": stamp(DAY), "duration": "PT4H"}, duration="PT90M"))
    assert hours(found) == [(0, 1, 1), (1, 1.5, 2)]


def test_repeated_ids_are_labels_and_positions_count():
    one = event([1, 2], period=AT_DAY)
    one = one.model_copy(update={"intervals": tuple(i.model_copy(update={"id": 5}) for i in one.intervals)})
    assert [(w.interval_id, w.position) for w in laid(one)] == [(5, 0), (5, 1)]


RANDOM = AT_DAY | {"randomizeStart": "PT10M"}


def test_a_random_start_moves_the_whole_set_alike_and_stays_put():
    one = event([1, 2], period=RANDOM)
    first, again = laid(one, seed="ven-a"), laid(one, seed="ven-a")
    assert first == again
    assert first[0].end == first[1].start
    assert timedelta(0) < abs(first[0].start - DAY) <= timedelta(minutes=10)


def test_random_starts_of_many_vens_fill_both_sides_of_the_start():
    shifts = [(laid(event([1], period=RANDOM), seed=f"ven-{n}")[0].start - DAY).total_seconds() for n in range(200)]
    assert min(shifts) < -480
    assert max(shifts) > 480
    assert abs(sum(shifts) / len(shifts)) < 60


def test_an_own_start_moves_with_the_first_interval():
    one = event([1, ({"start": stamp(DAY + 5 * HOUR)}, [2])], period=RANDOM)
    found = laid(one, seed="ven-a")
    assert found[1].start - found[0].start == 5 * HOUR


@pytest.mark.parametrize(
    ("one", "end"),
    [
        (event([1, 2, 3], period=AT_DAY), DAY + 3 * HOUR),
        (event([1, 2, 3], period=AT_DAY, duration="P9999Y"), END_OF_TIME),
        (event([1, 2, 3], period=AT_DAY, duration="PT1H"), DAY + HOUR),
        (event([1], period={"start": "0001-01-01", "duration": "P9999Y"}), END_OF_TIME),
        (event([1], period={"start": "0001-01-01", "duration": "PT0S"}), WRITTEN),
        (event([1], period={"start": "0001-01-01", "duration": "PT2H"}), WRITTEN + 2 * HOUR),
        (event(period=AT_DAY), DAY + HOUR),
        (event(period={"start": "0001-01-01", "duration": "PT0S"}), WRITTEN),
        (event(), END_OF_TIME),
        (event([1]), END_OF_TIME),
        (event([({"start": stamp(DAY)}, [1])]), END_OF_TIME),
        (event(reportDescriptors=[{"payloadType": "USAGE"}]), END_OF_TIME),
        (event(period=AT_DAY, reportDescriptors=[{"payloadType": "USAGE"}]), END_OF_TIME),
        (
            event(
                period={"start": "0001-01-01", "duration": "PT0H"},
                reportDescriptors=[{"payloadType": "STORAGE_CHARGE_LEVEL", "frequency": 0}],
            ),
            END_OF_TIME,
        ),
        (event(period=AT_DAY, duration="P1D", reportDescriptors=[{"payloadType": "USAGE"}]), DAY + 24 * HOUR),
    ],
)
def test_the_life_of_an_event_ends(one, end):
    assert lifespan_end(one) == end


def test_an_event_transpires_at_its_end_and_not_before():
    one = event([1, 2, 3], period=AT_DAY)
    end = DAY + 3 * HOUR
    assert not transpired(one, end - timedelta(microseconds=1))
    assert transpired(one, end)


def test_a_future_event_has_not_transpired():
    assert not transpired(event([1], period={"start": "2030-01-01T00:00:00Z", "duration": "PT1H"}), DAY)


LENGTHS = st.lists(st.integers(min_value=1, max_value=180), min_size=1, max_size=6)


@settings(max_examples=60)
@given(LENGTHS, st.integers(min_value=1, max_value=2000), st.integers(min_value=0, max_value=1500))
def test_a_chain_covers_its_life_without_gap_or_overlap_and_repeats(minutes, total, offset):
    one = event(
        [({"duration": f"PT{m}M"}, [i]) for i, m in enumerate(minutes)],
        period={"start": stamp(DAY)},
        duration=f"PT{total}M",
    )
    end = DAY + timedelta(minutes=total)
    found = laid(one, until=end + HOUR)
    assert found[0].start == DAY
    assert found[-1].end == end
    assert all(first.end == second.start for first, second in pairwise(found))
    assert [w.interval_id for w in found] == [i % len(minutes) for i in range(len(found))]
    whole = [(w.end - w.start) / timedelta(minutes=1) for w in found[:-1]]
    assert whole == [minutes[i % len(minutes)] for i in range(len(found) - 1)]
    since = DAY + timedelta(minutes=offset)
    assert laid(one, since=since, until=since + HOUR) == [w for w in found if w.end > since and w.start < since + HOUR]


@settings(max_examples=40)
@given(st.integers(min_value=1, max_value=50), st.integers(min_value=1, max_value=86400))
def test_packed_values_share_the_interval_exactly(count, seconds):
    packed = {"type": "GHG", "values": list(range(count))}
    found = laid(event([({"start": stamp(DAY), "duration": f"PT{seconds}S"}, [packed])]))
    assert [w.payloads[0].values for w in found] == [(n,) for n in range(count)]
    assert (found[0].start, found[-1].end) == (DAY, DAY + timedelta(seconds=seconds))
    assert all(first.end == second.start for first, second in pairwise(found))


ODD_LENGTHS = st.sampled_from(
    ["PT0S", "-PT1H", "P9999Y", "P99999999W", "P1M", "-P1M", "PT1H", "PT0.000001S", "P12345678901Y", "P3MT1H"]
)
ODD_STARTS = st.sampled_from([NOW_START, stamp(DAY), "0002-01-01T00:00:00Z", "9999-12-31T23:59:59Z", None])
ODD_PERIODS = st.fixed_dictionaries({}, optional={"duration": ODD_LENGTHS, "randomizeStart": ODD_LENGTHS})


def period_of(parts, start):
    return parts | ({"start": start} if start else {})


CENTURIES_BESIDE = [({}, None, 0), ({}, "0002-01-01T00:00:00Z", 2)]
NO_LENGTH_FOR_EVER = [({"duration": "PT0.000001S"}, "9999-12-31T23:59:59Z", 3), ({}, stamp(DAY), 2)]


@example(CENTURIES_BESIDE, {"duration": "PT1H"}, None, "P99999999W")
@example(NO_LENGTH_FOR_EVER, {"duration": "PT0S"}, None, "P99999999W")
@settings(max_examples=150)
@given(
    st.lists(st.tuples(ODD_PERIODS, ODD_STARTS, st.integers(0, 3)), max_size=3),
    ODD_PERIODS,
    ODD_STARTS,
    st.none() | ODD_LENGTHS,
)
def test_no_legal_timing_fails_or_takes_for_ever(intervals, parts, start, duration):
    one = event(
        [(period_of(p, s), [{"type": "GHG", "values": list(range(n))}]) for p, s, n in intervals],
        period=period_of(parts, start),
        **({"duration": duration} if duration else {}),
    )
    found = list(islice(windows(one, read_at=DAY, since=DAY, until=DAY + HOUR, seed="ven"), 50))
    assert all(w.start < w.end and w.end > DAY and w.start < DAY + HOUR for w in found)
    assert transpired(one, DAY) is (lifespan_end(one) <= DAY)
