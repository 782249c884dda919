"""What guards and permits look at: the cars, what their drivers need, the time, and the end of the window asked for.

Pure; knows nothing of OpenADR, nor of what a guard makes of it.
"""

import dataclasses

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Charge, FleetView, Floats
from ven_adapters.ven.planning.charging_need import ChargingNeeds, PlanSettings
from ven_adapters.ven.planning.limits.nodes import LimitedNodes
from vtn.clock import HOUR_S


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneState:
    """One zone at an instant (epoch seconds). `emergency`: the grid's, for which cars below their reserve wait too.

    `nodes`: what limits the cars together; None where nothing does.
    """

    view: FleetView
    needs: ChargingNeeds
    now_s: float
    window_end_s: float
    settings: PlanSettings
    emergency: bool = False
    nodes: LimitedNodes | None = None

    @property
    def resting(self) -> Bools:
        """True where the car was told to start or stop less than the minimum dwell ago."""
        return np.asarray(self.now_s - self.view.last_toggle_s < self.settings.min_dwell_s)

    @property
    def charging(self) -> Bools:
        """True where the car takes power, or was just told to: telemetry lags behind a command."""
        return np.where(self.resting, self.view.told_on, self.view.charge_state == Charge.CHARGING)

    @property
    def out(self) -> Bools:
        """True where the driver keeps the car to himself, until an instant or for good."""
        return np.asarray(self.view.opted_out | (self.view.opted_out_until_s > self.now_s))

    @property
    def floor_pct(self) -> Floats:
        """The level below which no battery is discharged: the driver's reserve or the programme's, the larger."""
        return np.maximum(self.view.reserve_pct, self.settings.programme_floor_pct)

    def given_kwh(self, since_s: Floats) -> Floats:
        """What a battery may have given since an instant, at the power that it was last seen to give; 0 or more."""
        since_s = np.maximum(0.0, self.now_s - since_s)
        giving = self.view.power_kw < 0
        return np.where(giving, -self.view.power_kw * np.where(giving, since_s, 0.0) / HOUR_S, 0.0)
