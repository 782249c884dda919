"""From events to what a zone is asked: units, priorities, horizons, and what is not understood."""

import dataclasses
import math
from datetime import timedelta

import numpy as np
import pytest
from timeline_cases import DAY, HOUR, event, stamp

from ven_adapters.ven.openadr.payload_types import Dimension, PayloadContext, PayloadValue, meaning
from ven_adapters.ven.openadr.zone_requests import HeldEvent, RulingDimension, read_requests
from vtn.wire.values import EventPayloadDescriptor

NOW = DAY + HOUR


def heard(kind, *values, start_h=0, length="PT4H", units=None, currency=None, event_id="e1", written=None, **fields):
    """One event with one interval of one payload."""
    described = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": kind, "units": units, "currency": currency}
    one = event(
        [{"type": kind, "values": list(values)}],
        period={"start": stamp(DAY + start_h * HOUR), "duration": length},
        payloadDescriptors=[described],
        **({"written": written} if written else {}),
        **fields,
    )
    return HeldEvent(one.model_copy(update={"id": event_id}), DAY)


def read(*events, now=NOW, **fields):
    return read_requests("bay", events, now=now, seed="ven", **fields)


def test_nothing_heard_is_quiet():
    assert read().quiet
    assert read().next_change_s == math.inf


def test_a_set_point_is_read_with_its_window_and_origin():
    asked = read(heard("DISPATCH_SETPOINT", -500, units="KW", priority=3))
    found = asked.dispatch_kw
    assert (found.value, found.event_id, found.program_id, found.interval_id, found.priority) == (
        -500,
        "e1",
        "p1",
        0,
        3,
    )
    assert (found.start_s, found.end_s) == (DAY.timestamp(), (DAY + 4 * HOUR).timestamp())
    assert asked.ruling is RulingDimension.DISPATCH
    assert not asked.quiet


def test_an_upcoming_event_asks_nothing_yet_and_names_the_next_change():
    asked = read(heard("DISPATCH_SETPOINT", 0, start_h=5))
    assert asked.dispatch_kw is None
    assert asked.quiet
    assert asked.next_change_s == (DAY + 5 * HOUR).timestamp()
    assert asked.restriction.values.tolist() == [1.0]


@pytest.mark.parametrize(
    ("kind", "value", "units", "expected"),
    [
        ("DISPATCH_SETPOINT", -7, "KW", PayloadValue(Dimension.DISPATCH_KW, -7)),
        ("DISPATCH_SETPOINT", 5, None, PayloadValue(Dimension.DISPATCH_KW, 5)),
        ("DISPATCH_SETPOINT_RELATIVE", -20, "KW", PayloadValue(Dimension.RELATIVE_KW, -20)),
        ("DISPATCH_SETPOINT_RELATIVE", -0.2, "PERCENT", PayloadValue(Dimension.RELATIVE_SHARE, -0.2)),
        ("DISPATCH_SETPOINT_RELATIVE", -20, "PERCENT", PayloadValue(Dimension.RELATIVE_SHARE, -0.2)),
        ("CHARGE_STATE_SETPOINT", 0.8, "PERCENT", PayloadValue(Dimension.CHARGE_STATE, 0.8)),
        ("CHARGE_STATE_SETPOINT", 80, "PERCENT", PayloadValue(Dimension.CHARGE_STATE, 0.8)),
        ("CHARGE_STATE_SETPOINT", 33, "PERCENTAGE", PayloadValue(Dimension.CHARGE_STATE, 0.33)),
        ("CHARGE_STATE_SETPOINT", 500, "KWH", PayloadValue(Dimension.CHARGE_ENERGY_KWH, 500)),
        ("CHARGE_STATE_SETPOINT", 0.8, None, PayloadValue(Dimension.CHARGE_STATE, 0.8)),
        ("PRICE", 0.17, "KWH", PayloadValue(Dimension.PRICE, 0.17)),
        ("EXPORT_PRICE", -0.02, None, PayloadValue(Dimension.EXPORT_PRICE, -0.02)),
        ("GHG", 420, "GHG", PayloadValue(Dimension.GHG_G, 420)),
        ("SIMPLE", 2, None, PayloadValue(Dimension.SIMPLE_LEVEL, 2)),
        ("IMPORT_CAPACITY_LIMIT", 10, "KW", PayloadValue(Dimension.IMPORT_LIMIT_KW, 10)),
        ("CAPACITY_SUBSCRIPTION", 10, "KW", PayloadValue(Dimension.IMPORT_SUBSCRIPTION_KW, 10)),
        ("EXPORT_CAPACITY_RESERVATION", 3, None, PayloadValue(Dimension.EXPORT_RESERVATION_KW, 3)),
        ("ALERT_BLACK_START", 0, None, PayloadValue(Dimension.ALERT_LEVEL, 3)),
        ("ALERT_FLEX_ALERT", 0, None, PayloadValue(Dimension.ALERT_LEVEL, 2)),
        ("ALERT_WIND", 0, None, PayloadValue(Dimension.PRE_CHARGE, 1)),
        ("ALERT_OTHER", 0, None, PayloadValue(Dimension.NOTICE, 0)),
    ],
)
def test_a_payload_means_one_thing(kind, value, units, expected):
    assert meaning(kind, (value,), PayloadContext(units)) == expected


