"""V2G: a discharge only with its dead-man, within power, energy and reserve; and none at all for cars that cannot."""

from typing import Any

from ven_adapters.adapter_checks.bench import LATENCY_S, Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.checks.reads import usable
from ven_adapters.contract import (
    FINAL_STATES,
    BackendError,
    Capability,
    ChargeState,
    Directive,
    DirectiveKind,
    ErrorCode,
    OnCommLoss,
)
from vtn.checking.verdict import expect

ASKED_W = -4_000
SLACK_W = 250.0
ENERGY_WH = 500
REFUSALS = {
    ErrorCode.NOT_PERMITTED,
    ErrorCode.INVALID_REQUEST,
    ErrorCode.NOT_SUPPORTED,
    ErrorCode.LIMIT_REACHED,
}


def discharges(capability: Capability) -> bool:
    """Whether a car can feed the grid."""
    return capability.discharge is not None


async def car(bench: Bench) -> str:
    """A car that can feed the grid."""
    return (await bench.car(discharges, "can feed the grid"))[0]


def discharge_of(bench: Bench, ref: str, power_w: int = ASKED_W, **more: Any) -> Directive:
    """A discharge with its dead-man, reserve and energy."""
    given: dict[str, Any] = {"on_comm_loss": OnCommLoss.STOP, "reserve_soc_pct": 30.0, "max_energy_wh": 10_000, **more}
    return bench.directive(ref, DirectiveKind.SETPOINT, power_w=power_w, **given)


@check(Group.V2G, "Capability.discharge")
async def a_car_without_discharge_refuses_it(bench: Bench) -> None:
    """A set-point below zero for a car that cannot feed the grid is NOT_SUPPORTED, and the car is not told."""
    ref, _ = await bench.car(lambda capability: not discharges(capability), "is without discharge")
    told = len(bench.stage.ledger(ref))
    error = await bench.refused(bench.submit(discharge_of(bench, ref)), "a discharge of a car that cannot")
    expect(error.code is ErrorCode.NOT_SUPPORTED, f"{error.code}, not NOT_SUPPORTED")
    expect(len(bench.stage.ledger(ref)) == told, "the car was told all the same")


@check(Group.V2G, "DirectiveKind.SETPOINT")
async def a_discharge_feeds_the_grid_at_the_power_asked(bench: Bench) -> None:
    """A SETPOINT of -4 kW makes the car give 4 kW, and the readings say so with a minus."""
    directive = discharge_of(bench, await car(bench))
    await bench.in_force(directive)
    truth, snapshot = bench.stage.truth(directive.vehicle_ref), await bench.snapshot(directive.vehicle_ref)
    expect(abs(truth.power_w - ASKED_W) <= SLACK_W, f"asked were {ASKED_W} W, the car's power is {truth.power_w:.0f} W")
    power_w, state = usable(snapshot.power_w), usable(snapshot.charge_state)
    expect(power_w is not None and power_w < 0, f"power_w is {power_w} while the car feeds the grid")
    expect(state is ChargeState.DISCHARGING, f"charge_state is {state} while the car feeds the grid")


@check(Group.V2G, "Directive.on_comm_loss")
async def a_discharge_without_its_dead_man_is_refused(bench: Bench) -> None:
    """A set-point below zero that would not STOP on a dead line is refused, and the car is not told."""
    ref = await car(bench)
    told = len(bench.stage.ledger(ref))
    asked = discharge_of(bench, ref, on_comm_loss=OnCommLoss.RELEASE)
    error = await bench.refused(bench.submit(asked), "a discharge that does not STOP on a dead line")
    expect(error.code in REFUSALS, f"{error.code}, which says nothing of permission")
    expect(len(bench.stage.ledger(ref)) == told, "the car was told all the same")


