"""From rates, round by round, to figures: medians, ratios of the same round, spread, a table and a file."""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

Rates = Mapping[str, Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Question:
    """One figure to report: a contender's rate, and its share of a limit's rate; `target` is the least share."""

    name: str
    contender: str
    limit: str
    target: float | None = None
    unit: str = "requests/s"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of `bench.json`.

    `value` and `limit_value` are medians over the rounds, `ratio` the median of the rounds' own ratios, `spread` the
    distance between the quartiles of the value over its median. What was not measured is None and `limit` says why.
    """

    name: str
    value: float | None
    unit: str
    limit: str
    limit_value: float | None
    ratio: float | None
    target: float | None
    spread: float | None

    @property
    def missed(self) -> bool:
        """Whether a target was measured and not reached."""
        return self.ratio is not None and self.target is not None and self.ratio < self.target


def interleaved(
    contenders: Mapping[str, Callable[[], float]], rounds: int, longest_s: float, each: Callable[[str], None]
) -> dict[str, list[float]]:
    """Measure every contender once per round, so that a machine that drifts drifts for all of them.

    No round begins after `longest_s`, but the first always does.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    until = time.monotonic() + longest_s
    for turn in range(rounds):
        if turn and time.monotonic() > until:
            break
        names = list(contenders)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            rates[name].append(contenders[name]())
            each(name)
    return rates


def figure(question: Question, rates: Rates, skipped: Mapping[str, str]) -> Figure:
    """The answer to a question; a contender or limit that was skipped leaves its part open and gives its reason."""
    value = rates.get(question.contender)
    limit = rates.get(question.limit)
    said = skipped.get(question.contender) or skipped.get(question.limit)
    return Figure(
        question.name,
        round(statistics.median(value), 1) if value else None,
        question.unit,
        f"{question.limit}: skipped, {said}" if said else question.limit,
        round(statistics.median(limit), 1) if limit else None,
        round(statistics.median(v / m for v, m in zip(value, limit, strict=True)), 3) if value and limit else None,
        question.target,
        round(_spread(value), 3) if value else None,
    )


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


def table(figures: Sequence[Figure]) -> Table:
    """The figures for a reader."""
    shown = Table(title="Per second, against what this machine can do", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("", "rate", "spread", "limit", "its rate", "ratio", "target"):
        shown.add_column(heading, justify="left" if heading in {"", "limit"} else "right", no_wrap=True)
    for line in figures:
        shown.add_row(*_cells(line))
    return shown


def _cells(line: Figure) -> Iterator[str]:
    colour = "red" if line.missed else "green"
    yield line.name
    yield _text(line.value, ",.0f")
    yield _text(line.spread, ".0%")
    yield "skipped" if "skipped" in line.limit else line.limit
    yield _text(line.limit_value, ",.0f")
    yield f"[{colour}]{_text(line.ratio, '.2f')}[/{colour}]" if line.target is not None else _text(line.ratio, ".2f")
    yield _text(line.target, ".2f")


def _text(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write `bench.json`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([dataclasses.asdict(line) for line in figures], indent=2) + "\n")