@pytest.mark.parametrize(
    ("kind", "values", "units"),
    [
        ("DISPATCH_SETPOINT", (5,), "KWH"),
        ("DISPATCH_SETPOINT", (), "KW"),
        ("DISPATCH_SETPOINT", ("five",), "KW"),
        ("DISPATCH_SETPOINT", (True,), "KW"),
        ("DISPATCH_SETPOINT", (1, 2), "KW"),
        ("SIMPLE", (4,), None),
        ("SIMPLE", (1.5,), None),
        ("PRICE", (3,), "THERMS"),
        ("CHARGE_STATE_SETPOINT", (60,), None),
        ("CHARGE_STATE_SETPOINT", (180,), "PERCENT"),
        ("IMPORT_CAPACITY_LIMIT", (-1,), "KW"),
        ("IMPORT_CAPACITY_AVAILABLE", (5,), "KW"),
        ("CURVE", (1,), None),
        ("CONTROL_LEVEL_OFFSET_PERCENT", (0.1,), "PERCENT"),
        ("MY_PRIVATE_TYPE", (1,), None),
    ],
)
def test_what_is_not_understood_is_said_and_not_guessed(kind, values, units):
    assert isinstance(meaning(kind, values, PayloadContext(units)), str)
    asked = read(heard(kind, *values, units=units)) if len(values) < 2 else None
    if asked is not None:
        assert [(u.event_id, u.payload_type) for u in asked.unknown] == [("e1", kind)]
        assert asked.quiet


def test_an_unknown_payload_is_reported_once_and_not_after_its_end():
    looping = event(
        [{"type": "X_MINE", "values": [1]}], period={"start": stamp(DAY), "duration": "PT1H"}, duration="PT6H"
    )
    assert len(read(HeldEvent(looping, DAY)).unknown) == 1
    assert read(HeldEvent(looping, DAY), now=DAY + 7 * HOUR).unknown == ()


def test_the_programs_descriptor_explains_what_the_event_does_not():
    bare = event([{"type": "CHARGE_STATE_SETPOINT", "values": [300]}], period={"start": stamp(DAY), "duration": "PT4H"})
    described = EventPayloadDescriptor.model_validate(
        {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "CHARGE_STATE_SETPOINT", "units": "KWH"}
    )
    assert read(HeldEvent(bare, DAY, (described,))).charge_energy_kwh[0].value == 300


LATER = DAY - HOUR


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ({"priority": 0}, {"priority": 1}, "a"),
        ({"priority": 9}, {}, "a"),
        ({}, {"priority": 9}, "b"),
        ({}, {"written": LATER}, "b"),
        ({"written": LATER}, {}, "a"),
        ({"priority": 1}, {"priority": 1, "written": LATER}, "b"),
    ],
)
def test_in_one_dimension_the_priority_decides_and_then_the_later_event(first, second, winner):
    events = heard("SIMPLE", 1, event_id="a", **first), heard("SIMPLE", 1, event_id="b", **second)
    assert read(*events).simple.event_id == winner
    assert read(*reversed(events)).simple.event_id == winner


def test_of_two_caps_of_one_priority_the_smaller_binds():
    small, large = (
        heard("IMPORT_CAPACITY_LIMIT", 5, event_id="a"),
        heard("IMPORT_CAPACITY_LIMIT", 9, event_id="b", written=LATER),
    )
    assert read(small, large).import_cap_kw.value == 5


def test_without_a_limit_the_subscription_and_what_was_reserved_bind():
    subscription, extra = (
        heard("IMPORT_CAPACITY_SUBSCRIPTION", 10),
        heard("IMPORT_CAPACITY_RESERVATION", 4, length="PT2H"),
    )
    assert read(subscription, extra).import_cap_kw.value == 14
    assert read(subscription, extra, now=DAY + 3 * HOUR).import_cap_kw.value == 10
    assert read(subscription, extra, heard("IMPORT_CAPACITY_LIMIT", 3)).import_cap_kw.value == 3
    assert read(extra).import_cap_kw is None


