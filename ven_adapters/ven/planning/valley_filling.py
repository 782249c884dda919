"""A day of charging in quarter hours for any number of cars: valley filling per zone, nobody late who need not be.

How high a zone's load must rise is found on classes: cars that leave in the same quarter hour and could wait equally
long are one, so that problem has the size of the clock and not of the fleet (the population collapses to its windows:
Mukhi and Abate, arXiv 2306.16824). Then every car is given its quarter hours: least laxity first up to the zone's
level, and whoever can wait no longer in any case. Pure arrays; slots count from the start of the plan.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints

SLOTS = 96
SLOT_H = 0.25
ROUNDS = 12
RANK_BITS = 8
RANKS = 1 << RANK_BITS
TURN = 99  # in 256ths, about the golden section: the order of equals is another in every slot
TINY = 1e-6
WORTH_KEEPING = 0.875

Bits = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True)
class Stays:
    """One entry per car: its zone's number, the slots in which it comes and leaves, how many slots it must charge.

    `kw` is the power that spreads its energy evenly over those slots; `u` its own number in [0, 1).
    """

    zone: Ints
    arrive: Ints
    depart: Ints
    need: Ints
    kw: Floats
    u: Floats

    def __len__(self) -> int:
        return len(self.zone)


@dataclasses.dataclass(frozen=True, slots=True)
class DayPlan:
    """What a day comes to, (zones, SLOTS), and each car's own quarter hours.

    `load_kw`: of the cars that were planned. `level_kw`: per zone, what the load is kept to, `base_kw` included.
    `quarters`: (SLOTS / 8, cars) bits, the earliest first: in which slots a car charges.
    """

    load_kw: Floats
    level_kw: Floats
    quarters: Bits

    def charging(self, slot: int) -> Bools:
        """Which cars charge in a slot."""
        return np.asarray(self.quarters[slot // 8] >> np.uint8(7 - slot % 8) & 1, dtype=np.bool_)


def stays_of(zone: Ints, start_h: Floats, end_h: Floats, energy_kwh: Floats, power_kw: Floats, u: Floats) -> Stays:
    """Cars by hours from the start of the plan; what does not fit between coming and leaving is left out."""
    arrive = np.clip(np.ceil(np.maximum(start_h, 0.0) / SLOT_H), 0, SLOTS).astype(np.int64)
    depart = np.clip(np.floor(np.nan_to_num(end_h, posinf=SLOTS) / SLOT_H), arrive, SLOTS).astype(np.int64)
    wanted = np.ceil(energy_kwh / np.maximum(power_kw, TINY) / SLOT_H - TINY)
    need = np.clip(np.nan_to_num(wanted), 0, depart - arrive).astype(np.int64)
    kw = np.minimum(power_kw, np.nan_to_num(energy_kwh) / np.maximum(need * SLOT_H, TINY))
    return Stays(zone, arrive, depart, need, np.where(need > 0, kw, 0.0), u)


def on_arrival_kw(stays: Stays, zones: int) -> Floats:
    """The load (zones, SLOTS) if every car charged when it comes."""
    steps = np.zeros((zones, SLOTS + 1))
    np.add.at(steps, (stays.zone, stays.arrive), stays.kw)
    np.add.at(steps, (stays.zone, stays.arrive + stays.need), -stays.kw)
    return np.asarray(np.cumsum(steps, axis=1)[:, :SLOTS])


def fill_valleys(stays: Stays, base_kw: Floats, ceiling_kw: Floats | None = None) -> DayPlan:
    """The plan with the lowest level that serves everybody in time, per zone.

    `base_kw` (zones, SLOTS): load that nobody controls. `ceiling_kw`: kept wherever nobody would be late for it.
    """
    classes = _classes(stays, len(base_kw))
    most_kw = np.full_like(base_kw, np.inf) if ceiling_kw is None else np.maximum(0.0, ceiling_kw - base_kw)
    low, high = base_kw.min(axis=1), (base_kw + on_arrival_kw(stays, len(base_kw))).max(axis=1)
    for _ in range(ROUNDS):
        level = (low + high) / 2
        room_kw = np.minimum(most_kw, np.maximum(0.0, level[:, None] - base_kw))
        late = (_load_kw(classes, room_kw) > room_kw * (1 + TINY) + TINY).any(axis=1)
        low, high = np.where(late, level, low), np.where(late, high, level)
    load_kw, quarters = keep_below(stays, np.minimum(most_kw, np.maximum(0.0, high[:, None] - base_kw)))
    return DayPlan(load_kw, high, quarters)


def keep_below(stays: Stays, room_kw: Floats) -> tuple[Floats, Bits]:
    """The day when cars charge as soon as they may, within a room (zones, SLOTS) that only must-run load exceeds.

    Load (zones, SLOTS), and each car's quarter hours as the bits of `DayPlan`.
    """
    zones, ranks = len(room_kw), (SLOTS + 1) * RANKS
    bits, load_kw = np.zeros((SLOTS // 8, len(stays)), dtype=np.uint8), np.zeros((zones, SLOTS))
    order = np.argsort(stays.arrive, kind="stable").astype(np.int32)
    first = np.searchsorted(stays.arrive[order], np.arange(SLOTS + 1))
    here = _Present(stays, order[:0])
    for slot in range(SLOTS):
        here.join(_Present(stays, order[first[slot] : first[slot + 1]]))
        rank = here.rank(slot)
        asked_kw = np.bincount(here.zone * ranks + rank, weights=here.kw, minlength=zones * ranks)
        asked_kw = asked_kw.reshape(zones, ranks)
        served_kw = np.cumsum(asked_kw, axis=1)
        # The last rank that is served is the one that brings the load nearest to the room; no laxity is always served.
        level = np.maximum((served_kw - asked_kw / 2 <= room_kw[:, slot, None]).sum(axis=1), RANKS)
        load_kw[:, slot] = served_kw[np.arange(zones), level - 1]
        runs = here.served(rank < level[here.zone])
        bits[slot // 8, here.car[runs]] |= np.uint8(128 >> slot % 8)
    return load_kw, bits


class _Present:
    """The cars that have come and still need something. `_lead`: the slot at which a car can wait no longer."""

    def __init__(self, stays: Stays, cars: npt.NDArray[np.int32]) -> None:
        need = stays.need[cars]
        self.car = cars
        self.zone = stays.zone[cars]
        self.kw = np.where(need > 0, stays.kw[cars], 0.0)
        self._left = need.astype(np.int16)
        self._lead = (stays.depart[cars] - need).astype(np.int16)
        self._turn = (stays.u[cars] * RANKS).astype(np.int16)

    def join(self, more: "_Present") -> None:
        """Take up those that came, and now and then let those go that need nothing any more."""
        stay = self._left > 0
        if not len(more.car) and stay.sum() >= WORTH_KEEPING * len(stay):
            self.kw[~stay], self._lead[~stay] = 0.0, SLOTS
            return
        for name, mine in vars(self).items():
            setattr(self, name, np.concatenate([mine[stay], getattr(more, name)]))

    def rank(self, slot: int) -> Ints:
        """Laxity first, then the car's own number, which moves on with every slot so that equals move on alike."""
        laxity = (self._lead - np.int16(slot)).astype(np.int64)
        turn = (self._turn + np.int16(TURN * slot % RANKS)) & np.int16(RANKS - 1)
        return (laxity << RANK_BITS) + turn

    def served(self, chosen: Bools) -> Bools:
        """Which of the chosen charge in this slot: each of them then needs a slot less, and can wait a slot longer."""
        runs = np.asarray(chosen & (self._left > 0))
        self._left -= runs
        self._lead += runs
        return runs


