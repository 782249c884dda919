"""A finished run of the kit as a scorecard: in the terminal, as one HTML page, as JSON, as JUnit XML."""

from collections import Counter
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ven_adapters.adapter_checks.check import AdapterCheck, Group
from ven_adapters.adapter_checks.runner import AdapterResult, AdapterRun
from ven_adapters.simulator.faults.table import FAULTS
from vtn.checking import report
from vtn.checking.verdict import Outcome
from vtn.pages import rendered

GREEN, RED = "green", "red"
OUTCOMES = (Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED)


def verdict(run: AdapterRun) -> str:
    """Green when nothing failed and something passed, else red."""
    return GREEN if not run.having(Outcome.FAILED) and run.having(Outcome.PASSED) else RED


def by_group(run: AdapterRun) -> dict[Group, Counter[Outcome]]:
    """How many checks of each group passed, failed and were left out."""
    found = {group: Counter[Outcome]() for group in Group}
    for result in run.results:
        found[result.check.group][result.outcome] += 1
    return {group: counts for group, counts in found.items() if counts}


def by_fault(run: AdapterRun) -> dict[str, Outcome | None]:
    """What became of each of the faults: failed when a check failed, passed when one passed; None: not tried."""
    tried: dict[str, set[Outcome]] = {}
    for result in run.results:
        tried.setdefault(result.check.fault or "", set()).add(result.outcome)
    return {fault.name: _worst(tried.get(fault.name, set())) for fault in FAULTS}


def _worst(outcomes: set[Outcome]) -> Outcome | None:
    return next((outcome for outcome in (Outcome.FAILED, Outcome.PASSED, Outcome.SKIPPED) if outcome in outcomes), None)


def figures(run: AdapterRun) -> dict[str, Any]:
    """The whole scorecard as plain values."""
    counts = Counter(result.outcome for result in run.results)
    return {
        "adapter": run.subject,
        "against": run.where,
        "verdict": verdict(run),
        **{outcome.value: counts[outcome] for outcome in OUTCOMES},
        "groups": {group.value: {o.value: n[o] for o in OUTCOMES} for group, n in by_group(run).items()},
        "faults": {name: outcome.value if outcome else None for name, outcome in by_fault(run).items()},
        "checks": [_checked(result) for result in run.results],
    }


def _checked(result: AdapterResult) -> dict[str, Any]:
    one = result.check
    return {
        "name": one.name,
        "group": one.group.value,
        "cites": one.cites,
        "fault": one.fault,
        "claim": one.claim,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "seconds": round(result.seconds, 3),
    }


def as_json(run: AdapterRun) -> bytes:
    """The scorecard as JSON."""
    return orjson.dumps(figures(run), option=orjson.OPT_INDENT_2) + b"\n"


def show(run: AdapterRun, console: Console) -> None:
    """The scorecard in the terminal: what failed and what was left out with reasons, the groups, the faults."""
    report.show_unpassed(run, _cited, console)
    rows = [(Text(group.value, _style(counts)), _counted(counts)) for group, counts in by_group(run).items()]
    total = _counted(Counter(result.outcome for result in run.results))
    title = f"{run.subject} against {run.where}"
    console.print(report.counts_table(title, ("", "passed", "failed", "left out"), rows, total))
    _show_faults(run, console)
    console.print(f"{run.subject}: {verdict(run).upper()}", style=f"bold {verdict(run)}", highlight=False)


def _show_faults(run: AdapterRun, console: Console) -> None:
    found = by_fault(run)
    if not any(found.values()):
        return
    table = Table(title="field faults, one by one")
    for column in ("#", "fault", "what the interface shows", ""):
        table.add_column(column)
    for fault in FAULTS:
        outcome = found[fault.name]
        if outcome is not None:
            table.add_row(str(fault.number), fault.name, fault.shows, Text(outcome.value, report.STYLES[outcome]))
    console.print(table)


def _style(counts: Counter[Outcome]) -> str:
    return report.STYLES[_worst({outcome for outcome in counts if counts[outcome]}) or Outcome.SKIPPED]


def _counted(counts: Counter[Outcome]) -> list[int]:
    return [counts[outcome] for outcome in OUTCOMES]


def _cited(one: AdapterCheck) -> str:
    return f"[{one.group.value}, {one.cites}] {one.name}"


def junit(run: AdapterRun) -> bytes:
    """JUnit XML for CI servers."""
    return report.junit(f"adapter {run.subject}", run.results, _case)


def _case(result: AdapterResult) -> report.JUnitCase:
    return report.JUnitCase(result.check.group.value, "", result.check.claim)


def page(run: AdapterRun) -> str:
    """One HTML page that needs nothing from elsewhere."""
    title = f"Adapter {run.subject} against {run.where}"
    return rendered(
        "ven_adapters.adapter_checks/report.html",
        title=title,
        heading=title,
        verdict=verdict(run),
        groups={group: _counted(counts) for group, counts in by_group(run).items()},
        faults=[(fault, outcome or "not tried") for fault, outcome in zip(FAULTS, by_fault(run).values(), strict=True)],
        results=run.results,
    )
