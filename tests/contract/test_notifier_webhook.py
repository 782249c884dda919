"""Webhooks against real receivers: what arrives, in which order, and what happens when it does not."""

import asyncio
import socket
import ssl

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from notifier_parts import Receiver, certificate, eventually, node, settled, told, webhooks

from vtn.errors import CannotStart
from vtn.notifiers.webhooks.addresses import refusal
from vtn.notifiers.webhooks.callbacks import Callbacks
from vtn.storage.ports import DeliveryState
from vtn.wire import document
from vtn.wire.enumerations import ObjectType as Kind


@pytest.fixture
async def made(tmp_path):
    async with node(tmp_path) as one:
        await one.ven("V1", "c1", "g1")
        await one.ven("V2", "c2", "g2")
        await one.program("P")
        yield one


async def test_each_change_of_an_object_arrives_in_order_as_its_owner_would_read_it(made):
    async with Receiver() as receiver, webhooks(made):
        await made.subscribe("S", "c1", receiver.url)
        await made.event("E", "P", "g1", "g2")
        await made.event("E", "P", "g1")
        await made.delete(Kind.EVENT, "E")
        await receiver.wait_for(lambda: len(receiver.taken) == 3)
        await settled(made)
    assert told(receiver.taken) == ["CREATE E", "UPDATE E", "DELETE E"]
    assert receiver.taken[0]["objectType"] == "EVENT"
    assert receiver.taken[0]["targets"] == receiver.taken[0]["object"]["targets"] == ["g1"]
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert "Authorization" not in receiver.headers[0]


async def test_a_ven_hears_only_of_what_it_may_see_and_of_its_loss(made):
    async with Receiver() as mine, Receiver() as theirs, Receiver() as all_of_it, webhooks(made):
        await made.subscribe("S1", "c1", mine.url)
        await made.subscribe("S2", "c2", theirs.url)
        await made.subscribe("SB", "bl", all_of_it.url)
        await made.event("E", "P", "g1")
        await made.event("E", "P", "g2")
        await settled(made)
    assert told(mine.taken) == ["CREATE E", "DELETE E"]
    assert mine.taken[1]["object"]["targets"] == ["g1"]
    assert told(theirs.taken) == ["CREATE E"]
    assert told(all_of_it.taken) == ["CREATE E", "UPDATE E"]


async def test_several_entries_send_different_kinds_to_different_callbacks(made):
    async with Receiver() as events, Receiver() as programs, webhooks(made):
        entries = [
            {"objects": [kind], "operations": ["CREATE"], "callbackUrl": receiver.url, "bearerToken": None}
            for kind, receiver in (("EVENT", events), ("PROGRAM", programs))
        ]
        await made.put(Kind.SUBSCRIPTION, "S", "c1", clientName="c", objectOperations=entries)
        await made.program("P2")
        await made.event("E", "P2")
        await settled(made)
    assert (told(events.taken), told(programs.taken)) == (["CREATE E"], ["CREATE P2"])


async def test_the_sealed_token_is_opened_and_sent_and_shown_to_nobody(made):
    async with Receiver() as receiver, webhooks(made, unseal=lambda sealed: sealed.removeprefix("sealed:")):
        await made.subscribe("S", "c1", receiver.url, kinds=("SUBSCRIPTION",), token="sealed:secret")
        await receiver.wait_for(lambda: receiver.taken)
    assert receiver.headers[0]["Authorization"] == "Bearer secret"
    assert receiver.taken[0]["object"]["objectOperations"][0]["bearerToken"] is None


async def test_a_token_that_cannot_be_opened_is_a_failure_and_no_crash(made):
    def unseal(_sealed):
        raise CannotStart("the sealing key has been replaced")

    async with Receiver() as receiver, webhooks(made, unseal=unseal):
        await made.subscribe("S", "c1", receiver.url, token="sealed:secret")
        await made.event("E", "P")
        await settled(made)
        dead = await made.store.deliveries(DeliveryState.DEAD)
    assert [row.last_error for row in dead] == ["the sealing key has been replaced"]
    assert receiver.calls == []


