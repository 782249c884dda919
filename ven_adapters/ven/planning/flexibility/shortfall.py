"""How far a plan falls short of what is asked, and what keeps cars from following: counts and kW per cause. Pure.

A shortfall is what no choice of cars can make good: the ask lies below the least or above the most that the zone can
draw now. One car's step, by which a plan may miss an ask that lies in between, is none.
"""

import dataclasses
import enum
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, FleetView, Floats, Ints, Tri
from ven_adapters.ven.openadr.zone_requests import GridRequest, RulingDimension, ZoneRequests
from ven_adapters.ven.planning.discharge_permits import MissingPermit
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.planning.zone_plan import ZonePlan

LEAST_SHORTFALL_KW = 0.05
LEAST_CHANGE_KW = 1.0
CHANGE_SHARE = 0.05


class Obstacle(enum.StrEnum):
    """What keeps cars from following, as it is told."""

    DEPARTURE = "DEPARTURE"
    RESERVE = "RESERVE"
    PERMIT = "PERMIT"
    BUDGET = "BUDGET"
    ENERGY = "ENERGY"
    CANNOT_STOP = "CANNOT_STOP"
    CANNOT_START = "CANNOT_START"
    CANNOT_FEED = "CANNOT_FEED"
    DWELL = "DWELL"
    DRIVER = "DRIVER"
    CONSENT = "CONSENT"
    READING = "READING"
    FAULT = "FAULT"
    FULL = "FULL"
    FULL_POWER = "FULL_POWER"
    NO_CARS = "NO_CARS"
    LIMIT = "LIMIT"
    GRID_LIMIT = "GRID_LIMIT"
    OTHER = "OTHER"


O = Obstacle  # noqa: E741 - the tables below read better so
WORDS: Mapping[Obstacle, str] = {
    O.DEPARTURE: "must charge now, or keep their charge, to be ready at departure",
    O.RESERVE: "are at or below their reserve",
    O.PERMIT: "lack a permit to feed the grid",
    O.BUDGET: "have used up what was agreed to be fed",
    O.ENERGY: "cannot hold more until the window ends",
    O.CANNOT_STOP: "cannot be stopped, or not be started again",
    O.CANNOT_START: "cannot be started",
    O.CANNOT_FEED: "cannot feed the grid",
    O.DWELL: "were started or stopped a moment ago",
    O.DRIVER: "are kept by their drivers",
    O.CONSENT: "are not managed, for want of consent",
    O.READING: "have told too little, or too long ago",
    O.FAULT: "have a fault, or no power at the plug",
    O.FULL: "need no more charge",
    O.FULL_POWER: "draw or feed all that they can",
    O.NO_CARS: "are not plugged in at home",
    O.LIMIT: "a limit in force",
    O.GRID_LIMIT: "are held by a limit of their site, transformer or feeder",
    O.OTHER: "other causes",
}
"""What each obstacle says of the cars; LIMIT and OTHER need no cars."""

_DRAWS: Mapping[int, Obstacle] = {
    Reason.READY_BY: O.DEPARTURE,
    Reason.BELOW_RESERVE: O.RESERVE,
    Reason.CANNOT_STOP: O.CANNOT_STOP,
    Reason.CANNOT_RESUME: O.CANNOT_STOP,
    Reason.DWELL: O.DWELL,
    Reason.OPTED_OUT: O.DRIVER,
    Reason.BOOST: O.DRIVER,
    Reason.NO_CONSENT: O.CONSENT,
    Reason.LEVEL_UNKNOWN: O.READING,
    Reason.CANNOT_CHARGE: O.FAULT,
}
"""Why a car goes on drawing although less is asked."""

M = MissingPermit
_FEEDS: Mapping[int, Obstacle] = {
    M.NONE: O.ENERGY,
    M.NOT_BIDIRECTIONAL: O.CANNOT_FEED,
    **dict.fromkeys((M.CONSENT, M.INTERCONNECTION, M.INVERTER_LISTING, M.PERMISSION_EXPIRED, M.EXPORT_LIMIT), O.PERMIT),
    **dict.fromkeys((M.EVENT_BUDGET, M.YEAR_BUDGET, M.CYCLE_BUDGET), O.BUDGET),
    **dict.fromkeys((M.NOT_PLUGGED, M.NOT_AT_HOME), O.NO_CARS),
    **dict.fromkeys((M.LEVEL_UNKNOWN, M.READING_TOO_OLD, M.EXPORT_UNCOUNTED, M.RESERVE_UNKNOWN), O.READING),
    M.OPTED_OUT: O.DRIVER,
    M.DER_ALARM: O.FAULT,
    M.RESERVE: O.RESERVE,
    **dict.fromkeys((M.DEPARTURE, M.READY_BY), O.DEPARTURE),
}
"""Why a battery does not give what its inverter could."""


@dataclasses.dataclass(frozen=True, slots=True)
class Binding:
    """One obstacle: how many cars it keeps from following, and how many kW that is."""

    obstacle: Obstacle
    cars: int
    kw: float


