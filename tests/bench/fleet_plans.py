"""Plans without a process around them, for the bench: a million cars' day and night, a discharge, a grid of limits.

Prints one JSON object. Fleets are drawn from a seed, by the statistics of the simulator's cars.
"""

import dataclasses
import json
import sys
import time
from typing import Any

import grid_plans
import numpy as np

from ven_adapters.ven.fleet.columns import Charge, FleetView, Tri, blank, doubt_of
from ven_adapters.ven.openadr.zone_requests import GridRequest, RequestSeries, RulingDimension, ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.night.expected_arrivals import ArrivalHabits, expected_arrivals
from ven_adapters.ven.planning.night.planned_start import EarlierCycles
from ven_adapters.ven.planning.plan import plan
from ven_adapters.ven.planning.valley_filling import SLOTS, fill_valleys, stays_of
from vtn.clock import HOUR_S

ZONES = 20
POWERS_KW, SHARES = (1.4, 3.6, 7.2, 7.7, 9.6, 11.5), (0.10, 0.05, 0.20, 0.25, 0.20, 0.20)
HOLD_H, CYCLE_S = 3.0, 300.0
AWAY_SHARE, DEAR_H = 0.3, 5
START_S = 1_784_000_700.0
SETTINGS = PlanSettings()
READ_AT = ("soc_at_s", "plugged_at_s", "at_home_at_s", "exported_at_s")


def day(job: dict[str, Any]) -> dict[str, float]:
    """Valley filling for a noon to noon, of cars that come home in the evening; and a sort of as many numbers."""
    r, count = np.random.default_rng(1), job["cars"]
    zone, u = r.integers(0, ZONES, count), r.random(count)
    come_h = np.clip(r.normal(6.25, 1.9, count), 0.0, 20.0)
    leave_h = np.clip(r.normal(19.5, 1.2, count), come_h + 1.0, 24.0)
    energy_kwh, power_kw = r.gamma(1.7, 9.25, count), r.choice(POWERS_KW, count, p=SHARES)
    wave = 1.0 + 0.6 * np.sin(np.arange(SLOTS) / SLOTS * 2 * np.pi)
    base_kw = np.tile(wave * count / ZONES * 0.5, (ZONES, 1))
    began = time.process_time()
    stays = stays_of(zone, come_h, leave_h, energy_kwh, power_kw, u)
    made = fill_valleys(stays, base_kw)
    plan_s = time.process_time() - began
    began = time.process_time()
    np.sort(u)
    sort_s = time.process_time() - began
    quarters = int(sum(int(made.charging(slot).sum()) for slot in range(SLOTS)))
    return {
        "day_s": plan_s,
        "day_sort_s": sort_s,
        "day_unserved": float(stays.need.sum() - quarters),
        "day_peak_over_level": float(((base_kw + made.load_kw).max(axis=1) / made.level_kw).max()),
    }


def night(job: dict[str, Any]) -> dict[str, float]:
    """Whole plans of as many cars in zones of equal size, each with a night of its own: prices and a limit on import.

    Three cars in ten are away and come by a chance in each of the hours to come; the night is planned with them.
    """
    r, count = np.random.default_rng(4), job["cars"] // ZONES
    view = batteries(count)
    away, soc_pct, kw = r.random(count) < AWAY_SHARE, r.uniform(25.0, 79.0, count), r.choice(POWERS_KW, count, p=SHARES)
    none = np.zeros(count)
    told = {"max_discharge_kw": none, "max_charge_kw": kw, "soc_pct": soc_pct}
    view = dataclasses.replace(view, plugged=np.where(away, int(Tri.NO), int(Tri.YES)), **told)
    edges_s = START_S + HOUR_S * np.arange(25.0)
    price = np.where((np.arange(24) >= DEAR_H) & (np.arange(24) < DEAR_H + 8), 0.1, 0.4)
    asks = [GridRequest(p, a, b, "p", "price", 0) for p, a, b in zip(price, edges_s[:-1], edges_s[1:], strict=True)]
    cap = GridRequest(2.0 * count, START_S, edges_s[-1], "p", "cap", 0)
    series = RequestSeries(edges_s, price, tuple(asks))
    requests = ZoneRequests("z", START_S, price=series, import_cap_kw=cap)
    absent = view.take(away)
    habits = ArrivalHabits(r.dirichlet(np.ones(18), len(absent)), edges_s[:19], np.full(len(absent), 50.0))
    earlier = EarlierCycles(expected=lambda at_s: expected_arrivals(absent, habits, at_s, SETTINGS))
    plan(view.take(np.arange(100)), requests, START_S, SETTINGS)
    plan_s = []
    for _ in range(ZONES):
        began = time.process_time()
        made = plan(view, requests, START_S, SETTINGS, earlier=earlier)
        plan_s.append(time.process_time() - began)
    load = made.night.load if made.night is not None else None
    steps, expected = (0, 0) if load is None else (len(load.load_kw), load.expected)
    return {"night_s": sum(plan_s), "night_steps": float(steps), "night_expected": float(expected)}


