"""The fallback ladder: a cap is kept or refused, never exceeded, and the rung that was taken is told truthfully."""

from datetime import timedelta

from ven_adapters.adapter_checks.bench import LATENCY_S, Bench, copy_of
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.contract import Ack, BackendError, Capability, Directive, DirectiveKind, ErrorCode, Rung
from vtn.checking.verdict import Skipped, expect

HOUR = timedelta(hours=1)
CAP_W = 3_500
TINY_W = 900
SLACK = 1.02
SLACK_W = 20.0
WRONG_SHARE = 0.12


def possible(rung: Rung, capability: Capability) -> bool:
    """Whether a car can be told so at all."""
    return {
        Rung.POWER: capability.can_set_power or capability.discharge is not None,
        Rung.CURRENT: capability.current is not None,
        Rung.PAUSE: capability.can_stop,
        Rung.TARGET_LEVEL: capability.limit_soc is not None,
        Rung.SCHEDULE: capability.schedule is not None,
        Rung.RESUME: True,
    }[rung]


async def capped(bench: Bench, power_w: int) -> tuple[Directive, Ack, Capability]:
    """A cap that was taken by a car; Skipped when the car has no rung for it."""
    ref, capability = await bench.car(_can_be_capped, "can be capped or paused")
    directive = bench.directive(ref, DirectiveKind.CAP, power_w=power_w)
    try:
        ack = await bench.submit(directive)
    except BackendError as error:
        if error.code is ErrorCode.NOT_SUPPORTED:
            raise Skipped(f"no rung for {power_w} W: {error.detail}") from error
        raise
    return directive, ack, capability


def _can_be_capped(capability: Capability) -> bool:
    resumes = capability.can_stop and capability.can_resume_after_stop
    return capability.can_set_power or capability.current is not None or resumes or capability.limit_soc is not None


@check(Group.V1G, "Rung")
async def a_cap_is_never_exceeded(bench: Bench) -> None:
    """Under a CAP of 3.5 kW the car draws no more than that."""
    directive, _, _ = await capped(bench, CAP_W)
    await bench.stage.advance(2 * LATENCY_S)
    power_w = bench.stage.truth(directive.vehicle_ref).power_w
    expect(power_w <= CAP_W * SLACK + SLACK_W, f"the car draws {power_w:.0f} W under a cap of {CAP_W} W")


@check(Group.V1G, "Rung")
async def a_cap_below_the_least_current_is_not_rounded_up(bench: Bench) -> None:
    """Under a CAP of 900 W, less than any car's least current, the car is paused."""
    directive, _, _ = await capped(bench, TINY_W)
    await bench.stage.advance(2 * LATENCY_S)
    power_w = bench.stage.truth(directive.vehicle_ref).power_w
    expect(power_w <= TINY_W * SLACK + SLACK_W, f"the car draws {power_w:.0f} W under a cap of {TINY_W} W")


@check(Group.V1G, "Rung")
async def the_rung_that_was_taken_is_told_truthfully(bench: Bench) -> None:
    """The Ack's setting is a rung that the car has, at no more than was asked, and the power is what the car draws."""
    directive, ack, capability = await capped(bench, CAP_W)
    setting = ack.setting
    if setting is None:
        expect(setting is not None, "the Ack tells no setting: a cap that became a pause would be invisible")
        return
    expect(possible(setting.rung, capability), f"the car cannot be told {setting.rung}")
    told_w = setting.power_w
    expect(told_w is not None and told_w <= CAP_W, f"the setting's power is {told_w} W, asked were {CAP_W} W")
    await bench.stage.advance(2 * LATENCY_S)
    drawn_w = bench.stage.truth(directive.vehicle_ref).power_w
    off_w = abs(drawn_w - (told_w or 0))
    expect(off_w <= WRONG_SHARE * CAP_W, f"{told_w} W were told on rung {setting.rung}, the car draws {drawn_w:.0f} W")


@check(Group.V1G, "Rung")
async def a_cap_above_what_the_car_takes_holds_nothing_back(bench: Bench) -> None:
    """A CAP at or above the car's own most leaves it charging at its most."""
    ref, capability = await bench.car(_can_be_capped, "can be capped or paused")
    before_w = bench.stage.truth(ref).power_w
    await bench.submit(bench.directive(ref, DirectiveKind.CAP, power_w=capability.max_charge_w + 1_000))
    await bench.stage.advance(2 * LATENCY_S)
    after_w = bench.stage.truth(ref).power_w
    expect(after_w >= before_w * (1 - WRONG_SHARE), f"the car draws {after_w:.0f} W instead of {before_w:.0f} W")


@check(Group.V1G, "Capability.can_stop")
async def a_car_that_cannot_be_paused_is_not_promised(bench: Bench) -> None:
    """A car that says that it can neither stop nor be limited refuses a pause, NOT_SUPPORTED."""
    ref, _ = await bench.car(_helpless, "is without every control")
    told = len(bench.stage.ledger(ref))
    error = await bench.refused(bench.submit(bench.directive(ref)), "a pause of a car that cannot stop")
    expect(error.code in {ErrorCode.NOT_SUPPORTED, ErrorCode.NOT_PERMITTED}, f"{error.code}, not NOT_SUPPORTED")
    expect(len(bench.stage.ledger(ref)) == told, "the car was told all the same")


@check(Group.V1G, "Capability.schedule")
async def a_car_that_only_keeps_windows_is_held_by_one(bench: Bench) -> None:
    """A car that has nothing but a schedule is held in the whole hours of a directive, and charges after them."""
    ref, _ = await bench.car(_keeps_windows_only, "has nothing but a schedule")
    hour = bench.clock.now().replace(minute=0, second=0, microsecond=0) + HOUR
    until = hour + 2 * HOUR
    directive = copy_of(bench.directive(ref, minutes=240), start=hour, end=until, not_after=until - HOUR)
    ack = await bench.submit(directive)
    expect(ack.setting is None or ack.setting.rung is Rung.SCHEDULE, "the rung that is told is no schedule")
    await bench.stage.advance((hour - bench.clock.now()).total_seconds() + HOUR.total_seconds())
    power_w = bench.stage.truth(ref).power_w
    expect(abs(power_w) <= SLACK_W, f"within its window the car draws {power_w:.0f} W")
    await bench.stage.advance(HOUR.total_seconds() + 2 * LATENCY_S)
    expect(bench.stage.truth(ref).power_w > SLACK_W, "after its window the car does not charge")


def _keeps_windows_only(capability: Capability) -> bool:
    others = (capability.can_stop, capability.can_set_power, capability.limit_soc, capability.current)
    return capability.schedule is not None and not any(others)


def _helpless(capability: Capability) -> bool:
    controls = (capability.limit_soc, capability.schedule, capability.current, capability.discharge)
    return not capability.can_stop and not capability.can_set_power and not any(controls)
