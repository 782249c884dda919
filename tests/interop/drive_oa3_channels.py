"""The notification channels of python-oa3-client: webhooks, and MQTT on the bundled broker."""

import logging
import queue
import threading
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

from drive_parts import Drive, Receiver
from openadr3_client import BlClient, MqttChannel, MQTTConnection, VenClient, WebhookChannel, WebhookReceiver
from openadr3_client.mqtt import extract_mqtt_broker_uris, normalize_broker_uri

PATIENCE_S = 90.0
NO_ECHO = {
    "refused": 400,
    "why": "the library's receiver does not echo the challenge, which a VTN MUST send (Webhooks)",
}
BY_NAME = {"refused": 404, "why": "an ANONYMOUS broker tells only what everybody may hear; this VTN has no such topic"}
NO_POP = {"broken": "pop", "why": "the library calls a method that its MQTT library does not have"}


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def subscription(program_id: str, url: str, token: str = "secret") -> dict[str, Any]:
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": url, "bearerToken": token}
    return {"clientName": fresh("client"), "programID": program_id, "objectOperations": [entry]}


def webhooks(drive: Drive, program: tuple[str, str]) -> None:
    """The library's receiver does not answer challenges; behind one that does, it takes what the VTN sends."""
    name, program_id = program
    channel = drive.do("ven.add_webhook", host="127.0.0.1", bearer_token="secret")
    drive.on(channel, "start")
    url = drive.on(channel, "callback_url", check=lambda it: it.startswith("http://127.0.0.1:"))
    drive.do("ven.subscribe", [name], ["EVENT"], ["CREATE"], channel, check=lambda it: it == [])
    drive.do("ven.create_subscription", subscription(program_id, url), **NO_ECHO)
    drive.do("ven.subscriptions", check=lambda it: it == [])
    for verb in ("subscribe", "unsubscribe", "replace"):
        drive.on(channel, f"{verb}_topics", ["any"])
    front = Receiver()
    made = drive.do("ven.create_subscription", subscription(program_id, front.url))
    event_id = told_of_event(drive, program_id, front, url)
    received(drive, channel, event_id)
    receiver = WebhookReceiver(host="127.0.0.1", bearer_token="secret")
    drive.on(receiver, "start")
    url = drive.on(receiver, "callback_url", check=lambda it: it.endswith("/notifications"))
    received(drive, receiver, told_of_event(drive, program_id, front, url))
    drive.on(receiver, "stop")
    drive.on(channel, "stop")
    drive.do("ven.delete_subscription", made.json()["id"])


def told_of_event(drive: Drive, program_id: str, front: Receiver, url: str) -> str:
    """Make an event, and pass on what the VTN posts about it, headers and all; the event's id."""
    event_id = drive.roles["bl"].create_event({"programID": program_id}).json()["id"]
    headers, body = front.taken.get(timeout=PATIENCE_S)
    kept = {name: headers[name] for name in ("Authorization", "Content-Type")}
    urllib.request.urlopen(urllib.request.Request(url, body, kept), timeout=PATIENCE_S).close()  # noqa: S310 - loopback
    return event_id


def received(drive: Drive, taker: WebhookChannel | WebhookReceiver, event_id: str) -> None:
    def told(messages: list[Any]) -> bool:
        return [(one.payload.operation, one.payload.object.id) for one in messages] == [("CREATE", event_id)]

    drive.on(taker, "await_messages", 1, PATIENCE_S, check=told)
    drive.on(taker, "await_messages_on_path", "/notifications", 1, PATIENCE_S, check=told)
    drive.on(taker, "messages", check=told)
    drive.on(taker, "messages_on_path", "/notifications", check=told)
    drive.on(taker, "clear_messages")


def open_broker(drive: Drive, facts: dict[str, Any]) -> None:
    """The VTN whose broker admits everybody, the only kind that the library can use: the same roles, over there."""
    here, there = drive.roles, {}
    for role, client_id, kind in (("bl", "bl", BlClient), ("ven", "c1", VenClient)):
        who = {"client_id": client_id, "client_secret": facts["open_secrets"][client_id]}
        there[role] = kind(url=facts["open"], **who).start()
    drive.roles = there
    drive.do("bl.get_mqtt_topics_reports", **BY_NAME)
    name = fresh("program")
    mqtt(drive, (name, there["bl"].create_program({"programName": name}).json()["id"]))
    for client in there.values():
        client.stop()
    drive.roles = here