def batteries(count: int) -> FleetView:
    """Cars with every paper, home for the night."""
    r, columns = np.random.default_rng(2), blank(count)
    told = dict.fromkeys((*READ_AT, "charge_state_at_s", "power_at_s"), START_S)
    state: dict[str, Any] = {
        "row": np.arange(count),
        "u": np.sort(r.random(count)),
        "usable_kwh": r.choice([39.0, 59.0, 75.0, 131.0], count),
        "soc_pct": r.uniform(45.0, 90.0, count),
        "target_pct": 80.0,
        "reserve_pct": r.choice([20.0, 30.0, 40.0], count),
        "max_charge_kw": r.choice([7.2, 9.6, 11.5], count),
        "max_discharge_kw": r.choice([5.0, 7.0, 9.6], count),
        "min_discharge_kw": 0.5,
        "export_limit_kw": r.choice([5.0, 7.0, 10.0], count),
        "event_budget_kwh": r.choice([12.0, 20.0, 40.0], count),
        "year_budget_kwh": 600.0,
        "cycle_budget": 50.0,
        "permission_until_s": START_S + 1e7,
        "departure_s": START_S + HOUR_S * np.clip(r.normal(13.5, 1.2, count), 10.0, 17.0),
        "plugged": Tri.YES,
        "at_home": Tri.YES,
        "charge_state": Charge.STOPPED,
        "plugged_since_s": START_S - HOUR_S,
    }
    papers = ("enrolled", "charging_consent", "discharge_consent", "interconnected", "inverter_listed")
    abilities = ("can_start", "can_stop", "can_resume")
    for name, value in (state | told | dict.fromkeys((*papers, *abilities), True)).items():
        columns[name][:] = value
    return FleetView(**columns)


def bound_kw(view: FleetView) -> float:
    """The most that can be held: sum of min(p, e / H), e what reserve and budgets leave."""
    power_kw = np.minimum(view.max_discharge_kw, view.export_limit_kw)
    floor_pct = np.maximum(view.reserve_pct, SETTINGS.programme_floor_pct)
    above_kwh = np.maximum(0.0, view.soc_pct - floor_pct) / 100 * view.usable_kwh * SETTINGS.discharge_efficiency
    energy_kwh = np.minimum(above_kwh, np.minimum(view.event_budget_kwh, view.year_budget_kwh))
    return float(np.minimum(power_kw, energy_kwh / HOLD_H).sum())


def obeyed(view: FleetView, kw: np.ndarray, now_s: float) -> FleetView:
    """The cars a cycle later, every reading fresh."""
    hours = CYCLE_S / HOUR_S
    given_kwh = np.maximum(0.0, -kw) * hours
    stored_kwh = np.where(kw > 0, kw * SETTINGS.charge_efficiency, kw / SETTINGS.discharge_efficiency) * hours
    state = np.select([kw > 0, kw < 0], [int(Charge.CHARGING), int(Charge.DISCHARGING)], int(Charge.STOPPED))
    fresh = dict.fromkeys(READ_AT, np.full(len(view), now_s))
    return dataclasses.replace(
        view,
        soc_pct=view.soc_pct + stored_kwh / view.usable_kwh * 100,
        event_exported_kwh=view.event_exported_kwh + given_kwh,
        year_exported_kwh=view.year_exported_kwh + given_kwh,
        power_kw=kw,
        charge_state=state,
        **fresh,
    )


def _told_pct(view: FleetView, step_pct: float) -> np.ndarray:
    return np.floor(view.soc_pct / step_pct) * step_pct if step_pct else view.soc_pct


def hold(count: int, *, step_pct: float) -> dict[str, float]:
    """Ask for the bound, and hold it cycle by cycle: the least and the mean share of it that was delivered.

    `step_pct`: how finely cars tell their level, rounded down; 0 for exactly. `sure_kw`: the bound by the levels that
    were told, beyond which nobody can promise.
    """
    view = batteries(count)
    most_kw, floor_pct = bound_kw(view), np.maximum(view.reserve_pct, SETTINGS.programme_floor_pct)
    sure_kw = bound_kw(dataclasses.replace(view, soc_pct=_told_pct(view, step_pct)))
    dispatch = GridRequest(-most_kw, START_S, START_S + HOLD_H * HOUR_S, "p", "bench", 0)
    shares, plan_s, sure_pct, spent_pct = [], 0.0, _told_pct(view, step_pct), np.zeros(count)
    for now_s in np.arange(START_S, dispatch.end_s, CYCLE_S):
        began = time.process_time()
        told_pct = _told_pct(view, step_pct)
        doubt_pct = doubt_of(told_pct, sure_pct, spent_pct) if step_pct else 0.0 * told_pct
        told = dataclasses.replace(view, soc_pct=told_pct, doubt_pct=doubt_pct)
        made = plan(
            told, ZoneRequests("z", now_s, dispatch_kw=dispatch, ruling=RulingDimension.DISPATCH), now_s, SETTINGS
        )
        plan_s += time.process_time() - began
        kw = np.where(made.kind == DesireKind.SETPOINT, made.power_w / 1000, 0.0)
        kw = np.where(made.kind == DesireKind.CHARGE, made.expected_kw, kw)
        shares.append(float(-kw.sum()) / most_kw)
        sure_pct = told_pct - doubt_pct
        spent_pct = np.maximum(0.0, -kw) * CYCLE_S / HOUR_S / SETTINGS.discharge_efficiency / view.usable_kwh * 100
        view = obeyed(view, kw, now_s + CYCLE_S)
    below = view.soc_pct < floor_pct - 0.01
    return {
        "bound_kw": most_kw,
        "sure_kw": sure_kw,
        "least": min(shares),
        "mean": float(np.mean(shares)),
        "below_reserve": float(below.sum()),
        "plan_s": plan_s / len(shares),
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    holds = {
        "hold": hold(given["batteries"], step_pct=0.0),
        "hold_whole_pct": hold(given["batteries"], step_pct=1.0),
    }
    grid = grid_plans.cycle(given) | {"grid_night": grid_plans.night(given["night_transformers"], given["night_cars"])}
    sys.stdout.write(json.dumps(day(given) | night(given) | holds | grid) + "\n")
