"""Transactions of stations that name their EVSE once: where they run, in which order they are told, and their end."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ven_adapters.contract import Known, Validity
from ven_adapters.transport.ocpp21 import frames
from ven_adapters.transport.ocpp21.message_handlers import MessageHandlers
from ven_adapters.transport.ocpp21.stations import transactions
from ven_adapters.transport.ocpp21.stations.charging_points import RegisteredPoint
from ven_adapters.transport.ocpp21.stations.inverter_alarms import Alarms
from ven_adapters.transport.ocpp21.stations.meter_values import stamp
from ven_adapters.transport.ocpp21.stations.operator_notices import clock_text
from ven_adapters.transport.ocpp21.stations.station_registry import Register
from ven_adapters.transport.ocpp21.stations.transactions import KEPT_PER_STATION, TransactionLog, TransactionRecord

NOW = datetime(2026, 9, 1, 21, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def logs():
    """Every log of a test is closed after it."""
    made.clear()
    yield
    for log in made:
        log.close()


made = []


def opened(path, *stations):
    log = TransactionLog(path)
    made.append(log)
    log.open(stations)
    return log


class Clock:
    """A clock that stands until it is set."""

    at = NOW

    def now(self):
        return self.at


class Owner:
    """Keeps whose points changed."""

    def __init__(self) -> None:
        self.priors = []

    def changed(self, ref):
        pass

    def back(self, ref):
        pass

    def prior(self, ref, *, on):
        self.priors.append((ref, on))


class Counter:
    """A station's counter in our central system: what it calls goes through the schemas both ways, as on a line."""

    def __init__(self, folder=None, evses=(1,)) -> None:
        self.log = opened(folder and folder / "transactions.jsonl", "CP-1")
        places = [
            RegisteredPoint(ref=f"car-{evse}", station="CP-1", usable_wh=60_000, max_charge_w=11_000, evse=evse)
            for evse in evses
        ]
        self.clock, self.owner = Clock(), Owner()
        self.register = Register(["CP-1"], places, self.clock, self.owner, Alarms(None), self.log)
        self.begun = []
        desk = MessageHandlers("CP-1", self.register, {}, 300, lambda: None, self.begun.append)
        self.handlers = desk.handlers()

    def call(self, action, payload):
        frames.check(frames.CALL, action, payload)
        answer = self.handlers[action](payload)
        frames.check(frames.RESULT, action, answer)
        return answer

    def event(self, kind, seq_no, transaction="tx-1", *, after_s=0.0, evse=None, power_w=None, **more):
        at = stamp(NOW + timedelta(seconds=after_s))
        info = {"transactionId": transaction, "chargingState": "Charging"} | more.pop("info", {})
        fixed = {"eventType": kind, "timestamp": at, "triggerReason": "MeterValuePeriodic", "seqNo": seq_no}
        body = fixed | {"transactionInfo": info} | more
        body |= {} if evse is None else {"evse": {"id": evse}}
        if power_w is not None:
            sampled = [{"value": power_w, "measurand": "Power.Active.Import"}]
            body["meterValue"] = [{"timestamp": at, "sampledValue": sampled}]
        return self.call("TransactionEvent", body)

    def runs(self, evse=1):
        return self.register.point(f"car-{evse}").transaction

    def power_w(self, evse=1):
        reading = self.register.point(f"car-{evse}").snapshot.power_w
        return reading and reading.value


def started(counter, transaction="tx-1", evse=1, **more):
    counter.event("Started", 0, transaction, evse=evse, **more)


def test_after_the_first_event_the_id_alone_is_enough():
    counter = Counter(evses=(1, 2))
    started(counter, "tx-2", evse=2)
    counter.event("Updated", 1, "tx-2", power_w=7_000)
    assert (counter.runs(1), counter.runs(2), counter.power_w(2)) == (None, "tx-2", 7_000)


def test_the_place_is_remembered_by_the_next_life(tmp_path):
    started(Counter(tmp_path, (1, 2)), "tx-2", evse=2)
    later = Counter(tmp_path, (1, 2))
    later.event("Updated", 7, "tx-2", power_w=7_000)
    assert (later.runs(1), later.runs(2)) == (None, "tx-2")
    later.call("NotifyPriorityCharging", {"transactionId": "tx-2", "activated": True})
    assert later.owner.priors == [("car-2", True)]


