"""The words of 3.0.1: made once of each version of an object, remembered within a bound of bytes."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from vtn.bounds import BodyBounds, CacheBounds
from vtn.rules.compat30 import objects as translation
from vtn.service.bodies import Bodies
from vtn.service.versions import Versions
from vtn.storage.ports import Record
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

AT = "2026-07-15T16:00:00.000000Z"
EVENT = {"id": "e", "createdDateTime": AT, "modificationDateTime": AT, "objectType": "EVENT", "programID": "p"}
INTERVALS = [{"id": 0, "payloads": [{"type": "PRICE", "values": [0.170]}]}]
PERIOD = {"start": "2026-01-01T00:00:00Z", "duration": "PT1H"}


class Model:
    """Nobody needs it here."""

    def get(self, *_):
        return None


@dataclasses.dataclass
class Clock:
    at: datetime = datetime(2026, 7, 20, 12, 0, 30, tzinfo=UTC)

    def now(self):
        return self.at


@dataclasses.dataclass
class Core:
    bodies: Bodies
    clock: Clock = dataclasses.field(default_factory=Clock)
    model: Model = dataclasses.field(default_factory=Model)


@pytest.fixture
def core():
    made = Core(Bodies(BodyBounds(), CacheBounds()))
    yield made
    made.bodies.off.close()


@pytest.fixture
def translated(monkeypatch):
    """How often anything was translated."""
    seen = []
    show = translation.show
    monkeypatch.setattr(translation, "show", lambda *args: seen.append(args[0]) or show(*args))
    return seen


def record(side=None, **content):
    return Record(ObjectType.EVENT, "e", AT, AT, document.render({**EVENT, **content}), side=side)


async def words(versions, core, *records):
    return await versions.of(core, ObjectType.EVENT, [one.body for one in records], records)


async def test_a_version_is_translated_once(core, translated):
    versions, one = Versions(), record(intervals=INTERVALS, intervalPeriod=PERIOD)
    first = await words(versions, core, one, one)
    core.clock.at += timedelta(days=1)
    assert await words(versions, core, one, one) == first
    assert len(translated) <= 2
    await words(versions, core, record(intervals=INTERVALS, intervalPeriod=PERIOD, eventName="another version"))
    assert len(translated) <= 3


async def test_what_is_remembered_beside_an_object_is_part_of_its_version(core):
    versions = Versions()
    bare, typed = record(targets=["a"]), record(side='{"types":{"a":["ZONE"]}}', targets=["a"])
    found = [document.parse(one)["targets"][0]["type"] for one in await words(versions, core, bare, typed)]
    assert found == ["GROUP", "ZONE"]


async def test_an_endless_event_moves_with_the_present_and_is_translated_once_a_minute(core, translated):
    versions, one = Versions(), record(duration="P9999Y", intervals=INTERVALS, intervalPeriod=PERIOD)
    first = await words(versions, core, one)
    core.clock.at += timedelta(seconds=20)
    assert await words(versions, core, one) == first
    assert len(translated) == 1
    core.clock.at += timedelta(hours=2)
    (later,) = await words(versions, core, one)
    shown = document.parse(later)["intervals"][0]["intervalPeriod"]["start"]
    assert shown == "2026-07-20T14:00:00.000000Z"


async def test_the_words_are_bounded_in_bytes(core):
    versions = Versions(200_000)
    packed = [{"id": 0, "intervalPeriod": PERIOD, "payloads": [{"type": "PRICE", "values": list(range(200))}]}]
    for number in range(40):
        (said,) = await words(versions, core, record(intervals=packed, eventName=f"event {number}"))
        assert len(document.parse(said)["intervals"]) == 200
        assert 0 < versions.held_bytes <= 200_000
