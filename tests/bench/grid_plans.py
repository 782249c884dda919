"""Limits of 20,000 transformers over one adapter's cars, for the bench: one cycle's time, a night driven forward.

Fleets are drawn from a seed. Transformers are tight: cars of one could not all charge at once, and for some the time
until everybody leaves barely suffices. What a night draws is added up here, apart from the planner.
"""

import dataclasses
import time
from typing import Any

import highspy
import numpy as np

from ven_adapters.solver import SilentSolver
from ven_adapters.ven.fleet.columns import Charge, Control, FleetView, Tri, blank
from ven_adapters.ven.fleet.grid.grid_tree import GridNode, GridTree, NodeKind, tree_of
from ven_adapters.ven.openadr.grid_limits import limits_of
from ven_adapters.ven.openadr.zone_requests import GridRequest, RequestSeries, ZoneRequests
from ven_adapters.ven.planning.charging_need import LEAST_NEED_KWH, PlanSettings, needs_of
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.plan import plan
from ven_adapters.ven.planning.zone_plan import ZonePlan
from vtn.clock import HOUR_S

FEEDERS, ZONES = 200, 20
LIMITS_KW, SHARES = (75.0, 50.0, 37.5, 25.0), (0.4, 0.3, 0.2, 0.1)
FEEDER_KW = 4_000.0
START_S = 1_784_000_700.0 - 1_784_000_700.0 % 900
CYCLE_S, NIGHT_H = 300.0, 16.0
OVER_KW = 0.05
SETTINGS = PlanSettings()
READ_AT = ("soc_at_s", "plugged_at_s", "at_home_at_s", "power_at_s", "charge_state_at_s", "exported_at_s")
STEP_H = 0.25


def grid_of(transformers: int) -> GridTree:
    """Transformers below feeders."""
    limits = np.random.default_rng(3).choice(LIMITS_KW, transformers, p=SHARES)
    feeders = [GridNode(f"F-{n}", NodeKind.FEEDER, None, FEEDER_KW) for n in range(FEEDERS)]
    below = [
        GridNode(f"T-{n}", NodeKind.TRANSFORMER, f"F-{n % FEEDERS}", float(kw)) for n, kw in enumerate(limits.tolist())
    ]
    return tree_of([*feeders, *below])


def homes(count: int, transformers: int) -> FleetView:
    """Cars that came home in the evening, a dozen below each transformer."""
    r, columns = np.random.default_rng(4), blank(count)
    told = dict.fromkeys(READ_AT, START_S)
    control = r.choice([Control.STEPS, Control.ON_OFF], count, p=[0.7, 0.3])
    power_kw = r.choice([3.6, 7.2, 7.7, 9.6, 11.5], count)
    state: dict[str, Any] = {
        "row": np.arange(count),
        "u": np.sort(r.random(count)),
        "node": FEEDERS + r.integers(0, transformers, count),
        "usable_kwh": r.choice([39.0, 59.0, 75.0], count),
        "soc_pct": r.uniform(35.0, 75.0, count),
        "target_pct": 80.0,
        "reserve_pct": 20.0,
        "max_charge_kw": power_kw,
        "control": control,
        "floor_kw": np.where(control == Control.STEPS, 1.38, 0.0),
        "step_kw": np.where(control == Control.STEPS, 0.23, 0.0),
        "departure_s": START_S + HOUR_S * np.clip(r.normal(12.0, 1.2, count), 8.0, 15.0),
        "plugged": Tri.YES,
        "at_home": Tri.YES,
        "charge_state": Charge.STOPPED,
        "plugged_since_s": START_S - HOUR_S,
    }
    yes = ("enrolled", "charging_consent", "can_start", "can_stop", "can_resume")
    for name, value in (state | told | dict.fromkeys(yes, True)).items():
        columns[name][:] = value
    return FleetView(**columns)


def tariff() -> RequestSeries:
    """Cheap from midnight on: every car waits for the same hour."""
    edges_s = START_S + HOUR_S * np.array([-6.0, 4.0, 10.0, 36.0])
    asks = tuple(
        GridRequest(v, a, b, "p", "price", n)
        for n, (v, a, b) in enumerate(zip((4, 1, 4), edges_s, edges_s[1:], strict=False))
    )
    return RequestSeries(edges_s, np.array([4.0, 1.0, 4.0]), asks)


def requests_of(tree: GridTree, now_s: float, *, limited: bool = True) -> ZoneRequests:
    """The tariff, and the limits of the grid."""
    return ZoneRequests("z", now_s, price=tariff(), grid=limits_of(tree, {}) if limited else None)


