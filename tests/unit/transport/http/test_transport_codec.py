import dataclasses
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters import contract
from ven_adapters.contract import (
    Ack,
    BackendError,
    Capability,
    Certainty,
    ChargeState,
    CurrentControl,
    Directive,
    DirectiveKind,
    DirectivesChanged,
    DirectiveState,
    DirectiveStatus,
    DischargeControl,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Known,
    LimitSocControl,
    OnCommLoss,
    Origin,
    Reachability,
    Reading,
    Rung,
    ScheduleControl,
    Setting,
    Snapshot,
    SnapshotsSeen,
    Validity,
    VehicleRef,
)
from ven_adapters.transport.http.codec import (
    EventDelivery,
    Order,
    Page,
    dump_delivery,
    dumps,
    load,
    load_delivery,
    loads,
)
from ven_adapters.transport.http.problems import parse_problem, print_problem

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=30)


def reading(value, validity=Validity.OK):
    return Reading(value, NOON, LATER, "vehicle", validity)


DIRECTIVE = Directive(
    "d-1", "k-1", "bmw-1", DirectiveKind.SETPOINT, NOON, LATER, LATER, -4_000, 2, "d-0", "home-1", 30.0, 80.0, LATER,
    9_000, contract.OnEnd.RESTORE, OnCommLoss.STOP, 600, Origin("p", "e", 3, 0),
)  # fmt: skip
CAPABILITY = Capability(
    "LEAF", 39_000, 6_480, discharge=DischargeControl("EVSE", 7_000, 500), current=CurrentControl(6, 27, 1, (6, 8)),
    limit_soc=LimitSocControl(50.0, 100.0, 10.0, 50.0), schedule=ScheduleControl(whole_hours=True),
)  # fmt: skip
SNAPSHOT = Snapshot(
    "bmw-1", reading(55.5), reading(Known.YES), reading(Known.UNKNOWN), reading(ChargeState.DISCHARGING),
    reading(-4_000.0), reading(16.5), reading(240.0), reading(1), reading(80.0), reading(32.0), reading(12.0),
    reading(0.0), reading(3_600.0), reading(Reachability.ONLINE),
)  # fmt: skip
STATUS = DirectiveStatus("d-1", "bmw-1", DirectiveState.FAILED, Certainty.ACCEPTED, NOON, ErrorCode.ASLEEP, "why")
SETTING = Setting(Rung.CURRENT, 1_440, 6, 80.0)

WHOLE = [
    DIRECTIVE,
    Directive("d", "k", "v", DirectiveKind.CURTAIL, NOON, LATER, LATER),
    CAPABILITY,
    Capability("i4", 81_000, 10_800),
    SNAPSHOT,
    Snapshot("v"),
    STATUS,
    SETTING,
    Ack("d-1", DirectiveState.ACCEPTED, SETTING, "act"),
    Order(DIRECTIVE, SETTING),
    Page((VehicleRef("a"), VehicleRef("b")), "200"),
]
BATCHES = [
    EventDelivery("e-1", (SnapshotsSeen((SNAPSHOT,)), DirectivesChanged((STATUS,)))),
    EventDelivery(
        "e-2", (DriverChose("v", DriverChoice.OPT_OUT, NOON, LATER), DriverChose("v", DriverChoice.BOOST, NOON))
    ),
    EventDelivery("e-3", challenge="prove-it"),
]


@pytest.mark.parametrize("value", WHOLE, ids=lambda value: type(value).__name__)
def test_what_is_printed_is_parsed_back(value):
    assert load(type(value), loads(dumps(value)), received_at=LATER) == value


@pytest.mark.parametrize("delivery", BATCHES, ids=lambda delivery: delivery.event_id)
def test_a_batch_of_events_is_parsed_back(delivery):
    assert load_delivery(dump_delivery(delivery), received_at=LATER) == delivery


