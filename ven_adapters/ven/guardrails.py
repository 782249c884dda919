"""What no plan may break, as small vectorised guards: each narrows the `Limits` within which a plan may move.

A guard takes limits and returns them narrower, never wider, so one that is left out is missed by exactly its own
promise. `narrow` applies them all; `enforcement.enforce` then holds any proposed draft inside the limits. The promise
behind them: ready by departure at the target charge, never below the reserve, never discharged without consent and
permission. Knows nothing of OpenADR.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence

import numpy as np

from ven_adapters.ven.columns import Bools, Charge, Control, FleetView, Floats, Ints, Tri
from ven_adapters.ven.mobility import Needs, PlanSettings, kwh_above, kwh_to_spare


class Refusal(enum.IntEnum):
    """The item that is missing before a car may discharge; the first missing one is named."""

    NONE = 0
    NOT_BIDIRECTIONAL = 1
    CONSENT = 2
    INTERCONNECTION = 3
    PERMISSION_EXPIRED = 4
    EXPORT_LIMIT = 5
    EVENT_BUDGET = 6
    YEAR_BUDGET = 7
    NOT_PLUGGED = 8
    NOT_AT_HOME = 9
    LEVEL_UNKNOWN = 10
    READING_TOO_OLD = 11
    OPTED_OUT = 12
    RESERVE = 13
    DEPARTURE = 14
    INVERTER_LISTING = 15


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


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Per car, how far a plan may go.

    `touch`: may be told anything at all. `must_charge`: charges now, whatever is asked. `can_pause`, `can_start`: may
    be stopped, started. `charge_kw`, `discharge_kw`, `discharge_kwh`: most (magnitudes). `until_s`: no pause, cap or
    discharge may last longer. `why`: the `Reason` of the guard that decided; `refusal`: why it may not discharge.
    """

    touch: Bools
    must_charge: Bools
    can_pause: Bools
    can_start: Bools
    charge_kw: Floats
    discharge_kw: Floats
    discharge_kwh: Floats
    until_s: Floats
    why: Ints
    refusal: Ints


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """What guards look at: the cars, what drivers need, the time, and when the window asked for ends."""

    view: FleetView
    needs: Needs
    now_s: float
    window_end_s: float
    settings: PlanSettings

    @property
    def resting(self) -> Bools:
        """True where the car was told to start or stop less than the minimum dwell ago."""
        return np.asarray(self.now_s - self.view.last_toggle_s < self.settings.min_dwell_s)

    @property
    def charging(self) -> Bools:
        """True where the car takes power, or was just told to: telemetry lags behind a command."""
        return np.where(self.resting, self.view.told_on, self.view.charge_state == Charge.CHARGING)

    @property
    def floor_pct(self) -> Floats:
        """The level below which no battery is discharged: the driver's reserve or the programme's, the larger."""
        return np.maximum(self.view.reserve_pct, self.settings.programme_floor_pct)


Guard = Callable[[Limits, Situation], Limits]


def narrow(situation: Situation, guards: Sequence[Guard] | None = None) -> Limits:
    """The limits that the guards leave; all guards when None."""
    limits = _wide_open(len(situation.view))
    for guard in GUARDS if guards is None else guards:
        limits = guard(limits, situation)
    return limits


def without_consent_untouched(limits: Limits, situation: Situation) -> Limits:
    """Nobody's charging is managed who did not agree, or agrees no more."""
    return _untouched(limits, ~(situation.view.enrolled & situation.view.charging_consent), Reason.NO_CONSENT)


def opted_out_untouched(limits: Limits, situation: Situation) -> Limits:
    """An opt-out leaves the car to its driver until it ends; so does a boost."""
    view, now_s = situation.view, situation.now_s
    limits = _untouched(limits, view.opted_out | (view.opted_out_until_s > now_s), Reason.OPTED_OUT)
    return _untouched(limits, view.boost_until_s > now_s, Reason.BOOST)


