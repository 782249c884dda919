"""Field faults of cars: asleep, out of reach, off the cable, elsewhere; deaf, stubborn and forgetful cars."""

from ven_adapters.adapter_checks.bench import LATENCY_S, Bench, can_be_paused
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.checks.orders import PAUSED_W
from ven_adapters.adapter_checks.checks.reads import readings, usable
from ven_adapters.adapter_checks.stage import ContactKind
from ven_adapters.contract import (
    FINAL_STATES,
    BackendError,
    Certainty,
    Directive,
    DirectiveKind,
    DirectiveState,
    ErrorCode,
    Known,
    Reachability,
)
from vtn.checking.verdict import Failed, Skipped, expect

AWAY_CODES = {ErrorCode.ASLEEP, ErrorCode.UNREACHABLE}
STEP_S = 120.0
TOLD_W = 700.0
LOW_CAP_W = 1_500
READS = 15


async def not_overstated(bench: Bench, directive: Directive, *, obeyed: bool) -> None:
    """Fail when more is claimed of a directive than the car does; a backend's own word is BACKEND_REPORTED at most.

    Where the backend itself is deceived, the readings have to show what flows, so that whoever asks can see it.
    """
    ref = directive.vehicle_ref
    status = await bench.status(directive)
    if obeyed or status.state is not DirectiveState.IN_FORCE:
        return
    seen = status.certainty in {Certainty.VEHICLE_OBSERVED, Certainty.METERED}
    expect(not seen, f"IN_FORCE is told as {status.certainty.name}, and the car does otherwise")
    told_w, power_w = usable((await bench.snapshot(ref)).power_w), bench.stage.truth(ref).power_w
    expect(told_w is not None, "IN_FORCE is told, and no reading of the power could contradict it")
    expect(abs(told_w - power_w) <= TOLD_W, f"IN_FORCE is told and {told_w:.0f} W, the car draws {power_w:.0f} W")


async def watched(bench: Bench, directive: Directive, minutes: float, asked_w: float) -> None:
    """Watch a directive for a while; never may more be claimed than the car does."""
    for _ in range(int(minutes * 60.0 / STEP_S)):
        await bench.stage.advance(STEP_S)
        power_w = bench.stage.truth(directive.vehicle_ref).power_w
        await not_overstated(bench, directive, obeyed=power_w <= asked_w + PAUSED_W)


@check(Group.FAULTS, "field fault 1", fault="asleep")
async def a_sleeping_car_is_asleep_and_not_unplugged(bench: Bench) -> None:
    """A reading of a sleeping car is ASLEEP, or the last one, marked so; it never says that the cable is out."""
    ref = await bench.pausable()
    await bench.snapshot(ref)
    bench.stage.arm("asleep", ref)
    await bench.stage.advance(120.0)
    try:
        snapshot = await bench.snapshot(ref)
    except BackendError as error:
        expect(error.code in AWAY_CODES, f"{error.code}, not ASLEEP")
        expect(error.retryable, f"{error.code} of a sleeping car must be retryable")
        snapshot = await bench.snapshot(ref, None)
    expect(usable(snapshot.plugged) is not Known.NO, "a sleeping car is told to be unplugged")
    if bench.stage.truth(ref).asleep:
        for name, reading in readings(snapshot):
            stale = name == "reachability" or reading.observed_at < bench.clock.now()
            expect(stale, f"{name}: a sleeping car cannot have been seen just now")
        reach = usable(snapshot.reachability)
        expect(reach is not Reachability.ONLINE, "a sleeping car is told to be ONLINE")


@check(Group.FAULTS, "field fault 1", fault="asleep")
async def a_sleeping_car_is_woken_once_at_most(bench: Bench) -> None:
    """A directive for a sleeping car is ASLEEP or UNREACHABLE, retryable, or succeeds after one wake; never two."""
    ref = await bench.pausable()
    await bench.snapshot(ref)
    bench.stage.arm("asleep", ref)
    await bench.stage.advance(60.0)
    since = len(bench.stage.contacts())
    error = await bench.refusal(bench.submit(bench.directive(ref)))
    if error is not None:
        expect(error.code in AWAY_CODES, f"{error.code}, not ASLEEP")
        expect(error.retryable, f"{error.code} of a sleeping car must be retryable")
    await bench.stage.advance(600.0)
    woken = len(bench.contacts(ContactKind.WAKE, ref=ref, since=since))
    expect(woken <= 1, f"the car was woken {woken} times for one directive")


