"""V2G: how much each permitted car gives so that all of them could go on equally long.

Equal time-to-go (Evans, Tindemans, Angeli 2019): car i gives min(p_i, e_i / z) with one z for all, z at least the hours
H that the window still lasts. It reaches the most that can be held for H hours, sum of min(p_i, e_i / H), and asks the
same of every car in the next cycle, so nothing flaps. Energies and powers are magnitudes at the charging point.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints
from ven_adapters.ven.planning.laxity import BURDEN_CLASS_KWH
from ven_adapters.ven.planning.limits.choice import feeding_kw
from ven_adapters.ven.planning.limits.nodes import LimitedNodes
from vtn.clock import HOUR_S

TO_GO_CLASS_H = 0.5
WATT_SLACK = 1e-6
NOTHING_KW = 1e-9
LEAST_WINDOW_S = 60.0


def sustained_kw(power_kw: Floats, energy_kwh: Floats, hours: float) -> Floats:
    """The most that each car can hold for so many hours."""
    return np.minimum(power_kw, energy_kwh / max(hours, 1e-6))


def sustained_below(nodes: LimitedNodes | None, power_kw: Floats, energy_kwh: Floats, hours: float) -> Floats:
    """The most that each car can feed for so many hours when all of them do, below the nodes that there are."""
    alone_kw = sustained_kw(power_kw, energy_kwh, hours)
    return alone_kw if nodes is None else np.minimum(alone_kw, feeding_kw(nodes, power_kw, alone_kw))


def give(power_kw: Floats, energy_kwh: Floats, asked_kw: float, hours: float) -> Floats:
    """KW per car adding up to `asked_kw`, or everything that can be held for `hours` when that is less."""
    most_kw = sustained_kw(power_kw, energy_kwh, hours)
    if asked_kw <= NOTHING_KW:
        return np.zeros_like(most_kw)
    if most_kw.sum() <= asked_kw:
        return most_kw
    return np.minimum(most_kw, sustained_kw(power_kw, energy_kwh, _time_to_go_h(power_kw, energy_kwh, asked_kw)))


@dataclasses.dataclass(frozen=True, slots=True)
class DischargeCars:
    """The cars that may give: most kW, kWh to spare, least kW, whether each gives already, kWh borne, own number."""

    power_kw: Floats
    energy_kwh: Floats
    least_kw: Floats
    giving: Bools
    burden_kwh: Floats
    u: Floats

    def take(self, chosen: Ints) -> "DischargeCars":
        """The chosen ones."""
        return DischargeCars(**{one.name: getattr(self, one.name)[chosen] for one in dataclasses.fields(self)})


def give_in_steps(cars: DischargeCars, asked_kw: float, hours: float) -> Floats:
    """As `give`, for cars that cannot give less than `least_kw`: the fewest cars that hold the sum, each giving more.

    Cars that give already come first, then the longest time-to-go in half hours, then who has borne least this season.
    """
    given = give(cars.power_kw, cars.energy_kwh, asked_kw, hours)
    if not ((given > 0) & (given < cars.least_kw)).any():
        return given
    most_kw = sustained_kw(cars.power_kw, cars.energy_kwh, hours)
    able = (most_kw >= cars.least_kw) & (most_kw > 0)
    to_go_h = cars.energy_kwh / np.maximum(cars.power_kw, 1e-9)
    to_go, borne = np.floor(to_go_h / TO_GO_CLASS_H), np.floor(cars.burden_kwh / BURDEN_CLASS_KWH)
    order = np.lexsort((cars.u, borne, -to_go, ~cars.giving, ~able))
    running_kw = np.cumsum(np.where(able, most_kw, 0.0)[order])
    chosen = order[: int(np.searchsorted(running_kw, asked_kw)) + 1]
    energy_kwh = np.where(able, cars.energy_kwh, 0.0)[chosen]
    given = np.zeros_like(given)
    given[chosen] = give(cars.power_kw[chosen], energy_kwh, asked_kw, hours)
    return np.where(given < cars.least_kw, 0.0, given)


@dataclasses.dataclass(frozen=True, slots=True)
class SalesNow:
    """Per car its class, -1 without one, and when its class stops giving; per class the kW that it gives now."""

    number: Ints
    class_kw: Floats
    end_s: Floats


def give_for_price(cars: DischargeCars, sales: SalesNow, most_kw: float, now_s: float) -> Floats:
    """What the night has each class of batteries give now, shared out by equal time-to-go; `most_kw` in all."""
    given_kw, asked_kw = np.zeros(len(cars.power_kw)), float(sales.class_kw.sum())
    share = min(1.0, max(0.0, most_kw) / max(asked_kw, NOTHING_KW))
    for number in np.flatnonzero(sales.class_kw > NOTHING_KW).tolist():
        mine = np.flatnonzero((sales.number == number) & (cars.power_kw > 0))
        if len(mine):
            hours = max(float(sales.end_s[mine[0]]) - now_s, LEAST_WINDOW_S) / HOUR_S
            given_kw[mine] = give_in_steps(cars.take(mine), share * float(sales.class_kw[number]), hours)
    return in_whole_watts(given_kw, cars.power_kw)


def in_whole_watts(given_kw: Floats, most_kw: Floats) -> Floats:
    """The same in whole watts: what rounding down leaves out is given by those that lost most and can give more."""
    given_w, most_w = given_kw * 1000, most_kw * 1000
    whole_w = np.floor(given_w + WATT_SLACK)
    lost_w = np.where(whole_w + 1 <= most_w + WATT_SLACK, given_w - whole_w, 0.0)
    ranked = np.argsort(-lost_w, kind="stable")
    chosen = ranked[: round(float(given_w.sum() - whole_w.sum()))]
    whole_w[chosen] += lost_w[chosen] > 0
    return np.asarray(whole_w / 1000)


def _time_to_go_h(power_kw: Floats, energy_kwh: Floats, asked_kw: float) -> float:
    """The z at which sum of min(p, e / z) is `asked_kw`: exact, by sorting the cars' own times to go."""
    able = (power_kw > 0) & (energy_kwh > 0)
    power, energy = power_kw[able], energy_kwh[able]
    order = np.argsort(-(energy / power), kind="stable")
    to_go_h = (energy / power)[order]
    full_kw = np.cumsum(power[order])
    rest_kwh = np.maximum(0.0, energy.sum() - np.cumsum(energy[order]))
    reached_kw = full_kw + rest_kwh / to_go_h
    k = int(np.searchsorted(reached_kw, asked_kw))
    at_full_kw = full_kw[k - 1] if k else 0.0
    still_kwh = rest_kwh[k - 1] if k else float(energy.sum())
    return float(still_kwh / (asked_kw - at_full_kw)) if asked_kw > at_full_kw else float(to_go_h[max(k - 1, 0)])
