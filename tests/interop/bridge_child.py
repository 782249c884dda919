"""A bridge that ends like a power cut at its n-th step. Usage: bridge_child.py upstream|serve STEPS [N] < settings

A step is a commit, a message to or from a peer, and a write in our VTN: before it, and after it when nobody has heard
of it yet. Each is named in the file STEPS before it is taken; without N nothing ends it. Settings come as JSON.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from vtn.client import Client
from vtn.oadr20b.downstream.run import serve
from vtn.oadr20b.downstream.services import Services
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.store.database import BridgeStore
from vtn.oadr20b.upstream.link import UtilityLink
from vtn.oadr20b.upstream.run import upstream
from vtn.oadr20b.upstream.settings import UpstreamSettings

QUIET = {"OadrPoll"}


class Steps:
    """Counts steps, and dies at one of them."""

    def __init__(self, log: Path, fatal: int | None) -> None:
        self._log, self._fatal, self._taken = log.open("a"), fatal, 0

    def step(self, name: str) -> None:
        self._taken += 1
        self._log.write(f"{name}\n")
        self._log.flush()
        if self._taken == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, kind: type, method: str, named) -> None:
        """Take a step before and after each call of a method that `named` has a name for."""
        inner = getattr(kind, method)

        async def wrapped(this, *arguments, **more):
            name = named(*arguments)
            if name is None:
                return await inner(this, *arguments, **more)
            self.step(f"before {name}")
            result = await inner(this, *arguments, **more)
            self.step(f"after {name}")
            return result

        setattr(kind, method, wrapped)


def main(which: str, log: str, fatal: str = "") -> None:
    steps = Steps(Path(log), int(fatal) if fatal else None)
    steps.around(BridgeStore, "_commit", lambda batch: None if _forgets(batch) else "commit")
    steps.around(Client, "_send", lambda method, url, *_: _write(method, url))
    steps.around(UtilityLink, "_post", lambda url, _: _service(url))
    steps.around(Services, "answer", lambda service, *_: None if service in QUIET else service)
    text = sys.stdin.read()
    if which == "upstream":
        asyncio.run(upstream(UpstreamSettings.model_validate_json(text)))
    else:
        asyncio.run(serve(DownstreamSettings.model_validate_json(text)))


def _forgets(batch) -> bool:
    """Whether a transaction only drops what is old, which no outcome depends on."""
    return all(not isinstance(one, tuple) for statements in batch for one in statements)


def _service(url: str) -> str | None:
    service = url.rpartition("/")[2]
    return None if service in QUIET else service


def _write(method: str, url: str) -> str | None:
    return None if method == "GET" or "/auth/" in url else f"{method} {url.split('/')[5]}"


if __name__ == "__main__":
    main(*sys.argv[1:])
