"""Laws of limits over random small trees, held against what brute force and a solver find."""

import itertools

import highspy
import numpy as np
import pytest
from grid_cases import FEEDER, SITE, asked_below, below, node, one_transformer, sums
from grid_drive import drive
from hypothesis import given
from hypothesis import strategies as st
from law_cases import law
from planning_cases import AMPS, HOUR, IDLE, NOW_S, PERMITTED, SETTINGS, ask, hourly

from ven_adapters.solver import SilentSolver
from ven_adapters.ven.fleet.columns import Charge, Control
from ven_adapters.ven.fleet.grid.grid_tree import tree_of
from ven_adapters.ven.planning.charging_need import needs_of
from ven_adapters.ven.planning.limits.choice import feeding_kw
from ven_adapters.ven.planning.limits.nodes import nodes_above
from ven_adapters.ven.planning.limits.start_times import SLOT_S, Deadlines, latest_starts_s
from ven_adapters.ven.planning.plan import plan

pytestmark = pytest.mark.laws

SEEDS = st.integers(min_value=0, max_value=100_000)
SLOT_H = SLOT_S / HOUR


def small_tree(r):
    """A feeder, transformers, homes: limits of every size, some of them missing."""

    def kw(low, high):
        return float(r.uniform(low, high)) if r.random() < 0.8 else None

    transformers = [node(f"T{n}", "F", kw(8, 30), kw(2, 12)) for n in range(r.integers(1, 4))]
    homes = [
        node(f"S{n}", f"T{n % len(transformers)}", kw(5, 12), kw(1, 8), kind=SITE) for n in range(r.integers(0, 5))
    ]
    return tree_of([node("F", import_kw=kw(20, 60), export_kw=kw(5, 25), kind=FEEDER), *transformers, *homes])


def some_cars(r, tree, count, **more):
    state = {
        "u": r.random(count),
        "soc_pct": r.uniform(25, 75, count),
        "departure_s": NOW_S + HOUR * r.uniform(4, 14, count),
        "max_charge_kw": r.choice([3.6, 7.0, 11.0], count),
        "control": r.choice([Control.ON_OFF, Control.STEPS], count),
        "floor_kw": 1.4,
        "step_kw": 0.25,
    }
    return below(tree, [tree.names[place] for place in r.integers(0, len(tree), count)], **IDLE | state | more)


def limited(tree, view):
    return nodes_above(view.node, tree.above, tree.import_kw, tree.export_kw)


@law(60)
@given(SEEDS)
def test_what_is_given_out_level_by_level_is_what_one_car_after_the_other_would_take(seed):
    r = np.random.default_rng(seed)
    tree = small_tree(r)
    view = some_cars(r, tree, 12)
    nodes, order = limited(tree, view), r.permutation(12)
    if nodes is None:
        return
    got = nodes.given_in_order(view.max_charge_kw, order, nodes.import_kw)
    taken, slowly = np.zeros(len(tree)), np.zeros(12)
    for car in order.tolist():
        path = _path(tree, int(view.node[car]))
        slowly[car] = max(0.0, min([view.max_charge_kw[car], *(tree.import_kw[one] - taken[one] for one in path)]))
        taken[path] += slowly[car]
    assert got == pytest.approx(slowly)


def _path(tree, at):
    found = []
    while at >= 0:
        found.append(at)
        at = int(tree.parent[at])
    return found


@law(60)
@given(SEEDS)
def test_feeding_keeps_every_nodes_limit_and_gives_a_single_node_all_that_it_may(seed):
    r = np.random.default_rng(seed)
    tree = small_tree(r)
    view = some_cars(r, tree, 10)
    nodes, power_kw, held_kw = limited(tree, view), r.uniform(0, 9, 10), r.uniform(0, 9, 10)
    if nodes is None:
        return
    found = feeding_kw(nodes, power_kw, held_kw)
    assert (found <= power_kw + 1e-9).all()
    fed = sums(tree, view, -found)[1]
    assert (fed <= tree.export_kw + 1e-6).all()
    if np.isfinite(tree.export_kw).sum() == 1:
        (only,) = np.flatnonzero(np.isfinite(tree.export_kw))
        mine = np.array([only in _path(tree, leaf) for leaf in view.node.tolist()])
        most_kw = min(np.minimum(power_kw, held_kw)[mine].sum(), tree.export_kw[only])
        assert np.minimum(found, held_kw)[mine].sum() >= most_kw - 1e-6


@law(60)
@given(SEEDS)
def test_no_node_carries_more_than_its_limit_whatever_is_asked(seed):
    r = np.random.default_rng(seed)
    tree = small_tree(r)
    view = some_cars(r, tree, 14, **PERMITTED | {"control": Control.STEPS, "max_discharge_kw": 7.0})
    asks = [
        {},
        {"dispatch_kw": ask(-60.0)},
        {"dispatch_kw": ask(90.0)},
        {"price": hourly(*[4] * 8, *[1] * 6, *[3] * 8)},
    ]
    made = plan(view, asked_below(tree, **asks[seed % 4]), NOW_S)
    hours = np.nan_to_num(needs_of(view, NOW_S, SETTINGS).hours)
    at_stake = view.departure_s - hours * HOUR - 600.0 <= NOW_S
    drawn, _ = sums(tree, view, np.where(at_stake, 0.0, made.expected_kw))
    stakes, fed = sums(tree, view, np.where(at_stake, made.expected_kw, 0.0))[0], sums(tree, view, made.expected_kw)[1]
    assert (drawn <= np.maximum(0.0, tree.import_kw - stakes) + 1e-6).all()
    assert (fed <= tree.export_kw + 1e-6).all()
    names = {one.name for one in (made.limits.broken if made.limits else ())}
    assert names == {tree.names[place] for place in np.flatnonzero(drawn + stakes > tree.import_kw + 0.05)}


