"""The command line `ven-adapters`."""

import asyncio
import contextlib
import dataclasses
import enum
import json
import os
import sys
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table

from ven_adapters.adapter_checks.command import CHECK_EXAMPLE, RECORD_EXAMPLE, check, record
from ven_adapters.guard.command import EXAMPLE as GUARD_EXAMPLE
from ven_adapters.guard.command import guard
from ven_adapters.linking.command import link
from ven_adapters.ven.enrolment.commands import app as enrol_app
from vtn.clock import parse_clock
from vtn.errors import ConfigError, operators_sentence

if TYPE_CHECKING:
    from ven_adapters.simulator.settings import SimulatorSettings
    from vtn.clock import Clock

T = TypeVar("T")
EXECUTORS_HELP = (
    "Plan only; `ven-adapters execute` calls the cars. NATS: nats://HOST:PORT here, tls:// beyond this machine."
)
SHARD_HELP = (
    "Steer the cars of these zones only; other processes steer the rest. Shards of one automaker may be one client and "
    "one ven of the VTN: each registers and reports its own zones. Give a zone to one shard."
)
PRESENTED_HELP = "What callers must present: a bearer token, a client secret, or (ocpp) the stations' own password."
READINGS_HELP = "JSON lines in order of time: vehicle_ref, at, plugged, at_home, charge_state, soc_pct, power_w, ..."
PAST_HELP = "Nights of which adapters have past readings when the evening begins; 0: they know nothing of their cars."
STATE_HELP = "All but automakers': the adapter's private folder; backend.toml and owners' grants are put there."
WEBHOOK_PORT_HELP = "smartcar, enode: where the adapter takes webhooks."
PHYSICS_HELP = "mixture: no car is quite what it tells; as_told: all are, and all alike."
SEED_HELP = "Draws the fleets, the drivers and the faults."
MOST_SEED = 2**32 - 1
CENTRAL = "ws://127.0.0.1:9310"
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
HEADLINES = (
    "asked_kwh",
    "delivered_kwh",
    "tracking_error_pct",
    "feasible_late_departures",
    "left_early_short_though_feasible",
    "reserve_violations",
    "unauthorised_discharges",
    "notifications_lost",
    "opt_outs",
    "opt_outs_honoured",
    "rebound_peak_ratio_night",
    "rebound_peak_ratio_after_event",
    "worst_zone_peak_ratio",
    "worst_zone_peak_ratio_of",
    "max_ramp_pct_5min",
    "bill_over_optimum_pct",
    "event_energy_error_pct",
    "interval_error_p95_pct",
    "zone_interval_error_p95_pct",
    "wall_s",
)


class CarPhysics(enum.StrEnum):
    """What simulated cars really are."""

    MIXTURE = "mixture"
    AS_TOLD = "as_told"


app = typer.Typer(no_args_is_help=True, add_completion=False, help="VENs that charge and discharge automakers' cars.")
app.add_typer(enrol_app, name="enrol")
app.command(epilog="Example: ven-adapters link tesla --account owner-1 --config config/tesla.example.toml")(link)
app.command(epilog=GUARD_EXAMPLE)(guard)
app.command(epilog=CHECK_EXAMPLE)(check)
app.command(epilog=RECORD_EXAMPLE)(record)


def main() -> None:
    """Run the command line; a refusal is one sentence, not a traceback."""
    try:
        app()
    except Exception as error:
        if (sentence := operators_sentence(error)) is None:
            raise
        _fail(sentence, EXIT_CONFIGURATION)


def _fail(sentence: str, code: int) -> NoReturn:
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"ven-adapters: {sentence}", style="bold red", markup=False, highlight=False)
    sys.exit(code)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)


@app.command("list", epilog="Example: ven-adapters list")
def list_adapters() -> None:
    """List the automakers that this installation knows."""
    from ven_adapters.registry import known

    table = Table("automaker")
    for name in known():
        table.add_row(name)
    Console().print(table)


