"""Adapter and file together: an event of the grid becomes a car that stops, and the event's end one that charges."""

from datetime import timedelta

from ven_adapters.adapter_checks.bench import Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.checks.orders import PAUSED_W
from ven_adapters.adapter_checks.stages.whole_adapter import whole_adapter

EVENT_MINUTES = 90
SHED_S, BACK_S = 2_700.0, 8 * 3_600.0


@check(Group.WHOLE, "VehicleBackend")
async def an_event_stops_a_car_and_its_end_gives_it_back(bench: Bench) -> None:
    """In a whole adapter an event of the highest level stops a charging car, and after the event it charges again."""
    ref = await bench.pausable()
    async with whole_adapter(bench) as adapter:
        ends = bench.clock.now() + timedelta(minutes=EVENT_MINUTES)
        await adapter.asks(EVENT_MINUTES)
        await adapter.passes(
            lambda: abs(bench.stage.truth(ref).power_w) <= PAUSED_W,
            "an event came in, and the car was not stopped",
            within_s=SHED_S,
            step_s=15.0,
        )
        await adapter.passes(lambda: bench.clock.now() >= ends, "the event did not end", within_s=BACK_S, step_s=300.0)
        await adapter.passes(
            lambda: bench.stage.truth(ref).power_w > PAUSED_W,
            "the event is over, and the car was not given back",
            within_s=BACK_S,
            step_s=300.0,
        )
