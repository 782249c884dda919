"""A finished run as a terminal table, JUnit XML, one HTML page, and a JSON summary."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from vtn.checking import report
from vtn.checking.report import printable
from vtn.checking.verdict import Outcome
from vtn.conformance.check import CHECKS, ConformanceCheck, covered, uncovered
from vtn.conformance.requirements import Level, every
from vtn.conformance.runner import Run
from vtn.conformance.verdicts import Result
from vtn.pages import rendered

COLUMNS = ("section", "passed", "failed SHALL", "failed SHOULD", "failed reading", "blocked", "skipped")


def summary(run: Run) -> dict[str, Any]:
    """The figures of a run."""
    outcomes = Counter(result.outcome for result in run.results)
    return {
        "url": run.subject,
        "checks": len(run.results),
        "passed": outcomes[Outcome.PASSED],
        "failed_shall": len(run.failed(Level.SHALL)),
        "failed_should": len(run.failed(Level.SHOULD)),
        "failed_reading": len(run.failed(Level.READING)),
        "blocked": outcomes[Outcome.BLOCKED],
        "skipped": outcomes[Outcome.SKIPPED],
        "requirements_covered": len(covered(result.check for result in run.results)),
        "requirements_proved": len(covered(r.check for r in run.results if r.outcome is Outcome.PASSED)),
        "requirements_total": len(every()),
        "operations_exercised": len(run.operations),
        "requests": run.requests,
        "left_behind": list(run.left_behind),
    }


def outcomes(run: Run) -> dict[str, dict[str, Any]]:
    """Per requirement that a check of this run cites: the level, and what became of its checks."""
    found: dict[str, Counter[str]] = {}
    for result in run.results:
        for name in result.check.requirements:
            found.setdefault(name, Counter())[result.outcome.value] += 1
    return {name: {"level": every()[name].level.value, **found[name]} for name in every() if name in found}


def show(run: Run, console: Console) -> None:
    """Failures and skips with their reasons, then a table by section."""
    report.show_unpassed(run, _cited, console)
    rows = [(section, _counts(results)) for section, results in by_section(run.results).items()]
    title = f"OpenADR 3.1 conformance of {run.subject}"
    console.print(report.counts_table(title, COLUMNS, rows, _counts(run.results)))
    figures = summary(run)
    console.print(
        f"{figures['requirements_proved']} of {figures['requirements_total']} requirements held in this run, "
        f"{figures['operations_exercised']} of 45 operations exercised, {run.requests} requests."
    )
    for path in run.left_behind:
        console.print(f"could not be deleted: {path}", style="yellow", markup=False)


def _cited(check: ConformanceCheck) -> str:
    return f"[{check.level}] {' '.join(check.requirements)}  {check.name}"


def by_section(results: Iterable[Result]) -> Mapping[str, list[Result]]:
    """Results by the section of their first requirement, in the order of the list."""
    sections: dict[str, list[Result]] = {name.partition("-")[0]: [] for name in every()}
    for result in results:
        sections[result.check.section].append(result)
    return {section: found for section, found in sections.items() if found}


def _counts(results: Iterable[Result]) -> tuple[int, ...]:
    found = list(results)
    failed = Counter(result.check.level for result in found if result.outcome is Outcome.FAILED)
    outcomes = Counter(result.outcome for result in found)
    levels = (failed[Level.SHALL], failed[Level.SHOULD], failed[Level.READING])
    return (outcomes[Outcome.PASSED], *levels, outcomes[Outcome.BLOCKED], outcomes[Outcome.SKIPPED])


def junit(run: Run) -> bytes:
    """JUnit XML; a failure below SHALL is a failure too, its level stands in its type.

    The type of a blocked check names what stood in the way; that is accused in a case of its own.
    """
    return report.junit("OpenADR 3.1 conformance", run.results, _case, errors="0")


def _case(result: Result) -> report.JUnitCase:
    kinds = {Outcome.FAILED: str(result.check.level), Outcome.BLOCKED: f"blocked by {result.blocked_by}"}
    return report.JUnitCase(result.check.section, kinds.get(result.outcome, "skipped"), _evidence(result))


def _evidence(result: Result) -> str:
    """What was sent and what came, as text."""
    clauses = [f"{name} ({every()[name].clause}): {every()[name].text}" for name in result.check.requirements]
    lines = [
        f"{exchange.who}: {exchange.method} {exchange.path}\n  sent: {exchange.request_body or '-'}\n"
        f"  came: {exchange.status} {exchange.answer_body or '-'}"
        for exchange in result.exchanges
    ]
    return "\n".join([result.check.claim, *clauses, "", *lines])


def page(run: Run) -> str:
    """One HTML page for an auditor; it needs nothing from elsewhere."""
    rows = [(one, printable(_evidence(one)) if one.outcome is Outcome.FAILED else "") for one in run.results]
    return rendered(
        "vtn.conformance/report.html",
        title="OpenADR 3.1 conformance",
        heading=f"OpenADR 3.1 conformance of {run.subject}",
        figures=summary(run),
        rows=rows,
        printable=printable,
    )


def show_coverage(console: Console, *, as_json: bool) -> None:
    """The requirements without a check, each with its reason."""
    rows = uncovered(CHECKS.values())
    if as_json:
        console.print_json(json.dumps(rows))
        return
    table = Table(title=f"{len(every()) - len(rows)} of {len(every())} requirements have a check; these have none")
    for column in ("requirement", "what it asks", "why there is no check"):
        table.add_column(column)
    for name, reason in rows.items():
        table.add_row(name, every()[name].text, reason)
    console.print(table)
