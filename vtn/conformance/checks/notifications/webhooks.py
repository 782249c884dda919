"""How webhooks are delivered: the request, failures, redirects, order, forbidden addresses (section HOOK)."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from vtn.checking.verdict import Failed, Skipped, expect
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.check import Need, check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json
from vtn.conformance.parties.receiver import Hook, is_public, own_address

RECEIVER = (Need.RECEIVER,)
GIVES_UP_WITHIN_S = 35.0
ANSWERS_WITHIN_S = 5.0
RETRIES_WITHIN_S = 10.0
MOST_TRIES = 20
LOOPBACK = ("127.0.0.1", "localhost")
NO_CALLBACK = (
    "https://169.254.169.254/latest/meta-data",
    "https://[fe80::1]/x",
    "https://10.255.255.1/x",
    "https://192.168.255.1/x",
    "https://[fd00:ec2::254]/x",
    "https://0.0.0.0/x",
)


async def changed(kit: Kit, event: Json) -> Json:
    """The event after an update."""
    body = event_of(event["programID"], eventName=kit.name("event"))
    return (await kit.bl.put(f"/events/{event['id']}", body)).shows(200).object


@check("HOOK-01", needs=RECEIVER)
async def a_notification_is_a_post_of_json(kit: Kit) -> None:
    """A notification is a POST of application/json to the callbackUrl, over https when that is https."""
    async with kit.hook() as hook:
        program = await kit.program()
        await kit.subscription(kit.bl, hook.wish("EVENT"), programID=program["id"])
        event = await kit.event(program)
        arrival = await hook.next()
        expect(arrival.method == "POST", f"a notification should be a POST, but is a {arrival.method}")
        kind = arrival.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        expect(kind == "application/json", f"Content-Type should be application/json, but is {kind!r}")
        expect(arrival.said == ("CREATE", "EVENT", event["id"]), f"it says {arrival.said}")
        kit.valid("NOTIFICATION", arrival.body)


@check("HOOK-02", needs=RECEIVER)
async def a_silent_callback_is_given_up_and_holds_up_nobody(kit: Kit) -> None:
    """A callback that never answers its challenge is given up within 35 s, stores nothing, and others are served."""
    async with kit.hook() as hook:
        hook.open.clear()
        body = kit.subscribing(hook.wish("EVENT"))
        asking = asyncio.create_task(kit.ven.post("/subscriptions", body))
        try:
            async with asyncio.timeout(GIVES_UP_WITHIN_S):
                await hook.called.wait()
                await _served(kit)
                answer = await asking
        except TimeoutError:
            raise Failed(f"the silent callback was not given up within {GIVES_UP_WITHIN_S:g} s") from None
        finally:
            asking.cancel()
        answer.problem(400, 403)


async def _served(kit: Kit) -> None:
    """Others are answered promptly."""
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            await changed(kit, await kit.event(await kit.program()))
            (await kit.ven2.get("/events", ("limit", "1"))).shows(200)
    except TimeoutError:
        raise Failed(f"a silent callback held up the API for {ANSWERS_WITHIN_S:g} s") from None


@check("HOOK-03", needs=RECEIVER)
async def a_failed_delivery_is_tried_again_at_a_distance(kit: Kit) -> None:
    """If a delivery that was answered 500 is tried again, it is the same one, a few times only, until it is taken."""
    async with kit.hook() as hook:
        hook.status = 500
        program = await kit.program()
        await kit.subscription(kit.bl, hook.wish("EVENT"), programID=program["id"])
        event = await kit.event(program)
        for _ in range(2):
            hook.called.clear()
            if not await hook.is_called(RETRIES_WITHIN_S):
                if not hook.attempts:
                    raise hook.channel.never_came("the callback should be called")
                raise Skipped("this VTN did not try again within 10 s, which is its choice")
        expect(hook.attempts <= MOST_TRIES, f"{hook.attempts} tries came without a pause")
        hook.status = 200
        await hook.hears("CREATE", event)
        tries = hook.attempts
        await hook.none()
        expect(hook.attempts == tries, "the delivery was tried again after it was taken")


async def _called(hook: Hook) -> None:
    """Failed when nothing is sent to the callback URL."""
    if not await hook.is_called(RETRIES_WITHIN_S):
        raise hook.channel.never_came(f"the callback should be called within {RETRIES_WITHIN_S:g} s")


@dataclasses.dataclass(slots=True)
class ClosedPort:
    """A port on this machine that nobody should connect to."""

    port: int = 0
    connections: int = 0


@contextlib.asynccontextmanager
async def _closed_port() -> AsyncIterator[ClosedPort]:
    closed = ClosedPort()

    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closed.connections += 1
        writer.close()

    server = await asyncio.start_server(connected, "0.0.0.0", 0)  # noqa: S104 - any address of this machine may be called
    closed.port = server.sockets[0].getsockname()[1]
    async with server:
        yield closed


def _forbidden_here(kit: Kit) -> list[str]:
    """Addresses of this machine that the VTN may not call; none when the kit's receiver shows it to be a local one."""
    mine = urlsplit(kit.receiver.url if kit.receiver else kit.url).hostname or ""
    if mine in LOOPBACK:
        return [host for host in (own_address(),) if host not in LOOPBACK and not is_public(host)]
    return [host for host in (own_address(), *LOOPBACK) if not is_public(host)] if is_public(mine) else []


