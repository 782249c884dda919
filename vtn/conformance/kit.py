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

import pydantic

from vtn.clock import RealClock
from vtn.conformance.check import Failed, Need, Skipped, expect
from vtn.conformance.exchange import Answer, Json, Party, Transcript
from vtn.conformance.listener import Ear, Login, listening
from vtn.conformance.receiver import Hook, Receiver
from vtn.wire.event import Event
from vtn.wire.notification import Notification
from vtn.wire.program import Program
from vtn.wire.report import Report
from vtn.wire.resource import Resource
from vtn.wire.subscription import Subscription
from vtn.wire.ven import Ven

MODELS: Mapping[str, type[pydantic.BaseModel]] = {
    "PROGRAM": Program,
    "EVENT": Event,
    "REPORT": Report,
    "SUBSCRIPTION": Subscription,
    "VEN": Ven,
    "RESOURCE": Resource,
    "NOTIFICATION": Notification,
}
LONGEST_SAID = 200
COLLECTIONS = ("programs", "events", "reports", "subscriptions", "vens", "resources")


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
    receiver: Receiver | None = None
    mqtt: Json | None = None
    trust: ssl.SSLContext | bool = True
    _numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)
    _made: list[tuple[Party, str]] = dataclasses.field(default_factory=list)

    # --- making objects --------------------------------------------------------------------------------------------

    def name(self, stem: str = "x") -> str:
        """A name or target that nobody else uses."""
        return f"check-{self.run}-{stem}-{next(self._numbers)}"

    async def made(self, party: Party, path: str, body: Json) -> Json:
        """Create what must be accepted, and have it deleted after the check."""
        answer = (await party.post(path, body)).shows(201)
        self.keep(party, path, answer)
        return answer.object

    def keep(self, party: Party, path: str, answer: Answer) -> None:
        """Have what an answer created deleted after the check; nothing when it created nothing."""
        if answer.status == 201 and isinstance(answer.json, dict) and "id" in answer.json:  # noqa: PLR2004 - Created
            self._made.append((party, f"{path}/{answer.json['id']}"))

    async def refused(self, party: Party, path: str, body: Any, *statuses: int) -> Answer:
        """The answer to a POST that must be refused with one of these statuses and a problem document."""
        answer = await party.post(path, body)
        self.keep(party, path, answer)
        wanted, said = " or ".join(map(str, statuses)), json.dumps(body)[:LONGEST_SAID]
        expect(answer.status in statuses, f"POST {path} {said} should be answered {wanted}, but got {answer.status}")
        return answer.problem(*statuses)

    async def drop(self, party: Party, path: str) -> Json:
        """Delete an object before its check ends, and return what the deletion answered."""
        gone = (await party.delete(path)).shows(200).object
        self._made = [(maker, made) for maker, made in self._made if made != path]
        return gone

    async def program(self, **extra: Any) -> Json:
        """A program of Business Logic."""
        return await self.made(self.bl, "/programs", {"programName": self.name("program"), **extra})

    async def event(self, program: Json, **extra: Any) -> Json:
        """An event of a program."""
        return await self.made(self.bl, "/events", {"programID": program["id"], **extra})

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
        body = {"eventID": event["id"], "clientName": self.name("client"), "resources": [], **extra}
        return await self.made(party, "/reports", body)

    async def subscription(self, party: Party, *entries: Json, **extra: Any) -> Json:
        """A subscription; each entry is one of objectOperations."""
        body = {"clientName": self.name("client"), "objectOperations": list(entries), **extra}
        return await self.made(party, "/subscriptions", body)

    async def clean(self) -> list[str]:
        """Delete what this check made, newest first; returns what could not be deleted."""
        left = []
        while self._made:
            party, path = self._made.pop()
            answer = await party.delete(path)
            if answer.status not in {200, 404} and (await self.bl.delete(path)).status not in {200, 404}:
                left.append(path)
        return left

    @staticmethod
    def now() -> datetime:
        """The present instant (UTC), for events that are over, running or to come."""
        return RealClock().now()

    # --- judging ---------------------------------------------------------------------------------------------------

    def valid(self, kind: str, content: Json) -> Json:
        """The object, when it satisfies the schema of its kind (PROGRAM ... RESOURCE, NOTIFICATION)."""
        try:
            MODELS[kind].model_validate(content)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise Failed(f"the {kind.lower()} breaks its schema: {place}: {first['msg']}") from None
        return content

    # --- notifications ---------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def hook(self) -> AsyncIterator[Hook]:
        """A callback URL of our own, and what arrives there."""
        if self.receiver is None:
            raise Skipped(f"needs {Need.RECEIVER}")
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
        login = Login(binding, party.client_id, await party.token(), self.trust)
        async with listening(login, *topics) as ear:
            yield ear

    async def topics(self, party: Party, path: str) -> Mapping[str, str]:
        """The topics at `/notifiers/mqtt/topics/<path>`, by operation; Skipped where a public broker has none there."""
        answer = await party.get(f"/notifiers/mqtt/topics/{path}")
        if answer.status == HTTPStatus.NOT_FOUND and self.mqtt_is_public:
            raise Skipped("this broker tells nobody apart (ANONYMOUS), and names topics of public objects only")
        found = answer.shows(200).object.get("topics")
        expect(isinstance(found, dict), f"topics/{path} should answer an object `topics`")
        return dict(found or {})
