import contextlib
from datetime import UTC, datetime

import aiohttp

from ven_adapters.contract import DriverChoice, DriverChose
from ven_adapters.transport.codec import Delivery, dump_delivery
from ven_adapters.transport.signatures import answer, sign
from ven_adapters.transport.webhook import Receiver
from vtn.clock import RealClock

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOW_S = 1_782_900_000
EVENT = DriverChose("v", DriverChoice.BOOST, NOON)


@contextlib.asynccontextmanager
async def receiver(**more):
    one = Receiver("hush", RealClock(), unix_s=lambda: float(NOW_S), **more)
    port = await one.start("127.0.0.1", 0)
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
        body = dump_delivery(Delivery("e-1", (EVENT,)))
        assert [(await post(body))[0] for _ in range(3)] == [200, 200, 200]
        assert await one.batch(5.0) == (EVENT,)
        assert await one.batch(0.0) == ()


async def test_a_forged_or_stale_batch_is_refused_unread():
    async with receiver() as (one, post):
        body = dump_delivery(Delivery("e-1", (EVENT,)))
        assert (await post(body, secret="other"))[0] == 401
        assert (await post(body, at_s=NOW_S - 301))[0] == 401
        assert (await post(b"not JSON"))[0] == 400
        assert await one.batch(0.0) == ()


async def test_a_challenge_is_answered_with_the_secret():
    async with receiver() as (_, post):
        status, body = await post(dump_delivery(Delivery("e", challenge="prove it")))
        assert (status, answer("hush", "prove it") in body.decode()) == (200, True)


async def test_a_full_queue_refuses_and_takes_the_same_batch_later():
    async with receiver(queued=1) as (one, post):
        first, second = (dump_delivery(Delivery(name, (EVENT,))) for name in ("e-1", "e-2"))
        assert (await post(first))[0] == 200
        assert (await post(second))[0] == 503
        await one.batch(5.0)
        assert (await post(second))[0] == 200
        assert await one.batch(5.0) == (EVENT,)
