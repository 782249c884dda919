"""One adapter with a hundred thousand cars, a million cars' day, a discharge held: against the limits they must keep.

`python tests/bench/fleet.py`, or as a part of `make bench`. Everything runs in processes of its own: the simulated
backend on one core, the adapter and the plans on the other. Seconds of planning are seconds of one core.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from figures import Figure, write
from rich import box
from rich.console import Console
from rich.table import Table
from servers import CannotMeasureError, on_core, process, ready_line

from vtn.clock import SimulatedClock, print_clock

HERE = Path(__file__).parent
EVENING = datetime(2026, 7, 2, 3, 0, tzinfo=UTC)  # 20:00 on a Wednesday in California
BRAND, TOKEN = "bmw", "bench"
LONGEST_S = 600.0
CYCLE_S, RESIDENT_MB, DIRECTIVES_PER_S, DAY_S, HOLD_SHARE = 0.5, 600.0, 2_000.0, 3.0, 0.99
READS_S, GRID_S = 0.1, 2.0
console = Console()


def measure(options: argparse.Namespace, folder: Path, cores: tuple[int | None, int | None]) -> list[Figure]:
    """Everything about fleets, printed with the share of each stage; `cores` are the adapter's and the backend's."""
    planned = {"cars": options.day_cars, "batteries": options.batteries, "grid_cars": options.grid_cars}
    planned |= {"transformers": options.transformers, "night_transformers": 400, "night_cars": 5_000}
    plans = _child("fleet_plans.py", planned, cores[0])
    clock = print_clock(SimulatedClock(EVENING, time.time(), 1.0))
    job = {"cars": options.cars, "zones": options.zones, "brand": BRAND, "token": TOKEN, "clock": clock}
    job |= {"folder": str(folder), "seconds": options.fleet_seconds}
    console.print(f"starting a simulated backend with {options.cars:,} cars ...")
    with _backend(job, cores[1]) as (url, pid):
        adapter = _child("fleet_adapter.py", job | {"url": url, "backend_pid": pid}, cores[0])
    found = [*_adapter_figures(adapter), *_plan_figures(plans, options)]
    console.print(table(found))
    for title, shares in (("one planning cycle", "cycle_shares"), ("the adapter while it sends", "send_shares")):
        console.print(f"{title}: " + ", ".join(f"{name} {share:.0%}" for name, share in _ranked(adapter[shares])))
    console.print(_remarks(adapter, plans), markup=False)
    return found


@contextlib.contextmanager
def _backend(job: Mapping[str, Any], core: int | None) -> Iterator[tuple[str, int]]:
    log = Path(job["folder"]) / "backend.log"
    command = [sys.executable, str(HERE / "fleet_backend.py"), json.dumps(job)]
    with on_core(core), process(command, _environ(), log) as running:
        line = ready_line(running, log, within_s=LONGEST_S)
        yield line.split()[-1], running.pid


def _child(script: str, job: Mapping[str, Any], core: int | None) -> dict[str, Any]:
    """Run a script of this folder and read what it found."""
    command = [sys.executable, str(HERE / script), json.dumps(job)]
    with on_core(core):
        done = subprocess.run(command, env=_environ(), capture_output=True, text=True, timeout=LONGEST_S, check=False)
    if done.returncode:
        raise CannotMeasureError(f"{script}: {done.stderr[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environ() -> dict[str, str]:
    """Ours, with the project's own code first."""
    return os.environ | {"PYTHONPATH": str(HERE.parents[1])}


def _at_most(name: str, values: Sequence[float], unit: str, most: float) -> Figure:
    """A figure that must not exceed a limit: the ratio is how many times it would fit in."""
    value = statistics.median(values)
    spread = (max(values) - min(values)) / value
    return Figure(name, round(value, 4), unit, "at most", most, round(most / value, 3), 1.0, round(spread, 3))


def _at_least(name: str, value: float, unit: str, limit: float, share: float) -> Figure:
    """A figure that must reach a share of a limit."""
    return Figure(name, round(value, 1), unit, "at least", round(limit, 1), round(value / limit, 4), share, None)


def _adapter_figures(found: Mapping[str, Any]) -> Iterator[Figure]:
    cars = f"{found['cars']:,} cars"
    yield _at_most(f"planning cycle, {cars}", found["cycle_s"], "s", CYCLE_S)
    yield _at_most(f"readings planned, {cars}", found["reads_s"], "s", READS_S)
    yield _at_most(f"resident memory, {cars}", [found["peak_mb"]], "MB", RESIDENT_MB)
    yield _at_least("directives accepted", found["accepted_per_s"], "per s", DIRECTIVES_PER_S, 1.0)


