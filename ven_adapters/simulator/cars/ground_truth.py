"""Ground truth: what really happened to every car and every kilowatt-hour, whatever anybody was told.

Kept by the simulator, written at its end as one NPZ (series and columns) and one JSON file (counts and sums). Times are
seconds since the fleet's midnight. A car is *late* when it left more than half a percent short of its target, and was
*feasible* when charging at once from its last plug-in on would have brought it there: a driver who pulls the cable
before the declared departure ends the promise, and one who plugs in again starts it anew from the level the car has.
Levels are true ones, of the true battery with its true physics. Drivers who leave before their declared departure are
counted apart, by the same two questions: charging at once until they really left is all that could have been had.
"""

import collections
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ven_adapters.contract import DirectiveKind, ErrorCode
from ven_adapters.simulator.cars.fleets import COMPLETE, Floats, SimulatedFleet
from vtn.clock import HOUR_S

BIN_S = 300.0
SLACK_PCT = 0.5
DUST_WH = 0.01
EXPORT_SLACK_W = 1.0
NEWS_GRACE_S = 900.0  # a driver's act is news to the world outside only after a while; younger acts count for nothing
TURN_W = 50.0
QUANTILES = (5, 25, 50, 75, 95)
ROWS = ("night", "car", "departed_s", "soc_pct", "asked_soc_pct", "target_pct", "late", "feasible", "early")


@dataclasses.dataclass(slots=True)
class SimulatedOptOut:
    """One driver's opt-out, and how the world outside treated it."""

    car: int
    at_s: float
    until_s: float
    directives_after_grace: int = 0
    changed: bool = False


