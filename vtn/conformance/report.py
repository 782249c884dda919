"""A finished run as a terminal table, JUnit XML, one HTML page, and a JSON summary."""

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

from vtn.conformance.check import CHECKS
from vtn.conformance.coverage import covered, uncovered
from vtn.conformance.requirements import Level, every
from vtn.conformance.runner import Run
from vtn.conformance.verdicts import Outcome, Result

STYLES = {Outcome.PASSED: "green", Outcome.FAILED: "bold red", Outcome.BLOCKED: "magenta", Outcome.SKIPPED: "yellow"}
UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
STYLE_SHEET = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b2733}
h1{font-size:1.5rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;
border-bottom:1px solid #dde3e8;vertical-align:top}pre{white-space:pre-wrap;background:#f4f6f8;padding:.6rem;
font-size:.8rem}.passed{color:#0a7d38}.failed{color:#b3261e;font-weight:600}.blocked{color:#7a3e8e}.skipped{color:#8a6100}"""


def printable(text: str) -> str:
    """The text with what XML, HTML and terminals cannot hold as escapes: control characters and lone surrogates."""
    return UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def summary(run: Run) -> dict[str, Any]:
    """The figures of a run."""
    outcomes = Counter(result.outcome for result in run.results)
    return {
        "url": run.url,
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
    for result in run.results:
        if result.outcome is not Outcome.PASSED:
            _tell(result, console)
    table = Table(title=f"OpenADR 3.1 conformance of {run.url}")
    for column in ("section", "passed", "failed SHALL", "failed SHOULD", "failed reading", "blocked", "skipped"):
        table.add_column(column, justify="left" if column == "section" else "right")
    for section, results in by_section(run.results).items():
        table.add_row(section, *map(str, _counts(results)))
    table.add_section()
    table.add_row("all", *map(str, _counts(run.results)))
    console.print(table)
    figures = summary(run)
    console.print(
        f"{figures['requirements_proved']} of {figures['requirements_total']} requirements held in this run, "
        f"{figures['operations_exercised']} of 45 operations exercised, {run.requests} requests."
    )
    for path in run.left_behind:
        console.print(f"could not be deleted: {path}", style="yellow", markup=False)


def _tell(result: Result, console: Console) -> None:
    check = result.check
    console.print(
        f"{result.outcome.upper()} [{check.level}] {' '.join(check.requirements)}  {check.name}",
        style=STYLES[result.outcome],
        markup=False,
        highlight=False,
    )
    console.print(f"    {check.claim}\n    {printable(result.reason)}", markup=False, highlight=False)


def by_section(results: Iterable[Result]) -> Mapping[str, list[Result]]:
    """Results by the section of their first requirement, in the order of the list."""
    sections: dict[str, list[Result]] = {name.partition("-")[0]: [] for name in every()}
    for result in results:
        sections[result.check.requirements[0].partition("-")[0]].append(result)
    return {section: found for section, found in sections.items() if found}


def _counts(results: Iterable[Result]) -> tuple[int, ...]:
    found = list(results)
    failed = Counter(result.check.level for result in found if result.outcome is Outcome.FAILED)
    outcomes = Counter(result.outcome for result in found)
    levels = (failed[Level.SHALL], failed[Level.SHOULD], failed[Level.READING])
    return (outcomes[Outcome.PASSED], *levels, outcomes[Outcome.BLOCKED], outcomes[Outcome.SKIPPED])


def junit(run: Run) -> bytes:
    """JUnit XML; a failure below SHALL is a failure too, its level stands in its type.

    A blocked check is a skipped one, whose type names what stood in the way; that is accused in a case of its own.
    """
    left_out = [*run.skipped(), *run.blocked()]
    suite = ET.Element("testsuite", name="OpenADR 3.1 conformance", tests=str(len(run.results)), errors="0")
    suite.set("failures", str(sum(result.outcome is Outcome.FAILED for result in run.results)))
    suite.set("skipped", str(len(left_out)))
    for result in run.results:
        section = result.check.requirements[0].partition("-")[0]
        case = ET.SubElement(suite, "testcase", classname=section, name=result.check.name)
        case.set("time", f"{result.seconds:.3f}")
        message = printable(result.reason)
        if result.outcome is Outcome.FAILED:
            failure = ET.SubElement(case, "failure", type=str(result.check.level), message=message)
            failure.text = printable(_evidence(result))
        elif result.outcome is not Outcome.PASSED:
            kind = f"blocked by {result.blocked_by}" if result.outcome is Outcome.BLOCKED else "skipped"
            ET.SubElement(case, "skipped", type=printable(kind), message=message)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


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
    figures = "".join(
        f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in summary(run).items()
    )
    rows = "".join(_row(result) for result in run.results)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>OpenADR 3.1 conformance</title>'
        f"<style>{STYLE_SHEET}</style><h1>OpenADR 3.1 conformance of {html.escape(run.url)}</h1>"
        f"<table>{figures}</table><h2>Checks</h2><table><tr><th>requirements</th><th>level</th><th>claim</th>"
        f"<th>outcome</th></tr>{rows}</table></html>\n"
    )


def _row(result: Result) -> str:
    check = result.check
    detail = f"<br>{html.escape(printable(result.reason))}" if result.reason else ""
    if result.outcome is Outcome.FAILED:
        evidence = html.escape(printable(_evidence(result)))
        detail += f"<details><summary>evidence</summary><pre>{evidence}</pre></details>"
    cells = (" ".join(check.requirements), str(check.level), check.claim)
    shown = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f'<tr>{shown}<td><span class="{result.outcome}">{result.outcome}</span>{detail}</td></tr>'


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
