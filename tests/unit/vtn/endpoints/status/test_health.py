"""Health: each part is looked at, one that is needed and missing is 503, and asking often costs nothing."""

import asyncio
import dataclasses
from types import SimpleNamespace

import pytest

from vtn.clock import parse_clock
from vtn.endpoints.status import health
from vtn.endpoints.status.health import Checkup, Finding, PartState, Progress, worst
from vtn.errors import Unavailable
from vtn.storage.ports import DeliveryBacklog, Leader
from vtn.wire import document

UP = Finding(PartState.UP, "fine")
LED = "process 7 on a relays since 2026-07-15T16:00:00Z"


@dataclasses.dataclass
class Figures:
    broker: bool | None = True
    sessions: int | None = 0
    published: int = 0
    attempts: dict = dataclasses.field(default_factory=dict)
    positions: dict | None = dataclasses.field(default_factory=lambda: {"mqtt": 5, "webhooks": 5})
    webhooks: dict = dataclasses.field(default_factory=lambda: {"overdue": 0, "hosts_away": 0})


class Store:
    """A store whose database and log are as a test says."""

    def __init__(self) -> None:
        self.log = 5
        self.broken = None
        self.read_only = None
        self.writes = 0
        self.led_by = Leader("process 7 on a", "2026-07-15T16:00:00Z", 3)

    async def head(self):
        if self.broken:
            raise self.broken
        return self.log

    async def probe(self):
        self.writes += 1
        if self.read_only:
            raise self.read_only

    async def leader(self):
        return self.led_by

    def shared_head(self):
        return self.log

    async def backlog(self):
        await self.head()
        return DeliveryBacklog(2, 1, "2026-07-15T16:00:00.000000Z")


class Model:
    """A read model that catches up, unless it is told not to."""

    def __init__(self) -> None:
        self.seq = 5
        self.stuck = False

    async def current(self, store):
        if not self.stuck:
            self.seq = store.shared_head()


class Watch:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def core():
    clock = parse_clock("2026-07-15T16:10:00Z@0*1")
    return SimpleNamespace(store=Store(), model=Model(), clock=clock)


@pytest.fixture
def checked(core, watch, tmp_path):
    figures = Figures()

    async def check(**changes):
        for name, value in changes.items():
            setattr(figures, name, value)
        looks = check.looks = check.looks or health.looks(core, tmp_path, lambda: figures, watch)  # type: ignore[attr-defined]
        return await Checkup(looks, watch).findings()

    check.looks = None  # type: ignore[attr-defined]
    return check


def states(findings):
    return {name: found.state for name, found in findings.items() if found.state is not PartState.UP}


async def test_a_server_at_work_is_up_in_every_part(checked):
    findings = await checked()
    assert findings.keys() == {"database", "writes", "read_model", "disk", "broker", "relay", "webhooks"}
    assert states(findings) == {}


@pytest.mark.parametrize("failure", [Unavailable("postgresql://secret@host"), TimeoutError()])
async def test_a_database_out_of_reach_is_down_and_its_address_is_not_told(core, checked, failure):
    core.store.broken = failure
    findings = await checked()
    assert states(findings) == {"database": PartState.DOWN, "webhooks": PartState.DOWN}
    assert "secret" not in str(findings)


async def test_a_look_that_takes_too_long_is_down(monkeypatch, core, checked):
    monkeypatch.setattr(health, "LOOK_S", 0.01)
    core.store.head = asyncio.Event().wait
    assert (await checked())["database"].state is PartState.DOWN


async def test_a_read_model_that_catches_up_is_up(core, checked):
    core.store.log = 9
    assert states(await checked()) == {}
    assert core.model.seq == 9


async def test_a_read_model_that_does_not_catch_up_is_down(core, checked):
    core.store.log, core.model.stuck = 9, True
    findings = await checked()
    assert states(findings) == {"read_model": PartState.DOWN}
    assert findings["read_model"].figures == {"applied": 5, "behind": 4}


async def test_a_folder_that_takes_no_files_is_down_and_one_that_does_is_left_clean(core, watch, tmp_path):
    found = await Checkup(health.looks(core, tmp_path / "gone", Figures, watch), watch).findings()
    assert states(found) == {"disk": PartState.DOWN}
    assert states(await Checkup(health.looks(core, tmp_path, Figures, watch), watch).findings()) == {}
    assert list(tmp_path.iterdir()) == []


async def test_a_broker_that_is_gone_makes_things_late_and_no_more(checked):
    findings = await checked(broker=False)
    assert states(findings) == {"broker": PartState.LATE}
    assert worst(list(findings.values())) is PartState.LATE


async def test_a_server_without_mqtt_lacks_nothing(checked):
    assert states(findings := await checked(broker=None)) == {"broker": PartState.OFF}
    assert worst(list(findings.values())) is PartState.UP


async def test_a_process_that_does_not_relay_is_up(checked):
    assert states(await checked(positions=None, broker=False)) == {}


