"""How many files one event passes, and how often the work moves between files: for `make house`.

In the VTN from `POST /events` to its answer, without the relay; in the adapter from the poll that lists the event to
the call of one car's backend. Counted are calls of functions in files of the project, in the thread of the event loop.
"""

import asyncio
import contextlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import aiohttp

from ven_adapters.config import AdapterSettings
from ven_adapters.contract import Capability, ChargeState, Known, Reading, Snapshot
from ven_adapters.registry import factory
from ven_adapters.ven.agent import Agent, AgentPorts
from ven_adapters.ven.fleet.enrolment_record import Enrolment
from ven_adapters.ven.store.database import AdapterStore
from vtn.app import add_client, running
from vtn.clock import SimulatedClock
from vtn.config import Settings
from vtn.wire.enumerations import ObjectType

ROOT = Path(__file__).parents[1]
T0 = datetime(2026, 7, 15, 3, 0, tzinfo=UTC)
AT = {"createdDateTime": "2026-07-14T00:00:00Z", "modificationDateTime": "2026-07-14T00:00:00Z"}
INTERVALS = [{"id": 0, "payloads": [{"type": "SIMPLE", "values": [3]}]}]
EVENT = {"programID": "p1", "intervalPeriod": {"start": T0.isoformat(), "duration": "PT2H"}, "intervals": INTERVALS}


class EventPath:
    """The files that were passed, and how often the work moved from one to another."""

    def __init__(self, counts: Callable[[str], bool]) -> None:
        self._counts = counts
        self._last = ""
        self.files: set[str] = set()
        self.moves = 0

    def __call__(self, frame: FrameType, what: str, _argument: Any) -> None:
        """What `sys.setprofile` calls."""
        name = frame.f_code.co_filename
        if what != "call" or not name.startswith(str(ROOT)) or not self._counts(name[len(str(ROOT)) + 1 :]):
            return
        self.files.add(name)
        self.moves += name != self._last
        self._last = name

    @contextlib.contextmanager
    def watched(self) -> Iterator["EventPath"]:
        """For the length of a block."""
        sys.setprofile(self)
        try:
            yield self
        finally:
            sys.setprofile(None)


async def in_the_vtn(folder: Path) -> EventPath:
    """`POST /events` on a server of this process."""
    settings = Settings.model_validate({"server": {"port": 0, "var": folder}, "mqtt": {"mode": "off"}})
    secret = await add_client(settings, "bl", "BL", ())
    async with running(settings) as url, aiohttp.ClientSession() as session:
        base = f"{url}/openadr3/3.1.0" if "/openadr3" not in url else url
        form = {"grant_type": "client_credentials", "client_id": "bl", "client_secret": secret}
        async with session.post(f"{base}/auth/token", data=form) as answer:
            token = (await answer.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with session.post(f"{base}/programs", json={"programName": "p"}, headers=headers) as answer:
            program_id = (await answer.json())["id"]
        event = EVENT | {"programID": program_id}
        async with session.post(f"{base}/events", json=event, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
        path = EventPath(lambda name: name.startswith("vtn/") and not name.startswith("vtn/notifiers/"))
        with path.watched():
            async with session.post(f"{base}/events", json=event, headers=headers) as answer:
                await answer.read()
    return path


class OneEvent:
    """A VTN that lists one event to everybody."""

    client_id = "c"

    async def search(self, kind: ObjectType, **_query: Any) -> list[dict[str, Any]]:
        """All there is."""
        listed = {
            ObjectType.PROGRAM: [{"id": "p1", "objectType": "PROGRAM", "programName": "p", **AT}],
            ObjectType.EVENT: [{"id": "e1", "objectType": "EVENT", **EVENT, **AT}],
        }
        return listed.get(kind, [])

    async def close(self) -> None:
        """Nothing is open."""


async def in_the_adapter(folder: Path) -> EventPath:
    """One event for one car, from the poll to the call of a Nissan's backend, which nobody answers."""
    told = {
        "oem": "nissan",
        "client_name": "nissan",
        "vtn": {"url": "http://127.0.0.1:1", "client_id": "c", "client_secret": "s"},
        "backend": {"url": "http://127.0.0.1:1", "token": "t", "webhook_secret": "s" * 16},
        "enrolments": [str(folder / "none")],
        "smallest_group": 1,
        "var": str(folder),
    }
    settings = AdapterSettings.model_validate_json(json.dumps(told))
    store = AdapterStore(f"sqlite+aiosqlite:///{folder / 'adapter.sqlite'}")
    backend = factory("nissan")(told["backend"])
    agent = Agent(settings, SimulatedClock(T0, time.time(), 1.0), AgentPorts(OneEvent(), backend, store))
    agent.fleet_state.enrol(
        [Enrolment("car", "bay", "site", "UTC", ((None,) * 7), 80.0, 20.0, charging_consent=True)], T0
    )
    agent.fleet_state.learn({"car": Capability("m", 60_000, 7_000)})
    read = lambda value: Reading(value, T0, T0)  # noqa: E731 - four times the same two instants
    there = {"plugged": read(Known.YES), "at_site": read(Known.YES), "charge_state": read(ChargeState.CHARGING)}
    seen = Snapshot("car", soc_pct=read(50.0), power_w=read(7_000.0), **there)
    agent.fleet_state.observe([seen], T0)
    await store.open()
    called = asyncio.Event()
    submit = backend.submit

    async def reached(*given: Any) -> Any:
        try:
            return await submit(*given)
        finally:
            called.set()

    backend.submit = reached
    path = EventPath(lambda name: name.startswith(("ven_adapters/", "vtn/")))
    with path.watched():
        changes = await agent.vtn_objects.poll(None, agent.clock.now(), time.time())
        await agent.vtn_polling._take_up(changes)
        await agent.control_loop.cycle()
        carrying = asyncio.create_task(agent.control_loop.carry_out())
        async with asyncio.timeout(60):
            await called.wait()
    carrying.cancel()
    await agent.dispatcher.settle(0.1)
    await agent.group_commit.close()
    await store.close()
    await backend.close()
    agent.statistics.close(T0 + timedelta(hours=1), 0.0, {}, 0, ())
    return path


def paths() -> dict[str, tuple[int, int]]:
    """Files and moves of one event, by where it is."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        places = {"adapter": in_the_adapter, "vtn": in_the_vtn}
        found = {name: asyncio.run(walk(Path(folder) / name)) for name, walk in places.items()}
    return {name: (len(path.files), path.moves) for name, path in found.items()}


if __name__ == "__main__":
    sys.stdout.write(f"{paths()}\n")
