"""A closed loop of its own around the shipped planner, over cars that are not as told: `make stress`.

Every cell is one combination of truths (`truth.StressCell`), played for three nights against the engine that ships
(`closed_loop`) and judged by what the cars could have had (`verdict`). Prints what was missed by truth and the worst
cells; `var/stress/summary.json` has every cell. The exit code is 1 when a goal was missed.
"""

import argparse
import contextlib
import dataclasses
import gc
import multiprocessing
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stress.truth import QUICK, QUICK_GIVING, StressCell, giving_matrix, matrix
from stress.verdict import GOALS_OF_ALL, GOALS_OF_CELLS, NightFigures, added, measures, off_peak_points, play

from ven_adapters.ven.planning.charging_need import PlanSettings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "example: make stress ARGS='--cells power=50 early=10 --cars 100'"
WORST_SHOWN = 12
ALL = "all cells"
COLUMNS = ("truth", "cells", "late 1st", "late 3rd", "early leavers late", "worst short", "below reserve")
PRICES = ("off-peak", "oracle", "points below", "of these by the margin")


@dataclasses.dataclass(frozen=True, slots=True)
class CellResult:
    """A cell and its nights."""

    cell: StressCell
    nights: list[NightFigures]


def play_cell(job: tuple[StressCell, argparse.Namespace]) -> CellResult:
    """One cell, in a process of its own; what it holds is freed at its end, which saves a fifth of the time."""
    cell, options = job
    gc.disable()
    nights = play(cell, options.cars, options.seed, PlanSettings(margin_s=60 * options.margin))
    gc.collect()
    return CellResult(cell, nights)


def chosen(options: argparse.Namespace) -> list[StressCell]:
    """The cells to play; of all words of `--cells` a cell needs each truth that is named at least once."""
    if options.quick:
        return list(QUICK_GIVING if options.v2g else QUICK)
    wanted: dict[str, set[str]] = {}
    for word in options.cells:
        wanted.setdefault(_truth_of(word), set()).add(word)
    cells = giving_matrix() if options.v2g else matrix()
    return [one for one in cells if all(words & set(one.words) for words in wanted.values())]


def _truth_of(word: str) -> str:
    return "taper" if word == "flat" else word.partition("=")[0]


def played(options: argparse.Namespace, cells: Sequence[StressCell], console: Console) -> list[CellResult]:
    """All cells in their order, by several processes where there are to be several.

    They are played in an order of chance, and the summary is written after each, so that a run that is ended early
    leaves a fair sample.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    jobs = [(cell, options) for cell in random.Random(options.seed).sample(cells, len(cells))]
    found: dict[StressCell, CellResult] = {}
    with Progress(*columns, console=console) as progress, contextlib.ExitStack() as stack:
        work = map(play_cell, jobs)
        if options.workers > 1:
            work = stack.enter_context(multiprocessing.Pool(options.workers)).imap_unordered(play_cell, jobs)
        for one in progress.track(work, total=len(jobs), description="cells"):
            found[one.cell] = one
            options.out.write_bytes(orjson.dumps(summary(list(found.values()), options), option=orjson.OPT_INDENT_2))
    return [found[cell] for cell in cells]


def together(results: Iterable[CellResult]) -> list[NightFigures]:
    """Night by night the figures of several cells."""
    return [added(nights) for nights in zip(*(one.nights for one in results), strict=True)]


def groups(results: Sequence[CellResult]) -> Iterator[tuple[str, list[CellResult]]]:
    """Cells by each truth that differs between them, then all."""
    words = dict.fromkeys(word for one in results for word in one.cell.words)
    for word in sorted(words, key=lambda word: (_truth_of(word), word)):
        mine = [one for one in results if word in one.cell.words]
        if len(mine) < len(results):
            yield word, mine
    yield ALL, list(results)


def summary(results: Sequence[CellResult], options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is written down."""
    gives = options.v2g
    found = measures(together(results), gives=gives)
    of_cells = {one.cell.name: measures(one.nights, gives=gives) for one in results}
    goals_of_cells, goals_of_all = GOALS_OF_CELLS[gives], GOALS_OF_ALL[gives]
    missed = {
        name: [cell for cell, told in of_cells.items() if told[name] > most] for name, most in goals_of_cells.items()
    }
    return {
        "cars": options.cars,
        "seed": options.seed,
        "margin_min": options.margin,
        "v2g": gives,
        "goals": {"of every cell": goals_of_cells, "of all cells": goals_of_all},
        "all": found,
        "missed_by_all": [name for name, most in goals_of_all.items() if found[name] > most],
        "missed_by_cells": missed,
        "truths": {name: measures(together(mine), gives=gives) for name, mine in groups(results)},
        "cells": {
            one.cell.name: {
                "truth": dataclasses.asdict(one.cell),
                **of_cells[one.cell.name],
                "nights": [dataclasses.asdict(night) for night in one.nights],
            }
            for one in results
        },
    }


