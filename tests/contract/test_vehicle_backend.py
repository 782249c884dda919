"""One behaviour suite for the vehicle port: every brand's file against a real simulated backend over real HTTP.

In process, and through the queue: a planner's end, a real NATS server, and an executor that holds the brand's file.
"""

import asyncio
import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from pacing import standing_time
from queue_parts import executing, nats_server, planning, queue_settings

from ven_adapters import registry
from ven_adapters.contract import (
    BackendError,
    Certainty,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectivesChanged,
    DirectiveState,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Known,
    OnCommLoss,
    Reachability,
    Rung,
    SnapshotsSeen,
    VehicleBackend,
)
from ven_adapters.simulator.serve import running
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings
from vtn.clock import SimulatedClock

BRANDS = ("bmw", "ford", "honda", "nissan")
EVENING = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)  # 21:00 on a Wednesday in California
SPEED = 1_800.0
PATIENCE_S = 90.0
CARS = 240
ROOMY_PCT = 60.0


@dataclasses.dataclass
class Rig:
    backend: VehicleBackend
    clock: SimulatedClock
    url: str
    cloud: object
    number: int = 0

    def directive(self, ref, kind=DirectiveKind.CURTAIL, *, minutes=60, starts_in_s=0.0, **more):
        self.number += 1
        start = self.clock.now() + timedelta(seconds=starts_in_s)
        end = start + timedelta(minutes=minutes)
        given = {"directive_id": f"d-{self.number}", "key": f"k-{self.number}", "not_after": end} | more
        return Directive(vehicle_ref=ref, kind=kind, start=start, end=end, **given)

    async def submit(self, directive):
        ref = directive.vehicle_ref
        capability, snapshot = await self.backend.capabilities(ref), await self.backend.snapshot(ref)
        return await self.backend.submit(directive, capability, snapshot)

    async def accepted(self, *, charging=False, **more):
        """The first car, in the backend's own order, that takes such a directive; with its directive and the ack."""
        async for vehicle in self.backend.vehicles():
            snapshot = await self.backend.snapshot(vehicle.ref)
            if snapshot.plugged.value is not Known.YES:
                continue
            # A car that is nearly full may be full before it is held.
            if charging and (
                snapshot.charge_state.value is not ChargeState.CHARGING or snapshot.soc_pct.value > ROOMY_PCT
            ):
                continue
            directive = self.directive(vehicle.ref, **more)
            with contextlib.suppress(BackendError):
                return directive, await self.submit(directive)
        raise AssertionError("no car took the directive")


@contextlib.asynccontextmanager
async def rig_of(brand, faults=NO_FAULTS, **more):
    more |= {"faults": faults, "opted_out_probability": 0.0, "truth": "as_told"}
    settings = SimulatorSettings(brand, CARS, 7, EVENING, "a-token", **more)
    async with contextlib.AsyncExitStack() as stack:
        clock = (await stack.enter_async_context(standing_time())).clock(EVENING, SPEED)
        live = await stack.enter_async_context(running(settings, clock))
        url = f"http://127.0.0.1:{live.port}"
        backend = registry.factory(brand)(
            {"url": url, "token": "a-token", "webhook_secret": "hush", "clock": clock, "seed": 1}
        )
        try:
            yield Rig(backend, clock, url, live.backend.cloud)
        finally:
            await backend.close()


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@contextlib.asynccontextmanager
async def through_the_queue(rig, server):
    """The same rig, its backend held by an executor at the other end of a queue."""
    settings = queue_settings(server)
    async with executing(rig.backend, settings, rig.clock), planning(settings, rig.clock) as remote:
        yield dataclasses.replace(rig, backend=remote)


@pytest.fixture(params=[*BRANDS, "bmw through the queue"])
async def rig(request):
    brand, _, queued = request.param.partition(" ")
    async with rig_of(brand) as made:
        if not queued:
            yield made
            return
        async with through_the_queue(made, request.getfixturevalue("nats")) as remote:
            yield remote


@contextlib.asynccontextmanager
async def pushes(rig):
    """A function that waits for the first pushed item of which a predicate is true."""
    source = rig.backend.events()
    first = await asyncio.wait_for(anext(source), PATIENCE_S)

    async def wait(wanted, state=None):
        async with asyncio.timeout(PATIENCE_S):
            for found in items(first):
                if wanted(found):
                    return found
            async for event in source:
                for found in items(event):
                    if wanted(found):
                        return found
        raise AssertionError(state)

    yield wait
    await source.aclose()