@check(Group.V2G, "Capability.discharge")
async def a_discharge_is_bounded_by_what_the_car_can(bench: Bench) -> None:
    """A set-point beyond the car's most is bounded to it, and the setting says so; or it is refused."""
    ref, capability = await bench.car(discharges, "can feed the grid")
    most_w = capability.discharge.max_discharge_w if capability.discharge else 0
    try:
        ack = await bench.submit(discharge_of(bench, ref, -3 * most_w))
    except BackendError as error:
        expect(error.code in REFUSALS, f"{error.code}, which says nothing of permission")
        return
    told_w = None if ack.setting is None else ack.setting.power_w
    expect(told_w is not None and told_w >= -most_w, f"{told_w} W are told, the car's most is {-most_w} W")
    await bench.stage.advance(2 * LATENCY_S)
    expect(bench.stage.truth(ref).power_w >= -most_w - SLACK_W, "the car gives more than its most")


@check(Group.V2G, "Directive.reserve_soc_pct")
async def a_discharge_stops_at_its_reserve(bench: Bench) -> None:
    """A discharge never takes the car below the directive's reserve."""
    ref = await car(bench)
    reserve_pct = round(bench.stage.truth(ref).soc_pct) - 1.0
    if await bench.refusal(bench.submit(discharge_of(bench, ref, reserve_soc_pct=reserve_pct, minutes=120))):
        return
    await bench.stage.advance(100 * 60.0)
    level_pct = bench.stage.truth(ref).soc_pct
    expect(level_pct >= reserve_pct - 0.5, f"the car is at {level_pct:.1f} %, its reserve is {reserve_pct:g} %")


@check(Group.V2G, "Directive.max_energy_wh")
async def a_discharge_stays_within_its_energy(bench: Bench) -> None:
    """A discharge gives no more than max_energy_wh."""
    ref = await car(bench)
    before_wh = bench.stage.truth(ref).discharged_wh
    if await bench.refusal(bench.submit(discharge_of(bench, ref, max_energy_wh=ENERGY_WH))):
        return
    await bench.stage.advance(50 * 60.0)
    given_wh = bench.stage.truth(ref).discharged_wh - before_wh
    expect(given_wh <= ENERGY_WH * 1.2 + 50, f"{given_wh:.0f} Wh were given, {ENERGY_WH} Wh allowed")


@check(Group.V2G, "Directive.end")
async def a_discharge_ends_with_its_window(bench: Bench) -> None:
    """At the end of a discharge the car stops feeding the grid, and charges as its driver set it."""
    directive = discharge_of(bench, await car(bench), minutes=20)
    await bench.in_force(directive)
    await bench.stage.advance(20 * 60.0 + LATENCY_S)
    await bench.settled(directive, lambda told: told.state in FINAL_STATES)
    truth = bench.stage.truth(directive.vehicle_ref)
    expect(truth.power_w >= 0, f"after the end the car's power is {truth.power_w:.0f} W")
    expect(truth.as_driver_set, "after the end the car is not as its driver set it")


@check(Group.V2G, "VehicleBackend.cancel")
async def cancel_stops_a_discharge(bench: Bench) -> None:
    """cancel() stops a discharge at once."""
    directive = discharge_of(bench, await car(bench))
    await bench.in_force(directive)
    await bench.cancel(directive)
    await bench.stage.advance(LATENCY_S)
    power_w = bench.stage.truth(directive.vehicle_ref).power_w
    expect(power_w >= 0, f"after cancel() the car's power is {power_w:.0f} W")


@check(Group.V2G, "Snapshot.energy_exported_wh")
async def exported_energy_is_counted(bench: Bench) -> None:
    """energy_exported_wh grows by what the car gave."""
    directive = discharge_of(bench, await car(bench))
    ref = directive.vehicle_ref
    before, true_before = usable((await bench.snapshot(ref)).energy_exported_wh), bench.stage.truth(ref).discharged_wh
    await bench.in_force(directive)
    await bench.stage.advance(1_200.0)
    after, true_after = usable((await bench.snapshot(ref)).energy_exported_wh), bench.stage.truth(ref).discharged_wh
    told_wh, true_wh = (after or 0.0) - (before or 0.0), true_after - true_before
    expect(abs(told_wh - true_wh) <= 0.25 * true_wh + 50, f"{told_wh:.0f} Wh are told, {true_wh:.0f} Wh were given")
