"""What the driver needs: the energy still missing, the hours it takes, the latest safe start, the energy to spare.

Hours follow from the pace that each car has shown, bin of level by bin of level, on its slow side; where a view says
nothing of pace, from data sheet, efficiency and a taper near full. A level told in steps is read one step lower.
Energies are kWh at the charging point, so that they compare with metered powers. Pure, vectorised; knows nothing of
what the grid asks.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import DISCHARGE_EFFICIENCY, LEVEL_EDGES, Bools, Charge, FleetView, Floats
from vtn.clock import HOUR_S

LEAST_NEED_KWH = 0.05
LEAST_STEP_PCT = 1.0
COMPLETE_WITHIN_PCT = 3.0
ENDLESS_H = 1e4
_LOW, _HIGH = np.array(LEVEL_EDGES[:-1]), np.array(LEVEL_EDGES[1:])


@dataclasses.dataclass(frozen=True, slots=True)
class PlanSettings:
    """What a programme and an adapter fix for planning.

    `taper_from_pct`, `taper_end_share`: above this level a car takes ever less of its power, in a line down to this
    share at 100 %. `margin_s`: how much earlier
    than necessary a car must start. `reading_age_s`: the oldest reading on which a battery may discharge.
    `hysteresis_s`: how much less laxity a waiting car needs before it takes a charging car's place.
    `ghg_cost_per_kg`: money per kg of CO2, in the price's currency. `wear_per_kwh`: wear of taking a kWh out of a
    battery for a price, in the price's currency: 115 USD per kWh of pack (BloombergNEF's survey of December 2024) over
    1,500 full cycles, as Kempton and Tomic reckon it (J. Power Sources 144, 2005). `recovery_s`: the longest delay of a
    restart.
    `power_tolerance_w`, `end_tolerance_s`: smaller changes are not worth a command. `renew_s`: a window that runs out
    sooner than this is extended. `dead_man_s`: the longest discharge that is asked for at once; it is renewed.
    """

    charge_efficiency: float = 0.9
    discharge_efficiency: float = DISCHARGE_EFFICIENCY
    taper_from_pct: float = 80.0
    taper_end_share: float = 0.2
    margin_s: float = 1800.0
    programme_floor_pct: float = 20.0
    min_dwell_s: float = 300.0
    reading_age_s: float = 900.0
    slot_s: float = 900.0
    horizon_s: float = 36 * HOUR_S
    recovery_s: float = 6 * HOUR_S
    hysteresis_s: float = 1800.0
    ghg_cost_per_kg: float = 0.05
    wear_per_kwh: float = 0.08
    power_tolerance_w: int = 150
    end_tolerance_s: float = 120.0
    renew_s: float = 300.0
    dead_man_s: float = 1800.0


@dataclasses.dataclass(frozen=True, slots=True)
class ChargingNeeds:
    """Per car: energy to the target (kWh), hours at full power, the latest safe start (epoch s), slack from now (s).

    A car that needs nothing has `latest_start_s` = departure less the margin; one without departure has infinity.
    `usual_kwh`, `usual_hours`: what charging usually takes, from the level as it is told, for what the zone will draw;
    never for a promise. Hours and start are NaN where the level, the battery or its charging power is unknown.
    """

    kwh: Floats
    hours: Floats
    usual_kwh: Floats
    usual_hours: Floats
    latest_start_s: Floats
    slack_s: Floats

    @property
    def some(self) -> Bools:
        """True where energy is still needed."""
        return np.asarray(self.kwh > LEAST_NEED_KWH)


def needs_of(
    view: FleetView,
    now_s: float,
    settings: PlanSettings,
    *,
    target_pct: Floats | None = None,
    deadline_s: Floats | None = None,
) -> ChargingNeeds:
    """What every car still needs by its departure, or to another target by another deadline."""
    target = np.fmax(view.target_pct if target_pct is None else target_pct, view.reserve_pct)
    deadline = view.departure_s if deadline_s is None else deadline_s
    done = (view.charge_state == Charge.COMPLETE) & (view.soc_pct >= target - COMPLETE_WITHIN_PCT)
    level = np.where(done, target, lowest_pct(view))
    missing = np.maximum(0.0, target - level)
    told = np.where(done, target, view.soc_pct)
    told_missing = np.maximum(0.0, target - told)
    with np.errstate(divide="ignore", invalid="ignore"):
        sheet_kwh = view.usable_kwh / 100 / settings.charge_efficiency
        kwh_per_pct = np.where(np.isnan(view.usual_pct_per_kwh), sheet_kwh, 1 / view.usual_pct_per_kwh)
        sheet_h = sheet_kwh / view.max_charge_kw * _at_full_power_pct(level, target, settings)
        hours = np.where(missing > 0, np.where(_is_paced(view), _hours_between(view, level, target), sheet_h), 0.0)
        usual_h = np.where(told_missing > 0, _usual_hours(view, told, target, kwh_per_pct), 0.0)
    usual_h = np.where(np.isnan(usual_h), hours, np.minimum(usual_h, hours))
    unknown = np.isnan(missing) | np.isnan(view.usable_kwh) | ~(view.max_charge_kw > 0)
    hours, usual_h = np.where(unknown, np.nan, hours), np.where(unknown, np.nan, usual_h)
    latest_start_s = deadline - hours * HOUR_S - settings.margin_s
    kwh, usual_kwh = missing * kwh_per_pct, told_missing * kwh_per_pct
    return ChargingNeeds(kwh, hours, usual_kwh, usual_h, latest_start_s, latest_start_s - now_s)


def lowest_pct(view: FleetView) -> Floats:
    """The level that a car may really have: told in steps of more than a percent, one step below what it tells."""
    return np.where(view.unsure_pct > 0.0, np.maximum(0.0, view.soc_pct - view.unsure_pct), view.soc_pct)


def surest_pct(view: FleetView) -> Floats:
    """The level that a car has for certain: told in whole percent, one step below what it tells, however it rounds."""
    step_pct = np.where(view.soc_pct == np.floor(view.soc_pct), LEAST_STEP_PCT, 0.0)
    return np.asarray(np.minimum(lowest_pct(view), np.maximum(0.0, view.soc_pct - step_pct)))


def _is_paced(view: FleetView) -> Bools:
    return ~np.isnan(view.slow_pct_per_h[:, 0])


def _hours_between(view: FleetView, from_pct: Floats, to_pct: Floats) -> Floats:
    """Hours from one level to another at each car's slow pace."""
    return np.asarray((_pct_by_bin(from_pct, to_pct) / np.maximum(view.slow_pct_per_h, 1e-6)).sum(axis=1))


