"""What a zone can hold over a whole event nine times in ten: load kept away, and power fed, of cars expected at home.

A car that is plugged in and leaves after the event's end is there. Any other is there as often as it was at such hours
of the week before, with the level that it usually comes home with; one of which nothing is known is not counted. Load
kept away is what cars would draw in each quarter hour if nobody asked, and that can wait until that one is over; of an
event's quarter hours the weakest counts. Power fed over H hours: sum of home_i q min(p_i, e_i / H) over cars, at its
tenth percentile, home_i being drawn and q the share of directives that cars follow. Pure: chance is an argument.
"""

import dataclasses
import math

import numpy as np

from ven_adapters.ven.fleet.columns import NEVER_S, Charge, FleetView, Floats, Tri
from ven_adapters.ven.openadr.zone_requests import RulingDimension, ZoneRequests
from ven_adapters.ven.planning.discharge import sustained_kw
from ven_adapters.ven.planning.feasible_band import NO_CYCLES, READ_AGO_S, SLOT_S, as_it_will_be
from ven_adapters.ven.planning.forecast import HELD_H
from ven_adapters.ven.planning.guardrails import GUARDS, narrow
from ven_adapters.ven.planning.targets import PlanInputs, plan_inputs_of
from ven_adapters.ven.planning.valley_filling import SLOTS
from vtn.clock import HOUR_S

QUANTILE, DEVIATIONS = 0.1, 1.2816
DRAWS = 1_000
MOST_DRAWN = 2_000
SOON_S = 6 * HOUR_S
DAY_S = 24 * HOUR_S
_TOLD_AT = ("soc_at_s", "plugged_at_s", "at_home_at_s", "power_at_s", "charge_state_at_s")


@dataclasses.dataclass(frozen=True, slots=True)
class HomeForecast:
    """Per car how probable it is that it is at home now and over the event, and the level that it comes with (NaN)."""

    now: Floats
    event: Floats
    level_pct: Floats


@dataclasses.dataclass(frozen=True, slots=True)
class EventSpan:
    """The time over which a level is to be held, epoch seconds; of one longer than a day the first day counts."""

    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneNomination:
    """KW that can be kept away and fed over the whole event, both 0 or more; how many cars are expected at home."""

    shed_kw: float
    feed_kw: float
    cars: float


def nominate(
    inputs: PlanInputs, span: EventSpan, home: HomeForecast, follows: float, draws: np.random.Generator
) -> ZoneNomination:
    """The nomination of an event, seen from the instant of `inputs`.

    `follows`: the share of directives that cars follow, 0 to 1.
    """
    view, requests, settings = inputs.situation.view, inputs.requests, inputs.situation.settings
    start_s, end_s = span.start_s, min(span.end_s, span.start_s + SLOTS * SLOT_S)
    quiet = _unasked(requests)
    chance = _chance_of(view, requests.now_s, start_s, end_s, home)
    later = as_it_will_be(plan_inputs_of(view, quiet, quiet.now_s, settings, GUARDS, NO_CYCLES), start_s)
    there = _as_expected(view, later, chance, home, start_s, end_s)
    at_start = dataclasses.replace(quiet, now_s=start_s)
    cycle = plan_inputs_of(there, at_start, start_s, settings, GUARDS, NO_CYCLES)
    counted = chance > 0
    shed_kw, feed_kw = _sheds_kw(cycle, end_s)[counted], _feeds_kw(cycle, end_s)[counted]
    likely = chance[counted] * follows
    return ZoneNomination(
        round(_tenth_kw(likely, shed_kw, draws), 3),
        round(_tenth_kw(likely, feed_kw[:, None], draws), 3),
        float(chance.sum()),
    )


def _unasked(requests: ZoneRequests) -> ZoneRequests:
    """What is asked without the events: prices stay, because cars wait for them anyway."""
    return dataclasses.replace(
        requests,
        dispatch_kw=None,
        relative_kw=None,
        relative_share=None,
        import_cap_kw=None,
        export_cap_kw=None,
        simple=None,
        alert=None,
        pre_charge=None,
        restriction=None,
        set_points_kw=None,
        import_limits_kw=None,
        ruling=RulingDimension.NOTHING,
        recovery_from_s=math.nan,
    )


