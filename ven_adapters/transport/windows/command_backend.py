"""What an automaker's file implements when the vendor takes single commands: cars to read and to tell, no windows."""

import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar, runtime_checkable

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    Capability,
    ChecksSetup,
    Directive,
    ErrorCode,
    Setting,
    SetupFault,
    Snapshot,
    VehicleRef,
)

T = TypeVar("T")
# What reading an answer of another shape raises.
OTHER_SHAPES = (AttributeError, LookupError, TypeError, ValueError, ArithmeticError)

_log = logging.getLogger(__name__)


class Cars(Protocol):
    """One vendor's cars; every method raises BackendError and nothing else."""

    def refs(self) -> AsyncIterator[VehicleRef]:
        """Every enrolled car."""

    async def capability(self, ref: str) -> Capability:
        """What the car can do."""

    async def read(self, ref: str, max_age_s: int | None) -> Snapshot:
        """The newest reading; a car that sleeps is woken for a `max_age_s` up to WAKES_UP_TO_S, else it is ASLEEP."""

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


@runtime_checkable
class EndsHolds(Protocol):
    """`Cars` that can end a hold by themselves, by a schedule of the car's or the vendor's own: two methods more.

    Cars without them are held by leases, see `CommandPace.slice_s`.
    """

    async def end_at(self, ref: str, setting: Setting, at: datetime) -> bool:
        """Have the car end this hold at `at` without being told again; called before the hold is told.

        False where this hold of this car cannot end by itself. Called again it replaces what it set before.
        """

    async def forget_end(self, ref: str) -> None:
        """Take back what `end_at` set, for the hold has ended earlier."""


@dataclasses.dataclass(frozen=True, slots=True)
class CommandPace:
    """Seconds on the shared clock: the first look after a send, the longest between two, trying to give a car back.

    `slice_s` is how long a car that does not end its hold by itself stays held when nobody renews its lease.

    `found_s` is how old a reading may be that says how the driver left the car;
    `sends` bounds how often one window is told; `anywhere` lets a car be held whose place is not known to be its home.
    """

    first_look_s: float = 30.0
    longest_look_s: float = 600.0
    found_s: int = 900
    give_back_s: float = 6 * 3600.0
    sends: int = 3
    anywhere: bool = False
    slice_s: float = 1200.0


class Careful:
    """`Cars` whose vendor may answer anything: an answer of another shape is the vendor's trouble, as a BackendError.

    After a command it says nothing of the car: OUTCOME_UNKNOWN.
    """

    def __init__(self, cars: Cars) -> None:
        self._cars = cars
        self.achieve, self.overridden, self.pushes, self.close = cars.achieve, cars.overridden, cars.pushes, cars.close

    async def refs(self) -> AsyncIterator[VehicleRef]:
        """Every enrolled car."""
        try:
            async for ref in self._cars.refs():
                yield ref
        except OTHER_SHAPES as error:
            raise _misshapen(error, ErrorCode.BACKEND_TRANSIENT) from None

    async def capability(self, ref: str) -> Capability:
        """What the car can do."""
        return await _heard(self._cars.capability(ref), ErrorCode.BACKEND_TRANSIENT)

    async def read(self, ref: str, max_age_s: int | None) -> Snapshot:
        """The newest reading."""
        return await _heard(self._cars.read(ref, max_age_s), ErrorCode.BACKEND_TRANSIENT)

    async def setup_faults(self) -> Sequence[SetupFault]:
        """What is missing at the vendor's; nothing for cars that do not tell."""
        return await self._cars.setup_faults() if isinstance(self._cars, ChecksSetup) else ()

    async def tell(self, ref: str, setting: Setting) -> str | None:
        """Tell the car one setting."""
        return await _heard(self._cars.tell(ref, setting), ErrorCode.OUTCOME_UNKNOWN)

    async def end_at(self, ref: str, setting: Setting, at: datetime) -> bool:
        """Whether the car ends this hold by itself; what goes wrong is logged, for then it does not."""
        if not isinstance(self._cars, EndsHolds):
            return False
        try:
            return await _heard(self._cars.end_at(ref, setting, at), ErrorCode.OUTCOME_UNKNOWN)
        except BackendError as error:
            _log.info("a car could not be told to end its hold by itself: %s", error.code)
            return False

    async def forget_end(self, ref: str) -> None:
        """Take back what `end_at` set; the car's own end does no harm when that fails."""
        if isinstance(self._cars, EndsHolds):
            try:
                await _heard(self._cars.forget_end(ref), ErrorCode.OUTCOME_UNKNOWN)
            except BackendError as error:
                _log.info("a car could not be told to forget the end of its hold: %s", error.code)


async def _heard(asked: Awaitable[T], code: ErrorCode) -> T:
    try:
        return await asked
    except OTHER_SHAPES as error:
        raise _misshapen(error, code) from None


def _misshapen(error: Exception, code: ErrorCode) -> BackendError:
    """Where it was found goes to the log; what was said stays out of it, for it may be a place or a name."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    _log.warning("a vendor's answer is of another shape: %s%s", type(error).__name__, where)
    return BackendError(code, f"the vendor's answer is of another shape: {type(error).__name__}")
