"""Field faults of calls: limits, lost answers, revoked grants, paths that are gone, other apps, late obedience."""

import itertools
from datetime import timedelta

from ven_adapters.adapter_checks.bench import LATENCY_S, Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.checks.orders import PAUSED_W
from ven_adapters.adapter_checks.stage import LOST_ANSWERS, ContactKind
from ven_adapters.contract import BackendError, DirectiveState, ErrorCode
from vtn.checking.verdict import Failed, Skipped, expect

LEAST_WAIT_S = 10.0
MOST_SENDS = 5
MOST_TRIES = 4
MOST_ON_A_CUT = 2


@check(Group.FAULTS, "field fault 4", fault="rate_limited")
async def a_rate_limit_is_told_with_its_wait_and_not_hammered(bench: Bench) -> None:
    """429: RATE_LIMITED or QUOTA_EXHAUSTED with the time to wait; nothing is sent again before that time."""
    ref = await bench.pausable()
    bench.stage.arm("rate_limited", ref)
    since = len(bench.stage.contacts())
    error = await bench.refused(bench.submit(bench.directive(ref)), "a directive that the cloud answered 429")
    expect(error.code in {ErrorCode.RATE_LIMITED, ErrorCode.QUOTA_EXHAUSTED}, f"{error.code}, not RATE_LIMITED")
    expect((error.retry_after_s or 0) > 0, "the time to wait is not told")
    sent = bench.contacts(ContactKind.COMMAND, ref=ref, since=since)
    gaps = [(later.at - earlier.at).total_seconds() for earlier, later in itertools.pairwise(sent)]
    expect(len(sent) <= MOST_SENDS, f"the command was sent {len(sent)} times")
    expect(not gaps or min(gaps) >= LEAST_WAIT_S, f"it was sent again after {min(gaps, default=0):.0f} s")


@check(Group.FAULTS, "field fault 6", fault="lost_answer")
async def a_lost_answer_is_an_unknown_outcome_and_not_sent_again(bench: Bench) -> None:
    """A bare 500 or a cut line after a write is OUTCOME_UNKNOWN, may have happened, and is not blindly sent again.

    Once more is allowed on a line that was cut: HTTP libraries do so with calls that carry an idempotency key.
    """
    ref = await bench.pausable()
    for form in LOST_ANSWERS:
        await bench.stage.restore(ref)
        bench.stage.arm(form, ref)
        since = len(bench.stage.contacts())
        error = await bench.refused(bench.submit(bench.directive(ref)), f"a directive without an answer ({form})")
        expect(error.code is ErrorCode.OUTCOME_UNKNOWN, f"{form}: {error.code}, not OUTCOME_UNKNOWN")
        sent = len(bench.contacts(ContactKind.COMMAND, ref=ref, since=since))
        expect(sent <= MOST_ON_A_CUT, f"{form}: the command was sent {sent} times")
        bench.stage.disarm()


@check(Group.FAULTS, "field fault 6", fault="lost_answer")
async def after_a_lost_answer_the_state_can_be_read(bench: Bench) -> None:
    """After an answer was lost status() tells what became of the directive: known or unknown, never invented.

    An adapter may tell the car again, and time goes by during a call: that the car obeys is asked when the answer came.
    """
    ref = await bench.pausable()

    def obeys() -> bool:
        return abs(bench.stage.truth(ref).power_w) <= PAUSED_W

    for form in LOST_ANSWERS:
        await bench.stage.restore(ref)
        bench.stage.arm(form, ref)
        directive = bench.directive(ref)
        await bench.refused(bench.submit(directive), f"a directive without an answer ({form})")
        bench.stage.disarm()
        await bench.stage.advance(LATENCY_S)
        done = obeys()
        try:  # one call: what comes late may change the answer of the next
            state = (await bench.status(directive)).state
        except BackendError as error:
            expect(error.code is ErrorCode.INVALID_REQUEST, f"{form}: status() is {error.code}")
            expect(not done, f"{form}: the car obeys a directive that status() does not know")
            continue
        if state is DirectiveState.IN_FORCE:
            expect(done or obeys(), f"{form}: IN_FORCE is told of a car that does not obey")
        await bench.refusal(bench.cancel(directive))  # or the next form would find the car as it asks


@check(Group.FAULTS, "field fault 6", fault="lost_answer")
async def a_directive_is_sent_again_after_a_lost_answer_without_a_second_effect(bench: Bench) -> None:
    """The same directive submitted again after its answer was lost takes effect once."""
    ref = await bench.pausable()
    before = len(bench.stage.ledger(ref))
    bench.stage.arm(LOST_ANSWERS[1], ref)
    directive = bench.directive(ref)
    await bench.refused(bench.submit(directive), "a directive without an answer")
    bench.stage.disarm()
    await bench.submit(directive)
    told = len(bench.stage.ledger(ref)) - before
    expect(told == 1, f"the car was told {told} times")


