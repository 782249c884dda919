"""What cars hold, as columns beside the fleet's: so that one vectorised look finds the few that must be told."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ven_adapters.contract import DirectiveKind, DirectiveState
from ven_adapters.ven.directives.lifecycle import DirectiveRecord
from ven_adapters.ven.fleet.columns import ALWAYS_S, Floats, grown
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.zone_plan import HELD, ZonePlan

_KINDS = {
    kind: DesireKind[kind.name] if kind.name in DesireKind.__members__ else DesireKind.NONE for kind in DirectiveKind
}
_UNCONFIRMED = frozenset({DirectiveState.REQUESTED, DirectiveState.ACCEPTED})
# One record per car, because a car is written whole and often, and read by columns once a cycle.
_CAR = np.dtype(
    [
        ("restless", np.bool_),
        ("unconfirmed", np.bool_),
        ("kind", np.int64),
        ("power_w", np.int64),
        ("start_s", np.float64),
        ("end_s", np.float64),
        ("target_pct", np.float64),
        ("energy_wh", np.int64),
    ]
)


def unsettled(held: DirectiveRecord) -> bool:
    """Whether a directive was not taken yet, is not followed, or is being cancelled: time alone may call for a step."""
    taken = held.state is not DirectiveState.REQUESTED and not held.unread
    return not taken or held.contradicted_at is not None or held.ending_at is not None


class HeldColumns:
    """One row per row of the fleet."""

    def __init__(self) -> None:
        self._cars: npt.NDArray[Any] = np.zeros(0, _CAR)

    def grow(self, count: int) -> None:
        """Have at least `count` rows."""
        self._cars = grown(self._cars, count, fill=0)

    def put(self, row: int, held: DirectiveRecord | None) -> None:
        """What the car at a row holds now."""
        if held is None:
            self._cars[row] = 0
            return
        directive = held.directive
        self._cars[row] = (
            unsettled(held),
            held.state in _UNCONFIRMED,
            _KINDS[directive.kind],
            directive.power_w or 0,
            directive.start.timestamp(),
            directive.end.timestamp(),
            directive.target_soc_pct or 0.0,
            directive.max_energy_wh or 0,
        )

    def as_plan(self, new: ZonePlan) -> ZonePlan:
        """What the cars of a plan hold, in the shape of a plan."""
        held: dict[str, Any] = {name: self._cars[name][new.row] for name in HELD}
        return dataclasses.replace(new, **held)

    def restless(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these rows need a look although nothing else is wanted of them than before."""
        return np.asarray(self._cars["restless"][rows])

    def holding(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these rows hold something."""
        return np.asarray(self._cars["kind"][rows] != DesireKind.NONE)

    def capped(self, rows: npt.NDArray[np.int64], now_s: float) -> npt.NDArray[np.bool_]:
        """Which of these rows are told a power of their own now: what they draw says nothing of what they could."""
        kind, cars = self._cars["kind"][rows], self._cars[rows]
        told = (kind == DesireKind.CAP) | (kind == DesireKind.SETPOINT)
        return np.asarray(told & (cars["start_s"] <= now_s) & (now_s < cars["end_s"]))

    def begun(self, rows: npt.NDArray[np.int64], now_s: float) -> npt.NDArray[np.bool_]:
        """Which of these rows hold a directive whose window is open now."""
        cars = self._cars[rows]
        return np.asarray((cars["kind"] != DesireKind.NONE) & (cars["start_s"] <= now_s) & (now_s < cars["end_s"]))

    def unconfirmed_s(self, rows: npt.NDArray[np.int64]) -> Floats:
        """The start of what each of these rows holds and was not seen to follow; ALWAYS_S where there is none."""
        cars = self._cars[rows]
        return np.where(cars["unconfirmed"] & (cars["kind"] != DesireKind.NONE), cars["start_s"], ALWAYS_S)

    def held_back(self, rows: npt.NDArray[np.int64], now_s: float) -> int:
        """How many of these rows are held below what they would draw."""
        kind = self._cars["kind"][rows]
        bound = (kind == DesireKind.CURTAIL) | (kind == DesireKind.CAP) | (kind == DesireKind.SETPOINT)
        return int((bound & (self._cars["start_s"][rows] <= now_s)).sum())
