"""After a start: ask what became of everything that an earlier life left under way, before anything else is sent."""

import asyncio

from ven_adapters.ven.car_faults import CarFaults
from ven_adapters.ven.dispatch import Dispatcher
from ven_adapters.ven.reconcile import reconcile
from ven_adapters.ven.roster import Roster
from vtn.clock import Clock


async def catch_up(roster: Roster, dispatcher: Dispatcher, clock: Clock, pause_s: float, faults: CarFaults) -> None:
    """Read every directive that was sent before we started, again and again until each was told of or is over."""
    while waiting := roster.unread():
        for ref in waiting:
            await dispatcher.room()
            with faults.only(ref):
                dispatcher.start(ref, reconcile(None, roster.car(ref), None, clock.now()))
        await asyncio.sleep(pause_s)
