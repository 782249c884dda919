"""The best that a night could have been, by linear programmes over its true cars (HiGHS). Pure.

`cheapest_night`: the least bill with which every car gets what it needs between plug-in and departure while every zone
holds its set-points. `flattest_night`: the least peak after the event at that bill and a bounded ramp. Both know the
truth and every arrival beforehand and steer every car, so no night beats them: they are bounds. Steps are quarters of
an hour. Set-points that no plan can hold are missed by as little as possible, whatever that costs.
"""

import dataclasses
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from ven_adapters.demo.night_cars import QUARTER_S, Floats, Ints, NightCars
from ven_adapters.solver import SilentSolver
from vtn.clock import HOUR_S

STEP_H = QUARTER_S / HOUR_S
UNMET_USD_PER_KWH = 100.0
MISSED_USD_PER_KWH = 10.0  # above what any tariff saves by moving a kWh, so that no set-point is sold
BILL_SLACK = 1e-5
GAP = 1e-6
INF = np.inf


class NoOptimum(Exception):
    """The solver found no optimum; the message holds its verdict."""


@dataclasses.dataclass(frozen=True, slots=True)
class NightTerms:
    """What holds for the night of some zones: prices (T), USD per kWh, set-points and caps (Z, T), kW, NaN for none."""

    price: Floats
    export_price: Floats
    setpoint_kw: Floats
    cap_kw: Floats


@dataclasses.dataclass(frozen=True, slots=True)
class NightOptimum:
    """The bill in USD, the load (Z, T) in kW, its greatest sum, and kWh by which set-points and caps were missed.

    The greatest sum of `flattest_night` is that after the event. `unmet_kwh` is what cars lacked all the same.
    """

    bill_usd: float
    load_kw: Floats
    peak_kw: float
    missed_kwh: float
    unmet_kwh: float


def cheapest_night(cars: NightCars, terms: NightTerms) -> NightOptimum:
    """The least bill. NoOptimum when the solver gives up."""
    programme = _Programme(cars, terms)
    return programme.solve(programme.cost)


def flattest_night(cars: NightCars, terms: NightTerms, after: NDArray[np.bool_], ramp_kw: float) -> NightOptimum:
    """The least peak of the sum in the quarters `after` (T), at the least bill, both with this ramp.

    The sum changes by at most `ramp_kw` from one quarter to the next wherever the later one is in `after`, so the end
    of the event counts and the steps between set-points do not.
    """
    programme = _Programme(cars, terms)
    peak = programme.bound_peak(after, ramp_kw)
    cheapest = programme.solve(programme.cost)
    programme.keep(programme.cost, cheapest.bill_usd + programme.penalties_usd(cheapest))
    return programme.solve({peak: 1.0})


