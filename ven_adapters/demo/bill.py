"""What the night's energy cost, against the least that it could have cost, and the least peak that it could have had.

The bill is what zones drew at the tariff, less what they fed back at the export price; what cars lacked when they left
is charged at the dearest hour, so nobody saves by leaving a car short. The optimum (`demo.optimum`) knows every car's
truth and steers all of them, those of drivers who opted out, too. It keeps to the set-points as they held that evening;
where the night drew less than it was asked to, so may the optimum: no bill is lowered by a missed event.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ven_adapters.demo import scenario
from ven_adapters.demo.figures import QUARTER_BINS, ZoneNight, total_kw
from ven_adapters.demo.night_cars import (
    Floats,
    NightCars,
    classes_of,
    night_cars,
    quarter_prices,
    together,
    unmet_kwh,
)
from ven_adapters.demo.optimum import NightTerms, cheapest_night, flattest_night
from ven_adapters.demo.results import BIN_H
from ven_adapters.simulator.cars.fleets import SimulatedFleet

RAMP_PCT_5MIN = 5.0
MOST_SINGLE_CARS = 400  # of more, the least peak is bounded by classes of cars


@dataclasses.dataclass(frozen=True, slots=True)
class NightMeters:
    """One automaker's true cars, and kW charged and fed back (bins, zones), and kWh that cars lacked, by zone."""

    cars: NightCars
    charge_kw: Floats
    discharge_kw: Floats
    unmet_kwh: Floats


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneBill:
    """One zone's bill and the least one, in USD, and the least peak after the event, in kW.

    `steerable_usd` is the least when cars that take no command to wait, and cars of drivers who opted out, charge at
    once.
    """

    oem: str
    zone: str
    bill_usd: float
    optimum_usd: float
    steerable_usd: float
    least_peak_kw: float


def read_meters(folder: Path, fleet: SimulatedFleet, hours: int) -> NightMeters:
    """From the ground truth that the automaker's simulator wrote."""
    with np.load(folder / f"truth-{fleet.brand}.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    bins = round(hours / BIN_H)
    charge_kw, discharge_kw = arrays["charge_kw"][:bins], arrays["discharge_kw"][:bins]
    cars = night_cars(fleet, arrays, bins // QUARTER_BINS)
    return NightMeters(cars, charge_kw, discharge_kw, unmet_kwh(fleet, arrays))


def zone_bills(nights: Sequence[tuple[NightMeters, Sequence[ZoneNight]]]) -> list[ZoneBill]:
    """Each zone's bill beside the least; `nights` holds each automaker's meters and its zones in their order."""
    return [_zone_bill(meters, zones[number], number) for meters, zones in nights for number in range(len(zones))]


def least_peak_kw(nights: Sequence[tuple[NightMeters, Sequence[ZoneNight]]]) -> float:
    """The least peak of the sum of all zones from the end of the event to noon, at the cheapest bill and that ramp."""
    zones = [zone for _, own in nights for zone in own]
    cars = together([meters.cars for meters, _ in nights], [len(own) for _, own in nights])
    after = np.all([zone.after for zone in zones], axis=0)
    return _flattest_kw(cars, zones, after, float(total_kw(zones)[1].max()))


def bill_over_optimum_pct(bills: Sequence[ZoneBill]) -> float | None:
    """How much more than the least these zones paid; None when the least is nothing."""
    optimum_usd = sum(bill.optimum_usd for bill in bills)
    return 100.0 * (sum(bill.bill_usd for bill in bills) / optimum_usd - 1.0) if optimum_usd > 0.0 else None


def unavoidable_pct(bills: Sequence[ZoneBill]) -> float | None:
    """How much more than the least these zones had to pay, because some of their cars cannot be steered."""
    return bill_over_optimum_pct([dataclasses.replace(bill, bill_usd=bill.steerable_usd) for bill in bills])


def _zone_bill(meters: NightMeters, zone: ZoneNight, number: int) -> ZoneBill:
    cars = dataclasses.replace(meters.cars.of(number), zone=np.zeros(int((meters.cars.zone == number).sum()), np.int64))
    terms = night_terms([zone])
    price, export_price = (np.repeat(one, QUARTER_BINS) for one in (terms.price, terms.export_price))
    paid_usd = float((meters.charge_kw[:, number] * price).sum() * BIN_H)
    earned_usd = float((meters.discharge_kw[:, number] * export_price).sum() * BIN_H)
    return ZoneBill(
        zone.oem,
        zone.zone,
        paid_usd - earned_usd + float(meters.unmet_kwh[number] * price.max()),
        cheapest_night(cars, terms).bill_usd,
        cheapest_night(cars.steered_as_they_can_be(), terms).bill_usd,
        _flattest_kw(cars, [zone], zone.after, float(zone.unmanaged_kw.max())),
    )


def _flattest_kw(cars: NightCars, zones: Sequence[ZoneNight], after: np.ndarray, unmanaged_peak_kw: float) -> float:
    few = cars if cars.zone.size <= MOST_SINGLE_CARS else classes_of(cars)
    ramp_kw = RAMP_PCT_5MIN / 100.0 * unmanaged_peak_kw * QUARTER_BINS
    return flattest_night(few, night_terms(zones), np.asarray(_by_quarter(after).all(axis=1)), ramp_kw).peak_kw


def night_terms(zones: Sequence[ZoneNight]) -> NightTerms:
    """Prices and, by quarter, set-points (no higher than what was drawn) and caps that held throughout."""
    quarters = zones[0].kw.size // QUARTER_BINS
    points = [
        np.minimum(_by_quarter(zone.setpoint_kw).mean(axis=1), _by_quarter(zone.kw).mean(axis=1)) for zone in zones
    ]
    return NightTerms(
        quarter_prices(scenario.STARTS, scenario.EV2A_USD_PER_KWH, quarters),
        quarter_prices(scenario.STARTS, scenario.DAY_AHEAD_USD_PER_KWH, quarters),
        np.array(points),
        np.array([_by_quarter(zone.cap_kw).mean(axis=1) for zone in zones]),
    )


def _by_quarter(series: np.ndarray) -> np.ndarray:
    return series[: series.size // QUARTER_BINS * QUARTER_BINS].reshape(-1, QUARTER_BINS)
