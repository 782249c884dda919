"""Bodies are measured before they are validated, and large ones are validated by pieces that find the same faults."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.bounds import BodyBounds
from vtn.errors import Rejected, TooLarge
from vtn.rules import admission, piecewise
from vtn.rules.admission import Strictness, admit
from vtn.rules.measures import LISTS, TEXTS, Measures, values_at_most, weight
from vtn.wire.enumerations import ObjectType

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(',[{"\\}]x', max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(",[x", max_size=2), inner, max_size=4),
    max_leaves=20,
)
INTERVAL = {"id": 0, "payloads": [{"type": "PRICE", "values": [0.17, {"x": 1, "y": 2}]}]}
PERIOD = {"start": "2026-01-01T00:00:00Z", "duration": "PT1H"}
BODIES = {
    ObjectType.EVENT: {
        "programID": "p",
        "targets": ["a", "b", "c"],
        "intervalPeriod": PERIOD,
        "reportDescriptors": [{"payloadType": "USAGE", "targets": ["a", "b"]}] * 2,
        "payloadDescriptors": [{"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "PRICE"}],
        "intervals": [INTERVAL, {**INTERVAL, "intervalPeriod": PERIOD}, INTERVAL],
    },
    ObjectType.REPORT: {
        "eventID": "e",
        "clientName": "c",
        "resources": [{"resourceName": "r", "intervals": [INTERVAL] * 3}, {"resourceName": "s", "intervals": []}],
    },
    ObjectType.PROGRAM: {
        "programName": "p",
        "programDescriptions": [{"URL": "https://a.test/"}] * 2,
        "attributes": [{"type": "X", "values": ["a", 1, True]}] * 3,
    },
    ObjectType.SUBSCRIPTION: {
        "clientName": "c",
        "objectOperations": [
            {"objects": ["EVENT", "PROGRAM"], "operations": ["CREATE"], "callbackUrl": "https://a.test/"}
        ]
        * 3,
    },
}
ODD = [None, 1, "", "x" * 200, [], {}, [None], {"type": 1}]


def places(node, path=()):
    """Every place in a body, as the steps that lead there."""
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, child in steps:
        yield (*path, step)
        yield from places(child, (*path, step))


def changed(body, changes):
    """A body with other values in some places; a change of a place that is gone is left out."""
    body = copy.deepcopy(body)
    for path, value in changes:
        node = body
        try:
            for step in path[:-1]:
                node = node[step]
            node[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue
    return body


@st.composite
def bodies(draw):
    kind = draw(st.sampled_from(list(BODIES)))
    change = st.tuples(st.sampled_from(list(places(BODIES[kind]))), st.sampled_from(ODD))
    return kind, changed(BODIES[kind], draw(st.lists(change, max_size=4)))


@given(JSON)
def test_the_cheap_count_never_counts_too_little(value):
    assert weight(value, 10_000) <= values_at_most(json.dumps(value).encode())


def empty_ones(value):
    """How many lists and objects hold nothing."""
    if not isinstance(value, (list, dict)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return sum(map(empty_ones, inner)) + (not value)


@given(JSON)
def test_without_its_texts_a_body_is_counted_exactly_but_for_what_is_empty(value):
    text = TEXTS.sub(b"", json.dumps(value).encode())
    assert values_at_most(text) == weight(value, 10_000) + empty_ones(value)


def test_commas_in_texts_are_no_values():
    text = json.dumps({"x": ',[{"' * 1_000}).encode()
    assert Measures(BodyBounds(values=100)).values_of(text) < 100
    with pytest.raises(TooLarge, match="more than 100 JSON values"):
        Measures(BodyBounds(values=100)).values_of(b"[" + b"1," * 100 + b"1]")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("wrap", [lambda body: body, lambda body: {"x": [body]}], ids=["outside", "inside"])
def test_every_list_has_a_bound_that_is_told_by_name_and_place(name, wrap):
    measures = Measures(BodyBounds(**{LISTS[name]: 3}))
    for length in (3, 4):
        content = wrap({name: [1] * length})
        text = json.dumps(content).encode()
        if length == 3:
            measures.judge(content, len(text), measures.values_of(text))
            continue
        with pytest.raises(Rejected) as refused:
            measures.judge(content, len(text), measures.values_of(text))
        (fault,) = refused.value.faults
        assert fault.path.endswith(f".{name}")
        assert fault.rule == "may hold at most 3 items"


@pytest.mark.parametrize(
    ("content", "path", "rule"),
    [
        ({"x": [[0] * 11]}, "$.x[0]", "may hold at most 10 items"),
        ({"x": {str(number): 0 for number in range(21)}}, "$.x", "may have at most 20 members"),
        ({"x": ["y" * 1_025]}, "$.x[0]", "may have at most 1024 characters"),
    ],
)
def test_what_the_standard_does_not_name_is_bounded_too(content, path, rule):
    measures = Measures(BodyBounds(other_lists=10, members=20, text=1_024))
    with pytest.raises(Rejected) as refused:
        measures.judge(content, 100_000, 100_000)
    assert [(fault.path, fault.rule) for fault in refused.value.faults] == [(path, rule)]


def test_a_year_of_quarter_hours_and_a_report_of_a_fleet_are_within_the_defaults():
    measures = Measures(BodyBounds())
    curve = {"programID": "p", "intervals": [{"id": 0, "payloads": [{"type": "PRICE", "values": [0.17] * 35_040}]}]}
    day = {"programID": "p", "intervals": [INTERVAL] * 10_000}
    fleet = {"eventID": "e", "clientName": "c", "resources": [{"resourceName": "r", "intervals": [INTERVAL]}] * 9_000}
    for kind, body in ((ObjectType.EVENT, curve), (ObjectType.EVENT, day), (ObjectType.REPORT, fleet)):
        text = json.dumps(body, separators=(",", ":")).encode()
        assert len(text) <= 1_048_576
        values = measures.values_of(text)
        measures.judge(body, len(text), values)
        assert admit(kind, body, values, is_bl=True)


@given(bodies(), st.booleans())
def test_a_body_in_pieces_has_the_faults_that_it_has_whole(monkeypatch_piece, case, strict_null):
    kind, body = case
    strictness = Strictness(strict_null=strict_null)
    outcomes = []
    for values in (0, piecewise.PIECE + 1):
        given_body = copy.deepcopy(body)
        try:
            outcomes.append(admit(kind, given_body, values, is_bl=True, strictness=strictness))
        except Rejected as refused:
            outcomes.append({(fault.path, fault.rule) for fault in refused.faults})
    assert outcomes[0] == outcomes[1]


@pytest.fixture(scope="module", autouse=True)
def monkeypatch_piece():
    """Pieces so small that these bodies have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piecewise, "PIECE", 4)
        patch.setattr(admission, "PIECE", 4)
        yield


@pytest.mark.parametrize("most", [1, 7, 100])
@pytest.mark.parametrize(
    "body",
    [
        {"programID": "p", "intervals": [{}] * 5_000},
        {"programID": "p", "targets": [1] * 5_000},
        {"programID": "p", "intervals": [{"id": 0, "payloads": [{"type": "P", "values": [{}] * 5_000}]}]},
    ],
    ids=["objects", "texts", "values"],
)
def test_the_search_for_faults_ends_with_as_many_as_are_told(most, body):
    with pytest.raises(Rejected) as refused:
        admit(ObjectType.EVENT, body, is_bl=True, strictness=Strictness(most_faults=most))
    assert len(refused.value.faults) == most


def test_many_nulls_that_may_be_left_out_are_left_out_and_are_no_faults():
    body = {"programID": "p", "intervals": [{**INTERVAL, "intervalPeriod": None} for _ in range(2_000)]}
    admitted = admit(ObjectType.EVENT, body, is_bl=True)
    assert not any("intervalPeriod" in interval for interval in admitted["intervals"])