def items(event):
    if isinstance(event, SnapshotsSeen):
        return event.snapshots
    return event.statuses if isinstance(event, DirectivesChanged) else (event,)


def is_status(directive, *states):
    return lambda item: getattr(item, "directive_id", None) == directive.directive_id and item.state in states


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def test_every_car_is_listed_once_over_all_pages(rig):
    refs = [vehicle.ref async for vehicle in rig.backend.vehicles()]
    assert len(refs) == len(set(refs)) == CARS


async def test_a_capability_is_discovered_for_every_car(rig):
    async for vehicle in rig.backend.vehicles():
        capability = await rig.backend.capabilities(vehicle.ref)
        assert capability.usable_wh > 30_000
        assert 1_400 <= capability.max_charge_w <= 11_600


async def test_every_reading_of_a_snapshot_carries_the_instant_of_its_observation(rig):
    snapshot = await rig.backend.snapshot(rig.cloud.fleet.refs[0])
    assert snapshot.soc_pct.observed_at <= rig.clock.now()
    assert 0 <= snapshot.soc_pct.value <= 100


async def test_a_snapshot_older_than_asked_is_taken_anew(rig):
    ref = rig.cloud.fleet.refs[0]
    old = await rig.backend.snapshot(ref)
    new = await rig.backend.snapshot(ref, max_age_s=0)
    assert new.soc_pct.observed_at > old.soc_pct.observed_at


async def test_the_same_key_and_body_is_the_same_directive(rig):
    directive, ack = await rig.accepted()
    again = await rig.submit(directive)
    assert (again.directive_id, again.setting, again.backend_action_id) == (
        ack.directive_id,
        ack.setting,
        ack.backend_action_id,
    )
    assert rig.cloud.ledger.summary()["directives_asked"]["CURTAIL"] >= 1


async def test_the_same_key_with_another_body_is_a_conflict(rig):
    directive, _ = await rig.accepted()
    error = await refused(rig.submit(dataclasses.replace(directive, revision=9)))
    assert (error.code, error.retryable) == (ErrorCode.INVALID_REQUEST, False)
    assert "key" in error.detail


async def test_an_unknown_car_is_an_invalid_request(rig):
    assert (await refused(rig.backend.snapshot("nobody"))).code is ErrorCode.INVALID_REQUEST


async def test_a_directive_comes_into_force_and_the_car_is_given_back_at_its_end(rig):
    async with pushes(rig) as wait:
        directive, ack = await rig.accepted(charging=True, minutes=60)
        assert ack.state is DirectiveState.ACCEPTED
        began = await wait(is_status(directive, DirectiveState.IN_FORCE))
        assert began.certainty is Certainty.BACKEND_REPORTED
        snapshot = await rig.backend.snapshot(directive.vehicle_ref, max_age_s=0)
        assert snapshot.power_w.value == 0
        assert snapshot.charge_state.value is ChargeState.PAUSED_BY_DIRECTIVE
        ended = await wait(is_status(directive, DirectiveState.RELEASED))
        assert abs(ended.observed_at - directive.end) < timedelta(milliseconds=2)
        snapshot = await rig.backend.snapshot(directive.vehicle_ref, max_age_s=0)
        assert snapshot.power_w.value > 0


async def test_a_cancelled_directive_ends_early(rig):
    async with pushes(rig) as wait:
        directive, _ = await rig.accepted(charging=True, minutes=180)
        await wait(is_status(directive, DirectiveState.IN_FORCE))
        await rig.backend.cancel(directive.vehicle_ref, directive.directive_id)
        status = await wait(is_status(directive, DirectiveState.CANCELLED))
        assert status.observed_at < directive.end


async def test_a_directive_cancelled_before_its_start_never_begins(rig):
    directive, _ = await rig.accepted(starts_in_s=3_600)
    ack = await rig.backend.cancel(directive.vehicle_ref, directive.directive_id)
    assert ack.state is DirectiveState.CANCELLED
    status = await rig.backend.status(directive.vehicle_ref, directive.directive_id)
    assert (status.state, status.certainty) == (DirectiveState.CANCELLED, Certainty.ACCEPTED)


async def test_a_newer_directive_replaces_the_older_when_it_begins(rig):
    async with pushes(rig) as wait:
        older, _ = await rig.accepted(charging=True, minutes=180)
        await wait(is_status(older, DirectiveState.IN_FORCE))
        newer = rig.directive(older.vehicle_ref, DirectiveKind.RELEASE)
        await rig.submit(newer)
        await wait(is_status(older, DirectiveState.SUPERSEDED))
        assert (await rig.backend.status(newer.vehicle_ref, newer.directive_id)).state is DirectiveState.IN_FORCE