@dataclasses.dataclass(frozen=True, slots=True)
class Flexibility:
    """What a zone can do now against what it is asked, kW of the whole zone.

    `ask_kw`: None when nothing is asked in kW. `shortfall_kw`: above 0 the zone draws so much more than asked at the
    least, below 0 so much less at the most. `bindings`: only with a shortfall, the largest first. `event_id`,
    `interval_id`: who asks. `until_s`: the ask's end (epoch seconds).
    """

    at_s: float
    ask_kw: float | None
    planned_kw: float
    least_kw: float
    most_kw: float
    shortfall_kw: float = 0.0
    bindings: tuple[Binding, ...] = ()
    event_id: str = ""
    interval_id: int = 0
    until_s: float = math.inf

    @property
    def is_short(self) -> bool:
        """Whether what is asked cannot be done."""
        return self.shortfall_kw != 0.0

    @property
    def what_binds(self) -> frozenset[Obstacle]:
        """The obstacles that matter: those that keep back a twentieth of the ask or more, and the largest."""
        least_kw = _change_kw(self.ask_kw)
        return frozenset(one.obstacle for place, one in enumerate(self.bindings) if one.kw >= least_kw or not place)


def flexibility_of(view: FleetView, requests: ZoneRequests, plan: ZonePlan) -> Flexibility:
    """What a zone's plan comes to against what is asked; `view` and `plan` have the same rows."""
    ask, ask_kw = _ask(requests, plan)
    least_kw = plan.feasible_min_kw
    cap = requests.import_cap_kw
    most_kw = plan.feasible_max_kw if cap is None else max(least_kw, min(plan.feasible_max_kw, cap.value))
    known = Flexibility(requests.now_s, ask_kw, plan.planned_kw, least_kw, most_kw)
    if ask is None or ask_kw is None:
        return known
    follows = requests.ruling is RulingDimension.DISPATCH
    short_kw = least_kw - ask_kw if ask_kw < least_kw else most_kw - ask_kw if follows and ask_kw > most_kw else 0.0
    known = dataclasses.replace(
        known, event_id=ask.event_id, interval_id=ask.interval_id, until_s=ask.end_s, shortfall_kw=0.0
    )
    if abs(short_kw) < LEAST_SHORTFALL_KW:
        return known
    if short_kw > 0:
        found = _too_much(view, plan, feeds=follows, below_zero=ask_kw < 0)
        limit_kw = 0.0 if requests.export_cap_kw is None else -requests.export_cap_kw.value - ask_kw
    else:
        found = _too_little(view, plan)
        limit_kw = 0.0 if cap is None else ask_kw - cap.value
    if limit_kw >= LEAST_SHORTFALL_KW:
        found = [*found, Binding(Obstacle.LIMIT, 0, limit_kw)]
    if not found:
        moves = _at_plug(view) & (np.abs(plan.expected_kw) > LEAST_SHORTFALL_KW)
        found = [Binding(Obstacle.FULL_POWER, int(moves.sum()), 0.0)]
    bindings = tuple(sorted(found, key=lambda one: (-one.kw, -one.cars, one.obstacle)))
    return dataclasses.replace(known, shortfall_kw=short_kw, bindings=bindings)


def _ask(requests: ZoneRequests, plan: ZonePlan) -> tuple[GridRequest | None, float | None]:
    """Who asks, and how many kW of the zone, before any limit narrows it."""
    dispatch = requests.dispatch
    if requests.ruling is RulingDimension.DISPATCH and dispatch is not None:
        if requests.relative_kw is not None:
            return dispatch, plan.unrestricted_kw + dispatch.value
        if requests.relative_share is not None:
            return dispatch, plan.unrestricted_kw * (1 + dispatch.value)
        return dispatch, dispatch.value
    cap = requests.import_cap_kw
    if cap is not None and plan.asked_kw is not None and abs(plan.asked_kw - cap.value) < LEAST_SHORTFALL_KW:
        return cap, cap.value
    return requests.alert or requests.simple, plan.asked_kw


def _at_plug(view: FleetView) -> Bools:
    return np.asarray((view.plugged == Tri.YES) & (view.at_home == Tri.YES))


def _too_much(view: FleetView, plan: ZonePlan, *, feeds: bool, below_zero: bool) -> list[Binding]:
    """Why no less is drawn; and, of a set-point, why batteries feed no more.

    Cars that can feed nothing at all are named where less than nothing is asked.
    """
    draws_kw = np.where(_at_plug(view), np.maximum(plan.expected_kw, 0.0), 0.0)
    found = _counted(plan.reason, draws_kw, draws_kw > LEAST_SHORTFALL_KW, _DRAWS)
    if not feeds:
        return _merged(found)
    given_kw = np.maximum(-plan.expected_kw, 0.0)
    unused_kw = np.maximum(view.max_discharge_kw - given_kw, 0.0)
    lacks = (unused_kw > LEAST_SHORTFALL_KW) | (below_zero & ~(view.max_discharge_kw > 0))
    idle = (draws_kw <= LEAST_SHORTFALL_KW) & lacks
    held = idle & _held_by_nodes(plan)
    fed = _counted(plan.refusal, unused_kw, idle & ~held, _FEEDS)
    return _merged([*found, *fed, *_one(Obstacle.GRID_LIMIT, unused_kw, held)])


