"""What a check works with: clients, objects that are cleaned up afterwards, a webhook receiver, an ear for MQTT.

Everything a kit makes bears the name of its run, so that nothing else on the server is touched, and is deleted when
the check that made it ends.
"""

import contextlib
import dataclasses
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import aiomqtt

from vtn.checking.verdict import Cause, Failed, Skipped, expect
from vtn.clock import RealClock
from vtn.conformance.bodies import members
from vtn.conformance.bodies.valid_bodies import RESOURCE_DATA, USUAL_MEMBERS, event_of, unusual_members
from vtn.conformance.check import Need
from vtn.conformance.parties.channel import NotificationChannel
from vtn.conformance.parties.exchange import HttpAnswer, Json, Party, Transcript
from vtn.conformance.parties.listener import Ear, Login, listening
from vtn.conformance.parties.receiver import Hook, HookReceiver, is_public

LONGEST_SAID = 200
COLLECTIONS = ("programs", "events", "reports", "subscriptions", "vens", "resources")
HIDDEN = (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN)
"""How a read or write by id of an object that is not the client's may be answered: the standard lists both."""
NO_WEBHOOKS = Cause("WEBHOOK is not true", ("MQTT-02",), general=True)
GONE = {HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND}
UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)


def not_made(path: str, body: Json, answer: HttpAnswer) -> Cause | None:
    """The cause of a creation that was refused: the operation, the usual object, or what this one has besides."""
    if answer.no_service is not None:
        return answer.no_service
    if reads := refused_reads(path, body):
        return reads
    more = unusual_members(path, body)
    if not more:
        return Cause(f"POST {path} refuses the usual object", (USUAL_MEMBERS[path][0], "GEN-03"), general=True)
    return Cause(f"POST {path} refuses {', '.join(more)}", members.of_members(members.kind_at(path), *more))


def refused_reads(path: str, body: Json) -> Cause | None:
    """The cause when a subscription was refused that wants READ, which a VTN may not know; None for others."""
    if path == "/subscriptions" and '"READ"' in json.dumps(body):
        return Cause("POST /subscriptions refuses READ", ("SUB-10", "SUB-F06", "NOTIF-13"), general=True)
    return None


def _short(body: Any) -> str:
    return json.dumps(body)[:LONGEST_SAID]


