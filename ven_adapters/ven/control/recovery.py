"""After a start: ask what became of everything that an earlier life left under way, before anything else is sent.

Whom to give back follows from what is on our own disk. It waits for no VTN, and for no answer about another car.
"""

import asyncio
from datetime import datetime

import numpy as np

from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.directives.car_directives import CarDirectives
from ven_adapters.ven.directives.dispatcher import Dispatcher
from ven_adapters.ven.directives.reconcile import reconcile
from ven_adapters.ven.directives.registry import DirectiveRegistry
from ven_adapters.ven.fleet.car_faults import CarFaults
from vtn.clock import Clock


def to_give_back(fleet_state: FleetState, now: datetime) -> list[str]:
    """Cars that hold something although they are not ours any more, or against what their drivers decided.

    Or that an earlier life had begun to give back.
    """
    fleet, now_s = fleet_state.fleet, now.timestamp()
    holding = [(ref, car) for ref, car in fleet_state.registry if car.held is not None]
    left = [ref for ref, _ in holding if fleet.enrolled(ref) is None]
    ours = [(ref, car) for ref, car in holding if fleet.enrolled(ref) is not None]
    view = fleet.view(np.array([fleet.row(ref) for ref, _ in ours], dtype=np.int64))
    out = view.opted_out | (view.opted_out_until_s > now_s) | (view.boost_until_s > now_s) | ~view.charging_consent
    out |= ~view.discharge_consent & np.array([_gives(car) for _, car in ours], dtype=np.bool_)
    out |= np.array([_is_ending(car) for _, car in ours], dtype=np.bool_)
    return [*left, *(ref for (ref, _), leaves in zip(ours, out.tolist(), strict=True) if leaves)]


def _gives(car: CarDirectives) -> bool:
    """Whether the backend may hold an order to discharge the car."""
    return any(one is not None and (one.directive.power_w or 0) < 0 for one in (*car.older, car.held))


def _is_ending(car: CarDirectives) -> bool:
    return car.held is not None and car.held.ending_at is not None


async def catch_up(
    registry: DirectiveRegistry, dispatcher: Dispatcher, clock: Clock, pause_s: float, faults: CarFaults
) -> None:
    """Read every directive that was sent before we started, again and again until each was told of or is over."""
    while waiting := registry.unread():
        for ref in waiting:
            await dispatcher.room()
            with faults.only(ref):
                dispatcher.start(ref, reconcile(None, registry.car(ref), None, clock.now()))
        await asyncio.sleep(pause_s)


async def recover(fleet_state: FleetState, dispatcher: Dispatcher, clock: Clock, pause_s: float) -> None:
    """What an earlier life left: cars that are to be given back are, each once it is known what became of it."""
    for ref in to_give_back(fleet_state, clock.now()):
        await dispatcher.room()
        dispatcher.release(ref)
    await catch_up(fleet_state.registry, dispatcher, clock, pause_s, fleet_state.faults)
    await asyncio.Event().wait()
