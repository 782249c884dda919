"""A utility that we did not write above us: stock `OpenADRServer` 0.5.36, and our VEN with its events in our VTN."""

import contextlib
from datetime import timedelta

import pytest
from peers20b import NO_WARNINGS, drms, eventually, interval, now
from vtn_process import fresh

from vtn.client import Client
from vtn.oadr20b.upstream.run import running
from vtn.oadr20b.upstream.settings import UpstreamSettings
from vtn.wire.enumerations import ObjectType

pytestmark = pytest.mark.filterwarnings(NO_WARNINGS)


@pytest.fixture(scope="module")
def server(launch):
    with launch() as made:
        yield made


@pytest.fixture
async def utility_side(server):
    """Business Logic of our VTN, to look at what stands there."""
    async with Client(server.url, "bl", server.secrets["bl"]) as client:
        yield client


def settings_for(server, folder, url, name, **more):
    return UpstreamSettings.model_validate(
        {
            "vtn": {"url": server.url, "client_id": "bl", "client_secret": server.secrets["bl"]},
            "var": folder,
            "utilities": {name: {"url": url, "ven_name": f"ven of {name}", **more}},
            "look_s": 0.2,
            "first_retry_s": 0.05,
            "longest_retry_s": 0.2,
        }
    )


@contextlib.asynccontextmanager
async def bridged(settings):
    async with running(settings) as tasks:
        yield tasks
        for task in tasks:
            if task.done():
                task.result()


async def events_of(client, name):
    found = await client.search(ObjectType.EVENT)
    return [one for one in found if (one.get("eventName") or "").startswith(f"20b {name} ")]


async def test_an_event_of_the_utility_stands_in_our_vtn_and_is_answered_once(server, utility_side, tmp_path):
    name = fresh("u")[:20]
    async with drms() as drms_, bridged(settings_for(server, tmp_path, drms_.url, name)):
        ven_id = f"ven-ven of {name}"
        await eventually(lambda: ven_id in drms_.vens)
        start = now() + timedelta(minutes=5)
        event_id = drms_.event(
            ven_id,
            "LOAD_DISPATCH",
            "setpoint",
            [interval(start, 30, 5.0), interval(start + timedelta(minutes=30), 30, 2.5)],
        )
        (made,) = await eventually(lambda: events_of(utility_side, name))
        assert made["eventName"] == f"20b {name} {event_id}"
        assert [one["payloads"][0]["values"] for one in made["intervals"]] == [[0.005], [0.0025]]
        await eventually(lambda: (event_id, "optIn") in drms_.opts)

        held = drms_.held(ven_id, event_id)
        for signal in held.event_signals:
            for one in signal.intervals:
                one["signal_payload"] = 7000.0
        held.event_descriptor.modification_number += 1
        drms_.touch(ven_id)

        async def changed():
            (one,) = await events_of(utility_side, name)
            return one["intervals"][0]["payloads"][0]["values"] == [7.0] and one["id"] == made["id"]

        await eventually(changed)

        drms_.server.cancel_event(ven_id, event_id)

        async def gone():
            return not await events_of(utility_side, name)

        await eventually(gone)
