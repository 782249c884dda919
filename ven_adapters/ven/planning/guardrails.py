"""What no plan may break, as small vectorised guards: each narrows the `PlanLimits` within which a plan may move.

A guard takes limits and returns them narrower, never wider, so one that is left out is missed by exactly its own
promise. `narrow` applies them all; `enforcement.enforce` then holds any proposed draft inside the limits. The promise
behind them: ready by departure at the target charge, never below the reserve, never discharged without consent and
permission. Knows nothing of OpenADR.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Charge, Control, Floats, Ints, Tri
from ven_adapters.ven.planning.car_power import drawn_kw, usual_kw
from ven_adapters.ven.planning.charging_need import kwh_above, kwh_to_spare, lowest_pct, surest_pct
from ven_adapters.ven.planning.discharge_permits import MissingPermit, missing_permits
from ven_adapters.ven.planning.limits.forced_share import ForcedShare, shared
from ven_adapters.ven.planning.limits.nodes import LimitedNodes
from ven_adapters.ven.planning.zone_state import ZoneState

LEAST_PAUSE_S = 900.0
NEARLY_ALL = 0.9


class Reason(enum.IntEnum):
    """Why a car's desire is what it is, for later explanation."""

    NONE = 0
    NO_CONSENT = 1
    OPTED_OUT = 2
    BOOST = 3
    AWAY = 4
    LEVEL_UNKNOWN = 5
    CANNOT_CHARGE = 6
    BELOW_RESERVE = 7
    READY_BY = 8
    CANNOT_STOP = 9
    CANNOT_RESUME = 10
    DWELL = 11
    SET_POINT = 12
    IMPORT_CAP = 13
    SIMPLE_LEVEL = 14
    ALERT = 15
    PRE_CHARGE = 16
    PRICE = 17
    CHARGE_STATE = 18
    RECOVERY = 19
    NO_NEED = 20
    PATIENCE = 21
    EXPORT_PRICE = 22
    GRID_LIMIT = 23


@dataclasses.dataclass(frozen=True, slots=True)
class PlanLimits:
    """Per car, how far a plan may go.

    `touch`: may be told anything at all. `must_charge`: charges now, whatever is asked. `can_pause`, `can_start`: may
    be stopped, started. `charge_kw`, `discharge_kw`, `discharge_kwh`: most (magnitudes). `until_s`: no pause, cap or
    discharge may last longer. `why`: the `Reason` of the guard that decided; `refusal`: why it may not discharge.
    `nodes`, `share`: what limits the cars together, and what of it falls to each that must charge; None without.
    """

    touch: Bools
    must_charge: Bools
    can_pause: Bools
    can_start: Bools
    charge_kw: Floats
    discharge_kw: Floats
    discharge_kwh: Floats
    until_s: Floats
    give_until_s: Floats
    why: Ints
    refusal: Ints
    nodes: LimitedNodes | None = None
    share: ForcedShare | None = None


Guard = Callable[[PlanLimits, ZoneState], PlanLimits]


def narrow(situation: ZoneState, guards: Sequence[Guard] | None = None) -> PlanLimits:
    """The limits that the guards leave; all guards when None."""
    limits = _wide_open(len(situation.view))
    for guard in GUARDS if guards is None else guards:
        limits = guard(limits, situation)
    return limits


