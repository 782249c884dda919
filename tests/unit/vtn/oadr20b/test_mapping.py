"""Every signal of 2.0b in words of 3.1 and back, valid by both schemas; rules of the header, times and targets."""

import dataclasses
import statistics
from datetime import timedelta

import openadr_spec
import pytest
from oadr20b_cases import HOUR, NOON, POWER, distributed, event, signal

from vtn.oadr20b.codec.decode import decode
from vtn.oadr20b.codec.messages import Code, EiTarget, ItemBase, SignalInterval
from vtn.oadr20b.mapping import targets
from vtn.oadr20b.mapping.events_down import HORIZON, ProgramFacts, body_hash, events_down, present, status_at
from vtn.oadr20b.mapping.events_up import Unmapped, event_up, program_name, program_up, reports_program
from vtn.oadr20b.mapping.signals import SIGNALS, item_of
from vtn.rules.layout import lay_out
from vtn.wire.event import read_event

PROGRAM = ProgramFacts("p1", {"X_20B_MARKET_CONTEXT": "http://utility.example/summer"})
VEN = (EiTarget("venID", "ven"),)
DATES = {"id": "x1", "createdDateTime": "2026-07-01T00:00:00Z", "modificationDateTime": "2026-07-01T00:00:00Z"}


def up(one, **more):
    return event_up("u1", one, "p1", "ven", **more)


def down(content, program=PROGRAM, *, now=NOON, **more):
    told = events_down(read_event({**DATES, **content}), program, VEN, first_seen=now, now=now, **more)
    for one in told.events:
        decode(distributed(present(one, 0, now)))  # which validates it by the schema of 2.0b
    return told


def content(*payloads, **more):
    """An event of 3.1 with one interval of an hour for each set of payloads."""
    intervals = [
        {"id": number, "payloads": [{"type": name, "values": values} for name, values in one.items()]}
        for number, one in enumerate(payloads)
    ]
    period = {"start": "2026-07-01T12:00:00Z", "duration": "PT1H"}
    return {"programID": "p1", "intervalPeriod": period, "intervals": intervals, **more}


def values(told, name):
    """The values of a signal of the only event."""
    (one,) = told.events
    return next([interval.value for interval in found.intervals] for found in one.signals if found.name == name)


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", SIGNALS, ids=lambda rule: f"{rule.name}/{rule.kind}")
def test_a_signal_goes_up_and_comes_back_as_the_table_says(rule):
    item = item_of(rule, "AMPS", "EUR")
    sent = event(signal(rule.name, rule.kind, (2.0, 1.0), item=item), priority=1, start_after=timedelta(minutes=10))
    made = up(sent)
    assert [one["payloads"][0] for one in made["intervals"]] == [
        {"type": rule.payload, "values": [2]},
        {"type": rule.payload, "values": [1]},
    ]
    told = down(made)
    (back,) = told.events
    (found,) = [one for one in back.signals if one.name != "SIMPLE" or rule.name == "SIMPLE"]
    again = next(one for one in SIGNALS if (one.name, one.kind) == (found.name, found.kind))
    assert again.payload == rule.payload
    assert rule.note or again == rule, "a signal that comes back as another one is noted"
    assert found.intervals == sent.signals[0].intervals
    assert (back.start, back.duration, back.start_after, back.priority) == (NOON, 2 * HOUR, sent.start_after, 1)
    assert found.item == item


@openadr_spec.HERE
@pytest.mark.parametrize("rule", SIGNALS, ids=lambda rule: f"{rule.name}/{rule.kind}")
def test_programs_and_events_are_valid_by_the_schema_of_3_1(rule):
    sent = event(
        signal(rule.name, rule.kind, (2.0, 1.0), item=item_of(rule, "AMPS", "EUR"), device_classes=("EVSE",)),
        targets=(EiTarget("groupID", "g"), EiTarget("venID", "ven")),
        test=True,
        comment="c",
        ramp_up=HOUR,
        recovery=HOUR,
        notification=HOUR,
        start_after=timedelta(seconds=5),
    )
    assert openadr_spec.faults("eventRequest", up(sent)) == []
    for program in (
        program_up("u1", "http://utility.example/summer", "VTN"),
        program_up("u1", "urn:x", "VTN", test=True),
        reports_program("u1"),
    ):
        assert openadr_spec.faults("programRequest", program) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("BID_PRICE", "price"), ("x-utility", "level"), ("SIMPLE", "delta"), ("LOAD_CONTROL", "setpoint")],
)
def test_a_signal_that_has_no_meaning_is_refused_with_460(name, kind):
    with pytest.raises(Unmapped) as why:
        up(event(signal(), signal(name, kind)))
    assert why.value.code == Code.SIGNAL_NOT_SUPPORTED


