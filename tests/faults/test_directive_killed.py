"""`kill -9` at every stage of a directive: after the restart a true final state, and exactly one effect on the car.

A real VTN, a real adapter process for each stage, and a simulated automaker's cloud for each over real HTTP. All stages
are lived through at once, because a life takes its time.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fork_server
import pytest
from pacing import paced
from vtn_process import Vtn, add_client

from ven_adapters.contract import Certainty, DirectiveKind, DriverChoice, DriverChose
from ven_adapters.simulator.cars.enrolment import write_enrolment
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.serve import running
from ven_adapters.simulator.settings import NO_FAULTS, SimulatorSettings
from vtn.client import Client
from vtn.clock import SimulatedClock, print_clock
from vtn.wire.enumerations import ObjectType

EVENING = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)  # 21:00 on a Wednesday in California
SPEED = paced(120.0)
CARS = 40
LEAST = 2
# What an adapter says and its cloud says otherwise, and both are right: the end overtook a cancel on its way; nobody
# saw the effect before the end; a replacement that was taken back took what it replaced with it.
AS_TRUE = {("CANCELLED", "RELEASED"), ("EXPIRED", "RELEASED"), ("SUPERSEDED", "CANCELLED"), ("SUPERSEDED", "RELEASED")}
BOUND_S = 150.0
TOKEN, SECRET = "cloud-token", "webhook-secret"
CHILD = "tests.faults.directive_child"
ROOT = Path(__file__).parents[2]


@dataclasses.dataclass
class Call:
    """One call as the cloud saw it."""

    what: str
    directive_id: str
    at: datetime
    not_after: datetime | None = None


class Case:
    """One adapter with its cloud, and what the two of them have to say for themselves."""

    def __init__(self, name, folder, live, clock, vtn) -> None:
        self.name, self.folder, self.clock = name, folder, clock
        self.cloud, self.calls, self.process = live.backend.cloud, [], None
        self.durable, self.deaths, self._die_on, self._log_from = [], 0, None, 0
        self._watch()
        self.config = folder / "adapter.toml"
        self.config.write_text(settings_of(name, folder, live.port, clock, vtn))

    def _watch(self):
        submit, cancel, status = self.cloud.submit, self.cloud.cancel, self.cloud.status

        def submitted(car, order, body, now):
            self.calls.append(Call("submit", order.directive.directive_id, now, order.directive.not_after))
            self.durable.append(order.directive.directive_id in self.written())
            answer = submit(car, order, body, now)
            self._fatal("submit")
            return answer

        def cancelled(car, directive_id, now):
            self.calls.append(Call("cancel", directive_id, now))
            answer = cancel(car, directive_id, now)
            self._fatal("cancel")
            return answer

        def told(car, directive_id):
            self.calls.append(Call("status", directive_id, self.clock.now()))
            self._fatal("status")
            return status(car, directive_id)

        self.cloud.submit, self.cloud.cancel, self.cloud.status = submitted, cancelled, told

    def _fatal(self, what):
        """The adapter dies when the cloud has done as it was told and before it can answer."""
        if self._die_on == what and sum(call.what == what for call in self.calls) >= 2:
            self._die_on = None
            self.process.kill()  # type: ignore[attr-defined]

    def written(self):
        """The directives in the adapter's store, as another process reads them."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/bmw/adapter.sqlite?mode=ro", uri=True)) as store:
            return {key: (state, json.loads(text)) for key, state, text in store.execute(DIRECTIVES)}

    async def start(self, *more, die_on=None):
        self._die_on = die_on
        self._log_from = (self.folder / "log").stat().st_size if (self.folder / "log").exists() else 0
        with (self.folder / "log").open("ab") as log:
            self.process = await fork_server.begin(CHILD, "--config", str(self.config), *more, cwd=ROOT, log=log)

    async def died(self):
        assert await self.process.wait() == -9, self.name  # type: ignore[attr-defined]
        await self.process.close()  # type: ignore[attr-defined]
        self.deaths += 1

    async def stop(self):
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()
            await self.process.close()

    @property
    def registered(self):
        return b"registered as ven" in (self.folder / "log").read_bytes()[self._log_from :]

    def life_of(self, directive_id):
        """Every call for a directive, and all that was written down of it."""
        calls = [(call.what, call.at) for call in self.calls if call.directive_id == directive_id]
        return calls, self.written()[directive_id]

    def opt_out(self, refs):
        """Drivers leave, as their backend tells."""
        now = self.clock.now()
        choices = [DriverChose(ref, DriverChoice.OPT_OUT, now, now + timedelta(hours=9)) for ref in refs]
        self.cloud.outbox.extend(choices)

    def live(self):
        return [one for one in self.cloud._current if one is not None]