class _Programme:
    """One linear programme: columns and rows by number, solved as often as its objective changes."""

    def __init__(self, cars: NightCars, terms: NightTerms) -> None:
        self._cars, self._terms = cars, terms
        self._lower: list[Floats] = []
        self._upper: list[Floats] = []
        self._columns = 0
        self._row_lower: list[Floats] = []
        self._row_upper: list[Floats] = []
        self._entries: list[tuple[Ints, Ints, Floats]] = []
        self._rows = 0
        self.cost: dict[int, float] = {}
        self._charge = self._place(cars.charge_kw)
        self._give = self._place(cars.discharge_kw)
        self._load = self._free(terms.setpoint_kw.shape)
        self._miss = [self._free(terms.setpoint_kw.shape, lower=0.0) for _ in range(2)]
        self._over = self._free(terms.cap_kw.shape, lower=0.0)
        self._unmet = self._free(cars.need_kwh.shape, lower=0.0)
        self._peak = -1
        self._meet_needs()
        self._share_circuits()
        self._sum_zones()
        self._price()

    def _place(self, kw: Floats) -> Ints:
        """(N, T) columns of a power between 0 and `kw` of the share plugged in, -1 where that is nothing."""
        most = self._cars.plugged * kw[:, None]
        return self._free(most.shape, lower=0.0, upper=most, where=most > 0.0)

    def _free(
        self,
        shape: tuple[int, ...],
        *,
        lower: float = -INF,
        upper: Floats | float = INF,
        where: NDArray[np.bool_] | None = None,
    ) -> Ints:
        chosen = np.ones(shape, bool) if where is None else where
        places = np.full(shape, -1)
        count = int(chosen.sum())
        places[chosen] = self._columns + np.arange(count)
        self._columns += count
        self._lower.append(np.full(count, lower))
        self._upper.append(np.broadcast_to(upper, shape)[chosen].astype(float))
        return places

    def _bind(self, lower: Floats | float, upper: Floats | float, count: int) -> Ints:
        """New rows with these bounds."""
        self._row_lower.append(np.broadcast_to(np.asarray(lower, float), (count,)))
        self._row_upper.append(np.broadcast_to(np.asarray(upper, float), (count,)))
        self._rows += count
        return np.arange(self._rows - count, self._rows)

    def _put(self, rows: Ints, columns: Ints, values: Floats | float) -> None:
        """Coefficients; those of columns that are not there (-1) are left out."""
        rows, columns = np.broadcast_arrays(rows, columns)
        there = columns >= 0
        self._entries.append((rows[there], columns[there], np.broadcast_to(values, columns.shape)[there].astype(float)))

    def _meet_needs(self) -> None:
        """Each car draws its need; what is left of that of cars that taper or feed back is followed by quarters."""
        cars = self._cars
        followed = (cars.taper_kwh > 0.0) | (cars.discharge_kw > 0.0)
        simple = np.flatnonzero(~followed)
        rows = self._bind(cars.need_kwh[simple], cars.need_kwh[simple], simple.size)
        self._put(rows[:, None], self._charge[simple], STEP_H)
        self._put(rows, self._unmet[simple], 1.0)
        for car in np.flatnonzero(followed):
            self._follow(int(car))

    def _follow(self, car: int) -> None:
        """What is left of a car's need after each quarter: it falls by charging, and grows by feeding back."""
        cars = self._cars
        steps = np.flatnonzero(cars.plugged[car] > 0.0)
        charge, give = self._charge[car, steps], self._give[car, steps]
        gives = cars.discharge_kw[car] > 0.0
        most_kwh = max(cars.need_kwh[car], cars.spare_kwh[car]) if gives else cars.need_kwh[car]
        left = self._free((steps.size,), lower=0.0, upper=float(most_kwh))
        need = np.where(np.arange(steps.size) == 0, cars.need_kwh[car], 0.0)
        rows = self._bind(need, need, steps.size)  # left - left before + charged - fed back with its losses = 0
        self._put(rows, left, 1.0)
        self._put(rows[1:], left[:-1], -1.0)
        self._put(rows, charge, STEP_H)
        self._put(rows, give, -STEP_H / cars.round_trip[car])
        self._put(self._bind(0.0, 0.0, 1), self._unmet[car : car + 1], 1.0)
        self._put(np.array([self._rows - 1]), left[-1:], -1.0)
        if gives:
            self._put(self._bind(-INF, cars.budget_kwh[car], 1), give, STEP_H)
        if cars.taper_kwh[car] > 0.0:
            self._taper(car, charge, left, cars.plugged[car, steps] * cars.charge_kw[car])

    def _taper(self, car: int, charge: Ints, left: Ints, full_kw: Floats) -> None:
        """Power is bounded by the level at the beginning of each quarter, along a line that falls with it."""
        cars = self._cars
        slope = (1.0 - cars.taper_end[car]) / (cars.taper_kwh[car] + cars.full_kwh[car])
        before = np.concatenate([[-1], left[:-1]])
        known_kwh = np.where(before < 0, cars.need_kwh[car], 0.0)
        most_kw = full_kw * (1.0 - slope * (cars.taper_kwh[car] - known_kwh))
        rows = self._bind(-INF, most_kw, charge.size)
        self._put(rows, charge, 1.0)
        self._put(rows, before, -full_kw * slope)

    def _share_circuits(self) -> None:
        cars = self._cars
        for car in np.flatnonzero(cars.partner > np.arange(cars.partner.size)):
            pair = self._charge[[car, cars.partner[car]]]
            both = np.flatnonzero((pair >= 0).all(axis=0))
            rows = self._bind(-INF, float(cars.circuit_kw[car]), both.size)
            self._put(rows[None, :], pair[:, both], 1.0)

    def _sum_zones(self) -> None:
        """The load of each zone, how far it is above and below its set-point, and how far above its cap."""
        setpoint_kw = self._terms.setpoint_kw
        rows = self._bind(0.0, 0.0, setpoint_kw.size).reshape(setpoint_kw.shape)
        self._put(rows, self._load, -1.0)
        self._put(rows[self._cars.zone], self._charge, 1.0)
        self._put(rows[self._cars.zone], self._give, -1.0)
        held = ~np.isnan(setpoint_kw)
        rows = self._bind(setpoint_kw[held], setpoint_kw[held], int(held.sum()))
        self._put(rows, self._load[held], 1.0)
        self._put(rows, self._miss[0][held], -1.0)
        self._put(rows, self._miss[1][held], 1.0)
        capped = ~np.isnan(self._terms.cap_kw)
        rows = self._bind(-INF, self._terms.cap_kw[capped], int(capped.sum()))
        self._put(rows, self._load[capped], 1.0)
        self._put(rows, self._over[capped], -1.0)

    def _price(self) -> None:
        for places, price in ((self._charge, self._terms.price), (self._give, -self._terms.export_price)):
            usd = np.broadcast_to(price * STEP_H, places.shape)
            self.cost |= dict(zip(places[places >= 0].tolist(), usd[places >= 0].tolist(), strict=True))
        self.cost |= dict.fromkeys(self._unmet.tolist(), UNMET_USD_PER_KWH)
        for missed in (*self._miss, self._over):
            self.cost |= dict.fromkeys(missed.ravel().tolist(), MISSED_USD_PER_KWH * STEP_H)

    def bound_peak(self, after: NDArray[np.bool_], ramp_kw: float) -> int:
        """The column of the peak of the sum in the quarters `after`; and the ramp there is bounded."""
        peak = self._free((1,))
        self._peak = int(peak[0])
        steps = np.flatnonzero(after)
        rows = self._bind(-INF, 0.0, steps.size)
        self._put(rows, np.full(steps.size, self._peak), -1.0)
        self._put(rows[None, :], self._load[:, steps], 1.0)
        later = steps[steps > 0]
        rows = self._bind(-ramp_kw, ramp_kw, later.size)
        self._put(rows[None, :], self._load[:, later], 1.0)
        self._put(rows[None, :], self._load[:, later - 1], -1.0)
        return self._peak

    def keep(self, cost: dict[int, float], most: float) -> None:
        """From now on this sum stays within `most`, but for the solver's tolerance."""
        row = self._bind(-INF, most + BILL_SLACK * max(abs(most), 1.0), 1)
        self._put(np.full(len(cost), row[0]), np.array(list(cost)), np.array(list(cost.values())))

    def penalties_usd(self, found: NightOptimum) -> float:
        """What unmet needs and missed set-points weigh."""
        return UNMET_USD_PER_KWH * found.unmet_kwh + MISSED_USD_PER_KWH * found.missed_kwh

    def solve(self, objective: dict[int, float]) -> NightOptimum:
        """Minimise. NoOptimum when there is none, or the solver found none."""
        model, status = self._model(objective), ""
        for method in ("ipm", "simplex"):  # the first is the quicker one, the second the surer
            solver = SilentSolver()  # type: ignore[no-untyped-call]  # as above
            for option, value in (("threads", 1), ("solver", method), ("run_crossover", "off")):
                solver.setOptionValue(option, value)
            solver.setOptionValue("ipm_optimality_tolerance", GAP)
            solver.passModel(model)
            solver.run()
            if solver.getModelStatus() == highspy.HighsModelStatus.kOptimal:
                return self._read(np.asarray(solver.getSolution().col_value))
            status = solver.modelStatusToString(solver.getModelStatus())
        raise NoOptimum(f"the linear programme of the night has no optimum: {status}")

    def _read(self, value: Floats) -> NightOptimum:
        terms = self._terms
        charged, given = (_sum_kw(value, places) for places in (self._charge, self._give))
        return NightOptimum(
            bill_usd=float((charged * terms.price - given * terms.export_price).sum() * STEP_H),
            load_kw=value[self._load],
            peak_kw=float(value[self._peak]) if self._peak >= 0 else float(value[self._load].sum(axis=0).max()),
            missed_kwh=float(sum(value[missed].sum() for missed in (*self._miss, self._over)) * STEP_H),
            unmet_kwh=float(value[self._unmet].sum()),
        )

    def _model(self, objective: dict[int, float]) -> Any:
        rows, columns, values = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        order = np.argsort(rows, kind="stable")
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = self._columns, self._rows
        cost = np.zeros(self._columns)
        cost[list(objective)] = list(objective.values())
        model.col_cost_ = cost
        model.col_lower_, model.col_upper_ = np.concatenate(self._lower), np.concatenate(self._upper)
        model.row_lower_, model.row_upper_ = np.concatenate(self._row_lower), np.concatenate(self._row_upper)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.searchsorted(rows[order], np.arange(self._rows + 1)).astype(np.int32)
        model.a_matrix_.index_ = columns[order].astype(np.int32)
        model.a_matrix_.value_ = values[order]
        return model


def _sum_kw(value: Floats, places: Ints) -> Floats:
    """(T) the sum over cars of a power."""
    return np.asarray(np.where(places >= 0, value[places], 0.0).sum(axis=0))