def _usual_hours(view: FleetView, from_pct: Floats, to_pct: Floats, kwh_per_pct: Floats) -> Floats:
    """Hours from one level to another at the power that each car usually takes; NaN where that is unknown."""
    kwh = _pct_by_bin(from_pct, to_pct) * kwh_per_pct[:, None]
    return np.asarray((kwh / np.maximum(view.usual_kw, 1e-6)).sum(axis=1))


def _pct_by_bin(from_pct: Floats, to_pct: Floats) -> Floats:
    """(cars, bins) percent between two levels, by bin of level."""
    inside = np.minimum(to_pct[:, None], _HIGH) - np.maximum(from_pct[:, None], _LOW)
    return np.asarray(np.maximum(inside, 0.0))


def _level_before(view: FleetView, hours: Floats, to_pct: Floats) -> Floats:
    """The level from which a car takes so many hours to `to_pct` at its slow pace; the inverse of `_hours_between`."""
    left_h, level = hours.copy(), to_pct.copy()
    for place in range(len(_LOW) - 1, -1, -1):
        pct_per_h = np.maximum(view.slow_pct_per_h[:, place], 1e-6)
        room_pct = np.maximum(0.0, np.minimum(level, _HIGH[place]) - _LOW[place])
        back_pct = np.minimum(room_pct, left_h * pct_per_h)
        level, left_h = level - back_pct, left_h - back_pct / pct_per_h
    return level - left_h * np.maximum(view.slow_pct_per_h[:, 0], 1e-6)


