"""What one simulated automaker's backend is told before it starts."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from ven_adapters.simulator.faults.fault_draws import Rates
from ven_adapters.simulator.faults.table import FIELD_RATES

# What every evening brings, whatever else is asked for; the rates are those of the table of faults.
EVERYDAY = ("asleep", "rate_limited", "unplugged", "override", "delayed", "opt_out")
USUAL_RATES: Rates = {name: FIELD_RATES[name] for name in EVERYDAY}
NO_FAULTS: Rates = {}


@dataclasses.dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """One backend: its brand, its cars (drawn from `seed`), when its time starts, where it listens, what it writes.

    `keeps_power` adds every car's power by the minute to the ground truth. `faults` are rates by the names in
    `simulator.faults`. `truth` is what the cars really are: "mixture" (`cars/true_cars.toml`), "as_told" (all alike, as
    they tell), or columns of `TrueCars` with the value that every car has, the others as told.
    """

    brand: str
    cars: int
    seed: int
    starts_at: datetime
    token: str = dataclasses.field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    nights: int = 7
    timezone: str = "America/Los_Angeles"
    zones: tuple[str, ...] = ("bay", "la")
    plug_in_probability: float = 0.9
    away_probability: float = 0.1
    opted_out_probability: float = 0.03
    faults: Rates = dataclasses.field(default_factory=lambda: USUAL_RATES)
    truth_dir: Path | None = None
    keeps_power: bool = False
    truth: str | Mapping[str, float] = "mixture"