def test_the_end_is_remembered_by_the_next_life(tmp_path):
    first = Counter(tmp_path)
    started(first)
    first.event("Ended", 3)
    later = Counter(tmp_path)
    later.event("Updated", 2, offline=True, power_w=7_000)
    assert (later.runs(), later.power_w()) == (None, None)


def test_a_place_that_cannot_be_written_down_is_not_taken(tmp_path, monkeypatch):
    counter = Counter(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        started(counter)
    monkeypatch.undo()
    assert counter.runs() is None
    started(counter)
    assert counter.runs() == "tx-1"
    assert Counter(tmp_path).log.find("CP-1", "tx-1").evse == 1


@pytest.mark.parametrize(
    "torn",
    [
        b'["CP-1", "tx-2',
        b"\xff\xfe",
        b"[]",
        b'["CP-1", "tx-2", "x", 0, false]',
        b'["CP-1", "tx-2", 1e999, 0, false]',
        b'[["CP-1"], "tx-2", 1, 0, false]',
        b'{"a": 1}',
        b"[" * 100_000,
    ],
    ids=lambda torn: repr(torn[:20]),
)
def test_a_torn_line_takes_no_other_with_it(tmp_path, torn):
    started(Counter(tmp_path))
    with (tmp_path / "transactions.jsonl").open("ab") as file:
        file.write(torn)
    second = Counter(tmp_path)
    started(second, "tx-3")
    third = Counter(tmp_path)
    assert {name for name in ("tx-1", "tx-2", "tx-3") if third.log.find("CP-1", name)} == {"tx-1", "tx-3"}


def test_a_file_that_cannot_be_shortened_goes_on_being_written(tmp_path, monkeypatch, caplog):
    log = opened(tmp_path / "log", "CP-1")
    monkeypatch.setattr(transactions, "LINES", 2)
    monkeypatch.setattr(transactions, "write_private", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    for number in range(9):
        log.note("CP-1", f"tx-{number}", TransactionRecord(1, 0))
    assert "could not be shortened" in caplog.text
    monkeypatch.undo()
    after = opened(tmp_path / "log", "CP-1")
    assert all(after.find("CP-1", f"tx-{number}") for number in range(9))


def test_what_is_remembered_of_a_station_is_bounded(tmp_path):
    log = opened(tmp_path / "log", "CP-1")
    for number in range(200):
        log.note("CP-1", f"tx-{number}", TransactionRecord(1, 0))
    assert len([number for number in range(200) if log.find("CP-1", f"tx-{number}")]) == KEPT_PER_STATION
    again = opened(tmp_path / "log", "CP-2")
    assert again.find("CP-1", "tx-199") is None


def test_a_stations_only_car_has_what_names_no_evse():
    counter = Counter()
    counter.event("Updated", 9)
    assert counter.runs() == "tx-1"


def test_a_station_with_an_evse_that_is_nobodys_has_no_only_place(caplog):
    counter = Counter()
    with caplog.at_level(logging.WARNING):
        started(counter, "tx-2", evse=2)
        for seq_no in range(5):
            counter.event("Updated", seq_no, "tx-9")
    assert counter.runs() is None
    assert counter.register.station("CP-1").unplaced == 5
    assert len([one for one in caplog.messages if "names no EVSE" in one]) == 1
    assert sum(counter.register.notices.counts("CP-1").values()) == 5


def test_an_unknown_transaction_does_not_push_out_the_one_that_runs():
    counter = Counter()
    started(counter)
    counter.event("Updated", 4, "tx-9")
    counter.event("Ended", 5, "tx-9")
    assert counter.runs() == "tx-1"


def test_an_event_that_we_asked_for_is_that_of_the_evse_we_asked():
    counter = Counter(evses=(1, 2))
    answered = counter.register.triggers.begin("CP-1", 2)
    counter.event("Updated", 9, triggerReason="Trigger")
    assert (counter.runs(1), counter.runs(2)) == (None, "tx-1")
    assert answered.is_set()


def test_after_an_answer_that_did_not_come_nothing_is_concluded_until_the_next_connection():
    counter = Counter(evses=(1, 2))
    counter.register.triggers.begin("CP-1", 1)
    counter.register.triggers.end("CP-1", lost=True)
    counter.register.triggers.begin("CP-1", 2)
    counter.event("Updated", 9, triggerReason="Trigger")
    assert (counter.runs(1), counter.runs(2)) == (None, None)
    counter.register.reach("CP-1", connected=True)
    counter.register.triggers.begin("CP-1", 2)
    counter.event("Updated", 10, triggerReason="Trigger")
    assert (counter.runs(1), counter.runs(2)) == (None, "tx-1")


# The order of what is told.


def test_nothing_follows_the_end_of_a_transaction():
    counter = Counter()
    started(counter, power_w=7_000)
    counter.event("Ended", 3, after_s=60)
    for seq_no, after_s in ((2, 60), (3, 60), (4, 61), (2, 3_600)):
        counter.event("Updated", seq_no, after_s=after_s, power_w=7_000)
        assert (counter.runs(), counter.power_w()) == (None, 0)


def test_a_new_transaction_begins_anew_in_the_same_second():
    counter = Counter()
    started(counter)
    counter.event("Ended", 3)
    started(counter, "tx-2")
    counter.event("Updated", 1, "tx-2", power_w=7_000)
    assert (counter.runs(), counter.power_w(), counter.begun) == ("tx-2", 7_000, ["car-1", "car-1"])


def test_what_comes_late_of_the_transaction_before_ends_nothing():
    counter = Counter()
    started(counter)
    started(counter, "tx-2", after_s=1)
    counter.event("Updated", 5, after_s=2, power_w=7_000)
    counter.event("Ended", 6, after_s=2)
    assert (counter.runs(), counter.power_w()) == ("tx-2", None)


def test_a_clock_that_was_set_back_hides_neither_a_beginning_nor_an_end():
    counter = Counter()
    started(counter)
    counter.event("Ended", 1)
    started(counter, "tx-2", after_s=-7_200)
    assert counter.runs() == "tx-2"
    counter.event("Updated", 1, "tx-2", after_s=0)
    counter.event("Ended", 2, "tx-2", after_s=-7_100)
    assert counter.runs() is None


@given(some.permutations([("Started", 0), ("Updated", 2), ("Updated", 5), ("Updated", 6), ("Ended", 9)]))
def test_in_whatever_order_a_queue_comes_the_transaction_is_over_at_last(told):
    counter = Counter()
    for kind, seq_no in told:
        counter.event(kind, seq_no, after_s=float(seq_no), offline=True, evse=1 if kind == "Started" else None)
    assert counter.runs() is None


@given(some.permutations([("Started", 0), ("Updated", 2), ("Updated", 5), ("Updated", 6)]), some.booleans())
def test_in_whatever_order_a_queue_comes_the_newest_number_counts(told, same_second):
    counter = Counter()
    for kind, seq_no in told:
        state = "SuspendedEVSE" if seq_no == 6 else "EVConnected"
        power_w = 0 if seq_no == 6 else 7_000
        after_s = 0.0 if same_second else float(seq_no)
        more = {"info": {"chargingState": state}, "evse": 1 if kind == "Started" else None}
        counter.event(kind, seq_no, after_s=after_s, offline=True, power_w=power_w, **more)
    point = counter.register.point("car-1")
    assert (point.transaction, point.snapshot.charge_state.value.value) == ("tx-1", "NO_POWER")
    assert counter.power_w() == 0


# Connectors.


def test_a_free_connector_beside_an_occupied_one_is_no_car_unplugged():
    counter = Counter()
    for connector, status in ((1, "Occupied"), (2, "Available")):
        more = {"timestamp": stamp(NOW), "connectorStatus": status, "evseId": 1, "connectorId": connector}
        counter.call("StatusNotification", more)
    assert counter.register.point("car-1").snapshot.plugged is None
    counter.call("StatusNotification", more | {"connectorId": 1})
    assert counter.register.point("car-1").snapshot.plugged.value is Known.NO


# Clocks that are wrong.


def local(counter, hours, **more):
    """An event of a station that writes another zone's time without an offset."""
    at = (NOW + hours * HOUR).isoformat()[:19]
    sampled = [{"value": 0, "measurand": "Power.Active.Import"}]
    body = {"timestamp": at, "meterValue": [{"timestamp": at, "sampledValue": sampled}]}
    counter.event("Updated", 1, **(body | {"triggerReason": "Trigger"} | more))


@pytest.mark.parametrize(("hours", "words"), [(2, "2 h ahead"), (-7, "7 h behind"), (72, "3 days ahead")])
def test_a_clock_that_is_out_is_said_once_and_proves_nothing(caplog, hours, words):
    counter = Counter()
    with caplog.at_level(logging.WARNING):
        local(counter, hours)
        local(counter, hours)
    power = counter.register.point("car-1").snapshot.power_w
    assert power.validity is not Validity.OK
    said = [one for one in caplog.messages if "clock" in one]
    assert len(said) == 1
    assert words in said[0]
    assert "no offset" in said[0]
    assert clock_text(counter.register.station("CP-1").clock_offset_s).endswith(words)


def test_what_a_clock_ahead_stamped_hours_ago_proves_nothing_either():
    counter = Counter()
    local(counter, 2)
    counter.event("Updated", 2, after_s=-60.0, power_w=0, offline=True)
    assert counter.register.point("car-1").snapshot.power_w.validity is not Validity.OK


def test_a_clock_that_was_put_right_proves_again(caplog):
    counter = Counter()
    local(counter, 2)
    with caplog.at_level(logging.WARNING):
        counter.event("Updated", 2, power_w=0)
        counter.event("Updated", 3, after_s=1, power_w=0)
    assert counter.register.point("car-1").snapshot.power_w.validity is Validity.OK
    assert counter.register.station("CP-1").clock_offset_s == 0
    assert "right again" in caplog.text


def test_what_a_station_queued_while_it_was_offline_is_no_wrong_clock():
    counter = Counter()
    started(counter, after_s=-7_200, offline=True)
    counter.event("Updated", 1, after_s=-7_100, offline=True)
    counter.event("Updated", 2, after_s=-7_000)
    assert counter.register.station("CP-1").clock_offset_s == 0


def test_a_clock_a_few_minutes_ahead_is_to_be_used_and_proves_nothing():
    counter = Counter()
    counter.event("Updated", 1, after_s=300, power_w=4_000)
    power = counter.register.point("car-1").snapshot.power_w
    assert (power.value, power.validity, power.observed_at) == (4_000, Validity.STALE, NOW)


def test_whoever_asks_the_time_is_told_ours():
    counter = Counter()
    assert counter.call("Heartbeat", {})["currentTime"] == stamp(NOW)
    boot = {"reason": "PowerUp", "chargingStation": {"model": "m", "vendorName": "v"}}
    assert counter.call("BootNotification", boot)["currentTime"] == stamp(NOW)


# Alarms.


@pytest.mark.parametrize(
    ("ends", "left"),
    [
        ([("LVMustTrip", "UnderVoltage")], 1),
        ([("LVMustTrip", None)], 1),
        ([("LVMustTrip", None), ("LVMomCess", "UnderVoltage")], 0),
        ([("HVMustTrip", "UnderVoltage")], 2),
    ],
)
def test_an_alarm_stands_until_its_own_end(ends, left):
    counter = Counter()

    def tell(kind, fault, **more):
        named = {} if fault is None else {"gridEventFault": fault}
        counter.call("NotifyDERAlarm", {"controlType": kind, "timestamp": stamp(NOW)} | named | more)

    for kind in ("LVMustTrip", "LVMomCess"):
        tell(kind, "UnderVoltage")
    for end in ends:
        tell(*end, alarmEnded=True)
    assert len(counter.register.station("CP-1").alarms) == left


# What is taken and not used.


def test_what_is_not_used_is_counted_and_said_once(caplog):
    counter = Counter()
    body = {"timestamp": stamp(NOW), "type": "StartupOfTheDevice"}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            counter.call("SecurityEventNotification", body)
    assert counter.register.notices.counts("CP-1") == {"SecurityEventNotification is taken and not used": 3}
    assert len(caplog.messages) == 1


def test_der_controls_stand_from_their_start_to_their_end_or_until_another_takes_their_place():
    counter = Counter()
    standing = []
    for control, started, superseded in (("a", True, []), ("b", True, ["a"]), ("c", False, []), ("b", False, [])):
        more = {"supersededIds": superseded} if superseded else {}
        counter.call("NotifyDERStartStop", {"controlId": control, "started": started, "timestamp": stamp(NOW)} | more)
        standing.append(counter.register.station("CP-1").controls)
    assert standing == [{"a"}, {"b"}, {"b"}, set()]
    for number in range(100):
        counter.call("NotifyDERStartStop", {"controlId": str(number), "started": True, "timestamp": stamp(NOW)})
    assert len(counter.register.station("CP-1").controls) <= 24
