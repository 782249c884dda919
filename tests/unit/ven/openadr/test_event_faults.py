"""What is not understood of events: judged whole when read, told once per version, standing as long as it matters."""

import logging

from timeline_cases import DAY, HOUR, event, stamp

from ven_adapters.ven.openadr.event_faults import (
    MOST_FAULTS,
    NOT_UNDERSTOOD,
    EventFault,
    EventFaults,
    EventFindings,
    faults_of,
    report_body,
    report_key,
)
from ven_adapters.ven.openadr.zone_requests import UnusedPayload
from vtn.wire.report import ReportRequest

FAR = {"start": stamp(DAY + 400 * HOUR), "duration": "PT1H"}
LIMIT = EventFault(0, "IMPORT_CAPACITY_LIMIT", "units: 'kWh' measures an energy, not a power", binds=True)


def limits(*values, units="kW", **more):
    described = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "IMPORT_CAPACITY_LIMIT", "units": units}
    payloads = [{"type": "IMPORT_CAPACITY_LIMIT", "values": [value]} for value in values]
    return event(payloads, period=FAR, payloadDescriptors=[described], **more)


def findings(*faults, version="e1@1", unused=()):
    return EventFindings("e1", version, faults, unused)


def said(caplog):
    return [(one.levelname, one.getMessage()) for one in caplog.records]


def test_an_event_is_judged_whole_however_far_ahead_its_intervals_are():
    (fault,) = faults_of(limits(10, "ten", 20), (), {})
    assert str(fault) == "interval 1, IMPORT_CAPACITY_LIMIT: values: 'ten' is not a number"
    assert fault.binds


def test_every_one_of_packed_values_is_judged():
    packed = event([{"type": "PRICE", "values": [0.1, True, 0.3]}], period=FAR)
    assert [fault.rule for fault in faults_of(packed, (), {})] == ["values: needs one number"]
    empty = event([{"type": "PRICE", "values": []}], period=FAR)
    assert [fault.rule for fault in faults_of(empty, (), {})] == ["values: needs one number"]


def test_one_fault_of_many_intervals_is_one_and_there_are_never_too_many():
    assert len(faults_of(limits(*[10] * 500, units="kWh"), (), {})) == 1
    assert len(faults_of(limits(*[f"no {n}" for n in range(500)]), (), {})) == MOST_FAULTS


def test_what_is_not_for_these_cars_is_not_judged():
    assert faults_of(limits("ten"), (), {"IMPORT_CAPACITY_LIMIT": "another program"}) == ()


def test_an_event_that_is_not_understood_is_told_once_per_version(caplog):
    faults = EventFaults()
    for _ in range(3):
        faults.judge([findings(LIMIT)])
    faults.judge([])
    faults.judge([findings(LIMIT)])
    ((level, message),) = said(caplog)
    assert level == "ERROR"
    assert message.startswith("ALARM: event e1 is not understood: interval 0, IMPORT_CAPACITY_LIMIT: units: 'kWh'")
    faults.judge([findings(LIMIT, version="e1@2")])
    assert len(said(caplog)) == 2
    assert faults.counts == {"not_understood_binding": 2}


def test_an_alarm_stands_until_the_event_is_changed_or_gone():
    faults = EventFaults()
    faults.judge([findings(LIMIT)])
    assert [one.version for one in faults.reports()] == ["e1@1"]
    assert faults.plain()["alarms"] == [f"event e1 is not understood: {LIMIT}"]
    faults.judge([findings(version="e1@2")])
    assert (faults.alarms, faults.reports()) == ([], [])
    assert faults.plain() == {"alarms": [], "alarms_in_all": 0, "told_of_events": {"not_understood_binding": 1}}


def test_what_does_not_bind_is_told_without_an_alarm_or_a_report(caplog):
    faults = EventFaults()
    faults.judge([findings(EventFault(0, "X_TELEPORT", "type: no action of a car is defined for it", binds=False))])
    assert [level for level, _ in said(caplog)] == ["WARNING"]
    assert (faults.alarms, faults.reports()) == ([], [])


def test_an_event_of_a_program_that_nobody_is_in_is_told_once(caplog):
    faults = EventFaults()
    for _ in range(2):
        faults.judge([findings(unused=("program B is none of those",))])
    assert said(caplog) == [("WARNING", "event e1 is not acted on: program B is none of those")]
    assert faults.counts == {"of_other_programs": 1}


def test_a_program_name_that_the_vtn_does_not_have_is_an_alarm_until_it_does(caplog):
    faults = EventFaults()
    faults.judge([], ["EV2-A"])
    faults.judge([], ["EV2-A"])
    assert faults.alarms == ["no program of the VTN is called 'EV2-A'"]
    assert len(said(caplog)) == 1
    faults.judge([], [])
    assert faults.alarms == []


def test_what_only_a_cycle_sees_is_told_once_and_nothing_twice(caplog):
    caplog.set_level(logging.WARNING)
    faults = EventFaults()
    faults.judge([findings(LIMIT)])
    foreign = UnusedPayload("e2", 0, "PRICE", "currency: EUR is not USD, that of the preferred event")
    for _ in range(2):
        faults.unknown([foreign, UnusedPayload("e1", 0, "IMPORT_CAPACITY_LIMIT", "units: ...; 5 kW stays in force")])
    assert [message for _, message in said(caplog)][1:] == [f"event e2: PRICE is not acted on: {foreign.why}"]


def test_the_report_names_field_and_rule_by_interval_and_is_a_report_of_the_standard():
    second = EventFault(3, "SIMPLE", "values: needs one number", binds=True)
    body = report_body(findings(LIMIT, second), "bmw")
    report = ReportRequest.model_validate(body)
    (resource,) = report.resources
    told = {one.id: (one.payloads[0].type, one.payloads[0].values) for one in resource.intervals}
    assert told == {0: (NOT_UNDERSTOOD, (str(LIMIT),)), 3: (NOT_UNDERSTOOD, (str(second),))}
    assert report_key(findings(LIMIT)) == "e1@1/not-understood"


def test_an_event_that_cannot_be_read_at_all_is_told_as_that():
    assert (
        str(EventFault(0, "", "intervals: must be a list", binds=True)) == "cannot be read: intervals: must be a list"
    )
