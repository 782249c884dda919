"""Which cars charge now, and when the others will: the night's load, filled with cars by least laxity.

With a price, emissions or an event the zone follows a night that `linear_programme` solved; otherwise each car
charges at once, as the driver's own would. A car that charges goes on, so that nobody is switched for the sake of an
equal; when the load falls those with most time to spare stop first. A zone's night serves for a quarter of an hour, or
until something else is asked.
"""

import dataclasses
import math
import zlib
from collections.abc import Callable

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints
from ven_adapters.ven.openadr.zone_requests import RequestSeries, RulingDimension, ZoneRequests
from ven_adapters.ven.planning.charging_need import ChargingNeeds
from ven_adapters.ven.planning.laxity import BURDEN_CLASS_KWH, LAXITY_CLASS_S
from ven_adapters.ven.planning.limits.choice import RankedCars, room_for, shared_kw
from ven_adapters.ven.planning.limits.nodes import LimitedNodes
from ven_adapters.ven.planning.night.linear_programme import NightLoad, NightProblem
from ven_adapters.ven.planning.night.night_batteries import NightSales, SellingCars, batteries_of, gain_of, sales_of
from ven_adapters.ven.planning.night.night_problem import (
    MOST_CLASSES,
    STEP_S,
    PlannedCars,
    asked,
    at_once_kw,
    edges_from,
    expecting,
    limit_of,
    problem_of,
)
from ven_adapters.ven.planning.night.single_cars import (
    AskingCars,
    GivenPower,
    OwnPower,
    given_power,
    goes_astray,
    nobody,
    own_of,
    singly,
    sooner,
)
from ven_adapters.ven.planning.night.solved_night import solved_night
from ven_adapters.ven.planning.zone_state import ZoneState
from vtn.clock import HOUR_S

GOLDEN = 0.6180339887498949
DAY_S = 86400.0
SOONEST = 0.3  # of the longest wait after an event: nobody's own longest wait is less
EARLY_S, EARLY_FROM_H = 2700.0, 2.0
UNKNOWN_H = 2.0  # how long a car that nobody controls is taken to go on
ENDING_H = 0.1  # and one that has what its driver wants, as far as it tells, and still charges
LIST_STEP_S = 300.0
LEAST_RUN_S = 1800.0  # who begins is not to be stopped again by a load that falls
SPREAD = 1 / 3  # of a quarter of an hour: by so much sooner a zone's night is made anew, each zone's by its own part
# Of a car's power: so much room lets it go on, or begin, so that the load is met on average and few are switched.
KEEPS_AT, STARTS_AT = 0.05, 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Night:
    """A zone's night as planned at `made_s` for `asks`, whose steps cost `cost`.

    `open_h`: the hours of each step that no event restricts. `until_s`: until when a night that was planned by a price
    is followed, also when the price is the same for all that is left, so that the load does not jump.

    `load`: of all cars. `unasked`: what it would be if no event asked for anything; the same where none does. `sales`:
    what batteries give for a price; None where none may. `own`: what each car draws, where they are few.
    `serves_s`: for how long it is followed.
    """

    made_s: float
    asks: tuple[object, ...]
    load: NightLoad
    unasked: NightLoad
    cost: Floats
    open_h: Floats
    until_s: float = -math.inf
    sales: NightSales | None = None
    own: OwnPower | None = None
    serves_s: float = STEP_S

    def keeps_at(self, now_s: float) -> float:
        """The part of a charging car's power for which there must be room: none in the cheapest hours of all."""
        now = min(int(np.searchsorted(self.load.edges_s, now_s, side="right")) - 1, len(self.cost) - 1)
        return 0.0 if self.cost[now] <= self.cost.min() else KEEPS_AT

    def slack_h(self, now_s: float, end_s: Floats, hours: Floats) -> Floats:
        """How long each car can wait and still charge at no more than what charging costs now, before `end_s`.

        Below zero where it needs dearer hours whatever is done; without a price the ordinary laxity.
        """
        edges_s = self.load.edges_s
        now = min(int(np.searchsorted(edges_s, now_s, side="right")) - 1, len(self.cost) - 1)
        as_cheap = np.where(self.cost <= self.cost[now] + 1e-9, self.open_h, 0.0)
        passed_h = np.concatenate([[0.0], np.cumsum(as_cheap)])
        until_h, since_h = np.interp(end_s, edges_s, passed_h), float(np.interp(now_s, edges_s, passed_h))
        return np.asarray(until_h - since_h - hours)

    def planned_kw(self, now_s: float) -> float:
        """What single cars were to draw until now, less what they were to give; -inf where there are none."""
        if self.own is None:
            return -math.inf
        step = self.own.step(now_s - 1.0)
        return float(self.own.kw[:, step].sum() - self.load.give_kw[:, step].sum())

    def goes_astray(self, cars: "ZoneCars") -> bool:
        """Whether single cars do not do as it was planned."""
        return self.own is not None and goes_astray(self.own, cars.situation, cars.free, self.made_s)

    def serves(self, asks: tuple[object, ...], now_s: float) -> bool:
        """Whether it is still to be followed."""
        return asks == self.asks and self.made_s <= now_s < self.made_s + self.serves_s


