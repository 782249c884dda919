"""A message that the broker hangs up on: it costs some tries and a line in the log, and stops nobody else's."""

import asyncio
import json
import logging

import aiomqtt
import pytest
from notifier_parts import PATIENCE_S, POLL_S, broker_for, node, running

from vtn.notifiers.broker import publisher
from vtn.notifiers.broker.publisher import TRIES, TRIES_TOGETHER, BrokerGone, MqttOutlet
from vtn.notifiers.relay import Relay

SMALL = 1024
LARGE = {"intervals": [{"id": 0, "payloads": [{"type": "X", "values": ["x" * 20_000]}]}]}


@pytest.fixture
async def made(tmp_path):
    async with node(tmp_path) as one:
        await one.ven("V1", "c1", "g1")
        await one.program("P")
        yield one


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(publisher, "LONGEST_RETRY_S", 0.05)


async def test_what_the_broker_refuses_is_left_out_and_the_rest_goes_on(made, tmp_path, quick, caplog):
    caplog.set_level(logging.ERROR, "vtn.notifiers")
    async with broker_for(made, tmp_path, largest_body_bytes=SMALL) as broker:
        address = broker.address
        async with aiomqtt.Client(address.host, address.port, username="bl", password="token-bl", timeout=10) as bl:
            await bl.subscribe("bl/events/+", qos=1)
            await made.event("BEFORE", "P")
            await made.event("LARGE", "P", **LARGE)
            await made.event("AFTER", "P")
            heard = set()
            async with asyncio.timeout(PATIENCE_S):
                async for message in bl.messages:
                    heard.add(json.loads(message.payload)["object"]["id"])
                    if "AFTER" in heard:
                        break
    assert heard == {"BEFORE", "AFTER"}
    assert len(caplog.messages) == 1
    assert "EVENT LARGE" in caplog.messages[0]
    assert "is not published" in caplog.messages[0]


class Picky:
    """A publisher whose broker hangs up on some topics, and counts how often it did."""

    def __init__(self, refused) -> None:
        self.refused = refused
        self.hung_up = 0
        self.heard: list[str] = []

    async def connected(self) -> None:
        await asyncio.sleep(0)

    async def publish(self, publications) -> None:
        for topic, _ in publications:
            if topic in self.refused:
                self.hung_up += 1
                raise BrokerGone
            self.heard.append(topic)


async def relayed(made, publisher):
    relay = Relay(made.store, MqttOutlet(made.audience, publisher), made.wake, POLL_S)
    async with running(relay.run), asyncio.timeout(PATIENCE_S):
        while await made.store.cursor("mqtt") < await made.store.head():  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)


async def test_a_refused_change_is_tried_a_bounded_number_of_times(made):
    await made.event("E", "P")
    publisher = Picky({"bl/events/create"})
    await relayed(made, publisher)
    assert publisher.hung_up == TRIES_TOGETHER + TRIES


async def test_two_refused_changes_do_not_hide_what_lies_between_them(made):
    await made.program("Q")
    for change in (made.event("E1", "P"), made.event("F", "Q"), made.event("E2", "P"), made.ven("V2", "c2")):
        await change
    publisher = Picky({"bl/programs/P/events/create"})
    await relayed(made, publisher)
    assert publisher.heard.count("bl/programs/Q/events/create") == 1
    assert publisher.heard[-1] == "bl/vens/create"


async def test_a_broker_that_fails_less_often_loses_nothing(made):
    publisher = Picky({"bl/events/create"})

    async def publish(publications, whole=publisher.publish):
        if publisher.hung_up == TRIES - 1:
            publisher.refused = set()
        await whole(publications)

    publisher.publish = publish
    await made.event("E", "P")
    await relayed(made, publisher)
    assert publisher.heard.count("bl/events/create") == 1
