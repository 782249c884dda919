"""Measure the top node against physical limits of the same machine, and an adapter against its own: `make bench`.

Polls (`GET /events`) are compared with nginx that serves the same bytes from a file; durable `POST /reports` with
single-row commits of `pgbench` on the same PostgreSQL. The server, nginx and pgbench have one core, the load generator
and PostgreSQL another. All are started here, on loopback, and ended again; what a machine lacks is skipped, and said.
"""

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import fleet
from dataset import REPORT_BYTES, Polls, Tokens, fill, get, poll, post, register, reports
from driver import Load
from figures import Figure, Question, figure, interleaved, table, write
from postgres import Postgres, postgres
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from servers import CannotMeasureError, find_nginx, nginx, on_core, top_node

EXAMPLE = "example: python tests/bench/run.py --rounds 9 --only polls"
NGINX, PGBENCH = "nginx", "pgbench"
LONGEST_HALF_S = 50.0
SETTLE_S = 0.5
POLLS, UNCHANGED, MANY = "GET /events, 200", "GET /events, 304", "GET /events, 500 VENs"
DURABLE, EMBEDDED = "POST /reports, PostgreSQL", "POST /reports, SQLite"
QUESTIONS = {
    "polls": (
        Question(POLLS, POLLS, NGINX, 0.15),
        Question(UNCHANGED, UNCHANGED, NGINX),
        Question(MANY, MANY, NGINX),
    ),
    "reports": (
        Question(DURABLE, DURABLE, PGBENCH, 0.5, "reports/s"),
        Question(EMBEDDED, EMBEDDED, PGBENCH, None, "reports/s"),
    ),
}
console = Console()


class Bench:
    """Where things run, and what is running."""

    def __init__(self, options: argparse.Namespace, folder: Path, stack: contextlib.ExitStack) -> None:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        pinned = options.pin and len(cores) > 1
        self.server_core: int | None = cores[0] if pinned else None
        self.load_core: int | None = cores[-1] if pinned else None
        self.seconds: float = options.seconds
        self.rounds: int = options.rounds
        self.folder = folder
        self.stack = stack
        self.skipped: dict[str, str] = {}

    def serve(self, name: str, url: str | None = None) -> tuple[int, Tokens]:
        """A top node with its data; its port and the tokens of its clients."""
        var = self.folder / name
        tokens = register(url or f"sqlite:///{var / 'vtn.db'}", var)
        with on_core(self.server_core):
            port = self.stack.enter_context(top_node(var, url))
        fill(port, tokens, self.load_core)
        return port, tokens

    def rate(self, load: Load, expected: frozenset[bytes] | None = None) -> Callable[[], float]:
        """A contender: the rate of complete, correct answers."""

        def measure() -> float:
            answers = load.run(self.seconds, self.load_core)
            if expected is not None and not answers.samples <= expected:
                raise CannotMeasureError("an answer had another body than expected")
            return answers.rate

        return measure

    def compare(self, contenders: dict[str, Callable[[], float]], questions: Sequence[Question]) -> list[Figure]:
        """Run the rounds and answer the questions."""
        with Progress(TextColumn("{task.description:26}"), BarColumn(), MofNCompleteColumn(), console=console) as bar:
            task = bar.add_task("", total=self.rounds * len(contenders))
            show = partial(bar.update, task, advance=1)
            rates = interleaved(contenders, self.rounds, LONGEST_HALF_S, lambda name: show(description=name))
        return [figure(question, rates, self.skipped) for question in questions]


def polls(bench: Bench, port: int, tokens: Tokens) -> Iterator[tuple[str, Callable[[], float]]]:
    """The contenders of the reading side."""
    asked: Polls = poll(port, tokens)
    one = tokens.vens[0]
    yield POLLS, bench.rate(Load(port, [get("/events", one)]), frozenset({asked.body}))
    yield UNCHANGED, bench.rate(Load(port, [get("/events", one, asked.etag)], status=304), frozenset({b""}))
    yield MANY, bench.rate(Load(port, [get("/events", token) for token in tokens.vens]), asked.all_bodies)
    program = find_nginx()
    if program is None:
        bench.skipped[NGINX] = "nginx is not installed"
        return
    with on_core(bench.server_core):
        limit = bench.stack.enter_context(nginx(program, bench.folder / "nginx", asked.body))
    yield NGINX, bench.rate(Load(limit, [get("/events", one)]), frozenset({asked.body}))


class Reports:
    """One top node's writing side, and how many answers it gave."""

    def __init__(self, bench: Bench, port: int, tokens: Tokens) -> None:
        event_id = poll(port, tokens).first_event
        self._load = Load(port, [post("/reports", tokens.vens[0], body) for body in reports(event_id)], status=201)
        self._bench = bench
        self.answered = 0

    def measure(self) -> float:
        """The rate of reports that were answered, and so stored."""
        answers = self._load.run(self._bench.seconds, self._bench.load_core)
        self.answered += answers.answers
        time.sleep(SETTLE_S)  # the relay reads the log a little later; that work must not slow the next contender
        return answers.rate

    def check(self, stored: int) -> None:
        """Every answered report is in the database."""
        if stored < self.answered:
            raise CannotMeasureError(f"{self.answered} reports were answered and {stored} stored")


