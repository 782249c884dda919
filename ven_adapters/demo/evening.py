"""Play the evening: start every program, let the utility act, watch, and judge by the simulators' ground truth."""

import asyncio
import dataclasses
import secrets
import shutil
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from ven_adapters.demo import scenario
from ven_adapters.demo.figures import NightEvents
from ven_adapters.demo.judging import PlayedEvening, judge
from ven_adapters.demo.pacing import EveningPace
from ven_adapters.demo.page import write_page
from ven_adapters.demo.processes import Processes, free_port, output_of
from ven_adapters.demo.results import read_truth
from ven_adapters.demo.scenario import Nomination, nominations
from ven_adapters.demo.screen import Screen
from ven_adapters.demo.utility import Utility
from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.cars.fleets import SimulatedFleet, plan_fleet
from ven_adapters.simulator.cars.past_nights import write_past_readings
from ven_adapters.simulator.settings import SimulatorSettings
from vtn.client import Client
from vtn.clock import GatedClock, print_clock, sleep_until

OEMS = ("bmw", "ford", "honda", "nissan")
UTILITY = "derms"
GATE_S = 0.5
CYCLE_S, MARGIN_S = 300.0, 2_700.0


@dataclasses.dataclass(frozen=True, slots=True)
class EveningOptions:
    """What a user may choose: how many cars, how fast, from which seed, and where the results go.

    `adapter` is the program that steers, `cloud` further arguments of the simulators. `truth` is what the cars really
    are: "mixture" or "as_told". The night ends after `hours`; `solves` says whether the linear programmes are solved
    that bound it, `limits_capacity` whether one zone has a capacity limit. `past_nights`: of how many nights before the
    adapters have readings; without any they know nothing of their cars when the evening begins.
    """

    cars: int = 2000
    speed: float = 500.0
    seed: int = 7
    var: Path = Path("var/demo")
    oems: tuple[str, ...] = OEMS
    adapter: tuple[str, ...] = ("ven_adapters", "run")
    cloud: tuple[str, ...] = ()
    margin_s: float = MARGIN_S
    truth: str = "mixture"
    hours: int = scenario.HOURS
    solves: bool = True
    limits_capacity: bool = True
    past_nights: int = 13


@dataclasses.dataclass(frozen=True, slots=True)
class EveningPlaces:
    """Where the programs of one evening find each other."""

    options: EveningOptions
    clock: GatedClock
    pace: EveningPace
    vtn_url: str
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    fleets: Mapping[str, SimulatedFleet]

    @property
    def nominations(self) -> list[Nomination]:
        """What the automakers nominate."""
        return [nomination for fleet in self.fleets.values() for nomination in nominations(fleet)]


async def play(options: EveningOptions) -> dict[str, Any]:
    """The whole evening; the summary that was written to `summary.json`."""
    began_s = time.time()
    shutil.rmtree(options.var, ignore_errors=True)
    options.var.mkdir(parents=True)
    screen = Screen(options.oems, options.var, options.hours)
    with screen:
        async with Processes(options.var / "logs") as programs:
            stage = await _set_up(options, programs, screen)
            async with Client(stage.vtn_url, UTILITY, stage.secrets[UTILITY]) as client:
                forecast_kw = scenario.load_forecast_kw(options.seed + 1000)
                utility = Utility(client, stage.nominations, forecast_kw, options.hours, options.limits_capacity)
                await _live_through(stage, programs, utility, screen)
                await programs.stop([f"adapter-{oem}" for oem in options.oems])
                await utility.read_reports()
            await programs.stop([f"cloud-{oem}" for oem in options.oems])
    screen.say("judging by the ground truth")
    summary = _judge(stage, utility, time.time() - began_s)
    (options.var / "summary.json").write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    return summary


async def _set_up(options: EveningOptions, programs: Processes, screen: Screen) -> EveningPlaces:
    """Register clients, draw the fleets, and start the VTN, four clouds and four adapters."""
    screen.say("registering the utility and four automakers")
    port, broker_port = free_port(), free_port()
    clock = GatedClock(scenario.STARTS, time.time(), (options.var / "begun").resolve(), options.speed)
    environment = {
        "EVTN_SERVER__PORT": str(port),
        "EVTN_SERVER__VAR": str(options.var / "vtn"),
        "EVTN_SERVER__CLOCK": print_clock(clock),
        "EVTN_MQTT__PORT": str(broker_port),
    }
    fleets = {oem: plan_fleet(_fleet_settings(options, oem)) for oem in options.oems}
    await programs.start("vtn", ["vtn", "serve"], environment)
    await programs.ready("vtn", "ready at")
    names = [(UTILITY, "BL"), *((f"ven-{oem}", "VEN") for oem in options.oems)]
    held = dict(await asyncio.gather(*(_register(name, role, environment) for name, role in names)))
    pace = EveningPace(clock.gate, options.speed)
    stage = EveningPlaces(options, clock, pace, f"http://127.0.0.1:{port}/openadr3/3.1.0", environment, held, fleets)
    if options.past_nights:
        screen.say(f"adapters learn from their cars' readings of the {options.past_nights} nights before")
    screen.say("starting four automaker clouds and four VEN adapters")
    await asyncio.gather(*(_start_automaker(stage, programs, oem) for oem in options.oems))
    return stage


def _fleet_settings(options: EveningOptions, oem: str) -> SimulatorSettings:
    cars, starts_at = options.cars // len(options.oems), scenario.STARTS
    return SimulatorSettings(oem, cars, options.seed, starts_at, token="", nights=1, truth=options.truth)


