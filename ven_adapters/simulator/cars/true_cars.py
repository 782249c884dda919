"""What simulated cars really are: drawn from the mixture in `true_cars.toml`, which no planner may read.

One column per truth, one value per car. "as_told" has one set of values for every car, for tests of exact figures; a
mapping of columns to values changes some of them. Pure but for the data file; chance comes as an argument.
"""

import dataclasses
import functools
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Dice = Callable[[str], np.random.Generator]
Mixture = Mapping[str, tuple[Mapping[str, Any], ...]]

AS_TOLD, MIXTURE = "as_told", "mixture"
PER_NIGHT = "leaves_early"
ROUNDING = 1e-6

# Every car alike: no car differs from what it tells, but that it loses energy and slows down near full.
EXACT: Mapping[str, float] = {
    "charge_efficiency": 0.90,
    "discharge_efficiency": 0.94,
    "power_share": 1.0,
    "taper_from": 0.80,
    "taper_end": 0.20,
    "usable_share": 1.0,
    "level_step_pct": 1.0,
    "level_round_up": 0.0,
    "cold_power": 1.0,
    "cold_efficiency": 1.0,
    "warms_wh": 1_000.0,
    "reading_age_s": 0.0,
    "shares_circuit": 0.0,
    "leaves_early_s": 0.0,
}


@dataclasses.dataclass(frozen=True, slots=True)
class TrueCars:
    """Columns of N cars; `leaves_early_s` is (nights, N).

    Efficiencies and shares are 0..1; `power_share` and `usable_share` are of what the car tells; power falls in a line
    from `taper_from` (share of the battery) to `taper_end` (share of the power) when full. A cold battery takes
    `cold_power` of its power with `cold_efficiency` of its efficiency until `warms_wh` have been charged. `partner` is
    the car on the same circuit, -1 for none. `parts` says by topic of which part of the mixture each car is.
    """

    charge_efficiency: Floats
    discharge_efficiency: Floats
    power_share: Floats
    taper_from: Floats
    taper_end: Floats
    usable_share: Floats
    level_step_pct: Floats
    level_round_up: Floats
    cold_power: Floats
    cold_efficiency: Floats
    warms_wh: Floats
    reading_age_s: Floats
    leaves_early_s: Floats
    partner: Ints
    parts: Mapping[str, Ints]

    def told_pct(self, true_pct: Floats, cars: Ints | slice = slice(None)) -> Floats:
        """The levels that these cars tell."""
        step, up = self.level_step_pct[cars], self.level_round_up[cars]
        steps = np.floor(true_pct / step + up + np.where(up < 1.0, ROUNDING, -ROUNDING))
        return np.asarray(np.clip(steps * step, 0.0, 100.0))

    def least_pct(self, car: int, told_pct: float) -> float:
        """The true level below which a car tells less than `told_pct`."""
        step, up = float(self.level_step_pct[car]), float(self.level_round_up[car])
        return max(0.0, (float(np.ceil(told_pct / step - ROUNDING)) - up) * step)

    def columns(self) -> bytes:
        """Every column's bytes in turn."""
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return b"".join(column.tobytes() for column in named.values() if isinstance(column, np.ndarray))

    def drawn(self) -> list[dict[str, Any]]:
        """For each part and column of the mixture: its cars, their share, least and greatest value; none if as told."""
        rows = []
        for topic, parts in mixture().items() if self.parts else ():
            for number, part in enumerate(parts):
                mine = self.parts[topic] == number
                for column in _columns(part):
                    values = self._values(column)[mine]
                    rows.append(
                        {
                            "topic": topic,
                            "part": part["part"],
                            "column": column,
                            "drawn": int(mine.sum()),
                            "of": int(mine.size),
                            "least": round(float(values.min()), 3) if values.size else None,
                            "most": round(float(values.max()), 3) if values.size else None,
                        }
                    )
        return rows

    def _values(self, column: str) -> Floats:
        return (self.partner >= 0).astype(float) if column == "shares_circuit" else np.asarray(getattr(self, column))


@functools.cache
def mixture() -> Mixture:
    """The data file: topics with their parts. ValueError when the shares of a topic are not 1 in sum."""
    raw = tomllib.loads(Path(__file__).with_name("true_cars.toml").read_text(encoding="utf-8"))
    for topic, parts in raw.items():
        if abs(sum(part["share"] for part in parts) - 1.0) > ROUNDING:
            raise ValueError(f"true_cars.toml: {topic}: the shares are not 1 in sum")
    return {topic: tuple(parts) for topic, parts in raw.items()}


def true_cars(truth: str | Mapping[str, float], dice: Dice, zone: Ints, nights: int) -> TrueCars:
    """The truths of the cars of these zones. KeyError for a kind or a column that is not known."""
    cars = zone.size
    columns: dict[str, Floats] = {}
    parts: dict[str, Ints] = {}
    if truth == MIXTURE:
        for topic in mixture():
            shape = (nights, cars) if topic == PER_NIGHT else (cars,)
            parts[topic], found = _draw(topic, dice(f"truth/{topic}"), shape)
            columns |= found
    else:
        given = {} if truth == AS_TOLD else truth if isinstance(truth, Mapping) else {truth: 0.0}
        if unknown := given.keys() - EXACT.keys():
            raise KeyError(f"truth: {', '.join(sorted(unknown))}: unknown; known are {', '.join(EXACT)}")
        columns = {name: np.full(cars, float(given.get(name, value))) for name, value in EXACT.items()}
        columns["leaves_early_s"] = np.full((nights, cars), columns["leaves_early_s"][:1])
    partner = _pairs(columns.pop("shares_circuit") > 0.0, zone)
    return TrueCars(**columns, partner=partner, parts=parts)


def _draw(topic: str, dice: np.random.Generator, shape: tuple[int, ...]) -> tuple[Ints, dict[str, Floats]]:
    """Each car's part of one topic, and its values; a column has its own chance, so further nights change none."""
    parts = mixture()[topic]
    names = _columns(parts[0])
    own = dice.spawn(1 + len(names))
    part = own[0].choice(len(parts), shape, p=[one["share"] for one in parts])
    columns = {}
    for name, chance in zip(names, own[1:], strict=True):
        low, high = (np.array([one[name][side] for one in parts], float)[part] for side in (0, 1))
        columns[name] = low + (high - low) * chance.random(shape)
    return part, columns


def _columns(part: Mapping[str, Any]) -> list[str]:
    return [name for name, value in part.items() if isinstance(value, list)]


def _pairs(shares: NDArray[np.bool_], zone: Ints) -> Ints:
    """Cars of one zone that share a circuit, two by two; the last of an odd number has its circuit for itself."""
    partner = np.full(zone.size, -1)
    for number in np.unique(zone[shares]):
        cars = np.flatnonzero(shares & (zone == number))
        first, second = cars[: cars.size // 2 * 2 : 2], cars[1::2]
        partner[first], partner[second] = second, first
    return partner