DIRECTIVES = "SELECT directive_id, state, document FROM directive"


def settings_of(name, folder, port, clock, vtn):
    return f"""
oem = "bmw"
client_name = "killed-{name}"
enrolments = ["{folder}/cars.jsonl"]
clock = "{print_clock(clock)}"
cycle_s = 120
plans_per_s = 10
smallest_group = 1
var = "{folder}"
wake = {{mode = "timer", poll_s = 0.3, first_retry_s = 0.1, longest_retry_s = 0.3}}
[vtn]
url = "{vtn.url}"
client_id = "c1"
client_secret = "{vtn.secrets["c1"]}"
[backend]
url = "http://127.0.0.1:{port}"
token = "{TOKEN}"
webhook_secret = "{SECRET}"
clock = "{print_clock(clock)}"
"""


async def until(holds):
    while not (found := holds()):  # noqa: ASYNC110 - another process' doings, watched from outside
        await asyncio.sleep(0.05)
    return found


async def settled(case):
    """What the adapter has written down is what its cloud says, and cars are held."""

    def agree():
        written, live = case.written(), case.live()
        states = [written.get(one.order.directive.directive_id, ("",))[0] for one in live]
        waiting = [state for state, _ in written.values() if state in {"REQUESTED", "ACCEPTED"}]
        return len(live) >= LEAST and not waiting and states == [one.state.value for one in live]

    await until(agree)


async def one_life(case, begun, asked):
    """Killed once or twice, restarted, and in the end every driver leaves."""
    task = asyncio.create_task(HOW[case.name](case, begun))
    await asked
    await task
    await case.start()
    await until(lambda: case.registered)
    await settled(case)
    case.opt_out(case.cloud.fleet.refs)
    await until(lambda: all(state in FINAL for state, _ in case.written().values()) and not case.live())
    await case.stop()


def by_itself(stage):
    async def how(case, begun):
        await case.start("--die", stage)
        await until(lambda: case.registered)
        begun.set()
        await case.died()

    return how


def by_the_cloud(what):
    async def how(case, begun):
        await case.start(die_on=what)
        await until(lambda: case.registered)
        begun.set()
        await case.died()

    return how


async def in_a_cancel(case, begun, *stage, die_on=None):
    """Two drivers leave while their cars are held."""
    await case.start(*stage, die_on=die_on)
    await until(lambda: case.registered)
    begun.set()
    held = await until(lambda: case.live() if len(case.live()) >= LEAST else None)
    case.opt_out(case.cloud.fleet.refs[record.car] for record in held[:2])
    await case.died()


async def while_reading(case, begun):
    """Killed after a send, and again when it asks what became of it."""
    await by_the_cloud("submit")(case, begun)
    await case.start(die_on="status")
    await case.died()


HOW = {
    "before_commit": by_itself("before_commit"),
    "after_commit": by_itself("after_commit"),
    "after_send": by_the_cloud("submit"),
    "after_accept": by_itself("after_accept"),
    "before_cancel": lambda case, begun: in_a_cancel(case, begun, "--die", "before_cancel"),
    "in_cancel": lambda case, begun: in_a_cancel(case, begun, die_on="cancel"),
    "while_reading": while_reading,
}
FINAL = {"RELEASED", "OVERRIDDEN", "FAILED", "EXPIRED", "REJECTED", "SUPERSEDED", "CANCELLED"}


@contextlib.asynccontextmanager
async def cased(name, folder, clock, vtn):
    folder.mkdir()
    settings = SimulatorSettings(
        *("bmw", CARS, 7, EVENING, TOKEN),
        nights=1,
        faults=NO_FAULTS,
        truth="as_told",
        opted_out_probability=0.0,
        away_probability=0.0,
    )
    write_enrolment(plan_fleet(settings), folder / "cars.jsonl")
    async with running(settings, clock) as live:
        case = Case(name, folder, live, clock, vtn)
        try:
            yield case
        finally:
            await case.stop()