@check("HOOK-05", "SEC-09")
async def callbacks_to_private_addresses_are_refused(kit: Kit) -> None:
    """Callbacks to metadata, link-local and private addresses, and to this machine's own, are refused and not called.

    Where the kit's receiver is at a private address itself, the VTN is a local one by design, and only the rest counts.
    """
    async with _closed_port() as closed:
        here = [f"https://{host}:{closed.port}/x" for host in _forbidden_here(kit)]
        await asyncio.gather(*(_refused(kit, url) for url in (*here, *NO_CALLBACK)))
        expect(closed.connections == 0, "a callback to an address that is not public was called")


async def _refused(kit: Kit, url: str) -> None:
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": url}
    await kit.refused(kit.ven, "/subscriptions", kit.subscribing(entry), 400, 403)


@check("HOOK-06", needs=RECEIVER)
async def a_delivery_follows_no_redirect(kit: Kit) -> None:
    """A delivery that is answered 302 is not sent to the other URL, and counts as failed, not as taken."""
    async with kit.hook() as hook, kit.hook() as behind, kit.hook() as other:
        program = await kit.program()
        await kit.subscription(kit.bl, hook.wish("EVENT"), programID=program["id"])
        await kit.subscription(kit.bl, other.wish("EVENT"), programID=program["id"])
        hook.status, hook.location = 302, behind.url
        hook.called.clear()
        event = await kit.event(program)
        await other.hears("CREATE", event)
        await _called(hook)
        await behind.none()
        expect(behind.attempts == 0 and not behind.challenges, "the redirect was followed")


@check("HOOK-09", needs=RECEIVER)
async def a_silent_callback_does_not_hold_up_writes(kit: Kit) -> None:
    """While a callback keeps a notification unanswered, writes are answered promptly and other callbacks are called."""
    async with kit.hook() as hook, kit.hook() as other:
        program = await kit.program()
        await kit.subscription(kit.bl, hook.wish("EVENT"), programID=program["id"])
        await kit.subscription(kit.bl, other.wish("EVENT"), programID=program["id"])
        hook.open.clear()
        hook.called.clear()
        event = await kit.event(program)
        await _called(hook)
        await other.hears("CREATE", event)
        await _served(kit)
        await other.hears("UPDATE", await changed(kit, event))


@check("HOOK-10", needs=RECEIVER)
async def notifications_about_an_object_come_in_order(kit: Kit) -> None:
    """CREATE, five UPDATEs in their order, and DELETE of one event arrive as they happened."""
    async with kit.hook() as hook:
        program = await kit.program()
        await kit.subscription(kit.bl, hook.wish("EVENT"), programID=program["id"])
        event = await kit.event(program)
        names = [(await changed(kit, event))["eventName"] for _ in range(5)]
        await kit.drop(kit.bl, f"/events/{event['id']}")
        await hook.hears("CREATE", event)
        heard = [(await hook.hears("UPDATE", event))["object"]["eventName"] for _ in names]
        expect(heard == names, f"the updates {names} came as {heard}")
        await hook.hears("DELETE", event)
        came = [arrival.said[0] for arrival in hook.log]
        expect(came == ["CREATE", *["UPDATE"] * len(names), "DELETE"], f"the notifications came as {came}")


@check("HOOK-11", needs=RECEIVER)
async def a_delivery_answered_204_is_taken(kit: Kit) -> None:
    """A notification that is answered 204 is not sent again."""
    async with kit.hook() as hook:
        hook.status = 204
        program = await kit.program()
        await kit.subscription(kit.bl, hook.wish("EVENT"), programID=program["id"])
        event = await kit.event(program)
        await hook.hears("CREATE", event)
        await hook.hears("UPDATE", await changed(kit, event))
        await hook.none()
        expect(hook.attempts == 2, f"two notifications were sent {hook.attempts} times")  # noqa: PLR2004 - the two above
