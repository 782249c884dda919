"""One adapter at work: read the VTN, steer every zone, call the backend, report; until it is told to stop.

Four tasks share one event loop: the VTN is polled (early when a notification wakes us), the backend's facts are taken
in, zones are steered, and what changed is stored. Each goes on when another cannot: without the VTN we carry out what
we hold, without the backend we keep reading events. On a clean stop directives are left to their own ends.
"""

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.config import AdapterSettings
from ven_adapters.contract import BackendError, DriverChose, VehicleBackend
from ven_adapters.ven import arrivals
from ven_adapters.ven.account import Account
from ven_adapters.ven.directives import Held
from ven_adapters.ven.dispatch import Dispatcher, Line
from ven_adapters.ven.enrolment import Unreadable, eligible, read_enrolments
from ven_adapters.ven.garage import Garage
from ven_adapters.ven.meter import Sample
from ven_adapters.ven.mirror import Mirror, News, version
from ven_adapters.ven.mobility import PlanSettings
from ven_adapters.ven.reconcile import Do, reconcile
from ven_adapters.ven.registration import Registered, register
from ven_adapters.ven.reporter import Reporter
from ven_adapters.ven.steering import Course, Orders, Steering
from ven_adapters.ven.store import EventRow, Store, print_at
from ven_adapters.ven.wake import Bell, Listener, back_off_s, listen
from vtn.client import Client, VtnRefused, VtnUnreachable
from vtn.clock import Clock

FLUSH_EVERY_S = 1.0
STOP_WITHIN_S = 5.0
SHORTEST_POLL_GAP_S = 0.05

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Doors:
    """The outside of one adapter: the VTN, the automaker's backend, our own store."""

    vtn: Client
    backend: VehicleBackend
    store: Store


class Agent:
    """One automaker's VEN. `run` returns after `stop`."""

    def __init__(self, settings: AdapterSettings, clock: Clock, doors: Doors) -> None:
        self._settings = settings
        self._clock = clock
        self._doors = doors
        self._dice = random.Random(settings.seed)  # noqa: S311 - spreads retries, guards nothing
        self._stopping = asyncio.Event()
        self.vtn_bell = Bell()
        self.bell = Bell()
        self.account = Account(settings.folder)
        self.registered: Registered | None = None
        self.samples: dict[str, Sample] = {}
        self._first_read: dict[str, datetime] = {}
        self._files: dict[Path, float] = {}
        parents = {name: zone.parent for name, zone in settings.zones.items()}
        self.garage = Garage(clock.now().timestamp(), parents, settings.smallest_group)
        self.mirror = Mirror(doors.vtn, self._first_read.get)
        seed = f"{settings.oem}/{settings.seed}"
        self.steering = Steering(
            self.garage, Course(PlanSettings(margin_s=settings.margin_s), seed, settings.lead_s)
        )
        self.dispatcher = Dispatcher(self._line())
        self.reporter = Reporter(doors.vtn, self.garage, self.mirror, settings.client_name, seed)

    def _line(self) -> Line:
        return Line(
            backend=self._doors.backend,
            clock=self._clock,
            roster=self.garage.roster,
            capabilities=self.garage.capabilities,
            snapshots=self.garage.snapshots,
            at_once=self._settings.calls_at_once,
            seed=self._settings.seed,
            sent=self._sent,
            settled=self._call_settled,
        )

    def stop(self) -> None:
        """Finish what is under way and return from `run`; directives run to their own ends."""
        self._stopping.set()
        self.bell.ring()
        self.vtn_bell.ring()

    async def run(self) -> None:
        """Work until `stop`. Raises Unreadable for enrolments that cannot be used, before anything is sent."""
        await self._open()
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("cars", self._meet_cars()),
                ("vtn", self._follow_vtn()),
                ("facts", self._take_facts()),
                ("steering", self._steer()),
                ("memory", self._remember()),
            )
        ]
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_EXCEPTION if False else asyncio.FIRST_COMPLETED)
        finally:
            pass

