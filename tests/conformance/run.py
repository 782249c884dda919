"""`make conformance`: the kit judges a fresh server, then mutations and honest foreign VTNs judge the kit.

The figures are written to var/conformance/.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import matrix
from foreign import HONEST
from front import served_with
from mutants import MUTANTS
from ours import KNOWN_GAPS, VARIANTS, judged, mutated
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from vtn.checking.verdict import Outcome
from vtn.conformance import report, runner
from vtn.conformance.check import CHECKS
from vtn.conformance.requirements import Level

FOLDER = Path("var/conformance")


async def noticed(name: str, var: Path) -> list[str]:
    """The checks that notice a mutation, of those that should."""
    async with mutated(MUTANTS[name], var) as plan:
        results = (await runner.run(plan)).results
    return [result.check.name for result in results if result.outcome is Outcome.FAILED]


def noticed_in_a_process(name: str) -> tuple[str, list[str]]:
    """The same, in a process of its own."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        return name, asyncio.run(noticed(name, Path(folder) / "var"))


async def accusations(name: str, var: Path) -> list[str]:
    """The checks that accuse an honest foreign VTN of breaking a SHALL, which are wrong."""
    async with served_with((HONEST[name](),), var) as plan:
        run = await runner.run(plan)
    return [result.check.name for result in run.failed(Level.SHALL)]


def accusations_in_a_process(name: str) -> tuple[str, list[str]]:
    """The same, in a process of its own."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        return name, asyncio.run(accusations(name, Path(folder) / "var"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, write, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Example: make conformance ARGS='--processes 1'")
    parser.add_argument("--processes", type=int, default=2, help="how many mutated servers run at a time")
    parser.add_argument("--readme", action="store_true", help="write the support matrix into docs/certification.md")
    options = parser.parse_args(arguments)
    console = Console()
    logging.disable(logging.WARNING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Progress(console=console, transient=True) as progress:
        task = progress.add_task("checks", total=sum(len(CHECKS.chosen(variant.only)) for variant in VARIANTS))
        run = asyncio.run(judged(Path(folder), {}, lambda _result: progress.advance(task)))
    report.show(run, console)
    with ProcessPoolExecutor(options.processes) as pool, Progress(console=console, transient=True) as progress:
        found = dict(
            progress.track(pool.map(noticed_in_a_process, MUTANTS), total=len(MUTANTS), description="mutations")
        )
        wrong = dict(
            progress.track(pool.map(accusations_in_a_process, HONEST), total=len(HONEST), description="foreign VTNs")
        )
    show_mutations(found, console)
    show_foreign(wrong, console)
    figures = report.summary(run) | {"mutations": len(found), "mutations_caught": sum(map(bool, found.values()))}
    figures |= {"foreign": len(wrong), "foreign_accused": sum(map(bool, wrong.values()))}
    (FOLDER / "summary.json").write_text(json.dumps(figures, indent=2) + "\n")
    (FOLDER / "mutations.json").write_text(json.dumps(found, indent=2) + "\n")
    (FOLDER / "foreign.json").write_text(json.dumps(wrong, indent=2) + "\n")
    (FOLDER / "report.html").write_text(report.page(run))
    (FOLDER / "junit.xml").write_bytes(report.junit(run))
    (FOLDER / "results.json").write_text(json.dumps(report.outcomes(run), indent=2) + "\n")
    console.print(f"{figures['mutations_caught']} of {figures['mutations']} mutations caught; see {FOLDER}/report.html")
    console.print(
        f"{figures['foreign_accused']} of {figures['foreign']} honest foreign VTNs accused of breaking a SHALL"
    )
    if options.readme:
        matrix.write(run)
    failed = {result.check.name for result in run.results if result.outcome is Outcome.FAILED}
    return 0 if failed == KNOWN_GAPS and all(found.values()) and not any(wrong.values()) else 1


def show_foreign(wrong: dict[str, list[str]], console: Console) -> None:
    """Which honest VTNs were tried, and who accused them."""
    table = Table(title="Honest foreign VTNs")
    for column in ("freedom", "accused of breaking a SHALL by"):
        table.add_column(column)
    for name, checks in wrong.items():
        table.add_row((HONEST[name].__doc__ or "").partition("\n")[0], ", ".join(checks) or "nobody")
    console.print(table)


def show_mutations(found: dict[str, list[str]], console: Console) -> None:
    """What was broken, and who noticed."""
    table = Table(title="Mutations of our own VTN")
    for column in ("broken", "requirement", "noticed by"):
        table.add_column(column)
    for name, checks in found.items():
        words = checks[0] + (f" and {len(checks) - 1} more" if len(checks) > 1 else "") if checks else "[red]nobody[/]"
        table.add_row(MUTANTS[name].breaks, MUTANTS[name].requirement, words)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