@dataclasses.dataclass(frozen=True, slots=True)
class EarlierCycles:
    """What a zone's earlier cycles left: its night, followed while it serves, and how far above a set-point to aim.

    `expected`: tells the cars that are expected home at an instant; asked only when a night is solved.
    """

    night: Night | None = None
    trim_kw: float = 0.0
    expected: Callable[[float], PlannedCars] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneCars:
    """A zone's cars in a cycle: who must charge and who may, at which kW, and what nobody controls.

    `fixed_kw`: what cars draw that nobody controls. `priced`: when they charge matters for the bill. `selling`: the
    cars that may give for a price, None where it does not pay.
    """

    situation: ZoneState
    needs: ChargingNeeds
    full_kw: Floats
    forced: Bools
    free: Bools
    fixed_kw: Floats
    priced: bool
    selling: SellingCars | None = None
    expected: Callable[[float], PlannedCars] | None = None
    nodes: LimitedNodes | None = None

    @property
    def planned(self) -> Bools:
        """The cars whose charging the night plans."""
        return np.asarray((self.free | self.forced) & self.needs.some & (self.full_kw > 0))

    @property
    def few(self) -> bool:
        """Whether each of them is planned by itself."""
        return int(self.planned.sum()) <= MOST_CLASSES


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedStart:
    """Per car: whether it would charge now if no event asked, and when the night lets it begin (now: at once).

    `most_kw`: what the night gave to single cars, infinite for all others. `no_room`: who waits because a node above it
    has no room.
    """

    wanted: Bools
    start_s: Floats
    night: Night | None
    most_kw: Floats
    no_room: Bools | bool = False


def planned_start_of(cars: ZoneCars, requests: ZoneRequests, night: Night | None) -> PlannedStart:
    """The cars' starts by `night` where that still serves, else by a new one."""
    now_s, count = cars.situation.now_s, len(cars.full_kw)
    endless_kw = np.full(count, np.inf)
    at_once = PlannedStart(cars.free, np.full(count, now_s), None, endless_kw)
    priced, goes_on_s = cars.priced, -math.inf if night is None else night.until_s
    cars = dataclasses.replace(cars, priced=priced or now_s < goes_on_s)
    if not needs_night(cars, requests) or not (cars.free.any() or cars.selling is not None):
        return at_once
    asks = _asks(requests, priced=cars.priced)
    if night is None or not night.serves(asks, now_s) or night.goes_astray(cars):
        new = _night_of(cars, requests, asks, night)
        until_s = float(new.load.edges_s[-1]) if priced else goes_on_s
        night = dataclasses.replace(new, until_s=until_s, serves_s=STEP_S * (1.0 - SPREAD * _turn(requests.zone)))
    ends_s = _ends_s(cars, requests)
    hours = np.nan_to_num(cars.needs.usual_hours)
    due_s = ends_s - hours * HOUR_S
    waiting = _may_wait(cars, requests) & (due_s > now_s)
    slack_h = night.slack_h(now_s, ends_s, hours)
    given = _given_by(night, cars, requests, waiting, slack_h)
    ranked = _ranked(cars, np.flatnonzero(waiting & ~given.cars), slack_h)
    others = cars.free & ~waiting
    queue = room_for(cars.nodes, cars.situation.view, cars.full_kw, ranked, np.where(others, cars.full_kw, 0.0))
    runs, start_s = _followed(cars, queue, others, due_s, night, given)
    if night.unasked is night.load or requests.ruling is RulingDimension.NOTHING:
        return PlannedStart(runs, start_s, night, given.most_kw, queue.no_room)
    if not cars.priced:
        return PlannedStart(cars.free, start_s, night, endless_kw, queue.no_room)
    wanted, ranked = others, queue.able
    wanted[ranked[_chosen(cars, ranked, night.unasked, _running_kw(cars, wanted), night.keeps_at(now_s))]] = True
    return PlannedStart(wanted, start_s, night, endless_kw, queue.no_room)


