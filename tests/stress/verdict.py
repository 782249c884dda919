"""What a cell's nights are held against: what each car could have had, and an oracle that knew everything beforehand.

The oracle charges with the same physics up to the same target by the instant at which the driver really leaves, and
uses every off-peak minute before any other; of the dear hours it prefers those after six, where a tapering car draws
least. Nobody can charge a larger share off-peak and be as full.
"""

import dataclasses

import numpy as np
from stress.closed_loop import ClosedLoop, NightBooks
from stress.truth import DAY_S, DEAR_FROM_H, HOUR_S, NIGHTS, NOON_S, Floats, StressCell, TrueCars, true_cars

from ven_adapters.ven.planning.charging_need import PlanSettings

LATE_PCT = 1.0
RESERVE_PCT = 0.5
MARGIN_S = 1800.0
# By whether batteries give. A cell is small, so what its prices cost is judged over all cells only.
LATE_GOALS = {"late_first": 0.005, "late_third": 0.001}
GIVING_GOALS = {"late_first": 0.0, "late_third": 0.0, "below_reserve": 0.0}
GOALS_OF_CELLS = {False: LATE_GOALS, True: GIVING_GOALS}
GOALS_OF_ALL = {
    False: LATE_GOALS | {"off_peak_points": 1.0, "off_peak_third_points": 1.0},
    True: GIVING_GOALS,
}


@dataclasses.dataclass(frozen=True, slots=True)
class NightFigures:
    """One night of one cell. `late`: of drivers who left when they said; `early_late`: of those who left early.

    `out_of_reach`: cars that could not have been full; they count as late when they have less than they could have had.
    `*_kwh` are of cars that were not late, for whoever charges too little draws less in dear hours too.
    `patient_cheap_kwh`: off-peak energy of an oracle that is to be ready half an hour before drivers leave.
    """

    drivers: int
    late: int
    early_drivers: int
    early_late: int
    out_of_reach: int
    worst_short_pct: float
    below_reserve: int
    cheap_kwh: float
    drawn_kwh: float
    oracle_cheap_kwh: float
    oracle_drawn_kwh: float
    patient_cheap_kwh: float
    given_kwh: float


def play(cell: StressCell, count: int, seed: int, settings: PlanSettings) -> list[NightFigures]:
    """A cell's nights, played and judged."""
    cars = true_cars(cell, count, seed)
    return judged(cars, ClosedLoop(cars, settings, seed).run())


def judged(cars: TrueCars, books: NightBooks) -> list[NightFigures]:
    """Every night's figures."""
    return [_night(cars, books, night) for night in range(NIGHTS)]


def _night(cars: TrueCars, books: NightBooks, night: int) -> NightFigures:
    left_pct, early = books.left_pct[night], cars.left_s[night] < cars.declared_s[night]
    reachable_pct = cars.charged_pct(cars.arrival_pct[night], cars.left_s[night] - cars.arrival_s[night])
    short_pct = reachable_pct - left_pct
    late = short_pct > LATE_PCT
    gave_too_much = books.lowest_pct[night] < cars.reserve_pct - RESERVE_PCT
    left_empty = left_pct < np.minimum(reachable_pct, cars.reserve_pct) - RESERVE_PCT
    cheap_kwh, drawn_kwh = oracle(cars, night)
    return NightFigures(
        drivers=int((~early).sum()),
        late=int((late & ~early).sum()),
        early_drivers=int(early.sum()),
        early_late=int((late & early).sum()),
        out_of_reach=int((reachable_pct < cars.target_pct - LATE_PCT).sum()),
        worst_short_pct=float(np.max(short_pct, initial=0.0)),
        below_reserve=int((gave_too_much | left_empty).sum()),
        cheap_kwh=float(books.cheap_kwh[night, ~late].sum()),
        drawn_kwh=float(books.drawn_kwh[night, ~late].sum()),
        oracle_cheap_kwh=float(cheap_kwh[~late].sum()),
        oracle_drawn_kwh=float(drawn_kwh[~late].sum()),
        patient_cheap_kwh=float(oracle(cars, night, MARGIN_S)[0][~late].sum()),
        given_kwh=float(books.given_kwh[night].sum()),
    )


def oracle(cars: TrueCars, night: int, margin_s: float = 0.0) -> tuple[Floats, Floats]:
    """KWh off-peak and in all of the best plan for every car; what lies below the reserve is charged at once.

    With a margin, cars are ready so much before they leave, as far as they can be.
    """
    midnight_s = NOON_S + DAY_S * night + DAY_S / 2
    dear_from_s = midnight_s + DEAR_FROM_H * HOUR_S
    arrival_s, left_s, arrival_pct = cars.arrival_s[night], cars.left_s[night], cars.arrival_pct[night]
    full_pct = cars.charged_pct(arrival_pct, left_s - arrival_s)
    safe_pct = np.clip(cars.reserve_pct, arrival_pct, full_pct)
    safe_s = arrival_s + _seconds(cars, arrival_pct, safe_pct)
    left_s = np.maximum(left_s - margin_s, arrival_s + _seconds(cars, arrival_pct, full_pct))
    cheap_s = np.maximum(0.0, np.minimum(left_s, dear_from_s) - np.maximum(safe_s, midnight_s))
    after_s = np.maximum(0.0, left_s - np.maximum(safe_s, dear_from_s))
    needed_s = _seconds(cars, safe_pct, full_pct)
    dear_s = np.maximum(0.0, needed_s - cheap_s)
    last_s = np.minimum(dear_s, after_s)
    from_pct = cars.charged_pct(safe_pct, dear_s - last_s)
    to_pct = cars.charged_pct(safe_pct, needed_s - last_s)
    at_once_s = np.clip(safe_s - np.maximum(arrival_s, midnight_s), 0.0, safe_s - arrival_s)
    cheap_pct = to_pct - from_pct + safe_pct - cars.charged_pct(arrival_pct, safe_s - arrival_s - at_once_s)
    return cheap_pct * cars.kwh_per_pct, (full_pct - arrival_pct) * cars.kwh_per_pct


def _seconds(cars: TrueCars, from_pct: Floats, to_pct: Floats) -> Floats:
    """How long charging from one level to another takes."""
    return np.asarray((cars.curve.points(to_pct) - cars.curve.points(from_pct)) / cars.points_per_s)


def added(nights: list[NightFigures]) -> NightFigures:
    """Figures of several cells or nights together; of the worst shortfall the worst."""
    names = [field.name for field in dataclasses.fields(NightFigures)]
    columns = {name: [getattr(one, name) for one in nights] for name in names}
    return NightFigures(**{name: (max if name == "worst_short_pct" else sum)(told) for name, told in columns.items()})


def off_peak_points(figures: NightFigures) -> float:
    """Points by which the share charged off-peak lies below the oracle's; negative above it."""
    mine, best = figures.cheap_kwh / figures.drawn_kwh, figures.oracle_cheap_kwh / figures.oracle_drawn_kwh
    return 100 * (best - mine)


def measures(nights: list[NightFigures], *, gives: bool) -> dict[str, float]:
    """What goals are set for: shares of drivers late though feasible, points off the oracle, cars below reserve."""
    whole, first, third = added(nights), nights[0], nights[-1]
    found = {
        "late_first": first.late / max(1, first.drivers),
        "late_third": third.late / max(1, third.drivers),
        "below_reserve": float(whole.below_reserve),
    }
    prices = {"off_peak_points": off_peak_points(whole), "off_peak_third_points": off_peak_points(third)}
    return found if gives else found | prices
