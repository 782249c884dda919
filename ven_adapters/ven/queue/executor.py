"""The executor's side: take commands as room allows, call the automaker's backend, put the outcome on record.

It decides nothing about directives: errors go back as they are, and the planner's life cycle judges them. The rules by
which a command may be begun are `messages.next_for`; their order here is what the package promises.
"""

import asyncio
import collections
import contextlib
import dataclasses
import logging
import secrets
from collections.abc import Coroutine
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from ven_adapters.contract import (
    FINAL_STATES,
    Ack,
    BackendError,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    VehicleBackend,
)
from ven_adapters.ven.queue.backend_events import BackendListener
from ven_adapters.ven.queue.connection import Away, Overtaken, QueueConnection
from ven_adapters.ven.queue.fetch import FETCH_S, CommandFetch
from ven_adapters.ven.queue.lease import LEASE_SHARE, Lease, right
from ven_adapters.ven.queue.messages import (
    CallKind,
    CallOutcome,
    CallRefusal,
    Command,
    CommandRecord,
    Next,
    StoredRecord,
    WaitingPlanner,
    next_for,
    read,
    read_command,
    token,
    write,
)
from ven_adapters.ven.queue.queries import QueryAnswerer
from vtn.clock import Clock
from vtn.tasks import cancel_tasks

ONLY = "the-only-executor"
AGAIN_S = 0.25
STOP_WITHIN_S = 30.0

_log = logging.getLogger(__name__)


