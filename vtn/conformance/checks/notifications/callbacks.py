"""Callback URLs of subscriptions: the echo challenge, and what goes where (section SUB)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

from vtn.checking.verdict import expect
from vtn.conformance.check import Need, check
from vtn.conformance.checks.objects.subscriptions import LONGEST_URI
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json, Party
from vtn.conformance.parties.receiver import Hook, own_address, receiving
from vtn.conformance.stage import staged

RECEIVER = (Need.RECEIVER,)
LEAST_RANDOM = 16
EVERYWHERE = "0.0.0.0:0"
HEADER = "Authorization"


async def refused(kit: Kit, party: Party, *entries: Json) -> None:
    """A POST that must be refused with 400 (403), and must store nothing."""
    body = kit.subscribing(*entries)
    await kit.refused(party, "/subscriptions", body, 400, 403)
    found = await party.ids("/subscriptions", ("clientName", body["clientName"]))
    expect(found == [], "the refused subscription was stored")


# --- the challenge ---------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _plain(kit: Kit) -> AsyncIterator[Hook]:
    """A callback URL of http that echoes rightly: at the host of the kit's receiver, or else at this machine's own.

    A development server may take http to its own machine, so loopback addresses are no proof.
    """
    mine = urlsplit(kit.receiver.url if kit.receiver else "")
    host = mine.hostname if mine.scheme == "https" else own_address()
    async with receiving(f"http://{host}:0", EVERYWHERE, None) as receiver:
        with receiver.hook() as hook:
            yield hook


@check("SUB-15", needs=RECEIVER)
async def callbacks_are_https(kit: Kit) -> None:
    """A callbackUrl of http is refused on POST and PUT without being called, and the stored one stays."""
    async with kit.hook() as hook, _plain(kit) as plain:
        await refused(kit, kit.ven, plain.wish("EVENT"))
        made = await kit.subscription(kit.ven, hook.wish("EVENT"))
        path = f"/subscriptions/{made['id']}"
        (await kit.ven.put(path, kit.subscribing(plain.wish("EVENT")))).problem(400, 403)
        stored = (await kit.ven.get(path)).shows(200).object["objectOperations"][0]["callbackUrl"]
        expect(stored == hook.url, f"the stored callbackUrl should stay, but is {stored}")
        expect(plain.challenges == [], "the http callback was called before it was refused")


@check("SUB-16", "SUB-F07", needs=RECEIVER)
async def a_callback_url_has_at_most_8000_characters(kit: Kit) -> None:
    """A callbackUrl of 8000 characters is taken, one of 8001 is refused though it would echo, and so is no URL."""
    async with kit.hook() as hook:
        wish = hook.wish("EVENT", "CREATE")
        made = await kit.subscription(kit.ven, {**wish, "callbackUrl": f"{hook.url}?".ljust(LONGEST_URI, "x")})
        expect(len(made["objectOperations"][0]["callbackUrl"]) == LONGEST_URI, "the URL should be kept whole")
        for bad in (f"{hook.url}?".ljust(LONGEST_URI + 1, "x"), "not a url", "x"):
            await refused(kit, kit.ven, {**wish, "callbackUrl": bad})
        expect(len(hook.challenges) == 1, "a callbackUrl that breaks its schema was called")


@check("SUB-17", needs=RECEIVER)
async def a_callback_is_challenged_before_it_is_stored(kit: Kit) -> None:
    """A POST makes the VTN call GET callbackUrl?echo=..., and a right answer lets the subscription be made."""
    async with kit.hook() as hook:
        await kit.subscription(kit.ven, hook.wish("EVENT"))
        expect(len(hook.challenges) == 1, f"there should be one challenge, there were {len(hook.challenges)}")
        expect(hook.challenges[0].get("echo"), "the challenge should have a value `echo`")


WRONG: dict[str, Callable[[str], tuple[int, str]]] = {
    "another value": lambda _value: (200, "something else"),
    "nothing": lambda _value: (200, ""),
    "half the value": lambda value: (200, value[: len(value) // 2]),
    "404": lambda value: (404, value),
    "500": lambda value: (500, value),
    "204": lambda _value: (204, ""),
}


@check("SUB-18", needs=RECEIVER)
async def a_callback_that_does_not_echo_is_not_stored(kit: Kit) -> None:
    """Another value, half of it, nothing, and statuses other than 200 keep the subscription from being created."""
    async with kit.hook() as hook:
        for words, echo in WRONG.items():
            hook.echo = echo
            before = len(hook.challenges)
            await refused(kit, kit.ven, hook.wish("EVENT"))
            expect(len(hook.challenges) > before, f"a callback that answers {words} was not even challenged")
        unreachable = hook.wish("EVENT") | {"callbackUrl": f"{kit.receiver.url if kit.receiver else ''}/nobody"}
        await refused(kit, kit.ven, unreachable)


@check("SUB-18", "HOOK-06", needs=RECEIVER)
async def a_challenge_follows_no_redirect(kit: Kit) -> None:
    """A callback that redirects its challenge to one that echoes is refused, and the other one is not called."""
    async with kit.hook() as hook, kit.hook() as behind:
        hook.echo = lambda value: (302, value)
        hook.location = behind.url
        await refused(kit, kit.ven, hook.wish("EVENT"))
        expect(behind.challenges == [], "the redirect was followed")


@check("SUB-19", needs=RECEIVER)
async def every_new_url_is_challenged(kit: Kit) -> None:
    """Each URL of a subscription is challenged; one that fails spoils it, and a PUT with a new URL calls that."""
    async with kit.hook() as first, kit.hook() as second, kit.hook() as bad:
        bad.echo = lambda _value: (200, "something else")
        await refused(kit, kit.ven, first.wish("EVENT"), bad.wish("REPORT"))
        made = await kit.subscription(kit.ven, first.wish("EVENT"), second.wish("REPORT"))
        expect(second.challenges and bad.challenges, "every URL should be challenged")
        path = f"/subscriptions/{made['id']}"
        (await kit.ven.put(path, kit.subscribing(bad.wish("EVENT")))).problem(400, 403)
        expect((await kit.ven.get(path)).object == made, "a refused PUT should change nothing")
        async with kit.hook() as third:
            (await kit.ven.put(path, kit.subscribing(third.wish("EVENT")))).shows(200)
            expect(third.challenges, "a PUT with a new URL should be challenged")


@check("SUB-20", needs=RECEIVER)
async def every_challenge_is_random(kit: Kit) -> None:
    """Four challenges of one URL have four values of 16 characters or more."""
    async with kit.hook() as hook:
        for _ in range(4):
            await kit.subscription(kit.ven, hook.wish("EVENT"))
        values = [challenge.get("echo", "") for challenge in hook.challenges]
        expect(len(values) > 1 and len(set(values)) == len(values), "challenges repeat their value")
        expect(min(map(len, values)) >= LEAST_RANDOM, f"a value of {min(map(len, values))} characters can be guessed")


@check("SUB-21", needs=RECEIVER)
async def a_challenge_keeps_the_urls_own_query(kit: Kit) -> None:
    """For a callbackUrl with ?a=1&b=%2F the challenge has a, b and echo, and notifications have a and b."""
    async with kit.hook() as hook:
        program = await kit.program()
        wish = hook.wish("EVENT") | {"callbackUrl": f"{hook.url}?a=1&b=%2F"}
        await kit.subscription(kit.bl, wish, programID=program["id"])
        asked = dict(hook.challenges[0])
        expect(asked.pop("echo", None), "the challenge should have a value `echo`")
        expect(asked == {"a": "1", "b": "/"}, f"the challenge should keep a=1 and b=/, but has {asked}")
        await kit.event(program)
        path = (await hook.next()).path
        expect(path.endswith(("?a=1&b=%2F", "?a=1&b=/")), f"a notification came to {path}")


# --- what goes where -------------------------------------------------------------------------------------------------


@check("SUB-05", needs=RECEIVER)
async def a_deleted_subscription_calls_no_more(kit: Kit) -> None:
    """DELETE answers the subscription and removes it; events of later cause no callback."""
    async with kit.hook() as hook, kit.hook() as other:
        program = await kit.program()
        made = await kit.subscription(kit.ven, hook.wish("EVENT"), programID=program["id"])
        await kit.subscription(kit.bl, other.wish("EVENT"), programID=program["id"])
        await hook.hears("CREATE", await kit.event(program))
        gone = await kit.drop(kit.ven, f"/subscriptions/{made['id']}")
        expect(gone["id"] == made["id"], "DELETE should answer the subscription")
        (await kit.ven.get(f"/subscriptions/{made['id']}")).problem(404)
        await other.hears("CREATE", await kit.event(program))
        await hook.none()


@check("SUB-11", needs=RECEIVER)
async def each_entry_is_sent_to_its_own_url(kit: Kit) -> None:
    """A subscription's two entries send events to one URL and reports to another, each what it wishes for."""
    async with kit.hook() as events, kit.hook() as reports:
        program = await kit.program()
        wishes = (events.wish("EVENT", "CREATE"), reports.wish("REPORT", "CREATE DELETE"))
        await kit.subscription(kit.bl, *wishes, programID=program["id"])
        event = await kit.event(program)
        report = await kit.report(kit.ven, event)
        await events.hears("CREATE", event)
        await reports.hears("CREATE", report)
        await kit.drop(kit.ven, f"/reports/{report['id']}")
        await reports.hears("DELETE", report)
        await asyncio.gather(events.none(), reports.none())


