"""Answer planners' questions: what a car can do, a reading, which cars there are. Touches no directive."""

import asyncio
import logging
from collections.abc import Sequence

from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from ven_adapters.contract import BackendError, ErrorCode, VehicleBackend, VehicleRef
from ven_adapters.ven.queue.connection import EXECUTORS, QueueConnection
from ven_adapters.ven.queue.messages import CallRefusal, CarQuestion, CarReply, read, write
from vtn.clock import Clock

MOST_WAITING = 1_000
CARS_PER_PAGE = 250

_log = logging.getLogger(__name__)


class QueryAnswerer:
    """One executor's answers; executors share the questions among themselves."""

    def __init__(self, backend: VehicleBackend, link: QueueConnection, clock: Clock) -> None:
        self._backend = backend
        self._link = link
        self._clock = clock
        self._room = asyncio.Semaphore(link.settings.at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._on: Connection | None = None
        self._cars: Sequence[VehicleRef] = ()

    async def open(self) -> None:
        """Listen for questions on the present connection; nats-py renews the subscription when it reconnects."""
        connection = self._link.connection
        if self._on is not connection:
            await connection.subscribe(self._link.names.questions, queue=EXECUTORS, cb=self._hear)
            self._on = connection

    async def _hear(self, message: Msg) -> None:
        if len(self._tasks) >= MOST_WAITING:
            return  # the planner asks again; a queue of questions without end helps nobody
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg) -> None:
        async with self._room:
            try:
                reply = await self._reply(read(CarQuestion, message.data, self._clock.now()))
            except BackendError as error:
                reply = CarReply(refusal=CallRefusal(error.code, error.detail[:500], error.retry_after_s))
            except Exception:  # noqa: BLE001 - a defect of an automaker's file must not silence the desk
                _log.exception("a backend failed in a way that none may fail")
                reply = CarReply(refusal=CallRefusal(ErrorCode.BACKEND_TRANSIENT, "the backend's file failed"))
        try:
            await message.respond(write(reply))
        except (NatsError, OSError, BackendError) as error:
            _log.warning("an answer could not be given: %s", type(error).__name__)

    async def _reply(self, question: CarQuestion) -> CarReply:
        if question.vehicle_ref is None:
            return await self._page(question.after)
        if question.snapshot:
            return CarReply(snapshot=await self._backend.snapshot(question.vehicle_ref, max_age_s=question.max_age_s))
        return CarReply(capability=await self._backend.capabilities(question.vehicle_ref))

    async def _page(self, after: int) -> CarReply:
        """Some of the cars; the list is read from the backend when its beginning is asked for, in a stable order."""
        if after == 0 or not self._cars:
            self._cars = sorted([found async for found in self._backend.vehicles()], key=lambda found: found.ref)
        page = tuple(self._cars[after : after + CARS_PER_PAGE])
        return CarReply(vehicles=page, more=after + len(page) < len(self._cars))