async def _register(name: str, role: str, environment: Mapping[str, str]) -> tuple[str, str]:
    out = await output_of(["vtn", "client", "add", name, "--role", role, "--json"], environment)
    return name, orjson.loads(out)["secret"]


async def _start_automaker(stage: EveningPlaces, programs: Processes, oem: str) -> None:
    """One automaker: its cloud with its cars, then its adapter with its enrolments."""
    options, folder = stage.options, stage.options.var / oem
    folder.mkdir()
    write_enrolment(stage.fleets[oem], folder / "enrolments.jsonl")
    token, port = secrets.token_urlsafe(24), free_port()
    await programs.start(
        f"cloud-{oem}",
        [
            *("ven_adapters", "simulate", oem, "--cars", str(len(stage.fleets[oem].refs))),
            *("--seed", str(options.seed), "--port", str(port), "--clock", print_clock(stage.clock)),
            *("--starts-at", scenario.STARTS.isoformat(), "--truth", str(options.var / "truth"), "--nights", "1"),
            *("--physics", options.truth),
            *options.cloud,
        ],
        {"VEN_SIMULATOR_TOKEN": token},
    )
    settings = folder / "adapter.toml"
    settings.write_text(_adapter_settings(stage, oem, f"http://127.0.0.1:{port}", token))
    settings.chmod(0o600)
    await _learn(stage, oem, settings)
    await programs.ready(f"cloud-{oem}", "ready")
    await programs.start(f"adapter-{oem}", [*options.adapter, "--config", str(settings)])


async def _learn(stage: EveningPlaces, oem: str, settings: Path) -> None:
    """What the automaker recorded of its cars in the nights before, taught to its adapter."""
    if not (nights := stage.options.past_nights):
        return
    readings = stage.options.var / oem / "past_readings.jsonl"
    await asyncio.to_thread(write_past_readings, _fleet_settings(stage.options, oem), nights, readings)
    await output_of(["ven_adapters", "learn", str(readings), "--config", str(settings)], stage.environment)
    readings.unlink()


def _adapter_settings(stage: EveningPlaces, oem: str, backend_url: str, token: str) -> str:
    folder = stage.options.var / oem
    return "\n".join(
        [
            f'oem = "{oem}"',
            f'client_name = "{oem}"',
            f'enrolments = ["{folder / "enrolments.jsonl"}"]',
            f"cycle_s = {CYCLE_S}",
            f"margin_s = {stage.options.margin_s}",
            f"seed = {stage.options.seed}",
            f'clock = "{print_clock(stage.clock)}"',
            f'var = "{stage.options.var}"',
            "[vtn]",
            f'url = "{stage.vtn_url}"',
            f'client_id = "ven-{oem}"',
            f'client_secret = "{stage.secrets[f"ven-{oem}"]}"',
            "[backend]",
            f'url = "{backend_url}"',
            f'token = "{token}"',
            f'webhook_secret = "{secrets.token_urlsafe(24)}"',
            "webhook_port = 0",
            f'clock = "{print_clock(stage.clock)}"',
            "",
        ]
    )


async def _live_through(stage: EveningPlaces, programs: Processes, utility: Utility, screen: Screen) -> None:
    """The utility publishes and acts; the screen shows; nobody may die; until the morning is over.

    The evening's clock waits until everybody is registered and the evening is published, however slow the machine is.
    """
    screen.say("waiting for the adapters to register their vens and zones")
    await utility.registered()
    await utility.grant()
    await utility.publish()
    screen.say(f"published {len(utility.sent)} events to {len(stage.nominations)} resources; the evening begins")
    stage.pace.begin(time.time() + GATE_S)
    end = scenario.STARTS + timedelta(hours=stage.options.hours)
    acts = (utility.conduct(stage.clock), utility.watch_reports(), stage.pace.keep())
    acting = [asyncio.create_task(act) for act in acts]
    morning = asyncio.create_task(sleep_until(stage.clock, end))
    try:
        while not morning.done():
            programs.check()
            for task in acting:
                if task.done():
                    task.result()
            screen.show(stage.clock.now(), utility)
            await asyncio.wait({morning}, timeout=0.25)
    finally:
        for task in (*acting, morning):
            task.cancel()


def _judge(stage: EveningPlaces, utility: Utility, wall_s: float) -> dict[str, Any]:
    """The summary, and the page beside it."""
    options = stage.options
    alert_at = scenario.ALERT_AT
    events = NightEvents(utility.asks, utility.caps, [(alert_at, alert_at + timedelta(minutes=scenario.ALERT_MINUTES))])
    evening = PlayedEvening(
        var=options.var,
        truths=[read_truth(options.var / "truth", oem, options.hours) for oem in options.oems],
        fleets=stage.fleets,
        utility=utility,
        events=events,
        hours=options.hours,
        passed_s=stage.pace.passed_s,
        cycle_s=CYCLE_S,
        solves=options.solves,
    )
    summary = judge(evening) | {"speed": options.speed, "seed": options.seed, "wall_s": round(wall_s, 1)}
    write_page(options.var / "report.html", evening, summary)
    return summary


def exit_code(summary: Mapping[str, Any]) -> int:
    """0 when every promise held, else 1."""
    broken = ("feasible_late_departures", "reserve_violations", "unauthorised_discharges", "notifications_lost")
    kept = summary["opt_outs_honoured"] == summary["opt_outs"] and not any(summary[name] for name in broken)
    return 0 if kept else 1
