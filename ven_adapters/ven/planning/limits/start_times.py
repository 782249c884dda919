"""When cars under tight nodes must start at the latest so that all of them are done in time.

By itself each car could wait until its latest safe start. Where the cars under a transformer did that together they
would not fit through it, so time is filled from the end: slot by slot backwards, every node up to its limit, first who
has most left to charge (the level algorithm: Muntz and Coffman, IEEE Trans. Comp. C-18, 1969). The first slot that a
car gets is its latest start. All nodes are filled at once, and only where the cars' own latest starts do not fit. Pure.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE
from ven_adapters.ven.planning.limits.nodes import NOTHING_KW, LimitedNodes, given_first
from vtn.clock import HOUR_S

SLOT_S = 900.0
MOST_SLOTS = 144
LEVEL_SLOTS = 4
"""Who charges in the slot after goes on as long as nobody has an hour more left."""
NO_SLOT = 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class Deadlines:
    """One entry per car: kW while it charges, hours that takes, and until when it is to be done (epoch seconds).

    `whole`: it is switched, and takes all of its power or none.
    """

    kw: Floats
    hours: Floats
    done_s: Floats
    whole: Bools


def latest_starts_s(nodes: LimitedNodes, cars: Deadlines, now_s: float, room_kw: Floats) -> Floats:
    """Per car the latest start, `done_s` less `hours` at the latest; before now where its nodes cannot do it in time.

    `room_kw` (slots, nodes): what each node has left in each slot of SLOT_S from now on, the last for all that follow.
    """
    own_s = cars.done_s - cars.hours * HOUR_S
    counts = (cars.hours > 0) & (cars.kw > 0) & np.isfinite(cars.done_s)
    room_kw = np.where(nodes.is_zone[None, :], np.inf, room_kw)
    may_bind = nodes.loads(np.where(counts, cars.kw, 0.0)) > room_kw.min(axis=0) + NOTHING_KW
    above = _only(nodes.above, may_bind)
    if not (above != NO_NODE).any():
        return own_s
    first = (own_s - now_s) / SLOT_S
    last = np.clip((cars.done_s - now_s) / SLOT_S, 0.0, MOST_SLOTS)
    over = _exceeds(above, np.where(counts, cars.kw, 0.0), np.clip(first, 0.0, last), last, room_kw)
    chosen = np.flatnonzero(counts & _connected(above, over))
    if not len(chosen):
        return own_s
    part = dataclasses.replace(nodes, above=above[:, chosen])
    slots = cars.hours[chosen] * HOUR_S / SLOT_S
    mine = Deadlines(cars.kw[chosen], slots, np.floor(last[chosen]), cars.whole[chosen])
    filled = _from_the_end(part, mine, room_kw)
    found_s = own_s.copy()
    found_s[chosen] = np.minimum(own_s[chosen], now_s + filled * SLOT_S)
    return found_s


def _only(above: Ints, kept: Bools) -> Ints:
    """The levels with these nodes alone."""
    return np.where((above != NO_NODE) & kept[above], above, NO_NODE)


def _exceeds(above: Ints, kw: Floats, first: Floats, last: Floats, room_kw: Floats) -> Bools:
    """The nodes through which their cars do not fit when each charges as late as it can."""
    steps, count = int(np.ceil(last.max(initial=0.0))), room_kw.shape[1]
    begin, end = np.floor(first).astype(np.int64), np.ceil(last).astype(np.int64)
    over = np.zeros(count, dtype=np.bool_)
    within = room_kw[np.minimum(np.arange(steps), len(room_kw) - 1)].T
    for group in above:
        under = (group != NO_NODE) & (kw > 0)
        mine, width = group[under], steps + 1
        changes = np.bincount(mine * width + begin[under], weights=kw[under], minlength=count * width)
        changes -= np.bincount(mine * width + end[under], weights=kw[under], minlength=count * width)
        load_kw = np.cumsum(changes.reshape(count, width), axis=1)[:, :steps]
        over |= (load_kw > within + NOTHING_KW).any(axis=1)
    return over


def _connected(above: Ints, over: Bools) -> Bools:
    """The cars under nodes that are over, and under any other node that such a car shares."""
    marked = over.copy()
    for _ in range(len(above) + 1):
        cars = ((above != NO_NODE) & marked[above]).any(axis=0)
        for group in above:
            marked[group[cars & (group != NO_NODE)]] = True
    return np.asarray(cars, dtype=np.bool_)


def _from_the_end(nodes: LimitedNodes, cars: Deadlines, room_kw: Floats) -> Floats:
    """The first slot, and the part of it, that each car gets; negative where so many slots are missing.

    `cars` count hours and instants in slots from now on.
    """
    kw, slots, last = cars.kw, cars.hours, cars.done_s
    left, start = slots.copy(), last.copy()
    served = np.zeros(len(kw), dtype=np.bool_)
    above = nodes.above[(nodes.above != NO_NODE).any(axis=1)]
    for slot in range(int(last.max(initial=0.0)) - 1, -1, -1):
        there = np.flatnonzero((last > slot) & (left > 0.0))
        if not len(there):
            continue
        order = there[np.argsort(_key(left[there], served[there], slot), kind="stable")]
        need, most_kw = left[order], kw[order]
        within_kw = room_kw[min(slot, len(room_kw) - 1)]
        got = given_first(above[:, order], most_kw * np.minimum(1.0, need), within_kw) / most_kw
        got = np.where(cars.whole[order] & (got < np.minimum(1.0, need) - NO_SLOT), 0.0, got)
        served[order] = got > 0.0
        start[order] = np.where(got > 0.0, slot + 1.0 - got, start[order])
        left[order] = np.where(need - got < NO_SLOT, 0.0, need - got)
    return np.where(left > 0.0, np.minimum(start, 0.0) - left, start)


def _key(left: Floats, served: Bools, slot: int) -> np.ndarray:
    """Who cannot do without this slot first, then who has most left, in hours, then who charges in the slot after."""
    level = MOST_SLOTS // LEVEL_SLOTS - np.minimum(left // LEVEL_SLOTS, MOST_SLOTS // LEVEL_SLOTS).astype(np.uint16)
    urgent = left >= slot + 1.0 - NO_SLOT
    return np.where(urgent, 0, 2 * level + 1 + ~served).astype(np.uint16)