@dataclasses.dataclass(frozen=True, slots=True)
class _Classes:
    """KW by (zone, departure, laxity) cell, in the order of arrival; `first[t]` is where slot t's arrivals begin."""

    shape: tuple[int, int, int]
    cell: Ints
    kw: Floats
    first: Ints


def _classes(stays: Stays, zones: int) -> _Classes:
    shape = (zones, SLOTS + 1, SLOTS + 1)
    charges = stays.need > 0
    zone, arrive, depart, need = (column[charges] for column in (stays.zone, stays.arrive, stays.depart, stays.need))
    cell = (zone * shape[1] + depart) * shape[2] + depart - arrive - need
    key = arrive * (shape[0] * shape[1] * shape[2]) + cell
    keys, place = np.unique(key, return_inverse=True)
    kw = np.bincount(place, weights=stays.kw[charges], minlength=len(keys))
    size = shape[0] * shape[1] * shape[2]
    return _Classes(
        shape, keys % size, np.asarray(kw, dtype=np.float64), np.searchsorted(keys // size, np.arange(SLOTS + 1))
    )


def _load_kw(classes: _Classes, room_kw: Floats) -> Floats:
    """The load (zones, SLOTS) when the least laxity is served first within the room, and must-run in any case."""
    waiting, load_kw = np.zeros(classes.shape), np.zeros_like(room_kw)
    for slot in range(SLOTS):
        arrivals = slice(classes.first[slot], classes.first[slot + 1])
        np.add.at(waiting.reshape(-1), classes.cell[arrivals], classes.kw[arrivals])
        # A car that leaves in slot d with laxity l still needs d - slot - l slots: none, once that is nought.
        ahead = waiting[:, slot + 1 :]
        ahead *= np.arange(1, SLOTS + 1 - slot)[:, None] > np.arange(SLOTS + 1)
        asked_kw = ahead.sum(axis=1)
        before_kw = np.cumsum(asked_kw, axis=1) - asked_kw
        part = np.clip((room_kw[:, slot, None] - before_kw) / np.maximum(asked_kw, TINY), 0.0, 1.0)
        part[:, 0] = 1.0
        load_kw[:, slot] = (part * asked_kw).sum(axis=1)
        going = ahead * part[:, None, :]
        ahead -= going
        going[:, :, :-1] += ahead[:, :, 1:]
        ahead[:] = going
    return load_kw
