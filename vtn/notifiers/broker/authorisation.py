"""Who may connect to the bundled broker and what they may hear: the answer to its authorisation call-out.

Who it is, `identity` finds out. The topics follow from what it is today; a session whose answer would be another today
is closed, so that the client comes back for the new one (MQTT-43).
The call-out's JWTs are those of the NATS documentation (Auth Callout).
"""

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import nats
import nkeys
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from vtn.errors import Unauthenticated, Unavailable
from vtn.notifiers.audience import Audience, Standing
from vtn.notifiers.broker.identity import Identify, Question, Visitor
from vtn.notifiers.broker.secrets import APP, AUTHORISER, OVERSEER, BrokerKeys
from vtn.rules import topics
from vtn.service.identifiers import Identifiers

QUESTION = "$SYS.REQ.USER.AUTH"
GOODBYE = f"$SYS.ACCOUNT.{APP}.DISCONNECT"
RECONNECT_S = 0.2
REVIEW_EVERY_S = 1.0
REVIEWS_UNTIL_REFRESHED = 3_600
CONNECT_S = 2.0
CLOSE_S = 2.0
FOREVER = -1
UNLIMITED = {"subs": FOREVER, "data": FOREVER, "payload": FOREVER}

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerSession:
    """One client's connection, and the standing that its permissions were made from."""

    server_id: str
    number: int
    client_id: str
    mqtt_id: str
    standing: Standing
    expires_at_s: float | None