@check(Group.FAULTS, "field fault 3", fault="deep_sleep")
async def a_car_that_nobody_reaches_is_unreachable(bench: Bench) -> None:
    """A car in deep sleep is UNREACHABLE or ASLEEP; a directive for it is never told in force."""
    ref = await bench.pausable()
    await bench.snapshot(ref)
    bench.stage.arm("deep_sleep", ref)
    directive = bench.directive(ref)
    error = await bench.refusal(bench.submit(directive))
    if error is not None:
        away = AWAY_CODES | {ErrorCode.OUTCOME_UNKNOWN}
        expect(error.code in away, f"{error.code}, not UNREACHABLE")
        return
    await watched(bench, directive, 10, 0.0)


@check(Group.FAULTS, "field fault 5", fault="polling_drain")
async def a_car_that_was_read_flat_is_out_of_reach(bench: Bench) -> None:
    """A car off its plug that was read too often is UNREACHABLE, or its last reading with its age; no exception."""
    ref = await bench.pausable()
    bench.stage.arm("unplugged", ref)
    bench.stage.arm("polling_drain", ref)
    for _ in range(READS):
        error = await bench.refusal(bench.adapter.snapshot(ref, max_age_s=0))
        if error is not None:
            polite = AWAY_CODES | {ErrorCode.RATE_LIMITED, ErrorCode.QUOTA_EXHAUSTED}
            expect(error.code in polite, f"{error.code}, not UNREACHABLE")
            return
        await bench.stage.advance(61.0)
    if not bench.stage.truth(ref).asleep:
        raise Skipped("the adapter did not read the car so often that it went flat")


@check(Group.FAULTS, "field fault 10", fault="unplugged")
async def a_pulled_cable_ends_the_claim(bench: Bench) -> None:
    """When the cable is pulled the readings say so, and the directive is IN_FORCE no more."""
    ref = await bench.pausable()
    directive = bench.directive(ref, minutes=120)
    await bench.in_force(directive)
    bench.listen()
    bench.stage.arm("unplugged", ref)
    status = await bench.settled(directive, lambda told: told.state is not DirectiveState.IN_FORCE, within_s=1_800.0)
    expect(status.state is not DirectiveState.IN_FORCE, "IN_FORCE is told of a car half an hour off its cable")
    expect(status.state is not DirectiveState.RELEASED, "RELEASED is told of a directive that was cut short")
    plugged = usable((await bench.snapshot(ref)).plugged)
    expect(plugged is Known.NO, f"plugged is {plugged} of a car whose cable is out")


@check(Group.FAULTS, "field fault 10", fault="unplugged")
async def a_car_off_its_cable_is_refused(bench: Bench) -> None:
    """A directive for a car whose cable is out is NOT_PLUGGED, and the car is not told."""
    ref = await bench.pausable()
    bench.stage.arm("unplugged", ref)
    await bench.stage.advance(60.0)
    await bench.snapshot(ref)
    told = len(bench.stage.ledger(ref))
    error = await bench.refused(bench.submit(bench.directive(ref)), "a directive for a car off its cable")
    expect(error.code is ErrorCode.NOT_PLUGGED, f"{error.code}, not NOT_PLUGGED")
    expect(len(bench.stage.ledger(ref)) == told, "the car was told all the same")


@check(Group.FAULTS, "field fault 17", fault="wrong_location")
async def a_car_elsewhere_is_refused(bench: Bench) -> None:
    """A car that is not known to be at home is not told to be there, and a directive is NOT_AT_SITE."""
    ref = await bench.pausable()
    bench.stage.arm("wrong_location", ref)
    await bench.stage.advance(60.0)
    at_site = usable((await bench.snapshot(ref)).at_site)
    expect(at_site is not Known.YES, "at_site is yes of a car that is elsewhere")
    told = len(bench.stage.ledger(ref))
    error = await bench.refused(bench.submit(bench.directive(ref)), "a directive for a car elsewhere")
    expect(error.code is ErrorCode.NOT_AT_SITE, f"{error.code}, not NOT_AT_SITE")
    expect(len(bench.stage.ledger(ref)) == told, "the car was told all the same")


@check(Group.FAULTS, "field fault 2", fault="silent_start")
async def a_start_that_does_nothing_is_not_claimed(bench: Bench) -> None:
    """A start that the car ignores is not told as seen, and the readings show that nothing flows."""
    ref = await bench.pausable()
    await bench.in_force(bench.directive(ref, minutes=120))
    bench.stage.arm("silent_start", ref)
    start = bench.directive(ref, DirectiveKind.CHARGE, minutes=60)
    if await bench.refusal(bench.submit(start)):
        return
    for _ in range(5):
        await bench.stage.advance(STEP_S)
        await not_overstated(bench, start, obeyed=bench.stage.truth(ref).power_w > PAUSED_W)


