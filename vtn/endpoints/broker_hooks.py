"""Answers to an external MQTT broker that asks who may connect and what they may hear (MQTT-13, MQTT-43).

Two brokers' ways of asking are known: the HTTP backend of mosquitto-go-auth (Mosquitto; the plug-ins of amqtt ask the
same) and EMQX's HTTP authentication and authorization. Both come with the password `mqtt.hook_password` as HTTP Basic.
The rules are those of the bundled broker: user name = clientID, password = access token, topics from `rules.topics`.
A question about a topic comes without the token, so the client is judged as it stands today, and by when the token it
connected with dies; of a session that this process never let in, only the first is known.
"""

import base64
import binascii
import dataclasses
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from vtn.bounds import DeliveryBounds
from vtn.config import Mqtt
from vtn.endpoints.guard import AiohttpHandler, HttpContext, credentials, read_body
from vtn.errors import Fault, Rejected, TooLarge, Unauthenticated, VtnError
from vtn.listening.http import proven, same_secret
from vtn.rules import topics
from vtn.service.identifiers import Identifiers
from vtn.storage.ports import ClientRecord, Role

LONGEST_QUESTION = 16_384
LONGEST_VALUE = 8_192
MOST_SESSIONS, MOST_FIELDS = 64, 32
LISTEN, PUBLISH = "listen", "publish"
ACTIONS = {"1": LISTEN, "2": PUBLISH, "4": LISTEN, "8": LISTEN, "subscribe": LISTEN, "publish": PUBLISH}

log = logging.getLogger("vtn.http")
Question = Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerVerdict:
    """Whether, and in real Unix seconds until when."""

    allowed: bool
    until_s: float | None = None


REFUSED, ALLOWED = BrokerVerdict(allowed=False), BrokerVerdict(allowed=True)
Judge = Callable[[Question], Awaitable[BrokerVerdict]]


class Connections:
    """Until when the token of each session holds, by its MQTT client identifier; the oldest of a client go.

    A broker may keep identifiers to itself; then they are empty, belong to nobody, and a client's last token counts.
    """

    def __init__(self) -> None:
        self._until_s: dict[str, dict[str, float]] = {}

    def note(self, client_id: str, mqtt_id: str, until_s: float) -> None:
        """A client has connected."""
        own = self._until_s.setdefault(client_id, {})
        before_s = own.pop(mqtt_id, 0.0)
        if len(own) >= MOST_SESSIONS:
            del own[next(iter(own))]
        own[mqtt_id] = until_s if mqtt_id else max(before_s, until_s)

    def expired(self, client_id: str, mqtt_id: str, now_s: float) -> bool:
        """Whether the token of this session is known to have died."""
        return self._until_s.get(client_id, {}).get(mqtt_id, now_s + 1) <= now_s


class BrokerAccess:
    """Judges clients by the registry, the read model and their tokens; the VTN's own user by its password.

    `identifiers` says whose an MQTT client identifier is.
    """

    def __init__(
        self, context: HttpContext, settings: Mqtt, identifiers: Identifiers, now_s: Callable[[], float]
    ) -> None:
        self._context = context
        self._identifiers = identifiers
        self._settings = settings
        self._now_s = now_s
        self._connections = Connections()

    async def user(self, question: Question) -> BrokerVerdict:
        """Whether somebody may connect."""
        name, password = question.get("username", ""), question.get("password", "")
        if self._is_own(name):
            return BrokerVerdict(same_secret(password, self._settings.password or ""))
        if self._settings.authentication == "ANONYMOUS":
            return ALLOWED
        await self._current()
        principal = await self._context.tokens.admit(password)
        mqtt_id = _mqtt_id(question)
        if principal.client_id != name:
            return REFUSED
        if mqtt_id:
            await self._identifiers.claim(mqtt_id, name)
        self._connections.note(name, mqtt_id, principal.expires_at_s)
        return BrokerVerdict(allowed=True, until_s=principal.expires_at_s)

    async def superuser(self, _question: Question) -> BrokerVerdict:
        """Nobody is above the rules; the VTN's own user needs no more than to publish."""
        return REFUSED

    async def topic(self, question: Question) -> BrokerVerdict:
        """Whether somebody may listen to a topic or filter, or publish on a topic."""
        name, topic = question.get("username", ""), question.get("topic", "")
        action = ACTIONS.get(question.get("acc") or question.get("action", ""))
        if self._is_own(name):
            return BrokerVerdict(action == PUBLISH and topics.is_ours(topic))
        if action != LISTEN:
            return REFUSED
        if self._settings.authentication == "ANONYMOUS":
            return BrokerVerdict(topics.may_listen(topic, is_bl=False, ven_id=None))
        await self._current()
        client = self._context.registry.standing(name)
        if client is None or self._connections.expired(name, _mqtt_id(question), self._now_s()):
            return REFUSED
        return BrokerVerdict(self._may_listen(client, topic))

    def _may_listen(self, client: ClientRecord, topic: str) -> bool:
        ven = self._context.core.model.ven_of(client.client_id)
        return topics.may_listen(topic, is_bl=client.role is Role.BL, ven_id=ven.id if ven else None)

    def _is_own(self, name: str) -> bool:
        return bool(name) and name == self._settings.username

    async def _current(self) -> None:
        await self._context.registry.current()
        await self._context.core.model.current(self._context.core.store)