def mqtt(drive: Drive, program: tuple[str, str]) -> None:
    """A channel and a bare connection."""
    drive.do("ven.discover_notifiers", check=lambda it: it["MQTT"]["authentication"] == {"method": "ANONYMOUS"})
    drive.do("ven.vtn_supports_mqtt", check=lambda it: it is True)
    offered = drive.do("ven.get_notifiers").json()
    uri = drive.run(extract_mqtt_broker_uris, offered, check=lambda it: len(it) == 1)[0]
    drive.do("ven.get_mqtt_broker_uris", check=lambda it: it == [uri])
    drive.run(normalize_broker_uri, uri, check=lambda it: it[0] == "127.0.0.1" and not it[2])
    ready = threading.Event()
    channel = drive.do("ven.add_mqtt", uri, fresh("oa3"), on_connect=ready.set)
    drive.on(channel, "start")
    ready.wait(PATIENCE_S)
    drive.on(channel, "is_connected", check=lambda it: it is True)
    listening = acknowledged(channel._conn)
    topics = drive.do("ven.subscribe", [program[0]], ["EVENT"], ["CREATE"], channel, check=lambda it: len(it) == 4)
    listening(len(topics))
    event_id = drive.roles["bl"].create_event({"programID": program[1]}).json()["id"]
    heard(drive, channel, topics[0], event_id)
    drive.on(channel, "subscribe_topics", topics[:1])
    drive.on(channel, "subscribed_topics", check=lambda it: it == set(topics))
    drive.on(channel, "replace_topics", topics)
    drive.on(channel, "replace_topics", topics[:1], **NO_POP)
    drive.on(channel, "unsubscribe_topics", topics, **NO_POP)
    drive.on(channel, "stop")
    bare_connection(drive, uri, topics[0], program[1])


def bare_connection(drive: Drive, uri: str, topic: str, program_id: str) -> None:
    ready = threading.Event()
    connection = MQTTConnection(uri, on_connect=ready.set)
    drive.on(connection, "connect")
    ready.wait(PATIENCE_S)
    drive.on(connection, "is_connected", check=lambda it: it is True)
    listening = acknowledged(connection)
    drive.on(connection, "subscribe", topic)
    listening(1)
    heard(drive, connection, topic, drive.roles["bl"].create_event({"programID": program_id}).json()["id"])
    drive.on(connection, "subscribed_topics", check=lambda it: it == {topic})
    drive.on(connection, "replace_subscriptions", [topic])
    drive.on(connection, "unsubscribe", topic, **NO_POP)
    drive.on(connection, "disconnect")


def acknowledged(connection: MQTTConnection) -> Callable[[int], None]:
    """Wait for so many acknowledged subscriptions from now on."""
    taken = queue.Queue()
    connection._client.mqttc.on_subscribe = lambda *_: taken.put(None)
    return lambda count: [taken.get(timeout=PATIENCE_S) for _ in range(count)] and None


def heard(drive: Drive, taker: MqttChannel | MQTTConnection, topic: str, event_id: str) -> None:
    def told(messages: list[Any]) -> bool:
        said = {(one.topic, one.payload.operation, one.payload.object.id) for one in messages}
        return said == {(topic, "CREATE", event_id)}

    drive.on(taker, "await_messages", 1, PATIENCE_S, check=told)
    drive.on(taker, "await_messages_on_topic", topic, 1, PATIENCE_S, check=told)
    drive.on(taker, "messages", check=told)
    drive.on(taker, "messages_on_topic", topic, check=told)
    drive.on(taker, "clear_messages")


def closed_broker(drive: Drive) -> None:
    """A broker that wants credentials, as the bundled one does: the library has no way to send any."""
    refusals = queue.Queue()
    watch = logging.Handler(logging.WARNING)
    watch.emit = lambda record: refusals.put(record.getMessage())
    logging.getLogger().addHandler(watch)
    channel = MqttChannel(drive.roles["ven"].get_mqtt_broker_uris()[0])
    channel.start()
    said = refusals.get(timeout=PATIENCE_S)
    channel.stop()
    logging.getLogger().removeHandler(watch)
    drive.claim("MqttChannel: no credentials are refused", f"{said} (MQTT-08)", ok="ConnectRefused" in said)