def _at_full_power_pct(from_pct: Floats, to_pct: Floats, settings: PlanSettings) -> Floats:
    """Percent that full power would have charged in the time that charging takes; the taper is a falling line.

    Above `taper_from_pct` the rate is proportional to 1 - loss * (level - taper_from) / (100 - taper_from), so the time
    is the integral of its inverse, a logarithm.
    """
    knee, loss = settings.taper_from_pct, 1.0 - settings.taper_end_share
    width = 100.0 - knee
    if width <= 0 or loss <= 0:
        return np.asarray(np.maximum(0.0, to_pct - from_pct))
    low, high = (np.clip((level - knee) / width, 0.0, 1.0) for level in (from_pct, to_pct))
    slow = width / loss * np.log((1 - loss * low) / (1 - loss * high))
    return np.asarray(np.maximum(0.0, np.minimum(to_pct, knee) - from_pct) + np.maximum(0.0, slow))


def together(first: ChargingNeeds, second: ChargingNeeds) -> ChargingNeeds:
    """Both needs at once: the greater energy, the earlier start."""
    return ChargingNeeds(
        np.fmax(first.kwh, second.kwh),
        np.fmax(first.hours, second.hours),
        np.fmax(first.usual_kwh, second.usual_kwh),
        np.fmax(first.usual_hours, second.usual_hours),
        np.fmin(first.latest_start_s, second.latest_start_s),
        np.fmin(first.slack_s, second.slack_s),
    )


def kwh_above(view: FleetView, floor_pct: Floats, settings: PlanSettings) -> Floats:
    """What a battery can give before it is down to a level, at the charging point; 0 where unknown."""
    level = np.minimum(view.soc_pct - view.doubt_pct, surest_pct(view))
    kwh = (level - floor_pct) / 100 * view.usable_kwh * settings.discharge_efficiency
    return np.nan_to_num(np.maximum(0.0, kwh))


def _from_pct(full_pct: Floats, to_pct: Floats, settings: PlanSettings) -> Floats:
    """The inverse of `_at_full_power_pct`: the level from which charging to `to_pct` takes as long."""
    knee, loss = settings.taper_from_pct, 1.0 - settings.taper_end_share
    width = 100.0 - knee
    if width <= 0 or loss <= 0:
        return np.asarray(to_pct - full_pct)
    rest = 1 - loss * np.clip((to_pct - knee) / width, 0.0, 1.0)
    slow = -width / loss * np.log(rest)
    inside = knee + width / loss * (1 - rest * np.exp(np.minimum(full_pct, slow) * loss / width))
    return np.where(full_pct < slow, inside, np.minimum(to_pct, knee) - (full_pct - slow))


def kwh_to_spare(view: FleetView, needs: ChargingNeeds, now_s: float, end_s: float, settings: PlanSettings) -> Floats:
    """What a battery can give until `end_s` and still be put back before departure; 0 where unknown.

    What lies above the target need not come back. Everything else must fit, at the pace at which the battery takes it
    at that level, between the end of the window and the latest safe start.
    """
    target = np.fmax(view.target_pct, view.reserve_pct)
    spare_h = np.minimum(np.maximum(0.0, needs.slack_s - (end_s - now_s)) / HOUR_S, ENDLESS_H)
    pct_per_h = view.max_charge_kw * settings.charge_efficiency / view.usable_kwh * 100
    sheet_pct = _from_pct((needs.hours + spare_h) * pct_per_h, target, settings)
    spared_pct = np.where(_is_paced(view), _level_before(view, needs.hours + spare_h, target), sheet_pct)
    kwh = (lowest_pct(view) - spared_pct) / 100 * view.usable_kwh * settings.discharge_efficiency
    return np.nan_to_num(np.maximum(0.0, kwh))
