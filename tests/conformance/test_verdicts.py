"""How failures that share a cause become one accusation, and how reports hold whatever a VTN sends."""

import dataclasses
import sys
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.checking.verdict import Cause, Failed, Outcome
from vtn.conformance import report
from vtn.conformance.bodies import members
from vtn.conformance.bodies.field_cases import alike, kept, same_duration
from vtn.conformance.check import CHECKS, ConformanceCheck
from vtn.conformance.parties.channel import MOST_MISSES, NotificationChannel
from vtn.conformance.parties.exchange import Exchange, HttpAnswer
from vtn.conformance.requirements import Level
from vtn.conformance.runner import Run
from vtn.conformance.verdicts import Result, accused_once


async def holds(_kit):
    """A check that does nothing."""


def failed(name, *requirements, cause=None, level=Level.SHALL):
    return Result(ConformanceCheck(name, "claim", requirements, level, (), holds), Outcome.FAILED, "words", cause=cause)


def outcomes(*results):
    return [(one.check.name, one.outcome.value, one.blocked_by) for one in accused_once(results)]


def test_a_general_cause_is_accused_by_the_check_that_is_about_it():
    cause = members.missing("RESOURCE", "clientID")
    found = outcomes(failed("other", "RES-01", cause=cause), failed("owner", "RES-F02"), failed("own claim", "RES-05"))
    blocked = ("other", "blocked", "RES-F02 (owner)")
    assert found == [blocked, ("owner", "failed", ""), ("own claim", "failed", "")]


def test_a_general_cause_that_no_check_is_about_is_accused_by_the_first_strongest():
    cause = Cause("nothing answers", ("ERR-12",), general=True)
    weak = failed("weak", "INT-13", cause=cause, level=Level.READING)
    found = outcomes(weak, failed("first", "RES-01", cause=cause), failed("second", "RES-02", cause=cause))
    assert [outcome for _, outcome, _ in found] == ["blocked", "failed", "blocked"]
    assert {by for _, _, by in found} == {"", "RES-01 (first)"}


def test_a_special_cause_blocks_only_when_its_own_check_failed():
    cause = Cause("POST /events refuses targets", ("EVT-F05",))
    assert outcomes(failed("user", "TGT-01", cause=cause)) == [("user", "failed", "")]
    found = outcomes(failed("user", "TGT-01", cause=cause), failed("owner", "EVT-F05"))
    assert found == [("user", "blocked", "EVT-F05 (owner)"), ("owner", "failed", "")]


CAUSES = st.builds(
    Cause,
    st.sampled_from("abc"),
    st.lists(st.sampled_from(("EVT-01", "EVT-02", "EVT-03")), max_size=2).map(tuple),
    general=st.booleans(),
)
ROWS = st.sampled_from(("EVT-01", "EVT-02", "EVT-03", "EVT-04"))
RESULTS = st.lists(st.tuples(ROWS, st.none() | CAUSES), max_size=12)


@given(RESULTS)
def test_whatever_is_blocked_leads_to_an_accusation(rows):
    results = [failed(f"check {number}", row, cause=cause) for number, (row, cause) in enumerate(rows)]
    found = {one.check.name: one for one in accused_once(results)}
    for one in found.values():
        seen = set()
        accuser = one
        while accuser.outcome is Outcome.BLOCKED:
            assert accuser.check.name not in seen
            seen.add(accuser.check.name)
            accuser = found[accuser.blocked_by.partition("(")[2].rstrip(")")]
        assert accuser.outcome is Outcome.FAILED
    own = [one for one, (_, cause) in zip(found.values(), rows, strict=True) if cause is None]
    assert {one.outcome for one in own} <= {Outcome.FAILED}


def test_every_member_of_a_schema_has_an_owner_and_required_ones_are_general():
    for kind, model in members.MODELS.items():
        for name, field in model.model_fields.items():
            cause = members.missing(kind, field.alias or name)
            assert cause.owners, (kind, name)
            assert cause.general is field.is_required(), (kind, name)


def test_a_member_that_is_missing_is_a_failure_with_its_cause():
    answer = HttpAnswer(
        "GET", "http://x/resources/1", 200, {}, b'{"id": "1", "objectType": "RESOURCE"}', "/resources/1"
    )
    with pytest.raises(Failed, match="the resource should have `clientID`") as caught:
        answer.object["clientID"]
    assert caught.value.cause == Cause("RESOURCE without clientID", ("RES-F02",), general=True)
    assert answer.object.get("clientID") is None
    assert "clientID" not in answer.object


