"""Virtual environments of the client libraries that integrators use, one each: they claim the same module name.

Each is made once, in the project's `var`, from a hash-locked file of packages beside this module; a change of that file
or of the interpreter makes a new one. It knows nothing of the server under test. To renew a lock, name the client's
`requirement` and its `least` Python:

    echo REQUIREMENT | uv pip compile --universal --generate-hashes --no-annotate --no-header \
        --python-version LEAST -o tests/interop/NAME.lock -
"""

import dataclasses
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KEPT_IN = HERE.parents[1] / "var" / "interop"
INSTALL_S = 300.0
PROBE_S = 20.0
PIP_OPTIONS = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps")
PROBE = "import sys, venv, ensurepip; print(*sys.version_info[:2])"


class NoInterpreter(Exception):
    """This machine has no Python that the library accepts."""


class NotInstalled(Exception):
    """The library could not be installed; the message is the installer's."""


@dataclasses.dataclass(frozen=True)
class Client:
    """A library: what was locked (its lock is `NAME.lock`), and the Python versions that it accepts, both inclusive."""

    name: str
    requirement: str
    least: tuple[int, int]
    most: tuple[int, int] = (3, 14)

    @property
    def lock(self) -> Path:
        """The file of its packages and their hashes."""
        return HERE / f"{self.name}.lock"


OA3 = Client("python-oa3-client", "python-oa3-client[all]==0.5.0", (3, 11))
PYOADR = Client("pyoadr-ven", "pyoadr-ven==0.6.0", (3, 11))
OPENADR3 = Client("openadr3-client", "openadr3-client[mqtt]==2.4.2", (3, 12))


def python_of(client: Client) -> Path:
    """The interpreter of the environment that has this library; it is made when there is none. Safe between processes.

    Raises NoInterpreter or NotInstalled.
    """
    base, version = interpreter_for(client)
    stamp = hashlib.sha256(client.lock.read_bytes()).hexdigest()[:16]
    folder = KEPT_IN / f"{client.name}-{stamp}-py{version[0]}{version[1]}"
    KEPT_IN.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (folder / ".ready").exists():
            _install(client, base, folder)
    return folder / "bin" / "python"


def python_or_skip(client: Client) -> Path:
    """The same for a test, which is skipped where the library cannot be had; in CI a failed installation fails it."""
    try:
        return python_of(client)
    except NoInterpreter as error:
        pytest.skip(str(error))
    except NotInstalled as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def interpreter_for(client: Client) -> tuple[Path, tuple[int, int]]:
    """The first interpreter of this machine that really runs and that the library accepts, and its version.

    Raises NoInterpreter.
    """
    for candidate in _candidates():
        version = _version(candidate)
        if version and client.least <= version <= client.most:
            return candidate, version
    least, most = (".".join(map(str, edge)) for edge in (client.least, client.most))
    raise NoInterpreter(f"{client.name} needs Python {least} to {most}, and no such interpreter runs here")


def _candidates() -> Iterator[Path]:
    yield Path(getattr(sys, "_base_executable", sys.executable))
    for name in ("python3.12", "python3.13", "python3.14"):
        if found := shutil.which(name):
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/*/bin/python3"))


def _version(python: Path) -> tuple[int, int] | None:
    """What it says that it is; None when it does not run (a pyenv shim without its version exists, and fails)."""
    try:
        done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, timeout=PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split()
    return (int(words[0]), int(words[1])) if done.returncode == 0 and len(words) == 2 else None


def _install(client: Client, base: Path, folder: Path) -> None:
    """A fresh environment, marked ready only when everything is in it."""
    python = folder / "bin" / "python"
    steps: tuple[list[str | Path], ...] = (
        [base, "-m", "venv", "--clear", folder],
        [python, "-m", "pip", "install", *PIP_OPTIONS, "-r", client.lock],
    )
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise NotInstalled(f"{client.name} could not be installed in {INSTALL_S:g} s") from error
        if done.returncode:
            raise NotInstalled(f"{client.name} could not be installed:\n{done.stderr[-2000:]}")
    (folder / ".ready").touch()
