"""One station's open websocket: calls both ways, one of ours at a time, every wait bounded.

A call whose answer does not come is OUTCOME_UNKNOWN: the station may have obeyed. An answer that comes after we gave up
goes to `late`, so that what was done too late can be undone. Knows frames; knows nothing of cars or directives.
"""

import asyncio
import collections
import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.ocpp21 import frames
from ven_adapters.transport.ocpp21.frames import Frame, Payload
from ven_adapters.transport.ocpp21.versions.v21 import OCPP_21, Handlers, OcppVersion

REMEMBERED_CALLS = 16
CLOSED = "station: is not connected"

Late = Callable[[str, Payload, Payload], None]

_log = logging.getLogger(__name__)

_REFUSALS: Mapping[str, ErrorCode] = {
    "NotImplemented": ErrorCode.NOT_SUPPORTED,
    "NotSupported": ErrorCode.NOT_SUPPORTED,
    "SecurityError": ErrorCode.NOT_PERMITTED,
    "InternalError": ErrorCode.BACKEND_TRANSIENT,
    "GenericError": ErrorCode.BACKEND_TRANSIENT,
}


class Socket(Protocol):
    """What a line needs of a websocket: text frames; an OSError or ConnectionClosed ends it."""

    async def recv(self) -> str | bytes:
        """The next frame."""
        ...

    async def send(self, message: str) -> None:
        """Send a frame."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close politely."""
        ...


class Gone(Exception):
    """The socket is closed."""


class StationConnection:
    """A station while it is connected. `serve` reads until the socket ends; `ask` may run beside it."""

    def __init__(
        self,
        socket: Socket,
        handlers: Handlers,
        *,
        answer_s: float,
        late: Late,
        passed_over: Callable[[str], None] = lambda _: None,
        version: OcppVersion = OCPP_21,
    ) -> None:
        self._socket = socket
        self._handlers = handlers
        self._answer_s = answer_s
        self._late = late
        self._passed_over = passed_over
        self._version = version
        self._turn = asyncio.Lock()
        self._waiting: tuple[str, asyncio.Future[Payload]] | None = None
        self._given_up: collections.OrderedDict[str, tuple[str, Payload]] = collections.OrderedDict()
        self.open = True

    async def serve(self) -> None:
        """Read until the socket ends, raising what ended it; nothing that a frame says ends the line."""
        try:
            while True:
                raw = await self._socket.recv()
                try:
                    frame = frames.parse(raw, self._version.number)
                except frames.BadFrame as bad:
                    self._passed_over(str(bad))
                    if bad.answer is not None:
                        await self._socket.send(bad.answer)
                else:
                    await self._take(frame)
        finally:
            self.end()

    def end(self) -> None:
        """Nothing more comes: whoever waits for an answer learns that it is lost."""
        self.open = False
        if self._waiting is not None and not self._waiting[1].done():
            self._waiting[1].set_exception(Gone())

    async def close(self) -> None:
        """Hang up."""
        await self._socket.close()

    async def ask(self, action: str, payload: Payload, *, ready: Callable[[], None] = lambda: None) -> Payload:
        """Call the station; `ready` may still refuse, by raising, at the moment of sending.

        Call and answer are those of OCPP 2.1, whatever the line speaks. BACKEND_TRANSIENT: nothing was sent.
        OUTCOME_UNKNOWN: it was sent and no answer came.
        """
        unique_id = str(uuid.uuid4())
        spoken, body = self._version.request(action, payload)
        try:
            text = frames.call(unique_id, spoken, body, self._version.number)
        except frames.BadPayload as bad:
            raise BackendError(ErrorCode.INVALID_REQUEST, str(bad)) from None
        async with self._turn:
            ready()
            if not self.open:
                raise BackendError(ErrorCode.BACKEND_TRANSIENT, CLOSED)
            return await self._answer(unique_id, action, payload, text)

    async def _answer(self, unique_id: str, action: str, payload: Payload, text: str) -> Payload:
        future: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        self._waiting = (unique_id, future)
        try:
            async with asyncio.timeout(self._answer_s):
                await self._socket.send(text)
                found = await future
            answer = self._translated(action, found)
        except TimeoutError:
            self._give_up(unique_id, action, payload)
            raise BackendError(ErrorCode.OUTCOME_UNKNOWN, f"{action}: no answer in {self._answer_s:g} s") from None
        except frames.BadPayload as bad:
            raise BackendError(ErrorCode.OUTCOME_UNKNOWN, f"the answer: {bad}") from None
        except BackendError:
            raise
        except Exception as error:  # Gone, or one of the socket's many ways to be closed
            raise BackendError(ErrorCode.OUTCOME_UNKNOWN, f"{action}: the line broke") from error
        finally:
            self._waiting = None
            if future.done() and not future.cancelled():
                future.exception()  # the sending failed first, and nobody will ask for it
        return answer

    def _translated(self, action: str, answer: Any) -> Payload:
        """What the station answered, as OCPP 2.1 would have it; BadPayload for what is no answer of its version."""
        frames.check(frames.RESULT, self._version.spoken(action), answer, self._version.number)
        return self._version.answer(action, answer)

    def _give_up(self, unique_id: str, action: str, payload: Payload) -> None:
        self._given_up[unique_id] = (action, payload)
        if len(self._given_up) > REMEMBERED_CALLS:
            self._given_up.popitem(last=False)

    async def _take(self, frame: Frame) -> None:
        if frame.kind == frames.CALL:
            await self._socket.send(self._reply(frame.unique_id, frame.name, frame.payload))
            return
        answer = frame.payload if frame.kind == frames.RESULT else _refusal(frame.name)
        if self._waiting is not None and self._waiting[0] == frame.unique_id:
            self._settle(self._waiting[1], answer)
        elif frame.unique_id in self._given_up and isinstance(answer, dict):
            action, payload = self._given_up.pop(frame.unique_id)
            with contextlib.suppress(frames.BadPayload):
                self._late(action, payload, self._translated(action, answer))

    @staticmethod
    def _settle(future: asyncio.Future[Payload], answer: Any) -> None:
        if future.done():
            return
        if isinstance(answer, BackendError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _reply(self, unique_id: str, action: str, payload: Any) -> str:
        handler, number = self._handlers.get(action), self._version.number
        if handler is None:
            self._passed_over(f"{action[:50]!r} is an action that this program does not take")
            return frames.error(unique_id, "NotImplemented", "this central system does not take this action", number)
        try:
            frames.check(frames.CALL, action, payload, number)
            return frames.result(unique_id, action, handler(payload), number)
        except frames.BadPayload as bad:
            return frames.error(unique_id, bad.code, str(bad), number)
        except (ValueError, OverflowError):
            return frames.error(unique_id, "PropertyConstraintViolation", f"{action}: not a date-time", number)
        except RecursionError:
            return frames.error(unique_id, "FormatViolation", f"{action}: nested too deeply", number)
        except Exception:  # noqa: BLE001 - a full disk, or a defect of ours: the station keeps its message and its line
            _log.exception("a station's %s could not be taken", action)
            return frames.error(unique_id, "InternalError", f"{action}: could not be taken", number)


def _refusal(code: str) -> BackendError:
    """A CALLERROR in the contract's words: whatever is not listed says that our request was at fault."""
    return BackendError(_REFUSALS.get(code, ErrorCode.INVALID_REQUEST), f"CALLERROR {code}")