def away_untouched(limits: Limits, situation: Situation) -> Limits:
    """Only a car known to be plugged in at its own site is touched: a public charger is not ours."""
    at_its_plug = (situation.view.plugged == Tri.YES) & (situation.view.at_home == Tri.YES)
    return _untouched(limits, ~at_its_plug, Reason.AWAY)


def unknown_level_untouched(limits: Limits, situation: Situation) -> Limits:
    """Without level or battery size no promise about departure can be kept, so the car is left alone."""
    return _untouched(limits, np.isnan(situation.needs.hours), Reason.LEVEL_UNKNOWN)


def faulty_untouched(limits: Limits, situation: Situation) -> Limits:
    """A car that reports a fault, or no power at its plug, cannot follow anything."""
    state = situation.view.charge_state
    return _untouched(limits, (state == Charge.FAULT) | (state == Charge.NO_POWER), Reason.CANNOT_CHARGE)


def below_reserve_charges(limits: Limits, situation: Situation) -> Limits:
    """A battery below the driver's reserve is charged at once."""
    return _must_charge(limits, situation.view.soc_pct < situation.view.reserve_pct, Reason.BELOW_RESERVE)


def ready_by_departure(limits: Limits, situation: Situation) -> Limits:
    """From its latest safe start a car charges, and nothing told to it earlier lasts beyond that instant."""
    late = situation.needs.some & (situation.now_s >= situation.needs.latest_start_s)
    limits = _must_charge(limits, late, Reason.READY_BY)
    return dataclasses.replace(limits, until_s=np.fmin(limits.until_s, situation.needs.latest_start_s))


def departure_keeps_energy(limits: Limits, situation: Situation) -> Limits:
    """A battery gives only what can be put back before departure."""
    spare_kwh = kwh_to_spare(
        situation.view, situation.needs, situation.now_s, situation.window_end_s, situation.settings
    )
    return _energy(limits, spare_kwh, Refusal.DEPARTURE)


def reserve_is_kept(limits: Limits, situation: Situation) -> Limits:
    """No battery is discharged below the driver's reserve or the programme's floor."""
    return _energy(limits, kwh_above(situation.view, situation.floor_pct, situation.settings), Refusal.RESERVE)


def discharge_is_permitted(limits: Limits, situation: Situation) -> Limits:
    """No discharge unless every item of the permission is there, valid and fresh; refuse closed, naming the item."""
    refusal = refusals(situation)
    refused = refusal != Refusal.NONE
    discharge_kw = np.where(refused, 0.0, np.minimum(limits.discharge_kw, situation.view.export_limit_kw))
    return dataclasses.replace(limits, discharge_kw=discharge_kw, refusal=np.where(refused, refusal, limits.refusal))


def budget_is_kept(limits: Limits, situation: Situation) -> Limits:
    """A battery gives no more than was agreed per event and per year; no budget, no discharge."""
    view = situation.view
    limits = _energy(limits, view.event_budget_kwh - view.event_exported_kwh, Refusal.EVENT_BUDGET)
    return _energy(limits, view.year_budget_kwh - view.year_exported_kwh, Refusal.YEAR_BUDGET)


def power_is_limited(limits: Limits, situation: Situation) -> Limits:
    """No car is asked for more than it can take or give."""
    return dataclasses.replace(
        limits,
        charge_kw=np.minimum(limits.charge_kw, situation.view.max_charge_kw),
        discharge_kw=np.minimum(limits.discharge_kw, situation.view.max_discharge_kw),
    )


def only_stops_what_can_stop(limits: Limits, situation: Situation) -> Limits:
    """A car with no stop is not stopped; one paused by its target level only above the lowest target it takes."""
    view = situation.view
    by_target = (view.control == Control.TARGET_LEVEL) & ~(view.soc_pct >= view.level_floor_pct)
    limits = _unpausable(limits, situation, ~view.can_stop | by_target, Reason.CANNOT_STOP)
    return dataclasses.replace(limits, can_start=limits.can_start & view.can_start)


