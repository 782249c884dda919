"""Random fleets, what may be asked of them, and fleets driven forward to their departures."""

import dataclasses

import numpy as np
from hypothesis import strategies as st
from planning_cases import HOUR, NOW_S, READ_AT, SETTINGS, ask, asked, carried, cars, hourly

from ven_adapters.ven.fleet.columns import Charge, Control, FleetView, Tri
from ven_adapters.ven.planning.guardrails import GUARDS
from ven_adapters.ven.planning.plan import DesireKind, changed, plan

SEEDS = st.integers(min_value=0, max_value=10_000)


def fleet(seed, count=40, *, spoiled=True):
    """Cars of every kind; `spoiled` adds those that nobody may or can control."""
    r = np.random.default_rng(seed)
    charging = r.random(count) < 0.5
    v2g = r.random(count) < 0.4
    state = {
        "u": r.random(count),
        "soc_pct": r.uniform(32, 85, count),
        "departure_s": NOW_S + HOUR * r.uniform(8, 16, count),
        "usable_kwh": r.choice([40.0, 60.0, 80.0], count),
        "max_charge_kw": r.choice([3.3, 7.0, 11.0], count),
        "control": r.choice([Control.ON_OFF, Control.STEPS, Control.TARGET_LEVEL], count),
        "floor_kw": 1.4,
        "step_kw": 0.25,
        "level_floor_pct": 50.0,
        "can_resume": r.random(count) < 0.9,
        "discharge_consent": v2g & (r.random(count) < 0.8),
        "interconnected": v2g & (r.random(count) < 0.8),
        "inverter_listed": v2g,
        "permission_until_s": NOW_S + 1e7,
        "export_limit_kw": r.choice([5.0, 7.0], count),
        "event_budget_kwh": r.choice([0.0, 12.0, 100.0], count),
        "year_budget_kwh": 600.0,
        "cycle_budget": 100.0,
        "max_discharge_kw": np.where(v2g, 7.0, 0.0),
    }
    if spoiled:
        state |= {
            "plugged": r.choice([Tri.YES, Tri.YES, Tri.YES, Tri.UNKNOWN, Tri.NO], count),
            "at_home": r.choice([Tri.YES, Tri.YES, Tri.YES, Tri.UNKNOWN, Tri.NO], count),
            "opted_out": r.random(count) < 0.1,
            "charging_consent": r.random(count) < 0.9,
            "last_toggle_s": np.where(r.random(count) < 0.2, NOW_S - 60, -np.inf),
            "told_on": r.random(count) < 0.5,
        }
    view = cars(count, **state)
    charging &= view.soc_pct < view.target_pct
    power_kw = np.where(charging, view.max_charge_kw, 0.0)
    states = np.where(charging, int(Charge.CHARGING), int(Charge.STOPPED))
    return dataclasses.replace(view, charge_state=states, power_kw=power_kw)


ASKS = st.one_of(
    st.floats(-150, 250).map(lambda kw: asked(dispatch_kw=ask(kw, end_h=3))),
    st.sampled_from([1, 2, 3]).map(lambda level: asked(simple=ask(level))),
    st.floats(0, 200).map(lambda kw: asked(import_cap_kw=ask(kw))),
    st.just(asked(price=hourly(*[4] * 8, *[1] * 6, *[3] * 8))),
    st.just(asked(pre_charge=ask(1))),
    st.just(asked()),
)