async def test_a_failed_delivery_is_repeated_and_later_ones_wait_for_it(made):
    async with Receiver(lambda number: 500 if number < 3 else 204) as receiver, webhooks(made):
        await made.subscribe("S", "c1", receiver.url)
        await made.event("E1", "P")
        await made.event("E2", "P")
        await settled(made)
    assert told(receiver.calls) == ["CREATE E1", "CREATE E1", "CREATE E1", "CREATE E2"]


async def test_after_its_last_try_a_delivery_is_kept_as_dead_and_the_queue_goes_on(made):
    async with Receiver(lambda number: 503 if number <= 3 else 200) as receiver, webhooks(made, attempts=3):
        await made.subscribe("S", "c1", receiver.url)
        await made.event("E1", "P")
        await made.event("E2", "P")
        await settled(made)
        dead = await made.store.deliveries(DeliveryState.DEAD)
    assert [(row.subscription_id, row.attempts, row.last_error) for row in dead] == [("S", 3, "answered 503")]
    assert told(receiver.taken) == ["CREATE E2"]


async def test_redirects_are_not_followed(made):
    async with Receiver(lambda _number: 307) as receiver, webhooks(made, attempts=1):
        await made.subscribe("S", "c1", receiver.url)
        await made.event("E", "P")
        await settled(made)
        dead = await made.store.deliveries(DeliveryState.DEAD)
    assert dead[0].last_error == "answered 307; redirects are not followed"
    assert len(receiver.calls) == 1


async def test_receivers_that_hang_delay_nobody_else(made):
    hang = asyncio.Event()
    async with Receiver(hang=hang) as stuck, Receiver() as receiver, webhooks(made, timeout_s=30.0):
        for number in range(80):
            await made.subscribe(f"H{number:02d}", "c1", stuck.url)
        await made.subscribe("S", "c1", receiver.url)
        for number in range(3):
            await made.event(f"E{number}", "P")
        await receiver.wait_for(lambda: len(receiver.taken) == 3)
        assert not hang.is_set()
        assert {message["object"]["id"] for message in stuck.calls} <= {"E0"}
    assert told(receiver.taken) == ["CREATE E0", "CREATE E1", "CREATE E2"]


async def test_a_receiver_that_does_not_answer_in_time_counts_as_failed(made):
    async with Receiver(hang=asyncio.Event()) as stuck, webhooks(made, timeout_s=1.0, attempts=1):
        await made.subscribe("S", "c1", stuck.url)
        await made.event("E", "P")
        await settled(made)
        dead = await made.store.deliveries(DeliveryState.DEAD)
    assert dead[0].last_error == "no answer within 1 s"


async def test_what_is_owed_at_a_stop_is_delivered_after_the_next_start(made):
    async with Receiver(lambda number: 500 if number == 1 else 200) as receiver:
        await made.subscribe("S", "c1", receiver.url)
        async with webhooks(made, first_retry_s=60.0, longest_retry_s=60.0):
            await made.event("E1", "P")
            await made.event("E2", "P")
            await receiver.wait_for(lambda: receiver.calls)
            await eventually_pending(made, attempts=1)
        assert told(receiver.taken) == []
        async with webhooks(made, now_s=lambda: 4e9):
            await settled(made)
    assert told(receiver.calls) == ["CREATE E1", "CREATE E1", "CREATE E2"]


async def eventually_pending(made, attempts):
    rows = []
    async with asyncio.timeout(60):
        while not any(row.attempts == attempts for row in rows):
            rows = await made.store.deliveries()


async def test_nothing_is_sent_after_the_subscription_or_its_client_has_gone(made):
    async with Receiver() as receiver:
        await made.subscribe("S1", "c1", receiver.url)
        await made.subscribe("S2", "c2", receiver.url)
        await made.event("E", "P")
        await made.delete(Kind.SUBSCRIPTION, "S1")
        made.clients.revoke("c2")
        async with webhooks(made):
            await settled(made)
    assert receiver.calls == []


