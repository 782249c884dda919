"""The planner's side: a `VehicleBackend` whose calls are carried out by executors elsewhere.

Every call ends: with the outcome, with BACKEND_TRANSIENT when it surely never left, or with OUTCOME_UNKNOWN when nobody
can say. Nothing is buffered while the queue is away: what the planner holds, it tries again by its own rules.
"""

import asyncio
import dataclasses
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from ven_adapters.contract import (
    Ack,
    BackendError,
    BackendEvent,
    Capability,
    Directive,
    DirectiveStatus,
    ErrorCode,
    Snapshot,
    VehicleRef,
)
from ven_adapters.ven.queue.backend_events import heard
from ven_adapters.ven.queue.connection import Away, QueueConnection
from ven_adapters.ven.queue.messages import (
    CallKind,
    CallOutcome,
    CarQuestion,
    CarReply,
    Command,
    CommandRecord,
    place,
    read,
    write,
)
from vtn.clock import Clock

T = TypeVar("T")
Told = TypeVar("Told", Ack, DirectiveStatus)
TRIES_AGAIN_S = 5.0
KEPT_PAST_S = 60.0
CANCELS_KEPT_S = 3_600.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class _Waiting:
    """A call whose outcome has not come; `seq` is its place in the stream once it has one."""

    command: Command
    outcome: asyncio.Future[CallOutcome]
    seq: int = 0