def cycle(job: dict[str, Any]) -> dict[str, float]:
    """Every zone planned once: with a new night, and with the one that it has; without limits for comparison."""
    tree, fleet = grid_of(job["transformers"]), homes(job["grid_cars"], job["transformers"])
    zone = (fleet.node % FEEDERS) % ZONES
    views = [fleet.take(zone == one) for one in range(ZONES)]
    found, nights = {}, [EarlierCycles()] * ZONES
    for name, limited in (("grid_free_s", False), ("grid_first_s", True), ("grid_cycle_s", True)):
        if name == "grid_first_s":
            nights = [EarlierCycles()] * ZONES
        began = time.process_time()
        made = [
            plan(view, requests_of(tree, START_S, limited=limited), START_S, SETTINGS, earlier=earlier)
            for view, earlier in zip(views, nights, strict=True)
        ]
        found[name] = time.process_time() - began
        nights = [EarlierCycles(one.night) for one in made]
    return found


def night(transformers: int, count: int) -> dict[str, float]:
    """One zone's night, cycle by cycle, obeyed: minutes above limits, departures missed, kW drawn at the most."""
    tree, view = grid_of(transformers), homes(count, transformers)
    earlier = EarlierCycles()
    over_minutes, broken_minutes, late = np.zeros(len(tree)), 0.0, 0
    came = view
    feasible = needs_of(view, START_S, SETTINGS).slack_s >= 0
    for now_s in np.arange(START_S, START_S + NIGHT_H * HOUR_S, CYCLE_S):
        here = view.departure_s > now_s
        view = dataclasses.replace(view, plugged=np.where(here, int(Tri.YES), int(Tri.NO)))
        made = plan(view, requests_of(tree, now_s), now_s, SETTINGS, earlier=earlier)
        earlier = EarlierCycles(made.night)
        kw = _drawn_kw(view, made, here)
        loads_kw = np.bincount(view.node[here], weights=kw[here], minlength=len(tree))
        over = loads_kw > tree.import_kw + OVER_KW
        over_minutes += over * CYCLE_S / 60
        broken_minutes += (made.limits.broken_nodes if made.limits is not None else 0) * CYCLE_S / 60
        view = _obeyed(view, kw, now_s + CYCLE_S)
        leaves = here & (view.departure_s <= now_s + CYCLE_S)
        late += int((leaves & feasible & (view.soc_pct < view.target_pct - 0.5)).sum())
    needless = [node for node in np.flatnonzero(over_minutes).tolist() if _is_feasible(came, tree, node)]
    return {
        "over_minutes": float(over_minutes.sum()),
        "broken_minutes": broken_minutes,
        "needless_minutes": float(over_minutes[needless].sum()),
        "node_minutes": len(tree) * NIGHT_H * 60,
        "late": float(late),
    }


def _is_feasible(view: FleetView, tree: GridTree, node: int) -> bool:
    """Whether every car of a node can be done in time below its limit, power being as fine as can be: by a solver."""
    mine = view.take(view.node == node)
    kwh = needs_of(mine, START_S, SETTINGS).hours * mine.max_charge_kw
    steps = np.floor((mine.departure_s - START_S) / HOUR_S / STEP_H).astype(int)
    solver = SilentSolver()
    drawn = [
        [solver.addVariable(0, kw * STEP_H) for _ in range(n)] for kw, n in zip(mine.max_charge_kw, steps, strict=True)
    ]
    for need, own in zip(kwh.tolist(), drawn, strict=True):
        solver.addConstr(sum(own) >= need)
    for step in range(steps.max()):
        solver.addConstr(sum(own[step] for own in drawn if step < len(own)) <= float(tree.import_kw[node]) * STEP_H)
    solver.run()
    return solver.getModelStatus() == highspy.HighsModelStatus.kOptimal


def _drawn_kw(view: FleetView, made: ZonePlan, here: np.ndarray) -> np.ndarray:
    """What cars draw that do as they are told; one that is full within the cycle draws less on average."""
    left_kwh = np.maximum(0.0, view.target_pct - view.soc_pct) / 100 * view.usable_kwh / SETTINGS.charge_efficiency
    wants = left_kwh > LEAST_NEED_KWH
    kw = np.where(made.kind == DesireKind.CURTAIL, 0.0, view.max_charge_kw)
    kw = np.where(made.kind == DesireKind.CAP, np.minimum(made.power_w / 1000, view.max_charge_kw), kw)
    return np.where(here & wants, np.minimum(kw, left_kwh / (CYCLE_S / HOUR_S)), 0.0)


def _obeyed(view: FleetView, kw: np.ndarray, now_s: float) -> FleetView:
    fresh = dict.fromkeys(READ_AT, np.full(len(view), now_s))
    pct = kw * SETTINGS.charge_efficiency * (CYCLE_S / HOUR_S) / view.usable_kwh * 100
    state = np.where(kw > 0, int(Charge.CHARGING), int(Charge.STOPPED))
    toggled = (kw > 0) != (view.charge_state == Charge.CHARGING)
    last_s = np.where(toggled, now_s - CYCLE_S, view.last_toggle_s)
    return dataclasses.replace(
        view,
        soc_pct=np.minimum(view.soc_pct + pct, 100.0),
        power_kw=kw,
        charge_state=state,
        last_toggle_s=last_s,
        told_on=kw > 0,
        **fresh,
    )