async def test_a_delivery_is_judged_again_at_each_attempt(made):
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(_url, _body, _token, _headers):
        asked.set()
        await go_on.wait()
        return "answered 500"

    async with Receiver() as receiver, webhooks(made) as hooks:
        hooks.callbacks.post = slow
        await made.subscribe("S", "c1", receiver.url)
        await made.event("E", "P", "g1")
        await asked.wait()
        await made.ven("V1", "c1", "other")
        go_on.set()
        await settled(made)
        assert await made.store.deliveries(DeliveryState.DEAD) == []


async def test_the_end_of_a_program_is_told_to_those_who_saw_it_and_to_no_one_else(made):
    await made.program("Q", "g1")
    async with Receiver() as mine, Receiver() as theirs, Receiver() as narrow:
        kinds = ("EVENT", "PROGRAM")
        await made.subscribe("S1", "c1", mine.url, kinds)
        await made.subscribe("S2", "c2", theirs.url, kinds)
        await made.subscribe("SQ", "c1", narrow.url, kinds, programID="Q")
        await made.event("E", "Q")
        async with webhooks(made):
            await settled(made)
        await made.delete(Kind.PROGRAM, "Q")
        async with webhooks(made):
            await settled(made)
    assert told(mine.taken) == ["CREATE E", "DELETE E", "DELETE Q"]
    assert told(narrow.taken) == ["CREATE E", "DELETE E", "DELETE Q"]
    assert theirs.calls == []


async def test_notifications_keep_numbers_to_the_digit(made):
    bodies = []

    async def keep(_url, body, _token, _headers):
        bodies.append(body)

    async with webhooks(made) as hooks:
        hooks.callbacks.post = keep
        await made.subscribe("S", "c1", "http://127.0.0.1:9/")
        price = document.parse(b'[{"id":0,"payloads":[{"type":"PRICE","values":[0.170]}]}]')
        await made.event("E", "P", intervals=price)
        await eventually(lambda: bodies)
    assert b"[0.170]" in bodies[0]


# --- the challenge and the guard ---


@pytest.fixture
async def callbacks():
    async with Callbacks(1.0, guard=lambda text: refusal(text, allow_loopback=True)) as made:
        yield made


async def test_a_receiver_that_echoes_the_value_passes_the_challenge(callbacks):
    async with Receiver() as receiver:
        assert await callbacks.challenge(receiver.url + "?a=1&b=%20x", "token") is None
        assert await callbacks.challenge(receiver.url, None) is None
    first, second = receiver.asked
    assert first.query["a"] == "1"
    assert first.query["b"] == " x"
    assert first.headers["Authorization"] == "Bearer token"
    assert "Authorization" not in second.headers
    assert first.query["echo"] != second.query["echo"]
    assert len(first.query["echo"]) >= 22


@pytest.mark.parametrize(
    ("status", "echo", "reason"),
    [
        (200, lambda _value: "x", "did not echo"),
        (200, lambda value: "x" * 200_000 + value, "did not echo"),
        (404, lambda value: value, "answered 404"),
        (204, lambda value: value, "answered 204"),
        (302, lambda value: value, "answered 302"),
        (500, lambda value: value, "answered 500"),
    ],
)
async def test_a_receiver_that_does_not_echo_fails_the_challenge(callbacks, status, echo, reason):
    async with Receiver(lambda _number: status) as receiver:
        receiver.echo = echo
        assert reason in await callbacks.challenge(receiver.url, None)


async def test_the_value_may_stand_anywhere_in_the_answer(callbacks):
    async with Receiver() as receiver:
        receiver.echo = lambda value: f'{{"echo": "{value}"}}'
        assert await callbacks.challenge(receiver.url, None) is None


