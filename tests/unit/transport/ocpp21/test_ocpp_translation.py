"""Versions of OCPP as translations: what is said keeps the schemas of each, and what is heard means the same."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ven_adapters.contract import BackendError, Directive, DirectiveKind, ErrorCode, OnCommLoss, Rung, Setting
from ven_adapters.transport.ocpp21 import frames
from ven_adapters.transport.ocpp21.message_handlers import MessageHandlers
from ven_adapters.transport.ocpp21.profiles import charging_profiles, composite
from ven_adapters.transport.ocpp21.profiles.charging_profiles import ProfileWindow, profile_id
from ven_adapters.transport.ocpp21.stations import charging_points
from ven_adapters.transport.ocpp21.stations.charging_points import RegisteredPoint, Station
from ven_adapters.transport.ocpp21.stations.inverter_alarms import Alarms
from ven_adapters.transport.ocpp21.stations.meter_values import stamp
from ven_adapters.transport.ocpp21.stations.station_registry import Register
from ven_adapters.transport.ocpp21.stations.transactions import TransactionLog, TransactionRecord
from ven_adapters.transport.ocpp21.versions.v16 import OCPP_16_STATIONS, POWER
from ven_adapters.transport.ocpp21.versions.v201 import OCPP_201_STATIONS

NOW = datetime(2026, 9, 1, 21, 0, tzinfo=UTC)
PLACE = RegisteredPoint(
    ref="car-1", station="CP-1", usable_wh=60_000, max_charge_w=22_000, phases=3, voltage_v=230, max_discharge_w=9_600
)
OLDER = [OCPP_201_STATIONS, OCPP_16_STATIONS]


def window(power_w, *, level=1, unit="W", starts_in_s=0, minutes=60, name="d-1"):
    start = NOW + timedelta(seconds=starts_in_s)
    end = start + timedelta(minutes=minutes)
    kind = DirectiveKind.CAP if power_w >= 0 else DirectiveKind.SETPOINT
    asked = Directive(name, f"k-{name}", "car-1", kind, start, end, end, power_w=power_w, on_comm_loss=OnCommLoss.STOP)
    setting = Setting(Rung.POWER if power_w else Rung.PAUSE, power_w)
    phases = 3 if unit == "A" else None
    return ProfileWindow(asked, setting, PLACE, "210000000", level, 300, 1e6, unit=unit, phases=phases, voltage_v=230)


def spoken(version, action, payload):
    """A call of ours in the words of a version, which keep its schema."""
    name, body = version.request(action, payload)
    frames.check(frames.CALL, name, body, version.number)
    return name, body


@pytest.mark.parametrize("version", OLDER, ids=["2.0.1", "1.6"])
@given(power_w=some.integers(0, 22_000), minutes=some.integers(1, 1_440), unit=some.sampled_from("WA"))
def test_every_limit_keeps_the_schema_and_ends_with_its_window(version, power_w, minutes, unit):
    made = window(power_w, minutes=minutes, unit=unit)
    _, body = spoken(version, "SetChargingProfile", charging_profiles.set_profile(made, NOW))
    profile = body.get("csChargingProfiles") or body["chargingProfile"]
    schedule = profile["chargingSchedule"]
    schedule = schedule if isinstance(schedule, dict) else schedule[0]
    (period,) = schedule["chargingSchedulePeriod"]
    assert profile["validTo"] == stamp(made.directive.end)
    assert schedule["duration"] == minutes * 60
    watts = period["limit"] * (1 if unit == "W" else 3 * 230)
    assert power_w - 70 < watts <= power_w + 1e-6
    assert ("numberPhases" in period) == (unit == "A")


@pytest.mark.parametrize("version", OLDER, ids=["2.0.1", "1.6"])
def test_a_discharge_is_refused_and_never_told_as_something_else(version):
    with pytest.raises(BackendError) as caught:
        version.request("SetChargingProfile", charging_profiles.set_profile(window(-7_000), NOW))
    assert caught.value.code is ErrorCode.NOT_SUPPORTED


@pytest.mark.parametrize("version", OLDER, ids=["2.0.1", "1.6"])
@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("ClearChargingProfile", {"chargingProfileId": 7}),
        ("ClearChargingProfile", {"chargingProfileCriteria": {"evseId": 2, "chargingProfilePurpose": "TxProfile"}}),
        ("TriggerMessage", {"requestedMessage": "TransactionEvent", "evse": {"id": 2}}),
        (
            "GetVariables",
            {"getVariableData": [{"component": {"name": "SmartChargingCtrlr"}, "variable": {"name": "RateUnit"}}]},
        ),
    ],
)
def test_what_else_is_asked_keeps_the_schema(version, action, payload):
    spoken(version, action, payload)


def test_16_has_no_word_for_what_it_cannot_do():
    with pytest.raises(BackendError) as caught:
        OCPP_16_STATIONS.request("GetChargingProfiles", {"requestId": 1, "chargingProfile": {}})
    assert caught.value.code is ErrorCode.NOT_SUPPORTED


def test_what_a_station_of_201_says_of_v2x_is_not_believed():
    row = {"component": {"name": "V2XChargingCtrlr"}, "variable": {"name": "Enabled"}, "attributeValue": "true"}
    assert not charging_points.variables(Station(version="2.0.1"), [row]).v2x
    assert charging_points.variables(Station(), [row]).v2x


def test_the_configuration_of_16_becomes_variables_and_asks_for_power_each_minute():
    told = {
        "configurationKey": [
            {"key": "ChargingScheduleAllowedChargingRateUnit", "readonly": True, "value": "Current"},
            {"key": "ChargeProfileMaxStackLevel", "readonly": True, "value": "4"},
            {"key": "NumberOfConnectors", "readonly": True, "value": "1"},
            {"key": "MeterValueSampleInterval", "readonly": False, "value": "0"},
            {"key": "MeterValuesSampledData", "readonly": False, "value": ""},
        ]
    }
    frames.check(frames.RESULT, "GetConfiguration", told, "1.6")
    rows = OCPP_16_STATIONS.answer("GetVariables", told)["getVariableResult"]
    station = charging_points.variables(Station(version="1.6"), rows)
    assert (station.rate_units, station.highest_level, station.v2x) == ({"A"}, 4, False)
    said = []
    asked = OCPP_16_STATIONS.after_greeting(rows, [1, 2], said.append)
    changes = {payload["key"]: payload["value"] for action, payload in asked if action == "ChangeConfiguration"}
    assert changes == {"MeterValueSampleInterval": "60", "MeterValuesSampledData": POWER}
    assert len(said) == 1
    for action, payload in asked:
        spoken(OCPP_16_STATIONS, action, payload)


class StandingClock:
    at = NOW

    def now(self):
        return self.at


class SilentOwner:
    def changed(self, ref):
        pass


class Counter16:
    """A station of 1.6J with two connectors in our central system; its calls go through the schemas both ways."""

    def __init__(self, folder=None) -> None:
        self.log = TransactionLog(folder and folder / "transactions.jsonl")
        self.log.open(["CP-1"])
        places = [
            RegisteredPoint(ref=f"car-{evse}", station="CP-1", usable_wh=60_000, max_charge_w=11_000, evse=evse)
            for evse in (1, 2)
        ]
        self.clock = StandingClock()
        self.register = Register(["CP-1"], places, self.clock, SilentOwner(), Alarms(None), self.log)
        quiet = (lambda: None, lambda _: None)
        self.handlers = MessageHandlers("CP-1", self.register, {}, 300, *quiet, OCPP_16_STATIONS).handlers()

    def call(self, action, **payload):
        frames.check(frames.CALL, action, payload, "1.6")
        answer = self.handlers[action](payload)
        frames.check(frames.RESULT, action, answer, "1.6")
        return answer

    def start(self, connector=1, after_s=0.0, meter=1_000):
        at = stamp(NOW + timedelta(seconds=after_s))
        answer = self.call("StartTransaction", connectorId=connector, idTag="TAG", meterStart=meter, timestamp=at)
        return answer["transactionId"]

    def meter(self, *samples, connector=1, after_s=1.0, **more):
        value = {"timestamp": stamp(NOW + timedelta(seconds=after_s)), "sampledValue": list(samples)}
        self.call("MeterValues", connectorId=connector, meterValue=[value], **more)

    def point(self, evse=1):
        return self.register.point(f"car-{evse}")


@pytest.fixture
def counter():
    made = Counter16()
    yield made
    made.log.close()


def watts(text, **more):
    return {"value": text, "measurand": POWER, "unit": "W"} | more


def test_a_start_gets_a_number_and_its_readings_count(counter):
    number = counter.start()
    counter.clock.at = NOW + timedelta(seconds=2)
    counter.meter(watts("7000.5"), transactionId=number)
    assert (counter.point().transaction, counter.point().snapshot.power_w.value) == (str(number), 7_000.5)
    counter.meter(watts("6000"), after_s=2.0)  # without the number, as some stations do
    assert counter.point().snapshot.power_w.value == 6_000
    assert counter.point(2).transaction is None


@pytest.mark.parametrize(
    ("samples", "power_w"),
    [
        ([watts("7.2", unit="kW")], 7_200),
        ([watts("x")], None),
        ([watts("NaN")], None),
        ([watts("1_000")], None),
        ([watts("1e400")], None),
        ([watts("12,5")], None),
        ([watts(" 1500 ")], 1_500),
        ([watts("1000", phase=f"L{n}") for n in (1, 2, 3)], 3_000),
        ([watts("1000", phase="L1"), watts("?", phase="L2")], None),
        ([watts("AQID", format="SignedData"), watts("900")], 900),
    ],
)
def test_readings_are_texts_and_what_is_no_number_makes_no_value(counter, samples, power_w):
    counter.clock.at = NOW + timedelta(seconds=2)
    counter.start()
    counter.meter(*samples)
    told = counter.point().snapshot.power_w
    assert (told and told.value) == power_w


def test_a_start_said_again_gets_the_same_number_and_another_gets_another(counter):
    first = counter.start()
    assert counter.start() == first
    assert len({first, counter.start(2), counter.start(after_s=10)}) == 3


@given(stops=some.lists(some.booleans(), max_size=8), seconds=some.integers(0, 10))
def test_numbers_are_unique_in_every_life_with_and_without_a_memory(stops, seconds):
    log = TransactionLog(None)
    now, numbers = NOW, []
    for forgets in stops:
        if forgets:
            log, now = TransactionLog(None), now + timedelta(seconds=seconds + len(numbers) + 1)
        numbers.append(log.next_number(now))
        log.note("CP-1", str(numbers[-1]), TransactionRecord(1, 0))
    assert len(set(numbers)) == len(numbers)
    assert all(0 < one < 2**31 for one in numbers)


def test_the_next_life_finds_the_transaction_and_numbers_on(tmp_path):
    first = Counter16(tmp_path)
    number = first.start()
    first.log.close()
    later = Counter16(tmp_path)
    later.call("StatusNotification", connectorId=1, errorCode="NoError", status="Charging", timestamp=stamp(NOW))
    assert later.point().transaction == str(number)
    assert later.start(2) > number
    later.log.close()


@pytest.mark.parametrize(("reason", "unplugged"), [("EVDisconnected", True), ("Local", False), (None, False)])
def test_a_stop_ends_the_transaction_and_only_a_pulled_cable_leaves_no_car(counter, reason, unplugged):
    number = counter.start()
    more = {} if reason is None else {"reason": reason}
    at = stamp(NOW + timedelta(seconds=5))
    counter.clock.at = NOW + timedelta(seconds=5)
    counter.call("StopTransaction", transactionId=number, meterStop=2_000, timestamp=at, **more)
    point = counter.point()
    assert (point.transaction, point.snapshot.power_w.value) == (None, 0.0)
    assert (point.snapshot.plugged.value == "no") is unplugged
    counter.meter(watts("7000"), transactionId=number, after_s=6)
    assert counter.point().transaction is None


def test_states_of_connectors_say_what_a_transaction_does(counter):
    counter.start()
    states = {"SuspendedEVSE": "NO_POWER", "SuspendedEV": "STOPPED"}
    for second, (status, state) in enumerate(states.items(), 1):
        counter.clock.at = NOW + timedelta(seconds=second)
        at = stamp(counter.clock.at)
        counter.call("StatusNotification", connectorId=1, errorCode="NoError", status=status, timestamp=at)
        assert counter.point().snapshot.charge_state.value == state
    counter.call("StatusNotification", connectorId=0, errorCode="NoError", status="Available")


def test_what_nobody_uses_is_taken_politely(counter):
    assert counter.call("DataTransfer", vendorId="v") == {"status": "UnknownVendorId"}
    assert counter.call("DiagnosticsStatusNotification", status="Idle") == {}
    assert counter.call("FirmwareStatusNotification", status="Installed") == {}
    assert counter.call("Authorize", idTag="TAG")["idTagInfo"]["status"] == "Accepted"
    assert counter.call("BootNotification", chargePointVendor="v", chargePointModel="m")["status"] == "Accepted"


def composed(*limits, unit="W", duration=7_200):
    periods = [{"startPeriod": start, "limit": limit} for start, limit in limits]
    return {"scheduleStart": stamp(NOW), "duration": duration, "chargingRateUnit": unit} | {
        "chargingSchedulePeriod": periods
    }


@pytest.mark.parametrize(
    ("windows", "schedule", "held"),
    [
        ([window(3_000)], composed((0, 3_000.0)), {"d-1"}),
        ([window(3_000)], composed((0, 11_000.0)), set()),
        ([window(3_000)], composed((0, 1_000.0)), {"d-1"}),
        ([window(3_000)], composed(), set()),
        ([window(5_000, name="old"), window(3_000, level=2)], composed((0, 3_000.0)), {"old", "d-1"}),
        ([window(5_000, name="old"), window(3_000, level=2)], composed((0, 5_000.0)), {"old"}),
        ([window(2_000, name="old"), window(3_000, level=2)], composed((0, 2_000.0)), {"old"}),
        ([window(3_000, starts_in_s=1_800)], composed((0, 11_000.0), (1_800, 3_000.0)), {"d-1"}),
        ([window(3_000, starts_in_s=1_800)], composed((0, 11_000.0)), set()),
        ([window(3_000, starts_in_s=90_000)], composed((0, 11_000.0)), {"d-1"}),
        ([window(5_000, unit="A")], composed((0, 7.2), unit="A"), {"d-1"}),
        ([window(0)], composed((0, 0.0)), {"d-1"}),
    ],
)
def test_the_limit_that_is_told_says_which_profiles_are_held(windows, schedule, held):
    found = composite.held(windows, schedule, NOW)
    assert set(found) == {profile_id(name) for name in held}


@given(starts_in_s=some.integers(-3_600, 200_000))
def test_a_schedule_is_asked_for_long_enough_and_a_day_at_most(starts_in_s):
    asked = composite.duration_s([window(3_000, starts_in_s=starts_in_s)], NOW)
    assert 60 <= asked <= 86_400
    assert asked > min(starts_in_s, 86_399)


@given(some.floats(allow_nan=True) | some.text(max_size=8))
def test_no_text_breaks_a_reading(value):
    made = Counter16()
    made.start()
    made.meter(watts(str(value)))
    told = made.point().snapshot.power_w
    assert told is None or math.isfinite(told.value)
