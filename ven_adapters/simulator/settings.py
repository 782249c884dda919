"""What one simulated automaker's backend is told before it starts."""

import dataclasses
from datetime import datetime
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class FaultRates:
    """How often each fault strikes: shares of cars, or (rate_limited, delayed) shares of commands.

    asleep: the car sleeps after idling and answers 409 ASLEEP until a wake. unplugged: somebody pulls the cable during
    an event, and half of them plug in again. override: the driver presses "charge now". opt_out: the driver leaves this
    event. delayed: a command is taken and obeyed only minutes later. rate_limited: 429 with a time to wait.
    """

    asleep: float = 0.10
    rate_limited: float = 0.005
    unplugged: float = 0.02
    override: float = 0.02
    delayed: float = 0.03
    opt_out: float = 0.02


NO_FAULTS = FaultRates(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """One backend: its brand, its cars (drawn from `seed`), when its time starts, where it listens, what it writes."""

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
    faults: FaultRates = dataclasses.field(default_factory=FaultRates)
    truth_dir: Path | None = None
