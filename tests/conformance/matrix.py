"""The support matrix of docs/certification.md: made from a run of the kit, never by hand.

A requirement is held when every check of the run that cites it passed; it was not tried when some of them were skipped,
or blocked by something else, and none failed.
"""

from collections import Counter
from pathlib import Path

from vtn.checking.verdict import Outcome
from vtn.conformance.requirements import every
from vtn.conformance.runner import Run

GUIDE = Path(__file__).parents[2] / "docs" / "certification.md"
BEGIN = "<!-- support matrix: written by `make conformance`, never by hand -->"
END = "<!-- end of the support matrix -->"
TITLES = {
    "GEN": "general HTTP and object rules",
    "TYP": "scalar types",
    "VER": "versions and base URL",
    "AUTH": "tokens",
    "SCO": "scope of every operation",
    "PROG": "programs",
    "EVT": "events",
    "INT": "intervals and timing",
    "PAY": "payloads and descriptors",
    "RDS": "report requests",
    "RPT": "reports",
    "SUB": "subscriptions",
    "NOTIF": "notifications",
    "HOOK": "webhook delivery",
    "VEN": "vens",
    "RES": "resources",
    "RG": "resource groups",
    "TGT": "targeting and object privacy",
    "FLT": "filters",
    "PAG": "pagination",
    "ERR": "errors",
    "MQTT": "MQTT",
    "DISC": "local discovery",
    "SEC": "transport and platform security",
    "ENUM": "enumerations",
}


def standing(run: Run) -> dict[str, str]:
    """What the run says of each requirement: held, failed, not tried, or no check."""
    outcomes: dict[str, set[Outcome]] = {}
    for result in run.results:
        for name in result.check.requirements:
            outcomes.setdefault(name, set()).add(result.outcome)
    words = {name: _word(found) for name, found in outcomes.items()}
    return {name: words.get(name, "no check") for name in every()}


def _word(outcomes: set[Outcome]) -> str:
    if Outcome.FAILED in outcomes:
        return "failed"
    return "not tried" if outcomes & {Outcome.SKIPPED, Outcome.BLOCKED} else "held"


def matrix(run: Run) -> str:
    """The table, as Markdown."""
    sections: dict[str, Counter[str]] = {}
    for name, word in standing(run).items():
        sections.setdefault(name.partition("-")[0], Counter())[word] += 1
    total = sum(sections.values(), Counter())
    rows = [("", "requirements", "held", "failed", "not tried here", "without a check"), ("---",) + ("---:",) * 5]
    rows += [(f"{name} {TITLES[name]}", *_figures(found)) for name, found in sections.items()]
    rows += [("**all**", *_figures(total))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figures(found: Counter[str]) -> tuple[str, ...]:
    return tuple(map(str, (found.total(), *(found[word] for word in ("held", "failed", "not tried", "no check")))))


def shown() -> str:
    """The table that the page shows."""
    return GUIDE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def write(run: Run) -> None:
    """Put the table of a run into the page."""
    text = GUIDE.read_text()
    before, rest = text.split(BEGIN)
    GUIDE.write_text(f"{before}{BEGIN}\n\n{matrix(run)}\n\n{END}{rest.partition(END)[2]}")