@dataclasses.dataclass(slots=True)
class Kit:
    """The parties: Business Logic, two VEN clients that own no ven when a check begins, and somebody with no token."""

    url: str
    bl: Party
    ven: Party
    ven2: Party
    nobody: Party
    transcript: Transcript
    run: str
    receiver: HookReceiver | None = None
    no_receiver: str = Need.RECEIVER
    mqtt: Json | None = None
    trust: ssl.SSLContext | bool = True
    mqtt_channel: NotificationChannel = dataclasses.field(
        default_factory=lambda: NotificationChannel("MQTT", ("MQTT-33",))
    )
    _numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    _idle: Hook | None = None

    # --- making objects --------------------------------------------------------------------------------------------

    def name(self, stem: str = "x") -> str:
        """A name or target that nobody else uses."""
        return f"check-{self.run}-{stem}-{next(self._numbers)}"

    async def made(self, party: Party, path: str, body: Json) -> Json:
        """Create what must be accepted, and have it deleted after the check.

        Any status of success will do here: that it is 201 is the claim of a check of its own (GEN-03).
        """
        answer = await party.post(path, body)
        if answer.status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            words = f"POST {path} {_short(body)} should be accepted, but was answered {answer.status}"
            raise Failed(words, not_made(path, body, answer))
        return answer.object

    async def refused(self, party: Party, path: str, body: Any, *statuses: int, lacks: str = "") -> HttpAnswer:
        """The answer to a POST that must be refused with one of these statuses and a problem document.

        `lacks` is the member that is missing in the body; that it is required is said by the check of that member.
        """
        answer = await party.post(path, body)
        if answer.status not in statuses:
            wanted = " or ".join(map(str, statuses))
            about = members.of_members(members.kind_at(path), lacks) if lacks else ()
            words = f"POST {path} {_short(body)} should be answered {wanted}, but got {answer.status}"
            raise Failed(words, Cause(f"POST {path} without {lacks}", about) if about else None)
        return answer.problem(*statuses)

    async def drop(self, party: Party, path: str) -> Json:
        """Delete an object before its check ends, and return what the deletion answered."""
        gone = (await party.delete(path)).shows(200).object
        self.transcript.made = [(maker, made) for maker, made in self.transcript.made if made != path]
        return gone

    async def program(self, **extra: Any) -> Json:
        """A program of Business Logic."""
        return await self.made(self.bl, "/programs", {"programName": self.name("program"), **extra})

    async def event(self, program: Json, **extra: Any) -> Json:
        """An event of a program, with a period and an interval unless they are given (or None, and so left out)."""
        return await self.made(self.bl, "/events", event_of(program["id"], **extra))

    async def ven_of(self, party: Party, **extra: Any) -> Json:
        """The ven of a VEN client, made by Business Logic; `targets` are its grants."""
        body = {"objectType": "BL_VEN_REQUEST", "clientID": party.client_id, "venName": self.name("ven"), **extra}
        return await self.made(self.bl, "/vens", body)

    async def resource_of(self, ven: Json, **extra: Any) -> Json:
        """A resource of a ven, made by Business Logic."""
        body = {"objectType": "BL_RESOURCE_REQUEST", "clientID": ven["clientID"], "venID": ven["id"]}
        return await self.made(self.bl, "/resources", {**body, "resourceName": self.name("resource"), **extra})

    async def report(self, party: Party, event: Json, **extra: Any) -> Json:
        """A report of a VEN on an event."""
        return await self.made(party, "/reports", self.report_on(event["id"], **extra))

    def report_on(self, event_id: str, **extra: Any) -> Json:
        """A valid body for POST and PUT /reports."""
        return {"eventID": event_id, "clientName": self.name("client"), "resources": [RESOURCE_DATA], **extra}

    async def subscription(self, party: Party, *entries: Json, **extra: Any) -> Json:
        """A subscription; each entry is one of objectOperations."""
        return await self.made(party, "/subscriptions", self.subscribing(*entries, **extra))

    def subscribing(self, *entries: Json, **extra: Any) -> Json:
        """A valid body for POST and PUT /subscriptions; without entries it has one, whose callback nobody reads."""
        wanted = list(entries) or [self.idle.wish("EVENT", "CREATE")]
        return {"clientName": self.name("client"), "objectOperations": wanted, **extra}

    @property
    def idle(self) -> Hook:
        """A callback URL that answers challenges, and at which nobody listens; Skipped without a receiver."""
        if self.receiver is None:
            raise Skipped(f"needs {self.no_receiver}")
        if self._idle is None:
            with self.receiver.hook() as hook:
                self._idle = hook
        return self._idle

    async def try_receiver(self) -> None:
        """Do without the receiver where the VTN may refuse it, and does: it is not https, or at a private address."""
        if self.receiver is None:
            return
        parts = urlsplit(self.receiver.url)
        if parts.scheme == "https" and is_public(parts.hostname or ""):
            return
        answer = await self.bl.post("/subscriptions", self.subscribing())
        if answer.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}:
            self.no_receiver = f"a receiver at a public https address: this VTN refuses {self.receiver.url}"
            self.receiver, self._idle = None, None

    async def clean(self) -> list[str]:
        """Delete what this check made, newest first; returns what could not be deleted."""
        left = []
        while self.transcript.made:
            party, path = self.transcript.made.pop()
            if not (await self._gone(party, path) or await self._gone(self.bl, path)):
                left.append(path)
        return left

    async def sweep(self) -> list[str]:
        """Delete what bears the name of this run and is still there; returns what could not be deleted."""
        left: set[str] = set()
        for collection in reversed(COLLECTIONS):
            for party in (self.ven, self.ven2, self.bl):
                for thing in await self._listed(party, f"/{collection}"):
                    path = f"/{collection}/{thing.get('id')}"
                    if f"check-{self.run}-" in json.dumps(thing) and not await self._gone(party, path):
                        left.add(path)
                    else:
                        left.discard(path)
        return sorted(left)

    async def _gone(self, party: Party, path: str) -> bool:
        try:
            return (await party.delete(path)).status in GONE
        except (*UNREACHABLE, Failed):
            return False

    async def _listed(self, party: Party, path: str) -> list[Json]:
        try:
            return [thing for thing in await party.all(path) if isinstance(thing, dict)]
        except (*UNREACHABLE, Failed, Skipped):
            return []

    @staticmethod
    def now() -> datetime:
        """The present instant (UTC), for events that are over, running or to come."""
        return RealClock().now()

    # --- judging ---------------------------------------------------------------------------------------------------

    def valid(self, kind: str, content: Json) -> Json:
        """The object, when it satisfies the schema of its kind (PROGRAM ... RESOURCE, NOTIFICATION)."""
        if fault := members.fault_of(kind, content):
            raise fault
        return content

    # --- notifications ---------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def hook(self) -> AsyncIterator[Hook]:
        """A callback URL of our own, and what arrives there."""
        if self.receiver is None:
            raise Skipped(f"needs {self.no_receiver}")
        with self.receiver.hook() as hook:
            yield hook

    @property
    def mqtt_is_public(self) -> bool:
        """Whether the broker lets in everybody, and so has public objects only (MQTT-07)."""
        return bool(self.mqtt and self.mqtt.get("authentication", {}).get("method") == "ANONYMOUS")

    @contextlib.asynccontextmanager
    async def ear(self, party: Party, *topics: str) -> AsyncIterator[Ear]:
        """An MQTT session of this party, subscribed to topics; what arrives there."""
        if self.mqtt is None:
            raise Skipped(f"needs {Need.MQTT}")
        binding = (await party.get("/notifiers")).shows(200).object["MQTT"]
        login = await self.login(binding, party)
        async with contextlib.AsyncExitStack() as stack:
            try:
                ear = await stack.enter_async_context(listening(login, *topics))
            except aiomqtt.MqttError as error:
                raise self.mqtt_channel.never_came(f"the broker does not let {party.who} in: {error}") from None
            yield ear

    async def login(self, binding: Json, party: Party) -> Login:
        """How this party logs in at a broker as `/notifiers` describes it."""
        self.mqtt_channel.must_live()
        note = self.transcript.note_arrival
        return Login(binding, party.client_id, await party.token(), self.trust, self.mqtt_channel, note)

    async def topics(self, party: Party, path: str) -> Mapping[str, str]:
        """The topics at `/notifiers/mqtt/topics/<path>`, by operation; Skipped where a public broker has none there."""
        answer = await party.get(f"/notifiers/mqtt/topics/{path}")
        if answer.status == HTTPStatus.FORBIDDEN and party is not self.bl and path.startswith("programs"):
            raise Skipped("this VTN tells the topics of programs to Business Logic only, which is its reading (SCO-11)")
        if answer.status == HTTPStatus.NOT_FOUND and self.mqtt_is_public:
            raise Skipped("this broker tells nobody apart (ANONYMOUS), and names topics of public objects only")
        found = answer.shows(200).object.get("topics")
        expect(isinstance(found, dict), f"topics/{path} should answer an object `topics`")
        return dict(found or {})