async def test_an_unplugged_car_is_refused(rig):
    cloud = rig.cloud
    car = next(car for car in range(CARS) if cloud.world.home[car] and not cloud.world.plugged[car])
    away = next(car for car in range(CARS) if not cloud.world.home[car])
    for number, code in ((car, ErrorCode.NOT_PLUGGED), (away, ErrorCode.NOT_AT_SITE)):
        release = rig.directive(cloud.fleet.refs[number], DirectiveKind.RELEASE)
        assert (await refused(rig.submit(release))).code is code


async def test_a_directive_after_its_not_after_is_expired(rig):
    ref = rig.cloud.fleet.refs[0]
    late = rig.directive(ref, DirectiveKind.RELEASE, not_after=rig.clock.now() - timedelta(seconds=1))
    assert (await refused(rig.submit(late))).code is ErrorCode.EXPIRED


async def test_a_car_that_could_no_longer_be_ready_is_not_held_back(rig):
    error = None
    for car in range(CARS):
        world = rig.cloud.world
        if world.plugged[car] and world.soc_wh[car] < world.target_wh[car] * 0.8:
            night = rig.directive(rig.cloud.fleet.refs[car], minutes=16 * 60)
            error = await refused(rig.submit(night))
            if error.code is ErrorCode.NOT_PERMITTED and "ready_by" in error.detail:
                return
    if "honda" in rig.cloud.fleet.brand or "nissan" in rig.cloud.fleet.brand:
        assert error.code in {ErrorCode.NOT_SUPPORTED, ErrorCode.NOT_PERMITTED}
    else:
        raise AssertionError(error)


async def test_a_wrong_token_is_refused(rig):
    backend = registry.factory("bmw")({"url": rig.url, "token": "wrong"})
    try:
        assert (await refused(backend.snapshot("bmw-0001"))).code is ErrorCode.REAUTH_REQUIRED
    finally:
        await backend.close()


async def test_a_subscriber_that_cannot_answer_the_challenge_is_refused(rig):
    headers = {"Authorization": "Bearer a-token"}
    body = {"url": f"{rig.url}/v1/vehicles", "secret": "x"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{rig.url}/v1/subscribers", json=body) as answer,
    ):
        assert answer.status == 422
        assert (await answer.json(content_type=None))["code"] == "NOT_PERMITTED"


async def test_pushes_go_to_loopback_only(rig):
    headers = {"Authorization": "Bearer a-token"}
    body = {"url": "http://192.0.2.1/", "secret": "x"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{rig.url}/v1/subscribers", json=body) as answer,
    ):
        assert answer.status == 400


async def test_a_sleeping_car_answers_asleep_and_takes_the_directive_after_the_wake():
    async with rig_of("ford", {"asleep": 1.0}) as rig, pushes(rig) as wait:
        seen = await wait(
            lambda item: (
                getattr(item, "reachability", None) is not None
                and item.reachability.value is Reachability.ASLEEP
                and item.plugged.value is Known.YES
            )
        )
        release = rig.directive(seen.vehicle_ref, DirectiveKind.RELEASE)
        error = await refused(rig.submit(release))
        assert (error.code, error.retryable) == (ErrorCode.ASLEEP, True)
        assert 60 <= error.retry_after_s <= 300
        await wait(
            lambda item: (
                getattr(item, "vehicle_ref", None) == seen.vehicle_ref
                and getattr(item, "reachability", None) is not None
                and item.reachability.value is Reachability.ONLINE
            )
        )
        assert (await rig.submit(release)).state is DirectiveState.ACCEPTED


async def test_a_rate_limit_names_the_time_to_wait():
    async with rig_of("bmw", {"rate_limited": 1.0}) as rig:
        ref = rig.cloud.fleet.refs[0]
        error = await refused(rig.submit(rig.directive(ref, DirectiveKind.RELEASE)))
        assert error.code is ErrorCode.RATE_LIMITED
        assert 15 <= error.retry_after_s <= 45


async def test_a_car_unplugged_in_an_event_interrupts_its_directive():
    async with rig_of("ford", {"unplugged": 1.0}) as rig, pushes(rig) as wait:
        directive, _ = await rig.accepted(charging=True, minutes=90)
        status = await wait(is_status(directive, DirectiveState.INTERRUPTED))
        assert status.error is ErrorCode.NOT_PLUGGED