@pytest.mark.parametrize("content", [b"", b"no", b"[" * 100_000, b"\xff\x00"])
def test_a_body_that_is_no_json_is_accused_as_that(content):
    with pytest.raises(Failed, match="not JSON") as caught:
        HttpAnswer("GET", "http://x/events", 200, {}, content, "/events").list  # noqa: B018 - reading it is the test
    assert caught.value.cause.owners == ("GEN-02",)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("PT1H", "P0Y0M0DT1H0M0S", True),
        ("PT1H", "PT60M", True),
        ("P1W", "P7D", True),
        ("P9999Y", "P9999Y0M0DT0H0M0S", True),
        ("PT0S", "P0D", True),
        ("-PT5M", "-P0Y0M0DT0H5M0S", True),
        ("PT0.5S", "PT0.500S", True),
        ("P1M", "P30D", False),
        ("PT1H", "PT1M", False),
        ("PT1H", "", False),
        ("PT1H", None, False),
    ],
)
def test_durations_are_compared_as_durations(one, other, same):
    assert same_duration(one, other) is same
    assert kept({"duration": one}, {"duration": other}) is same


def test_two_views_of_an_object_may_leave_out_what_has_its_default():
    request = {"aggregate": False, "repeat": 1}
    whole = {"priority": None, "targets": [], "reportDescriptors": [request], "duration": "PT0S"}
    assert alike(whole, {"reportDescriptors": [{}]})
    assert not alike({"priority": 3}, {})
    assert not alike({}, {"priority": 3})
    assert not alike({"priority": 1}, {"priority": True})


async def test_a_channel_is_dead_after_three_misses_and_a_last_try():
    channel = NotificationChannel("webhook", ("NOTIF-05",))
    tries = []

    async def simplest():
        tries.append("tried")
        raise channel.never_came("nothing")

    channel.arrived()
    for _ in range(MOST_MISSES):
        await channel.judge(simplest)
        assert not channel.dead
        channel.must_live()
        channel.never_came("nothing")
    await channel.judge(simplest)
    assert channel.dead
    assert tries == ["tried"]
    with pytest.raises(Failed, match="is dead"):
        channel.must_live()
    assert channel.killed(channel.cause)
    channel.arrived()
    assert not channel.dead
    channel.must_live()


async def test_a_channel_on_which_the_simplest_notification_comes_lives():
    channel = NotificationChannel("MQTT", ("MQTT-33",), heard=1, missed=MOST_MISSES)

    async def simplest():
        channel.arrived()

    await channel.judge(simplest)
    assert not channel.dead
    assert channel.missed == 0


def run_with(text):
    check = CHECKS.chosen()[0]
    exchange = Exchange("GET", f"/{text}", text, 400, text, "BL")
    results = [Result(check, outcome, text, (exchange,), 0.0, None, text) for outcome in Outcome]
    return Run("http://x", tuple(results), (), 1, ())


CONTROLS = "".join(map(chr, (*range(0x20), 0x7F, *range(0x80, 0xA0), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, 0x10FFFF)))


@pytest.mark.parametrize("text", ["\x00", CONTROLS, "]]>&<'\"", "plain"], ids=["byte 0", "controls", "markup", "plain"])
def test_junit_and_html_hold_whatever_a_vtn_sends(text):
    written = report.junit(run_with(text))
    suite = ET.fromstring(written)  # noqa: S314 - of the kit itself
    assert [case.get("name") for case in suite] == [next(iter(CHECKS))] * 4
    message = suite[1].find("failure").get("message")
    assert all(char in message or f"\\x{ord(char):02x}" in message for char in text if char not in "\t\n\r")
    assert suite.get("failures") == "1"
    assert suite.get("skipped") == "2"
    report.page(run_with(text)).encode()


@given(st.text(st.characters(codec=None, categories=None, max_codepoint=sys.maxunicode), max_size=30))
def test_junit_is_xml_whatever_text_it_holds(text):
    ET.fromstring(report.junit(run_with(text)))  # noqa: S314 - of the kit itself


def test_a_blocked_check_is_a_skipped_case_that_names_what_stood_in_the_way():
    one = dataclasses.replace(run_with("x").results[2], blocked_by="RES-F02 (owner)")
    case = ET.fromstring(report.junit(Run("http://x", (one,), (), 1, ())))[0]  # noqa: S314 - of the kit itself
    assert case.find("skipped").get("type") == "blocked by RES-F02 (owner)"
    figures = report.summary(Run("http://x", (one,), (), 1, ()))
    assert figures["blocked"] == 1
    assert figures["failed_shall"] == 0
