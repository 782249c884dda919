"""Where bodies are judged: in place or in a thread with the same outcome, and every client gets its turn."""

import asyncio
import json
import threading

import pytest

from vtn.bounds import BodyBounds
from vtn.errors import Rejected, TooLarge, TooOften
from vtn.service.bodies import Bodies

LARGE = json.dumps({"x": ["y"] * 1_000}).encode()
SMALL = b'{"x":1}'


@pytest.fixture
def bodies():
    made = Bodies(BodyBounds(heavy_bytes=1_024, values=2_000, text=2_000))
    yield made
    made.off.close()


@pytest.mark.parametrize(("body", "beside"), [(SMALL, False), (LARGE, True)])
async def test_a_large_body_is_judged_beside_the_event_loop(bodies, body, beside):
    seen = []

    def judge(content, values):
        seen.append((content, threading.current_thread() is not threading.main_thread()))
        return values

    assert await bodies.judged("c1", body, judge) >= len(json.loads(body))
    assert seen == [(json.loads(body), beside)]


@pytest.mark.parametrize("filler", [b"", b" " * 2_000], ids=["in place", "in the thread"])
@pytest.mark.parametrize(
    ("body", "error"),
    [(b"{", Rejected), (b"[" + b"1," * 2_000 + b"1]", TooLarge), (b'{"x":"' + b"y" * 2_001 + b'"}', Rejected)],
)
async def test_what_is_too_much_is_refused_before_anybody_looks_at_it(bodies, body, error, filler):
    with pytest.raises(error):
        await bodies.judged("c1", filler + body, lambda *_: pytest.fail("was judged"))


async def test_a_refusal_in_the_thread_is_the_clients_own(bodies):
    def refuse(_content, _values):
        raise TooLarge("no")

    with pytest.raises(TooLarge, match="no"):
        await bodies.judged("c1", LARGE, refuse)
    assert await bodies.judged("c1", LARGE, lambda *_: "yes") == "yes"


async def test_a_client_with_many_large_bodies_keeps_nobody_from_a_turn(bodies):
    """The one body of c2 comes after a hundred of c1 and is judged second."""
    order = []
    crowd = [asyncio.create_task(bodies.judged("c1", LARGE, lambda *_: order.append("c1"))) for _ in range(100)]
    await asyncio.sleep(0)
    await bodies.judged("c2", LARGE, lambda *_: order.append("c2"))
    assert order.index("c2") <= 2
    await asyncio.gather(*crowd)
    assert order.count("c1") == 100
    assert not bodies._turns._queues


async def test_who_goes_away_while_it_waits_leaves_no_turn_behind(bodies):
    first, second = (asyncio.create_task(bodies.judged("c1", LARGE, lambda *_: None)) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert not bodies._turns._queues
    assert await bodies.judged("c1", LARGE, lambda *_: 1) == 1


async def test_a_client_has_few_bytes_waiting_and_others_have_theirs(bodies):
    bodies._turns._most_bytes = 10 * len(LARGE)
    crowd = [asyncio.create_task(bodies.judged("c1", LARGE, lambda *_: 1)) for _ in range(12)]
    assert await bodies.judged("c2", LARGE, lambda *_: 2) == 2
    outcomes = await asyncio.gather(*crowd, return_exceptions=True)
    assert outcomes[:10] == [1] * 10
    assert [type(one) for one in outcomes[10:]] == [TooOften] * 2
    bodies._turns._most_bytes = 1
    assert await bodies.judged("c1", LARGE, lambda *_: 3) == 3


async def test_many_pieces_of_work_come_back_in_order(bodies):
    assert await bodies.all_made((100, lambda number=number: number) for number in range(50)) == list(range(50))
    assert await bodies.all_made([]) == []
