"""Which car has which fault, and what its faults remember: stops, sends, reads, sleep. One object per backend.

What a single fault does is a pure function elsewhere; this module knows when it applies and tells the ledger that it
showed. It never steps a car.
"""

import collections
import dataclasses

import numpy as np

from ven_adapters.contract import Capability, Rung, Setting, Snapshot
from ven_adapters.simulator.cars.fleets import Flags, Floats, SimulatedFleet
from ven_adapters.simulator.cars.ground_truth import GroundTruth
from ven_adapters.simulator.faults import table
from ven_adapters.simulator.faults.call_faults import CallAnswer, Visit
from ven_adapters.simulator.faults.command_faults import Hold, Taken
from ven_adapters.simulator.faults.fault_draws import Chance, draw, minute_of
from ven_adapters.simulator.faults.reading_faults import Sight
from vtn.clock import HOUR_S


class FaultState:
    """The faults of one backend's cars."""

    def __init__(self, chance: Chance, fleet: SimulatedFleet, ledger: GroundTruth) -> None:
        self._chance, self._fleet, self._ledger = chance, fleet, ledger
        played = table.played(chance.rates)
        self._calls = tuple(fault for fault in played if fault.call is not None)
        self._settings = tuple(fault for fault in played if fault.setting is not None)
        self._readings = tuple(fault for fault in played if fault.reading is not None)
        refs = fleet.refs
        self.once: Flags = chance.cars("cannot_resume", refs)
        self.elsewhere: Flags = chance.cars("wrong_location", refs)
        self.unguarded: Flags = chance.cars("unguarded_discharge", refs)
        self.lag_s: Floats = self._lags()
        self._deep: Flags = chance.cars("deep_sleep", refs)
        self._drains: Flags = chance.cars("polling_drain", refs)
        self._blocks: Flags = chance.cars("blocks_after_stops", refs)
        self._restarts: Flags = chance.cars("restarts_itself", refs)
        self._twice: Flags = chance.cars("amps_need_two_sends", refs)
        self._sleeps: Flags = np.zeros(len(refs), bool)
        self._flat: Flags = np.zeros(len(refs), bool)
        self._stops = np.zeros(len(refs), np.int64)
        self._sends = np.zeros(len(refs), np.int64)
        self._reads: dict[int, collections.deque[float]] = {}

    def _lags(self) -> Floats:
        """How long each car keeps to one reading, 0 for those that do not."""
        stale, least_s, most_s = self._chance.cars("stale_telemetry", self._fleet.refs), *table.STALE_S
        chances = [draw(self._chance.seed, "stale_telemetry/lag", ref) for ref in self._fleet.refs] if any(stale) else 0
        lags: Floats = np.where(stale, least_s * (most_s / least_s) ** np.asarray(chances), 0.0)
        return lags

    # --- calls --------------------------------------------------------------------------------------------------------

    def met(self, car: int, visit: Visit) -> CallAnswer | None:
        """What a call meets instead of the cloud's own answer."""
        found = self.meets(car, visit)
        return None if found is None else found[1]

    def meets(self, car: int, visit: Visit) -> tuple[str, CallAnswer] | None:
        """The same with the fault's name, for whoever tells it in words of his own."""
        for fault in self._calls:
            if fault.call is not None and table.befalls(fault, self._chance, visit.ref, visit.at_s):
                answer = fault.call(self._chance, visit)
                if answer is not None:
                    self._ledger.met(fault.name, car)
                    return fault.name, answer
        return None

    def silent(self, car: int, at_s: float) -> bool:
        """Whether the automaker may no longer tell us of the car."""
        ref = self._fleet.refs[car]
        visits = (fault for fault in self._calls if fault.name in _SILENCING and self._chance.car(fault.name, ref))
        return any(fault.call is not None and fault.call(self._chance, Visit("GET", ref, at_s)) for fault in visits)

    # --- sleep and the 12 V battery -----------------------------------------------------------------------------------

    def rest(self, idle: Flags) -> None:
        """Cars that did nothing for long: some of them sleep so deeply that no call wakes them."""
        self._sleeps |= self._deep & idle

    def touched(self, car: int) -> None:
        """Somebody was at the car: it is awake, charged up, and has forgotten its stops."""
        self._sleeps[car] = self._flat[car] = False
        self._stops[car] = self._sends[car] = 0

    @property
    def unheard(self) -> Flags:
        """Which cars nobody can reach."""
        return self._sleeps | self._flat

    def out_of_reach(self, car: int) -> bool:
        """Whether no call reaches the car; told to the ledger, because a caller asked."""
        for name, flags in (("deep_sleep", self._sleeps), ("polling_drain", self._flat)):
            if flags[car]:
                self._ledger.met(name, car)
                return True
        return False

    def read(self, car: int, at_s: float) -> None:
        """A fresh reading of a car that is off its plug: too many of them flatten the small battery."""
        if not self._drains[car]:
            return
        reads = self._reads.setdefault(car, collections.deque(maxlen=table.READS_PER_HOUR))
        self._flat[car] |= len(reads) == reads.maxlen and at_s - reads[0] < HOUR_S
        reads.append(at_s)

    # --- capability and settings --------------------------------------------------------------------------------------

    def capability(self, car: int, sound: Capability) -> Capability:
        """What the car says it can do."""
        if self.once[car]:
            self._ledger.met("cannot_resume", car)
            stops = self._chance.form("cannot_resume", self._fleet.refs[car], 2) == 0
            sound = dataclasses.replace(sound, can_stop=sound.can_stop and stops, can_resume_after_stop=False)
        if self._twice[car] and sound.current is not None:
            sound = dataclasses.replace(sound, current=dataclasses.replace(sound.current, resets_on_replug=True))
        return sound

    def sends(self, car: int, setting: Setting) -> int:
        """How many currents the car got since it was plugged in, this one included."""
        self._sends[car] += setting.rung is Rung.CURRENT
        return int(self._sends[car])

    def taken(self, car: int, told: Taken, at_s: float) -> Hold:
        """What the car does with a setting: the first fault that changes it has its way."""
        for fault in self._settings:
            if fault.setting is not None and table.befalls(fault, self._chance, self._fleet.refs[car], at_s):
                held = fault.setting(told)
                if held != told.asked:
                    self._ledger.met(fault.name, car)
                    return held
        return told.asked

    def blocks(self, car: int, *, stops: bool) -> bool:
        """Whether the car has had enough of being stopped."""
        self._stops[car] += stops
        blocked = bool(self._blocks[car]) and int(self._stops[car]) > table.BLOCKS_AFTER
        if blocked:
            self._ledger.met("blocks_after_stops", car)
        return blocked

    def restarts_after_s(self, car: int, asked: Hold, target_wh: float, at_s: float) -> float | None:
        """When the car will charge again by itself, if it was stopped and is of that kind."""
        if not self._restarts[car] or not asked.holds(target_wh) or asked.limit_w < 0.0:
            return None
        return self._chance.between(table.RESTARTS_S, "restarts_itself", minute_of(self._fleet.refs[car], at_s))

    def forgets(self, car: int, setting: Setting) -> bool:
        """Whether a car that is plugged in again has forgotten the current that it was told."""
        forgets = bool(self._twice[car]) and setting.rung is Rung.CURRENT
        if forgets:
            self._ledger.met("amps_need_two_sends", car)
        return forgets

    # --- readings -----------------------------------------------------------------------------------------------------

    def misread(self, car: int, snapshot: Snapshot, sight: Sight) -> tuple[Snapshot, bool]:
        """The snapshot as the backend passes it on, and whether it will be another one a moment later."""
        passing = False
        for fault in self._readings:
            if fault.reading is not None and table.befalls(fault, self._chance, snapshot.vehicle_ref, sight.at_s):
                told = fault.reading(self._chance, sight, snapshot)
                if told != snapshot:
                    self._ledger.met(fault.name, car)
                    passing |= fault.of is table.Of.READINGS
                    snapshot = told
        return snapshot, passing


_SILENCING = frozenset({"token_revoked", "path_gone"})