def _chance_of(view: FleetView, now_s: float, start_s: float, end_s: float, home: HomeForecast) -> Floats:
    """How probable it is that each car is there over the whole event.

    Soon to come, a car that is away now must come first: of the chance at the event the part that is not the chance
    at this hour. Later than that, what is so now says nothing.
    """
    here = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    comes = np.maximum(0.0, home.event - home.now) / np.maximum(1.0 - home.now, 1e-9)
    soon = np.where(here, 0.0, np.minimum(comes, 1.0))
    learned = soon if start_s - now_s <= SOON_S else home.event
    learned = np.where(np.isnan(home.level_pct), 0.0, learned)
    managed = view.enrolled & view.charging_consent
    return np.where(managed, np.where(here & (view.departure_s >= end_s), 1.0, learned), 0.0)


def _as_expected(
    view: FleetView, later: FleetView, chance: Floats, home: HomeForecast, start_s: float, end_s: float
) -> FleetView:
    """The fleet at the event's start with every car that may be there plugged in."""
    stays = (later.plugged == Tri.YES) & (later.departure_s >= end_s)
    comes = ~stays & (chance > 0)
    days = np.maximum(0.0, np.ceil((end_s - view.departure_s) / DAY_S))
    departure_s = np.where(comes & np.isfinite(view.departure_s), view.departure_s + days * DAY_S, later.departure_s)
    read_s = start_s - READ_AGO_S
    return dataclasses.replace(
        later,
        plugged=np.where(stays | comes, int(Tri.YES), int(Tri.NO)),
        at_home=np.where(stays | comes, int(Tri.YES), later.at_home),
        departure_s=departure_s,
        soc_pct=np.where(comes, home.level_pct, later.soc_pct),
        doubt_pct=np.where(comes, 0.0, later.doubt_pct),
        power_kw=np.where(comes, 0.0, later.power_kw),
        charge_state=np.where(comes, int(Charge.STOPPED), later.charge_state),
        **{name: np.where(comes, read_s, getattr(later, name)) for name in _TOLD_AT},
        exported_at_s=np.where(comes & (view.exported_at_s > NEVER_S), read_s, later.exported_at_s),
        plugged_since_s=np.where(comes, NEVER_S, later.plugged_since_s),
    )


def _sheds_kw(cycle: PlanInputs, end_s: float) -> Floats:
    """(cars, quarter hours): what each would draw and can do without until the quarter hour is over."""
    start_s, needs = cycle.situation.now_s, cycle.needs
    slots = max(1, math.ceil((end_s - start_s) / SLOT_S - 1e-9))
    begins_s = np.where(cycle.wanted, start_s, np.maximum(np.nan_to_num(cycle.start.start_s, nan=start_s), start_s))
    runs_h = np.where(needs.some, np.nan_to_num(needs.usual_hours), np.where(cycle.situation.charging, HELD_H, 0.0))
    middle_s = start_s + (np.arange(slots) + 0.5) * SLOT_S
    draws = (middle_s >= begins_s[:, None]) & (middle_s < (begins_s + runs_h * HOUR_S)[:, None])
    waits = np.nan_to_num(needs.latest_start_s, nan=-np.inf)[:, None] >= middle_s + SLOT_S / 2
    return np.where(draws & waits & cycle.free[:, None], np.nan_to_num(cycle.full_kw)[:, None], 0.0)


def _feeds_kw(cycle: PlanInputs, end_s: float) -> Floats:
    """What each can feed from the event's start to its end, energy above reserve and departure considered."""
    limits = narrow(dataclasses.replace(cycle.situation, window_end_s=end_s))
    power_kw = np.where(limits.touch & ~limits.must_charge, limits.discharge_kw, 0.0)
    energy_kwh = np.where(power_kw > 0, np.minimum(limits.discharge_kwh, 1e6), 0.0)
    return sustained_kw(power_kw, energy_kwh, (end_s - cycle.situation.now_s) / HOUR_S)


def _tenth_kw(likely: Floats, kw: Floats, draws: np.random.Generator) -> float:
    """The tenth percentile of what cars hold through all columns of `kw` (cars, times), each there by its chance.

    Of many cars the sum is normal, near enough; of fewer a thousand evenings are drawn.
    """
    if not len(likely) or not kw.any():
        return 0.0
    if len(likely) > MOST_DRAWN:
        spread = np.sqrt((likely * (1 - likely)) @ kw**2)
        return max(0.0, float((likely @ kw - DEVIATIONS * spread).min()))
    there = draws.random((DRAWS, len(likely)), dtype=np.float32) < likely
    held = (there.astype(np.float32) @ kw.astype(np.float32)).min(axis=1)
    return float(np.quantile(held, QUANTILE, method="lower"))