def _turn(zone: str) -> float:
    """A number in [0, 1) of a zone's own, so that nights that were made together are not all made anew together."""
    return zlib.crc32(zone.encode()) / 2.0**32


def _given_by(night: Night, cars: ZoneCars, requests: ZoneRequests, waiting: Bools, slack_h: Floats) -> GivenPower:
    """What the programme gave now to single cars; nobody has a power of its own where there are many, or an event."""
    below = cars.nodes is not None and not cars.nodes.is_zone.all()
    if night.own is None or below or requests.ruling is not RulingDimension.NOTHING:
        return nobody(len(waiting))
    runs, cap = cars.forced | (cars.free & ~waiting), requests.import_cap_kw
    room_kw = math.inf if cap is None else max(0.0, cap.value - _running_kw(cars, runs))
    asking = AskingCars(cars.situation, cars.full_kw, waiting, runs, slack_h)
    return given_power(night.own, asking, room_kw)


def needs_night(cars: ZoneCars, requests: ZoneRequests) -> bool:
    """Whether when a car charges is more than its driver's affair; a price that is always the same makes it no more."""
    ruled = requests.ruling is not RulingDimension.NOTHING or requests.import_cap_kw is not None
    return cars.priced or ruled or not math.isnan(requests.recovery_from_s)


def cheapest_until(cost: Floats, edges_s: Floats, until_s: Floats) -> Floats:
    """Per car, the least cost of a step that begins before an instant."""
    least = np.minimum.accumulate(cost)
    place = np.clip(np.searchsorted(edges_s[:-1], until_s, side="right") - 1, 0, len(cost) - 1)
    return np.asarray(least[place])