@check(Group.FAULTS, "field fault 11", fault="no_effect")
async def a_limit_without_effect_is_not_claimed(bench: Bench) -> None:
    """A pause that leaves the car at its least current is not told as seen."""
    ref = await bench.pausable()
    bench.stage.arm("no_effect", ref)
    directive = bench.directive(ref)
    if await bench.refusal(bench.submit(directive)) is None:
        await watched(bench, directive, 16, 0.0)


@check(Group.FAULTS, "field fault 12", fault="amps_need_two_sends")
async def a_low_current_that_does_not_take_is_not_claimed(bench: Bench) -> None:
    """A low current that is taken only at the second send is sent again, or not told as seen."""
    ref, _ = await bench.car(lambda capability: capability.current is not None, "takes a current")
    bench.stage.arm("amps_need_two_sends", ref)
    directive = bench.directive(ref, DirectiveKind.CAP, power_w=LOW_CAP_W)
    if await bench.refusal(bench.submit(directive)) is None:
        await watched(bench, directive, 16, LOW_CAP_W)


@check(Group.FAULTS, "field fault 13", fault="cannot_resume")
async def a_car_that_cannot_resume_says_so(bench: Bench) -> None:
    """A car that cannot be stopped, or not be started again, tells it in its capability as it now is."""
    ref = await bench.pausable()
    bench.stage.arm("cannot_resume", ref)
    capability = await bench.capability(ref)
    honest = not capability.can_stop or not capability.can_resume_after_stop
    expect(honest, "the capability promises to stop and to resume a car that cannot")


@check(Group.FAULTS, "field fault 14", fault="blocks_after_stops")
async def a_car_that_blocks_is_seen_not_to_charge(bench: Bench) -> None:
    """A car that charges no more after many stops is told at 0 W and not as CHARGING, after its directive, too."""
    ref, _ = await bench.car(lambda capability: capability.can_stop and can_be_paused(capability), "can be stopped")
    bench.stage.arm("blocks_after_stops", ref)
    directive = bench.directive(ref, minutes=15)
    if await bench.refusal(bench.submit(directive)):
        return
    await bench.stage.advance(16 * 60.0 + LATENCY_S)
    await bench.settled(directive, lambda told: told.state in FINAL_STATES)
    if bench.stage.truth(ref).power_w > PAUSED_W:
        raise Skipped("the car did not block")
    power_w = usable((await bench.snapshot(ref)).power_w)
    expect(power_w is None or power_w <= PAUSED_W, f"{power_w} W are told of a car that blocks")


@check(Group.FAULTS, "field fault 16", fault="restarts_itself")
async def a_car_that_restarts_itself_is_not_claimed(bench: Bench) -> None:
    """A car that charges again by itself within the window is paused again, or not told as seen."""
    ref = await bench.pausable()
    bench.stage.arm("restarts_itself", ref)
    directive = bench.directive(ref, minutes=90)
    if await bench.refusal(bench.submit(directive)) is None:
        await watched(bench, directive, 40, 0.0)


@check(Group.FAULTS, "field fault 21", fault="three_phase")
async def a_current_on_three_phases_shows(bench: Bench) -> None:
    """Where a current flows on three phases instead of one, the readings show the true power."""
    ref, _ = await bench.car(lambda capability: capability.current is not None, "takes a current")
    bench.stage.arm("three_phase", ref)
    directive = bench.directive(ref, DirectiveKind.CAP, power_w=LOW_CAP_W + 100)
    if await bench.refusal(bench.submit(directive)):
        return
    await watched(bench, directive, 8, LOW_CAP_W + 100)
    told_w, power_w = usable((await bench.snapshot(ref)).power_w), bench.stage.truth(ref).power_w
    if told_w is None:
        raise Failed("no power is told of a car that draws thrice what it may")
    expect(abs(told_w - power_w) <= TOLD_W, f"{told_w:.0f} W are told, the car draws {power_w:.0f} W")


@check(Group.FAULTS, "field fault 25", fault="meter_disagrees")
async def the_meter_wins_over_the_state(bench: Bench) -> None:
    """Where the state says stopped and power flows, the power that is told is the one that flows."""
    ref = await bench.pausable()
    bench.stage.arm("meter_disagrees", ref)
    directive = bench.directive(ref)
    if await bench.refusal(bench.submit(directive)):
        return
    await watched(bench, directive, 8, 0.0)
    told_w, power_w = usable((await bench.snapshot(ref)).power_w), bench.stage.truth(ref).power_w
    expect(told_w is None or abs(told_w - power_w) <= TOLD_W, f"{told_w} W are told, the car draws {power_w:.0f} W")
