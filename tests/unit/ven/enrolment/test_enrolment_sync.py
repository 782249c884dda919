"""What drivers told the enrolment store is taken up and honoured, whatever else cannot be read at that moment."""

import asyncio
import dataclasses
import json

import pytest
import sqlalchemy
from enrolment_cases import CAR, NOW, agreement, put

from ven_adapters.contract import DriverChoice
from ven_adapters.enrolment_api.models import OptOut
from ven_adapters.enrolment_api.operations import EnrolmentOperations
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.enrolment.source import AgreementSource
from ven_adapters.ven.enrolment.sync import EnrolmentSync


@dataclasses.dataclass
class Still:
    """A clock that stands."""

    def now(self):
        return NOW


@dataclasses.dataclass
class Following:
    """A follower over a real store and a real file, and what it told."""

    store: EnrolmentStore
    path: object
    fleet_state: FleetState = dataclasses.field(default_factory=lambda: FleetState(NOW.timestamp(), {}, 1))
    chosen: list = dataclasses.field(default_factory=list)
    released: list = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        agreements = AgreementSource([self.path], self.store)
        self.follower = EnrolmentSync(agreements, self.fleet_state, Still(), self)

    def take(self, chose):
        self.chosen.append(chose)

    def apply(self, effect):
        self.released += effect.release

    async def once(self):
        """One round of what the follower does all the time."""
        await self.follower.take_up(await self.follower.agreements.news(NOW))


@pytest.fixture
async def following(tmp_path):
    path = tmp_path / "cars.jsonl"
    path.write_text(json.dumps(CAR | {"vehicle_ref": "filed", "zone": "bay"}) + "\n")
    store = EnrolmentStore(f"sqlite+aiosqlite:///{tmp_path}/enrolments.sqlite")
    await store.open()
    await put(store, agreement("leaves", zone="bay"), agreement("stays", zone="bay"))
    made = Following(store, path)
    await made.follower.begin()
    yield made
    await store.close()


async def decide(store):
    """At once: one driver leaves, one opts out, and a car of a zone that nobody knows is enrolled."""
    await put(store, agreement("new", zone="elsewhere"))
    async with store.write(NOW) as write:
        await EnrolmentOperations({}).withdrawal(write, "leaves")
        await EnrolmentOperations({}).opt_out(write, "stays", OptOut())


def honoured(following):
    assert following.released == ["leaves"]
    assert [(one.vehicle_ref, one.choice) for one in following.chosen] == [("stays", DriverChoice.OPT_OUT)]
    assert sorted(following.fleet_state.enrolled()) == ["filed", "new", "stays"]


async def test_what_drivers_decided_counts_while_a_file_cannot_be_used(following):
    following.path.write_text("{")
    await decide(following.store)
    await following.once()
    honoured(following)
    assert not following.follower.owed
    following.path.write_text("")
    await following.follower.reread()
    assert sorted(following.fleet_state.groups) == ["bay", "elsewhere"]


async def test_a_store_is_opened_and_migrated_once_however_often_everything_is_taken_up_anew(following, monkeypatch):
    monkeypatch.setattr(following.store, "open", lambda: pytest.fail("opened again"))
    following.path.write_text("")
    await following.follower.reread()
    assert sorted(following.fleet_state.enrolled()) == ["leaves", "stays"]


async def test_what_drivers_decided_counts_when_the_store_is_away_in_the_middle(following, monkeypatch):
    since, asked = following.store.since, []

    async def failing(seq, *more):
        asked.append(seq)
        if seq == 0:
            raise sqlalchemy.exc.OperationalError("SELECT", {}, OSError("away"))
        return await since(seq, *more)

    monkeypatch.setattr(following.store, "since", failing)
    await decide(following.store)
    await following.once()
    honoured(following)
    assert following.follower.owed
    assert "elsewhere" not in following.fleet_state.groups
    monkeypatch.undo()
    running = asyncio.create_task(following.follower.run())
    async with asyncio.timeout(10):
        while following.follower.owed:  # noqa: ASYNC110 - the follower's own state, watched from outside
            await asyncio.sleep(0.02)
    running.cancel()
    assert "elsewhere" in following.fleet_state.groups