def _solvable(tree, view, need, last):
    """Whether fluid power in quarter hours brings every car its slots in time, below all limits: by a solver."""
    solver = SilentSolver()
    steps = int(max(last))
    taken = [
        [solver.addVariable(0, kw) for _ in range(int(end))] for kw, end in zip(view.max_charge_kw, last, strict=True)
    ]
    for own, slots, kw in zip(taken, need, view.max_charge_kw, strict=True):
        if slots > len(own):
            return False
        if own:
            solver.addConstr(sum(own) >= float(slots * kw) - 1e-6)
    for place in range(len(tree)):
        mine = [n for n, leaf in enumerate(view.node.tolist()) if place in _path(tree, leaf)]
        for step in range(steps) if np.isfinite(tree.import_kw[place]) else ():
            through = [taken[n][step] for n in mine if step < len(taken[n])]
            if through:
                solver.addConstr(sum(through) <= float(tree.import_kw[place]))
    solver.run()
    return solver.getModelStatus() == highspy.HighsModelStatus.kOptimal


@law(30)
@given(SEEDS)
def test_latest_starts_are_early_enough_and_never_later_than_the_cars_own(seed):
    """Whoever starts then fits below every node: a way to do it is what the fill from the end has found."""
    r = np.random.default_rng(seed)
    tree = small_tree(r)
    view = some_cars(r, tree, 6, control=Control.STEPS)
    nodes = limited(tree, view)
    if nodes is None:
        return
    last = r.integers(2, 16, 6).astype(float)
    need = np.minimum(r.integers(1, 12, 6), last).astype(float)
    cars = Deadlines(view.max_charge_kw, need * SLOT_H, NOW_S + last * SLOT_S, np.zeros(6, dtype=bool))
    found_s = latest_starts_s(nodes, cars, NOW_S, nodes.import_kw[None, :])
    assert (found_s <= cars.done_s - cars.hours * HOUR + 1e-6).all()
    first = np.floor((found_s - NOW_S) / SLOT_S + 1e-9)
    if (first >= 0).all():
        assert _fits_from(tree, view, need, first, last)
    elif len({*view.max_charge_kw.tolist()}) == 1:
        assert not _solvable(tree, view, need, last)


def _fits_from(tree, view, need, first, last):
    """Whether it can be done when nobody charges before its start: the same with slots before it taken away."""
    shifted = last.max()
    return (
        _solvable(tree, view, need, shifted - first)
        if (last == shifted).all()
        else _window(tree, view, need, first, last)
    )


def _window(tree, view, need, first, last):
    solver = SilentSolver()
    taken = {}
    for n, kw in enumerate(view.max_charge_kw.tolist()):
        for step in range(int(first[n]), int(last[n])):
            taken[n, step] = solver.addVariable(0, kw)
        own = [taken[n, step] for step in range(int(first[n]), int(last[n]))]
        solver.addConstr(sum(own) >= float(need[n] * kw) - 1e-6)
    for place, step in itertools.product(range(len(tree)), range(int(last.max()))):
        mine = [n for n, leaf in enumerate(view.node.tolist()) if place in _path(tree, leaf) and (n, step) in taken]
        if mine and np.isfinite(tree.import_kw[place]):
            solver.addConstr(sum(taken[n, step] for n in mine) <= float(tree.import_kw[place]))
    solver.run()
    return solver.getModelStatus() == highspy.HighsModelStatus.kOptimal


NIGHTS = {"at once": {}, "cheap hours": {"price": hourly(*[5] * 9, *[1] * 5, *[5] * 13)}}


@pytest.mark.parametrize("fields", NIGHTS.values(), ids=NIGHTS)
@pytest.mark.parametrize("cap_kw", [45.0, 26.0])
def test_cars_below_a_tight_transformer_start_so_early_that_all_are_on_time(fields, cap_kw):
    r = np.random.default_rng(1)
    tree = one_transformer(cap_kw)
    state = {"soc_pct": r.uniform(30, 60, 10), "departure_s": NOW_S + HOUR * r.uniform(9, 14, 10), "u": r.random(10)}
    view = below(tree, ["T1"] * 10, **AMPS | state | {"charge_state": Charge.STOPPED, "power_kw": 0.0})
    driven = drive(tree, view, asked_below(tree, **fields))
    assert driven.drawn_kw.max() <= cap_kw + 0.05
    assert not driven.late().any()


@law(6)
@given(SEEDS, st.booleans())
def test_a_night_below_a_tree_overloads_no_node_where_a_solver_finds_a_way_and_nobody_is_late(seed, priced):
    r = np.random.default_rng(seed)
    tree = small_tree(r)
    view = some_cars(r, tree, 8, **AMPS | {"max_charge_kw": r.choice([3.6, 7.0], 8)})
    needs = needs_of(view, NOW_S, SETTINGS)
    need = np.nan_to_num(needs.hours) / SLOT_H
    last = np.floor((view.departure_s - NOW_S - SETTINGS.margin_s) / SLOT_S) - 1
    fields = {"price": hourly(*[5] * 9, *[1] * 5, *[5] * 13)} if priced else {}
    driven = drive(tree, view, asked_below(tree, **fields))
    assert not driven.late()[needs.slack_s >= 0].any()
    if (need <= last).all() and _solvable(tree, view, need * 1.1, last):
        assert (driven.drawn_kw.max(axis=0) <= tree.import_kw + 0.05).all()
