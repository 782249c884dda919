"""3.1 events written out for OpenADR 3.0.1: loops, packed values, chained lengths, and what comes back unchanged."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtn.rules.admission import Strictness, admit
from vtn.rules.compat30 import events, objects, periods
from vtn.rules.compat30.objects import Around
from vtn.rules.compat30.side import NOTHING
from vtn.rules.compat30.unrolling import MOST_INTERVALS, MOST_VALUES, WINDOW, unrolled
from vtn.wire import document
from vtn.wire.enumerations import ObjectType
from vtn.wire.interval import parse_date_time, parse_duration
from vtn.wire.model import NOW

EVENT = ObjectType.EVENT
AT = "2026-07-15T12:00:00.000000Z"
LATER = datetime(2026, 7, 20, 9, 30, tzinfo=UTC)
NOON = "2026-07-15T12:00:00Z"
METADATA = {"id": "x", "createdDateTime": AT, "modificationDateTime": AT}


def price(*values, kind="PRICE"):
    return [{"type": kind, "values": list(values)}]


def period(start=NOON, duration="PT1H", **more):
    return {"start": start, "duration": duration, **more}


def read(body):
    inward = objects.read(EVENT, document.parse(document.render(body)), is_bl=True)
    assert inward.faults == ()
    return admit(EVENT, inward.content, is_bl=True, strictness=Strictness(lenient_descriptors=True))


def show(content, *, now=LATER):
    return objects.show(EVENT, content, NOTHING, Around(now))


def without_metadata(content):
    return {key: value for key, value in content.items() if key not in METADATA}


def event(**content):
    return {**METADATA, "programID": "p1", **content}


def hours(count, **more):
    return [{"id": number, "payloads": price(number), **more} for number in range(count)]


def spans(intervals):
    return [
        (
            one["id"],
            one["intervalPeriod"]["start"][:19],
            one["intervalPeriod"]["duration"],
            one["payloads"][0]["values"],
        )
        for one in intervals
    ]


def shown(content, now=LATER):
    return show(content, now=now)["intervals"]


def test_an_event_without_intervals_has_an_empty_list():
    assert shown(event(reportDescriptors=[{"payloadType": "USAGE"}])) == []


def test_a_period_without_a_start_says_now_and_takes_the_length_around_it():
    content = event(
        intervals=[{"id": 0, "intervalPeriod": {}, "payloads": price(1)}], intervalPeriod={"duration": "PT5M"}
    )
    assert show(content)["intervalPeriod"] == period(NOW, "PT5M")
    assert shown(content)[0]["intervalPeriod"] == period(NOW, "PT5M")


def test_the_first_interval_takes_the_start_of_the_event():
    content = event(
        intervalPeriod=period(), intervals=[{"id": 0, "intervalPeriod": {"duration": "PT5M"}, "payloads": price(1)}]
    )
    assert shown(content)[0]["intervalPeriod"] == period(NOON, "PT5M")


def test_a_finite_loop_is_written_out_to_its_end():
    content = event(intervalPeriod=period(), duration="PT5H", intervals=hours(2))
    assert spans(shown(content)) == [
        (0, "2026-07-15T12:00:00", "PT1H", [0]),
        (1, "2026-07-15T13:00:00", "PT1H", [1]),
        (2, "2026-07-15T14:00:00", "PT1H", [0]),
        (3, "2026-07-15T15:00:00", "PT1H", [1]),
        (4, "2026-07-15T16:00:00", "PT1H", [0]),
    ]


def test_a_duration_that_cuts_an_interval_shortens_it():
    content = event(intervalPeriod=period(), duration="PT1H30M", intervals=hours(3))
    assert spans(shown(content)) == [
        (0, "2026-07-15T12:00:00", "PT1H", [0]),
        (1, "2026-07-15T13:00:00", "PT30M", [1]),
    ]


def test_a_duration_that_changes_nothing_leaves_the_intervals_as_they_stand():
    content = event(intervalPeriod=period(), duration="PT2H", intervals=hours(2))
    assert shown(content) == hours(2)
    assert "duration" not in show(content)


def test_an_endless_loop_is_a_window_that_moves_with_now():
    content = event(intervalPeriod=period(), duration="P9999Y", intervals=hours(24))
    first = shown(content)
    assert first[0]["id"] == 117
    assert spans(first)[0] == (117, "2026-07-20T09:00:00", "PT1H", [21])
    assert len(first) == WINDOW // timedelta(hours=1) + 1
    second = shown(content, LATER + timedelta(hours=5))
    assert [one for one in second if one in first] == second[:-5]


def test_before_it_starts_an_endless_loop_shows_its_beginning():
    content = event(intervalPeriod=period(), duration="P9999Y", intervals=hours(24))
    assert shown(content, parse_date_time("2020-01-01T00:00:00Z"))[0]["id"] == 0


def test_a_very_long_loop_shows_its_last_week_when_it_is_over():
    content = event(intervalPeriod=period(), duration="P1Y", intervals=hours(24))
    over = shown(content, datetime(2031, 1, 1, tzinfo=UTC))
    assert over[-1]["intervalPeriod"]["start"].startswith("2027-07-15T11")
    assert len(over) == 7 * 24


def test_a_window_holds_a_whole_lap_even_if_that_is_a_month():
    days = [{"id": n, "payloads": price(n)} for n in range(28)]
    content = event(intervalPeriod=period(duration="P1D"), duration="P9999Y", intervals=days)
    assert len(shown(content)) == 29


def test_no_window_is_longer_than_its_bound():
    content = event(intervalPeriod=period(duration="PT1S"), duration="P9999Y", intervals=hours(2))
    assert len(shown(content)) == MOST_INTERVALS


def test_a_loop_of_large_intervals_shows_fewer_of_them():
    large = [{"id": n, "payloads": price(n) * 1000} for n in range(2)]
    content = event(intervalPeriod=period(duration="PT1S"), duration="P9999Y", intervals=large)
    assert len(shown(content)) * 1000 == MOST_VALUES


def test_values_that_would_become_too_much_are_not_split():
    payloads = [payload for count in range(100, 300) for payload in price(*range(count))]
    packed = [{"id": 4, "payloads": payloads}]
    assert shown(event(intervalPeriod=period(), intervals=packed)) == packed


@pytest.mark.parametrize("kind", ["PRICE", "EXPORT_PRICE", "GHG"])
def test_packed_values_are_split_into_intervals(kind):
    packed = [{"id": 5, "payloads": price(1, 2, 3, kind=kind)}, {"id": 6, "payloads": price(4, kind=kind)}]
    content = event(intervalPeriod=period(), intervals=packed)
    assert spans(shown(content)) == [
        (0, "2026-07-15T12:00:00", "PT20M", [1]),
        (1, "2026-07-15T12:20:00", "PT20M", [2]),
        (2, "2026-07-15T12:40:00", "PT20M", [3]),
        (3, "2026-07-15T13:00:00", "PT1H", [4]),
    ]


def test_payloads_packed_differently_are_split_wherever_one_of_them_changes():
    payloads = [*price(1, 2), *price(7, 8, 9, kind="GHG"), {"type": "X_PRIVATE", "values": [1, 2]}]
    parts = shown(event(intervalPeriod=period(), intervals=[{"id": 0, "payloads": payloads}]))
    assert [[payload["values"] for payload in part["payloads"]] for part in parts] == [
        [[1], [7], [1, 2]],
        [[1], [8], [1, 2]],
        [[2], [8], [1, 2]],
        [[2], [9], [1, 2]],
    ]
    assert [part["intervalPeriod"]["duration"] for part in parts] == ["PT20M", "PT10M", "PT10M", "PT20M"]


def test_values_of_an_interval_without_end_cannot_be_split():
    content = event(intervalPeriod=period(duration="P9999Y"), intervals=[{"id": 3, "payloads": price(1, 2)}])
    assert shown(content) == [{"id": 3, "payloads": price(1, 2)}]


def test_lengths_that_follow_each_other_get_their_starts():
    lengths = [{"id": n, "intervalPeriod": {"duration": f"PT{n + 1}H"}, "payloads": price(n)} for n in range(3)]
    assert spans(shown(event(intervalPeriod=period(), intervals=lengths))) == [
        (0, "2026-07-15T12:00:00", "PT1H", [0]),
        (1, "2026-07-15T13:00:00", "PT2H", [1]),
        (2, "2026-07-15T15:00:00", "PT3H", [2]),
    ]


def test_now_counts_from_the_last_modification_where_it_must_be_written_out():
    content = event(intervalPeriod=period(NOW), intervals=[{"id": 0, "payloads": price(1, 2)}])
    assert spans(shown(content))[0][1] == AT[:19]


def test_randomized_starts_are_carried():
    content = event(intervalPeriod=period(randomizeStart="PT5M"), duration="PT2H", intervals=hours(1))
    assert show(content)["intervalPeriod"]["randomizeStart"] == "PT5M"


INTERVALS = st.lists(
    st.builds(
        lambda number, values, kind, own: {
            "id": number,
            "payloads": price(*values, kind=kind),
            **({"intervalPeriod": own} if own is not None else {}),
        },
        st.integers(-3, 9),
        st.lists(st.integers(0, 9), min_size=1, max_size=3),
        st.sampled_from(["PRICE", "GHG", "CTA2045_REBOOT"]),
        st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "start": st.sampled_from([NOON, NOW, "2026-07-15T18:00:00+02:00", "9999-12-31T23:00:00Z"]),
                "duration": st.sampled_from(["PT0S", "PT1H", "P1M", "P9999Y", "-PT1H", "PT0.5S"]),
            },
        ),
    ),
    max_size=4,
)
EVENTS = st.builds(
    lambda intervals, own, duration: event(
        intervals=intervals,
        **({"intervalPeriod": own} if own is not None else {}),
        **({"duration": duration} if duration is not None else {}),
    ),
    INTERVALS,
    st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "start": st.sampled_from([NOON, NOW, "0001-01-01T00:00:01Z"]),
            "duration": st.sampled_from(["PT0S", "PT1H", "P1D", "P9999Y", "PT0.001S"]),
        },
    ),
    st.none() | st.sampled_from(["PT0S", "PT90M", "P3D", "P2Y", "P9999Y", "-P1D"]),
)
INSTANTS = st.sampled_from([LATER, parse_date_time(AT), parse_date_time(NOW), datetime(9999, 12, 31, tzinfo=UTC)])


@settings(max_examples=300)
@given(EVENTS, INSTANTS)
def test_every_event_can_be_shown_whole_and_bounded(content, now):
    found = show(content, now=now)
    assert len(found["intervals"]) <= max(MOST_INTERVALS, len(content["intervals"]) * 6)
    assert "duration" not in found
    for one in [found, *found["intervals"]]:
        if "intervalPeriod" in one:
            assert {"start", "duration"} <= one["intervalPeriod"].keys()
            assert not parse_duration(one["intervalPeriod"]["duration"]).infinite


@settings(max_examples=200)
@given(EVENTS, INSTANTS)
def test_the_same_interval_has_the_same_id_at_every_reading(content, now):
    written = unrolled(content)
    if written is None:
        return
    first = {one["id"]: one for one in shown(content, now)}
    second = {one["id"]: one for one in shown(content, LATER)}
    assert all(first[number] == second[number] for number in first.keys() & second.keys())


@settings(max_examples=300)
@given(EVENTS, INSTANTS)
def test_an_event_that_comes_back_as_it_was_shown_keeps_its_timing(content, now):
    held = content
    body = without_metadata(show(content, now=now))
    inward = objects.read(EVENT, body, is_bl=True)
    again = events.keeping_unseen(inward.content, held)
    written = unrolled(held)
    if written is None or written.whole:
        assert {key: again.get(key) for key in events.TIMING} == {key: held.get(key) for key in events.TIMING}


def test_an_endless_tariff_survives_a_change_of_its_priority():
    held = event(intervalPeriod=period(), duration="P9999Y", intervals=hours(24), priority=3)
    content = read({**without_metadata(show(held)), "priority": 1})
    assert events.keeping_unseen(content, held) == without_metadata({**held, "priority": 1})


@pytest.mark.parametrize("where", [0, 5, -1])
def test_a_tariff_that_a_301_client_changes_is_what_it_wrote(where):
    held = event(intervalPeriod=period(), duration="P9999Y", intervals=hours(24))
    body = without_metadata(show(held))
    body["intervals"][where] = {**body["intervals"][where], "payloads": price(99)}
    content = read(body)
    assert events.keeping_unseen(content, held) == content
    assert "duration" not in content


def test_an_interval_less_of_a_finite_loop_is_a_change():
    held = event(intervalPeriod=period(), duration="PT5H", intervals=hours(2))
    body = without_metadata(show(held))
    content = read({**body, "intervals": body["intervals"][:-1]})
    assert events.keeping_unseen(content, held) == content


def test_report_intervals_survive_a_301_write():
    held = event(intervals=[], reportDescriptors=[{"payloadType": "USAGE", "reportIntervals": "SUB_INTERVALS"}])
    body = without_metadata(show(held))
    assert body["reportDescriptors"] == [{"payloadType": "USAGE"}]
    written_out = {"payloadType": "USAGE", "units": None, "historical": True, "repeat": 1, "frequency": -1}
    content = read({**body, "reportDescriptors": [written_out, {"payloadType": "DEMAND"}]})
    kept = events.keeping_unseen(content, held)["reportDescriptors"]
    assert kept == [{**written_out, "reportIntervals": "SUB_INTERVALS"}, {"payloadType": "DEMAND"}]


@given(st.timedeltas(timedelta(days=-400), timedelta(days=4000)))
def test_lengths_are_printed_as_they_are_read(length):
    span = parse_duration(periods.print_duration(length))
    assert abs(span.exact - length) <= timedelta(microseconds=1)
