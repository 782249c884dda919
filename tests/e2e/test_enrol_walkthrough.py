"""The sections "Enrol cars" and "The driver's patience", run word for word with bash on a fresh store and a fresh API.

`enrol serve` starts on a free port; every other command is run as it stands, but for that port. The folder looks like a
checkout: `config` is there, and `.venv/bin/ven-adapters` runs this very code.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SECTIONS = ("## Enrol cars", "## The driver's patience")
SERVE = re.compile(r"^\S*/ven-adapters enrol serve .*$", re.MULTILINE)
READY = re.compile(r"http://127\.0\.0\.1:\d+")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = {"VEN_ADAPTER_ENROLLING__PORT": "0"}


@pytest.fixture
def folder(tmp_path):
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    program = programs / "ven-adapters"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m ven_adapters "$@"\n')
    program.chmod(0o755)
    (tmp_path / "config").symlink_to(REPOSITORY / "config", target_is_directory=True)
    return tmp_path


def script():
    """The sections' commands, in order."""
    text = (REPOSITORY / "docs" / "enrolment.md").read_text(encoding="utf-8")
    sections = [text.partition(f"{title}\n")[2].partition("\n## ")[0] for title in SECTIONS]
    return "".join(block for section in sections for block in BLOCK.findall(section))


def test_the_guide_shows_how_cars_are_enrolled_and_every_command_works(folder):
    commands = script()
    serve = SERVE.search(commands)
    assert serve, "the section serves nothing"
    environ = {**os.environ, **PORT}
    with subprocess.Popen(
        serve[0].split(), cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            address = READY.search(process.stdout.readline())
            assert address, "the API did not start"
            done = _run(SERVE.sub("", commands).replace("http://127.0.0.1:9180", address[0]), folder, environ)
        finally:
            process.terminate()
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"status":"ENROLLED"' in done.stdout
    assert [word for word in ("enrolled", "boost", "opt_out", "opt_in") if f'"type": "{word}"' not in done.stdout] == []
    assert '"hours_per_week":6.0' in done.stdout
    assert '"skips_left":2' in done.stdout
    assert "1 cars taken in" in done.stdout
    assert "bmw-0001\tENROLLED\tbay\tevening\tcharging 2026-01" in done.stdout
    assert "bmw-0001 is erased" in done.stdout
    assert "WBA3A5C50CF256789" not in done.stdout


def _run(commands, folder, environ):
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],  # noqa: S607 - whichever bash there is
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
