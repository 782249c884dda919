"""What is true of the cars of a stress cell: batteries, charging, drivers and tariff, with physics of its own.

Nothing here is imported from the planner or from the simulators, so that what judges shares no assumption with what is
judged. Energies are kWh at the charging point, powers kW, levels percent of the usable capacity, instants epoch seconds
on a grid of five minutes. Columns have one entry per car; nights come first where there are several.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HOUR_S = 3600.0
DAY_S = 86400.0
STEP_S = 300.0
QUARTER_S = 900.0
NIGHTS = 3
# A Monday at noon, UTC: the first night is Monday's.
NOON_S = 1_783_944_000.0
DEAR_FROM_H = 6.0
EVENT_NIGHT, EVENT_FROM_S, EVENT_TO_S = 1, 6 * HOUR_S, 9 * HOUR_S
GIVES_TO_S = 8 * HOUR_S
BATTERIES_KWH = (42.0, 58.0, 64.0, 77.0, 82.0)
SHEETS_KW = (7.2, 9.6, 11.0)
TARGETS_PCT, TARGET_SHARES = (70.0, 80.0, 90.0, 100.0), (0.1, 0.5, 0.25, 0.15)
RESERVES_PCT, GIVERS_RESERVES_PCT = (10.0, 20.0, 30.0), (30.0, 40.0, 50.0)
LOWEST_ARRIVAL_PCT = 3.0


@dataclasses.dataclass(frozen=True, slots=True)
class StressCell:
    """One combination of truths, the same for all its cars.

    `efficiency`: of charging. `power`: true power as a share of the data sheet's. Above `knee_pct` the power falls in a
    line to `end_share` of itself at 100 %. `step_pct`: levels are told in such steps, 1 rounded down, 5 rounded up.
    `leave_early`: share of drivers who leave 30 to 90 minutes before they said. `capacity`: true usable capacity as a
    share of what is told. `age_s`: age of every reading when it is told. `gives`: drivers agreed to discharge, and a
    set-point asks for it in place of the event of the second night.
    """

    efficiency: float = 0.9
    power: float = 1.0
    knee_pct: float = 80.0
    end_share: float = 0.2
    step_pct: int = 1
    leave_early: float = 0.0
    capacity: float = 1.0
    age_s: float = 0.0
    gives: bool = False
    discharge_efficiency: float = 0.9

    @property
    def words(self) -> tuple[str, ...]:
        """The truths as short words: what `--cells` looks for, and the table's groups."""
        taper = "flat" if self.knee_pct >= 100 else f"taper={self.knee_pct:g}:{100 * self.end_share:g}"
        told = (f"eff={100 * self.efficiency:g}", f"power={100 * self.power:g}", taper, f"step={self.step_pct}")
        if self.gives:
            return (*told, f"pack={100 * self.capacity:g}", f"age={self.age_s / 60:g}")
        return (*told, f"early={100 * self.leave_early:g}")

    @property
    def name(self) -> str:
        """All words."""
        return " ".join(self.words)

    def told_pct(self, level_pct: Floats) -> Floats:
        """Levels as a car tells them."""
        if self.step_pct == 1:
            return np.asarray(np.floor(level_pct + 1e-9))
        return np.asarray(np.minimum(100.0, np.ceil(level_pct / self.step_pct - 1e-9) * self.step_pct))


def matrix() -> Iterator[StressCell]:
    """Every cell of charging alone; without a taper its end makes no difference."""
    tapers = ((60.0, 0.2), (60.0, 0.05), (80.0, 0.2), (80.0, 0.05), (100.0, 1.0))
    for efficiency, power, (knee, end), step, early in itertools.product(
        (0.75, 0.85, 0.95), (0.5, 0.7, 1.0), tapers, (1, 5), (0.0, 0.1)
    ):
        yield StressCell(efficiency, power, knee, end, step, early)


def giving_matrix() -> Iterator[StressCell]:
    """The cells in which batteries feed the grid: coarse levels, aged packs, old readings, one by one and together."""
    for power, step, capacity, age_s in itertools.product((0.7, 1.0), (1, 5), (1.0, 0.8), (0.0, 600.0)):
        yield StressCell(power=power, step_pct=step, capacity=capacity, age_s=age_s, gives=True)


QUICK = (
    StressCell(0.95, 1.0, 80.0, 0.2, 1, 0.0),
    StressCell(0.75, 0.5, 60.0, 0.05, 5, 0.1),
    StressCell(0.85, 0.7, 100.0, 1.0, 5, 0.0),
    StressCell(0.85, 0.5, 80.0, 0.2, 1, 0.1),
)
QUICK_GIVING = (
    StressCell(gives=True),
    StressCell(power=0.7, step_pct=5, capacity=0.8, age_s=600.0, gives=True),
)


