"""VENs that we did not write below us: stock `OpenADRClient` 0.5.36, and what our VTN tells it."""

import contextlib

import pytest
from peers20b import NO_WARNINGS, eventually, foreign_ven, now
from vtn_process import fresh

from vtn.client import Client
from vtn.oadr20b.downstream.run import running
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.downstream.vens import VenProvision, add_ven
from vtn.oadr20b.store.database import opened
from vtn.wire.enumerations import ObjectType

pytestmark = pytest.mark.filterwarnings(NO_WARNINGS)


@pytest.fixture(scope="module")
def server(launch):
    with launch() as made:
        yield made


@pytest.fixture
async def utility_side(server):
    """Business Logic of our VTN."""
    async with Client(server.url, "bl", server.secrets["bl"]) as client:
        yield client


def settings_for(server, folder, **more):
    return DownstreamSettings.model_validate(
        {
            "vtn": {"url": server.url, "client_id": "bl", "client_secret": server.secrets["bl"]},
            "reports_client_id": "c1",
            "reports_client_secret": server.secrets["c1"],
            "var": folder,
            "server": {"port": 0},
            "poll_s": 1,
            "look_s": 0.1,
            **more,
        }
    )


@contextlib.asynccontextmanager
async def bridged(settings, *provisions):
    async with opened(settings.store()) as store:
        for one in provisions:
            await add_ven(store, one)
    async with running(settings) as serving:
        yield serving
        for task in serving.tasks:
            if task.done():
                task.result()


async def program_for(client, target, **attributes):
    made = [{"type": name, "values": [value]} for name, value in attributes.items()]
    name = fresh("p")
    content = {"programName": name, "targets": [target], "attributes": made}
    return (await client.create(ObjectType.PROGRAM, content))["id"]


def event_in(program_id, payload, value, start, minutes=30, **more):
    return {
        "programID": program_id,
        "intervalPeriod": {"start": start.isoformat(), "duration": f"PT{minutes}M"},
        "intervals": [{"id": 0, "payloads": [{"type": payload, "values": [value]}]}],
        **more,
    }


async def test_a_stock_ven_registers_gets_an_event_and_its_opt_is_a_report(server, utility_side, tmp_path):
    target = fresh("t")
    provision = VenProvision("ven-42", "depot", targets=(target,))
    async with bridged(settings_for(server, tmp_path), provision) as serving:
        async with foreign_ven("depot", serving.url) as ven:
            assert ven.client.registration_id
            program_id = await program_for(utility_side, target, X_20B_MARKET_CONTEXT="http://utility.example/summer")
            made = await utility_side.create(ObjectType.EVENT, event_in(program_id, "DISPATCH_SETPOINT", -5.0, now()))
            (event,) = await eventually(lambda: ven.seen(made["id"]))
            assert event["event_descriptor"]["event_status"] == "active"

            async def opted():
                found = await utility_side.search(ObjectType.REPORT, eventID=made["id"])
                return [
                    p["values"]
                    for one in found
                    for r in one["resources"]
                    for i in r["intervals"]
                    for p in i["payloads"]
                ]

            assert await eventually(opted) == [["optIn"]]
            await utility_side.delete(ObjectType.EVENT, made["id"])
            await eventually(lambda: ven.seen(made["id"])[-1]["event_descriptor"]["event_status"] == "cancelled")
            await eventually(lambda: serving.context.registry.vens["ven-42"].events[made["id"]].acked == 1)