def _too_little(view: FleetView, plan: ZonePlan) -> list[Binding]:
    """Why no more is drawn."""
    unused_kw = np.maximum(view.max_charge_kw - np.maximum(plan.expected_kw, 0.0), 0.0)
    here = _at_plug(view)
    lacks = unused_kw > LEAST_SHORTFALL_KW
    unmanaged = np.isin(plan.reason, [int(one) for one in _UNMANAGED])
    held = here & lacks & ~unmanaged & _held_by_nodes(plan)
    stands = here & lacks & ~unmanaged & ~held
    draws = plan.expected_kw > LEAST_SHORTFALL_KW
    rests = stands & (plan.reason == Reason.DWELL)
    starts = view.can_start | draws
    found = [
        *_counted(plan.reason, unused_kw, here & lacks & unmanaged, _DRAWS),
        *_one(Obstacle.NO_CARS, unused_kw, ~here & lacks),
        *_one(Obstacle.GRID_LIMIT, unused_kw, held),
        *_one(Obstacle.DWELL, unused_kw, rests),
        *_one(Obstacle.CANNOT_START, unused_kw, stands & ~rests & ~starts),
        *_one(Obstacle.FULL, unused_kw, stands & ~rests & starts),
    ]
    return _merged(found)


def _held_by_nodes(plan: ZonePlan) -> Bools:
    return np.asarray(plan.limited_by >= 0) if len(plan.limited_by) else np.zeros(len(plan), dtype=np.bool_)


_UNMANAGED = (Reason.OPTED_OUT, Reason.BOOST, Reason.NO_CONSENT, Reason.LEVEL_UNKNOWN, Reason.CANNOT_CHARGE)


def _counted(code: Ints, kw: Floats, chosen: Bools, obstacles: Mapping[int, Obstacle]) -> list[Binding]:
    found = []
    for one in np.unique(code[chosen]).tolist():
        found += _one(obstacles.get(int(one), Obstacle.OTHER), kw, chosen & (code == one))
    return found


def _one(obstacle: Obstacle, kw: Floats, chosen: Bools) -> list[Binding]:
    cars = int(chosen.sum())
    return [Binding(obstacle, cars, float(np.nansum(kw[chosen])))] if cars else []


def _merged(found: Iterable[Binding]) -> list[Binding]:
    """One entry per obstacle."""
    by: dict[Obstacle, Binding] = {}
    for one in found:
        before = by.get(one.obstacle)
        by[one.obstacle] = one if before is None else Binding(one.obstacle, before.cars + one.cars, before.kw + one.kw)
    return list(by.values())


def together(parts: Sequence[Flexibility]) -> Flexibility:
    """Several parts of a zone that one event asks, as one; at least one part. Shortfalls of opposite sign offset."""
    first = parts[0]
    if len(parts) == 1:
        return first
    asks = [one.ask_kw for one in parts if one.ask_kw is not None]
    bindings = sorted(_merged(one for part in parts for one in part.bindings), key=lambda one: (-one.kw, one.obstacle))
    short_kw = sum(one.shortfall_kw for one in parts)
    return dataclasses.replace(
        first,
        at_s=max(one.at_s for one in parts),
        ask_kw=sum(asks) if asks else None,
        planned_kw=sum(one.planned_kw for one in parts),
        least_kw=sum(one.least_kw for one in parts),
        most_kw=sum(one.most_kw for one in parts),
        shortfall_kw=short_kw if abs(short_kw) >= LEAST_SHORTFALL_KW else 0.0,
        bindings=tuple(bindings),
    )


def is_news(before: Flexibility | None, now: Flexibility) -> bool:
    """Whether a shortfall began, ended, changed by more than a twentieth of the ask, or binds otherwise than told."""
    if before is None or not before.is_short:
        return now.is_short
    if not now.is_short or (before.event_id, before.interval_id) != (now.event_id, now.interval_id):
        return True
    moved_kw = abs(now.shortfall_kw - before.shortfall_kw)
    return moved_kw > _change_kw(now.ask_kw) or now.what_binds != before.what_binds


def _change_kw(ask_kw: float | None) -> float:
    return max(LEAST_CHANGE_KW, CHANGE_SHARE * abs(ask_kw or 0.0))


def in_words(one: Flexibility) -> str:
    """A shortfall as a sentence, with what binds; empty without one."""
    if not one.is_short or one.ask_kw is None:
        return ""
    whither = "more is drawn than is asked at the least" if one.shortfall_kw > 0 else "less is drawn at the most"
    causes = "; ".join(map(_cause, one.bindings)) or "no cause is known"
    return f"{abs(one.shortfall_kw):.1f} kW of {one.ask_kw:.1f} kW asked are short ({whither}): {causes}"


def _cause(one: Binding) -> str:
    if not one.cars:
        return f"{WORDS[one.obstacle]} ({one.kw:.1f} kW)"
    return f"{one.cars} {'car' if one.cars == 1 else 'cars'} ({one.kw:.1f} kW) {WORDS[one.obstacle]}"
