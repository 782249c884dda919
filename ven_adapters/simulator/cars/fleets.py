"""Draw a fleet: columns of cars, drivers, plugs and visits, all from one seed and published statistics.

Chosen so that a fleet agrees with what programs of home charging in the United States have published: plugged in for
12.5 h a day, for 2.5 h of charging (SRP with WeaveGrid), 1.0..1.2 kW a car in the evening and 15..20 % of cars charging
(Sagewell), 9..18 kWh a session (FleetCarma). "Used" says which value of a range: arrival N(18.0..18.5 h, 1.8..2.0 h),
used 18.25 and 1.9, two hours earlier at weekends; departure N(07:30, 1.2 h); energy need Gamma(1.6..1.8, 9..9.5 kWh),
used 1.7 and 9.25; charging-point power 1.4 kW 10 %, 3.6 5 %, 7.2 20 %, 7.7 25 %, 9.6 20 %, 11.5 20 %, each bounded
by the car's own AC limit; 10 % away overnight. Not used: the 43 % of days on which a car charges at all; instead every
car that comes home plugs in with `plug_in_probability`, because a demonstration needs the cars of one evening. 8 % are
at home in the early afternoon already. Drivers' targets and reserves are this project's choice. What cars really are,
and who leaves early, is drawn apart in `true_cars`.
"""

import dataclasses
import functools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ven_adapters.simulator.cars.car_models import CONTROL_NAMES, CONTROLS, MODELS
from ven_adapters.simulator.cars.true_cars import TrueCars, true_cars
from ven_adapters.simulator.faults.fault_draws import Rates
from ven_adapters.simulator.settings import SimulatorSettings
from vtn.clock import HOUR_S

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

EARLY_SHARE = 0.08
DAWDLE_S = 600.0  # drivers leave in the ten minutes after the time that they declared; some early, see true_cars
PREROLL_HOUR = 10.5
WEEKEND = (5, 6)

# (amperes, volts, share): 1.4 kW is a household socket at 120 V.
POINTS = ((12, 120, 0.10), (15, 240, 0.05), (30, 240, 0.20), (32, 240, 0.25), (40, 240, 0.20), (48, 240, 0.20))
TARGETS = ((70.0, 0.05), (80.0, 0.65), (85.0, 0.05), (90.0, 0.15), (100.0, 0.10))
RESERVES = ((20.0, 0.30), (25.0, 0.15), (30.0, 0.35), (35.0, 0.10), (40.0, 0.10))
DISCHARGES_W = ((5_000.0, 0.30), (7_000.0, 0.40), (9_600.0, 0.30))
EXPORT_LIMITS_W = ((5_000.0, 0.25), (7_000.0, 0.50), (10_000.0, 0.25))

BIDIRECTIONAL_SHARE = 0.38  # of the LEAFs with a CHAdeMO plug, which is 35 % of all LEAFs
CONTROLLABLE_SHARE = 0.5  # of the other LEAFs: a charging point that its own cloud can stop
COMPLETE_SHARE = 0.8  # of the bidirectional ones: consent, permission, export limit and budget all on file
BIDIRECTIONAL_A = 30
LEAST_SOC_PCT = 10.0

COMPLETE, NO_CONSENT, NO_PERMISSION, EXPIRED_PERMISSION, NO_BUDGET = range(5)


@dataclasses.dataclass(frozen=True, slots=True)
class Fates:
    """What each driver will do, in seconds after the first directive that holds the car back; inf is never."""

    unplug_after_s: Floats
    replug_after_s: Floats
    override_after_s: Floats
    opt_out_after_s: Floats
    sleeper: Flags


@dataclasses.dataclass(frozen=True, slots=True)
class SimulatedFleet:
    """N cars in columns. Visits are (nights, N), in seconds since `midnight` (UTC instant of a local midnight).

    `usable_wh`, `max_charge_w` and the percents are what cars tell and drivers chose; `truth` is what the cars are.
    """

    brand: str
    refs: tuple[str, ...]
    timezone: str
    zones: tuple[str, ...]
    midnight: datetime
    zone: Ints
    model: Ints
    control: Ints
    max_a: Ints
    voltage_v: Ints
    usable_wh: Floats
    max_charge_w: Floats
    max_discharge_w: Floats
    soc_pct: Floats
    target_pct: Floats
    reserve_pct: Floats
    ready_by_s: Floats
    away: Flags
    plugs_in: Flags
    arrive_s: Floats
    declared_s: Floats
    depart_s: Floats
    need_wh: Floats
    papers: Ints
    export_limit_w: Floats
    opted_out: Flags
    fates: Fates
    truth: TrueCars

    def digest(self) -> bytes:
        """Every column's bytes in turn: equal for equal settings."""
        columns = (getattr(self, field.name) for field in dataclasses.fields(self))
        told = b"".join(column.tobytes() for column in columns if isinstance(column, np.ndarray))
        return told + self.truth.columns()