def _night_of(cars: ZoneCars, requests: ZoneRequests, asks: tuple[object, ...], earlier: Night | None) -> Night:
    """Solve the zone's night, with what events ask and without; after an `earlier` night no load jumps."""
    situation, follows = cars.situation, earlier is not None
    now_s, settings = situation.now_s, situation.settings
    chosen = np.flatnonzero(cars.planned)
    ends_s, kwh, kw = _ends_s(cars, requests)[chosen], cars.needs.usual_kwh[chosen], _mean_kw(cars)[chosen]
    if cars.nodes is not None:
        kw = shared_kw(cars.nodes, kw, kwh, (ends_s - now_s) / HOUR_S, chosen)
    if cars.few and requests.import_cap_kw is not None:
        ends_s = sooner(ends_s, now_s, kwh, kw)
    expected = None if cars.expected is None else cars.expected(now_s)
    last_s = float(ends_s.max(initial=now_s))
    if expected is not None:
        last_s = max(last_s, float(expected.end_s.max(initial=now_s)))
    if cars.selling is not None:
        last_s = max(last_s, min(float(cars.selling.leave_s.max()), now_s + settings.horizon_s))
    edges_s = edges_from(now_s, last_s)
    begun = cars.free & ~cars.needs.some & situation.charging
    fixed = np.where(begun, cars.full_kw, cars.fixed_kw)
    ending_h = np.where(cars.needs.usual_kwh > 0, cars.needs.usual_kwh / np.maximum(cars.full_kw, 1e-6), ENDING_H)
    hours = np.where(np.isnan(cars.needs.hours), UNKNOWN_H, np.where(begun, ending_h, cars.needs.hours))
    base_kw = at_once_kw(hours, fixed, edges_s)
    night_cars = PlannedCars(kwh, kw, np.full(len(chosen), now_s), ends_s)
    before_kw = float((_drawn_kw(cars) + cars.fixed_kw).sum())
    gives = np.zeros(len(chosen), dtype=np.bool_)
    if cars.selling is not None:
        gives = np.isin(situation.view.row[chosen], cars.selling.row)
    net_kw = before_kw + float(np.minimum(situation.view.power_kw, 0.0)[~situation.charging].sum())
    problem = problem_of(night_cars.take(~gives), requests, base_kw, edges_s, net_kw, settings)
    if expected is not None:
        problem = expecting(problem, expected)
    if cars.few:
        slack_s = ends_s - cars.needs.usual_hours[chosen] * HOUR_S
        planned_kw = -math.inf if earlier is None else earlier.planned_kw(now_s) + float(cars.fixed_kw.sum())
        problem = singly(problem, situation, slack_s[~gives], chosen[~gives], planned_kw)
    if earlier is not None:
        problem = dataclasses.replace(problem, earlier_peak_kw=earlier.load.peak_kw)
    problem, number = _with_batteries(problem, cars, requests)
    ruled = requests.ruling is not RulingDimension.NOTHING
    if not ruled and requests.restriction is None and requests.set_points_kw is None:
        load = solved_night(problem, night_cars).led_from(before_kw if follows or problem.gentle[0] else math.nan)
        sales = None if cars.selling is None else sales_of(cars.selling, number, load.give_kw)
        own = own_of(situation.view.row[chosen[~gives]], cars.selling, load)
        return Night(now_s, asks, load, load, problem.cost, problem.hours, sales=sales, own=own)
    free_of_events = dataclasses.replace(problem, before_kw=math.nan if ruled else problem.before_kw)
    unasked = solved_night(free_of_events, night_cars)
    bound = asked(problem, requests, unasked.load_kw)
    open_h = np.where(np.isfinite(bound.most_kw), 0.0, problem.hours)
    leads = not ruled and (follows or problem.gentle[0])
    load = solved_night(bound, night_cars).led_from(before_kw if leads else math.nan)
    sales = None if cars.selling is None else sales_of(cars.selling, number, load.give_kw)
    own = own_of(situation.view.row[chosen[~gives]], cars.selling, load)
    return Night(now_s, asks, load, unasked, problem.cost, open_h, sales=sales, own=own)


def _with_batteries(problem: NightProblem, cars: ZoneCars, requests: ZoneRequests) -> tuple[NightProblem, Ints]:
    """The same with the classes of cars that may give for a price, and the class of each."""
    if cars.selling is None:
        return problem, np.zeros(0, dtype=np.int64)
    settings, edges_s = cars.situation.settings, problem.edges_s
    limit_kw = limit_of(requests.export_limits_kw, requests.export_cap_kw, (edges_s[1:] + edges_s[:-1]) / 2)
    gain = gain_of(requests, edges_s, settings)
    number, batteries = batteries_of(cars.selling, edges_s, gain, limit_kw, settings)
    return dataclasses.replace(problem, batteries=batteries), number


def _asks(requests: ZoneRequests, *, priced: bool) -> tuple[object, ...]:
    """What a night depends on, to tell whether it was made for the same."""
    if priced and requests.ruling is RulingDimension.NOTHING:
        requests = dataclasses.replace(requests, recovery_from_s=math.nan)
    series = (
        requests.price,
        requests.export_price,
        requests.ghg,
        requests.restriction,
        requests.set_points_kw,
        requests.import_limits_kw,
        requests.export_limits_kw,
    )
    cap, recovery_s = requests.import_cap_kw, requests.recovery_from_s
    caps = None if cap is None else (cap.value, cap.end_s)
    nodes = () if requests.grid is None else requests.grid.in_force
    rules = (requests.dispatch, requests.simple, requests.alert, nodes)
    return (*map(_print_of, series), caps, *rules, None if math.isnan(recovery_s) else recovery_s)