@app.command(epilog="Example: ven-adapters run bmw --config config/ven-adapter.example.toml")
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The adapter's settings file.")],
    name: Annotated[str | None, typer.Argument(help="The automaker, as a check on the file's `oem`.")] = None,
    executors: Annotated[str | None, typer.Option(metavar="URL", help=EXECUTORS_HELP)] = None,
    shard: Annotated[list[str] | None, typer.Option(metavar="ZONE,...", help=SHARD_HELP)] = None,
) -> None:
    """Run one automaker's VEN: read events, steer its enrolled cars, report."""
    from ven_adapters.config import PREFIX, read_settings
    from ven_adapters.ven.run import run as run_until_stopped

    zones = [zone.strip() for given in shard or () for zone in given.split(",") if zone.strip()]
    flags = {f"{PREFIX}_QUEUE__URL": executors, f"{PREFIX}_SHARD": json.dumps(zones) if zones else None}
    settings = read_settings(config, _environment(flags))
    _require_oem(config, settings.oem, name)
    _run(run_until_stopped(settings, settings.shared_clock(), config))


@app.command(epilog="Example: ven-adapters learn sessions.jsonl --config config/ven-adapter.example.toml")
def learn(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help=READINGS_HELP)],
    config: Annotated[Path, typer.Option("--config", "-c", help="The adapter's settings file.")],
) -> None:
    """Teach an adapter from past readings how fast its cars charge and when they are home; before it is started."""
    from ven_adapters.config import read_settings
    from ven_adapters.ven.enrolment.files import Unreadable
    from ven_adapters.ven.past_readings import learn as learn_from

    settings = read_settings(config, _environment({}))
    try:
        learned = _run(learn_from(settings, files, settings.shared_clock().now()))
    except Unreadable as error:
        raise ConfigError(f"nothing was learned:\n{error}") from None
    told = f"learned from {learned.readings:,} readings of {learned.cars:,} cars"
    typer.echo(f"{told}; {learned.strangers:,} readings are of cars that are not enrolled here")


@app.command(epilog="Example: ven-adapters execute bmw --config config/ven-executor.example.toml")
def execute(
    config: Annotated[Path, typer.Option("--config", "-c", help="The executor's settings file.")],
    name: Annotated[str | None, typer.Argument(help="The automaker, as a check on the file's `oem`.")] = None,
    executors: Annotated[str | None, typer.Option(metavar="URL", help="NATS, as for `run`.")] = None,
) -> None:
    """Carry out what planners hand in: call the automaker's backend. Start as many as its budget of calls allows."""
    from ven_adapters.config import EXECUTOR_PREFIX, read_executor_settings
    from ven_adapters.ven.execute import execute as execute_until_stopped

    settings = read_executor_settings(config, _environment({f"{EXECUTOR_PREFIX}_QUEUE__URL": executors}))
    _require_oem(config, settings.oem, name)
    _run(execute_until_stopped(settings, settings.shared_clock(), config))


def _environment(flags: Mapping[str, str | None]) -> dict[str, str]:
    """What the command line says, before what the environment says."""
    return {**os.environ, **{name: value for name, value in flags.items() if value is not None}}


def _require_oem(config: Path, oem: str, name: str | None) -> None:
    if name not in {None, oem}:
        raise ConfigError(f"{config}: oem: is {oem!r}, not {name!r} as the command line says")


@app.command(epilog="Example: ven-adapters explain bmw-0001 --at 2026-07-02T04:10:00Z --config adapter.toml")
def explain(
    vehicle: Annotated[str, typer.Argument(help="The car's pseudonym, as in the enrolments.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The adapter's settings file.")],
    at: Annotated[str | None, typer.Option(help="The instant, RFC 3339 with an offset; default now.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The facts behind the paragraph, too.")] = False,
) -> None:
    """Say in one paragraph why a car did what it did, from what the adapter wrote down at the time."""
    from ven_adapters.ven.explain.command import explain as explain_car

    explain_car(vehicle, at, config, as_json=as_json)


