"""What an automaker's file implements when the vendor takes single commands: cars to read and to tell, no windows."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Protocol

from ven_adapters.contract import BackendError, BackendEvent, Capability, Directive, Setting, Snapshot, VehicleRef


class Cars(Protocol):
    """One vendor's cars; every method raises BackendError and nothing else."""

    def refs(self) -> AsyncIterator[VehicleRef]:
        """Every enrolled car."""

    async def capability(self, ref: str) -> Capability:
        """What the car can do."""

    async def read(self, ref: str, max_age_s: int | None) -> Snapshot:
        """The newest reading; with `max_age_s` a car that sleeps is woken, ASLEEP when that takes too long."""

    def achieve(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
        """The rung for a directive; pure."""

    async def tell(self, ref: str, setting: Setting) -> str | None:
        """Tell the car one setting; the vendor's own name for the action, if it has one."""

    def overridden(self, ref: str) -> bool:
        """True when the last reading says that the driver took over."""

    def pushes(self) -> AsyncIterator[BackendEvent]:
        """What the vendor pushes; ends at once when nothing is pushed."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """Seconds on the shared clock: the first look after a send, the longest between two, trying to give a car back.

    `found_s` is how old a reading may be that says how the driver left the car;
    `sends` bounds how often one window is told; `anywhere` lets a car be held whose place is not known to be its home.
    """

    first_look_s: float = 30.0
    longest_look_s: float = 600.0
    found_s: int = 900
    give_back_s: float = 6 * 3600.0
    sends: int = 3
    anywhere: bool = False
