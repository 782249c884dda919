"""What a VEN answers and what our VTN changes at the same time: neither takes the other's word away."""

import asyncio

import pytest
from oadr20b_cases import NOON, PLAIN, event

from vtn.clock import RealClock
from vtn.ids import uuids
from vtn.oadr20b.codec.encode import event_response_values, response_values
from vtn.oadr20b.codec.messages import EiResponse, EventResponse
from vtn.oadr20b.downstream.context import DownstreamContext
from vtn.oadr20b.downstream.outbox import ReportOutbox
from vtn.oadr20b.downstream.projection import project
from vtn.oadr20b.downstream.services import Services
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.downstream.vens import VenProvision, VenRegistration, VenRegistry, add_ven
from vtn.oadr20b.downstream.vtn_watch import ReadVtn, VtnWatch
from vtn.oadr20b.store.database import opened

SETTINGS = {"vtn": {"url": "http://127.0.0.1:1", "client_id": "b", "client_secret": "s"}}
NOTHING = ReadVtn({}, (), {}, frozenset())


class EventualClock(RealClock):
    """Noon of the day of the events."""

    def now(self):
        return NOON


@pytest.fixture
async def parts(tmp_path):
    """A registry with one VEN that is told one event, and what answers and changes it."""
    async with opened(f"sqlite:///{tmp_path / '20b.db'}") as store:
        await add_ven(store, VenProvision("ven", "depot"))
        registry = VenRegistry(store)
        await registry.load()
        ven = registry.vens["ven"]
        await registry.register(ven, VenRegistration("reg", NOON))
        told = project({}, {"e1": ("x1", event())}, NOON)
        await registry.keep_events((ven, one) for one in told)
        watch = VtnWatch(None, registry, store)
        outbox = ReportOutbox(store, lambda _: None)
        settings = DownstreamSettings.model_validate(SETTINGS)
        loop = asyncio.get_running_loop()
        context = DownstreamContext(settings, store, registry, outbox, watch, EventualClock(), loop.time, uuids())
        yield registry, watch, Services(context, PLAIN)


def answer():
    said = event_response_values(EventResponse("e1", 0, "optIn", "r"))
    response = response_values(EiResponse(request_id="r"))
    return PLAIN.write("oadrCreatedEvent", NOON, response=response, event_responses=[said], ven_id="ven")


@pytest.mark.parametrize("first", ["answer", "change"])
async def test_an_event_that_is_deleted_while_it_is_answered_is_cancelled(parts, first):
    registry, watch, services = parts
    ven = registry.vens["ven"]
    change = asyncio.create_task(watch.tell(NOTHING, NOON)) if first == "change" else None
    while change is not None and not ven.lock.locked():  # noqa: ASYNC110 - another task of this loop, watched from outside
        await asyncio.sleep(0)  # until the change is on its way to the disk
    await asyncio.gather(services.answer("EiEvent", answer(), None, secure=False), change or watch.tell(NOTHING, NOON))
    held = registry.vens["ven"].events["e1"]
    assert (held.cancelled, held.modification) == (True, 1)
    again = VenRegistry(registry._store)
    await again.load()
    assert again.vens["ven"].events["e1"] == held


async def test_many_answers_at_once_are_all_kept(parts):
    registry, _, services = parts
    ven = registry.vens["ven"]
    fresh = {f"e{number}": ("x", event(event_id=f"e{number}")) for number in range(1, 21)}
    await registry.keep_events((ven, one) for one in project(ven.events, fresh, NOON))

    def of(number):
        said = event_response_values(EventResponse(f"e{number}", 0, "optOut", "r"))
        return PLAIN.write(
            "oadrCreatedEvent", NOON, response=response_values(EiResponse()), event_responses=[said], ven_id="ven"
        )

    await asyncio.gather(*(services.answer("EiEvent", of(number), None, secure=False) for number in range(1, 21)))
    assert {one.opt for one in ven.events.values()} == {"optOut"}