async def test_a_receiver_that_is_not_there_or_does_not_answer_fails_the_challenge(callbacks, unused_port):
    assert "cannot connect" in await callbacks.challenge(f"http://127.0.0.1:{unused_port}/", None)
    held = asyncio.Event()

    async def hang(_reader, writer):
        await held.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await callbacks.challenge(f"http://127.0.0.1:{port}/", None) == "no answer within 1 s"
    held.set()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def unused_port():
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])
async def test_no_spelling_of_this_machine_is_called_by_default(host):
    async with Receiver() as receiver, Callbacks(2.0) as careful:
        url = receiver.url.replace("127.0.0.1", host)
        reason = await careful.challenge(url, None)
        failure = await careful.post(url, b"{}", None)
    assert reason
    assert failure
    assert receiver.asked == receiver.calls == []


async def test_the_reason_names_the_address_that_was_refused():
    async with Callbacks(2.0) as careful:
        assert "127.0.0.1 is a loopback address" in await careful.challenge("https://127.0.0.1:1/hook", None)
        assert "169.254.169.254 is a cloud metadata address" in await careful.post("http://169.254.169.254/", b"", None)


async def test_the_reason_does_not_tell_what_a_name_stands_for():
    async with Callbacks(2.0) as careful:
        reason = await careful.challenge("https://localhost:1/hook", None)
    assert reason == "cannot connect: its name leads to no address that may be called"


class Name(AbstractResolver):
    """A name server whose one answer these addresses are."""

    def __init__(self, *addresses) -> None:
        self.addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):  # noqa: ARG002 - aiohttp passes it by name
        rest = {"hostname": host, "port": port, "proto": 0, "flags": 0}
        families = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in self.addresses]
        return [{**rest, "host": one, "family": kind} for one, kind in zip(self.addresses, families, strict=True)]

    async def close(self):
        pass


@pytest.mark.parametrize(
    ("addresses", "guard", "reason"),
    [
        (("10.1.2.3", "fd00::7"), refusal, "its name leads to no address that may be called"),
        (("127.0.0.1",), lambda _text: None, "Connection refused"),
        (("127.0.0.1", "127.0.0.2"), lambda _text: None, "Connection refused"),
    ],
)
async def test_no_reason_tells_what_a_name_stands_for(unused_port, addresses, guard, reason):
    async with Callbacks(2.0, guard=guard, resolver=Name(*addresses)) as careful:
        assert await careful.challenge(f"http://inside.example:{unused_port}/", None) == f"cannot connect: {reason}"


async def test_a_delivery_that_cannot_even_be_made_holds_up_no_other(made, monkeypatch, caplog):
    callback = made.audience.callback

    async def spoilt(delivery):
        if delivery.subscription_id == "BAD":
            raise KeyError("nobody foresaw this")
        return await callback(delivery)

    monkeypatch.setattr(made.audience, "callback", spoilt)
    async with Receiver() as receiver, webhooks(made, attempts=2):
        for name in ("BAD", "GOOD"):
            await made.subscribe(name, "c1", receiver.url)
        await made.event("E", "P")
        await settled(made)
    assert told(receiver.taken) == ["CREATE E"]
    dead = await made.store.deliveries(DeliveryState.DEAD)
    assert [(row.subscription_id, row.last_error) for row in dead] == [("BAD", "the VTN failed (KeyError)")]
    assert "nobody foresaw this" in caplog.text


async def test_a_clock_that_steps_back_loses_no_notification(tmp_path):
    async with node(tmp_path) as made:
        await made.program("p1")
        await made.subscribe("s1", "bl", "https://bl.example/")
        made.tick = lambda: "2026-06-30T23:00:00.000000Z"
        change = await made.event("e1", "p1")
        assert [delivery.subscription_id for delivery in await made.audience.owed(change)] == ["s1"]


async def test_a_subscription_hears_nothing_of_what_was_before_it(tmp_path):
    async with node(tmp_path) as made:
        await made.program("p1")
        change = await made.event("e1", "p1")
        await made.subscribe("s1", "bl", "https://bl.example/")
        assert await made.audience.owed(change) == []


async def test_a_certificate_that_is_not_trusted_is_refused(callbacks, tls_server):
    assert "certificate" in (await callbacks.challenge(tls_server, None)).lower()


@pytest.fixture
async def tls_server(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(tmp_path))
    runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()
