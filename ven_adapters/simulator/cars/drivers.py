"""What drivers do to their cars: come home, plug in, leave, pull the cable, press "charge now", opt out of an event.

Visits come with the fleet's schedule. The rest waits for the first directive that holds the car back, because drivers
react to what they see; when it will happen, if ever, was drawn with the fleet.
"""

import functools
import math
from collections.abc import Callable
from typing import Protocol

from ven_adapters.contract import DriverChoice, DriverChose
from ven_adapters.simulator.cars.fleets import LEAST_SOC_PCT, SimulatedFleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth, SimulatedOptOut
from ven_adapters.simulator.cars.world import World
from vtn.clock import HOUR_S

OPT_OUT_S = 4.0 * HOUR_S


class Watcher(Protocol):
    """Who must know at once when a driver acts: the backend."""

    def plug_changed(self, car: int) -> None:
        """The cable went in or out."""
        ...

    def driver_took_over(self, car: int) -> None:
        """Whatever holds the car must let go."""
        ...


class Drivers:
    """The drivers of one fleet."""

    def __init__(
        self, world: World, ledger: GroundTruth, watcher: Watcher, tell: Callable[[DriverChose], None]
    ) -> None:
        cars = len(world.fleet.refs)
        self._world, self._ledger, self._watcher, self._tell = world, ledger, watcher, tell
        self._visit = [-1] * cars
        self._provoked = [False] * cars
        self.busy_until_s = [-math.inf] * cars
        self._reachable_wh: dict[int, float] = {}
        self._schedule()

    def departs_s(self, car: int) -> float:
        """When the driver will leave next, in seconds of the world; inf when no visit is on."""
        night = self._visit[car]
        return math.inf if night < 0 else float(self._world.fleet.depart_s[night, car])

    def ready_by_s(self, car: int) -> float:
        """The departure that the driver declared for this visit; the true one is minutes later, or earlier by more."""
        night = self._visit[car]
        return math.inf if night < 0 else float(self._world.fleet.declared_s[night, car])

    def busy(self, car: int, now_s: float) -> bool:
        """True while the driver has opted out or boosts."""
        return now_s < self.busy_until_s[car]

    def held_back(self, car: int) -> None:
        """The driver sees for the first time that something holds the car back."""
        if self._provoked[car]:
            return
        self._provoked[car] = True
        fates, now_s = self._world.fleet.fates, self._world.time_of(car)
        for wait_s, deed in (
            (float(fates.unplug_after_s[car]), self._pull_cable),
            (float(fates.override_after_s[car]), self._charge_now),
            (float(fates.opt_out_after_s[car]), self._opt_out),
        ):
            self._at(now_s + wait_s, car, functools.partial(deed, car, now_s + wait_s))

    def calm(self, car: int) -> None:
        """The driver has decided nothing, and nothing held the car back yet."""
        self._provoked[car] = False
        self.busy_until_s[car] = -math.inf

    def _schedule(self) -> None:
        fleet = self._world.fleet
        for night in range(fleet.arrive_s.shape[0]):
            for car in range(len(fleet.refs)):
                if not fleet.away[night, car]:
                    arrive_s, depart_s = float(fleet.arrive_s[night, car]), float(fleet.depart_s[night, car])
                    self._at(arrive_s, car, functools.partial(self._arrive, night, car))
                    self._at(depart_s, car, functools.partial(self._leave, night, car))

    def _at(self, at_s: float, car: int, deed: Callable[[], None]) -> None:
        if at_s < math.inf:
            self._world.at(at_s, car, deed)

    def _arrive(self, night: int, car: int) -> None:
        world, fleet = self._world, self._world.fleet
        self._visit[car] = night
        world.home[car] = True
        world.came_home(car)
        if night > 0:
            self._drive(night, car, fleet)
        if fleet.plugs_in[night, car]:
            self._plug(car, plugged=True)

    def _drive(self, night: int, car: int, fleet: SimulatedFleet) -> None:
        world = self._world
        least_wh = LEAST_SOC_PCT / 100.0 * world.packs.usable_wh[car]
        level_wh = max(least_wh, world.soc_wh[car] - fleet.need_wh[night, car])
        world.soc_wh[car] = world.asked_soc_wh[car] = level_wh

    def _leave(self, night: int, car: int) -> None:
        world = self._world
        if world.fleet.plugs_in[night, car]:
            at_s = float(world.fleet.depart_s[night, car])
            reachable_wh = self._reachable_wh.pop(car, float(world.asked_soc_wh[car]))
            self._ledger.departed(night, car, at_s, float(world.soc_wh[car]), reachable_wh)
        self._visit[car] = -1
        world.home[car] = False
        self._plug(car, plugged=False)

    def _plug(self, car: int, *, plugged: bool) -> None:
        if bool(self._world.plugged[car]) != plugged:
            self._world.plugged[car] = plugged
            self._ledger.plugged(car, self._world.time_of(car), plugged=plugged)
            self._watcher.plug_changed(car)

    def _pull_cable(self, car: int, at_s: float) -> None:
        if not self._world.plugged[car]:
            return
        self._ledger.met("unplugged", car)
        self._plug(car, plugged=False)
        self._reachable_wh[car] = -math.inf
        back_s = at_s + float(self._world.fleet.fates.replug_after_s[car])
        if back_s < self.departs_s(car):
            self._at(back_s, car, functools.partial(self._plug_again, car))

    def _plug_again(self, car: int) -> None:
        world = self._world
        if world.home[car]:
            self._plug(car, plugged=True)
            left_s = self.departs_s(car) - world.time_of(car)
            self._reachable_wh[car] = world.reachable_wh(car, left_s)

    def _charge_now(self, car: int, at_s: float) -> None:
        if self.choose(car, DriverChoice.BOOST, at_s, self.departs_s(car)):
            self._ledger.met("override", car)

    def _opt_out(self, car: int, at_s: float) -> None:
        until_s = min(at_s + OPT_OUT_S, self.departs_s(car))
        if self.choose(car, DriverChoice.OPT_OUT, at_s, until_s):
            self._ledger.met("opt_out", car)
            self._ledger.opt_outs[car] = SimulatedOptOut(car, at_s, until_s)

    def choose(self, car: int, choice: DriverChoice, at_s: float, until_s: float) -> bool:
        """The driver takes the car over until `until_s`; False when there is nothing to take over."""
        world = self._world
        if not world.plugged[car] or self.busy(car, at_s):
            return False
        self.busy_until_s[car] = until_s
        self._tell(DriverChose(world.fleet.refs[car], choice, world.instant(at_s), world.instant(until_s)))
        self._watcher.driver_took_over(car)
        return True
