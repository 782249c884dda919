"""The section "Add an automaker in an afternoon", followed word for word from an empty folder.

Blocks whose first line is a comment with a path are files; `sh` blocks are run as they stand, but for ports. `.venv` is
an environment of its own, so nothing is installed into the project's; no network is used. `vtn serve` is the tests' own
server, the simulator runs beside the rest, and the adapter of the last line is stopped once the VTN knows its ven.
"""

import contextlib
import json
import os
import re
import signal
import site
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import venv
from pathlib import Path

import pytest
from vtn_process import QUIET, Vtn, add_client

REPOSITORY = Path(__file__).parents[2]
SECTION = "## Add an automaker in an afternoon"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?:#|//) (mybrand-evtn/\S+)\n")
SERVE = re.compile(r"^\S*/vtn serve$", re.MULTILINE)
SIMULATE = re.compile(r"^VEN_SIMULATOR_TOKEN=.* simulate .*$", re.MULTILINE)
RUN = re.compile(r"^(\S*/ven-adapters run .*)$", re.MULTILINE)
PROGRAM = """#!/bin/sh
exec "$(dirname "$0")/python" -c 'import sys; sys.argv[0] = "{name}"; from {module}.__main__ import main; main()' "$@"
"""
PATIENCE_S = 120.0


def blocks():
    """The section's files by path, and its commands in order."""
    text = (REPOSITORY / "docs" / "automaker.md").read_text(encoding="utf-8")
    section = text.partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    files, commands = {}, []
    for language, body in BLOCK.findall(section):
        named = NAMED.match(body)
        if named:
            files[named[1]] = body[named.end() :] if language == "json" else body
        elif language == "sh":
            commands.append(body)
    return files, "".join(commands)


@pytest.fixture
def folder(tmp_path):
    """An empty folder but for `.venv`, which finds what the tests' own environment has and installs into itself."""
    venv.create(tmp_path / ".venv", symlinks=True)
    (packages,) = (tmp_path / ".venv").glob("lib/python*/site-packages")
    (packages / "checkout.pth").write_text("\n".join([str(REPOSITORY), *site.getsitepackages()]))
    for name, module in (("ven-adapters", "ven_adapters"), ("vtn", "vtn")):
        program = tmp_path / ".venv" / "bin" / name
        program.write_text(PROGRAM.format(name=name, module=module))
        program.chmod(0o755)
    return tmp_path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def adapted(script, server, port):
    """The commands with the test's own ports: the server is there, the simulator goes on beside the rest."""
    beside = SIMULATE.search(script)[0]
    script = SERVE.sub("", script).replace(beside, f"({beside}) & trap 'kill $!' EXIT\n{wait_for(port)}")
    script = RUN.sub(r"\1 & echo running\nwait $!", script)
    return script.replace("9001", port).replace("8080", server.root.rpartition(":")[2])


def wait_for(port):
    return f"for _ in $(seq 300); do (: < /dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.1; done"


def vens(server, secret):
    """The vens that the server knows."""
    form = urllib.parse.urlencode(
        {"grant_type": "client_credentials", "client_id": "looker", "client_secret": secret}
    ).encode()
    with urllib.request.urlopen(f"{server.url}/auth/token", form, timeout=10) as answer:  # noqa: S310 - loopback
        token = json.load(answer)["access_token"]
    asked = urllib.request.Request(f"{server.url}/vens", headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - loopback
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - loopback
        return [ven["venName"] for ven in json.load(answer)]


def followed(script, folder, server, secret):
    """Follow the section until the adapter has registered; what was printed, and the ven names that were seen."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("EVTN_")}
    settings = {**QUIET, "server.var": str(server.var)}
    environ |= {f"EVTN_{name.upper().replace('.', '__')}": value for name, value in settings.items()}
    log = folder / "log.txt"
    with log.open("w") as out:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607 - whichever bash there is
            cwd=folder,
            env=environ,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    seen, until = [], time.monotonic() + PATIENCE_S
    try:
        while shell.poll() is None and time.monotonic() < until and not seen:
            seen = vens(server, secret) if "running" in log.read_text() else []
            time.sleep(0.2)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself; what it printed says why
            os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(30)
    return log.read_text(), seen


def test_an_automaker_is_added_from_an_empty_folder_word_for_word(folder):
    files, script = blocks()
    assert {Path(name).name for name in files} == {"pyproject.toml", "mybrand_evtn.py", "adapter.toml", "cars.jsonl"}
    assert SERVE.search(script)
    assert SIMULATE.search(script)
    assert RUN.search(script)
    port = free_port()
    with Vtn(folder / "var-vtn") as server:
        secret = add_client(server.var, "looker", "BL")
        for name, body in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(body.replace("9001", port).replace("8080", server.root.rpartition(":")[2]))
        said, seen = followed(adapted(script, server, port), folder, server, secret)
    assert seen == ["mybrand-adapter"], said[-3000:]
    card = json.loads((folder / "mybrand-evtn" / "scorecard.json").read_bytes())
    assert (card["verdict"], card["failed"]) == ("green", 0)
    assert card["groups"]["V2G"]["passed"] >= 8
    assert set(card["faults"].values()) == {"passed"}
    assert "mybrand: GREEN" in said
    assert (folder / "mybrand-evtn" / "scorecard.html").read_text().startswith("<!doctype html>")
    assert len(list((folder / "mybrand-evtn" / "recordings").glob("*.json"))) == 6
    assert len(list((folder / "mybrand-evtn" / "real").glob("*.json"))) == 3
    assert not list(Path(sys.prefix).glob("lib/python*/site-packages/mybrand*")), (
        "installed into the tests' environment"
    )
