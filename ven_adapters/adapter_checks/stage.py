"""What the kit's checks stand on: an automaker's cloud whose cars, faults and ground truth the kit can reach.

An adapter is judged from both sides: through its port, and by what the physics says. A *stage* is the second side. It
runs the automaker's real interface (HTTP, webhooks, websocket) on loopback, with cars behind it, and is started afresh
for a run of the kit: `async with make(seed) as stage`. Ours stand in `adapter_checks.stages` (their clouds in
`simulator`), which also finds a stage by the adapter's name; an automaker's own is an entry point of the group
`ven_adapters.stages` with the adapter's name, whose value is a `StageFactory`.

Rules that every stage keeps:

- **Cars.** At entry every car is at home, plugged in, awake, half full (40..60 %), below its driver's target (80 %),
  its driver's departure at least 24 simulated hours away, consented, and charging as its driver set it. At least two
  cars; where the brand can discharge, at least one of them can, with every paper on file and a reserve of 20..30 %.
  Cars do nothing by themselves: none leaves, sleeps or is unplugged unless `arm` says so. `restore` brings a car back
  to this.
- **Time.** `clock` is what the adapter is given (it stands in `settings` too). It runs on slowly by itself, so that
  back-offs end, and jumps by `advance` (see `simulator.stepped_clock.SteppedClock`, which does both).
- **Commands** reach a car after a fixed latency of at most 30 simulated seconds, never lost unless a fault says so.
- **Faults** are those of `simulator.faults.table.BY_NAME`. `arm(name, ref)` makes the fault befall this car (all
  cars without `ref`) from now on, at once and every time: rate 1, no draw, no waiting for an hour of the night. What a
  car or a driver does, happens at the call: `asleep` and `deep_sleep` put the car to sleep now, `unplugged` pulls the
  cable now, `override` presses charge now, `opt_out` leaves now, each telling the cloud as it would. `lost_answer` may
  be armed in its forms, by suffix: `lost_answer/500_undone`, `lost_answer/500_done`, `lost_answer/cut_done`. `disarm`
  ends all faults; what they did to cars stays until `restore`.

This module knows no HTTP and no brand.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from vtn.clock import Clock

LOST_ANSWERS = ("lost_answer/500_undone", "lost_answer/500_done", "lost_answer/cut_done")


@dataclasses.dataclass(frozen=True, slots=True)
class CarTruth:
    """What the physics says of one car now. W and Wh at the charging point, + into the car; percent 0..100.

    `as_driver_set` is true while nothing from outside holds the car: no pause, cap, target or schedule is on it.
    `soc_pct` is exact, never rounded. Energies only ever grow.
    """

    power_w: float
    soc_pct: float
    plugged: bool
    at_home: bool
    asleep: bool
    as_driver_set: bool
    target_soc_pct: float
    reserve_soc_pct: float
    charged_wh: float
    discharged_wh: float


class ContactKind(enum.StrEnum):
    """What a call to the cloud was for. `COMMAND` may move a car (a cancel, too), `WAKE` costs the car's battery."""

    READ = "READ"
    COMMAND = "COMMAND"
    WAKE = "WAKE"
    GRANT = "GRANT"
    SUBSCRIBE = "SUBSCRIBE"


@dataclasses.dataclass(frozen=True, slots=True)
class Contact:
    """One call that reached the cloud: when (stage clock), for which car (None: for none), and the status answered.

    `status` is 0 for a connection that was cut, and 200 for a message of a websocket that was answered well. `at_once`
    is how many calls were being answered when this one came, itself included.
    """

    at: datetime
    kind: ContactKind
    ref: str | None
    status: int
    at_once: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class CommandEffect:
    """One command that the cloud took for a car and will carry out, in the order of taking.

    `key` is the idempotency key where the interface carries one, else None. A repeated call that the cloud recognised
    as a repetition, and therefore did not carry out again, is no effect.
    """

    at: datetime
    what: str
    key: str | None = None


class CloudStage(Protocol):
    """A running cloud of one automaker, seen from behind. Synchronous members answer at once and never block."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The `[backend]` table for the adapter's factory, `clock` included; a new adapter with it is a restart."""
        ...

    @property
    def clock(self) -> Clock:
        """The time that the cloud, its cars and the adapter share."""
        ...

    @property
    def refs(self) -> tuple[str, ...]:
        """The cars, by the names that the adapter gives them."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Words that may never be logged, shown or told: tokens, secrets, VINs, coordinates; four letters at least."""
        ...

    @property
    def cannot_play(self) -> Mapping[str, str]:
        """The faults that this interface cannot have, by name, each with the reason."""
        ...

    def truth(self, ref: str) -> CarTruth:
        """What the physics says of a car now."""
        ...

    def ledger(self, ref: str) -> Sequence[CommandEffect]:
        """Every effect on a car since the stage began."""
        ...

    def contacts(self) -> Sequence[Contact]:
        """Every call that reached the cloud since the stage began."""
        ...

    def arm(self, fault: str, ref: str | None = None) -> None:
        """Play a fault from now on; KeyError when there is none of that name, ValueError when `cannot_play` has it."""
        ...

    def disarm(self) -> None:
        """Play no fault any more."""
        ...

    async def restore(self, ref: str) -> None:
        """Bring a car back to how it was at entry; commands still under way to it are forgotten."""
        ...

    async def advance(self, seconds: float) -> None:
        """Let so much simulated time go by, for cloud, cars and adapter, in steps of a minute at most."""
        ...

    async def cut(self) -> bool:
        """Lose the line on which the cloud pushes (subscribers, streams) as a restart would; False if it has none."""
        ...

    async def repeat(self) -> bool:
        """Deliver the last push once more, byte for byte; False if there is none."""
        ...


StageFactory = Callable[[int], AbstractAsyncContextManager[CloudStage]]
