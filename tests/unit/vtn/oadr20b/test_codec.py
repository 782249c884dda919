"""Messages of OpenADR 2.0b in and out: what is refused before it is parsed, and that nothing is lost on the way."""

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree
from oadr20b_cases import (
    HOUR,
    NOON,
    PLAIN,
    POWER,
    asked,
    description,
    distributed,
    event,
    metadata,
    poll,
    registered_reports,
    signal,
)

from vtn.oadr20b.codec.decode import decode
from vtn.oadr20b.codec.elements import duration, instant
from vtn.oadr20b.codec.encode import opt_values, print_duration, print_span
from vtn.oadr20b.codec.messages import (
    EiOpt,
    EiTarget,
    ItemBase,
    OadrReport,
    OadrReportRequest,
    OptWindow,
    ReportPoint,
    ResourceStatus,
    SignalInterval,
)
from vtn.oadr20b.codec.names import NameGuard, UnknownNames
from vtn.oadr20b.codec.reading import MOST_DEPTH, BadMessage, parse, schema_fault

HEAD = b'<?xml version="1.0" encoding="utf-8"?>\n'


def read(data, **options):
    return decode(data, **options)[0]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            b'<!DOCTYPE r [<!ENTITY e0 "abc">]>' + poll().replace(HEAD, b"").replace(b">ven<", b">&e0;<"), id="entity"
        ),
        pytest.param(b"<!DOCTYPE r>" + poll().replace(HEAD, b""), id="DTD"),
        pytest.param(poll().decode().replace("utf-8", "utf-16").encode("utf-16"), id="UTF-16"),
        pytest.param(poll().decode().encode("utf-32"), id="UTF-32"),
        pytest.param(poll().replace(b'"utf-8"', b'"utf-7"'), id="UTF-7 that is declared"),
        pytest.param(poll().replace(b"ven<", b"v\xe9n<"), id="Latin-1"),
        pytest.param(poll().replace(b"ven<", b"v\x00n<"), id="zero byte"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"<a/>", id="another root"),
        pytest.param(b"<" * 5_000, id="no XML"),
        pytest.param(poll().replace(b"oadrPoll", b"oadrPull"), id="no message of 2.0b"),
        pytest.param(poll().replace(b"<ei:venID>ven</ei:venID>", b""), id="against the schema"),
    ],
)
def test_what_is_no_message_is_refused_and_the_process_lives(data):
    with pytest.raises(BadMessage):
        read(data)


def test_an_entity_in_a_comment_or_a_cdata_section_is_refused_too_for_nobody_needs_one():
    with pytest.raises(BadMessage, match="DTD"):
        read(poll().replace(b"ven<", b"<![CDATA[<!ENTITY x>]]><"))


def test_a_message_that_is_too_large_is_refused_before_it_is_parsed():
    with pytest.raises(BadMessage, match="1000 are the most"):
        read(poll() + b" " * 1_000, most_bytes=1_000)


def test_a_message_that_is_nested_too_deeply_is_refused_whether_or_not_the_parser_would_take_it():
    for depth in (MOST_DEPTH, 200, 5_000, 200_000):
        inner = b"<a>" * depth + b"</a>" * depth
        with pytest.raises(BadMessage):
            parse(poll().replace(b"<ei:venID>ven</ei:venID>", inner), strict=False)


def test_the_schema_is_asked_without_the_parser_that_crashes():
    tree = parse(poll()).tree
    assert schema_fault(tree) is None
    tree[0].append(etree.Element("more"))
    assert schema_fault(tree) is not None


# --- identifiers are text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["0042", "1.2.3", "true", "20", "my vtn", "my-vtn", "x" * 128, "a&b<c>\"d'", "é"])
def test_identifiers_come_through_as_they_were_written(name):
    assert read(poll(ven_id=name)).ven_id == name
    targets = tuple(EiTarget(kind, name) for kind in ("meterAsset", "groupID", "resourceID", "venID"))
    sent = event(event_id=name, targets=targets)
    assert read(distributed(sent)).events == (sent,)


def test_an_identifier_cannot_close_its_element():
    evil = "x</ei:venID><ei:venID>other"
    assert read(poll(ven_id=evil)).ven_id == evil


