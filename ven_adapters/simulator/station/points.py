"""Cars at charging points: the cloud's cars, held by charging profiles in place of directives.

A point obeys its profiles at every instant by itself, whether anybody is there or not. It guards no reserve and asks
for no papers: that is its central system's affair. Knows no websocket.
"""

import dataclasses
import math
from collections.abc import Callable
from datetime import datetime, timedelta

from ven_adapters.contract import DriverChoice, DriverChose, Rung, Setting, Snapshot
from ven_adapters.simulator.backend.snapshots import Views
from ven_adapters.simulator.cars.fleets import SimulatedFleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.faults.command_faults import Hold, Taken
from ven_adapters.simulator.staged import StagedCloud
from ven_adapters.simulator.station import profiles

GRAIN = timedelta(seconds=5)
CHANGE_W = 1.0


@dataclasses.dataclass(slots=True)
class SimulatedPoint:
    """One charging point: its transaction, its profiles, since when its line is dead, and what they made of the car."""

    transaction: str | None = None
    sequence: int = 0
    held: dict[int, profiles.Profile] = dataclasses.field(default_factory=dict)
    offline_since: datetime | None = None
    priority: bool = False
    asked_w: float = math.inf


@dataclasses.dataclass(frozen=True, slots=True)
class PointCommand:
    """One command that a point took: when, what, for which car."""

    at: datetime
    what: str
    car: int


class ChargingPoints(StagedCloud):
    """The points of all stations; `changed` is told of a car whose power or plug moved."""

    def __init__(self, fleet: SimulatedFleet, seed: int, ledger: GroundTruth) -> None:
        self.points = [SimulatedPoint() for _ in fleet.refs]
        self.taken: list[PointCommand] = []
        self.plug_moved: Callable[[int], None] = lambda _: None
        self.chose: Callable[[int, bool], None] = lambda *_: None
        self._lived_until: datetime | None = None
        super().__init__(fleet, seed, ledger, lambda _: None)
        self.views = Views(self)

    def live(self, now: datetime) -> None:
        """Bring the cars to `now`, every profile obeyed to within five seconds."""
        at = self._lived_until or now
        while at < now:
            at = min(now, at + GRAIN)
            self.advance(at)
            for car in range(len(self.points)):
                self._obey_profiles(car, at)
        self._lived_until = now
        self._tell_choices()

    def set_profile(self, car: int, profile: profiles.Profile, now: datetime) -> None:
        """Take a profile; one of the same number is replaced."""
        self.points[car].held[profile["id"]] = profile
        self.taken.append(PointCommand(now, "SetChargingProfile", car))
        self._obey_profiles(car, now)

    def clear(self, car: int, numbers: set[int], now: datetime) -> None:
        """Forget profiles."""
        held = self.points[car].held
        for number in numbers & held.keys():
            del held[number]
            self.taken.append(PointCommand(now, "ClearChargingProfile", car))
        self._obey_profiles(car, now)

    def told(self, car: int) -> Snapshot:
        """What the point's meter and its car tell, as of the instant until which the cars have lived."""
        return self.views.snapshot(car, fresh=True)

    def held(self, car: int) -> bool:
        """Whether a profile keeps the car from charging as its driver set it."""
        return self.points[car].asked_w < math.inf

    def plug_changed(self, car: int) -> None:
        """A transaction begins and ends with the cable, and its profiles end with it."""
        point = self.points[car]
        point.held.clear()
        point.asked_w, point.priority = math.inf, False
        super().plug_changed(car)
        self.plug_moved(car)

    def restore(self, ref: str) -> None:
        """Put a car right, and forget every profile of it."""
        car = self.car(ref)
        point, plugged = self.points[car], bool(self.world.plugged[car])
        super().restore(ref)
        point.held.clear()
        point.asked_w = math.inf
        if point.priority:
            point.priority = False
            self.chose(car, False)  # noqa: FBT003 - given up
        if not plugged:
            self.plug_moved(car)

    def _obey_profiles(self, car: int, now: datetime) -> None:
        point = self.points[car]
        offline_s = 0.0 if point.offline_since is None else (now - point.offline_since).total_seconds()
        point.held = profiles.standing(point.held, now, offline_s)
        asked_w = math.inf if point.priority else profiles.asked_w(point.held.values(), now)
        if asked_w != point.asked_w:
            point.asked_w = asked_w
            self._put(car, asked_w)

    def _put(self, car: int, asked_w: float) -> None:
        """Put a power on the car, as far as the car takes it."""
        world, target_wh = self.world, float(self.world.target_wh[car])
        asked = Hold(asked_w, target_wh, 0.0)
        before = Hold(float(world.limit_w[car]), float(world.ceiling_wh[car]), float(world.floor_wh[car]))
        setting = Setting(Rung.RESUME) if asked_w == math.inf else Setting(Rung.POWER, round(asked_w))
        least_w = float(world.packs.min_charge_w[car])
        told = Taken(setting, asked, before, target_wh, least_w, self.fault_state.sends(car, setting))
        held = self.fault_state.taken(car, told, world.time_of(car))
        stops = world.power_w[car] > 0.0 and asked_w <= 0.0
        self._stranded[car] |= self.fault_state.blocks(car, stops=bool(stops))
        world.hold(car, 0.0 if self._stranded[car] else held.limit_w, held.ceiling_wh, held.floor_wh)
        if asked_w < math.inf:
            self.drivers.held_back(car)

    def _tell_choices(self) -> None:
        """A driver who takes over presses the station's one button: his priority voids every profile."""
        for event in self.outbox:
            if isinstance(event, DriverChose) and event.choice in {DriverChoice.BOOST, DriverChoice.OPT_OUT}:
                car = self.car(event.vehicle_ref)
                self.points[car].priority = True
                self._obey_profiles(car, event.at)
                self.chose(car, True)  # noqa: FBT003 - pressed
        self.outbox.clear()
