"""The vehicle port's behaviour over the public vendors' files, against recorded shapes over real HTTP."""

import asyncio
import contextlib
import dataclasses
from datetime import timedelta

import pytest
from public_rigs import PATIENCE_S, RIGS

from ven_adapters.contract import (
    BackendError,
    Certainty,
    ChargeState,
    DirectiveKind,
    DirectivesChanged,
    DirectiveState,
    ErrorCode,
    Known,
    OnCommLoss,
)


@pytest.fixture(params=sorted(RIGS))
async def rig(request, tmp_path):
    async with RIGS[request.param](tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def pushes(rig):
    """A function that waits for a pushed state of a directive."""
    source = rig.backend.events()
    seen = []

    async def listen():
        async for event in source:
            seen.append(event)  # noqa: PERF401 - the source has no end

    task = asyncio.create_task(listen())

    def found(directive, state):
        for event in seen:
            statuses = event.statuses if isinstance(event, DirectivesChanged) else ()
            for status in statuses:
                if status.directive_id == directive.directive_id and status.state is state:
                    return status
        return None

    async def wait(directive, state):
        async with asyncio.timeout(PATIENCE_S):
            while (status := found(directive, state)) is None:  # noqa: ASYNC110 - a list tells nobody that it grew
                await asyncio.sleep(0.01)
            return status

    yield wait
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await source.aclose()


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def test_every_car_is_listed_once(rig):
    refs = [vehicle.ref async for vehicle in rig.backend.vehicles()]
    assert sorted(refs) == sorted(rig.refs)


async def test_a_capability_is_discovered_for_every_car(rig):
    async for vehicle in rig.backend.vehicles():
        capability = await rig.backend.capabilities(vehicle.ref)
        assert capability.usable_wh > 30_000
        assert 1_000 <= capability.max_charge_w <= 23_000


async def test_every_reading_of_a_snapshot_carries_the_instant_of_its_observation(rig):
    snapshot = await rig.backend.snapshot(rig.refs[0])
    assert snapshot.soc_pct.observed_at <= rig.clock.now()
    assert snapshot.soc_pct.value == 48
    assert snapshot.charge_state.value is ChargeState.CHARGING
    assert snapshot.at_site.value is Known.YES


async def test_a_snapshot_older_than_asked_is_taken_anew(rig):
    old = await rig.backend.snapshot(rig.refs[0])
    new = await rig.backend.snapshot(rig.refs[0], max_age_s=0)
    assert new.soc_pct.observed_at > old.soc_pct.observed_at


async def test_the_same_key_and_body_is_the_same_directive_and_one_effect(rig):
    directive = rig.directive(rig.refs[0])
    ack = await rig.submit(directive)
    calls = len(rig.cloud.commands())
    assert (await rig.submit(directive)).setting == ack.setting
    assert len(rig.cloud.commands()) == calls == 1


async def test_the_same_directive_from_two_callers_at_once_is_sent_once(rig):
    directive = rig.directive(rig.refs[0])
    capability, snapshot = await rig.backend.capabilities(rig.refs[0]), await rig.backend.snapshot(rig.refs[0])
    acks = await asyncio.gather(*(rig.backend.submit(directive, capability, snapshot) for _ in range(3)))
    assert len(rig.cloud.commands()) == 1
    assert len({ack.setting for ack in acks}) == 1


async def test_a_directive_taken_before_its_start_begins_by_itself_and_ends_by_itself(rig):
    async with pushes(rig) as wait:
        directive = rig.directive(rig.refs[0], starts_in_s=300, minutes=15)
        await rig.submit(directive)
        assert rig.cloud.commands() == []
        began = await wait(directive, DirectiveState.IN_FORCE)
        assert began.observed_at > directive.start
        await wait(directive, DirectiveState.RELEASED)
        assert rig.car().charging


async def test_a_command_that_is_refused_for_a_while_is_sent_later_and_never_after_its_not_after(rig):
    soon = rig.clock.now() + timedelta(seconds=600)
    directive = rig.directive(rig.refs[0], starts_in_s=300, minutes=60, not_after=soon)
    await rig.submit(directive)
    rig.cloud.fail(rig.cloud.stop, "rate_limited_429", times=50)
    async with pushes(rig) as wait:
        await wait(directive, DirectiveState.EXPIRED)
    assert rig.car().charging
    assert 1 <= len(rig.cloud.commands()) <= 5


async def test_the_same_key_with_another_body_is_a_conflict(rig):
    directive = rig.directive(rig.refs[0])
    await rig.submit(directive)
    error = await refused(rig.submit(dataclasses.replace(directive, revision=9)))
    assert (error.code, error.retryable) == (ErrorCode.INVALID_REQUEST, False)
    assert "key" in error.detail


async def test_an_unknown_car_is_an_invalid_request(rig):
    assert (await refused(rig.backend.snapshot("nobody"))).code is ErrorCode.INVALID_REQUEST


async def test_a_directive_comes_into_force_and_the_car_is_given_back_at_its_end(rig):
    async with pushes(rig) as wait:
        directive = rig.directive(rig.refs[0], minutes=20)
        ack = await rig.submit(directive)
        assert ack.state is DirectiveState.ACCEPTED
        assert not rig.car().charging
        began = await wait(directive, DirectiveState.IN_FORCE)
        assert began.certainty is Certainty.VEHICLE_OBSERVED
        ended = await wait(directive, DirectiveState.RELEASED)
        assert ended.error is None
        assert rig.clock.now() >= directive.end
        assert rig.car().charging


async def test_a_directive_comes_into_force_by_nothing_older_than_its_send(rig):
    async with pushes(rig) as wait:
        directive = rig.directive(rig.refs[0], minutes=20)
        await rig.submit(directive)
        sent_by = rig.clock.now()
        began = await wait(directive, DirectiveState.IN_FORCE)
        assert began.observed_at > directive.start
        assert began.observed_at <= sent_by + timedelta(hours=1)


async def test_telemetry_that_stands_still_never_confirms(rig):
    rig.cloud.observed = rig.clock.now()
    async with pushes(rig) as wait:
        directive = rig.directive(rig.refs[0], minutes=20)
        await rig.submit(directive)
        expired = await wait(directive, DirectiveState.EXPIRED)
        assert expired.certainty is Certainty.ACCEPTED
        assert rig.car().charging


async def test_a_car_that_does_not_obey_is_told_thrice_and_then_the_directive_fails(rig):
    rig.car().obeys = False
    async with pushes(rig) as wait:
        directive = rig.directive(rig.refs[0], minutes=120)
        await rig.submit(directive)
        failed = await wait(directive, DirectiveState.FAILED)
        assert failed.error is ErrorCode.REJECTED_BY_VEHICLE
        assert len(rig.cloud.commands()) == 3


async def test_a_cancelled_directive_gives_the_car_back_early(rig):
    directive = rig.directive(rig.refs[0], minutes=180)
    await rig.submit(directive)
    ack = await rig.backend.cancel(rig.refs[0], directive.directive_id)
    assert ack.state is DirectiveState.CANCELLED
    assert rig.car().charging


async def test_a_directive_cancelled_before_its_start_never_begins(rig):
    directive = rig.directive(rig.refs[0], starts_in_s=36_000)
    await rig.submit(directive)
    assert (await rig.backend.cancel(rig.refs[0], directive.directive_id)).state is DirectiveState.CANCELLED
    status = await rig.backend.status(rig.refs[0], directive.directive_id)
    assert (status.state, status.certainty) == (DirectiveState.CANCELLED, Certainty.ACCEPTED)
    assert rig.cloud.commands() == []


async def test_a_newer_directive_replaces_the_older_when_it_begins(rig):
    older = rig.directive(rig.refs[0], minutes=180)
    await rig.submit(older)
    await rig.submit(rig.directive(rig.refs[0], DirectiveKind.RELEASE))
    assert (await rig.backend.status(rig.refs[0], older.directive_id)).state is DirectiveState.SUPERSEDED
    assert rig.car().charging


async def test_an_unplugged_car_is_refused(rig):
    assert (await refused(rig.submit(rig.directive(rig.refs[1])))).code is ErrorCode.NOT_PLUGGED
    assert rig.cloud.commands() == []


async def test_a_car_away_from_home_is_refused(rig):
    rig.car().home = False
    assert (await refused(rig.submit(rig.directive(rig.refs[0])))).code is ErrorCode.NOT_AT_SITE
    assert rig.cloud.commands() == []


async def test_a_directive_after_its_not_after_is_expired(rig):
    late = rig.directive(rig.refs[0], not_after=rig.clock.now() - timedelta(seconds=1))
    assert (await refused(rig.submit(late))).code is ErrorCode.EXPIRED


async def test_no_public_vendor_discharges(rig):
    asked = rig.directive(rig.refs[0], DirectiveKind.SETPOINT, power_w=-4_000, on_comm_loss=OnCommLoss.STOP)
    assert (await refused(rig.submit(asked))).code is ErrorCode.NOT_SUPPORTED


async def test_silence_after_a_command_is_an_unknown_outcome_that_is_read_before_anything_is_sent_again(rig):
    directive = rig.directive(rig.refs[0], minutes=60)
    rig.cloud.fail(rig.cloud.stop, "silence", acts=True)
    assert (await refused(rig.submit(directive))).code is ErrorCode.OUTCOME_UNKNOWN
    assert (await rig.backend.status(rig.refs[0], directive.directive_id)).state is DirectiveState.IN_FORCE
    assert len(rig.cloud.commands()) == 1


async def test_a_restart_takes_windows_up_and_gives_the_car_back(rig):
    directive = rig.directive(rig.refs[0], minutes=15)
    await rig.submit(directive)
    await rig.backend.close()
    calls = len(rig.cloud.commands())
    again = rig.reborn()
    try:
        async with pushes(again) as wait:
            await wait(directive, DirectiveState.RELEASED)
    finally:
        await again.backend.close()
    assert rig.car().charging
    assert len(rig.cloud.commands()) == calls + 1


async def test_a_rate_limit_names_the_time_to_wait_and_nothing_is_sent_before(rig):
    rig.cloud.fail(rig.cloud.stop, "rate_limited_429")
    error = await refused(rig.submit(rig.directive(rig.refs[0])))
    assert (error.code, error.retry_after_s) == (ErrorCode.RATE_LIMITED, 90.0)
    assert len(rig.cloud.commands()) == 1


async def test_a_refused_token_is_renewed_once_and_the_call_repeated(rig):
    await rig.backend.snapshot(rig.refs[0])
    rig.cloud.good.clear()
    await rig.backend.snapshot(rig.refs[0], max_age_s=0)
    assert len(rig.cloud.refreshes) == 2


async def test_nothing_of_a_car_or_a_secret_is_logged(rig, caplog):
    caplog.set_level("DEBUG")
    rig.cloud.fail(rig.cloud.stop, "rate_limited_429")
    await refused(rig.submit(rig.directive(rig.refs[0])))
    await rig.submit(rig.directive(rig.refs[0]))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("ven_adapters")]
    secrets = [*rig.cloud.cars, "hush", *rig.cloud.good, "refresh_token-"]
    assert [(line, word) for line in ours for word in secrets if word in line] == []


async def test_a_car_that_charges_again_by_itself_is_not_told_to_be_paused(rig):
    directive = rig.directive(rig.refs[0], minutes=120)
    async with pushes(rig) as wait:
        await rig.submit(directive)
        await wait(directive, DirectiveState.IN_FORCE)
        rig.car().charging = True
        await wait(directive, DirectiveState.INTERRUPTED)
        await wait(directive, DirectiveState.IN_FORCE)


async def test_a_car_that_had_not_obeyed_by_its_not_after_is_given_back(rig):
    rig.car().obeys = False
    soon = rig.clock.now() + timedelta(seconds=90)
    directive = rig.directive(rig.refs[0], minutes=120, not_after=soon)
    async with pushes(rig) as wait:
        await rig.submit(directive)
        await wait(directive, DirectiveState.EXPIRED)
    assert rig.car().charging


async def test_a_power_that_is_missing_is_an_invalid_request(rig):
    error = await refused(rig.submit(rig.directive(rig.refs[0], DirectiveKind.CAP)))
    assert (error.code, error.detail.partition(":")[0]) == (ErrorCode.INVALID_REQUEST, "power_w")
