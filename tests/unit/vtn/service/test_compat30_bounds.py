"""No body, however odd, keeps the 3.0.1 face busy for longer than its size explains."""

import dataclasses
import time
from datetime import UTC, datetime

import pytest

from vtn.errors import MOST_FAULTS, Rejected
from vtn.rules.admission import Strictness, admit
from vtn.rules.compat30 import events, objects, side, targets
from vtn.rules.compat30.targets import MOST_TYPES
from vtn.service import compat30
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

AT = "2026-07-15T12:00:00.000000Z"
NOW = datetime(2026, 7, 20, tzinfo=UTC)
BUSY_S = 3.0  # what is meant takes a hundredth of it, what is not took minutes
ENTRY = {"objects": ["EVENT"], "operations": ["GET"], "callbackUrl": "https://a.test/"}


@dataclasses.dataclass
class Core:
    """What judging a body needs."""

    strictness: Strictness = Strictness(lenient_descriptors=True)  # noqa: RUF009 - frozen


@dataclasses.dataclass
class Ven:
    """A VEN client."""

    is_bl: bool = False


def subscription(**content):
    return {"clientName": "c1", "programID": "p1", "objectOperations": [ENTRY], **content}


def event(**content):
    return {"id": "e", "createdDateTime": AT, "modificationDateTime": AT, "programID": "p1", **content}


@pytest.fixture(autouse=True)
def _not_busy():
    began_s = time.process_time()
    yield
    assert time.process_time() - began_s < BUSY_S


def test_faults_of_both_versions_in_one_body_are_found_in_one_look():
    body = subscription(targets=[1] * 20_000, objectOperations=[1] * 20_000)
    faults = []
    compat30.judge(Core(), ObjectType.SUBSCRIPTION, Ven(), body, faults)
    assert faults


def test_a_target_has_few_types():
    types, faults = {}, []
    given = [{"type": f"T{number}", "values": ["x"]} for number in range(20_000)]
    targets.flatten(given, "$.targets", types, faults)
    assert types["x"] == tuple(f"T{number}" for number in range(MOST_TYPES))
    assert faults[0].path == f"$.targets[{MOST_TYPES}].type"


def test_the_search_for_faults_of_3_0_1_ends_with_as_many_as_are_told():
    with pytest.raises(Rejected) as refused:
        objects.read(ObjectType.SUBSCRIPTION, subscription(targets=[1] * 20_000), is_bl=False, most_faults=7)
    assert len(refused.value.faults) == 7


def test_a_type_that_is_repeated_is_one_type():
    types, faults = {}, []
    targets.flatten([{"type": "T", "values": ["x"]}] * (2 * MOST_TYPES), "$.targets", types, faults)
    assert (types, faults) == ({"x": ("T",)}, [])


def test_a_loop_with_a_start_long_ago_is_not_searched_lap_by_lap():
    """The second interval starts a quarter of a century before the first, in each of endlessly many short laps."""
    starts = ("2026-01-01T00:00:00Z", "2000-01-01T00:00:00Z")
    periods = [{"start": start, "duration": "PT15M"} for start in starts]
    payloads = [{"type": "PRICE", "values": [1]}]
    intervals = [{"id": at, "intervalPeriod": one, "payloads": payloads} for at, one in enumerate(periods)]
    shown = events.show_event(event(duration="P9999Y", intervals=intervals), side.NOTHING, NOW)["intervals"]
    assert shown[0]["intervalPeriod"]["start"] == "2026-07-20T00:00:00.000000Z"


def test_many_report_requests_are_matched_with_the_held_ones_at_once():
    held = [{"payloadType": f"T{number}", "reportIntervals": "HELD"} for number in range(10_000)]
    given = [{"payloadType": f"T{number}"} for number in reversed(range(10_000))]
    kept = events.keeping_unseen(event(intervals=[], reportDescriptors=given), event(reportDescriptors=held))
    assert kept["reportDescriptors"][0] == {"payloadType": "T9999", "reportIntervals": "HELD"}


def test_of_very_many_faults_the_first_are_told():
    with pytest.raises(Rejected) as refused:
        admit(ObjectType.REPORT, document.parse(b'{"resources":[' + b"1," * 50_000 + b"1]}"), is_bl=False)
    assert 3 <= len(refused.value.faults) <= MOST_FAULTS
