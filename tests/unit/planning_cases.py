"""Fleets and asks for the planning tests: ordinary cars at home, plugged in, halfway full, unless told otherwise."""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Charge, Control, FleetView, blank
from ven_adapters.ven.openadr.zone_requests import GridRequest, RequestSeries, RulingDimension, ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings, needs_of
from ven_adapters.ven.planning.guardrails import GUARDS, narrow
from ven_adapters.ven.planning.zone_plan import HELD, _match
from ven_adapters.ven.planning.zone_state import ZoneState

NOW_S = 1_784_000_700.0 - 1_784_000_700.0 % 900
HOUR = 3600.0
SETTINGS = PlanSettings()
PERMITTED = {
    "max_discharge_kw": 7.0,
    "discharge_consent": True,
    "interconnected": True,
    "inverter_listed": True,
    "permission_until_s": NOW_S + 1e7,
    "export_limit_kw": 7.0,
    "event_budget_kwh": 12.0,
    "year_budget_kwh": 600.0,
    "cycle_budget": 100.0,
}
READ_AT = ("soc_at_s", "plugged_at_s", "at_home_at_s", "power_at_s", "charge_state_at_s", "exported_at_s")
ORDINARY = {
    "enrolled": True,
    "charging_consent": True,
    "can_start": True,
    "can_stop": True,
    "can_resume": True,
    "target_pct": 80.0,
    "reserve_pct": 30.0,
    "departure_s": NOW_S + 12 * HOUR,
    "usable_kwh": 60.0,
    "max_charge_kw": 7.0,
    "soc_pct": 50.0,
    "plugged": 1,
    "at_home": 1,
    "power_kw": 7.0,
    "charge_state": Charge.CHARGING,
    "plugged_since_s": NOW_S - 2 * HOUR,
    **dict.fromkeys(READ_AT, NOW_S - 60),
}
IDLE = {"charge_state": Charge.STOPPED, "power_kw": 0.0}
AMPS = {"control": Control.STEPS, "floor_kw": 1.4, "step_kw": 0.25}


def cars(count, **changed):
    """`count` ordinary cars; a list or array gives each car its own value."""
    columns = blank(count)
    columns["row"][:] = np.arange(count)
    columns["u"][:] = (np.arange(count) * 0.6180339887 + 0.1) % 1
    for name, value in (ORDINARY | changed).items():
        columns[name][:] = value
    return FleetView(**columns)


def joined(*views):
    """Several fleets as one."""
    names = [field.name for field in dataclasses.fields(FleetView)]
    columns = {name: np.concatenate([getattr(view, name) for view in views]) for name in names}
    count = len(columns["row"])
    return FleetView(**columns | {"row": np.arange(count), "u": (np.arange(count) * 0.6180339887 + 0.1) % 1})


def ask(value, *, start_h=-1.0, end_h=2.0, event="e1", **fields):
    return GridRequest(value, NOW_S + start_h * HOUR, NOW_S + end_h * HOUR, "p1", event, 0, **fields)


def asked(**fields):
    """What a zone is asked; the ruling follows from what is given unless named."""
    ruling = RulingDimension.NOTHING
    for names, code in (
        (("simple",), RulingDimension.SIMPLE),
        (("dispatch_kw", "relative_kw", "relative_share"), RulingDimension.DISPATCH),
        (("alert", "pre_charge"), RulingDimension.ALERT),
    ):
        if any(name in fields for name in names):
            ruling = code
    return ZoneRequests("z", NOW_S, **{"ruling": ruling} | fields)


def hourly(*values, start_h=-6):
    """Prices per hour from `start_h` on."""
    edges_s = NOW_S + (start_h + np.arange(len(values) + 1.0)) * HOUR
    requests = tuple(
        GridRequest(v, a, b, "p1", "price", i)
        for i, (v, a, b) in enumerate(zip(values, edges_s[:-1], edges_s[1:], strict=True))
    )
    return RequestSeries(edges_s, np.array(values, dtype=np.float64), requests)


def situation(view, *, end_h=2.0, now_s=NOW_S, settings=SETTINGS):
    return ZoneState(view, needs_of(view, now_s, settings), now_s, now_s + end_h * HOUR, settings)


def limits(view, without=None, **fields):
    """The limits that all guards leave, or all but one."""
    return narrow(situation(view, **fields), [guard for guard in GUARDS if guard is not without])


def carried(previous, new, told):
    """What cars hold after the `told` ones were told `new`: the others keep window and power of `previous`."""
    if previous is None or not len(previous):
        return new
    held, place = _match(previous, new)
    keep = held & ~told
    kept = {name: np.where(keep, getattr(previous, name)[place], getattr(new, name)) for name in HELD}
    return dataclasses.replace(new, **kept)
