"""What the stages over simulated cars share: the truth of one car, a free port, and how long a stage may last."""

import socket
from datetime import datetime

from ven_adapters.adapter_checks.stage import CarTruth
from ven_adapters.simulator.staged import StagedCloud

HOURS = 72.0


def truth_of(cloud: StagedCloud, ref: str, now: datetime) -> CarTruth:
    """What the physics says of a car now."""
    cloud.advance(now)
    car, world = cloud.car(ref), cloud.world
    usable_wh = float(world.packs.usable_wh[car])
    return CarTruth(
        power_w=float(world.power_w[car]),
        soc_pct=100.0 * float(world.soc_wh[car]) / usable_wh,
        plugged=bool(world.plugged[car]),
        at_home=bool(world.home[car]),
        asleep=bool(cloud.asleep[car] or cloud.frailty.unheard[car]),
        as_driver_set=cloud.as_driver_set(car),
        target_soc_pct=100.0 * float(world.target_wh[car]) / usable_wh,
        reserve_soc_pct=100.0 * float(world.reserve_wh[car]) / usable_wh,
        charged_wh=float(world.added_wh[car]),
        discharged_wh=float(world.exported_wh[car]),
    )


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