def _print_of(steps: RequestSeries | None) -> bytes | None:
    return None if steps is None else steps.edges_s.tobytes() + steps.values.tobytes()


def _may_wait(cars: ZoneCars, requests: ZoneRequests) -> Bools:
    """The cars whose start is planned: all that may start or stop and need something; without a price fewer.

    Without one nobody waits but for what an event held back: not a car that came after it, nor one that charges.
    """
    waiting = cars.free & cars.needs.some
    if cars.priced or math.isnan(requests.recovery_from_s):
        return waiting
    came = cars.situation.view.plugged_since_s >= requests.recovery_from_s
    return np.asarray(waiting & ~came & ~cars.situation.charging)


def _ends_s(cars: ZoneCars, requests: ZoneRequests) -> Floats:
    """When each car must be done at the power that it usually takes.

    One that must charge now ends as soon as it can; a car without departure is done a day after it came; after an
    event without a price nobody waits longer than the settings allow, each car less by its own number. Who can wait
    long is to be done a while before he must: that costs next to nothing where cars are many, and departures are not
    met by margins alone.
    """
    situation, settings = cars.situation, cars.situation.settings
    now_s, takes_s = situation.now_s, cars.needs.usual_hours * HOUR_S
    latest_s = np.fmin(cars.needs.latest_start_s, np.maximum(situation.view.plugged_since_s, now_s - DAY_S) + DAY_S)
    if not cars.priced:
        asks = (requests.dispatch, requests.simple, requests.alert, requests.import_cap_kw)
        ends_s = [ask.end_s for ask in asks if ask is not None]
        since_s = max(ends_s, default=requests.recovery_from_s)
        latest_s = np.fmin(latest_s, since_s + settings.recovery_s * (SOONEST + (1 - SOONEST) * nightly_u(situation)))
    spare_h = np.nan_to_num((latest_s - now_s) / HOUR_S)
    if not cars.few:
        latest_s = latest_s - np.where(spare_h > EARLY_FROM_H, EARLY_S * nightly_u(situation), 0.0)
    hurried = cars.forced | (cars.free & ~_may_wait(cars, requests))
    start_s = np.clip(np.where(hurried, now_s, latest_s), now_s, now_s + settings.horizon_s)
    return np.asarray(start_s + takes_s)


def _drawn_kw(cars: ZoneCars) -> Floats:
    """What each car draws now: as it was read, else its full power where it was just told to charge."""
    seen_kw = cars.situation.view.power_kw
    drawn_kw = np.where(seen_kw > 0, np.minimum(seen_kw, cars.full_kw), cars.full_kw)
    return np.where(cars.situation.charging, drawn_kw, 0.0)


def _mean_kw(cars: ZoneCars) -> Floats:
    """The power at which a car's energy is drawn in the hours that it usually takes."""
    return np.asarray(cars.needs.usual_kwh / np.maximum(cars.needs.usual_hours, 1e-6))


def _running_kw(cars: ZoneCars, wanted: Bools) -> float:
    """Load that no choice among the waiting cars can change."""
    return float(cars.full_kw[cars.forced | wanted].sum() + cars.fixed_kw.sum())


def _ranked(cars: ZoneCars, chosen: Ints, slack_h: Floats) -> Ints:
    """Those that charge first, then least laxity in quarter hours, then who has borne most, then the car's number."""
    situation = cars.situation
    laxity = np.floor(np.nan_to_num(slack_h[chosen]) * HOUR_S / LAXITY_CLASS_S)
    borne = np.floor(situation.view.burden_kwh[chosen] / BURDEN_CLASS_KWH)
    return chosen[np.lexsort((nightly_u(situation)[chosen], -borne, laxity, ~situation.charging[chosen]))]


