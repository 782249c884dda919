"""The cheapest contiguous charging block of every car at once: prefix sums per block length, ties spread by `u`.

Many starts cost the same on a flat night. A car takes the one that its own number points at, counted from the moment
at which that run of equal starts began, so that the choice does not move while time passes and the starts of a fleet
spread evenly: there is no second peak at the minute when a price falls or an event ends. Pure arrays; knows no cars.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints


@dataclasses.dataclass(frozen=True, slots=True)
class Blocks:
    """Per car: the slot at which to start (fractional, from now's slot on), and whether starting now costs no more."""

    start: Floats
    at_once: Bools


def choose(cost: Floats, now_slot: int, length: Ints, latest: Ints, since: Ints, u: Floats) -> Blocks:
    """The cheapest start of each car, in slots.

    `cost`: per slot, the past before `now_slot` included. Per car: `length` of the block, `latest` start (at least
    `now_slot`), `since` when it could have started, and `u` in [0, 1).
    """
    lengths, row = np.unique(length, return_inverse=True)
    table = _block_costs(cost, lengths)
    ahead = table[:, now_slot:]
    cheapest = np.minimum.accumulate(ahead, axis=1)
    tie = ahead == cheapest
    lower = np.concatenate([np.ones((len(lengths), 1), dtype=np.bool_), ahead[:, 1:] < cheapest[:, :-1]], axis=1)
    number = np.cumsum(tie, axis=1)
    first = np.maximum.accumulate(np.where(lower, number, 0), axis=1)
    places = np.argsort(~tie, axis=1, kind="stable")
    last = np.clip(latest - now_slot, 0, ahead.shape[1] - 1)
    first_tie = first[row, last] - 1
    ties = number[row, last] - first_tie
    behind = np.minimum(_run_behind(table, now_slot)[row], np.maximum(0, now_slot - since))
    behind = np.where(first_tie == 0, behind, 0)
    return _pick(places, row, first_tie, ties, behind, u)


def _pick(places: Ints, row: Ints, first_tie: Ints, ties: Ints, behind: Ints, u: Floats) -> Blocks:
    aim = u * (behind + ties - 1)
    whole = np.floor(aim).astype(np.int64)
    passed = whole < behind
    here = first_tie + np.clip(whole - behind, 0, ties - 1)
    start = places[row, here]
    following = places[row, np.minimum(here + 1, first_tie + ties - 1)]
    part = np.where(following == start + 1, aim - whole, 0.0)
    return Blocks(np.where(passed, 0.0, start + part), first_tie == 0)


def _block_costs(cost: Floats, lengths: Ints) -> Floats:
    """Cost of a block of each length at each start; a block that would leave the horizon is cut off there."""
    total = np.concatenate([[0.0], np.cumsum(cost)])
    starts = np.arange(len(cost))
    ends = np.minimum(starts + lengths[:, None], len(cost))
    beyond = starts + lengths[:, None] - ends
    table: Floats = np.round(total[ends] - total[starts] + beyond * cost.max(initial=0.0), 9)
    return table


def _run_behind(table: Floats, now_slot: int) -> Ints:
    """How many slots straight before now would have cost what now costs."""
    same = table[:, :now_slot][:, ::-1] == table[:, now_slot : now_slot + 1]
    return np.where(same.all(axis=1), now_slot, np.argmin(same, axis=1)) if now_slot else np.zeros(len(table), np.int64)
