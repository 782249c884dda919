"""Events: what the adapter pushes, that it comes back after a cut, and that nothing comes twice."""

import asyncio
from collections.abc import Callable

from ven_adapters.adapter_checks.bench import Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.contract import BackendEvent, Directive, DirectivesChanged, SnapshotsSeen
from vtn.checking.verdict import Skipped, expect

PAUSED_W = 100.0
LONG_S = 7_200.0
QUIET_S = 0.15
TRIES, TRY_AGAIN_S = 40, 30.0


def tells_of(directive: Directive) -> Callable[[BackendEvent], bool]:
    """Whether an event says how a directive stands, or shows its car paused."""
    ref = directive.vehicle_ref

    def tells(event: BackendEvent) -> bool:
        if isinstance(event, DirectivesChanged):
            return any(one.directive_id == directive.directive_id for one in event.statuses)
        mine = [one for one in event.snapshots if one.vehicle_ref == ref] if isinstance(event, SnapshotsSeen) else []
        return any(one.power_w is not None and abs(one.power_w.value) < PAUSED_W for one in mine)

    return tells


@check(Group.READS, "VehicleBackend.events")
async def what_happens_to_a_car_is_pushed(bench: Bench) -> None:
    """events() tells of a directive, or of the car, once the car was paused."""
    bench.listen()
    await bench.stage.advance(60.0)
    directive = bench.directive(await bench.pausable())
    await bench.submit(directive)
    expect(await bench.heard_of(tells_of(directive)), "nothing was pushed of a directive in a quarter of an hour")


@check(Group.READS, "VehicleBackend.events")
async def events_come_back_after_the_line_was_cut(bench: Bench) -> None:
    """events() listens anew by itself after the cloud lost its subscribers, and tells what happens then."""
    bench.listen()
    await bench.stage.advance(60.0)
    if not await bench.stage.cut():
        raise Skipped("this cloud does not push")
    directive = bench.directive(await bench.pausable(), minutes=600)
    bench.events.clear()
    for _ in range(TRIES):  # a car whose line was cut may be out of reach for a moment
        refusal = await bench.refusal(bench.submit(directive))
        if refusal is None:
            break
        expect(refusal.retryable, f"a car whose line was cut is refused for good: {refusal.code}")
        await bench.stage.advance(TRY_AGAIN_S)
    found = await bench.heard_of(tells_of(directive), within_s=LONG_S)
    expect(found, "nothing was pushed any more after the line was cut")


@check(Group.READS, "VehicleBackend.events")
async def a_push_that_comes_twice_is_told_once(bench: Bench) -> None:
    """The same delivery again, which at-least-once allows, is not told again."""
    bench.listen()
    await bench.stage.advance(60.0)
    directive = bench.directive(await bench.pausable())
    await bench.submit(directive)
    await bench.heard_of(tells_of(directive))
    await asyncio.sleep(QUIET_S)
    before = len(bench.events)
    if not await bench.stage.repeat():
        raise Skipped("this cloud does not push, or has pushed nothing")
    await asyncio.sleep(QUIET_S)
    again = [event for event in bench.events[before:] if event in bench.events[:before]]
    expect(not again, "a delivery that came twice was told twice")
