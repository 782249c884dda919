"""Webhooks of a real server: signed, broken and mended, replayed, and told of reads (HOOK-04, HOOK-07, NOTIF-13)."""

import asyncio
import contextlib
import json
import time

import pytest
from aiohttp import web
from vtn_process import PATIENCE_S, Party, fresh

from vtn.auth import installation_keys

SETTINGS = {
    "webhooks.attempts": "2",
    "webhooks.broken_after": "2",
    "webhooks.first_retry_s": "0.05",
    "webhooks.longest_retry_s": "0.1",
}


@pytest.fixture(scope="module")
def vtn(launch):
    with launch(SETTINGS) as server:
        yield server


class Receiver:
    """Echoes challenges while `echoing`, and answers notifications with `status`."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.echoing = True
        self.challenges = 0
        self.calls: list[tuple[dict, bytes]] = []
        self.heard = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            self.challenges += 1
            return web.Response(text=request.query["echo"] if self.echoing else "x")
        self.calls.append((dict(request.headers), await request.read()))
        async with self.heard:
            self.heard.notify_all()
        return web.Response(status=self.status)

    @property
    def told(self) -> list[str]:
        messages = [json.loads(body) for _, body in self.calls]
        return [f"{message['operation']} {message['object']['id']}" for message in messages]

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self.heard:
            await self.heard.wait_for(lambda: len(self.calls) >= count)


@contextlib.asynccontextmanager
async def serving(taker):
    """A receiver at work."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", taker.handle)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    taker.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield taker
    finally:
        await runner.cleanup()


@pytest.fixture
async def hook():
    taker = Receiver()
    async with serving(taker):
        yield taker


def wish(hook, program, *operations, kinds=("EVENT",)):
    entry = {"objects": list(kinds), "operations": list(operations), "callbackUrl": hook.url}
    return {"clientName": "x", "programID": program["id"], "objectOperations": [entry]}