def _chosen(cars: ZoneCars, ranked: Ints, load: NightLoad, running_kw: float, keeps_at: float) -> Bools:
    """Which of the ranked cars have room now: one that charges keeps its place while a part of it fits.

    One that waits begins where there is room for as long as a car should charge once it does.
    """
    now_s, kw, charging = cars.situation.now_s, cars.full_kw[ranked], cars.situation.charging[ranked]
    lasting_kw = float(load.at(now_s + np.arange(0.0, LEAST_RUN_S + 1.0, LIST_STEP_S)).min())
    room_kw = np.where(charging, float(load.at(now_s)), lasting_kw) - running_kw
    fits_kw = np.where(charging, keeps_at, STARTS_AT) * kw
    return np.asarray(np.cumsum(kw) - kw + fits_kw < room_kw - 1e-9)


def nightly_u(situation: ZoneState) -> Floats:
    """The car's own number, turned every day so that nobody is always the last."""
    days = np.nan_to_num(np.floor(situation.view.departure_s / DAY_S), posinf=0.0)
    return np.asarray((situation.view.u + GOLDEN * days) % 1.0)


def _followed(
    cars: ZoneCars, ranked: RankedCars, others: Bools, due_s: Floats, night: Night, given: GivenPower
) -> tuple[Bools, Floats]:
    """Who charges now, `others` among them, and when each car begins when the load is followed, at `due_s` in any case.

    Each of the ranked cars is let in after the one before it, for as long as it takes, beside those with power `given`.
    """
    now_s = cars.situation.now_s
    edges_s = np.arange(now_s, max(night.load.edges_s[-1], now_s + 2 * LIST_STEP_S), LIST_STEP_S)
    load_kw = night.load.at(edges_s[:-1])
    if night.own is not None and given.cars.any():
        load_kw = load_kw - night.own.at(cars.situation.view.row[given.cars], edges_s[:-1])
    runs = others.copy()
    running_kw, able = _running_kw(cars, runs) + float(given.kw.sum()), ranked.able
    runs[able[_chosen(cars, able, night.load, running_kw, night.keeps_at(now_s))]] = True
    runs |= given.kw > 0
    start_s = np.maximum(np.where(runs, now_s, np.where(given.cars, np.minimum(given.begins_s, due_s), due_s)), now_s)
    queue = ranked.cars[~runs[ranked.cars]]
    hours = np.where(np.isnan(cars.needs.hours), UNKNOWN_H, cars.needs.usual_hours)
    busy_kw = np.where((runs & ~given.cars) | cars.forced, cars.full_kw, 0.0) + cars.fixed_kw
    room_kw = load_kw - at_once_kw(hours, busy_kw, edges_s)
    start_s[queue] = np.minimum(start_s[queue], _begin_s(edges_s, room_kw, _mean_kw(cars)[queue], hours[queue]))
    return runs, start_s


def _begin_s(edges_s: Floats, room_kw: Floats, kw: Floats, hours: Floats) -> Floats:
    """When each car of a queue finds room, step by step from the second step on; infinite for those that never do."""
    begin_s = np.full(len(kw), np.inf)
    lasts = np.maximum(1, np.round(hours * HOUR_S / LIST_STEP_S)).astype(np.int64)
    before_kw = np.concatenate([[0.0], np.cumsum(kw)])
    threshold_kw = before_kw[:-1] + STARTS_AT * kw
    ending_kw, begun_kw, place = np.zeros(len(edges_s)), 0.0, 0
    for step in range(1, len(edges_s) - 1):
        begun_kw -= ending_kw[step]
        if place == len(kw):
            break
        fits_kw = before_kw[place] + room_kw[step] - begun_kw
        until = place + int(np.searchsorted(threshold_kw[place:], fits_kw))
        if until > place:
            begin_s[place:until] = edges_s[step]
            np.add.at(ending_kw, np.minimum(step + lasts[place:until], len(edges_s) - 1), kw[place:until])
            begun_kw += before_kw[until] - before_kw[place]
            place = until
    return begin_s