def plan_fleet(settings: SimulatorSettings) -> SimulatedFleet:
    """The brand's cars; the same settings give the same bytes. KeyError: an unknown brand, or column of `truth`."""
    dice, cars = functools.partial(_dice, settings), settings.cars
    midnight, weekdays = _calendar(settings)
    kind = _kinds(dice("kinds"), settings.brand, cars)
    shape = (settings.nights, cars)
    target_pct, need_wh = _pick(dice("target"), TARGETS, cars), dice("need").gamma(1.7, 9_250.0, shape)
    usable_wh = np.array([model.usable_wh for model in MODELS[settings.brand]], float)[kind.model]
    ready_by_s = _ready_by(dice("ready_by"), cars)
    declared_s = np.stack([ready_by_s[weekday] + offset_s for weekday, offset_s in weekdays[1:]])
    zone = dice("zone").permutation(np.arange(cars) % len(settings.zones))
    truth = true_cars(settings.truth, dice, zone, settings.nights)
    later_s = dice("dawdle").uniform(0.0, DAWDLE_S, shape)
    return SimulatedFleet(
        brand=settings.brand,
        refs=tuple(f"{settings.brand}-{number:04d}" for number in range(1, cars + 1)),
        timezone=settings.timezone,
        zones=settings.zones,
        midnight=midnight,
        zone=zone,
        usable_wh=usable_wh,
        max_charge_w=(kind.max_a * kind.voltage_v).astype(float),
        soc_pct=np.maximum(LEAST_SOC_PCT, target_pct - 100.0 * need_wh[0] / usable_wh),
        target_pct=target_pct,
        reserve_pct=_pick(dice("reserve"), RESERVES, cars),
        ready_by_s=ready_by_s,
        away=dice("away").random(shape) < settings.away_probability,
        plugs_in=dice("plugs_in").random(shape) < settings.plug_in_probability,
        arrive_s=_arrivals(dice("arrive").spawn(3), weekdays, cars),
        declared_s=declared_s,
        depart_s=declared_s + np.where(truth.leaves_early_s > 0.0, -truth.leaves_early_s, later_s),
        need_wh=need_wh,
        papers=_papers(dice("papers"), cars),
        export_limit_w=_pick(dice("export"), EXPORT_LIMITS_W, cars),
        opted_out=dice("opted_out").random(cars) < settings.opted_out_probability,
        fates=_fates(dice("fates"), settings.faults, cars),
        truth=truth,
        **dataclasses.asdict(kind),
    )


def _dice(settings: SimulatorSettings, what: str) -> np.random.Generator:
    """Chance for one column: more nights, or another column's rule, leave it as it was."""
    return np.random.default_rng([settings.seed, *f"{settings.brand}/{what}".encode()])


@dataclasses.dataclass(frozen=True, slots=True)
class _Kinds:
    model: Ints
    control: Ints
    max_a: Ints
    voltage_v: Ints
    max_discharge_w: Floats


def _kinds(dice: np.random.Generator, brand: str, cars: int) -> _Kinds:
    models = MODELS[brand]
    model = dice.choice(len(models), cars, p=[one.weight for one in models])
    point = dice.choice(len(POINTS), cars, p=[share for _, _, share in POINTS])
    control = np.array([CONTROL_NAMES.index(one.control) for one in models])[model]
    chademo = np.array([one.chademo for one in models])[model]
    plain = control == CONTROL_NAMES.index("start_only")
    chance = dice.random((2, cars))
    two_way = plain & chademo & (chance[0] < BIDIRECTIONAL_SHARE)
    control = np.where(plain & (chance[1] < CONTROLLABLE_SHARE), CONTROL_NAMES.index("charger"), control)
    control = np.where(two_way, CONTROL_NAMES.index("bidirectional"), control)
    car_a = np.array([one.ac_max_a for one in models])[model]
    point_a, point_v = (np.array([point[column] for point in POINTS]) for column in (0, 1))
    return _Kinds(
        model=model,
        control=control,
        max_a=np.where(two_way, BIDIRECTIONAL_A, np.minimum(car_a, point_a[point])),
        voltage_v=np.where(two_way, 240, point_v[point]),
        max_discharge_w=np.where(two_way, _pick(dice, DISCHARGES_W, cars), 0.0),
    )


