"""The section "How a utility connects", run word for word with bash against a fresh server.

`vtn serve` starts on the port and in the folder that the test gives it; every other command is run as it stands, but
for the port. A `sh` block is all commands; in a `console` block commands are the lines after `$ `.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from vtn_process import QUIET, Vtn

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY / "docs" / "utility.md"
SECTION = "How a utility connects"
DEFAULT_PORT = "8080"
SERVE = re.compile(r"^(\S*/)?vtn serve( .*)?$", re.MULTILINE)


def commands(text: str) -> str:
    """The shell commands of the section, in order; empty when there is none."""
    said: list[str] = []
    here, fence = False, ""
    for line in text.splitlines():
        if line.startswith("```"):
            fence = "" if fence else line.removeprefix("```").strip() or "text"
        elif not fence and line.startswith("#"):
            here = line.lstrip("# ") == SECTION
        elif here and fence == "sh":
            said.append(line)
        elif here and fence == "console" and line.startswith(("$ ", "> ")):
            said.append(line[2:])
    return "\n".join(said)


@pytest.fixture
def folder(tmp_path):
    """A folder that looks like a checkout to the commands: `.venv` is where they expect it."""
    (tmp_path / ".venv").symlink_to(REPOSITORY / ".venv", target_is_directory=True)
    return tmp_path


def test_the_guide_shows_a_utility_how_to_connect_and_every_command_works(folder):
    script = commands(GUIDE.read_text(encoding="utf-8"))
    assert script, f"docs/utility.md has no section {SECTION!r} with `sh` or `console` blocks"
    assert "curl" in script
    assert SERVE.search(script), "the section does not start a server"
    assert shutil.which("curl"), "curl is not installed"
    with Vtn(folder / "var") as server:
        done = _run(SERVE.sub("", script), folder, server)
    assert done.returncode == 0, done.stderr[-2000:]
    for word in ("/events", "/programs", "/reports"):
        assert word in script
    assert '"intervals"' in done.stdout, "the event was not read back"


def _run(script: str, folder: Path, server: Vtn) -> "subprocess.CompletedProcess[str]":
    port = server.root.rpartition(":")[2]
    settings = {**QUIET, "server.port": port, "server.var": str(folder / "var")}
    own = {f"EVTN_{name.upper().replace('.', '__')}": value for name, value in settings.items()}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(DEFAULT_PORT, port)],  # noqa: S607 - whichever bash there is
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
