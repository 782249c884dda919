"""The evening in the terminal: the hour, each automaker's kW against its set-point, and what just happened."""

import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ven_adapters.demo import scenario
from ven_adapters.demo.utility import Utility

LAST_WORDS = 6
RESULTS = ("cars", "asked\nkWh", "delivered\nkWh", "exported\nkWh", "error\n%", "directives", "late", "opt-outs\nkept")
COLUMNS = ("automaker", "cars plugged", "kW asked", "kW measured", "directives", "in force", "opted out")


class Screen:
    """A live view on a terminal; plain lines elsewhere."""

    def __init__(self, oems: Sequence[str], var: Path, hours: int, console: Console | None = None) -> None:
        self._oems = oems
        self._var = var
        self._console = console or Console()
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._told = 0
        self._read: dict[str, int] = dict.fromkeys(oems, 0)
        self._zones: dict[str, dict[str, Mapping[str, Any]]] = {oem: {} for oem in oems}
        self._latest: dict[str, Mapping[str, Any]] = {oem: {} for oem in oems}
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(bar_width=None), console=self._console)
        self._hour = self._bar.add_task("15:00", total=hours * 3600.0)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, words: str) -> None:
        """Something happened."""
        self._words.append(words)
        if not self._console.is_terminal:
            self._console.print(words, markup=False)

    def show(self, now: datetime, utility: Utility) -> None:
        """Draw the present."""
        here = now.astimezone(scenario.PACIFIC)
        for sent in utility.sent[self._told :]:
            self.say(f"{here:%H:%M}  utility  {sent.operation.lower()} event: {sent.name}")
        self._told = len(utility.sent)
        passed_s = (now - scenario.STARTS).total_seconds()
        self._bar.update(self._hour, completed=max(0.0, passed_s), description=f"{here:%a %H:%M} Pacific")
        if self._console.is_terminal:
            self._catch_up()
            self._live.update(Group(self._bar, self._table(), *(Text(words, style="dim") for words in self._words)))

    def _catch_up(self) -> None:
        for oem in self._oems:
            with contextlib.suppress(FileNotFoundError), (self._var / oem / "progress.jsonl").open("rb") as lines:
                lines.seek(self._read[oem])
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    self._read[oem] += len(line)
                    self._latest[oem] = orjson.loads(line)

    def _table(self) -> Table:
        table = Table(expand=True)
        for column in COLUMNS:
            table.add_column(column, justify="left" if column == COLUMNS[0] else "right")
        for oem in self._oems:
            latest = self._latest[oem]
            zones = latest.get("zones", {}).values()
            asked = [zone["asked_kw"] for zone in zones if zone.get("asked_kw") is not None]
            states = latest.get("directives_by_state", {})
            table.add_row(
                oem,
                str(sum(zone.get("plugged", 0) for zone in zones)),
                f"{sum(asked):,.0f}" if asked else "-",
                f"{sum(zone.get('measured_kw', 0.0) for zone in zones):,.0f}",
                f"{sum(states.values()):,}",
                f"{states.get('IN_FORCE', 0):,}",
                str(latest.get("opted_out", 0)),
            )
        return table


def results_table(summary: Mapping[str, Any]) -> Table:
    """One row per automaker, in 80 columns. `late` counts cars that could have been ready; opt-outs kept of made."""
    title = "What was asked, what was delivered, and whether every car was ready"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("", no_wrap=True)
    for name in RESULTS:
        table.add_column(name, justify="right", no_wrap=True)
    for oem, row in summary["by_oem"].items():
        table.add_row(
            oem,
            f"{row['cars']:,}",
            f"{row['asked_kwh']:,.0f}",
            f"{row['delivered_kwh']:,.0f}",
            f"{row['exported_kwh']:,.0f}",
            f"{row['tracking_error_pct']:.1f}",
            f"{row['directives']:,}",
            str(row["late_though_feasible"]),
            f"{row['honoured']}/{row['opt_outs']}",
        )
    return table
