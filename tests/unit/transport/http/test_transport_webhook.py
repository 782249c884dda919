import asyncio
import contextlib
from datetime import UTC, datetime

import aiohttp

from ven_adapters.contract import DriverChoice, DriverChose, SnapshotsSeen, WriteDown
from ven_adapters.transport.http.codec import EventDelivery, dump_delivery
from ven_adapters.transport.http.signatures import answer, sign
from ven_adapters.transport.http.webhook_queue import Intake
from ven_adapters.transport.http.webhooks import WebhookAddress, backend_webhooks
from vtn.clock import RealClock

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOW_S = 1_782_900_000
EVENT = SnapshotsSeen(())
CHOICE = DriverChose("v", DriverChoice.OPT_OUT, NOON)


@contextlib.asynccontextmanager
async def receiver(**more):
    address, line = WebhookAddress("hush"), Intake(**more)
    one = backend_webhooks(address, RealClock(), intake=line, unix_s=lambda: float(NOW_S))
    port = await one.start()
    async with aiohttp.ClientSession() as http:

        async def post(body, *, secret="hush", at_s=NOW_S):
            headers = {"X-Timestamp": str(at_s), "X-Signature": sign(secret, at_s, body)}
            async with http.post(f"http://127.0.0.1:{port}/", data=body, headers=headers) as response:
                return response.status, await response.read()

        try:
            yield one, post
        finally:
            await one.stop()


async def test_a_signed_batch_arrives_once_however_often_it_is_delivered():
    async with receiver() as (one, post):
        body = dump_delivery(EventDelivery("e-1", (EVENT,)))
        assert [(await post(body))[0] for _ in range(3)] == [200, 200, 200]
        assert await one.batch(5.0) == (EVENT,)
        assert await one.batch(0.0) == ()


async def test_a_forged_or_stale_batch_is_refused_unread():
    async with receiver() as (one, post):
        body = dump_delivery(EventDelivery("e-1", (EVENT,)))
        assert (await post(body, secret="other"))[0] == 401
        assert (await post(body, at_s=NOW_S - 301))[0] == 401
        assert (await post(b"not JSON"))[0] == 400
        assert await one.batch(0.0) == ()


async def test_a_challenge_is_answered_with_the_secret():
    async with receiver() as (_, post):
        status, body = await post(dump_delivery(EventDelivery("e", challenge="prove-it")))
        assert (status, answer("hush", "prove-it") in body.decode()) == (200, True)


async def test_a_challenge_that_could_be_a_body_is_refused():
    async with receiver() as (_, post):
        for text in (f'{NOW_S}.{{"event_id":"e"}}', "prove it", "short", "a" * 129, "prove-it\n"):
            status, body = await post(dump_delivery(EventDelivery("e", challenge=text)))
            assert (status, b"challenge: must be 8 to 128" in body) == (400, True)


async def test_a_full_queue_refuses_and_takes_the_same_batch_later():
    async with receiver(in_line=1) as (one, post):
        first, second = (dump_delivery(EventDelivery(name, (EVENT,))) for name in ("e-1", "e-2"))
        assert (await post(first))[0] == 200
        assert (await post(second))[0] == 503
        await one.batch(5.0)
        assert (await post(second))[0] == 200
        assert await one.batch(5.0) == (EVENT,)


async def test_a_drivers_choice_is_answered_for_once_its_taker_asks_for_what_follows():
    async with receiver() as (one, post):
        body = dump_delivery(EventDelivery("e-1", (CHOICE,)))
        answers = [asyncio.create_task(post(body)) for _ in range(2)]
        assert await one.batch(5.0) == (CHOICE, WriteDown())
        assert not any(answer.done() for answer in answers)
        assert await one.batch(0.1) == ()
        assert [(await answer)[0] for answer in answers] == [200, 200]
        assert (await post(body))[0] == 200
        assert await one.batch(0.0) == ()


async def test_a_drivers_choice_that_nobody_writes_down_is_refused_and_not_told_twice():
    async with receiver(patience_s=0.05) as (one, post):
        body = dump_delivery(EventDelivery("e-1", (CHOICE,)))
        assert [(await post(body))[0] for _ in range(2)] == [503, 503]
        assert await one.batch(5.0) == (CHOICE, WriteDown())
        assert await one.batch(0.0) == ()
        assert (await post(body))[0] == 200