async def test_a_driver_who_charges_now_overrides_the_directive():
    async with rig_of("bmw", {"override": 1.0}) as rig, pushes(rig) as wait:
        directive, _ = await rig.accepted(charging=True, minutes=90)
        chose = await wait(lambda item: isinstance(item, DriverChose))
        assert (chose.vehicle_ref, chose.choice) == (directive.vehicle_ref, DriverChoice.BOOST)
        status = await rig.backend.status(directive.vehicle_ref, directive.directive_id)
        assert (status.state, status.error) == (DirectiveState.OVERRIDDEN, ErrorCode.USER_OVERRIDE)
        assert (await refused(rig.submit(rig.directive(directive.vehicle_ref)))).code is ErrorCode.USER_OVERRIDE
        assert (await rig.backend.snapshot(directive.vehicle_ref, max_age_s=0)).power_w.value > 0


async def test_a_driver_who_opts_out_is_left_alone_until_the_named_time():
    async with rig_of("ford", {"opt_out": 1.0}) as rig, pushes(rig) as wait:
        directive, _ = await rig.accepted(charging=True, minutes=90)
        chose = await wait(lambda item: isinstance(item, DriverChose))
        assert chose.choice is DriverChoice.OPT_OUT
        assert chose.until > chose.at
        assert (await refused(rig.submit(rig.directive(directive.vehicle_ref)))).code is ErrorCode.USER_OVERRIDE
        assert rig.cloud.ledger.summary()["opt_outs_honoured"] == 1


async def test_a_delayed_command_is_obeyed_minutes_later():
    async with rig_of("bmw", {"delayed": 1.0}) as rig, pushes(rig) as wait:
        directive, _ = await rig.accepted(charging=True, minutes=90)
        status = await wait(is_status(directive, DirectiveState.IN_FORCE))
        assert status.observed_at - directive.start > timedelta(minutes=4)


async def test_a_delayed_command_is_never_executed_after_its_not_after():
    async with rig_of("bmw", {"delayed": 1.0}) as rig, pushes(rig) as wait:
        soon = rig.clock.now() + timedelta(seconds=280)
        directive, _ = await rig.accepted(charging=True, minutes=90, not_after=soon)
        status = await wait(lambda item: getattr(item, "directive_id", None) == directive.directive_id)
        assert (status.state, status.certainty) == (DirectiveState.EXPIRED, Certainty.ACCEPTED)


async def test_a_leaf_at_a_bidirectional_point_feeds_the_grid():
    async with rig_of("nissan") as rig, pushes(rig) as wait:
        directive, ack = await rig.accepted(
            kind=DirectiveKind.SETPOINT, power_w=-4_000, on_comm_loss=OnCommLoss.STOP, minutes=60
        )
        assert (ack.setting.rung, ack.setting.power_w) == (Rung.POWER, -4_000)
        await wait(is_status(directive, DirectiveState.IN_FORCE))
        snapshot = await rig.backend.snapshot(directive.vehicle_ref, max_age_s=0)
        assert (snapshot.charge_state.value, snapshot.power_w.value) == (ChargeState.DISCHARGING, -4_000)


async def test_a_leaf_without_its_papers_is_never_discharged():
    async with rig_of("nissan") as rig:
        fleet, world = rig.cloud.fleet, rig.cloud.world
        bait = [
            car for car in range(CARS) if fleet.max_discharge_w[car] > 0 and fleet.papers[car] and world.plugged[car]
        ]
        assert bait
        for car in bait:
            asked = rig.directive(fleet.refs[car], DirectiveKind.SETPOINT, power_w=-4_000, on_comm_loss=OnCommLoss.STOP)
            assert (await refused(rig.submit(asked))).code is ErrorCode.NOT_PERMITTED
        assert rig.cloud.ledger.summary()["unauthorised_discharges"] == 0


@pytest.mark.parametrize(("token", "status"), [("a-token", 200), ("wrong", 401)])
async def test_the_ground_truth_is_written_on_demand(tmp_path, token, status):
    async with (
        rig_of("honda", truth_dir=tmp_path) as rig,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.post(f"{rig.url}/truth") as answer,
    ):
        assert answer.status == status
    written = ["truth-honda.json", "truth-honda.npz"] if status == 200 else []
    assert sorted(path.name for path in tmp_path.iterdir()) == written