@check("SUB-12", needs=RECEIVER)
async def without_a_program_every_program_is_covered(kit: Kit) -> None:
    """A subscription without programID hears of the events of two programs."""
    async with kit.hook() as hook:
        programs = [await kit.program() for _ in range(2)]
        made = await kit.subscription(kit.ven, hook.wish("EVENT", "CREATE"))
        expect("programID" not in made, "a programID that was left out should not come back, not even as null")
        for program in programs:
            await hook.hears("CREATE", await kit.event(program))


@check("SUB-22", needs=RECEIVER)
async def callbacks_bear_the_token_of_their_entry(kit: Kit) -> None:
    """A notification has `Authorization: Bearer` with its entry's bearerToken, and none when it is null or left out."""
    async with kit.hook() as with_one, kit.hook() as with_null, kit.hook() as without:
        program = await kit.program()
        token = kit.name("bearer")
        wishes = (with_one.wish("EVENT", bearerToken=token), with_null.wish("EVENT", bearerToken=None))
        await kit.subscription(kit.bl, *wishes, without.wish("EVENT"), programID=program["id"])
        await kit.event(program)
        header = (await with_one.next()).headers.get(HEADER)
        expect(header == f"Bearer {token}", "the callback should bear the token of its entry")
        for hook in (with_null, without):
            expect(HEADER not in (await hook.next()).headers, "a callback without a token should have no such header")


