"""Field faults of people: drivers who take over or leave, and a cloud that would discharge without permission."""

from ven_adapters.adapter_checks.bench import Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.checks.discharge import REFUSALS, car, discharge_of
from ven_adapters.adapter_checks.checks.orders import PAUSED_W
from ven_adapters.contract import (
    BackendError,
    DirectiveState,
    DriverChoice,
    DriverChose,
    ErrorCode,
    OnCommLoss,
)
from vtn.checking.verdict import expect

MOST_AGAIN = 1


async def taken_over(bench: Bench, fault: str) -> tuple[str, str]:
    """A car whose driver took it from a directive in force: the car, and the directive's id."""
    bench.listen()
    await bench.stage.advance(60.0)
    directive = bench.directive(await bench.pausable(), minutes=120)
    await bench.in_force(directive)
    ref = directive.vehicle_ref
    told = len(bench.stage.ledger(ref))
    bench.stage.arm(fault, ref)
    status = await bench.settled(directive, lambda told: told.state is DirectiveState.OVERRIDDEN, within_s=3_600.0)
    expect(status.state is DirectiveState.OVERRIDDEN, f"the driver took over, and the directive is {status.state}")
    expect(status.error is ErrorCode.USER_OVERRIDE, f"the directive's error is {status.error}, not USER_OVERRIDE")
    again = len(bench.stage.ledger(ref)) - told
    expect(again <= MOST_AGAIN, f"the car was told {again} times against its driver")
    return ref, directive.directive_id


@check(Group.FAULTS, "field fault 23", fault="override")
async def a_driver_who_charges_now_has_the_car(bench: Bench) -> None:
    """Charge now: the directive is OVERRIDDEN, the car charges, and nobody pauses it again."""
    ref, _ = await taken_over(bench, "override")
    await bench.stage.advance(900.0)
    expect(bench.stage.truth(ref).power_w > PAUSED_W, "the car does not charge although its driver said so")


@check(Group.FAULTS, "field fault 23", fault="override")
async def a_drivers_choice_is_pushed(bench: Bench) -> None:
    """Charge now is told as the driver's choice."""
    ref, _ = await taken_over(bench, "override")
    choices = {DriverChoice.BOOST, DriverChoice.OPT_OUT}
    found = await bench.heard_of(
        lambda event: isinstance(event, DriverChose) and event.vehicle_ref == ref and event.choice in choices
    )
    expect(found, "the driver's choice was not pushed")


@check(Group.FAULTS, "field fault 23", fault="opt_out")
async def a_driver_who_leaves_the_event_is_left_alone(bench: Bench) -> None:
    """After an opt-out the directive is OVERRIDDEN, and a further one is USER_OVERRIDE or CONSENT_REVOKED."""
    ref, _ = await taken_over(bench, "opt_out")
    error = await bench.refused(bench.submit(bench.directive(ref)), "a directive after the driver's opt-out")
    left = {ErrorCode.USER_OVERRIDE, ErrorCode.CONSENT_REVOKED, ErrorCode.NOT_PERMITTED}
    expect(error.code in left, f"{error.code}, not USER_OVERRIDE")


@check(Group.FAULTS, "field fault 24", fault="unguarded_discharge")
async def a_careless_cloud_is_not_asked_for_what_is_not_allowed(bench: Bench) -> None:
    """Where the cloud would take any discharge the adapter itself still refuses one without its dead-man."""
    ref = await car(bench)
    bench.stage.arm("unguarded_discharge", ref)
    error = await bench.refused(
        bench.submit(discharge_of(bench, ref, on_comm_loss=OnCommLoss.RELEASE)), "a discharge without its dead-man"
    )
    expect(error.code in REFUSALS, f"{error.code}, which says nothing of permission")


@check(Group.FAULTS, "field fault 24", fault="unguarded_discharge")
async def a_careless_cloud_still_hears_of_the_reserve(bench: Bench) -> None:
    """Where the cloud guards nothing, a discharge below the directive's reserve is refused or does not happen."""
    ref = await car(bench)
    bench.stage.arm("unguarded_discharge", ref)
    level_pct = bench.stage.truth(ref).soc_pct
    asked = discharge_of(bench, ref, reserve_soc_pct=min(100.0, level_pct + 20.0))
    try:
        await bench.submit(asked)
    except BackendError as error:
        expect(error.code in REFUSALS, f"{error.code}, which says nothing of permission")
        return
    await bench.stage.advance(900.0)
    after_pct = bench.stage.truth(ref).soc_pct
    expect(after_pct >= level_pct - 0.5, f"the car went from {level_pct:.1f} % to {after_pct:.1f} %, below its reserve")
