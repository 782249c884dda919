"""A finished run of the kit as a scorecard: in the terminal, as one HTML page, as JSON, as JUnit XML."""

import html
from collections import Counter
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree as ET

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ven_adapters.adapter_checks.check import Group
from ven_adapters.adapter_checks.runner import AdapterOutcome, AdapterResult, AdapterRun
from ven_adapters.simulator.faults.table import FAULTS

STYLES = {AdapterOutcome.PASSED: "green", AdapterOutcome.FAILED: "bold red", AdapterOutcome.SKIPPED: "yellow"}
GREEN, RED = "green", "red"
STYLE_SHEET = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b2733}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dde3e8;vertical-align:top}
.number{text-align:right}.passed,.green{color:#0a7d38}.failed,.red{color:#b3261e;font-weight:600}.skipped{color:#8a6100}
.verdict{font-size:1.1rem;font-weight:600}small{color:#5c6b78}"""


def verdict(run: AdapterRun) -> str:
    """Green when nothing failed and something passed, else red."""
    return GREEN if not run.having(AdapterOutcome.FAILED) and run.having(AdapterOutcome.PASSED) else RED


def by_group(run: AdapterRun) -> dict[Group, Counter[AdapterOutcome]]:
    """How many checks of each group passed, failed and were left out."""
    found = {group: Counter[AdapterOutcome]() for group in Group}
    for result in run.results:
        found[result.check.group][result.outcome] += 1
    return {group: counts for group, counts in found.items() if counts}


def by_fault(run: AdapterRun) -> dict[str, AdapterOutcome | None]:
    """What became of each of the faults: failed when a check failed, passed when one passed; None: not tried."""
    tried: dict[str, set[AdapterOutcome]] = {}
    for result in run.results:
        tried.setdefault(result.check.fault or "", set()).add(result.outcome)
    return {fault.name: _worst(tried.get(fault.name, set())) for fault in FAULTS}


def _worst(outcomes: set[AdapterOutcome]) -> AdapterOutcome | None:
    order = (AdapterOutcome.FAILED, AdapterOutcome.PASSED, AdapterOutcome.SKIPPED)
    return next((outcome for outcome in order if outcome in outcomes), None)


def figures(run: AdapterRun) -> dict[str, Any]:
    """The whole scorecard as plain values."""
    counts = Counter(result.outcome for result in run.results)
    return {
        "adapter": run.name,
        "against": run.where,
        "verdict": verdict(run),
        **{outcome.value: counts[outcome] for outcome in AdapterOutcome},
        "groups": {group.value: {o.value: n[o] for o in AdapterOutcome} for group, n in by_group(run).items()},
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
    for result in run.results:
        if result.outcome is not AdapterOutcome.PASSED:
            _tell(result, console)
    table = Table(title=f"{run.name} against {run.where}")
    for column in ("", "passed", "failed", "left out"):
        table.add_column(column, justify="right" if column else "left")
    for group, counts in by_group(run).items():
        table.add_row(Text(group.value, _style(counts)), *_cells(counts))
    table.add_section()
    table.add_row("all", *_cells(Counter(result.outcome for result in run.results)))
    console.print(table)
    _show_faults(run, console)
    console.print(f"{run.name}: {verdict(run).upper()}", style=f"bold {verdict(run)}", highlight=False)


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
            table.add_row(str(fault.number), fault.name, fault.shows, Text(outcome.value, STYLES[outcome]))
    console.print(table)


def _style(counts: Counter[AdapterOutcome]) -> str:
    return STYLES[_worst({outcome for outcome in counts if counts[outcome]}) or AdapterOutcome.SKIPPED]


def _cells(counts: Counter[AdapterOutcome]) -> list[str]:
    return [str(counts[outcome]) for outcome in AdapterOutcome]


def _tell(result: AdapterResult, console: Console) -> None:
    one, style = result.check, STYLES[result.outcome]
    head = f"{result.outcome.upper()} [{one.group.value}, {one.cites}] {one.name}"
    console.print(head, style=style, markup=False, highlight=False, soft_wrap=True)
    console.print(f"    {one.claim}\n    {result.reason}", markup=False, highlight=False, soft_wrap=True)


def junit(run: AdapterRun) -> bytes:
    """JUnit XML for CI servers."""
    suite = ET.Element("testsuite", name=f"adapter {run.name}", tests=str(len(run.results)))
    suite.set("failures", str(len(run.having(AdapterOutcome.FAILED))))
    suite.set("skipped", str(len(run.having(AdapterOutcome.SKIPPED))))
    for result in run.results:
        case = ET.SubElement(suite, "testcase", classname=result.check.group.value, name=result.check.name)
        case.set("time", f"{result.seconds:.3f}")
        if result.outcome is AdapterOutcome.FAILED:
            ET.SubElement(case, "failure", message=result.reason).text = result.check.claim
        elif result.outcome is AdapterOutcome.SKIPPED:
            ET.SubElement(case, "skipped", message=result.reason)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def page(run: AdapterRun) -> str:
    """One HTML page that needs nothing from elsewhere."""
    title = f"Adapter {run.name} against {run.where}"
    groups = "".join(
        f"<tr><td>{html.escape(group.value)}</td>{_numbers(counts)}</tr>" for group, counts in by_group(run).items()
    )
    heads = "".join(f'<th class="number">{word}</th>' for word in ("passed", "failed", "left out"))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE_SHEET}</style><h1>{html.escape(title)}</h1>"
        f'<p class="verdict {verdict(run)}">{verdict(run)}</p>'
        f"<table><tr><th>group</th>{heads}</tr>{groups}</table>"
        f"<h2>Field faults, one by one</h2><table><tr><th>#</th><th>fault</th><th>shows</th><th></th></tr>"
        f"{''.join(_fault_rows(run))}</table>"
        f"<h2>Checks</h2><table><tr><th>group</th><th>claim</th><th>proves</th><th>outcome</th></tr>"
        f"{''.join(map(_row, run.results))}</table></html>\n"
    )


def _numbers(counts: Counter[AdapterOutcome]) -> str:
    return "".join(f'<td class="number">{counts[outcome]}</td>' for outcome in AdapterOutcome)


def _fault_rows(run: AdapterRun) -> Iterable[str]:
    found = by_fault(run)
    for fault in FAULTS:
        word = outcome.value if (outcome := found[fault.name]) else "not tried"
        cells = (str(fault.number), fault.name, fault.shows)
        yield f'<tr>{"".join(f"<td>{html.escape(c)}</td>" for c in cells)}<td class="{word}">{word}</td></tr>'


def _row(result: AdapterResult) -> str:
    one = result.check
    reason = f"<br><small>{html.escape(result.reason)}</small>" if result.reason else ""
    return (
        f"<tr><td>{html.escape(one.group.value)}</td><td>{html.escape(one.claim)}<br><small>{one.name}</small></td>"
        f"<td>{html.escape(one.cites)}</td>"
        f'<td><span class="{result.outcome}">{result.outcome}</span>{reason}</td></tr>'
    )