@check("SUB-23", "SEC-11", needs=RECEIVER)
async def bearer_tokens_are_nobody_elses_business(kit: Kit) -> None:
    """Business Logic reads, lists and is notified of a VEN's subscription without its bearerToken."""
    async with kit.hook() as hook, kit.hook() as told:
        token = kit.name("bearer")
        await kit.subscription(kit.bl, told.wish("SUBSCRIPTION"))
        made = await kit.subscription(kit.ven, hook.wish("EVENT", bearerToken=token))
        said = await told.hears("CREATE", made)
        expect(token not in str(said), "the notification shows the token")
        expect(said["object"]["objectOperations"][0].get("bearerToken") is None, "bearerToken should be null")
        for query in ("", f"/{made['id']}"):
            answer = await kit.bl.get(f"/subscriptions{query}", ("clientName", made["clientName"]))
            expect(token not in answer.shows(200).text, "Business Logic is shown the token")


@check("SUB-24", needs=RECEIVER)
async def targets_of_a_subscription_narrow_its_notifications(kit: Kit) -> None:
    """A subscription to target g1 hears of E1, and neither of E0, nor of an event of a target it was not granted."""
    async with kit.hook() as hook:
        stage = await staged(kit, "P0", "V1")
        wanted = stage.real("g1", "g9")
        await kit.subscription(kit.ven, hook.wish("EVENT", "CREATE"), programID=stage.id("P0"), targets=wanted)
        await stage.make("E0", "E9", "ER")
        await stage.make("E1")
        await hook.hears("CREATE", stage.things["E1"])
        await hook.none()