@app.command(epilog="Example: VEN_SIMULATOR_TOKEN=secret ven-adapters simulate nissan --cars 500 --port 9001")
def simulate(  # noqa: PLR0913, PLR0917 - each option is one of the user's
    brand: Annotated[str, typer.Argument(help="bmw, ford, honda, nissan, tesla, smartcar, enode or ocpp.")],
    token: Annotated[str, typer.Option(envvar="VEN_SIMULATOR_TOKEN", help=PRESENTED_HELP)],
    cars: Annotated[int, typer.Option(min=1, max=100_000)] = 500,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED)] = 7,
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 0,
    clock: Annotated[str, typer.Option(help="'real' or START@REAL_START_S*SPEED.")] = "real",
    starts_at: Annotated[str | None, typer.Option(help="The first instant, RFC 3339; default now.")] = None,
    nights: Annotated[int, typer.Option(min=1, max=60)] = 7,
    truth: Annotated[Path | None, typer.Option(help="Folder for the ground truth, written at the end.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=RATE, or NAME or 'all' at the field rate.")] = None,
    power: Annotated[bool, typer.Option(help="Write every car's power by the minute, too.")] = False,  # noqa: FBT002 - a switch
    physics: Annotated[CarPhysics, typer.Option(help=PHYSICS_HELP)] = CarPhysics.MIXTURE,
    state: Annotated[Path, typer.Option(help=STATE_HELP)] = Path("var/simulated"),
    webhook_port: Annotated[int | None, typer.Option(min=1, max=65_535, help=WEBHOOK_PORT_HELP)] = None,
    url: Annotated[str, typer.Option(help="ocpp: the central system that the stations connect to.")] = CENTRAL,
) -> None:
    """Be an automaker's backend, a public cloud or charging stations, with real car physics, drivers and faults.

    tesla, smartcar and enode speak those vendors' own interfaces; ocpp is one charging station per car, which call
    their central system. --state gets the `backend` table with which `ven-adapters run` finds them.
    """
    from ven_adapters.simulator.command import SimulatorOptions, simulated

    if urlsplit(url).scheme not in {"ws", "wss"} or not urlsplit(url).hostname:
        raise typer.BadParameter(f"{url!r} is no address such as {CENTRAL}", param_hint="--url")
    rates = tuple(fault or ())
    settings, shared = _simulated((brand, cars, seed, token), rates, clock, starts_at)
    settings = dataclasses.replace(
        settings, port=port, nights=nights, truth_dir=truth, keeps_power=power, truth=physics
    )
    if truth is not None:
        truth.mkdir(parents=True, exist_ok=True)
    _run(simulated(brand, settings, shared, SimulatorOptions(state, webhook_port, url)))


def _simulated(
    who: tuple[str, int, int, str], faults: tuple[str, ...], clock: str, starts_at: str | None
) -> "tuple[SimulatorSettings, Clock]":
    from ven_adapters.simulator.command import known, models_of
    from ven_adapters.simulator.faults.table import parse_faults
    from ven_adapters.simulator.settings import USUAL_RATES, SimulatorSettings

    brand, cars, seed, token = who
    if brand not in known():
        raise typer.BadParameter(f"{brand!r} has no car models; known are {', '.join(known())}", param_hint="BRAND")
    try:
        shared = parse_clock(clock)
        first = datetime.fromisoformat(starts_at).astimezone(UTC) if starts_at else shared.now()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error), param_hint="--clock or --starts-at") from None
    rates = parse_faults(faults) if faults else USUAL_RATES
    return SimulatorSettings(models_of(brand), cars, seed, first, token, faults=rates), shared


@app.command(epilog="Example: ven-adapters demo --cars 2000 --seed 7")
def demo(
    cars: Annotated[int, typer.Option(min=400, max=20_000, help="Cars in all, a quarter per automaker.")] = 2000,
    speed: Annotated[float, typer.Option(min=1, max=2000, help="Simulated seconds per real second.")] = 500.0,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help=SEED_HELP)] = 7,
    var: Annotated[Path, typer.Option(help="Where the results go.")] = Path("var/demo"),
    physics: Annotated[CarPhysics, typer.Option(help=PHYSICS_HELP)] = CarPhysics.MIXTURE,
    past_nights: Annotated[int, typer.Option(min=0, max=60, help=PAST_HELP)] = 13,
) -> None:
    """Play one July evening: a utility, a VTN, a broker, four automakers and their cars."""
    from ven_adapters.demo.evening import EveningOptions, exit_code, play
    from ven_adapters.demo.processes import ProcessDied
    from ven_adapters.demo.screen import results_table

    try:
        summary = _run(play(EveningOptions(cars, speed, seed, var, truth=physics, past_nights=past_nights)))
    except (ProcessDied, TimeoutError) as error:
        _fail(f"the demonstration stopped: {error or 'a program was not ready in time'}", EXIT_FAILED)
    console = Console()
    console.print(results_table(summary))
    for name in HEADLINES:
        console.print(f"{name:32} {summary.get(name, '-')}", highlight=False)
    console.print(f"\n{var / 'summary.json'}\n{var / 'report.html'}", markup=False, highlight=False)
    sys.exit(exit_code(summary))


if __name__ == "__main__":
    main()
