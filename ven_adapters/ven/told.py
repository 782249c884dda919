"""What cars hold, as columns beside the fleet's: so that one vectorised look finds the few that must be told."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ven_adapters.contract import DirectiveKind
from ven_adapters.ven.directives import Held
from ven_adapters.ven.enforcement import Kind
from ven_adapters.ven.zoneplan import ZonePlan

_KINDS = {kind: Kind[kind.name] if kind.name in Kind.__members__ else Kind.NONE for kind in DirectiveKind}
_COLUMNS: dict[str, Any] = {
    "kind": np.int64,
    "power_w": np.int64,
    "start_s": np.float64,
    "end_s": np.float64,
    "target_pct": np.float64,
    "energy_wh": np.int64,
}


class Told:
    """One row per row of the fleet."""

    def __init__(self) -> None:
        self._columns: dict[str, npt.NDArray[Any]] = {name: np.zeros(0, kind) for name, kind in _COLUMNS.items()}

    def grow(self, count: int) -> None:
        """Have at least `count` rows."""
        missing = count - len(self._columns["kind"])
        if missing > 0:
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, np.zeros(missing, column.dtype)])

    def put(self, row: int, held: Held | None) -> None:
        """What the car at a row holds now."""
        columns = self._columns
        if held is None:
            columns["kind"][row] = Kind.NONE
            return
        directive = held.directive
        columns["kind"][row] = _KINDS[directive.kind]
        columns["power_w"][row] = directive.power_w or 0
        columns["start_s"][row] = directive.start.timestamp()
        columns["end_s"][row] = directive.end.timestamp()
        columns["target_pct"][row] = directive.target_soc_pct or 0.0
        columns["energy_wh"][row] = directive.max_energy_wh or 0

    def as_plan(self, new: ZonePlan) -> ZonePlan:
        """What the cars of a plan hold, in the shape of a plan."""
        held: dict[str, Any] = {name: column[new.row] for name, column in self._columns.items()}
        return dataclasses.replace(new, **held)

    def holding(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these rows hold something."""
        return np.asarray(self._columns["kind"][rows] != Kind.NONE)

    def held_back(self, rows: npt.NDArray[np.int64], now_s: float) -> int:
        """How many of these rows are held below what they would draw."""
        kind = self._columns["kind"][rows]
        bound = (kind == Kind.CURTAIL) | (kind == Kind.CAP) | (kind == Kind.SETPOINT)
        return int((bound & (self._columns["start_s"][rows] <= now_s)).sum())