@check(Group.FAULTS, "field fault 15", fault="schedule_clobbered")
async def another_apps_schedule_is_a_conflict(bench: Bench) -> None:
    """A car that another application's schedule owns: SCHEDULE_CONFLICT, and the car is left alone."""
    ref = await bench.pausable()
    bench.stage.arm("schedule_clobbered", ref)
    told = len(bench.stage.ledger(ref))
    error = await bench.refused(bench.submit(bench.directive(ref)), "a directive against another app's schedule")
    expect(error.code is ErrorCode.SCHEDULE_CONFLICT, f"{error.code}, not SCHEDULE_CONFLICT")
    expect(len(bench.stage.ledger(ref)) == told, "the car was told all the same")


@check(Group.FAULTS, "field fault 18", fault="token_revoked")
async def a_revoked_grant_is_told_as_such(bench: Bench) -> None:
    """A grant that was revoked is REAUTH_REQUIRED or CONSENT_REVOKED for every call, and not retryable."""
    ref = await bench.pausable()
    bench.stage.arm("token_revoked", ref)
    directive = bench.directive(ref)
    for what, ask in (("a reading", lambda: bench.snapshot(ref)), ("a directive", lambda: bench.submit(directive))):
        error = await bench.refused(ask(), f"{what} without a grant")
        granted = {ErrorCode.REAUTH_REQUIRED, ErrorCode.CONSENT_REVOKED}
        expect(error.code in granted, f"{what}: {error.code}, not REAUTH_REQUIRED")


@check(Group.FAULTS, "field fault 18", fault="token_revoked")
async def a_revoked_grant_is_not_hammered(bench: Bench) -> None:
    """A refused token is renewed once at most: no log-in loop."""
    ref = await bench.pausable()
    bench.stage.arm("token_revoked", ref)
    since = len(bench.stage.contacts())
    for _ in range(3):
        await bench.refused(bench.snapshot(ref), "a reading without a grant")
    made = len(bench.contacts(ref=ref, since=since)), len(bench.contacts(ContactKind.GRANT, since=since))
    expect(made[0] <= 3 * MOST_TRIES, f"three readings made {made[0]} calls")
    expect(made[1] <= MOST_TRIES, f"three readings asked for {made[1]} tokens")


@check(Group.FAULTS, "field fault 19", fault="path_gone")
async def a_path_that_is_gone_is_not_tried_for_ever(bench: Bench) -> None:
    """410 with a page for humans is an error that is not retryable, and no exception of a parser."""
    ref = await bench.pausable()
    bench.stage.arm("path_gone", ref)
    since = len(bench.stage.contacts())
    error = await bench.refused(bench.snapshot(ref), "a reading of a path that is gone")
    expect(not error.retryable, f"{error.code} invites to try again")
    made = len(bench.contacts(ref=ref, since=since))
    expect(made <= MOST_TRIES, f"one reading made {made} calls")


@check(Group.FAULTS, "field fault 20", fault="delayed")
async def late_obedience_is_not_told_early(bench: Bench) -> None:
    """A command that is obeyed minutes later is not IN_FORCE until the car obeys."""
    ref = await bench.pausable()
    bench.stage.arm("delayed", ref)
    directive = bench.directive(ref, minutes=90)
    await bench.submit(directive)
    for _ in range(60):
        state, power_w = (await bench.status(directive)).state, bench.stage.truth(ref).power_w
        if abs(power_w) <= PAUSED_W:
            return
        expect(state is not DirectiveState.IN_FORCE, f"IN_FORCE is told while the car draws {power_w:.0f} W")
        await bench.stage.advance(30.0)
    raise Skipped("the car did not obey within half an hour")


@check(Group.FAULTS, "field fault 20", fault="delayed")
async def nothing_is_obeyed_after_its_not_after(bench: Bench) -> None:
    """A command that would be obeyed only after its not_after is EXPIRED, and the car stays with its driver."""
    ref = await bench.pausable()
    bench.stage.arm("delayed", ref)
    directive = bench.directive(ref, minutes=90, not_after=bench.clock.now() + timedelta(seconds=150))
    error = await bench.refusal(bench.submit(directive))
    if error is not None:
        expect(error.code in {ErrorCode.EXPIRED, ErrorCode.OUTCOME_UNKNOWN}, f"{error.code}, not EXPIRED")
    await bench.stage.advance(2_400.0)
    truth = bench.stage.truth(ref)
    if truth.as_driver_set and truth.power_w > PAUSED_W:
        return
    if (await bench.status(directive)).state not in {DirectiveState.IN_FORCE, DirectiveState.RELEASED}:
        raise Failed("the car obeyed after not_after, and nobody was told")
    raise Failed("the car obeyed after the directive's not_after")