# --- numbers and units ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "kw"), [("none", 0.05), ("k", 50.0), ("M", 50_000.0), ("m", 0.00005), ("c", 0.0005), ("G", 50_000_000.0)]
)
def test_power_is_kw_whatever_the_scale(scale, kw):
    item = dataclasses.replace(POWER, scale=scale)
    made = up(event(signal("LOAD_DISPATCH", "setpoint", (50.0,), item=item)))
    assert made["intervals"][0]["payloads"][0]["values"] == [kw]
    assert made["payloadDescriptors"][0]["units"] == "KW"


def test_prices_keep_their_currency_and_lose_their_scale():
    item = ItemBase("currencyPerKWh", "currencyPerKWh", "CAD", "c")
    made = up(event(signal("ELECTRICITY_PRICE", "price", (12.5,), item=item)))
    assert made["intervals"][0]["payloads"][0]["values"] == [0.125]
    assert made["payloadDescriptors"] == [
        {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "PRICE", "units": "KWH", "currency": "CAD"}
    ]


def test_a_reduction_stays_below_zero_both_ways():
    made = up(event(signal("LOAD_DISPATCH", "delta", (-50.0,), item=POWER)))
    assert made["intervals"][0]["payloads"][0]["values"] == [-50.0]
    assert values(down(made), "LOAD_DISPATCH") == [-50.0]