@dataclasses.dataclass
class Drive:
    """A fleet obeying plans in steps of five minutes until everyone has left."""

    view: FleetView
    guards: tuple = GUARDS
    step_s: float = 300.0
    dead_after_h: float = np.inf
    lowest_pct: np.ndarray = None
    at_departure_pct: np.ndarray = None
    last: object = None

    def __post_init__(self) -> None:
        self.lowest_pct = self.view.soc_pct.copy()
        self.at_departure_pct = np.full(len(self.view), np.nan)

    def run(self, asks_at, hours=17.0):
        held = None
        for now_s in NOW_S + np.arange(0, hours * HOUR, self.step_s):
            here = self.view.departure_s > now_s
            self.view = dataclasses.replace(self.view, plugged=np.where(here, 1, 0), **self._fresh(now_s))
            if (now_s - NOW_S) / HOUR < self.dead_after_h:
                made = plan(self.view, dataclasses.replace(asks_at(now_s), now_s=now_s), now_s, guards=self.guards)
                self.last, told = made, changed(held, made, now_s, SETTINGS)
                held = carried(held, made, told)
                self._note(now_s, told, held)
            self._step(now_s, held)
        return self

    def _fresh(self, now_s):
        return dict.fromkeys(READ_AT, np.full(len(self.view), now_s))

    def _note(self, now_s, told, held):
        starts = np.isin(held.kind, (DesireKind.CHARGE, DesireKind.CAP)) & told
        stops = np.isin(held.kind, (DesireKind.CURTAIL, DesireKind.SETPOINT)) & told
        self.view = dataclasses.replace(
            self.view,
            last_toggle_s=np.where(starts | stops, now_s, self.view.last_toggle_s),
            told_on=np.where(starts | stops, starts, self.view.told_on),
        )

    def _step(self, now_s, held):
        view, v = self.view, SETTINGS
        binding = held.end_s > now_s
        stopped = binding & np.isin(held.kind, (DesireKind.CURTAIL, DesireKind.SETPOINT))
        wants = view.soc_pct < np.maximum(view.target_pct, np.where(binding, held.target_pct, 0))
        over = np.clip((view.soc_pct - v.taper_from_pct) / (100 - v.taper_from_pct), 0, 1)
        taper = 1 - (1 - v.taper_end_share) * over
        kw = np.where(wants & ~stopped, view.max_charge_kw * taper, 0.0)
        kw = np.where(binding & (held.kind == DesireKind.CAP), np.minimum(kw, held.power_w / 1000), kw)
        kw = np.where(binding & (held.kind == DesireKind.SETPOINT), held.power_w / 1000, kw)
        here = view.departure_s > now_s
        kw = np.where(here, kw, 0.0)
        lasts_s = np.where(kw < 0, held.end_s, view.departure_s) - now_s
        share_h = np.clip(np.minimum(lasts_s, view.departure_s - now_s), 0.0, self.step_s) / HOUR
        stored = np.where(kw > 0, kw * v.charge_efficiency, kw / v.discharge_efficiency)
        soc = np.minimum(view.soc_pct + stored * share_h / view.usable_kwh * 100, 100)
        self.lowest_pct = np.minimum(self.lowest_pct, np.where(here, soc, np.inf))
        leaves = here & (view.departure_s <= now_s + self.step_s)
        self.at_departure_pct = np.where(leaves, soc, self.at_departure_pct)
        state = np.select([kw > 0, kw < 0], [int(Charge.CHARGING), int(Charge.DISCHARGING)], int(Charge.STOPPED))
        given = view.event_exported_kwh + np.maximum(0, -kw) * share_h
        self.view = dataclasses.replace(view, soc_pct=soc, power_kw=kw, charge_state=state, event_exported_kwh=given)


def evening(kw, first_h=1.0, last_h=4.0):
    """A set-point from `first_h` to `last_h`, then the recovery."""

    def at(now_s):
        hour = (now_s - NOW_S) / HOUR
        if first_h <= hour < last_h:
            return asked(dispatch_kw=ask(kw, start_h=first_h, end_h=last_h))
        return asked(recovery_from_s=NOW_S + last_h * HOUR) if last_h <= hour < last_h + 6 else asked()

    return at


WINDOWS = st.tuples(st.floats(0, 6), st.floats(0.5, 6), st.sampled_from([-200.0, -40.0, -10.0, 0.0, 20.0, 60.0]))
