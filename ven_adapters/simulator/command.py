"""Which simulator a name stands for: an automaker's backend, a public vendor's cloud, or charging stations."""

import dataclasses
from pathlib import Path

from ven_adapters.simulator import serve as backends
from ven_adapters.simulator.cars.car_models import MODELS
from ven_adapters.simulator.public import serve as clouds
from ven_adapters.simulator.public.vendors import VENDORS
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.simulator.station import serve as stations
from vtn.clock import Clock

STATIONS = "ocpp"


@dataclasses.dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """What only some of them are told: an adapter's folder and webhook port, a central system's address."""

    state: Path
    webhook_port: int | None
    url: str


def known() -> tuple[str, ...]:
    """Every name."""
    return (*MODELS, STATIONS)


def models_of(name: str) -> str:
    """Whose cars they are."""
    return stations.BRAND if name == STATIONS else name


async def simulated(name: str, settings: SimulatorSettings, clock: Clock, options: SimulatorOptions) -> None:
    """Run it until told to stop. OSError when it cannot listen."""
    if name == STATIONS:
        await stations.serve(settings, clock, options.url, options.state)
    elif name in VENDORS:
        await clouds.serve(settings, clock, clouds.Neighbour(options.state, options.webhook_port))
    else:
        await backends.serve(settings, clock)