def _plan_figures(found: Mapping[str, Any], options: argparse.Namespace) -> Iterator[Figure]:
    yield _at_most(f"day of {options.day_cars:,} cars, 96 quarter hours", [found["day_s"]], "s", DAY_S)
    yield _at_most(f"night of {options.day_cars:,} cars, limit and arrivals", [found["night_s"]], "s", DAY_S)
    hold = found["hold"]
    name = f"V2G, {options.batteries:,} cars for 3 h"
    yield _at_least(name, hold["least"] * hold["bound_kw"], "kW", hold["bound_kw"], HOLD_SHARE)
    name = f"cycle, {options.grid_cars:,} cars below {options.transformers:,} transformers"
    yield _at_most(name, [found["grid_first_s"]], "s", GRID_S)
    night = found["grid_night"]
    kept = night["node_minutes"] - night["needless_minutes"]
    yield _at_least("minutes inside limits, where feasible", kept, "min", night["node_minutes"], 1.0)


def _ranked(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: -pair[1])


def _remarks(adapter: Mapping[str, Any], plans: Mapping[str, Any]) -> str:
    cycle_s, whole = statistics.median(adapter["cycle_s"]), plans["hold_whole_pct"]
    night = plans["grid_night"]
    return (
        f"limits of the grid cost {plans['grid_first_s'] - plans['grid_free_s']:.2f} s of a cycle; in a night below"
        f" {night['node_minutes'] / 960:.0f} nodes {night['over_minutes']:.0f} minutes above limits, "
        f"{night['needless_minutes']:.0f} of them where a solver finds a way, {night['late']:.0f} cars late\n"
        f"a cycle takes as long as {cycle_s / adapter['sort_s']:.0f} sorts of as many numbers; "
        f"the day as {plans['day_s'] / plans['day_sort_s']:.0f}\n"
        f"an accepted directive costs {adapter['adapter_us']:.0f} us of the adapter's core and "
        f"{adapter['backend_us']:.0f} us of the backend's; how they stood: {adapter['states']}\n"
        f"enrolling took {adapter['enrol_s']:.1f} s, a first reading of every car {adapter['ingest_s']:.1f} s; "
        f"{adapter['fleet_mb']:.0f} MB before the event, {adapter['imports_mb']:.0f} MB without cars\n"
        f"with levels told in whole percent the discharge holds {whole['least']:.1%}, in the mean {whole['mean']:.1%}; "
        f"such levels let nobody promise more than {whole['sure_kw'] / whole['bound_kw']:.1%}"
    )


def table(found: Sequence[Figure]) -> Table:
    """The figures for a reader."""
    shown = Table(title="A fleet, against its limits", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("", "found", "unit", "", "limit", "ratio", "target"):
        shown.add_column(heading, justify="right" if heading in {"found", "limit", "ratio", "target"} else "left")
    for line in found:
        colour = "red" if line.missed else "green"
        ratio = f"[{colour}]{line.ratio:.3g}[/{colour}]"
        shown.add_row(
            line.name, f"{line.value:,.4g}", line.unit, line.limit, f"{line.limit_value:,.4g}", ratio, str(line.target)
        )
    return shown


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that are about fleets."""
    parser.add_argument("--cars", type=int, default=100_000, help="cars of the one adapter (default 100,000)")
    parser.add_argument("--zones", type=int, default=20, help="zones of the adapter (default 20)")
    parser.add_argument("--day-cars", type=int, default=1_000_000, help="cars of the day plan (default 1,000,000)")
    parser.add_argument("--batteries", type=int, default=10_000, help="cars that discharge (default 10,000)")
    parser.add_argument("--grid-cars", type=int, default=250_000, help="cars below the grid (default 250,000)")
    parser.add_argument("--transformers", type=int, default=20_000, help="transformers of the grid (default 20,000)")
    parser.add_argument("--fleet-seconds", type=float, default=8.0, help="how long directives are sent (default 8)")


def main() -> int:
    """Measure fleets alone; 1 when something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    parser.add_argument("--out", type=Path, default=Path("var/bench/fleet.json"), help="where the figures go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        try:
            found = measure(options, Path(folder), two_cores())
        except CannotMeasureError as reason:
            console.print(f"the bench failed: {reason}", style="bold red", markup=False)
            return 1
    write(found, options.out)
    return 0


def two_cores() -> tuple[int | None, int | None]:
    """The first and the last core we may use; none where there is only one, or no way to choose."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (cores[0], cores[-1]) if len(cores) > 1 else (None, None)


if __name__ == "__main__":
    sys.exit(main())