class ChargingCurve:
    """Level against time at full power, by numerical integration of the share of its power that a car takes.

    Time is counted in points: percent that the power below the knee would have charged meanwhile.
    """

    def __init__(self, knee_pct: float, end_share: float) -> None:
        self._level = np.linspace(0.0, 100.0, 10_001)
        self._share = np.interp(self._level, (0.0, min(knee_pct, 100.0 - 1e-6), 100.0), (1.0, 1.0, end_share))
        inverse = 1.0 / self._share
        pieces = (inverse[1:] + inverse[:-1]) / 2 * np.diff(self._level)
        self._points = np.concatenate([[0.0], np.cumsum(pieces)])

    def share(self, level_pct: Floats) -> Floats:
        """The share of its power that a car takes at a level."""
        return np.interp(level_pct, self._level, self._share)

    def points(self, level_pct: Floats) -> Floats:
        """Time from empty to a level."""
        return np.interp(level_pct, self._level, self._points)

    def level(self, points: Floats) -> Floats:
        """The level after so much time from empty."""
        return np.interp(points, self._points, self._level)


@dataclasses.dataclass(frozen=True, slots=True)
class TrueCars:
    """The cars of a cell. `*_s`, `arrival_pct`: (NIGHTS, cars); `left_s` is `declared_s` but for those who leave early.

    `told_kwh` and `sheet_kw` are what the planner is told; the others are true.
    """

    cell: StressCell
    curve: ChargingCurve
    told_kwh: Floats
    sheet_kw: Floats
    target_pct: Floats
    reserve_pct: Floats
    arrival_s: Floats
    declared_s: Floats
    left_s: Floats
    arrival_pct: Floats

    def __len__(self) -> int:
        return len(self.told_kwh)

    @property
    def usable_kwh(self) -> Floats:
        """True capacity."""
        return self.told_kwh * self.cell.capacity

    @property
    def power_kw(self) -> Floats:
        """True power below the knee, at the charging point."""
        return self.sheet_kw * self.cell.power

    @property
    def points_per_s(self) -> Floats:
        """Percent per second below the knee."""
        return self.power_kw * self.cell.efficiency / self.usable_kwh * 100 / HOUR_S

    @property
    def kwh_per_pct(self) -> Floats:
        """KWh at the charging point for one percent charged."""
        return self.usable_kwh / 100 / self.cell.efficiency

    def charged_pct(self, level_pct: Floats, seconds: Floats, limit_kw: Floats | float = np.inf) -> Floats:
        """The level after charging freely, to the target at most, or at no more than `limit_kw` for a short while."""
        full = self.curve.level(self.curve.points(level_pct) + self.points_per_s * seconds)
        limited = level_pct + np.minimum(limit_kw, 1e6) * seconds / HOUR_S / self.kwh_per_pct
        return np.maximum(level_pct, np.minimum(np.minimum(full, limited), self.target_pct))

    def given_pct(self, level_pct: Floats, kwh: Floats) -> Floats:
        """The level after so many kWh were fed to the grid."""
        return np.maximum(0.0, level_pct - kwh / self.cell.discharge_efficiency / self.usable_kwh * 100)


def true_cars(cell: StressCell, count: int, seed: int) -> TrueCars:
    """Cars and drivers by the seed; the same drivers in every cell, so that cells differ by what they say alone."""
    dice = np.random.default_rng(seed)
    told_kwh, sheet_kw = dice.choice(BATTERIES_KWH, count), dice.choice(SHEETS_KW, count)
    target = dice.choice(TARGETS_PCT, count, p=TARGET_SHARES)
    reserve = dice.choice(GIVERS_RESERVES_PCT if cell.gives else RESERVES_PCT, count)
    noon_s = NOON_S + DAY_S * np.arange(NIGHTS)[:, None]
    shape = (NIGHTS, count)
    arrival_h = np.clip(dice.normal(18.25, 1.9, shape), 12.5, 23.9) - 12.0
    departure_h = np.clip(dice.normal(7.5, 1.2, shape), 4.0, 11.5) + 12.0
    need_pct = dice.gamma(1.7, 9.25, shape) / (told_kwh * cell.capacity) * 100
    early = dice.random(shape) < cell.leave_early
    early_s = np.where(early, dice.uniform(0.5, 1.5, shape) * HOUR_S, 0.0)
    declared_s = noon_s + np.round(departure_h * HOUR_S / QUARTER_S) * QUARTER_S
    return TrueCars(
        cell=cell,
        curve=ChargingCurve(cell.knee_pct, cell.end_share),
        told_kwh=told_kwh,
        sheet_kw=sheet_kw,
        target_pct=target,
        reserve_pct=reserve,
        arrival_s=noon_s + np.round(arrival_h * HOUR_S / STEP_S) * STEP_S,
        declared_s=declared_s,
        left_s=declared_s - np.round(early_s / STEP_S) * STEP_S,
        arrival_pct=np.maximum(LOWEST_ARRIVAL_PCT, target - need_pct),
    )


def is_cheap(at_s: float) -> bool:
    """Whether a step that begins then is off-peak: from midnight to six."""
    return at_s % DAY_S < DEAR_FROM_H * HOUR_S