def test_units_of_3_1_are_turned_into_kw_and_those_that_cannot_be_are_not_told():
    described = [{"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "DISPATCH_SETPOINT", "units": "MW"}]
    told = down(content({"DISPATCH_SETPOINT": [2]}, payloadDescriptors=described))
    assert values(told, "LOAD_DISPATCH") == [2_000.0]
    described[0]["units"] = "FURLONGS"
    told = down(content({"DISPATCH_SETPOINT": [2]}, payloadDescriptors=described))
    assert (told.events, told.untold) == ((), {"DISPATCH_SETPOINT"})


def test_a_capacity_limit_is_a_share_of_the_nameplate_or_a_setpoint_where_none_is_known():
    limit = content({"IMPORT_CAPACITY_LIMIT": [25.0]}, {"IMPORT_CAPACITY_LIMIT": [80.0]})
    assert values(down(limit, nameplate_kw=50.0), "LOAD_CONTROL") == [0.5, 1.0]
    assert values(down(limit), "LOAD_DISPATCH") == [25.0, 80.0]


def test_load_events_bear_a_simple_level_and_prices_alone_do_not():
    assert values(down(content({"DISPATCH_SETPOINT": [1]})), "SIMPLE") == [1.0]
    program = ProgramFacts("p1", {"X_20B_SIMPLE_LEVEL": 3})
    assert values(down(content({"DISPATCH_SETPOINT": [1]}), program), "SIMPLE") == [3.0]
    (priced,) = down(content({"PRICE": [0.3]})).events
    assert [one.name for one in priced.signals] == ["ELECTRICITY_PRICE"]


def test_an_alert_is_a_level_and_its_words_are_the_comment():
    (one,) = down(content({"ALERT_GRID_EMERGENCY": ["shed now"]})).events
    assert (one.comment, one.signals[0].name, one.signals[0].intervals[0].value) == ("shed now", "SIMPLE", 3.0)
    assert values(down(content({"ALERT_FIRE": ["smoke"]})), "SIMPLE") == [1.0]


def test_what_2_0b_has_no_word_for_is_named():
    told = down(content({"GHG": [400], "EXPORT_PRICE": [0.1], "PRICE": [0.2]}))
    assert told.untold == {"GHG", "EXPORT_PRICE"}
    assert [one.name for one in told.events[0].signals] == ["ELECTRICITY_PRICE"]


# --- the header -------------------------------------------------------------------------------------------------------


def test_no_priority_never_becomes_the_highest_one():
    assert [up(event(priority=number))["priority"] for number in (0, 1, 2)] == [None, 0, 1]
    told = [down(content({"SIMPLE": [1]}, priority=number)).events[0].priority for number in (None, 0, 1)]
    assert told == [0, 1, 2]


def test_a_tolerance_is_drawn_from_the_same_instants_on_both_sides():
    made = up(event(start_after=timedelta(minutes=20)))
    one = read_event({**DATES, **made})
    starts = [lay_out(one, read_at=NOON, seed=str(seed)).anchor for seed in range(10_000)]
    late = sorted((start - NOON).total_seconds() for start in starts)
    assert late[0] >= 0, "no car stops before the event"
    assert late[-1] <= 1_200
    assert statistics.mean(late) == pytest.approx(600, abs=12)
    for tenth, found in enumerate(statistics.quantiles(late, n=10), start=1):
        assert found == pytest.approx(120 * tenth, abs=24)
    assert (down(made).events[0].start, down(made).events[0].start_after) == (NOON, timedelta(minutes=20))


def test_what_3_1_has_no_word_for_is_carried_and_comes_back():
    sent = event(ramp_up=HOUR, recovery=2 * HOUR, notification=3 * HOUR, comment="hot", test=True)
    made = up(sent)
    carried = {one["type"]: one["values"] for one in made["intervals"][0]["payloads"]}
    assert carried == {
        "SIMPLE": [1],
        "X_20B_RAMP_UP": ["PT1H"],
        "X_20B_RECOVERY": ["PT2H"],
        "X_20B_NOTIFICATION": ["PT3H"],
        "X_20B_COMMENT": ["hot"],
        "X_20B_TEST_EVENT": [True],
    }
    (back,) = down(made).events
    assert (back.ramp_up, back.recovery, back.notification, back.comment) == (HOUR, 2 * HOUR, 3 * HOUR, "hot")
    assert {one.name for one in back.signals} == {"SIMPLE"}


def test_a_test_event_stands_in_a_program_that_no_ven_is_granted():
    plain, test = (program_up("u1", "http://x", "VTN", test=one) for one in (False, True))
    assert plain["programName"] != test["programName"]
    assert not set(plain["targets"]) & set(test["targets"])


def test_names_that_are_too_long_end_in_a_digest_and_stay_apart():
    names = {program_name("u1", "http://x/" + "a" * 200 + tail, test=test) for tail in "bc" for test in (False, True)}
    assert len(names) == 4
    assert all(len(name) <= 128 for name in names)


def test_status_follows_the_clock():
    one = event(ramp_up=HOUR)
    seen = [(hours, status_at(one, NOON + hours * HOUR)) for hours in (-2, -1, 0, 1)]
    assert seen == [(-2, "far"), (-1, "near"), (0, "active"), (1, "completed")]


def test_the_current_value_is_that_of_now_while_the_event_is_active_and_else_0():
    one = event(signal(values=(1.0, 3.0)))
    current = [present(one, 0, NOON + hours * HOUR).signals[0].current_value for hours in (-1, 0, 1.5, 3)]
    assert current == [0.0, 1.0, 3.0, 0.0]
    assert present(one, 0, NOON, cancelled=True).signals[0].current_value == 0.0


def test_only_what_a_ven_is_told_makes_a_new_modification():
    one = event()
    assert body_hash(one) == body_hash(dataclasses.replace(present(one, 7, NOON), signals=one.signals))
    assert body_hash(one) != body_hash(dataclasses.replace(one, priority=1))


# --- intervals --------------------------------------------------------------------------------------------------------


def test_signals_with_other_intervals_are_cut_at_all_boundaries():
    made = up(
        event(signal(values=(1.0, 2.0)), signal("ELECTRICITY_PRICE", "price", (0.1, 0.2, 0.3, 0.4), lasts=HOUR / 2))
    )
    assert [[p["values"][0] for p in one["payloads"]] for one in made["intervals"]] == [
        [1, 0.1],
        [1, 0.2],
        [2, 0.3],
        [2, 0.4],
    ]
    assert all(set(one["intervalPeriod"]) >= {"start", "duration"} for one in made["intervals"])


def test_an_event_without_an_end_has_none_on_the_other_side_either():
    endless = dataclasses.replace(signal(), intervals=(SignalInterval(NOON, timedelta(0), 1.0),))
    made = up(event(endless, duration=timedelta(0)))
    assert made["intervals"][0]["intervalPeriod"]["duration"] == "P9999Y"
    (back,) = down(made).events
    assert (back.duration, back.signals[0].intervals[0].duration) == (timedelta(0), timedelta(0))


def test_packed_values_become_intervals():
    assert values(down(content({"PRICE": [0.1, 0.2, 0.3, 0.4]})), "ELECTRICITY_PRICE") == [0.1, 0.2, 0.3, 0.4]


def test_a_loop_is_written_out_for_a_week_and_moves_with_the_day():
    loop = content({"PRICE": [0.1]}, {"PRICE": [0.2]}, duration="P9999Y")
    (today,), (tomorrow,) = (down(loop, now=NOON + timedelta(days=days)).events for days in (0, 1))
    assert len(today.signals[0].intervals) == (HORIZON - timedelta(hours=12)) / HOUR
    assert tomorrow.start.date() == (NOON + timedelta(days=1)).date()
    assert body_hash(today) != body_hash(tomorrow)
    assert body_hash(today) == body_hash(down(loop, now=NOON + HOUR).events[0])


def with_gap(*payloads):
    made = content(*payloads)
    made["intervals"][1]["intervalPeriod"] = {"start": "2026-07-01T15:00:00Z"}
    return made


def test_a_gap_is_filled_with_what_asks_for_nothing():
    assert values(down(with_gap({"SIMPLE": [2]}, {"SIMPLE": [1]})), "SIMPLE") == [2.0, 0.0, 1.0]
    assert values(down(with_gap({"PRICE": [0.2]}, {"PRICE": [0.1]})), "ELECTRICITY_PRICE") == [0.2, 0.2, 0.1]


def test_at_a_gap_of_a_setpoint_the_event_is_cut_for_a_setpoint_of_0_would_ask_for_something():
    told = down(with_gap({"DISPATCH_SETPOINT": [5]}, {"DISPATCH_SETPOINT": [7]}))
    assert [(one.event_id, one.start) for one in told.events] == [("x1-1", NOON), ("x1-2", NOON + 3 * HOUR)]


def test_a_report_request_and_a_zero_window_are_nothing_to_tell():
    assert (
        down({"programID": "p1", "intervalPeriod": {"start": "2026-07-01T12:00:00Z", "duration": "PT1H"}}).events == ()
    )
    cancelled = content({"SIMPLE": [1]})
    cancelled["intervalPeriod"] = {"start": "0001-01-01T00:00:00Z", "duration": "PT0S"}
    assert down(cancelled).events == ()


# --- targets ----------------------------------------------------------------------------------------------------------


def test_targets_are_named_and_a_ven_alone_is_the_whole_enrolment():
    assert targets.up("u1", VEN, "ven") == ["20b:u1:ven"]
    finer = (EiTarget("groupID", "g"), EiTarget("resourceID", "r"), *VEN)
    assert targets.up("u1", finer, "ven") == ["20b:u1:grp:g", "20b:u1:res:r"]
    assert targets.up("u1", (), "ven") is None


@pytest.mark.parametrize("kind", targets.REFUSED)
def test_targets_that_nobody_is_enrolled_by_are_refused_with_462(kind):
    with pytest.raises(Unmapped) as why:
        up(event(targets=(EiTarget(kind, "x"),)))
    assert why.value.code == Code.TARGET_MISMATCH


def test_an_event_for_another_ven_is_refused_with_462():
    with pytest.raises(Unmapped) as why:
        up(event(targets=(EiTarget("venID", "other"),)))
    assert why.value.code == Code.TARGET_MISMATCH


def test_device_classes_narrow_what_is_for_the_whole_enrolment():
    classes = event(signal(device_classes=("EVSE", "Electric_Vehicle")))
    assert up(classes)["targets"] == ["20b:u1:dev:EVSE", "20b:u1:dev:Electric_Vehicle"]
    mixed = event(signal(device_classes=("EVSE",)), signal("ELECTRICITY_PRICE", "price", item=None))
    assert up(mixed)["targets"] == ["20b:u1:ven"]


def test_a_ven_is_told_its_own_resources_and_no_others():
    resources = {"a": ("t1",), "b": ("t2", "t3"), "c": ()}
    told = targets.down(("t2", "t9"), "ven", resources)
    assert told == (EiTarget("resourceID", "b"), EiTarget("venID", "ven"))
    assert targets.down((), "ven", resources) == VEN


def test_targets_mean_any_of_them():
    assert targets.sees(("a", "b"), (), frozenset({"b"}))
    assert not targets.sees(("a",), (), frozenset({"b"}))
    assert not targets.sees((), ("p",), frozenset({"b"}))
    assert targets.sees((), (), frozenset())
