"""What a zone can hold in each interval of an event nine times in ten: load kept away, and power fed.

Both are against *unmanaged* load: every car charges as soon as it comes, whatever the tariff says, because that is what
an event is settled against. A car that is at its plug draws until it has what it needs. One that is still to come draws
in an hour when it came less than its charging time before: home(t) - home(t - h), by how often it was at home at such
hours of the week before and the level that it usually comes with; one of which nothing is known is not counted. What of
that can wait until the hour is over can be kept away. Of an interval's hours the weakest counts. Power fed over the H
hours from the first interval that asks for it to the last: sum of home_i q min(p_i, e_i / H). Of both the tenth
percentile counts, each car being there by its chance and following with the share q of directives that cars follow.
Pure: chance is an argument.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import NEVER_S, Bools, Charge, FleetView, Floats, Ints, Tri
from ven_adapters.ven.fleet.home_hours import came_by
from ven_adapters.ven.openadr.zone_requests import RulingDimension, ZoneRequests
from ven_adapters.ven.planning.discharge import sustained_below
from ven_adapters.ven.planning.flexibility.feasible_band import NO_CYCLES, READ_AGO_S, SLOT_S, as_it_will_be
from ven_adapters.ven.planning.flexibility.forecast import HELD_H
from ven_adapters.ven.planning.guardrails import GUARDS, narrow
from ven_adapters.ven.planning.targets import PlanInputs, plan_inputs_of
from ven_adapters.ven.planning.valley_filling import SLOTS
from vtn.clock import HOUR_S

QUANTILE, DEVIATIONS = 0.1, 1.2816
DRAWS = 1_000
MOST_DRAWN = 2_000
SOON_S = 6 * HOUR_S
DAY_S = 24 * HOUR_S
LONGEST_CHARGE_H = 12.0
_TOLD_AT = ("soc_at_s", "plugged_at_s", "at_home_at_s", "power_at_s", "charge_state_at_s")


@dataclasses.dataclass(frozen=True, slots=True)
class HomeForecast:
    """How probable it is that each car is at home at each of the instants `at_s` (H), as (cars, H).

    They reach from twelve hours before the event to its end, an hour apart at the most. `level_pct`: the level that
    each car usually comes with, NaN where it is not known.
    """

    at_s: Floats
    chance: Floats
    level_pct: Floats

    def at(self, instants_s: Floats) -> Floats:
        """(cars, instants) of `instants_s` alike: the chance, in a line between the instants that are known."""
        place = np.clip(np.searchsorted(self.at_s, instants_s, side="right") - 1, 0, len(self.at_s) - 2)
        share = np.clip((instants_s - self.at_s[place]) / np.diff(self.at_s)[place], 0.0, 1.0)
        before = np.take_along_axis(self.chance, place, axis=1)
        after = np.take_along_axis(self.chance, place + 1, axis=1)
        return np.asarray(before + share * (after - before))


@dataclasses.dataclass(frozen=True, slots=True)
class EventSpan:
    """An interval of an event, epoch seconds; `feeds`: whether it asks for power fed, as far as that is known."""

    start_s: float
    end_s: float
    feeds: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneNomination:
    """Of one interval: kW that can be kept away and fed, both 0 or more; kW drawn unmanaged; the cars expected."""

    shed_kw: float
    feed_kw: float
    unmanaged_kw: float
    cars: float


@dataclasses.dataclass(frozen=True, slots=True)
class _EventCars:
    """Cars over the S quarter hours of an event: kW unmanaged, the chance that each draws them, and what can wait."""

    kw: Floats
    draws: Floats
    waits: Bools


def nominate(
    inputs: PlanInputs, spans: Sequence[EventSpan], home: HomeForecast, follows: float, draws: np.random.Generator
) -> list[ZoneNomination]:
    """The nominations of an event's intervals, seen from the instant of `inputs`; a day's at the most.

    `follows`: the share of directives that cars follow, 0 to 1.
    """
    view, requests, settings = inputs.situation.view, inputs.requests, inputs.situation.settings
    start_s, end_s = spans[0].start_s, min(spans[-1].end_s, spans[0].start_s + SLOTS * SLOT_S)
    quiet = _unasked(requests)
    here = (view.plugged == Tri.YES) & (view.at_home == Tri.YES)
    come = _comes(view, requests.now_s, start_s, home, here)
    later = as_it_will_be(plan_inputs_of(view, quiet, quiet.now_s, settings, GUARDS, NO_CYCLES), start_s)
    there = _as_expected(view, later, np.asarray(come.any(axis=1)), home, start_s, end_s)
    at_start = dataclasses.replace(quiet, now_s=start_s)
    cycle = plan_inputs_of(there, at_start, start_s, settings, GUARDS, NO_CYCLES)
    edges_s = np.arange(start_s, end_s - 1.0, SLOT_S)
    cars = _event_cars(inputs, cycle, dataclasses.replace(home, chance=come), here, edges_s)
    feeding = [one for one in spans if one.feeds and one.start_s < end_s]
    feed_kw, expected_cars = 0.0, float(_likely(view, here, come, home, (start_s, end_s)).sum())
    if feeding:
        feeds_s, stops_s = feeding[0].start_s, min(feeding[-1].end_s, end_s)
        likely = _likely(view, here, come, home, (feeds_s, stops_s))
        feed_kw = _tenth_kw(likely * follows, _feeds_kw(cycle, start_s + stops_s - feeds_s), draws)
    found = []
    for span in spans:
        mine = (edges_s >= span.start_s - 1.0) & (edges_s < min(span.end_s, end_s) - 1.0)
        shed_kw = _weakest_kw(cars, np.flatnonzero(mine), follows, draws)
        unmanaged_kw = float((cars.kw @ cars.draws[:, mine]).mean()) if mine.any() else 0.0
        fed_kw = feed_kw if span.feeds and mine.any() else 0.0
        found.append(ZoneNomination(round(shed_kw, 3), round(fed_kw, 3), round(unmanaged_kw, 3), expected_cars))
    return found


def _unasked(requests: ZoneRequests) -> ZoneRequests:
    """What is asked without events and without prices."""
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
        price=None,
        ghg=None,
        restriction=None,
        set_points_kw=None,
        import_limits_kw=None,
        ruling=RulingDimension.NOTHING,
        recovery_from_s=math.nan,
    )


def _managed(view: FleetView) -> Bools:
    return np.asarray(view.enrolled & view.charging_consent)


def _comes(view: FleetView, now_s: float, start_s: float, home: HomeForecast, here: Bools) -> Floats:
    """(cars, instants of `home`): how probable it is that a car that is not here has come by then.

    When the event is soon, a car that is usually home by now and is not will not come either. Before an event that is
    farther off, what is so now says nothing.
    """
    chance = home.chance.copy()
    if start_s - now_s <= SOON_S:
        ahead = home.at_s > now_s
        chance[:, ~ahead] = 0.0
        chance[:, ahead] = came_by(home.at(np.full((len(view), 1), now_s))[:, 0], home.chance[:, ahead])
    known = ~here & ~np.isnan(home.level_pct) & _managed(view)
    return np.where(known[:, None], chance, 0.0)


def _likely(view: FleetView, here: Bools, come: Floats, home: HomeForecast, span_s: tuple[float, float]) -> Floats:
    """How probable it is that each car of ours is there over a whole span: certain, or by its least instant.

    `come`: by when cars that are not here have come, at the instants of `home`, which also tells whether they stay.
    """
    start_s, end_s = span_s
    inside = (home.at_s > start_s - HOUR_S) & (home.at_s <= end_s)
    comes = np.where(here, 0.0, np.minimum(come, home.chance)[:, inside].min(axis=1))
    return np.asarray(np.where(here & (view.departure_s >= end_s), 1.0, comes) * _managed(view))


def _event_cars(
    inputs: PlanInputs, cycle: PlanInputs, coming: HomeForecast, here: Bools, edges_s: Floats
) -> _EventCars:
    """Every car over the quarter hours that begin at `edges_s`; those that are here for certain as long as they stay.

    `coming`: by when cars that are not here have come.

    A car that waits although it could charge was held since it came, and would have been done by so much earlier.
    """
    view, needs, now_s = inputs.situation.view, inputs.needs, inputs.situation.now_s
    middles_s = edges_s + SLOT_S / 2
    usual_h = np.where(needs.some, np.nan_to_num(needs.usual_hours), 0.0)
    charging = inputs.situation.charging
    runs_h = np.where(charging & ~needs.some, HELD_H, usual_h)
    since_s = np.where(charging, now_s, np.maximum(view.plugged_since_s, now_s - DAY_S))
    until_s = np.minimum(since_s + runs_h * HOUR_S, view.departure_s)
    certain = here[:, None] & (middles_s < until_s[:, None])
    come_h = np.minimum(np.nan_to_num(cycle.needs.usual_hours), LONGEST_CHARGE_H)
    instants_s = np.broadcast_to(middles_s, (len(view), len(middles_s)))
    recent = np.maximum(0.0, coming.at(instants_s) - coming.at(instants_s - come_h[:, None] * HOUR_S))
    latest_s = np.nan_to_num(cycle.needs.latest_start_s, nan=-np.inf)
    waits = cycle.free[:, None] & (latest_s[:, None] >= edges_s + SLOT_S)
    mean_kw = _mean_kw(np.where(here, needs.usual_kwh, cycle.needs.usual_kwh), np.where(here, usual_h, come_h))
    seen_kw = np.where(charging & ~needs.some, np.maximum(view.power_kw, 0.0), 0.0)
    kw = np.where(mean_kw > 0, mean_kw, seen_kw)
    return _EventCars(kw, np.where(here[:, None], certain, recent), waits)


def _mean_kw(kwh: Floats, hours: Floats) -> Floats:
    """The power at which an energy is drawn in so many hours; nothing where there are none."""
    return np.asarray(np.where(hours > 0, np.nan_to_num(kwh) / np.maximum(hours, 1e-9), 0.0))


def _as_expected(
    view: FleetView, later: FleetView, comes: Bools, home: HomeForecast, start_s: float, end_s: float
) -> FleetView:
    """The fleet at the event's start with every car that may be there plugged in.

    Who comes charges, as cars do when they come: what cannot be stopped then is not kept away.
    """
    stays = (later.plugged == Tri.YES) & (later.departure_s >= end_s)
    comes = ~stays & comes
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
        power_kw=np.where(comes, np.nan_to_num(later.max_charge_kw), later.power_kw),
        charge_state=np.where(comes, int(Charge.CHARGING), later.charge_state),
        **{name: np.where(comes, read_s, getattr(later, name)) for name in _TOLD_AT},
        exported_at_s=np.where(comes & (view.exported_at_s > NEVER_S), read_s, later.exported_at_s),
        plugged_since_s=np.where(comes, NEVER_S, later.plugged_since_s),
    )


def _feeds_kw(cycle: PlanInputs, end_s: float) -> Floats:
    """What each can feed from the event's start to its end, energy above reserve and departure considered."""
    limits = narrow(dataclasses.replace(cycle.situation, window_end_s=end_s))
    power_kw = np.where(limits.touch & ~limits.must_charge, limits.discharge_kw, 0.0)
    energy_kwh = np.where(power_kw > 0, np.minimum(limits.discharge_kwh, 1e6), 0.0)
    return sustained_below(limits.nodes, power_kw, energy_kwh, (end_s - cycle.situation.now_s) / HOUR_S)