def without_consent_untouched(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """Nobody's charging is managed who did not agree, or agrees no more."""
    return _untouched(limits, ~(situation.view.enrolled & situation.view.charging_consent), Reason.NO_CONSENT)


def opted_out_untouched(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """An opt-out leaves the car to its driver until it ends; so does a boost."""
    view, now_s = situation.view, situation.now_s
    limits = _untouched(limits, situation.out, Reason.OPTED_OUT)
    return _untouched(limits, view.boost_until_s > now_s, Reason.BOOST)


def away_untouched(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """Only a car known to be plugged in at its own site is touched: a public charger is not ours."""
    at_its_plug = (situation.view.plugged == Tri.YES) & (situation.view.at_home == Tri.YES)
    return _untouched(limits, ~at_its_plug, Reason.AWAY)


def unknown_level_untouched(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """Without level or battery size no promise about departure can be kept, so the car is left alone."""
    return _untouched(limits, np.isnan(situation.needs.hours), Reason.LEVEL_UNKNOWN)


def faulty_untouched(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """A car that reports a fault, or no power at its plug, cannot follow anything."""
    state = situation.view.charge_state
    return _untouched(limits, (state == Charge.FAULT) | (state == Charge.NO_POWER), Reason.CANNOT_CHARGE)


def below_reserve_charges(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """A battery below the driver's reserve is charged at once; in a grid emergency as soon as its departure asks."""
    if situation.emergency:
        return limits
    return _must_charge(limits, lowest_pct(situation.view) < situation.view.reserve_pct, Reason.BELOW_RESERVE)


def ready_by_departure(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """From its latest safe start a car charges, and nothing told to it earlier lasts beyond that instant.

    One that charges with all its power is not stopped for less than `LEAST_PAUSE_S`: at the latest start it would be
    switched in every cycle.
    """
    with_all = situation.charging & (situation.view.power_kw >= NEARLY_ALL * usual_kw(situation.view))
    least_s = np.where(with_all, LEAST_PAUSE_S, 0.0)
    late = situation.needs.some & (situation.now_s >= situation.needs.latest_start_s - least_s)
    limits = _must_charge(limits, late, Reason.READY_BY)
    return dataclasses.replace(limits, until_s=np.fmin(limits.until_s, situation.needs.latest_start_s))


def departure_keeps_energy(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """A battery gives only what can be put back before departure."""
    spare_kwh = kwh_to_spare(
        situation.view, situation.needs, situation.now_s, situation.window_end_s, situation.settings
    )
    return _energy(limits, spare_kwh, MissingPermit.DEPARTURE)


def reserve_is_kept(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """No battery is discharged below the driver's reserve or the programme's floor; what it gave since counts."""
    kwh = kwh_above(situation.view, situation.floor_pct, situation.settings)
    return _energy(limits, kwh - situation.given_kwh(situation.view.soc_at_s), MissingPermit.RESERVE)


def discharge_is_permitted(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """No discharge unless every item of `discharge_permits.ITEMS` is there, valid and fresh; the refusal names it."""
    view, refusal = situation.view, missing_permits(situation)
    refused = refusal != MissingPermit.NONE
    return dataclasses.replace(
        limits,
        discharge_kw=np.where(refused, 0.0, np.minimum(limits.discharge_kw, view.export_limit_kw)),
        give_until_s=np.minimum(limits.give_until_s, view.permission_until_s),
        refusal=np.where(refused, refusal, limits.refusal),
    )


def budget_is_kept(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """A battery gives no more than was agreed per event, per year and in cycles; what is not counted yet is given."""
    view = situation.view
    uncounted_kwh = situation.given_kwh(view.exported_at_s)
    event_kwh, year_kwh = view.event_exported_kwh + uncounted_kwh, view.year_exported_kwh + uncounted_kwh
    cycle_kwh = view.usable_kwh * situation.settings.discharge_efficiency
    limits = _energy(limits, view.event_budget_kwh - event_kwh, MissingPermit.EVENT_BUDGET)
    limits = _energy(limits, view.year_budget_kwh - year_kwh, MissingPermit.YEAR_BUDGET)
    return _energy(limits, np.nan_to_num(view.cycle_budget * cycle_kwh - year_kwh), MissingPermit.CYCLE_BUDGET)


def discharge_ends_by_itself(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """The dead-man: a discharge that nobody renews is over soon, whoever fell silent on the way to the car."""
    until_s = situation.now_s + situation.settings.dead_man_s
    return dataclasses.replace(limits, give_until_s=np.minimum(limits.give_until_s, until_s))


def power_is_limited(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """No car is asked for more than it can take or give."""
    return dataclasses.replace(
        limits,
        charge_kw=np.minimum(limits.charge_kw, situation.view.max_charge_kw),
        discharge_kw=np.minimum(limits.discharge_kw, situation.view.max_discharge_kw),
    )


def only_stops_what_can_stop(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """A car with no stop is not stopped; one paused by its target level only above the lowest target it takes."""
    view = situation.view
    by_target = (view.control == Control.TARGET_LEVEL) & ~(view.soc_pct >= view.level_floor_pct)
    limits = _unpausable(limits, situation, ~view.can_stop | by_target, Reason.CANNOT_STOP)
    return dataclasses.replace(limits, can_start=limits.can_start & view.can_start)


def never_strands(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """A charging car that cannot be started again is not stopped while it still needs energy, or may need it."""
    view = situation.view
    short = situation.needs.some | (surest_pct(view) < view.target_pct)
    stranded = ~view.can_resume & short
    return _unpausable(limits, situation, stranded, Reason.CANNOT_RESUME)


def dwell_is_kept(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """No car is started or stopped again within the minimum dwell (contactors wear)."""
    limits = _unpausable(limits, situation, situation.resting, Reason.DWELL)
    held = situation.resting & ~situation.charging
    return dataclasses.replace(
        limits, can_start=limits.can_start & ~held, why=np.where(held & (limits.why == 0), Reason.DWELL, limits.why)
    )


def patience_is_kept(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """No event asks a car for longer than its driver agreed to; `patience` says what moves it instead."""
    left_s = situation.view.asks_left_s
    spent = (left_s <= 0) & limits.touch & (limits.why == 0)
    return dataclasses.replace(
        limits,
        until_s=np.fmin(limits.until_s, situation.now_s + left_s),
        why=np.where(spent, int(Reason.PATIENCE), limits.why),
    )


def grid_limits_are_kept(limits: PlanLimits, situation: ZoneState) -> PlanLimits:
    """No site, transformer, feeder or zone carries more than its limit, and cars that must charge share it, too.

    A departure that would be missed otherwise goes before it (`limits.forced_share`); `enforcement` holds all others.
    """
    nodes, view = situation.nodes, situation.view
    if nodes is None:
        return limits
    full_kw = drawn_kw(view, limits.charge_kw, situation.charging, situation.needs.some)
    stuck = situation.charging & ~limits.can_pause
    share, nodes = shared(situation, nodes, full_kw, limits.must_charge, stuck, limits.touch)
    return dataclasses.replace(
        limits,
        charge_kw=np.minimum(limits.charge_kw, share.kw),
        discharge_kw=np.minimum(limits.discharge_kw, nodes.least_over_path(nodes.export_kw)),
        nodes=nodes,
        share=share,
    )


GUARDS: tuple[Guard, ...] = (
    without_consent_untouched,
    opted_out_untouched,
    away_untouched,
    unknown_level_untouched,
    faulty_untouched,
    below_reserve_charges,
    ready_by_departure,
    discharge_is_permitted,
    budget_is_kept,
    discharge_ends_by_itself,
    reserve_is_kept,
    departure_keeps_energy,
    power_is_limited,
    only_stops_what_can_stop,
    never_strands,
    dwell_is_kept,
    patience_is_kept,
    grid_limits_are_kept,
)


def _wide_open(count: int) -> PlanLimits:
    yes, no = np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    endless, codes = np.full(count, np.inf), np.zeros(count, dtype=np.int64)
    return PlanLimits(yes, no, yes, yes, endless, endless, endless, endless, endless, codes, codes)


def _untouched(limits: PlanLimits, mask: Bools, why: Reason) -> PlanLimits:
    return dataclasses.replace(
        limits, touch=limits.touch & ~mask, why=np.where(mask & limits.touch, int(why), limits.why)
    )


def _must_charge(limits: PlanLimits, mask: Bools, why: Reason) -> PlanLimits:
    new = mask & ~limits.must_charge & limits.touch
    return dataclasses.replace(limits, must_charge=limits.must_charge | mask, why=np.where(new, int(why), limits.why))


def _unpausable(limits: PlanLimits, situation: ZoneState, mask: Bools, why: Reason) -> PlanLimits:
    stuck = mask & situation.charging
    first = stuck & (limits.why == 0)
    return dataclasses.replace(limits, can_pause=limits.can_pause & ~stuck, why=np.where(first, int(why), limits.why))


def _energy(limits: PlanLimits, kwh: Floats, refusal: MissingPermit) -> PlanLimits:
    least_kwh = np.minimum(limits.discharge_kwh, np.maximum(0.0, kwh))
    empty = (least_kwh <= 0) & (limits.refusal == 0)
    return dataclasses.replace(limits, discharge_kwh=least_kwh, refusal=np.where(empty, int(refusal), limits.refusal))