def never_strands(limits: Limits, situation: Situation) -> Limits:
    """A charging car that cannot be started again is not stopped while it still needs energy."""
    stranded = ~situation.view.can_resume & situation.needs.some
    return _unpausable(limits, situation, stranded, Reason.CANNOT_RESUME)


def dwell_is_kept(limits: Limits, situation: Situation) -> Limits:
    """No car is started or stopped again within the minimum dwell (contactors wear)."""
    limits = _unpausable(limits, situation, situation.resting, Reason.DWELL)
    held = situation.resting & ~situation.charging
    return dataclasses.replace(
        limits, can_start=limits.can_start & ~held, why=np.where(held & (limits.why == 0), Reason.DWELL, limits.why)
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
    reserve_is_kept,
    departure_keeps_energy,
    power_is_limited,
    only_stops_what_can_stop,
    never_strands,
    dwell_is_kept,
)


def refusals(situation: Situation) -> Ints:
    """Per car the first item missing for discharge, as `Refusal`; NONE where all are there."""
    view, now_s = situation.view, situation.now_s
    oldest_s = np.minimum(np.minimum(view.soc_at_s, view.plugged_at_s), view.at_home_at_s)
    missing = (
        (~(view.max_discharge_kw > 0), Refusal.NOT_BIDIRECTIONAL),
        (~(view.discharge_consent & view.charging_consent & view.enrolled), Refusal.CONSENT),
        (~view.interconnected, Refusal.INTERCONNECTION),
        (~view.inverter_listed, Refusal.INVERTER_LISTING),
        (~(view.permission_until_s > now_s), Refusal.PERMISSION_EXPIRED),
        (~(view.export_limit_kw > 0), Refusal.EXPORT_LIMIT),
        (~(view.event_budget_kwh > 0), Refusal.EVENT_BUDGET),
        (~(view.year_budget_kwh > 0), Refusal.YEAR_BUDGET),
        (view.opted_out | (view.opted_out_until_s > now_s), Refusal.OPTED_OUT),
        (view.plugged != Tri.YES, Refusal.NOT_PLUGGED),
        (view.at_home != Tri.YES, Refusal.NOT_AT_HOME),
        (np.isnan(situation.needs.hours), Refusal.LEVEL_UNKNOWN),
        (~(now_s - oldest_s <= situation.settings.reading_age_s), Refusal.READING_TOO_OLD),
    )
    return np.select([mask for mask, _ in missing], [int(item) for _, item in missing], default=0).astype(np.int64)


def _wide_open(count: int) -> Limits:
    yes, no = np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    endless, codes = np.full(count, np.inf), np.zeros(count, dtype=np.int64)
    return Limits(yes, no, yes, yes, endless, endless, endless, endless, codes, codes)


def _untouched(limits: Limits, mask: Bools, why: Reason) -> Limits:
    return dataclasses.replace(
        limits, touch=limits.touch & ~mask, why=np.where(mask & limits.touch, int(why), limits.why)
    )


def _must_charge(limits: Limits, mask: Bools, why: Reason) -> Limits:
    new = mask & ~limits.must_charge & limits.touch
    return dataclasses.replace(limits, must_charge=limits.must_charge | mask, why=np.where(new, int(why), limits.why))


def _unpausable(limits: Limits, situation: Situation, mask: Bools, why: Reason) -> Limits:
    stuck = mask & situation.charging
    first = stuck & (limits.why == 0)
    return dataclasses.replace(limits, can_pause=limits.can_pause & ~stuck, why=np.where(first, int(why), limits.why))


def _energy(limits: Limits, kwh: Floats, refusal: Refusal) -> Limits:
    least_kwh = np.minimum(limits.discharge_kwh, np.maximum(0.0, kwh))
    empty = (least_kwh <= 0) & (limits.refusal == 0)
    return dataclasses.replace(limits, discharge_kwh=least_kwh, refusal=np.where(empty, int(refusal), limits.refusal))
