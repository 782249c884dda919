"""Taking a directive: once per key, never late, never early, and in force only when the car obeys."""

import asyncio
from datetime import timedelta

from ven_adapters.adapter_checks.bench import LATENCY_S, Bench, copy_of
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.contract import Certainty, DirectiveKind, DirectiveState, ErrorCode
from vtn.checking.verdict import expect

PAUSED_W = 50.0
TAKEN = {DirectiveState.REQUESTED, DirectiveState.ACCEPTED, DirectiveState.IN_FORCE}


@check(Group.V1G, "DirectiveState.ACCEPTED")
async def a_pause_is_taken_and_the_car_stops(bench: Bench) -> None:
    """A CURTAIL is accepted, comes into force, and the car stops charging."""
    directive = bench.directive(await bench.pausable())
    ack = await bench.submit(directive)
    expect(ack.directive_id == directive.directive_id, "the Ack is another directive's")
    expect(ack.state in TAKEN, f"the Ack says {ack.state}")
    status = await bench.settled(directive, lambda told: told.state is DirectiveState.IN_FORCE)
    expect(status.state is DirectiveState.IN_FORCE, f"it never came into force: it is {status.state}")
    power_w = bench.stage.truth(directive.vehicle_ref).power_w
    expect(abs(power_w) <= PAUSED_W, f"the car still draws {power_w:.0f} W")


@check(Group.V1G, "DirectiveState.IN_FORCE")
async def nothing_is_in_force_before_the_car_obeys(bench: Bench) -> None:
    """While the car still charges, status() does not say IN_FORCE."""
    directive = bench.directive(await bench.pausable())
    await bench.submit(directive)
    for _ in range(int(LATENCY_S / 2)):
        status = await bench.status(directive)
        power_w = bench.stage.truth(directive.vehicle_ref).power_w
        if status.state is DirectiveState.IN_FORCE or abs(power_w) <= PAUSED_W:
            expect(abs(power_w) <= PAUSED_W, f"IN_FORCE is told while the car draws {power_w:.0f} W")
            return
        await bench.stage.advance(2.0)


@check(Group.V1G, "DirectiveStatus.certainty")
async def certainty_is_not_rounded_up(bench: Bench) -> None:
    """A directive that was only accepted is ACCEPTED and no more; one in force rests on a later observation."""
    directive = bench.directive(await bench.pausable())
    sent_at = bench.clock.now()
    ack = await bench.submit(directive)
    status = await bench.status(directive)
    if ack.state is DirectiveState.ACCEPTED and status.state is DirectiveState.ACCEPTED:
        expect(status.certainty <= Certainty.ACCEPTED, f"an accepted directive claims {status.certainty.name}")
    status = await bench.settled(directive, lambda told: told.state is DirectiveState.IN_FORCE)
    expect(status.certainty >= Certainty.BACKEND_REPORTED, f"IN_FORCE rests on {status.certainty.name}")
    expect(status.observed_at is not None, "IN_FORCE without the instant of an observation")
    expect(status.observed_at is None or status.observed_at >= sent_at, "IN_FORCE by an observation before the send")


@check(Group.V1G, "Directive.key")
async def the_same_key_is_the_same_directive(bench: Bench) -> None:
    """The same directive again answers as before, and the car is told once."""
    directive = bench.directive(await bench.pausable())
    first = await bench.submit(directive)
    once = len(bench.stage.ledger(directive.vehicle_ref))
    again = await bench.submit(directive)
    expect(again.setting == first.setting, "the second answer has another setting")
    expect(len(bench.stage.ledger(directive.vehicle_ref)) == once, "the car was told twice")


@check(Group.V1G, "Directive.key")
async def the_same_key_from_two_callers_at_once_is_one_effect(bench: Bench) -> None:
    """Three calls with the same key side by side tell the car once."""
    ref = await bench.pausable()
    before = len(bench.stage.ledger(ref))
    directive = bench.directive(ref)
    capability, snapshot = await bench.capability(ref), await bench.snapshot(ref, None)
    calls = [bench.refusal(bench.adapter.submit(directive, capability, snapshot)) for _ in range(3)]
    await asyncio.gather(*calls)
    told = len(bench.stage.ledger(ref)) - before
    await bench.cancel(directive)
    expect(told == 1, f"the car was told {told} times")