def test_instants_travel_as_utc_with_a_z():
    assert orjson.loads(dumps(STATUS))["observed_at"] == "2026-07-01T12:00:00Z"


def test_a_reading_that_names_no_receipt_gets_ours():
    raw = {"vehicle_ref": "v", "soc_pct": {"value": 50, "observed_at": "2026-07-01T05:00:00-07:00"}}
    snapshot = load(Snapshot, raw, received_at=LATER)
    assert snapshot.soc_pct == Reading(50.0, NOON, LATER)


@pytest.mark.parametrize(
    ("name", "value", "observed_at"),
    [
        ("soc_pct", 255, "2026-07-01T12:00:00Z"),
        ("current_a", 65_535, "2026-07-01T12:00:00Z"),
        ("limit_current_a", 1e308, "2026-07-01T12:00:00Z"),
        ("voltage_v", 65_535, "2026-07-01T12:00:00Z"),
        ("phases", 0, "2026-07-01T12:00:00Z"),
        ("soc_pct", -1, "2026-07-01T12:00:00Z"),
        ("soc_pct", 50, "1970-01-01T00:00:00Z"),
        ("limit_soc_pct", 101, "2026-07-01T12:00:00Z"),
        ("energy_added_wh", -5, "2026-07-01T12:00:00Z"),
        ("power_w", 4_294_967_295, "2026-07-01T12:00:00Z"),
    ],
)
def test_a_sentinel_is_marked_and_not_believed(name, value, observed_at):
    raw = {"vehicle_ref": "v", name: {"value": value, "observed_at": observed_at, "validity": "OK"}}
    assert getattr(load(Snapshot, raw, received_at=LATER), name).validity is Validity.SENTINEL


def test_a_receipt_that_a_backend_names_is_never_later_than_ours():
    raw = {"vehicle_ref": "v", "soc_pct": {"value": 50, "observed_at": LATER.isoformat()}}
    for told, counts in ((LATER, NOON), (NOON - timedelta(hours=1), NOON - timedelta(hours=1))):
        raw["soc_pct"]["received_at"] = told.isoformat()
        found = load(Snapshot, raw, received_at=NOON).soc_pct
        assert (found.received_at, found.seen_at) == (counts, counts)


PHASE = {"phases": 1, "voltage_v": 240}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (PHASE | {"current": {"min_a": 6, "max_a": 32, "step_a": 0}}, "current.step_a: must be above 0"),
        (PHASE | {"current": {"min_a": 6, "max_a": 32, "choices_a": [*range(129)]}}, "current.choices_a: must have at"),
        ({"limit_soc": {"min_pct": 50, "max_pct": 100, "step_pct": 0}}, "limit_soc.step_pct: must be above 0"),
        ({"current": {"min_a": 6, "max_a": 32}, "voltage_v": 230}, "phases: is required beside current"),
        (
            {"current": {"min_a": 6, "max_a": 32}, "phases": 3, "voltage_v": None},
            "voltage_v: is required beside current",
        ),
    ],
)
def test_a_capability_that_cannot_be_reckoned_with_is_refused(given, complaint):
    raw = {"model": "m", "usable_wh": 60_000, "max_charge_w": 7_200, **given}
    with pytest.raises(BackendError, match=complaint):
        load(Capability, raw, received_at=NOON)