def _calendar(settings: SimulatorSettings) -> tuple[datetime, list[tuple[int, float]]]:
    """The local midnight of the first evening, and for each day its weekday and its midnight in seconds after it.

    A midnight is twelve hours before the local noon, so that local times of morning and evening come out right on the
    days when clocks change, too.
    """
    zone, half = ZoneInfo(settings.timezone), timedelta(hours=12)
    noon = (settings.starts_at.astimezone(zone) - half).replace(hour=12, minute=0, second=0, microsecond=0)
    noons = [noon + timedelta(days=day) for day in range(settings.nights + 1)]
    midnights = [day.astimezone(UTC) - half for day in noons]
    offsets_s = [(midnight - midnights[0]).total_seconds() for midnight in midnights]
    return midnights[0], list(zip([day.weekday() for day in noons], offsets_s, strict=True))


def _ready_by(dice: np.random.Generator, cars: int) -> Floats:
    """(7, N) seconds after midnight, Monday first, in whole five minutes: what drivers declare."""
    usual_s = np.clip(dice.normal(7.5, 1.2, cars), 4.5, 9.5) * HOUR_S
    weekend = np.array([1.0 if day in WEEKEND else 0.0 for day in range(7)])[:, None]
    declared: Floats = np.round((usual_s + weekend * HOUR_S) / 300.0) * 300.0
    return declared


def _arrivals(dice: list[np.random.Generator], weekdays: list[tuple[int, float]], cars: int) -> Floats:
    shape = (len(weekdays) - 1, cars)
    hours = dice[0].normal(18.25, 1.9, shape)
    hours -= np.array([2.0 if weekday in WEEKEND else 0.0 for weekday, _ in weekdays[:-1]])[:, None]
    early = dice[1].random(shape) < EARLY_SHARE
    hours = np.where(early, dice[2].uniform(12.0, 14.5, shape), np.clip(hours, 11.5, 26.0))
    arrived: Floats = hours * HOUR_S + np.array([offset_s for _, offset_s in weekdays[:-1]])[:, None]
    return arrived


def _papers(dice: np.random.Generator, cars: int) -> Ints:
    lacking = dice.integers(NO_CONSENT, NO_BUDGET + 1, cars)
    papers: Ints = np.where(dice.random(cars) < COMPLETE_SHARE, COMPLETE, lacking)
    return papers


def _fates(dice: np.random.Generator, rates: Rates, cars: int) -> Fates:
    chance = dice.random((5, cars))
    wait_s = dice.uniform(300.0, 2_700.0, (4, cars))

    def at(row: int, rate: float) -> Floats:
        return np.where(chance[row] < rate, wait_s[row], np.inf)

    return Fates(
        unplug_after_s=at(0, rates.get("unplugged", 0.0)),
        replug_after_s=at(1, 0.5),
        override_after_s=at(2, rates.get("override", 0.0)),
        opt_out_after_s=at(3, rates.get("opt_out", 0.0)),
        sleeper=chance[4] < rates.get("asleep", 0.0),
    )


def _pick(dice: np.random.Generator, shares: tuple[tuple[float, float], ...], cars: int) -> Floats:
    values = np.array([value for value, _ in shares])
    picked: Floats = values[dice.choice(len(shares), cars, p=[share for _, share in shares])]
    return picked


def control_of(fleet: SimulatedFleet, car: int) -> str:
    """The row of CONTROLS that a car follows."""
    return CONTROL_NAMES[int(fleet.control[car])]


def resumes(fleet: SimulatedFleet) -> Flags:
    """Which cars can be started again after a stop."""
    answers: Flags = np.array([control.can_resume for control in CONTROLS.values()])[fleet.control]
    return answers