class Authorisation:
    """Answers the call-out and closes sessions that have lost their ground.

    `identify` gives the visitor that asks to come in or raises Unauthenticated; `identifiers` says whose an MQTT client
    identifier is, and `forget` has the broker drop the session stored under one; a client may have `most_sessions` at
    once; `now_s` is real Unix time.
    """

    def __init__(  # noqa: PLR0913 - each of these is a part of its own
        self,
        keys: BrokerKeys,
        url: str,
        audience: Audience,
        *,
        identify: Identify,
        identifiers: Identifiers,
        most_sessions: int,
        forget: Callable[[str], Coroutine[Any, Any, None]],
        now_s: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._signer = nkeys.from_seed(keys.issuer_seed.encode())
        self._url = url
        self._identify = identify
        self._identifiers = identifiers
        self._most_sessions = most_sessions
        self._forget = forget
        self._audience = audience
        self._now_s = now_s
        self._sessions: dict[int, BrokerSession] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._overseer: Connection | None = None
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled; connections to the broker are made again when they break."""
        async with contextlib.AsyncExitStack() as stack:
            authoriser = await self._connection(stack, AUTHORISER, self._keys.authoriser_password)
            self._overseer = await self._connection(stack, OVERSEER, self._keys.overseer_password)
            await self._overseer.subscribe(GOODBYE, cb=self._left)
            await authoriser.subscribe(QUESTION, cb=self._asked)
            await self._overseer.flush()
            await authoriser.flush()
            self.ready.set()
            try:
                for turn in itertools.count(1):
                    await self._review_quietly()
                    if turn % REVIEWS_UNTIL_REFRESHED == 0:
                        await self._refresh()
                    await asyncio.sleep(REVIEW_EVERY_S)
            finally:
                self.ready.clear()
                self._overseer = None

    async def _connection(self, stack: contextlib.AsyncExitStack, user: str, password: str) -> Connection:
        """A connection that lasts as long as the stack."""

        async def note(error: Exception) -> None:
            _log.debug("broker connection of %s: %r", user, error)

        connection = await nats.connect(
            self._url,
            user=user,
            password=password,
            allow_reconnect=True,
            max_reconnect_attempts=FOREVER,
            reconnect_time_wait=RECONNECT_S,
            connect_timeout=CONNECT_S,
            error_cb=note,
        )
        stack.push_async_callback(connection.close)
        return connection

    # --- the call-out ----------------------------------------------------------------------------------------------

    async def _asked(self, message: Msg) -> None:
        """Answer beside the next questions: an external issuer may take its time to show its keys."""
        self._beside(self._answer(message))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, message: Msg) -> None:
        question = _claims(message.data)["nats"]
        try:
            await self._audience.current()
            answer = {"jwt": await self._permit(question, await self._identify(question))}
        except (Unauthenticated, Unavailable) as error:
            _log.info("an MQTT client was refused: %s", error)
            answer = {"error": "not authorised"}
        claims = {"type": "authorization_response", "version": 2, **answer}
        token = self._signed({"aud": question["server_id"]["id"], "sub": question["user_nkey"], "nats": claims})
        await message.respond(token.encode())

    async def _permit(self, question: Question, visitor: Visitor) -> str:
        """The user's JWT, which dies with the token or certificate; Unauthenticated when it may not come in now.

        The broker lets such a user in at its NATS port too, whatever `allowed_connection_types` says, and there the
        deliveries to others could be listened to (tried); over MQTT the broker itself keeps clients off them.
        """
        if question["client_info"].get("type") != "mqtt":
            raise Unauthenticated("clients come in by MQTT only")
        if visitor.expires_at_s is not None and int(visitor.expires_at_s) <= self._now_s():
            raise Unauthenticated("the token or certificate dies within the second")
        if visitor.client_id:
            await self._admit(question, visitor)
        allowed = topics.permissions(is_bl=visitor.standing.is_bl, ven_id=visitor.standing.ven_id)
        permissions = {
            "sub": {"allow": allowed},
            "pub": {"deny": [">"]},
            "allowed_connection_types": ["MQTT"],
            **UNLIMITED,
        }
        claims = {"type": "user", "version": 2, **permissions}
        named = {"name": visitor.client_id} if visitor.client_id else {}
        dies = {} if visitor.expires_at_s is None else {"exp": int(visitor.expires_at_s)}
        return self._signed({"aud": APP, "sub": question["user_nkey"], **named, **dies, "nats": claims})

    async def _admit(self, question: Question, visitor: Visitor) -> None:
        """Note the session. An MQTT client identifier belongs to its client: nobody else may come by it."""
        info, server_id = question["client_info"], question["server_id"]["id"]
        number, mqtt_id = int(info["id"]), str(info.get("mqtt_id") or "")
        session = BrokerSession(server_id, number, visitor.client_id, mqtt_id, visitor.standing, visitor.expires_at_s)
        others = [held for held in self._sessions.values() if held.server_id == server_id and self._lives(held)]
        if any(held.mqtt_id == mqtt_id and held.client_id != session.client_id for held in others):
            raise Unauthenticated("the MQTT client identifier is in use by another client")
        own = {held.mqtt_id for held in others if held.client_id == session.client_id}
        if len(own - {mqtt_id}) >= self._most_sessions:
            raise Unauthenticated(f"the client has {self._most_sessions} MQTT sessions already")
        self._sessions = {held.number: held for held in (*others, session)}
        try:
            lost = await self._identifiers.claim(mqtt_id, visitor.client_id, frozenset(own)) if mqtt_id else ()
        except (Unauthenticated, Unavailable):
            self._sessions.pop(number, None)
            raise
        for identifier in lost:
            self._beside(self._forget(identifier))

    async def _refresh(self) -> None:
        """The identifiers of sessions that last are not to be forgotten."""
        for session in [held for held in self._sessions.values() if held.mqtt_id and self._lives(held)]:
            with contextlib.suppress(Unauthenticated, Unavailable):
                await self._identifiers.claim(session.mqtt_id, session.client_id, comes=False)

    def sessions(self) -> int:
        """How many named clients are connected."""
        return sum(map(self._lives, self._sessions.values()))

    def _lives(self, session: BrokerSession) -> bool:
        return session.expires_at_s is None or session.expires_at_s > self._now_s()

    def _signed(self, claims: Mapping[str, Any]) -> str:
        """A JWT in the broker's dialect, signed with the account key."""
        whole = {**claims, "iss": self._keys.issuer, "iat": int(self._now_s())}
        digest = hashlib.sha256(json.dumps(whole).encode()).digest()
        whole["jti"] = base64.b32encode(digest).decode().rstrip("=")
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = ".".join(_segment(json.dumps(part).encode()) for part in (head, whole))
        return f"{text}.{_segment(self._signer.sign(text.encode()))}"

    # --- sessions --------------------------------------------------------------------------------------------------

    async def _left(self, message: Msg) -> None:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            self._sessions.pop(int(json.loads(message.data)["client"]["id"]), None)

    async def review(self) -> None:
        """Close every session whose client may no longer have it, or would be given another; before publishing.

        Unavailable while one of them stays open: what is published then would still be heard there.
        """
        await self._audience.current()
        outdated = [held for held in self._sessions.values() if self._outdated(held)]
        still_open = [session for session in outdated if not await self._closed(session)]
        if still_open:
            raise Unavailable(f"{len(still_open)} MQTT sessions that have lost their ground cannot be closed yet")

    def _outdated(self, session: BrokerSession) -> bool:
        """A ven that is gone is no reason: its id is never used again, and its owner shall hear that it went."""
        today, then = self._audience.standing(session.client_id), session.standing
        if today is None or (today.is_bl, today.since_s) != (then.is_bl, then.since_s):
            return True
        if today.is_bl or today.ven_id == then.ven_id:
            return False
        return today.ven_id is not None or self._audience.is_ven(then.ven_id)

    async def _review_quietly(self) -> None:
        try:
            await self.review()
        except Unavailable as error:
            _log.warning("MQTT sessions cannot be reviewed: %s", error)

    async def _closed(self, session: BrokerSession) -> bool:
        """Close a session; False when that failed. One of a broker that is gone is closed."""
        if self._overseer is None:
            return False
        body = json.dumps({"cid": session.number}).encode()
        try:
            await self._overseer.request(f"$SYS.REQ.SERVER.{session.server_id}.KICK", body, timeout=CLOSE_S)
        except NoRespondersError:
            pass
        except (NatsError, TimeoutError) as error:
            _log.warning("a session of %s could not be closed: %r", session.client_id, error)
            return False
        self._sessions.pop(session.number, None)
        _log.info("closed an MQTT session of %s: its standing has changed", session.client_id)
        return True


def _claims(token: bytes) -> dict[str, Any]:
    payload = token.split(b".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    return claims


def _segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