def _mqtt_id(question: Question) -> str:
    return question.get("clientid") or question.get("client_id", "")


def broker_hooks(
    context: HttpContext, settings: Mqtt, bounds: DeliveryBounds, now_s: Callable[[], float] = time.time
) -> dict[str, AiohttpHandler]:
    """The handlers (of POST) by path; none without `hook_password`."""
    if settings.hook_password is None:
        return {}
    identifiers = Identifiers(context.core.store, bounds, context.registry.standing, now_s)
    access, password = BrokerAccess(context, settings, identifiers, now_s), settings.hook_password
    return {
        "/mqtt/mosquitto/user": _hook(password, access.user, _for_mosquitto),
        "/mqtt/mosquitto/superuser": _hook(password, access.superuser, _for_mosquitto),
        "/mqtt/mosquitto/acl": _hook(password, access.topic, _for_mosquitto),
        "/mqtt/emqx/authn": _hook(password, access.user, _for_emqx),
        "/mqtt/emqx/authz": _hook(password, access.topic, _for_emqx),
    }


Form = Callable[[BrokerVerdict], tuple[HTTPStatus, dict[str, Any]]]


def _hook(password: str, judge: Judge, form: Form) -> AiohttpHandler:
    """A question's handler: whatever goes wrong is a refusal, in the words that this broker understands."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if not same_secret(_basic_password(request.headers.get("Authorization", "")), password):
            headers = {"WWW-Authenticate": 'Basic realm="broker"'}
            return web.json_response({"ok": False, "result": "deny"}, status=HTTPStatus.UNAUTHORIZED, headers=headers)
        proven(request)
        try:
            verdict = await judge(await _question(request))
        except VtnError as error:
            verdict = REFUSED
            level = logging.INFO if isinstance(error, Unauthenticated) else logging.WARNING
            log.log(level, "refused at %s: %s", request.path, error)
        status, answer = form(verdict)
        return web.json_response(answer, status=status, headers={"Cache-Control": "no-store"})

    return handle


def _for_mosquitto(verdict: BrokerVerdict) -> tuple[HTTPStatus, dict[str, Any]]:
    """Good for its response modes `status` and `json`."""
    status = HTTPStatus.OK if verdict.allowed else HTTPStatus.FORBIDDEN
    return status, {"ok": verdict.allowed, "error": "" if verdict.allowed else "not allowed"}


def _for_emqx(verdict: BrokerVerdict) -> tuple[HTTPStatus, dict[str, Any]]:
    """Always 200, because it passes over other answers; `expire_at` has it end the session with the token."""
    answer: dict[str, Any] = {"result": "allow" if verdict.allowed else "deny", "is_superuser": False}
    if verdict.until_s is not None:
        answer["expire_at"] = int(verdict.until_s)
    return HTTPStatus.OK, answer


async def _question(request: web.Request) -> Question:
    """The parameters of a question, JSON or form; Rejected or TooLarge when it is none."""
    if request.content_length is None or request.content_length > LONGEST_QUESTION:
        raise TooLarge(f"a broker's question has at most {LONGEST_QUESTION} bytes")
    body = await read_body(request)
    try:
        if request.content_type == "application/x-www-form-urlencoded":
            found: Any = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
        else:
            found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Rejected([Fault("$", "is neither a JSON object nor a form")])
    question = {name: str(value) for name, value in found.items() if isinstance(value, str | int)}
    if any(len(value) > LONGEST_VALUE for value in question.values()):
        raise TooLarge(f"a value of a broker's question has at most {LONGEST_VALUE} characters")
    return question


def _basic_password(header: str) -> str:
    """The password of HTTP Basic, whatever the user's name; empty without one."""
    try:
        text = base64.b64decode(credentials(header, "basic") or "", validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]