async def all_lives(folder, vtn, clock):
    utility = Client(vtn.url, "bl", vtn.secrets["bl"])
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(BOUND_S):
        stack.push_async_callback(utility.close)
        cases = [await stack.enter_async_context(cased(name, folder / name, clock, vtn)) for name in HOW]
        ready = [asyncio.Event() for _ in cases]
        asked = asyncio.create_task(ask(utility, clock, ready))
        await asyncio.gather(*(one_life(case, begun, asked) for case, begun in zip(cases, ready, strict=True)))
        return {case.name: case for case in cases}


async def ask(utility, clock, ready):
    """An emergency, once every adapter is at work."""
    for one in ready:
        await one.wait()
    program = await utility.create(ObjectType.PROGRAM, {"programName": "killed"})
    content = {
        "programID": program["id"],
        "intervalPeriod": {"start": clock.now().isoformat(), "duration": "PT4H"},
        "intervals": [{"id": 0, "payloads": [{"type": "SIMPLE", "values": [3]}]}],
    }
    await utility.create(ObjectType.EVENT, content)


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    clock = SimulatedClock(EVENING, time.time(), SPEED)
    secrets = {name: add_client(folder / "var", name, role) for name, role in (("bl", "BL"), ("c1", "VEN"))}
    with Vtn(folder / "var", {"server.clock": print_clock(clock)}, secrets) as vtn:
        return asyncio.run(all_lives(folder, vtn, clock))


def records_of(case):
    """Everything that the cloud took."""
    return [record for mine in case.cloud._directives._by_car for record in mine]


def effects(case):
    """By car, the pauses that took effect on it, in the order in which they were taken."""
    pauses = {}
    for record in records_of(case):
        if record.began and record.order.directive.kind is DirectiveKind.CURTAIL:
            pauses.setdefault(record.car, []).append(record)
    return pauses


@pytest.mark.parametrize("name", HOW)
def test_every_directive_ends_in_the_state_that_its_backend_knows(lives, name):
    case = lives[name]
    records = {record.order.directive.directive_id: record for record in records_of(case)}
    written = case.written()
    assert len(written) >= LEAST
    for directive_id, (state, document) in written.items():
        record = records.get(directive_id)
        if record is None:
            assert state in {"CANCELLED", "EXPIRED", "SUPERSEDED"}, "never sent"
        elif state != record.state.value:
            assert (state, record.state.value) in AS_TRUE, case.life_of(directive_id)
            assert state != "EXPIRED" or (document["certainty"] <= Certainty.BACKEND_REPORTED)
    assert set(records) <= set(written)


@pytest.mark.parametrize("name", HOW)
def test_each_car_was_paused_once_but_where_a_newer_directive_named_the_older(lives, name):
    pauses = effects(lives[name])
    assert len(pauses) >= LEAST
    for records in pauses.values():
        named = [record.order.directive for record in records]
        for older, newer in itertools.pairwise(named):
            assert newer.supersedes == older.directive_id or newer.start >= older.end


@pytest.mark.parametrize("name", HOW)
def test_what_may_have_happened_is_read_before_it_is_sent_again(lives, name):
    case = lives[name]
    assert case.deaths >= 1
    sent = set()
    for call in case.calls:
        if call.what == "submit":
            assert call.directive_id not in sent, "sent twice, and not read in between"
            sent.add(call.directive_id)
            assert call.at <= call.not_after
        elif call.what == "status":
            sent.discard(call.directive_id)


@pytest.mark.parametrize("name", HOW)
def test_nothing_was_sent_that_was_not_written_down_before(lives, name):
    assert lives[name].durable
    assert all(lives[name].durable)


def test_a_command_that_nobody_lived_to_see_answered_was_read_after_the_restart(lives):
    for name in ("after_commit", "after_send", "after_accept", "while_reading"):
        assert any(call.what == "status" for call in lives[name].calls), name


def test_cars_whose_drivers_left_are_given_back_once_and_for_all(lives):
    for name in ("before_cancel", "in_cancel"):
        states = [state for state, _ in lives[name].written().values()]
        assert states.count("CANCELLED") >= 2, name
