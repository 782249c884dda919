"""What both kits' reports share: lines and tables in the terminal, JUnit XML, the files."""

import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from xml.etree import ElementTree as ET

from rich.console import Console, RenderableType
from rich.table import Table

from vtn.checking.registry import C
from vtn.checking.verdict import CheckResult, CheckRun, E, Outcome

R = TypeVar("R", bound=CheckRun[Any, Any])
EXIT_CANNOT_RUN = 2
STYLES = {Outcome.PASSED: "green", Outcome.FAILED: "bold red", Outcome.BLOCKED: "magenta", Outcome.SKIPPED: "yellow"}
UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    """The text with what XML, HTML and terminals cannot hold as escapes: control characters and lone surrogates."""
    return UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def show_unpassed(run: CheckRun[C, E], about: Callable[[C], str], console: Console) -> None:
    """Every result that is no pass, with its claim and its reason; `about` says what the check cites."""
    for result in run.results:
        if result.outcome is Outcome.PASSED:
            continue
        head, style = f"{result.outcome.upper()} {about(result.check)}", STYLES[result.outcome]
        console.print(head, style=style, markup=False, highlight=False, soft_wrap=True)
        words = f"    {result.check.claim}\n    {printable(result.reason)}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)


def counts_table(
    title: str, columns: Sequence[str], rows: Iterable[tuple[RenderableType, Iterable[int]]], total: Iterable[int]
) -> Table:
    """Counts by group, and below a line those of all."""
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for name, counts in rows:
        table.add_row(name, *map(str, counts))
    table.add_section()
    table.add_row("all", *map(str, total))
    return table


@dataclasses.dataclass(frozen=True, slots=True)
class JUnitCase:
    """How JUnit shows a result: its class, the `type` of what is not passed ("" for none), and a failure's text."""

    section: str
    kind: str
    text: str


def junit(
    name: str, results: Sequence[CheckResult[C, E]], case_of: Callable[[CheckResult[C, E]], JUnitCase], **more: str
) -> bytes:
    """JUnit XML. A blocked check is a skipped case; `more` are further attributes of the suite."""
    failures = sum(result.outcome is Outcome.FAILED for result in results)
    left_out = sum(result.outcome in {Outcome.SKIPPED, Outcome.BLOCKED} for result in results)
    suite = ET.Element("testsuite", {"name": name, "tests": str(len(results)), **more})
    suite.set("failures", str(failures))
    suite.set("skipped", str(left_out))
    for result in results:
        shown = case_of(result)
        case = ET.SubElement(suite, "testcase", classname=shown.section, name=result.check.name)
        case.set("time", f"{result.seconds:.3f}")
        if result.outcome is not Outcome.PASSED:
            kind = {"type": printable(shown.kind)} if shown.kind else {}
            tag = "failure" if result.outcome is Outcome.FAILED else "skipped"
            found = ET.SubElement(case, tag, kind, message=printable(result.reason))
            found.text = printable(shown.text) if tag == "failure" else None
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def write(run: R, wanted: Mapping[Path | None, Callable[[R], bytes]]) -> None:
    """Write the reports that were asked for; a path of None is one that was not."""
    for path, written in wanted.items():
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written(run))


def cannot_run(program: str, sentence: str) -> NoReturn:
    """Say on standard error why there is no run, and exit."""
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"{program}: {sentence}", style="bold red", markup=False, highlight=False)
    sys.exit(EXIT_CANNOT_RUN)
