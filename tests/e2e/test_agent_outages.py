"""The adapter when things go away and come back: the VTN, the adapter itself, the backend, notifications."""

import pytest
from agent_rig import PATIENT_POLL_S, eventually, eventually_reads, free_port, rigged

from ven_adapters.contract import DirectiveKind, DirectiveState
from vtn.wire.enumerations import ObjectType

S = DirectiveState
MQTT = {"mqtt.mode": "bundled"}


@pytest.fixture
async def rig(launch, tmp_path):
    """Each test has its own cars on its own evening."""
    async with rigged(launch, tmp_path) as made:
        yield made


def in_force(agent):
    return {
        ref: car.held
        for ref, car in agent.fleet_state.registry
        if car.held is not None and car.held.state is S.IN_FORCE
    }


async def stopped_by(rig, agent):
    """An emergency that holds cars back, once it is seen to do so."""
    event = await rig.event("SIMPLE", 3)
    await eventually(lambda: len(in_force(agent)) >= 5)
    return event


async def test_without_the_vtn_what_is_held_is_carried_out_and_it_is_read_again_later(launch, tmp_path):
    async with rigged(launch, tmp_path, process=True) as rig:
        agent = await rig.start()
        await stopped_by(rig, agent)
        rig.vtn.kill()
        cycles, before = agent.statistics.cycles, set(in_force(agent))
        await eventually(lambda: agent.statistics.cycles > cycles + 3)
        assert len(before & set(in_force(agent))) > len(before) / 2
        port = rig.utility.url.split(":")[2].split("/")[0]
        rig.vtn.settings["server.port"] = port
        rig.vtn.start()
        event = await rig.event("X_NEW", 1)
        await eventually(lambda: event["id"] in agent.vtn_objects.events)


async def test_a_restarted_adapter_takes_up_what_it_held_and_sends_nothing_twice(rig):
    agent = await rig.start()
    event = await stopped_by(rig, agent)
    await eventually(lambda: not agent.dispatcher.calling and not agent.fleet_state.restless)
    held = {ref: one.directive.directive_id for ref, one in in_force(agent).items()}
    await rig.stop()
    again = await rig.start()
    await eventually(lambda: len(in_force(again)) >= len(held) // 2)
    same = [ref for ref, one in in_force(again).items() if held.get(ref) == one.directive.directive_id]
    assert len(same) >= len(held) // 2
    assert again.vtn_objects.events[event["id"]].read_at == agent.vtn_objects.events[event["id"]].read_at


async def test_reports_sent_before_a_restart_are_not_sent_again(rig):
    agent = await rig.start()
    event = await rig.event("SIMPLE", 0, minutes=10, reportDescriptors=[{"payloadType": "USAGE"}])
    await eventually_reads(lambda: rig.asked_reports(event))
    await eventually(lambda: agent.reporter.sent)
    await rig.stop()
    again = await rig.start()
    cycles = again.statistics.cycles
    await eventually(lambda: again.statistics.cycles > cycles + 5)
    assert len(await rig.asked_reports(event)) == 1


async def test_a_report_that_fell_due_while_the_adapter_was_down_is_sent_late(rig):
    await rig.start()
    event = await rig.event("SIMPLE", 0, minutes=8, reportDescriptors=[{"payloadType": "USAGE"}])
    await rig.stop()
    end = rig.clock.now().timestamp() + 600
    await eventually(lambda: rig.clock.now().timestamp() > end)
    assert await rig.asked_reports(event) == []
    await rig.start()
    assert await eventually_reads(lambda: rig.asked_reports(event))


async def test_an_mqtt_notification_wakes_an_adapter_that_hardly_polls(launch, tmp_path):
    async with rigged(launch, tmp_path, **MQTT, **{"mqtt.port": str(free_port())}) as rig:
        rig.change(wake={"mode": "mqtt", "poll_s": PATIENT_POLL_S, "first_retry_s": 0.1, "longest_retry_s": 0.3})
        agent = await rig.start()
        event = await listening(rig, agent)
        await rig.cancel(event)
        await eventually(lambda: event["id"] not in agent.vtn_objects.events)
        heard = {(one.object_id, one.operation) for one in agent.vtn_signal.heard}
        assert {(event["id"], "CREATE"), (event["id"], "DELETE")} <= heard


async def test_a_webhook_wakes_an_adapter_that_hardly_polls(launch, tmp_path):
    async with rigged(launch, tmp_path) as rig:
        rig.change(wake={"mode": "webhook", "poll_s": PATIENT_POLL_S, "first_retry_s": 0.1, "longest_retry_s": 0.3})
        agent = await rig.start()
        event = await listening(rig, agent)
        assert (event["id"], "CREATE") in {(one.object_id, one.operation) for one in agent.vtn_signal.heard}
        await rig.stop()
        assert await rig.utility.search(ObjectType.SUBSCRIPTION) == []


async def listening(rig, agent):
    """An event of which the adapter was told: the first may come before it listens, so another follows."""
    program_id = await rig.program()
    for _ in range(20):
        event = await rig.event("X_HINT", 1, program_id=program_id)
        if await told_of(agent, event["id"]):
            await eventually(lambda event_id=event["id"]: event_id in agent.vtn_objects.events)
            return event
    raise AssertionError("no notification came")


async def told_of(agent, event_id):
    """Whether a notification of the event comes within a second."""
    try:
        return await eventually(lambda: any(one.object_id == event_id for one in agent.vtn_signal.heard), 1.0)
    except TimeoutError:
        return False


async def test_cars_that_sleep_and_a_backend_that_refuses_at_times_are_told_in_the_end(launch, tmp_path):
    # Which calls are refused depends on the minute: at one in two, no evening's dozen of cars goes without.
    faults = {"asleep": 0.3, "rate_limited": 0.5}
    async with rigged(launch, tmp_path, faults=faults) as rig:
        agent = await rig.start()
        await stopped_by(rig, agent)
        await eventually(lambda: any(one.attempts > 1 for one in in_force(agent).values()))


async def test_only_batteries_with_every_paper_feed_the_grid_and_their_energy_is_accounted(launch, tmp_path):
    async with rigged(launch, tmp_path, brand="nissan", cars=120) as rig:
        agent = await rig.start()
        await rig.event("DISPATCH_SETPOINT", -400.0, minutes=90)
        await eventually(
            lambda: [ref for ref, one in in_force(agent).items() if one.directive.kind is DirectiveKind.SETPOINT]
        )
        fleet = agent.fleet_state.fleet
        for ref, one in in_force(agent).items():
            if one.directive.kind is DirectiveKind.SETPOINT:
                papers = fleet.enrolment(ref)
                assert papers.discharge_consent
                assert papers.permission.export_limit_w >= -one.directive.power_w
                assert one.directive.max_energy_wh <= papers.discharge_budget.max_event_wh
        await eventually(lambda: any(row.event_wh > 0 for row in agent.fleet_state.exports.values()))