def start_postgres(bench: Bench) -> Postgres | None:
    """PostgreSQL on the load generator's core, or None with the reason noted."""
    try:
        with on_core(bench.load_core):
            return bench.stack.enter_context(postgres(bench.folder / "postgres"))
    except CannotMeasureError as reason:
        bench.skipped[DURABLE] = bench.skipped[PGBENCH] = str(reason)
        return None


def compare_reports(bench: Bench, port: int, tokens: Tokens) -> list[Figure]:
    """The writing side, whole: both databases and the limit, and a count of what was stored."""
    embedded = Reports(bench, port, tokens)
    contenders = {EMBEDDED: embedded.measure}
    server = start_postgres(bench)
    durable = None
    if server is not None:
        durable = Reports(bench, *bench.serve("vtn-postgres", server.url))
        contenders |= {DURABLE: durable.measure, PGBENCH: lambda: _pgbench(bench, server)}
    found = bench.compare(contenders, QUESTIONS["reports"])
    with contextlib.closing(sqlite3.connect(bench.folder / "vtn" / "vtn.db")) as database:
        embedded.check(database.execute("SELECT count(*) FROM reports").fetchone()[0])
    if server is not None and durable is not None:
        durable.check(int(server.ask("SELECT count(*) FROM reports")))
    return found


def _pgbench(bench: Bench, server: Postgres) -> float:
    with on_core(bench.server_core):
        return server.commits_per_s(bench.seconds, REPORT_BYTES)


def measure(options: argparse.Namespace, folder: Path) -> list[Figure]:
    """Everything that was asked for of the top node."""
    found: list[Figure] = []
    if options.only in {"fleet", "queue", "20b"}:
        return found
    with contextlib.ExitStack() as stack:
        bench = Bench(options, folder, stack)
        console.print("starting a top node with 1,000 programs, 500 vens and 10,000 events ...")
        port, tokens = bench.serve("vtn")
        if options.only != "reports":
            found += bench.compare(dict(polls(bench, port, tokens)), QUESTIONS["polls"])
        if options.only != "polls":
            found += compare_reports(bench, port, tokens)
    console.print(table(found))
    console.print(
        "Medians over interleaved rounds; nginx serves the same bytes, pgbench commits rows of the same size."
    )
    return found


def measure_fleet(options: argparse.Namespace, folder: Path) -> list[Figure]:
    """What was asked for of an adapter, once the top node is gone."""
    if options.only in {"polls", "reports", "queue", "20b"}:
        return []
    (folder / "fleet").mkdir()
    return fleet.measure(options, folder / "fleet", fleet.two_cores() if options.pin else (None, None))


def measure_queue(options: argparse.Namespace) -> list[Figure]:
    """What goes through the queue from one planner to one executor, beside the same calls in process."""
    if options.only not in {None, "queue"}:
        return []
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("queue_rate.py"))],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise CannotMeasureError(f"queue_rate.py: {done.stderr[-800:]}")
    told = json.loads(done.stdout)
    through, here = told["through_the_queue_per_s"], told["in_process_per_s"]
    found = [Figure("queued commands", through, "commands/s", "in process", here, through / here, None, None)]
    console.print(table(found))
    console.print("One planner, NATS and one executor; the backend answers at once, so the queue is all that costs.")
    return found


def measure_20b(options: argparse.Namespace) -> list[Figure]:
    """How long signed polls of 2,000 VENs of OpenADR 2.0b take at one process, and what each costs."""
    if options.only not in {None, "20b"}:
        return []
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("signed_polls.py")), *([] if options.pin else ["--no-pin"])],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tests), str(tests.parent)))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise CannotMeasureError(f"signed_polls.py: {done.stderr[-800:]}")
    told = json.loads(done.stdout)
    refused = {code: count for code, count in told["codes"].items() if code not in {"200", "HTTP 200"}}
    if refused:
        raise CannotMeasureError(f"signed polls were refused: {refused}")
    p99_s = told["p99_ms"] / 1_000
    found = [
        Figure("2.0b: 2,000 VENs, p99", p99_s, "s", "2 s", 2.0, 2.0 / p99_s, 1.0, None),
        Figure("2.0b: a signed message", told["cpu_ms_per_message"], "ms of a core", "5 ms", 5.0, None, None, None),
    ]
    console.print(table(found))
    console.print(
        f"TLS and XML signatures, RSA and ECC, one process: {told['polls_per_s']} polls/s, p50 {told['p50_ms']} ms,"
        f" {told['events_acknowledged']} events acknowledged, {told['memory_mb']} MB; nobody was answered 463."
    )
    return found


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], epilog=EXAMPLE)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each comparison (default 7)")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one measurement (default 1.5)")
    parser.add_argument("--only", choices=("polls", "reports", "fleet", "queue", "20b"), help="one part of the bench")
    parser.add_argument("--out", type=Path, default=Path("var/bench/bench.json"), help="where the figures go")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="leave processes on whichever core")
    fleet.add_options(parser)
    return parser.parse_args()


def main() -> int:
    """Measure, print, write; 1 when something could not be measured."""
    options = parse()
    root = options.out.resolve().parent
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=root))
    folder.chmod(0o755)
    try:
        figures = [*measure(options, folder), *measure_fleet(options, folder), *measure_queue(options)]
        figures += measure_20b(options)
    except CannotMeasureError as reason:
        console.print(f"the bench failed: {reason}", style="bold red", markup=False)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write(figures, options.out)
    for said in sorted({line.limit for line in figures if "skipped" in line.limit}):
        console.print(said, markup=False)
    console.print(f"figures: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