@check(Group.V1G, "Directive.key")
async def the_same_key_with_another_body_is_a_conflict(bench: Bench) -> None:
    """A key that stands for another directive is refused, INVALID_REQUEST, and the car is not told."""
    directive = bench.directive(await bench.pausable())
    await bench.submit(directive)
    told = len(bench.stage.ledger(directive.vehicle_ref))
    other = copy_of(directive, end=directive.end + timedelta(minutes=30))
    error = await bench.refused(bench.submit(other), "the same key with another body")
    expect(error.code is ErrorCode.INVALID_REQUEST, f"{error.code}, not INVALID_REQUEST")
    expect(len(bench.stage.ledger(directive.vehicle_ref)) == told, "the car was told all the same")


@check(Group.V1G, "Directive.not_after")
async def a_directive_is_never_sent_after_its_not_after(bench: Bench) -> None:
    """A directive whose not_after has passed is EXPIRED, and the car is not told."""
    ref = await bench.pausable()
    told = len(bench.stage.ledger(ref))
    late = bench.directive(ref, not_after=bench.clock.now() - timedelta(seconds=1))
    error = await bench.refused(bench.submit(late), "a directive after its not_after")
    expect(error.code is ErrorCode.EXPIRED, f"{error.code}, not EXPIRED")
    expect(len(bench.stage.ledger(ref)) == told, "the car was told all the same")


@check(Group.V1G, "Directive.start")
async def a_directive_does_not_begin_before_its_start(bench: Bench) -> None:
    """A directive for later leaves the car alone until its start, then holds it."""
    directive = bench.directive(await bench.pausable(), in_s=1_200.0)
    await bench.submit(directive)
    await bench.stage.advance(900.0)
    expect(bench.stage.truth(directive.vehicle_ref).as_driver_set, "the car is held before the directive's start")
    status = await bench.settled(directive, lambda told: told.state is DirectiveState.IN_FORCE, within_s=1_800.0)
    expect(status.state is DirectiveState.IN_FORCE, f"it did not begin: it is {status.state}")


@check(Group.V1G, "DirectiveState.SUPERSEDED")
async def a_newer_directive_replaces_the_older(bench: Bench) -> None:
    """When a newer directive begins the older is SUPERSEDED, and the car does what the newer says."""
    older = bench.directive(await bench.pausable(), minutes=120)
    await bench.in_force(older)
    newer = bench.directive(older.vehicle_ref, DirectiveKind.RELEASE, supersedes=older.directive_id)
    await bench.submit(newer)
    status = await bench.settled(older, lambda told: told.state is DirectiveState.SUPERSEDED)
    expect(status.state is DirectiveState.SUPERSEDED, f"the older directive is {status.state}")
    await bench.stage.advance(LATENCY_S)
    expect(bench.stage.truth(older.vehicle_ref).power_w > PAUSED_W, "the car is still paused")


@check(Group.V1G, "ErrorCode.ALREADY_IN_STATE")
async def what_is_already_so_is_a_success(bench: Bench) -> None:
    """A pause of a paused car and a start of a charging car are taken, not refused."""
    ref = await bench.pausable()
    await bench.submit(bench.directive(ref, DirectiveKind.CHARGE))
    await bench.in_force(bench.directive(ref, minutes=120))
    again = bench.directive(ref, minutes=90)
    ack = await bench.submit(again)
    expect(ack.state in TAKEN, f"a pause of a paused car is {ack.state}")
    status = await bench.settled(again, lambda told: told.state is DirectiveState.IN_FORCE)
    expect(status.state is DirectiveState.IN_FORCE, f"a pause of a paused car is {status.state}")


@check(Group.V1G, "Directive.power_w")
async def a_cap_without_a_power_is_refused(bench: Bench) -> None:
    """A CAP that names no power is INVALID_REQUEST, and the car is not told."""
    ref = await bench.pausable()
    told = len(bench.stage.ledger(ref))
    error = await bench.refused(bench.submit(bench.directive(ref, DirectiveKind.CAP)), "a CAP without a power")
    expect(error.code is ErrorCode.INVALID_REQUEST, f"{error.code}, not INVALID_REQUEST")
    expect(len(bench.stage.ledger(ref)) == told, "the car was told all the same")
