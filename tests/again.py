"""Run tests side by side, and those few that failed once more, alone: `python tests/again.py PYTEST-ARGUMENTS`.

A test in simulated time claims an order of events, and on a busy machine another test can keep its processes from the
processor for minutes of that time. What fails beside others and passes alone is named as unsteady, which is a fault of
the test or of what it tests, to be looked for; what fails alone as well fails the run, and so do more than `MOST`.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

MOST = 5
FAILED = 1  # pytest's exit code for tests that failed; any other is no matter of tests


def run(arguments: Sequence[str], cache: str) -> int:
    """Pytest in a process of its own, its cache in a folder that is thrown away; its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments], check=False
    ).returncode


def failed(cache: str) -> list[str]:
    """The tests that failed in the last run."""
    told = Path(cache) / "v" / "cache" / "lastfailed"
    return sorted(orjson.loads(told.read_bytes())) if told.exists() else []


def say(line: str) -> None:
    """A line among pytest's own."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """The exit code of the first run, or of the second where there was reason for one."""
    with tempfile.TemporaryDirectory(prefix="pytest-cache-") as cache:
        code, found = run(arguments, cache), failed(cache)
        if code != FAILED or not 0 < len(found) <= MOST:
            return code
        say(f"{len(found)} failed beside others and run again alone")
        code = run([*arguments, "-n", "0", "--last-failed"], cache)
        unsteady = sorted({*found} - {*failed(cache)})
    for name in unsteady:
        say(f"UNSTEADY: failed beside others, passed alone: {name}")
    return code


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main(sys.argv[1:]))