def table(title: str, rows: Iterable[tuple[str, int, list[NightFigures]]], *, gives: bool) -> Table:
    """One row for several cells or for one."""
    made = Table(*(COLUMNS if gives else (*COLUMNS, *PRICES)), title=title)
    for name, cells, nights in rows:
        whole = added(nights)
        shares = [f"{one.late / max(1, one.drivers):.1%} ({one.late})" for one in (nights[0], nights[-1])]
        early = f"{whole.early_late} of {whole.early_drivers}" if whole.early_drivers else "-"
        row = [name, str(cells), *shares, early, f"{whole.worst_short_pct:.1f}", str(whole.below_reserve)]
        if not gives:
            mine, best = whole.cheap_kwh / whole.drawn_kwh, whole.oracle_cheap_kwh / whole.oracle_drawn_kwh
            margin = 100 * (whole.oracle_cheap_kwh - whole.patient_cheap_kwh) / whole.oracle_drawn_kwh
            row += [f"{mine:.1%}", f"{best:.1%}", f"{off_peak_points(whole):+.2f}", f"{margin:.2f}"]
        made.add_row(*row, end_section=name == ALL)
    return made


def show(results: Sequence[CellResult], told: dict[str, Any], console: Console) -> None:
    """The tables, and the goals that were missed."""
    gives = told["v2g"]
    rows = [(name, len(mine), together(mine)) for name, mine in groups(results)]
    console.print(table("by truth", rows, gives=gives))
    worst = sorted(results, key=lambda one: -sum(night.late + night.below_reserve for night in one.nights))
    shown = [(one.cell.name, 1, one.nights) for one in worst[:WORST_SHOWN]]
    console.print(table("the worst cells", shown, gives=gives))
    for name in told["missed_by_all"]:
        most = told["goals"]["of all cells"][name]
        console.print(f"[red]missed over all cells[/]: {name} is {told['all'][name]:.4g}, goal at most {most:g}")
    for name, cells in told["missed_by_cells"].items():
        if cells:
            most = told["goals"]["of every cell"][name]
            console.print(f"[red]missed by {len(cells)} of {len(results)} cells[/]: {name}, goal at most {most:g}")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", nargs="*", default=[], metavar="WORD", help="cells with these words of their names")
    parser.add_argument("--cars", type=int, default=200, help="cars of a cell")
    parser.add_argument("--seed", type=int, default=1, help="which drivers and nights")
    parser.add_argument("--margin", type=float, default=30.0, help="minutes by which the planner is to be early")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--quick", action="store_true", help="a few cells")
    parser.add_argument("--v2g", action="store_true", help="batteries that feed the grid from 18 to 20 h")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "stress" / "summary.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, judge, tell; 1 when a goal was missed."""
    options, console, began = parsed(arguments), Console(width=None if sys.stdout.isatty() else 180), time.monotonic()
    cells = chosen(options)
    if not cells:
        console.print(f"no cell has all of: {' '.join(options.cells)}")
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    results = played(options, cells, console)
    told = summary(results, options)
    options.out.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    show(results, told, console)
    console.print(f"{len(cells)} cells in {time.monotonic() - began:.0f} s; {options.out}")
    return int(bool(told["missed_by_all"]) or any(told["missed_by_cells"].values()))


if __name__ == "__main__":
    sys.exit(main())