@pytest.mark.parametrize(
    ("events", "ruling"),
    [
        ((("ALERT_GRID_EMERGENCY", "x", {}), ("DISPATCH_SETPOINT", 5, {})), RulingDimension.ALERT),
        ((("DISPATCH_SETPOINT", 5, {}), ("SIMPLE", 2, {})), RulingDimension.DISPATCH),
        ((("SIMPLE", 2, {}), ("PRICE", 2, {})), RulingDimension.SIMPLE),
        ((("SIMPLE", 2, {"priority": 1}), ("DISPATCH_SETPOINT", 5, {"priority": 2})), RulingDimension.SIMPLE),
        ((("DISPATCH_SETPOINT", 5, {"priority": 0}), ("ALERT_FLEX_ALERT", "x", {})), RulingDimension.DISPATCH),
        ((("ALERT_OTHER", "x", {}),), RulingDimension.NOTHING),
        ((("IMPORT_CAPACITY_LIMIT", 5, {}),), RulingDimension.NOTHING),
    ],
)
def test_across_dimensions_the_default_order_holds_unless_a_priority_says_otherwise(events, ruling):
    asked = read(*(heard(kind, value, event_id=kind, **fields) for kind, value, fields in events))
    assert asked.ruling is ruling


def test_absolute_and_relative_set_points_are_one_dimension():
    asked = read(heard("DISPATCH_SETPOINT", 5), heard("DISPATCH_SETPOINT_RELATIVE", -5, event_id="b", priority=1))
    assert asked.dispatch_kw is None
    assert asked.relative_kw.value == -5


def test_alerts_act_or_are_kept():
    assert read(heard("ALERT_GRID_EMERGENCY", "now")).alert.value == 3
    outage = read(heard("ALERT_POSSIBLE_OUTAGE", "tonight"))
    assert outage.alert is None
    assert outage.pre_charge is not None
    notice = read(heard("ALERT_AIR_QUALITY", "smoke"))
    assert notice.quiet
    assert notice.notices[0].payload_type == "ALERT_AIR_QUALITY"


def test_prices_become_steps_over_the_horizon():
    asked = read(heard("PRICE", *range(24), length="P1D", units="KWH", currency="USD"))
    assert asked.price.currency == "USD"
    assert asked.price.values.tolist() == list(range(24))
    assert asked.price.at(NOW.timestamp()).value == 1
    assert asked.price.at((DAY - HOUR).timestamp()) is None
    assert asked.next_change_s == (DAY + 2 * HOUR).timestamp()


def test_a_price_of_higher_priority_covers_another_where_they_overlap():
    base = heard("PRICE", 1, 1, 1, 1)
    peak = heard("PRICE", 9, start_h=2, length="PT1H", event_id="b", priority=0)
    assert read(base, peak).price.values.tolist() == [1, 1, 9, 1]
    assert np.isnan(read(peak, heard("PRICE", 3, start_h=5, event_id="c")).price.values[1])


def test_a_price_in_another_currency_is_left_out_and_reported():
    asked = read(heard("PRICE", 1, currency="USD", priority=1), heard("PRICE", 2, currency="EUR", event_id="b"))
    assert asked.price.values.tolist() == [1]
    assert [u.event_id for u in asked.unknown] == ["b"]


def test_charge_states_come_with_their_deadlines_soonest_first():
    asked = read(
        heard("CHARGE_STATE_SETPOINT", 0.9, start_h=4, units="PERCENT"),
        heard("CHARGE_STATE_SETPOINT", 0.5, units="PERCENT", event_id="b"),
    )
    assert [(a.value, a.end_s) for a in asked.charge_states] == [
        (0.5, (DAY + 4 * HOUR).timestamp()),
        (0.9, (DAY + 8 * HOUR).timestamp()),
    ]


def test_restrictions_over_the_horizon_are_shares_of_load():
    asked = read(heard("SIMPLE", 1), heard("ALERT_FLEX_ALERT", "x", start_h=2, length="PT1H", event_id="b"))
    assert asked.restriction.values == pytest.approx([0.34, 0.67, 0.34])