class RemoteBackend:
    """Hands commands in and waits for what comes of them. `planner` names its place among the facts it has heard."""

    def __init__(self, link: QueueConnection, clock: Clock, planner: str) -> None:
        self._link = link
        self._clock = clock
        self._planner = planner
        self._run = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._of_car: dict[str, list[_Waiting]] = {}
        self._listening: Any = None
        self._within_s = link.settings.call_s + link.settings.ack_wait_s
        self.counts = dict.fromkeys(("handed_in", "answered", "found_later", "without_answer", "unasked_outcomes"), 0)

    async def submit(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Ack:
        """Hand a directive in; whatever of this car is still in line is replaced by it."""
        command = self._command(CallKind.SUBMIT, directive.vehicle_ref, directive.directive_id)
        command = dataclasses.replace(command, directive=directive, capability=capability, snapshot=snapshot)
        outcome = await self._outcome(command)
        return _whole(outcome.ack, directive.directive_id)

    async def cancel(self, vehicle_ref: str, directive_id: str) -> Ack:
        """End a directive; a command that is still in line is not carried out any more."""
        outcome = await self._outcome(self._command(CallKind.CANCEL, vehicle_ref, directive_id))
        return _whole(outcome.ack, directive_id)

    async def status(self, vehicle_ref: str, directive_id: str) -> DirectiveStatus:
        """The backend's view, after every earlier command of this car is over."""
        outcome = await self._outcome(self._command(CallKind.STATUS, vehicle_ref, directive_id))
        return _whole(outcome.status, directive_id)

    async def capabilities(self, ref: str) -> Capability:
        """What the car can do, as an executor's backend says."""
        return _given((await self._ask(CarQuestion(ref))).capability)

    async def snapshot(self, ref: str, *, max_age_s: int | None = None) -> Snapshot:
        """A reading, as an executor's backend gives it."""
        return _given((await self._ask(CarQuestion(ref, snapshot=True, max_age_s=max_age_s))).snapshot)

    async def vehicles(self) -> AsyncIterator[VehicleRef]:
        """Every car of the backend, page by page."""
        found, more = 0, True
        while more:
            page = await self._ask(CarQuestion(after=found))
            for vehicle in page.vehicles:
                yield vehicle
            found += len(page.vehicles)
            more = page.more and bool(page.vehicles)

    async def events(self) -> AsyncIterator[BackendEvent]:
        """What the backend pushed since this planner last heard, for as long as `queue.connection.FACTS_KEPT_S`."""
        self._link.start()
        try:
            async for event in heard(self._link, self._planner, self._clock):
                yield event
        except (Away, NatsError, OSError, TimeoutError):
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "the queue is out of reach") from None

    async def close(self) -> None:
        """Stop waiting and let go of the queue."""
        for waiting in self._waiting.values():
            if not waiting.outcome.done():
                waiting.outcome.set_exception(BackendError(ErrorCode.OUTCOME_UNKNOWN, "this planner is ending"))
        await self._link.close()

    async def ready(self) -> None:
        """Return once commands can be handed in; who waits here spends no attempt while the queue is away."""
        await self._link.ready()

    def health(self) -> Mapping[str, Any]:
        """For the adapter's account."""
        return {"up": self._link.up, "reconnects": self._link.reconnects, "waiting": len(self._waiting), **self.counts}

    # --- how a call is made ---------------------------------------------------------------------------------------

    def _command(self, act: CallKind, vehicle_ref: str, directive_id: str) -> Command:
        number = f"{self._run}-{next(self._numbers)}"
        return Command(number, act, vehicle_ref, directive_id, self._link.names.answers(self._run))

    async def _outcome(self, command: Command) -> CallOutcome:
        await self._listen()
        waiting = self._waiting[command.id] = _Waiting(command, asyncio.get_running_loop().create_future())
        of_car = self._of_car.setdefault(command.vehicle_ref, [])
        of_car.append(waiting)
        try:
            waiting.seq = await self._hand_in(command)
            self.counts["handed_in"] += 1
            outcome = await self._patiently(waiting)
        finally:
            self._waiting.pop(command.id, None)
            of_car.remove(waiting)
            if not of_car:
                self._of_car.pop(command.vehicle_ref, None)
        if outcome.refusal is not None:
            raise outcome.refusal.error()
        return outcome

    async def _hand_in(self, command: Command) -> int:
        names, kept_s = self._link.names, CANCELS_KEPT_S
        if command.not_after is not None:
            kept_s = self._clock.real_seconds_until(command.not_after) + KEPT_PAST_S
        body = write(command)
        try:
            return await self._link.publish(names.command(place(command.vehicle_ref)), body, ttl_s=kept_s)
        except Away as away:
            code = ErrorCode.OUTCOME_UNKNOWN if away.maybe else ErrorCode.BACKEND_TRANSIENT
            raise BackendError(code, str(away), retry_after_s=TRIES_AGAIN_S) from None

    async def _patiently(self, waiting: _Waiting) -> CallOutcome:
        """The outcome when it is told, or when it is found on record in the end."""
        try:
            async with asyncio.timeout(self._within_s):
                return await waiting.outcome
        except TimeoutError:
            command = waiting.command
        record = await self._link.outcome_of(command.vehicle_ref, command.id)
        if record is not None and record.outcome is not None:
            self.counts["found_later"] += 1
            return record.outcome
        self.counts["without_answer"] += 1
        raise BackendError(ErrorCode.OUTCOME_UNKNOWN, "no executor answered in time", retry_after_s=TRIES_AGAIN_S)

    async def _listen(self) -> None:
        self._link.start()
        if self._listening is None:
            self._listening = self._hear
            await self._link.when_found(self._hear)

    async def _hear(self) -> None:
        """Listen for outcomes, and look up those that came while the line was down."""
        connection, subject = self._link.connection, self._link.names.answers(self._run)
        if self._listening is not connection:
            await connection.subscribe(subject, cb=self._told)
            self._listening = connection
        for waiting in list(self._waiting.values()):
            record = await self._link.outcome_of(waiting.command.vehicle_ref, waiting.command.id)
            if record is not None:
                self._take(record)

    async def _told(self, message: Msg) -> None:
        try:
            self._take(read(CommandRecord, message.data, self._clock.now()))
        except BackendError as error:
            _log.warning("an outcome cannot be read: %s", error.detail)

    def _take(self, record: CommandRecord) -> None:
        """An outcome came: it ends the call that waits for it, and those that it overtook in line."""
        waiting = self._waiting.get(record.command)
        if waiting is None or record.outcome is None or not _fits(waiting.command, record.outcome):
            self.counts["unasked_outcomes"] += 1
            return
        if not waiting.outcome.done():
            self.counts["answered"] += 1
            waiting.outcome.set_result(record.outcome)
        for older in self._of_car.get(waiting.command.vehicle_ref, ()):
            if 0 < older.seq < record.of and not older.outcome.done():
                overtaken = BackendError(ErrorCode.OUTCOME_UNKNOWN, "a newer command of this car took its place")
                older.outcome.set_exception(overtaken)

    async def _ask(self, question: CarQuestion) -> CarReply:
        self._link.start()
        if not self._link.up:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "the queue is out of reach")
        connection, subject = self._link.connection, self._link.names.questions
        try:
            answer = await connection.request(subject, write(question), timeout=self._within_s)
        except (NatsError, OSError, TimeoutError) as error:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"no executor answered: {type(error).__name__}") from None
        reply = read(CarReply, answer.data, self._clock.now())
        if reply.refusal is not None:
            raise reply.refusal.error()
        return reply


def _fits(command: Command, outcome: CallOutcome) -> bool:
    """Whether an outcome speaks of the directive that was asked about."""
    told = outcome.status if command.act is CallKind.STATUS else outcome.ack
    return outcome.refusal is not None or (told is not None and told.directive_id == command.directive_id)


def _whole(told: Told | None, directive_id: str) -> Told:
    if told is None or told.directive_id != directive_id:
        raise BackendError(ErrorCode.OUTCOME_UNKNOWN, "the executor's answer speaks of something else")
    return told


def _given(told: T | None) -> T:
    if told is None:
        raise BackendError(ErrorCode.BACKEND_TRANSIENT, "the executor's answer is empty")
    return told