class Executor:
    """Carries out commands with one backend until `stop`."""

    def __init__(self, backend: VehicleBackend, link: QueueConnection, clock: Clock) -> None:
        self.name = secrets.token_hex(8)
        self._backend = backend
        self._link = link
        self._clock = clock
        self._lease_s = LEASE_SHARE * link.settings.ack_wait_s
        self._room = asyncio.Semaphore(link.settings.at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._turns = CommandFetch(link)
        self._queries = QueryAnswerer(backend, link, clock)
        self.listener = BackendListener(backend, link, self.name)
        self.counts: collections.Counter[str] = collections.Counter()

    def stop(self) -> None:
        """Take nothing more, finish what is begun, and return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`, whether the queue is there or not."""
        self._link.start()
        stopping = asyncio.create_task(self._stopping.wait())
        working = asyncio.create_task(self._alone() if getattr(self._backend, "works_alone", False) else self._work())
        try:
            await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            await asyncio.wait({working}, timeout=3 * FETCH_S)  # what was on its way to us is carried out, not left
            await cancel_tasks((stopping, working))
            await asyncio.gather(stopping, working, return_exceptions=True)
            await self._finish()
            await self._link.close()
            await self._backend.close()

    async def _alone(self) -> None:
        """A backend that remembers things on this machine has one executor; others stand by.

        While NATS is away nobody can take its place: the backend then goes on with what it has begun.
        """
        lease = right(self._link, ONLY, self.name)
        while not self._stopping.is_set():
            await lease.won()
            working, losing = asyncio.create_task(self._work()), asyncio.create_task(lease.lost())
            try:
                await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel_tasks((working, losing))
                await asyncio.gather(working, losing, return_exceptions=True)
            if not self._stopping.is_set() and await self._replaced():
                _log.error("another executor has taken this one's place; it ends")
                return

    async def _replaced(self) -> bool:
        """Whether somebody else works alone now; waits until that can be known."""
        while True:
            await self._link.ready()
            with contextlib.suppress(Away):
                kept = await self._link.last(ONLY)
                return kept is not None and kept.record.executor != self.name
            await asyncio.sleep(AGAIN_S)

    async def _work(self) -> None:
        """Answer questions, listen to the backend, take commands; until `stop`."""
        await self._link.when_found(self._queries.open)
        listening = asyncio.create_task(self.listener.run())
        try:
            await self._take_turns()
        finally:
            await cancel_tasks([listening])
            await asyncio.gather(listening, return_exceptions=True)

    async def _finish(self) -> None:
        """Let calls end; what takes longer is taken over by another executor, or by us after the next start."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_WITHIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _take_turns(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._link.ready()
                await self._fetch()
            except TimeoutError:
                continue
            except (Away, NatsError, OSError) as error:
                _log.warning("no commands can be taken: %s", type(error).__name__)
                await asyncio.sleep(AGAIN_S)

    async def _fetch(self) -> None:
        """Take as many commands as there is room for; none waits here while another executor could have it."""
        await self._room.acquire()
        self._room.release()
        async for message in self._turns.some(max(1, self._link.settings.at_once - len(self._tasks))):
            await self._room.acquire()
            self._spawn(self._guarded(message))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, message: Msg) -> None:
        """One command; what cannot be finished stays in the stream and comes again."""
        try:
            await self._turn(message)
        except (Away, NatsError, OSError, TimeoutError):
            self.counts["left_in_the_queue"] += 1
        except Exception:  # noqa: BLE001 - one command's failure, of whatever kind, must not stop the others
            _log.exception("a command failed in a way that none may fail")
        finally:
            self._room.release()

    async def _turn(self, message: Msg) -> None:
        seq = message.metadata.sequence.stream
        try:
            command = read_command(message.data, self._clock.now())
        except BackendError as error:
            await self._refuse(message, error)
            return
        car = message.subject.rpartition(".")[2]
        kept = await self._link.last(car)
        step = next_for(seq, kept)
        if step is Next.WAIT:
            step = next_for(seq, kept, await self._link.server_time())
        self.counts[step.name.lower()] += 1
        if step is Next.WAIT:
            await message.nak(delay=AGAIN_S)
        elif step is Next.DROP:
            await message.ack()
        elif step is Next.REPEAT and kept is not None:
            await self._tell(command, kept.record)
            await message.ack()
        else:
            await self._begin(message, command, kept, car)

    async def _refuse(self, message: Msg, error: BackendError) -> None:
        """Drop a command that breaks the contract, and tell whoever sent it, if that can be read."""
        _log.warning("a command cannot be read and is dropped: %s", error.detail)
        self.counts["unreadable"] += 1
        with contextlib.suppress(BackendError):
            sender = read(WaitingPlanner, message.data, self._clock.now())
            refused = CommandRecord(
                sender.id, message.metadata.sequence.stream, self.name, self._lease_s, _refusal(error)
            )
            await self._tell(sender, refused)
        await message.term()

    async def _begin(self, message: Msg, command: Command, kept: StoredRecord | None, car: str) -> None:
        """Claim the car, call, put the outcome on record; each step only as the successor of the one before."""
        seq = message.metadata.sequence.stream
        lease = Lease(self._link, car, CommandRecord(command.id, seq, self.name, self._lease_s), message.in_progress)
        interrupted = kept is not None and kept.record.outcome is None
        try:
            await lease.take(after=kept.mark if kept is not None else 0)
        except Overtaken:
            self.counts["claims_lost"] += 1
            await message.nak(delay=AGAIN_S)
            return
        outcome = await self._bounded(command, lease, interrupted=interrupted)
        done = dataclasses.replace(lease.record, outcome=outcome)
        if await self._put_down(car, done, lease):
            await self._tell(command, done)
            await message.ack()

    async def _put_down(self, car: str, done: CommandRecord, lease: Lease) -> bool:
        """Put an outcome on record, for as long as the line needs; False when the car was taken over meanwhile."""
        while True:
            try:
                await self._link.record(car, done, after=lease.mark)
            except Overtaken:
                kept = await self._link.last(car)
                if kept is not None and kept.record == done:
                    return True  # stored, though its receipt was lost
                if not await lease.catch_up():
                    self.counts["taken_from_us"] += 1
                    _log.error("a call outlasted its lease; its outcome is left to whoever took the car over")
                    return False
            except Away:
                await asyncio.sleep(AGAIN_S)
                await self._link.ready()
            else:
                return True

    async def _tell(self, command: Command | WaitingPlanner, done: CommandRecord) -> None:
        """Tell the planner, if it is there; the record stays for one that is not."""
        planner = command.answer_to.rpartition(".")[2]
        if command.answer_to == self._link.names.answers(token(planner)):
            await self._link.connection.publish(command.answer_to, write(done))

    # --- the call -------------------------------------------------------------------------------------------------

    async def _bounded(self, command: Command, lease: Lease, *, interrupted: bool) -> CallOutcome:
        """The outcome of a call that ends while the car is ours; what is not known by then is OUTCOME_UNKNOWN."""
        try:
            async with lease.kept(self._longest_s(command)):
                outcome = await self._call(command, lease, interrupted=interrupted)
        except TimeoutError:
            outcome = _refusal(BackendError(ErrorCode.OUTCOME_UNKNOWN, "the backend did not answer in time"))
        except BackendError as error:
            outcome = _refusal(error)
        except Exception:  # noqa: BLE001 - a defect of an automaker's file must not keep a car waiting
            _log.exception("a backend failed in a way that none may fail")
            outcome = _refusal(BackendError(ErrorCode.OUTCOME_UNKNOWN, "the backend's file failed"))
        if outcome.refusal is not None:
            self.counts[f"refused {outcome.refusal.code}"] += 1
        return outcome

    def _longest_s(self, command: Command) -> float:
        """A call, its retries included, goes on no longer than is set, nor past the directive's `not_after`."""
        call_s = self._link.settings.call_s
        if command.not_after is None or self._clock.now() > command.not_after:
            return call_s  # what is late is refused, and what was interrupted is read first
        return min(call_s, self._clock.real_seconds_until(command.not_after))

    async def _call(self, command: Command, lease: Lease, *, interrupted: bool) -> CallOutcome:
        if command.act is CallKind.STATUS:
            return CallOutcome(status=await self._backend.status(command.vehicle_ref, command.directive_id))
        if command.act is CallKind.CANCEL:
            _require(lease)
            self.counts["cancels"] += 1
            return CallOutcome(ack=await self._backend.cancel(command.vehicle_ref, command.directive_id))
        if interrupted and (known := await self._known(command)) is not None:
            self.counts["found_done"] += 1
            return _outcome_of(known)
        return await self._submit(command, lease)

    async def _submit(self, command: Command, lease: Lease) -> CallOutcome:
        directive, capability, snapshot = command.directive, command.capability, command.snapshot
        if directive is None or capability is None or snapshot is None:
            raise BackendError(ErrorCode.INVALID_REQUEST, "directive, capability, snapshot: are required to submit")
        if self._clock.now() > directive.not_after:
            raise BackendError(ErrorCode.EXPIRED, "not_after: has passed")
        _require(lease)
        self.counts["submits"] += 1
        return CallOutcome(ack=await self._backend.submit(directive, capability, snapshot))

    async def _known(self, command: Command) -> DirectiveStatus | None:
        """What the backend knows of a directive that another executor may have submitted; None when nothing."""
        try:
            return await self._backend.status(command.vehicle_ref, command.directive_id)
        except BackendError as error:
            if error.code is ErrorCode.INVALID_REQUEST:
                return None
            raise BackendError(ErrorCode.OUTCOME_UNKNOWN, f"the backend could not say: {error.code}") from None


def _require(lease: Lease) -> None:
    """A process that slept past the time for its call makes it no more."""
    if not lease.ours:
        raise TimeoutError


def _refusal(error: BackendError) -> CallOutcome:
    return CallOutcome(refusal=CallRefusal(error.code, error.detail[:500], error.retry_after_s))


def _outcome_of(known: DirectiveStatus) -> CallOutcome:
    """A submit that another executor made: taken, or ended in a way that the planner shall read for itself."""
    if known.state in FINAL_STATES:
        return _refusal(BackendError(ErrorCode.OUTCOME_UNKNOWN, "it was submitted, and has ended"))
    return CallOutcome(ack=Ack(known.directive_id, DirectiveState.ACCEPTED))
