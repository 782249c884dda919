"""One station's line against a scripted socket: what is sent, when it is too late, and whose answer counts."""

import asyncio
import json
from typing import Self

import pytest

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.ocpp21.connection import StationConnection

CLEAR = {"chargingProfileId": 1}
ACCEPTED = {"status": "Accepted"}


class Socket:
    """Keeps what is sent; `answer` says what comes back for a frame, if anything."""

    def __init__(self, answer=lambda _frame: None) -> None:
        self.sent, self.frames, self.answer = [], asyncio.Queue(), answer

    async def recv(self):
        frame = await self.frames.get()
        if frame is None:
            raise ConnectionResetError
        return frame

    async def send(self, message):
        self.sent.append(json.loads(message))
        if (answer := self.answer(self.sent[-1])) is not None:
            self.frames.put_nowait(json.dumps(answer))

    async def close(self, *_):
        self.frames.put_nowait(None)


class Talk:
    """A line that is being served."""

    def __init__(self, socket, answer_s=5.0) -> None:
        self.late = []
        self.socket = socket
        self.line = StationConnection(
            socket, {"Heartbeat": lambda _: {"currentTime": "x"}}, answer_s=answer_s, late=self._late
        )

    def _late(self, *told):
        self.late.append(told)

    async def __aenter__(self) -> Self:
        self.serving = asyncio.ensure_future(self.line.serve())
        return self

    async def __aexit__(self, *_) -> None:
        self.serving.cancel()
        await asyncio.gather(self.serving, return_exceptions=True)


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value.code


async def test_what_became_too_late_while_it_waited_its_turn_is_never_sent():
    held = asyncio.Event()
    too_late = []

    def ready():
        if too_late:
            raise BackendError(ErrorCode.EXPIRED, "not_after")

    async with Talk(Socket()) as talk:
        first = asyncio.ensure_future(talk.line.ask("ClearChargingProfile", CLEAR))
        second = asyncio.ensure_future(talk.line.ask("ClearChargingProfile", CLEAR, ready=ready))
        asyncio.get_running_loop().call_soon(held.set)
        await held.wait()
        too_late.append(True)
        talk.socket.frames.put_nowait(json.dumps([3, talk.socket.sent[0][1], ACCEPTED]))
        assert await first == ACCEPTED
        assert await refused(second) is ErrorCode.EXPIRED
        assert len(talk.socket.sent) == 1


async def test_an_answer_to_another_question_does_not_count():
    async with Talk(Socket(lambda _: [3, "another", ACCEPTED]), answer_s=0.05) as talk:
        assert await refused(talk.line.ask("ClearChargingProfile", CLEAR)) is ErrorCode.OUTCOME_UNKNOWN


async def test_an_answer_after_its_time_is_told_apart():
    async with Talk(Socket(), answer_s=0.01) as talk:
        assert await refused(talk.line.ask("ClearChargingProfile", CLEAR)) is ErrorCode.OUTCOME_UNKNOWN
        talk.socket.frames.put_nowait(json.dumps([3, talk.socket.sent[0][1], ACCEPTED]))
        talk.socket.frames.put_nowait(None)
        await asyncio.gather(talk.serving, return_exceptions=True)
        assert talk.late == [("ClearChargingProfile", CLEAR, ACCEPTED)]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda frame: [3, frame[1], {"status": "Perhaps"}], ErrorCode.OUTCOME_UNKNOWN),
        (lambda frame: [3, frame[1], 7], ErrorCode.OUTCOME_UNKNOWN),
        (lambda frame: [4, frame[1], "NotSupported", "", {}], ErrorCode.NOT_SUPPORTED),
        (lambda frame: [4, frame[1], "InternalError", "", {}], ErrorCode.BACKEND_TRANSIENT),
        (lambda frame: [4, frame[1], "FormatViolation", "", {}], ErrorCode.INVALID_REQUEST),
        (lambda frame: [4, frame[1], ["odd"], "", {}], ErrorCode.INVALID_REQUEST),
    ],
    ids=["bad-status", "no-object", "not-supported", "internal", "format", "odd-code"],
)
async def test_an_answer_that_is_no_consent_is_told_in_the_contracts_words(answer, code):
    async with Talk(Socket(answer)) as talk:
        assert await refused(talk.line.ask("ClearChargingProfile", CLEAR)) is code


async def test_a_line_that_breaks_leaves_the_outcome_unknown_and_takes_nothing_more():
    socket = Socket()
    socket.answer = lambda _: socket.frames.put_nowait(None)
    async with Talk(socket) as talk:
        assert await refused(talk.line.ask("ClearChargingProfile", CLEAR)) is ErrorCode.OUTCOME_UNKNOWN
        assert await refused(talk.line.ask("ClearChargingProfile", CLEAR)) is ErrorCode.BACKEND_TRANSIENT
        assert len(talk.socket.sent) == 1


async def test_a_payload_that_breaks_its_schema_is_never_sent():
    async with Talk(Socket()) as talk:
        wrong = talk.line.ask("ClearChargingProfile", {"chargingProfileID": 1})
        assert await refused(wrong) is ErrorCode.INVALID_REQUEST
        assert talk.socket.sent == []
