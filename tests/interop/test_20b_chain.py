"""End to end: a utility that speaks 2.0b, our VEN, our VTN, cars of an automaker, and a VEN that speaks 2.0b as well.

The utility and the VEN are stock openleadr; the VTN, both bridges, the adapter and the automaker's cloud are ours and
real. Cars and bridges share one fast clock that begins on an evening in California that is still to come, so that
openleadr, which reads the real clock, tells an event that is ahead.
"""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from agent_rig import SPEED, TOKEN, Rig
from peers20b import NO_WARNINGS, drms, eventually, foreign_ven, interval, measurement
from rigs20b import bridged, bridged_events, downstream_settings, reported, serving, upstream_settings

from ven_adapters.contract import DirectiveState
from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.serve import running
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings
from vtn.clock import SimulatedClock, print_clock
from vtn.oadr20b.downstream.vens import VenProvision
from vtn.wire.enumerations import ObjectType

pytestmark = pytest.mark.filterwarnings(NO_WARNINGS)
NAME = "pge"
GRANTED = f"20b:{NAME}:ven"
CARS = 60
PATIENCE_S = 90.0


@contextlib.asynccontextmanager
async def evening(launch, folder):
    """A VTN, an automaker's cloud and its adapter, at 20:00 in California that is still to come."""
    now = datetime.now(UTC)
    start = now.replace(hour=3, minute=0, second=0, microsecond=0) + timedelta(days=1 if now.hour < 3 else 2)
    clock = SimulatedClock(start, now.timestamp(), SPEED)
    settings = SimulatorSettings("bmw", CARS, 7, start, TOKEN, nights=1, faults=NO_FAULTS, truth="as_told")
    write_enrolment(plan_fleet(settings), folder / "cars.jsonl")
    with launch({"server.clock": print_clock(clock)}, process=True) as vtn:
        async with running(settings, clock) as live:
            rig = Rig(vtn, clock, folder, live.backend.cloud, live.port)
            try:
                yield rig
            finally:
                await rig.close()


def measured_kw(agent):
    """What the cars draw, as the automaker's cloud reads them."""
    state = agent.fleet_state
    return sum(state.meter.sample(zone, float("inf")).power_kw for zone in state.zones)


def in_force(agent, event_id):
    """The directives for an event that the cars themselves have shown to be in force."""
    held = [car.held for _, car in agent.fleet_state.registry if car.held is not None]
    return [one for one in held if one.state is DirectiveState.IN_FORCE and one.directive.origin.event_id == event_id]


async def test_an_event_of_the_utility_moves_cars_and_a_foreign_ven_and_both_are_heard(launch, tmp_path):
    folders = {name: tmp_path / name for name in ("cars", "up", "down")}
    for one in folders.values():
        one.mkdir(mode=0o700)
    async with evening(launch, folders["cars"]) as rig, drms() as utility:
        utility.report_every = timedelta(minutes=5)
        shared = {"clock": print_clock(rig.clock)}
        above = upstream_settings(
            rig.vtn, folders["up"], utility.url, NAME, granularity_s=300.0, report_every_s=300.0, poll_s=60.0, **shared
        )
        below = downstream_settings(rig.vtn, folders["down"], **shared, granularity_s=2.0, report_back_s=4.0)
        below = below.model_copy(update={"reports_client_id": "c2", "reports_client_secret": rig.vtn.secrets["c2"]})
        content = {"objectType": "BL_VEN_REQUEST", "clientID": "c1", "venName": "cars", "targets": [GRANTED]}
        await rig.utility.create(ObjectType.VEN, content)
        async with bridged(above), serving(below, VenProvision("ven-7", "depot", targets=(GRANTED,))) as at:
            agent = await rig.start()
            power = {
                "callback": lambda: 3.5,
                "resource_id": "depot",
                "measurement": measurement("powerReal", "RealPower", "W", "k"),
                "report_type": "demand",
                "sampling_rate": timedelta(seconds=2),
            }
            async with foreign_ven("depot", at.url, reports=[power]) as ven:
                ven_id = f"ven-ven-{NAME}"
                await eventually(lambda: ven_id in utility.vens and agent.fleet_state.capabilities, PATIENCE_S)
                await eventually(lambda: measured_kw(agent) > 50, PATIENCE_S)
                before_kw = measured_kw(agent)
                begins = rig.clock.now()
                event_id = utility.event(ven_id, "SIMPLE", "level", [interval(begins, 180, 3)])
                (made,) = await eventually(lambda: bridged_events(rig.utility, NAME), PATIENCE_S)
                await eventually(lambda: (event_id, "optIn") in utility.opts, PATIENCE_S)

                # the automaker's cars act on it, and their own readings show it
                await eventually(lambda: len(in_force(agent, made["id"])) >= 10, PATIENCE_S)
                await eventually(lambda: measured_kw(agent) < 0.4 * before_kw, PATIENCE_S)

                # the foreign VEN is told the same event, and opts out of it: that goes up again
                (told,) = await eventually(lambda: ven.seen(made["id"]), PATIENCE_S)
                assert [one["signal_name"] for one in told["event_signals"]] == ["SIMPLE"]
                await ven.opt_anew(told, "optOut")
                await eventually(lambda: _opted_out(rig, made), PATIENCE_S)
                await eventually(lambda: at.context.watch.standing_id, PATIENCE_S)
                assert await eventually(
                    lambda: reported(rig.utility, at.context.watch.standing_id, "DEMAND"), PATIENCE_S
                )

                # what the cars drew goes up, too
                await eventually(lambda: utility.values.get("RealPower/None"), PATIENCE_S)
                assert len(utility.registered) == 1


async def _opted_out(rig, made):
    return "optOut" in await reported(rig.utility, made["id"], "X_20B_OPT")