def _weakest_kw(cars: _EventCars, slots: Ints, follows: float, draws: np.random.Generator) -> float:
    """The tenth percentile of what can wait, of the hour of these quarter hours in which that is least."""
    hours = [slots[first : first + 4] for first in range(0, len(slots), 4)]
    found = [cars.kw * (cars.draws[:, hour] * cars.waits[:, hour]).mean(axis=1) for hour in hours]
    likely = [(cars.draws[:, hour] * cars.waits[:, hour]).max(axis=1) for hour in hours]
    sizes = [np.where(p > 0, kw / np.maximum(p, 1e-9), 0.0) for kw, p in zip(found, likely, strict=True)]
    return min((_tenth_kw(p * follows, kw, draws) for p, kw in zip(likely, sizes, strict=True)), default=0.0)


def _tenth_kw(likely: Floats, kw: Floats, draws: np.random.Generator) -> float:
    """The tenth percentile of the sum of `kw` over cars, each there by its chance.

    Of many cars the sum is normal, near enough; of fewer a thousand evenings are drawn.
    """
    counted = (likely > 0) & (kw > 0)
    likely, kw = likely[counted], kw[counted]
    if not len(likely):
        return 0.0
    if len(likely) > MOST_DRAWN:
        return max(0.0, float(likely @ kw - DEVIATIONS * np.sqrt((likely * (1 - likely)) @ kw**2)))
    there = draws.random((DRAWS, len(likely)), dtype=np.float32) < likely
    held = there.astype(np.float32) @ kw.astype(np.float32)
    return float(np.quantile(held, QUANTILE, method="lower"))