# --- nothing is lost --------------------------------------------------------------------------------------------------


def test_an_event_comes_through_whole():
    sent = event(
        signal(values=(1.0, 2.0), lasts=HOUR / 2),
        signal("LOAD_DISPATCH", "setpoint", (-50.0, 1e-7), lasts=HOUR / 2, item=POWER, device_classes=("EVSE", "RESU")),
        signal(
            "DEMAND_CHARGE",
            "price",
            (12.5, 3.0),
            lasts=HOUR / 2,
            item=ItemBase("currencyPerKW", "currencyPerKW", "EUR"),
        ),
        modification=3,
        priority=2,
        test=True,
        comment="a & b",
        start_after=timedelta(minutes=10),
        notification=timedelta(days=1, hours=2),
        ramp_up=timedelta(minutes=5),
        recovery=timedelta(seconds=30),
        response_required="never",
    )
    sent = dataclasses.replace(
        sent,
        signals=tuple(
            dataclasses.replace(one, current_value=0.0, signal_id=str(n)) for n, one in enumerate(sent.signals)
        ),
    )
    assert read(distributed(sent)).events == (sent,)


def test_an_event_without_an_end_lasts_pt0s():
    endless = dataclasses.replace(signal(), intervals=(SignalInterval(NOON, timedelta(0), 1.0),))
    sent = event(endless, duration=timedelta(0))
    raw = distributed(sent)
    assert b"<duration>PT0S</duration>" in raw
    assert read(raw).events == (sent,)


def test_of_a_list_with_an_event_that_cannot_be_read_the_others_are_read():
    good, bad = event(event_id="good"), event(event_id="bad", modification=7)
    raw = distributed(good, bad)
    head, _, tail = raw.rpartition(b"<ei:value>1</ei:value>")
    message = read(head + b"<ei:value>NaN</ei:value>" + tail)
    assert [one.event_id for one in message.events] == ["good"]
    assert [(name, number) for name, number, _ in message.faults] == [("bad", 7)]


def test_a_report_with_many_points_in_one_interval_and_a_status_comes_through_whole():
    quality = "Quality Good - Non Specific"
    sent = OadrReport(
        "q1",
        "spec",
        "TELEMETRY_STATUS",
        (
            ReportPoint("0042", NOON, ResourceStatus(True, False, (("oadrSetPoint", 3.0),)), HOUR, quality),
            ReportPoint("true", NOON, 2.5, HOUR, confidence=90, accuracy=0.5),
            ReportPoint("0042", NOON + HOUR, ResourceStatus(False, True), HOUR),
        ),
        NOON,
        "report-1",
        NOON,
    )
    raw = PLAIN.write("oadrUpdateReport", NOON, request_id="r", reports=[sent], ven_id="ven")
    assert raw.count(b"<ei:interval>") == 2
    assert read(raw).reports == (sent,)


def test_metadata_requests_and_opts_come_through_whole():
    offered = metadata(description("r1", item=POWER, resource="bay"), description("r2", "x-resourceStatus"))
    assert read(registered_reports(offered)).metadata == (offered,)
    request = OadrReportRequest("q1", "spec", (("r1", "Direct Read"),), timedelta(minutes=1), HOUR, NOON, HOUR)
    assert read(asked(request)).requests == (request,)
    opt = EiOpt(
        "o1", "optOut", "economic", NOON, None, 0, "http://m", (OptWindow(NOON, HOUR),), (EiTarget("resourceID", "r"),)
    )
    raw = PLAIN.write("oadrCreateOpt", NOON, **opt_values(opt, "r1"), ven_id="ven")
    assert read(raw).opt == opt


# --- times ------------------------------------------------------------------------------------------------------------


def test_an_instant_without_an_offset_is_utc():
    for text in (
        "2026-07-01T12:00:00",
        "2026-07-01T12:00:00Z",
        "2026-07-01T05:00:00-07:00",
        " 2026-07-01T12:00:00.000Z ",
    ):
        assert instant(text) == NOON


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01T00:00:00Z", "9999-99-99"])
def test_what_is_no_instant_says_so(text):
    with pytest.raises(BadMessage, match="date-time"):
        instant(text)