class GroundTruth:
    """Counts as the world runs; never read by the cloud, so it cannot change what it measures."""

    def __init__(self, fleet: SimulatedFleet, starts_s: float, hours: float, *, keeps_power: bool = False) -> None:
        cars, bins = len(fleet.refs), int(hours * HOUR_S / BIN_S)
        self._fleet = fleet
        self._usable_wh = fleet.usable_wh * fleet.truth.usable_share
        self._first_bin = int(starts_s // BIN_S)
        self._bins = bins
        self._last_bin = 0
        shape = (bins + 1) * len(fleet.zones)
        self._up_wh, self._down_wh, self._asked_wh = (np.zeros(shape) for _ in range(3))
        self._fan = np.full((bins + 1, len(QUANTILES)), np.nan)
        self._plugged = np.zeros(bins + 1)
        self._departures: list[tuple[float, ...]] = []
        self._lowest_wh = np.full(cars, np.inf)
        self._discharged_wh = np.zeros(cars)
        self._over_export_wh = np.zeros(cars)
        self._home, self._home_limit_w = _homes(fleet)
        self._over_home_wh = np.zeros(cars)
        self._car_asked_wh = np.zeros(cars)
        self._plugs: list[tuple[int, float, bool]] = []
        self._states: collections.Counter[str] = collections.Counter()
        self._refusals: collections.Counter[str] = collections.Counter()
        self._asked: collections.Counter[str] = collections.Counter()
        self._away_touched: collections.Counter[int] = collections.Counter()
        self._unplugged_asked = 0
        self.opt_outs: dict[int, SimulatedOptOut] = {}
        minutes = int(hours * 60.0) if keeps_power else 0
        self._least_w = np.full((minutes, cars), np.nan, np.float32)
        self._most_w = np.full((minutes, cars), np.nan, np.float32)
        self._now_w = np.zeros(cars, np.float32)
        self._turns: list[tuple[int, float, float]] = []
        self._met: dict[str, collections.Counter[int]] = {}

    def energy(self, cars: NDArray[np.int64], to_s: Floats, grid_wh: Floats, asked_wh: Floats) -> None:
        """Energy that crossed charging points in a step that ended at `to_s`, within one bin."""
        bins = np.minimum(np.ceil(to_s / BIN_S).astype(np.int64) - 1 - self._first_bin, self._bins)
        place = bins * len(self._fleet.zones) + self._fleet.zone[cars]
        counted = bins >= 0
        self._car_asked_wh[cars[counted]] += asked_wh[counted]
        place, size = place[counted], self._up_wh.size
        self._up_wh += np.bincount(place, np.maximum(grid_wh, 0.0)[counted], size)
        self._down_wh += np.bincount(place, np.maximum(-grid_wh, 0.0)[counted], size)
        self._asked_wh += np.bincount(place, asked_wh[counted], size)

    def flow(self, cars: NDArray[np.int64], to_s: Floats, grid_wh: Floats, dt_s: Floats) -> None:
        """Where that is kept: each car's least and most power in each minute, and each turn to another (car, s, W)."""
        if not len(self._least_w):
            return
        minute = np.ceil(to_s / 60.0).astype(np.int64) - 1 - int(self._first_bin * BIN_S / 60.0)
        kept = (minute >= 0) & (minute < len(self._least_w)) & (dt_s > 0.0)
        if kept.any():
            place = minute[kept], cars[kept]
            power_w = (grid_wh[kept] * HOUR_S / dt_s[kept]).astype(np.float32)
            self._least_w[place] = np.fmin(self._least_w[place], power_w)
            self._most_w[place] = np.fmax(self._most_w[place], power_w)
            turned = np.abs(power_w - self._now_w[cars[kept]]) > TURN_W
            turns = [column[turned].tolist() for column in (cars[kept], to_s[kept], power_w)]
            self._turns += zip(*turns, strict=True)
            self._now_w[cars[kept]] = power_w

    def met(self, fault: str, car: int) -> None:
        """A fault showed itself."""
        self._met.setdefault(fault, collections.Counter())[car] += 1

    def discharge(self, cars: NDArray[np.int64], grid_wh: Floats, soc_wh: Floats, dt_s: Floats) -> None:
        """What a step took out of batteries, how low it left them, and how far above an export limit."""
        out_wh = np.maximum(-grid_wh, 0.0)
        lowest = np.where(out_wh > DUST_WH, soc_wh, np.inf)
        self._lowest_wh[cars] = np.minimum(self._lowest_wh[cars], lowest)
        self._discharged_wh[cars] += out_wh
        allowed_wh = (self._fleet.export_limit_w[cars] + EXPORT_SLACK_W) * dt_s / HOUR_S
        self._over_export_wh[cars] += np.maximum(out_wh - allowed_wh, 0.0)
        homes, size = self._home[cars], self._over_home_wh.size
        lasted_s = np.zeros(size)
        lasted_s[homes] = dt_s
        home_wh = (self._home_limit_w + EXPORT_SLACK_W) * lasted_s / HOUR_S
        self._over_home_wh += np.maximum(np.bincount(homes, out_wh, size) - home_wh, 0.0)

    def plugged(self, car: int, at_s: float, *, plugged: bool) -> None:
        """The cable of a car went in or out."""
        self._plugs.append((car, at_s, plugged))

    def close_bin(self, edge_s: float, levels: Floats) -> None:
        """The fan of charge levels of plugged cars at the end of a bin."""
        number = round(edge_s / BIN_S) - 1 - self._first_bin
        if 0 <= number < self._bins:
            self._last_bin = max(self._last_bin, number + 1)
            self._plugged[number] = levels.size
            if levels.size:
                self._fan[number] = np.percentile(100.0 * levels, QUANTILES)

    def departed(self, night: int, car: int, at_s: float, soc_wh: float, reachable_wh: float) -> None:
        """A car that was plugged in that night left."""
        fleet, usable_wh = self._fleet, self._usable_wh[car]
        target_pct, early = fleet.target_pct[car], fleet.depart_s[night, car] < fleet.declared_s[night, car]
        soc_pct, asked_pct = 100.0 * soc_wh / usable_wh, 100.0 * reachable_wh / usable_wh
        late, feasible = soc_pct < target_pct - SLACK_PCT, asked_pct >= target_pct - SLACK_PCT
        self._departures.append((night, car, at_s, soc_pct, asked_pct, target_pct, late, feasible, early))

    def asked(self, car: int, kind: DirectiveKind, at_s: float, *, gone_s: float) -> None:
        """A directive arrived, whatever became of it, for a car that has been off its plug for `gone_s`, 0 if not."""
        self._asked[kind.value] += 1
        self._unplugged_asked += int(gone_s > 0)
        if gone_s > NEWS_GRACE_S:
            self._away_touched[car] += 1
        opted = self.opt_outs.get(car)
        if opted is not None and kind is not DirectiveKind.RELEASE:
            opted.directives_after_grace += int(opted.at_s + NEWS_GRACE_S < at_s < opted.until_s)

    def refused(self, code: ErrorCode) -> None:
        """A directive was refused."""
        self._refusals[code.value] += 1

    def reached(self, state: str) -> None:
        """A directive reached a state."""
        self._states[state] += 1

    def began(self, car: int, at_s: float) -> None:
        """A directive changed a car."""
        opted = self.opt_outs.get(car)
        if opted is not None and opted.at_s < at_s < opted.until_s:
            opted.changed = True

    def summary(self) -> dict[str, Any]:
        """The counts and sums that prove or break the promise to drivers."""
        rows = np.array(self._departures, float).reshape(-1, len(ROWS))
        late, feasible, early = (rows[:, ROWS.index(name)] > 0 for name in ("late", "feasible", "early"))
        fleet, used = self._fleet, self._discharged_wh > DUST_WH
        low = used & (self._lowest_wh < fleet.reserve_pct / 100.0 * self._usable_wh - 1.0)
        unauthorised = used & ((fleet.papers != COMPLETE) | (fleet.max_discharge_w <= 0) | fleet.opted_out)
        honoured = [not one.changed and one.directives_after_grace == 0 for one in self.opt_outs.values()]
        return {
            "brand": fleet.brand,
            "cars": len(fleet.refs),
            "zones": {zone: self._zone(number) for number, zone in enumerate(fleet.zones)},
            "departures": len(rows),
            "late": int((late & ~early).sum()),
            "late_though_feasible": int((late & feasible & ~early).sum()),
            "infeasible": int((~feasible & ~early).sum()),
            "left_early": int(early.sum()),
            "left_early_short": int((late & early).sum()),
            "left_early_short_though_feasible": int((late & feasible & early).sum()),
            "points_short": _mean_short(rows[late & feasible & ~early]),
            "points_short_left_early": _mean_short(rows[late & feasible & early]),
            "reserve_violations": int(low.sum()),
            "cars_discharged": int(used.sum()),
            "unauthorised_discharges": int(unauthorised.sum()),
            "exports_above_limit": int((self._over_export_wh > 1.0).sum()),
            "site_export_breaches": int((self._over_home_wh > 1.0).sum()),
            "opt_outs": len(honoured),
            "opt_outs_honoured": sum(honoured),
            "directives_asked": dict(self._asked),
            "directives_by_state": dict(self._states),
            "directives_refused": dict(self._refusals),
            "away_cars_touched": len(self._away_touched),
            "directives_to_away_cars": sum(self._away_touched.values()),
            "directives_to_unplugged_cars": self._unplugged_asked,
            "truths": fleet.truth.drawn(),
            "faults": {name: {"cars": len(cars), "times": cars.total()} for name, cars in sorted(self._met.items())},
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The series per five minutes and zone (kW), the fan, and the columns per departure and per car.

        `car_asked_wh` is what each car drew unmanaged since the first bin, `plugs` every turn of a cable: car, second,
        1 in or 0 out.
        """
        bins = self._last_bin
        up, down, asked = (self._kw(series)[:bins] for series in (self._up_wh, self._down_wh, self._asked_wh))
        rows = np.array(self._departures, float).reshape(-1, len(ROWS))
        return {
            "bin_start_s": (self._first_bin + np.arange(bins)) * BIN_S,
            "kw": up - down,
            "charge_kw": up,
            "discharge_kw": down,
            "asked_kw": asked,
            "soc_quantiles_pct": self._fan[:bins],
            "plugged_cars": self._plugged[:bins],
            "lowest_discharged_wh": self._lowest_wh,
            "reserve_wh": self._fleet.reserve_pct / 100.0 * self._usable_wh,
            "discharged_wh": self._discharged_wh,
            "car_asked_wh": self._car_asked_wh,
            "plugs": np.array(self._plugs, float).reshape(-1, 3),
            **{f"departure_{name}": rows[:, column] for column, name in enumerate(ROWS)},
        }

    def write(self, folder: Path) -> dict[str, Any]:
        """Write `truth-BRAND.json` and `.npz`, each whole or not at all; the summary."""
        folder.mkdir(parents=True, exist_ok=True)
        summary = self.summary() | {"midnight": self._fleet.midnight, "zone_names": self._fleet.zones}
        stem = folder / f"truth-{self._fleet.brand}"
        part = stem.with_suffix(".part.npz")
        np.savez_compressed(part, **self.arrays())  # type: ignore[arg-type]  # NumPy's stub mistakes names for flags
        part.replace(stem.with_suffix(".npz"))
        if len(self._least_w):
            self._write_power(folder / f"power-{self._fleet.brand}.npz")
        part = stem.with_suffix(".part")
        part.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        part.replace(stem.with_suffix(".json"))
        return summary

    def _write_power(self, path: Path) -> None:
        """What every car drew, minute by minute, and which faults it met: enough to check any claim about a car."""
        met = {f"fault_{name}": np.array(sorted(cars)) for name, cars in self._met.items()}
        columns = {"least_w": self._least_w, "most_w": self._most_w, "refs": np.array(self._fleet.refs), **met}
        columns["turns"] = np.array(self._turns).reshape(-1, 3)
        first_s = np.array(self._first_bin * BIN_S)
        np.savez_compressed(path, first_s=first_s, **columns)  # type: ignore[arg-type]  # NumPy's stub, as above

    def _kw(self, series: Floats) -> Floats:
        return series.reshape(-1, len(self._fleet.zones)) * HOUR_S / BIN_S / 1_000.0

    def _zone(self, number: int) -> dict[str, float]:
        step = len(self._fleet.zones)
        return {
            "cars": int((self._fleet.zone == number).sum()),
            "charged_kwh": round(float(self._up_wh[number::step][: self._bins].sum()) / 1_000.0, 3),
            "discharged_kwh": round(float(self._down_wh[number::step][: self._bins].sum()) / 1_000.0, 3),
            "asked_kwh": round(float(self._asked_wh[number::step][: self._bins].sum()) / 1_000.0, 3),
        }


def _homes(fleet: SimulatedFleet) -> tuple[NDArray[np.int64], Floats]:
    """Each car's home, as the first car of it, and what each home may export: the least limit of its cars that can."""
    cars = np.arange(len(fleet.refs))
    partner = fleet.truth.partner
    home = np.where(partner >= 0, np.minimum(cars, partner), cars)
    limit_w = np.full(cars.size, np.inf)
    gives = fleet.max_discharge_w > 0.0
    np.minimum.at(limit_w, home[gives], fleet.export_limit_w[gives])
    return home, np.where(np.isinf(limit_w), 0.0, limit_w)


def _mean_short(rows: Floats) -> float:
    """How many percent short of their targets these departures were on average, 0 for none."""
    short = rows[:, ROWS.index("target_pct")] - rows[:, ROWS.index("soc_pct")]
    return round(float(short.mean()), 2) if short.size else 0.0