ORDER = orjson.loads(dumps(Order(DIRECTIVE, SETTING)))


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("directive.start", "tomorrow", "directive.start: must be an RFC 3339"),
        ("directive.start", "2026-07-01T12:00:00", "directive.start: must be an RFC 3339"),
        ("directive.end", "2026-07-01T11:00:00Z", "directive.end: must be after start"),
        ("directive.kind", "EXPLODE", "directive.kind: must be one of CURTAIL"),
        ("directive.power_w", 1.5, "directive.power_w: must be a whole number"),
        ("directive.power_w", True, "directive.power_w: must be a whole number"),
        ("directive.power_w", None, "directive.power_w: is required for CAP and SETPOINT"),
        ("directive.on_comm_loss", "RELEASE", "directive.on_comm_loss: must be STOP"),
        ("directive.reserve_soc_pct", 140, "directive.reserve_soc_pct: must be 0..100"),
        ("directive.vehicle_ref", "", "directive.vehicle_ref: must be a text that is not empty"),
        ("directive.key", None, "directive.key: is required"),
        ("directive.origin", [], "directive.origin: must be an object"),
        ("setting.rung", {}, "setting.rung: must be one of POWER"),
        ("setting", None, "setting: is required"),
    ],
)
def test_bad_input_names_the_field_and_the_rule(path, value, complaint):
    raw = orjson.loads(orjson.dumps(ORDER))
    *outer, last = path.split(".")
    place = raw
    for name in outer:
        place = place[name]
    place[last] = value
    with pytest.raises(BackendError, match=complaint) as caught:
        load(Order, raw, received_at=NOON)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{", "body: is not JSON"),
        (b"[]", "body: must be an object"),
        (b'{"type":"backend.events","events":[]}', "event_id: is required"),
        (b'{"event_id":"e","events":[{"type":"gossip"}]}', r"events\[0\].type: must be one of snapshots_seen"),
        (
            b'{"event_id":"e","events":[{"type":"snapshots_seen","snapshots":[{"vehicle_ref":"v","soc_pct":{"value":1}}]}]}',
            r"events\[0\].snapshots\[0\].soc_pct.observed_at: is required",
        ),
    ],
)
def test_a_malformed_batch_names_what_is_wrong(body, complaint):
    with pytest.raises(BackendError, match=complaint):
        load_delivery(body, received_at=NOON)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(ORDER["directive"])), inner),
    max_leaves=8,
)


@settings(max_examples=100)
@given(JSON, st.sampled_from([Order, Directive, Snapshot, Capability, DirectiveStatus, Page]))
def test_no_json_does_worse_than_invalid_request(raw, of):
    assert verdict(of, raw) in {None, ErrorCode.INVALID_REQUEST}


def verdict(of, raw):
    try:
        load(of, raw, received_at=NOON)
    except BackendError as error:
        return error.code
    return None


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_refusal_is_told_and_read_back(code):
    status, body = print_problem(BackendError(code, "why", retry_after_s=12.5))
    error = parse_problem(status, body)
    assert 400 <= status < 600
    assert (error.code, error.detail, error.retry_after_s) == (code, "why", 12.5)
    document = orjson.loads(body)
    assert (document["retryable"], document["may_have_happened"]) == (error.retryable, error.may_have_happened)


@pytest.mark.parametrize(
    ("status", "writes", "code"),
    [
        (400, True, ErrorCode.INVALID_REQUEST),
        (401, True, ErrorCode.REAUTH_REQUIRED),
        (403, False, ErrorCode.NOT_PERMITTED),
        (429, False, ErrorCode.RATE_LIMITED),
        (500, False, ErrorCode.BACKEND_TRANSIENT),
        (500, True, ErrorCode.OUTCOME_UNKNOWN),
        (502, True, ErrorCode.BACKEND_TRANSIENT),
        (503, True, ErrorCode.BACKEND_TRANSIENT),
        (504, True, ErrorCode.BACKEND_TRANSIENT),
    ],
)
def test_a_bare_status_becomes_the_least_that_it_can_mean(status, writes, code):
    assert parse_problem(status, b"<html>", writes=writes).code is code


def test_a_retry_after_header_counts_when_the_body_is_silent():
    assert parse_problem(429, b"", retry_after="7").retry_after_s == 7.0
    assert parse_problem(429, b"", retry_after="Wed, 01 Jul 2026 12:00:00 GMT").retry_after_s is None


def test_every_wire_field_has_the_name_of_its_dataclass_field():
    assert set(orjson.loads(dumps(DIRECTIVE))) == {field.name for field in dataclasses.fields(Directive)}