async def until(ask, holds):
    """The answer of `ask` once it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds(answer := await ask()):
            pass
    return answer


async def cli(vtn, *arguments):
    done = await asyncio.to_thread(vtn.cli, *arguments, "--json")  # type: ignore[call-arg]
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_a_receiver_can_check_who_called_with_the_key_that_its_operator_gave_it(vtn, bl, c1, program, hook):
    await c1.made("/subscriptions", wish(hook, program, "CREATE"))
    await bl.made("/events", {"programID": program["id"]})
    await hook.wait_for(1)
    headers, body = hook.calls[0]
    key, other = [(await cli(vtn, "client", "webhook-key", name))["webhookKey"] for name in ("c1", "c2")]
    signed = headers[installation_keys.HEADER]
    assert installation_keys.verify(key, signed, body, now_s=time.time())
    assert not installation_keys.verify(other, signed, body, now_s=time.time())
    assert not installation_keys.verify(key, signed, body + b" ", now_s=time.time())


def test_the_webhook_key_of_an_unknown_client_is_a_sentence(vtn):
    done = vtn.cli("client", "webhook-key", "nobody")
    assert done.returncode == 1
    assert "no client named 'nobody'" in done.stderr


async def broken(vtn, bl, c1, program, hook):
    """A subscription of c1 whose callback has just been marked broken, and its event."""
    made = await c1.made("/subscriptions", wish(hook, program, "CREATE"))
    hook.status = 500
    event = await bl.made("/events", {"programID": program["id"]})
    path = f"/subscriptions/{made['id']}"
    shown = await until(lambda: c1.get(path), lambda answer: "brokenSince" in answer.json["objectOperations"][0])
    hook.status = 200
    return shown.json, event


async def test_a_broken_callback_is_shown_to_its_owner_and_to_the_operator_and_survives_a_restart(launch, http, hook):
    with launch(SETTINGS) as vtn:
        bl, c1 = (Party(http, vtn.url, vtn.token(name)) for name in ("bl", "c1"))
        program = await bl.made("/programs", {"programName": fresh("p")})
        shown, _ = await broken(vtn, bl, c1, program, hook)
        calls = len(hook.calls)
        vtn.stop()
        vtn.start()
        bl = bl.at(vtn.url)
        await bl.made("/events", {"programID": program["id"]})
        letters = await until(lambda: cli(vtn, "dead-letters"), lambda letters: len(letters) == 2)
        assert "marked broken" in letters[1]["lastError"]
        assert len(hook.calls) == calls
        marks = await cli(vtn, "dead-letters", "broken")
        assert [(mark["subscriptionID"], mark["entry"], mark["failures"]) for mark in marks] == [(shown["id"], 0, 2)]
        assert marks[0]["since"] == shown["objectOperations"][0]["brokenSince"]
        assert "is marked broken" in vtn.log


async def test_a_put_mends_a_broken_callback_only_when_it_echoes_again(vtn, bl, c1, program, hook):
    shown, _ = await broken(vtn, bl, c1, program, hook)
    path, calls, hook.echoing = f"/subscriptions/{shown['id']}", len(hook.calls), False
    faults = (await c1.put(path, shown)).shows(400).paths()
    assert faults == ["$.objectOperations[0].callbackUrl"]
    hook.echoing, asked = True, hook.challenges
    mended = (await c1.put(path, shown)).shows(200).json
    assert "brokenSince" not in mended["objectOperations"][0]
    assert hook.challenges == asked + 1
    event = await bl.made("/events", {"programID": program["id"]})
    await hook.wait_for(calls + 1)
    assert hook.told[calls:] == [f"CREATE {event['id']}"]
    (await c1.put(path, shown)).shows(200)
    assert hook.challenges == asked + 1


async def test_a_client_cannot_say_that_a_callback_is_broken(c1, program, hook):
    body = wish(hook, program, "CREATE")
    body["objectOperations"][0]["brokenSince"] = "2026-01-01T00:00:00Z"
    assert "brokenSince" not in (await c1.made("/subscriptions", body))["objectOperations"][0]


async def test_a_replay_reaches_a_running_server_and_mends_the_callback(vtn, bl, c1, program, hook):
    shown, event = await broken(vtn, bl, c1, program, hook)
    calls = len(hook.calls)
    done = await cli(vtn, "dead-letters", "replay", "--subscription", shown["id"])
    assert done == {"deliveries": 1, "callbacks": 1}
    await hook.wait_for(calls + 1)
    assert hook.told[calls:] == [f"CREATE {event['id']}"]
    again = (await c1.get(f"/subscriptions/{shown['id']}")).json
    assert "brokenSince" not in again["objectOperations"][0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("replay",), "--all"),
        (("replay", "--all", "--subscription", "x"), "--all"),
        (("--json", "replay", "--all"), "behind the command"),
    ],
)
def test_a_replay_that_does_not_say_what_it_means_is_refused(vtn, arguments, says):
    done = vtn.cli("dead-letters", *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_dead_letters_alone_shows_letters_and_broken_callbacks(vtn):
    shown = vtn.cli("dead-letters").stdout
    assert "Dead letters" in shown
    assert "Broken callbacks" in shown


# --- reads -----------------------------------------------------------------------------------------------------------


async def hears(owner, bl, program, hook, kinds=("EVENT",)):
    """A subscription to reads, and two events: they were told, so whoever tells of reads is at work."""
    await owner.made("/subscriptions", wish(hook, program, "READ", kinds=kinds))
    await owner.made("/subscriptions", wish(hook, program, "CREATE"))
    events = [await bl.made("/events", {"programID": program["id"]}) for _ in range(2)]
    await hook.wait_for(2)
    hook.calls.clear()
    return events


async def test_reads_by_id_and_in_lists_are_told_once_for_each_object_and_reader_notif_13_14(bl, c1, c2, program, hook):
    first, second = await hears(bl, bl, program, hook)
    (await c1.get(f"/events/{first['id']}")).shows(200)
    (await c1.get(f"/events/{first['id']}")).shows(200)
    (await bl.get(f"/events/{second['id']}")).shows(200)
    (await c2.get("/events", ("programID", program["id"]))).shows(200)
    await hook.wait_for(3)
    (await c1.get(f"/events/{second['id']}")).shows(200)
    await hook.wait_for(4)
    assert hook.told == [f"READ {one['id']}" for one in (first, first, second, second)]
    assert json.loads(hook.calls[0][1])["object"] == first


async def test_an_answer_that_has_not_changed_is_a_read_too(launch, http, hook):
    with launch({"webhooks.read_notice_s": "0.001"}) as vtn:
        bl, c1 = (Party(http, vtn.url, vtn.token(name)) for name in ("bl", "c1"))
        program = await bl.made("/programs", {"programName": fresh("p")})
        events = await hears(bl, bl, program, hook)
        held = {}
        for count, status in enumerate((200, 200, 304), 1):
            answer = await c1.send("GET", "/events", headers=held)
            assert answer.status == status
            await hook.wait_for(2 * count)
            held = {"If-None-Match": answer.headers["ETag"]} if count == 2 else {}
        assert hook.told == [f"READ {event['id']}" for event in events] * 3


async def test_reports_are_heard_of_when_they_are_read(bl, c1, program, hook):
    event, _ = await hears(c1, bl, program, hook, kinds=("REPORT",))
    body = {"eventID": event["id"], "clientName": "c", "resources": []}
    one, two = [await c1.made("/reports", body) for _ in range(2)]
    (await bl.get("/reports", ("eventID", event["id"]))).shows(200)
    (await c1.get(f"/reports/{one['id']}")).shows(200)
    await hook.wait_for(1)
    (await c1.get("/reports", ("eventID", event["id"]))).shows(200)
    await hook.wait_for(2)
    assert hook.told == [f"READ {one['id']}", f"READ {two['id']}"]


async def test_no_ven_learns_what_another_reads(bl, c1, c2, program, hook):
    event, other = await hears(c2, bl, program, hook)
    (await c1.get(f"/events/{event['id']}")).shows(200)
    (await bl.get(f"/events/{event['id']}")).shows(200)
    (await c2.get(f"/events/{other['id']}")).shows(200)
    await hook.wait_for(1)
    assert hook.told == [f"READ {other['id']}"]


# --- rewritten while something is owed, and bounded ------------------------------------------------------------------


@pytest.fixture
async def other_hook():
    taker = Receiver()
    async with serving(taker):
        yield taker


async def test_a_put_that_moves_entries_while_something_is_owed_loses_nothing(launch, http, hook, other_hook):
    with launch({"webhooks.first_retry_s": "0.05", "webhooks.longest_retry_s": "0.1"}) as vtn:
        bl, c1 = (Party(http, vtn.url, vtn.token(name)) for name in ("bl", "c1"))
        program = await bl.made("/programs", {"programName": fresh("p")})
        body = wish(hook, program, "CREATE")
        body["objectOperations"] += wish(other_hook, program, "CREATE")["objectOperations"]
        made = await c1.made("/subscriptions", body)
        other_hook.status = 503
        event = await bl.made("/events", {"programID": program["id"]})
        await hook.wait_for(1)
        await other_hook.wait_for(1)
        body["objectOperations"].reverse()
        (await c1.put(f"/subscriptions/{made['id']}", body)).shows(200)
        other_hook.status, calls = 200, len(other_hook.calls)
        await other_hook.wait_for(calls + 1)
        assert hook.told == [f"CREATE {event['id']}"]
        assert set(other_hook.told) == {f"CREATE {event['id']}"}


async def test_new_callback_urls_are_bounded_by_client_whether_they_echo_or_not(launch, http, hook):
    bounds = {"challenges_per_request": 3, "challenges_per_client_and_minute": 4, "challenges_per_host_and_minute": 9}
    with launch({f"bounds.delivery.{name}": str(value) for name, value in bounds.items()}) as vtn:
        c1, c2 = (Party(http, vtn.url, vtn.token(name)) for name in ("c1", "c2"))
        entry = {"objects": ["EVENT"], "operations": ["CREATE"]}
        body = {"clientName": "x", "objectOperations": [{**entry, "callbackUrl": f"{hook.url}/{n}"} for n in range(4)]}
        assert (await c1.post("/subscriptions", body)).shows(400).paths() == ["$.objectOperations"]
        assert hook.challenges == 0
        body["objectOperations"] *= 20
        body["objectOperations"] = [one for one in body["objectOperations"] if not one["callbackUrl"].endswith("3")]
        made = await c1.made("/subscriptions", body)
        assert hook.challenges == 3
        (await c1.put(f"/subscriptions/{made['id']}", body)).shows(200)
        refused = await c1.post("/subscriptions", body)
        assert (refused.status, 1 <= int(refused.headers["Retry-After"]) <= 60) == (429, True)
        assert hook.challenges == 3
        await c2.made("/subscriptions", body)
        assert hook.challenges == 6
