"""The cheapest contiguous charging block of every car at once: one price curve per shape of block, ties spread by `u`.

A battery that fills takes less and less, so what a slot costs counts by the energy that the block takes in it: the
hours of little power are the ones to have when power is dear. Many starts cost the same on a flat night. A car takes
the one that its own number points at, counted from the moment at which that run of equal starts began, so that the
choice does not move while time passes and the starts of a fleet spread evenly: there is no second peak at the minute
when a price falls or an event ends. Pure arrays; knows no cars.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints

# Of how many shapes blocks of one length are: from even power to nearly all energy in the first half.
SHAPES = 8
MOST_FIRST_HALF = 0.97
LOST_DIGITS = 6


@dataclasses.dataclass(frozen=True, slots=True)
class BlockWishes:
    """Per car, in slots: `length` of the block, `latest` start, `since` when it could have started.

    `first_half`: the share of its energy that its first half takes (0.5: even power). `u`: its own number in [0, 1).
    """

    length: Ints
    first_half: Floats
    latest: Ints
    since: Ints
    u: Floats


@dataclasses.dataclass(frozen=True, slots=True)
class Blocks:
    """Per car: the slot at which to start (fractional, from now's slot on), and whether starting now costs no more."""

    start: Floats
    at_once: Bools


def choose(cost: Floats, now_slot: int, wishes: BlockWishes) -> Blocks:
    """The cheapest start of each car. `cost` is per slot, the past before `now_slot` included."""
    shape = np.rint((np.clip(wishes.first_half, 0.5, 1.0) - 0.5) * 2 * SHAPES).astype(np.int64)
    kinds, row = np.unique(wishes.length * (SHAPES + 1) + shape, return_inverse=True)
    table = _block_costs(cost, *np.divmod(kinds, SHAPES + 1))
    ahead = table[:, now_slot:]
    cheapest = np.minimum.accumulate(ahead, axis=1)
    tie = ahead == cheapest
    lower = np.concatenate([np.ones((len(kinds), 1), dtype=np.bool_), ahead[:, 1:] < cheapest[:, :-1]], axis=1)
    number = np.cumsum(tie, axis=1)
    first = np.maximum.accumulate(np.where(lower, number, 0), axis=1)
    places = np.argsort(~tie, axis=1, kind="stable")
    last = np.clip(wishes.latest - now_slot, 0, ahead.shape[1] - 1)
    first_tie = first[row, last] - 1
    ties = number[row, last] - first_tie
    behind = np.minimum(_run_behind(table, now_slot)[row], np.maximum(0, now_slot - wishes.since))
    behind = np.where(first_tie == 0, behind, 0)
    return _pick(places, row, first_tie, ties, behind, wishes.u)


def _pick(places: Ints, row: Ints, first_tie: Ints, ties: Ints, behind: Ints, u: Floats) -> Blocks:
    aim = u * (behind + ties - 1)
    whole = np.floor(aim).astype(np.int64)
    passed = whole < behind
    here = first_tie + np.clip(whole - behind, 0, ties - 1)
    start = places[row, here]
    following = places[row, np.minimum(here + 1, first_tie + ties - 1)]
    part = np.where(following == start + 1, aim - whole, 0.0)
    return Blocks(np.where(passed, 0.0, start + part), first_tie == 0)


def _block_costs(cost: Floats, lengths: Ints, shapes: Ints) -> Floats:
    """Cost of a block of each length and shape at each start; beyond the horizon every slot costs the most."""
    beyond = np.full(int(lengths.max(initial=1)) - 1, cost.max(initial=0.0))
    ahead = np.concatenate([cost, beyond])
    blocks = zip(lengths.tolist(), shapes.tolist(), strict=True)
    costs = [np.correlate(ahead, _energy(*block))[: len(cost)] for block in blocks]
    return np.round(np.reshape(costs, (len(costs), len(cost))), LOST_DIGITS)


def _energy(length: int, shape: int) -> Floats:
    """The energy that a block takes in each slot, in mean slots: it falls as that of a battery at constant voltage.

    Power that falls in proportion to itself by exp(-k) over the block leaves 1 / (1 + exp(-k / 2)) for its first half.
    """
    if shape == 0:
        return np.ones(length)
    first_half = min(0.5 + shape / SHAPES / 2, MOST_FIRST_HALF)
    falls = 2 * np.log(first_half / (1 - first_half))
    power = np.exp(-falls * (np.arange(length) + 0.5) / length)
    return np.asarray(power * length / power.sum())


def _run_behind(table: Floats, now_slot: int) -> Ints:
    """How many slots straight before now would have cost what now costs."""
    same = table[:, :now_slot][:, ::-1] == table[:, now_slot : now_slot + 1]
    return np.where(same.all(axis=1), now_slot, np.argmin(same, axis=1)) if now_slot else np.zeros(len(table), np.int64)