def test_the_end_of_a_restriction_starts_the_recovery():
    event_over = heard("SIMPLE", 3)
    end = DAY + 4 * HOUR
    assert math.isnan(read(event_over).recovery_from_s)
    assert read(event_over, now=end).recovery_from_s == end.timestamp()
    assert math.isnan(read(event_over, now=end + timedelta(hours=6)).recovery_from_s)
    again = heard("SIMPLE", 1, start_h=4, event_id="b")
    assert math.isnan(read(event_over, again, now=end).recovery_from_s)


def test_a_standing_cap_or_a_normal_level_does_not_hide_the_recovery():
    standing = heard("IMPORT_CAPACITY_LIMIT", 50, length="P9999Y"), heard("SIMPLE", 0, length="P9999Y", event_id="n")
    end = DAY + 4 * HOUR
    assert read(heard("DISPATCH_SETPOINT", 0, event_id="d"), *standing, now=end).recovery_from_s == end.timestamp()


def test_a_cancelled_event_is_followed_by_the_same_recovery():
    assert read(released_at=NOW - HOUR / 2).recovery_from_s == (NOW - HOUR / 2).timestamp()
    assert math.isnan(read(heard("SIMPLE", 3), released_at=NOW - HOUR / 2).recovery_from_s)


def test_an_event_that_starts_now_starts_when_it_was_read():
    alert = event(
        [{"type": "ALERT_GRID_EMERGENCY", "values": ["x"]}], period={"start": "0001-01-01", "duration": "PT2H"}
    )
    assert read(HeldEvent(alert, NOW), now=NOW).alert.end_s == (NOW + 2 * HOUR).timestamp()


def test_a_hostile_event_of_tiny_intervals_is_read_in_bounded_time():
    tiny = event(
        [{"type": "PRICE", "values": [1]}], period={"start": stamp(DAY), "duration": "PT0.001S"}, duration="P9999Y"
    )
    assert read(HeldEvent(tiny, DAY)).price is not None


def test_what_is_not_for_these_cars_asks_nothing_and_is_told_with_the_reason():
    price, level = heard("PRICE", 0.5, event_id="p"), heard("SIMPLE", 3)
    asked = read(dataclasses.replace(price, unused={"PRICE": "another program"}), level)
    assert (asked.price, asked.simple.value) == (None, 3)
    assert [(one.event_id, one.why) for one in asked.unused] == [("p", "another program")]
    assert asked.unknown == ()


def test_a_limit_that_is_not_understood_leaves_the_programs_last_in_force_and_a_setting_otherwise():
    unread = heard("IMPORT_CAPACITY_LIMIT", 9000, units="kWh")
    assert read(unread).import_cap_kw is None
    kept = {("p1", Dimension.IMPORT_LIMIT_KW): 5.0, ("", Dimension.IMPORT_LIMIT_KW): 40.0}
    asked = read(unread, kept=kept)
    assert (asked.import_cap_kw.value, asked.import_cap_kw.event_id) == (5, "e1")
    assert [one.stands_in for one in asked.limits] == [True]
    assert asked.unknown[0].why.endswith("5 kW, the last that was understood or what is set, stays in force")
    shared = dataclasses.replace(unread, import_share=0.25)
    assert read(shared, kept={("", Dimension.IMPORT_LIMIT_KW): 40.0}).import_cap_kw.value == 10
    assert read(heard("SIMPLE", "x"), kept=kept).import_cap_kw is None


def test_an_understood_limit_counts_beside_one_that_is_not():
    unread, good = heard("IMPORT_CAPACITY_LIMIT", 9, units="kWh"), heard("IMPORT_CAPACITY_LIMIT", 3, event_id="b")
    asked = read(unread, good, kept={("p1", Dimension.IMPORT_LIMIT_KW): 5.0})
    assert asked.import_cap_kw.value == 3
    assert {one.event_id: one.stands_in for one in asked.limits} == {"e1": True, "b": False}


def test_kw_that_a_zone_is_asked_are_shared_by_sign_and_levels_are_not():
    half = {"import_share": 0.5, "export_share": 0.25}
    asked = read(
        *(
            dataclasses.replace(heard(kind, value, event_id=kind), **half)
            for kind, value in (("DISPATCH_SETPOINT", -8), ("EXPORT_CAPACITY_LIMIT", 8), ("IMPORT_CAPACITY_LIMIT", 8))
        ),
        dataclasses.replace(heard("SIMPLE", 2), **half),
    )
    assert (asked.dispatch_kw.value, asked.export_cap_kw.value, asked.import_cap_kw.value) == (-2, 2, 4)
    assert asked.simple.value == 2