async def test_a_relay_that_stands_still_with_something_to_do_is_late(core, checked, watch):
    core.store.log = core.model.seq = 9
    assert states(await checked()) == {}
    watch.now_s += health.STUCK_S + 1
    findings = await checked(positions={"mqtt": 5, "webhooks": 9})
    assert states(findings) == {"relay": PartState.LATE}
    assert findings["relay"].words == f"{LED}, and stands still: mqtt"
    assert findings["relay"].figures == {"mqtt": 4, "webhooks": 0}
    assert states(await checked(positions={"mqtt": 6, "webhooks": 9})) == {}


async def test_the_age_of_what_is_owed_is_told(checked):
    figures = (await checked())["webhooks"].figures
    assert (figures["pending"], figures["dead"]) == (2, 1)
    assert figures["oldest_s"] >= 600


async def test_a_receiver_that_waits_longer_than_the_longest_retry_makes_things_late(checked):
    found = (await checked(webhooks={"overdue": 2, "hosts_away": 1, "withdrawn_entry": 3}))["webhooks"]
    assert (found.state, found.words) == (PartState.LATE, "2 receivers wait for longer than the longest retry")
    assert (found.figures["hosts_away"], found.figures["withdrawn_entry"]) == (1, 3)


def test_who_has_nothing_to_do_never_stands_still(watch):
    progress = Progress(watch)
    assert progress.still_s("mqtt", 5, 5) == 0
    watch.now_s += 1000
    assert progress.still_s("mqtt", 5, 5) == 0
    assert progress.still_s("mqtt", 5, 6) == 0


async def test_who_asks_often_is_told_what_was_found_before(watch):
    looked = []

    async def look():
        looked.append(1)
        return UP

    checkup = Checkup({"x": look}, watch)
    await asyncio.gather(*(checkup.findings() for _ in range(100)))
    assert len(looked) == 1
    watch.now_s += health.FRESH_S + 0.1
    await checkup.findings()
    assert len(looked) == 2


async def everybody(_request):
    return True


async def nobody(_request):
    return False


@pytest.mark.parametrize(("state", "says"), [(PartState.UP, "up"), (PartState.LATE, "up"), (PartState.DOWN, "down")])
async def test_a_stranger_learns_up_or_down_and_nothing_else(watch, state, says):
    async def look():
        return Finding(state, "sixteen vens see 3 changes", {"vens": 16})

    answer = await health.health(Checkup({"x": look}, watch), "1.2", nobody)(None)
    assert document.parse(answer.body) == {"status": says}  # type: ignore[attr-defined]
    assert answer.status == (503 if says == "down" else 200)


async def test_a_server_that_takes_no_writes_is_down(core, checked):
    core.store.read_only = Unavailable("read-only")
    findings = await checked()
    assert states(findings) == {"writes": PartState.DOWN}
    assert worst(list(findings.values())) is PartState.DOWN


async def test_asking_often_writes_seldom_and_a_failure_is_tried_again(core, watch, tmp_path):
    checkup = Checkup(health.looks(core, tmp_path, Figures, watch), watch)
    for _ in range(20):
        watch.now_s += 1.1
        await checkup.findings()
    assert core.store.writes <= 5
    core.store.read_only, before = Unavailable("full"), core.store.writes
    for _ in range(10):
        watch.now_s += 1.1
        last = await checkup.findings()
    assert last["writes"].state is PartState.DOWN
    assert core.store.writes - before >= 5
    core.store.read_only = None
    watch.now_s += 1.1
    assert (await checkup.findings())["writes"].state is PartState.UP


@pytest.mark.parametrize(
    ("leader", "state", "words"),
    [
        (Leader("process 7 on a", "2026-07-15T16:00:00Z", 3, 1.0), PartState.UP, LED),
        (
            Leader("process 7 on a", "2026-07-15T16:00:00Z", 3, 7.0, late=True),
            PartState.LATE,
            f"{LED}, and gives no sign",
        ),
        (None, PartState.LATE, "no process relays"),
    ],
    ids=["another leads", "another is silent", "nobody leads"],
)
async def test_a_process_that_follows_tells_of_its_leader(core, checked, leader, state, words):
    core.store.led_by = leader
    found = (await checked(positions=None))["relay"]
    assert found.state is state
    assert found.words.startswith(words)


@pytest.mark.parametrize(
    ("state", "status"), [(PartState.UP, 200), (PartState.OFF, 200), (PartState.LATE, 200), (PartState.DOWN, 503)]
)
async def test_only_what_the_api_needs_makes_it_unavailable(watch, state, status):
    async def look():
        return Finding(state, "so it is")

    answer = await health.health(Checkup({"x": look, "y": look}, watch), "1.2", everybody)(None)
    said = document.parse(answer.body)  # type: ignore[attr-defined]
    assert answer.status == status
    assert said["status"] == ("up" if state is PartState.OFF else str(state))
    assert said["checks"]["x"] == {"state": str(state), "words": "so it is", "figures": {}}
