"""When reports are due and what they cover: User Guide 7.5, 8.7, 8.8 with readings TR-91 and TR-92."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timeline_cases import AT_DAY, DAY, HOUR, event

from vtn.rules import timeline
from vtn.rules.timeline import due_reports, is_ad_hoc
from vtn.wire.interval import END_OF_TIME
from vtn.wire.values import ReportDescriptor


def due(one, *, read_at=DAY - HOUR, since=DAY - HOUR, until=DAY + 240 * HOUR, **fields):
    descriptor = ReportDescriptor.model_validate({"payloadType": "USAGE", **fields})
    found = due_reports(one, descriptor, read_at=read_at, since=since, until=until, seed=None)
    return [((r.at - DAY) / HOUR, [w.position for w in r.windows]) for r in found]


FOUR, SIX = event([1, 2, 3, 4], period=AT_DAY), event([1, 2, 3, 4, 5, 6], period=AT_DAY)
LOOP = event([1, 2, 3], period=AT_DAY, duration="PT9H")
CASES = {
    "all defaults: after the last interval": (FOUR, {}, [(4, [0, 1, 2, 3])]),
    "a forecast of all is due before the first": (FOUR, {"historical": False}, [(0, [0, 1, 2, 3])]),
    "a report every two intervals": (
        SIX,
        {"startInterval": 1, "numIntervals": 2, "frequency": 2, "repeat": 3},
        [(2, [0, 1]), (4, [2, 3]), (6, [4, 5])],
    ),
    "frequency left out is the number of intervals": (
        SIX,
        {"startInterval": 1, "numIntervals": 2, "repeat": -1},
        [(2, [0, 1]), (4, [2, 3]), (6, [4, 5])],
    ),
    "repeat bounds the reports": (SIX, {"startInterval": 0, "numIntervals": 1, "repeat": 2}, [(1, [0]), (2, [1])]),
    "a rolling forecast": (
        SIX,
        {"startInterval": 0, "numIntervals": 3, "frequency": 1, "repeat": 3, "historical": False},
        [(0, [0, 1, 2]), (1, [1, 2, 3]), (2, [2, 3, 4])],
    ),
    "a forecast ends with the event": (
        FOUR,
        {"startInterval": 2, "numIntervals": 9, "historical": False},
        [(2, [2, 3])],
    ),
    "a looping set reports after every lap": (LOOP, {}, [(3, [0, 1, 2]), (6, [3, 4, 5]), (9, [6, 7, 8])]),
    "a cut set reports when the event ends": (
        event([1, 2, 3], period=AT_DAY, duration="PT90M"),
        {},
        [(1.5, [0, 1])],
    ),
    "frequency 0 is left to the VEN": (FOUR, {"frequency": 0}, []),
    "intervals without payloads count": (event([({}, []), ({}, [])], period=AT_DAY), {}, [(2, [0, 1])]),
}


@pytest.mark.parametrize(("one", "fields", "expected"), CASES.values(), ids=CASES)
def test_reports_are_due(one, fields, expected):
    assert due(one, **fields) == expected


def test_an_event_without_intervals_implies_an_endless_row_of_its_period():
    rolling = {"startInterval": 0, "numIntervals": 48, "historical": False, "frequency": 1, "repeat": -1}
    one = event(period=AT_DAY, reportDescriptors=[{"payloadType": "LOAD_SHED_DELTA_AVAILABLE"}])
    found = due(one, since=DAY + 1000 * HOUR, until=DAY + 1002 * HOUR, **rolling)
    assert [(at, covered[0], len(covered)) for at, covered in found] == [(1000, 1000, 48), (1001, 1001, 48)]


def test_of_the_reports_missed_before_the_event_was_read_only_the_last_is_due_at_once():
    read_at = DAY + timedelta(hours=3.5)
    found = due(SIX, read_at=read_at, since=read_at, startInterval=0, numIntervals=1, repeat=-1)
    assert found == [(3.5, [2]), (4, [3]), (5, [4]), (6, [5])]


def test_nothing_is_due_twice_when_asked_in_pieces():
    whole = due(SIX, startInterval=0, numIntervals=1, repeat=-1)
    edges = [DAY + timedelta(hours=h) for h in (-1, 1.5, 3, 3.2, 7)]
    every = {"startInterval": 0, "numIntervals": 1, "repeat": -1}
    pieces = [report for a, b in pairwise(edges) for report in due(SIX, since=a, until=b, **every)]
    assert pieces == whole


def test_reports_are_numbered_through_the_laps():
    descriptor = ReportDescriptor.model_validate({"payloadType": "USAGE"})
    found = due_reports(LOOP, descriptor, read_at=DAY, since=DAY, until=DAY + 24 * HOUR, seed=None)
    assert [r.number for r in found] == [0, 1, 2]


def test_an_endless_loop_is_scheduled_without_walking_it():
    tariff = event([1, 2], period={"start": "1990-01-01T00:00:00Z", "duration": "PT1S"}, duration="P9999Y")
    assert len(due(tariff, since=DAY, until=DAY + timedelta(seconds=10))) == 5


def test_an_interval_without_end_is_never_reported_on():
    assert due(event([1], period={"start": "0001-01-01", "duration": "P9999Y"}), until=END_OF_TIME) == []


@pytest.mark.parametrize(
    ("one", "frequency", "ad_hoc"),
    [
        (FOUR, 0, True),
        (FOUR, 1, False),
        (event(), 1, True),
        (event(period={"start": "0001-01-01", "duration": "PT0H"}), 1, True),
        (event(period=AT_DAY), 1, False),
    ],
)
def test_the_ven_chooses_when_there_is_nothing_to_count(one, frequency, ad_hoc):
    descriptor = ReportDescriptor.model_validate({"payloadType": "USAGE", "frequency": frequency})
    assert is_ad_hoc(one, descriptor) is ad_hoc


NUMBERS = st.none() | st.sampled_from([-1, 0, 1, 2, 3, 2**31 - 1])


@settings(max_examples=100)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.sampled_from([FOUR, LOOP, event(period=AT_DAY)]))
def test_any_legal_descriptor_is_scheduled_in_order(first, count, frequency, repeat, historical, one):
    numbers = {"startInterval": first, "numIntervals": count, "frequency": frequency, "repeat": repeat}
    given_numbers = {name: value for name, value in numbers.items() if value is not None}
    found = due(one, until=DAY + 30 * HOUR, historical=historical, **given_numbers)
    assert found == sorted(found)
    assert all(covered for _, covered in found)
    assert repeat != 0 or not found


def test_what_reports_cover_is_worked_out_when_they_are_made(monkeypatch):
    """A day of milliseconds, with a report on all that was before at each of them, is planned at once."""
    made = []
    whole = timeline._whole
    monkeypatch.setattr(timeline, "_whole", lambda *given: made.append(given) or whole(*given))
    tiny = event([1], period={**AT_DAY, "duration": "PT0.001S"}, duration="PT24H")
    asked = ReportDescriptor.model_validate(
        {"payloadType": "USAGE", "startInterval": 0, "numIntervals": 2**31 - 1, "frequency": 1, "repeat": -1}
    )
    found = due_reports(tiny, asked, read_at=DAY, since=DAY, until=DAY + 24 * HOUR, seed=None)
    assert (len(found), made) == (timeline.MOST_DUE, [])
    assert [len(list(found[number].windows)) for number in (0, 9, 9)] == [1, 10, 10]
