"""Hints to poll early: MQTT, webhooks, or nothing but the clock. A lost hint costs a few seconds and never an event.

Every notification that comes in is counted by object and operation, so that a demonstration can prove that none was
lost. What the notification says is not believed: whoever is woken reads the VTN.
"""

import asyncio
import base64
import binascii
import collections
import dataclasses
import json
import logging
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import pydantic
from aiohttp import web

from ven_adapters.config import WakeSettings
from vtn.client import Client, VtnRefused, VtnUnreachable, VtnUnusable
from vtn.limits import half_spread_s
from vtn.listening.http import HttpOptions, listening, proven, same_secret
from vtn.listening.sockets import ListenAddress
from vtn.tls import trusting
from vtn.wire.enumerations import ObjectType
from vtn.wire.notification import Notification

RENEW_BEFORE_S = 20.0
SHORTEST_SESSION_S = 5.0
KEPT_NOTIFICATIONS, LONGEST_NAME = 100_000, 128
MQTT_PORTS: Mapping[str, int] = {"mqtt": 1883, "mqtts": 8883}
QOS = 1
MOST_URIS = 32

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ReceivedNotification:
    """One notification: what happened to which object, and when it reached us (Unix time)."""

    object_type: str
    object_id: str
    operation: str
    modified: str
    real_s: float


class WakeSignal:
    """Rung by whoever has news, awaited by the loop; keeps what was heard."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.heard: collections.deque[ReceivedNotification] = collections.deque(maxlen=KEPT_NOTIFICATIONS)
        self.malformed = 0

    def ring(self) -> None:
        """Wake the loop."""
        self._rung.set()

    @property
    def rung(self) -> bool:
        """Whether it rang since it was last taken."""
        return self._rung.is_set()

    def take(self) -> bool:
        """The same, and it is taken."""
        rung = self.rung
        self._rung.clear()
        return rung

    async def wait(self, longest_s: float) -> None:
        """Return when it rings, or after `longest_s` real seconds; a ring stays until it is taken."""
        try:
            async with asyncio.timeout(longest_s):
                await self._rung.wait()
        except TimeoutError:
            return

    def hear(self, body: bytes) -> None:
        """Note a notification and ring; one that cannot be read still rings, because something happened."""
        try:
            told = Notification.model_validate_json(body)
            self.heard.append(_heard(told))
        except pydantic.ValidationError:
            self.malformed += 1
        self.ring()


def _heard(told: Notification) -> ReceivedNotification:
    named = (str(told.object.get(key, ""))[:LONGEST_NAME] for key in ("id", "modificationDateTime"))
    return ReceivedNotification(told.object_type, next(named), told.operation, next(named), time.time())


def token_expiry_s(token: str) -> float | None:
    """The Unix time at which a JWT says it dies, unverified; None for a token of another kind."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


def back_off_s(failures: int, settings: WakeSettings, chance: float) -> float:
    """How long to stay away after so many failures in a row; `chance` in [0, 1) spreads the herd (equal jitter)."""
    return half_spread_s(failures, settings.first_retry_s, settings.longest_retry_s, chance)


@dataclasses.dataclass(frozen=True, slots=True)
class NotificationSource:
    """Who listens: our client at the VTN, our ven there, and what to trust besides the system's certificates.

    `label` is the clientName of our subscription, by which a later life of this adapter finds it again. Shards of one
    automaker share a client at the VTN and differ in it.
    """

    vtn: Client
    ven_id: str
    label: str
    ca: Path | None = None


async def listen(ven: NotificationSource, settings: WakeSettings, wake_signal: WakeSignal, seed: int) -> None:
    """Raise the wake signal until cancelled; while the VTN offers nothing to listen to, the clock alone wakes us."""
    sources: Mapping[str, Callable[[], Any]] = {
        "mqtt": lambda: _mqtt_session(ven, wake_signal),
        "webhook": lambda: _webhook_session(ven, settings, wake_signal),
    }
    session = sources.get(settings.mode)
    dice = random.Random(seed)  # noqa: S311 - spreads reconnects, guards nothing
    failures, why_none = 0, ""
    while session is not None:
        began_s = time.monotonic()
        try:
            await session()
        except NotOffered as none:
            if str(none) != why_none:
                why_none = str(none)
                _log.warning("no notifications: %s; polling by the clock", none)
            await asyncio.sleep(settings.longest_retry_s)
            continue
        except (aiomqtt.MqttError, VtnUnreachable, VtnRefused, OSError) as error:
            failures = 1 if time.monotonic() - began_s > settings.longest_retry_s else failures + 1
            _log.warning("notifications interrupted: %s", error)
            await asyncio.sleep(back_off_s(failures, settings, dice.random()))
        wake_signal.ring()


