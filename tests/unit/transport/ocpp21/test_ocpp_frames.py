"""Frames from stations, whatever they hold: the line stays, and every call that says who asks is answered once."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ven_adapters.transport.ocpp21 import frames
from ven_adapters.transport.ocpp21.connection import StationConnection

LIVELY = '[2,"last","Heartbeat",{}]'
NOW = "2026-09-01T21:00:00Z"


class Queue:
    """A socket that has some frames to read, then ends; it keeps what is sent and whether it was closed."""

    def __init__(self, *texts) -> None:
        self.texts, self.sent, self.closed = list(texts), [], False

    async def recv(self):
        if not self.texts:
            raise ConnectionResetError
        return self.texts.pop(0)

    async def send(self, message):
        self.sent.append(json.loads(message))

    async def close(self, *_):
        self.closed = True


def full(_):
    raise OSError(28, "full")


def served(*texts):
    """What a line sends for these frames and a last heartbeat, and what it passed over."""
    socket, passed_over = Queue(*texts, LIVELY), []
    handlers = {"Heartbeat": lambda _: {"currentTime": NOW}, "StatusNotification": full}
    line = StationConnection(socket, handlers, answer_s=1, late=lambda *_: None, passed_over=passed_over.append)

    async def serve():
        with pytest.raises(ConnectionResetError):
            await line.serve()

    asyncio.run(serve())
    assert not socket.closed
    assert socket.sent[-1] == [3, "last", {"currentTime": NOW}]
    return socket.sent[:-1], passed_over


@pytest.mark.parametrize(
    "text",
    [
        '[6,"m1","NotifyPeriodicEventStream",{}]',
        '[5,"m1","InternalError","",{}]',
        '[7,"m1"]',
        '[99999999999999999999999,"m1"]',
        "[true]",
        "[]",
        "{}",
        "null",
        "hello",
        b"\x00\x01",
        "[3]",
        '[3,"m1"]',
        '[4,"m1"]',
        "[" * 50_000,
    ],
)
def test_what_is_no_frame_of_ours_is_passed_over_and_counted(text):
    sent, passed_over = served(text)
    assert (sent, len(passed_over)) == ([], 1)


@pytest.mark.parametrize(
    ("text", "unique_id", "code"),
    [
        ('[2,"a","Heartbeat"]', "a", "RpcFrameworkError"),
        ('[2,"a"]', "a", "RpcFrameworkError"),
        ('[2,"a","Heartbeat",{},{}]', "a", "RpcFrameworkError"),
        ('[2,"a",7,{}]', "a", "RpcFrameworkError"),
        ('[2,7,"Heartbeat",{}]', "-1", "RpcFrameworkError"),
        ('[2,"","Heartbeat",{}]', "-1", "RpcFrameworkError"),
        ('[2,"' + "x" * 37 + '","Heartbeat",{}]', "-1", "RpcFrameworkError"),
        ('[2,"a","Heartbeat",{"b":', "a", "FormatViolation"),
        ('[2,"a","Heartbeat",{"b":NaN}]', "a", "FormatViolation"),
        ('[2,"a","Heartbeat",{"b":1e999}]', "a", "FormatViolation"),
        ('[2,"a","Heartbeat",' + "[" * 5_000, "a", "FormatViolation"),
        ('[2,"a","Heartbeat",{"b":' + "1" * 60_000 + "}]", "a", "FormatViolation"),
        ('[2,"a","Heartbeat",{"b":"\\ud800"}]', "a", "FormatViolation"),
        ('[2,"a\\"\\u00e9","Heartbeat",{"b":}]', 'a"\u00e9', "FormatViolation"),
        ('[2,"a","Heartbeat",7]', "a", "TypeConstraintViolation"),
        ('[2,"a","Heartbeat",{"b":1}]', "a", "FormatViolation"),
        ('[2,"a","NotifyDERStartStop",{}]', "a", "NotImplemented"),
        ('[2,"a","../Heartbeat",{}]', "a", "NotImplemented"),
    ],
)
def test_a_call_that_cannot_be_taken_gets_its_error(text, unique_id, code):
    (answer,), _ = served(text)
    assert answer[:3] == [4, unique_id, code]


def test_a_call_whose_handler_fails_is_answered_and_the_line_stays():
    body = {"timestamp": NOW, "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
    (answer,), _ = served(json.dumps([2, "a", "StatusNotification", body]))
    assert answer[:3] == [4, "a", "InternalError"]


VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
    max_leaves=12,
)
ACTIONS = some.sampled_from(["Heartbeat", "StatusNotification", "BootNotification", "", "x"]) | some.text() | VALUES
FRAMES = (
    VALUES
    | some.lists(VALUES, max_size=6)
    | some.tuples(some.sampled_from([2, 3, 4, 5, 6, 2.0]), some.text(max_size=40) | VALUES, ACTIONS, VALUES).map(list)
    | some.tuples(some.just(2), some.text(min_size=1, max_size=36), ACTIONS).map(list)
)


@settings(max_examples=300)
@given(some.lists(FRAMES, max_size=4))
def test_every_call_that_says_whom_to_answer_is_answered_once_and_nothing_else_by_its_name(told):
    sent, passed_over = served(*map(json.dumps, told))
    calls = [one for one in told if isinstance(one, list) and one and one[0] == 2]
    ids = [one[1] if len(one) > 1 and is_id(one[1]) else "-1" for one in calls]
    assert [answer[1] for answer in sent] == ids
    assert all(answer[0] in (3, 4) for answer in sent)
    assert len(passed_over) <= len(told)


def is_id(unique_id):
    return isinstance(unique_id, str) and 0 < len(unique_id) <= frames.LONGEST_ID


@given(some.text(max_size=200) | some.binary(max_size=50))
def test_no_text_ends_a_line(text):
    served(text)
