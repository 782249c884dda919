"""Giving a car back: at the end, on cancel, on release, after a restart."""

from ven_adapters.adapter_checks.bench import LATENCY_S, Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.checks.orders import PAUSED_W
from ven_adapters.contract import FINAL_STATES, DirectiveKind, DirectiveState
from vtn.checking.verdict import expect


def given_back(bench: Bench, ref: str, when: str) -> None:
    """Fail unless the car is as its driver set it, and charges."""
    truth = bench.stage.truth(ref)
    expect(truth.as_driver_set, f"{when} the car is not as its driver set it")
    expect(truth.power_w > PAUSED_W, f"{when} the car does not charge")


@check(Group.V1G, "DirectiveState.RELEASED")
async def the_end_gives_the_car_back(bench: Bench) -> None:
    """At the end the car charges as its driver set it, and the directive is RELEASED."""
    directive = bench.directive(await bench.pausable(), minutes=20)
    await bench.in_force(directive)
    left_s = (directive.end - bench.clock.now()).total_seconds()
    await bench.stage.advance(max(0.0, left_s) + LATENCY_S)
    status = await bench.settled(directive, lambda told: told.state in FINAL_STATES)
    given_back(bench, directive.vehicle_ref, "after the end")
    expect(status.state is DirectiveState.RELEASED, f"after its end the directive is {status.state}")


@check(Group.V1G, "Directive.end")
async def a_directive_holds_until_its_end(bench: Bench) -> None:
    """The car stays paused until the end, and not only for a while."""
    directive = bench.directive(await bench.pausable(), minutes=40)
    await bench.in_force(directive)
    for _ in range(5):
        await bench.stage.advance(300.0)
        power_w = bench.stage.truth(directive.vehicle_ref).power_w
        expect(abs(power_w) <= PAUSED_W, f"within its window the car draws {power_w:.0f} W")


@check(Group.V1G, "VehicleBackend.cancel")
async def cancel_gives_the_car_back(bench: Bench) -> None:
    """cancel() of a directive in force restores the driver's settings, and the directive is CANCELLED."""
    directive = bench.directive(await bench.pausable(), minutes=180)
    await bench.in_force(directive)
    await bench.cancel(directive)
    status = await bench.settled(directive, lambda told: told.state in FINAL_STATES)
    await bench.stage.advance(LATENCY_S)
    given_back(bench, directive.vehicle_ref, "after cancel()")
    expect(status.state is DirectiveState.CANCELLED, f"the directive is {status.state}")


@check(Group.V1G, "VehicleBackend.cancel")
async def a_directive_cancelled_before_its_start_never_begins(bench: Bench) -> None:
    """cancel() before the start ends it, and the car is never told."""
    directive = bench.directive(await bench.pausable(), in_s=900.0)
    await bench.submit(directive)
    await bench.cancel(directive)
    await bench.stage.advance(900.0 + LATENCY_S)
    expect(bench.stage.truth(directive.vehicle_ref).as_driver_set, "the car is held by a cancelled directive")
    status = await bench.status(directive)
    expect(status.state is DirectiveState.CANCELLED, f"the directive is {status.state}")


@check(Group.V1G, "DirectiveKind.RELEASE")
async def release_gives_the_car_back(bench: Bench) -> None:
    """A RELEASE ends what holds the car."""
    directive = bench.directive(await bench.pausable(), minutes=180)
    await bench.in_force(directive)
    await bench.submit(bench.directive(directive.vehicle_ref, DirectiveKind.RELEASE, minutes=30))
    await bench.stage.advance(2 * LATENCY_S)
    expect(bench.stage.truth(directive.vehicle_ref).power_w > PAUSED_W, "after a RELEASE the car does not charge")


@check(Group.V1G, "Directive.end")
async def a_restart_forgets_no_directive(bench: Bench) -> None:
    """A new adapter with the same settings knows the directive, and the car is given back at its end."""
    directive = bench.directive(await bench.pausable(), minutes=30)
    await bench.in_force(directive)
    await bench.adapter.close()
    again = bench.another()
    try:
        status = await again.status(directive)
        expect(status.state is DirectiveState.IN_FORCE, f"after a restart the directive is {status.state}")
        again.listen()
        left_s = (directive.end - bench.clock.now()).total_seconds()
        await bench.stage.advance(max(0.0, left_s) + 2 * LATENCY_S)
        await again.settled(directive, lambda told: told.state in FINAL_STATES)
        given_back(bench, directive.vehicle_ref, "after a restart and the end")
    finally:
        await again.close()