def test_durations_are_read_as_utilities_write_them():
    assert duration("+PT1H") == HOUR
    assert duration("P") == timedelta(0)
    assert duration("P1Y") == timedelta(days=365)
    assert duration("P9999Y") == timedelta(days=36_500)
    assert duration("-PT5M") == timedelta(minutes=-5)


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 3_600, 86_400, 90_061, -5])
def test_a_duration_that_was_written_is_read_again(seconds):
    assert duration(print_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_2_0b_takes_whole_seconds_and_3_1_parts_of_them():
    assert print_duration(timedelta(seconds=0.3)) == "PT1S"
    assert print_span(timedelta(seconds=2.5)) == "PT2.500000S"


# --- lenient mode -----------------------------------------------------------------------------------------------------


def test_a_schema_version_without_its_namespace_is_taken_in_lenient_mode_alone():
    raw = poll().replace(b"ei:schemaVersion", b"schemaVersion")
    with pytest.raises(BadMessage, match="schemaVersion"):
        read(raw)
    message, parsed = decode(raw, strict=False)
    assert message.ven_id == "ven"
    assert parsed.quirks == ("schemaVersion has no namespace",)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((b"<ei:venID>ven</ei:venID>", b"<ei:venID>ven</ei:venID><q7/>"), id="element"),
        pytest.param((b"<ei:venID>", b'<ei:venID q7="1">'), id="attribute"),
        pytest.param((b"<ei:venID>", b"<ei:venID q7 = '>' >"), id="attribute after a bracket"),
        pytest.param((b"<ei:venID>", b'<ei:venID lang="a>b" q7="1">'), id="attribute behind a bracket in a value"),
        pytest.param((b"<ei:venID>ven<", "<ei:venIDé>ven<".encode()), id="name that goes on beyond ASCII"),
        pytest.param((b">ven<", b">&q7;<"), id="entity"),
        pytest.param((b"<ei:venID>", b"<?q7 x?><ei:venID>"), id="processing instruction"),
        pytest.param((b"<ei:venID>", b"<ei:venID<ei:venID>"), id="tag in a tag"),
    ],
)
def test_no_name_is_parsed_that_the_schemas_do_not_have_for_the_parser_never_forgets_one(change, monkeypatch):
    monkeypatch.setattr(etree, "fromstring", lambda *_: pytest.fail("it was parsed"))
    with pytest.raises(BadMessage):
        read(poll().replace(*change))


def test_texts_and_comments_may_hold_what_looks_like_markup():
    raw = poll().replace(b">ven<", b"><![CDATA[<q7 a='1'>]]><!-- <q8> -->&lt;q9&gt;&#233;<")
    assert read(raw).ven_id == "<q7 a='1'><q9>é"


def test_prefixes_are_free_until_there_are_very_many():
    guard = NameGuard(most_prefixes=3)
    for prefix in (b"a", b"b", b"a"):
        guard.judge(
            b'<x:oadrPoll xmlns:x="u"/>'.replace(b"x:", prefix + b":").replace(b":x=", b":" + prefix + b"="),
            strict=True,
        )
    with pytest.raises(UnknownNames, match="prefix"):
        guard.judge(b'<d:oadrPoll xmlns:d="u"/><e:oadrPoll xmlns:e="u"/>', strict=True)


def test_a_lenient_peer_may_have_a_few_names_of_its_own():
    NameGuard().judge(b"<own/>" * 50, strict=False)
    with pytest.raises(UnknownNames):
        NameGuard().judge(b"".join(b"<own%d/>" % number for number in range(50)), strict=False)


def test_memory_does_not_grow_with_names_that_are_new_in_every_message():
    def grown_kb(count):
        before = Path("/proc/self/statm").read_text().split()[1]
        for number in range(count):
            with pytest.raises(BadMessage):
                read(poll().replace(b"ei:venID", b"ei:name%d%s" % (number, b"x" * 500)))
        return (int(Path("/proc/self/statm").read_text().split()[1]) - int(before)) * 4

    grown_kb(500)
    assert grown_kb(4_000) < 1_500, "libxml2 alone would keep two megabytes of names"