class NotOffered(Exception):
    """The VTN has no such notifier."""


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where and how to connect, and until when the token lasts (Unix time)."""

    host: str
    port: int
    encrypted: bool
    username: str | None
    password: str | None = dataclasses.field(repr=False)
    until_s: float | None


async def _mqtt_session(ven: NotificationSource, wake_signal: WakeSignal) -> None:
    """One connection, from a fresh token to just before its end; the broker keeps our session in between."""
    broker = await find_broker(ven.vtn)
    topics = [await ven.vtn.topics(f"vens/{ven.ven_id}/{kind}") for kind in ("events", "programs")]
    async with aiomqtt.Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        identifier=f"ven-{ven.ven_id}",
        clean_session=False,
        tls_context=trusting(ven.ca) if broker.encrypted else None,
    ) as client:
        for topic in {name for offered in topics for name in _wanted(offered)}:
            await client.subscribe(topic, qos=QOS)
        wake_signal.ring()
        await _pass_on(client, broker.until_s, wake_signal)


async def _pass_on(client: aiomqtt.Client, until_s: float | None, wake_signal: WakeSignal) -> None:
    left_s = None if until_s is None else max(SHORTEST_SESSION_S, until_s - time.time() - RENEW_BEFORE_S)
    try:
        async with asyncio.timeout(left_s):
            async for message in client.messages:
                if isinstance(message.payload, (bytes, bytearray)):
                    wake_signal.hear(bytes(message.payload))
    except TimeoutError:
        return


def _wanted(offered: Mapping[str, str]) -> list[str]:
    """The topic that covers all operations, or each of them (MQTT-16, MQTT-18)."""
    return [offered["ALL"]] if "ALL" in offered else list(offered.values())


async def find_broker(vtn: Client) -> BrokerAddress:
    """Read `/notifiers` and make the credentials that it asks for (MQTT-04 to MQTT-08); NotOffered without MQTT.

    The first address that can be used counts; others, of whatever form, are passed over.
    """
    offered = (await vtn.notifiers()).get("MQTT")
    if not offered:
        raise NotOffered("the VTN offers no MQTT")
    try:
        uris, authentication = list(offered["URIS"]), offered["authentication"]
        method, template = str(authentication["method"]), str(authentication.get("username", ""))
    except (KeyError, TypeError, AttributeError):
        raise NotOffered("what the VTN says of its broker cannot be read") from None
    place = next((found for uri in uris[:MOST_URIS] if (found := _place(uri)) is not None), None)
    if place is None:
        raise NotOffered("the VTN lists no mqtt or mqtts address that can be used")
    username, password = None, None
    if method == "OAUTH2_BEARER_TOKEN":
        username, password = template.replace("{clientID}", vtn.client_id), await vtn.token()
    elif method != "ANONYMOUS":
        raise NotOffered(f"the broker asks for {method[:100]}")
    until_s = token_expiry_s(password) if password else None
    host, port, encrypted = place
    return BrokerAddress(host, port, encrypted, username, password, until_s)


def _place(uri: Any) -> tuple[str, int, bool] | None:
    """Host, port and whether TLS is spoken there; None for what is no usable address of an MQTT broker."""
    try:
        parts = urlsplit(uri) if isinstance(uri, str) else None
        if parts is None or parts.scheme not in MQTT_PORTS or not parts.hostname:
            return None
        return parts.hostname, parts.port or MQTT_PORTS[parts.scheme], parts.scheme == "mqtts"
    except ValueError:
        return None


async def _webhook_session(ven: NotificationSource, settings: WakeSettings, wake_signal: WakeSignal) -> None:
    """Listen, answer the echo challenge, subscribe, and stay until cancelled; the subscription goes when we go.

    What an earlier life of ours, which was killed, left at the VTN is taken over, and what is too many is deleted.
    """
    bearer = secrets.token_urlsafe(24)
    subscription: Mapping[str, Any] | None = None
    before = [one["id"] for one in await ven.vtn.search(ObjectType.SUBSCRIPTION) if _is_ours(one, ven)]
    async with listening(
        _receiver(wake_signal, bearer), hook_address(settings), HttpOptions(settings.listening)
    ) as port:
        try:
            url = settings.webhook_url or f"http://{settings.webhook_host}:{port}/"
            wanted = _subscription(ven.label, url, bearer)
            subscription = await _subscribed(ven, before, wanted)
            for left in before:
                if left != subscription["id"]:
                    await _unsubscribe(ven, left)
            wake_signal.ring()
            await asyncio.Event().wait()
        finally:
            if subscription is not None:
                await _unsubscribe(ven, str(subscription["id"]))


async def _subscribed(ven: NotificationSource, before: Sequence[str], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Our subscription: one that was there, with what is wanted now, or a new one where the VTN replaces none."""
    if before:
        try:
            return await ven.vtn.replace(ObjectType.SUBSCRIPTION, before[0], wanted)
        except VtnUnusable:  # it may be replaced: another one would be heard twice
            raise
        except VtnRefused as refused:
            _log.warning("the VTN does not replace our subscription, a new one is made: %s", refused)
    return await ven.vtn.create(ObjectType.SUBSCRIPTION, wanted)


async def _unsubscribe(ven: NotificationSource, subscription_id: str) -> None:
    """One that cannot be deleted calls with a secret of an earlier life, and is not heard."""
    try:
        await ven.vtn.delete(ObjectType.SUBSCRIPTION, subscription_id)
    except (VtnRefused, VtnUnreachable) as error:
        _log.warning("a subscription of ours is left at the VTN: %s", error)


def hook_address(settings: WakeSettings) -> ListenAddress:
    """Where the VTN's webhooks are taken."""
    return ListenAddress(settings.webhook_host, settings.webhook_port, "wake.webhook_port")


def _is_ours(subscription: Mapping[str, Any], ven: NotificationSource) -> bool:
    """Whether a subscription is one that this adapter, or a life of it before, has made."""
    return subscription.get("clientName") == ven.label and subscription.get("clientID") == ven.vtn.client_id


def _subscription(client_name: str, url: str, bearer: str) -> dict[str, Any]:
    wanted = {
        "objects": ["PROGRAM", "EVENT"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "callbackUrl": url,
        "bearerToken": bearer,
    }
    return {"clientName": client_name, "objectOperations": [wanted]}


def _receiver(wake_signal: WakeSignal, bearer: str) -> web.Application:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=request.query.get("echo", ""))

    async def notified(request: web.Request) -> web.Response:
        if not same_secret(request.headers.get("Authorization"), f"Bearer {bearer}"):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        proven(request)
        wake_signal.hear(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_get("/", echo)
    app.router.add_post("/", notified)
    return app
