"""The MQTT client of ElaadNL's openadr3-client on the bundled broker, under each way of logging in."""

import json
import queue
import tempfile
import threading
from pathlib import Path
from typing import Any

from drive_parts import Drive
from openadr3_client._auth.token_manager import OAuthTokenManager, OAuthTokenManagerConfig
from openadr3_client.oadr310._vtn.mqtt.client import MQTTClient
from openadr3_client.oadr310.models.event.event import NewEvent
from openadr3_client.oadr310.models.notifiers.mqtt.mqtt import (
    MqttNotifierAuthenticationCertificate,
    MqttNotifierAuthenticationOAuth2BearerToken,
    MqttNotifierBindingObject,
)
from openadr3_client.ven.http_factory import VirtualEndNodeHttpClientFactory
from openadr3_client.version import OADRVersion
from paho.mqtt.reasoncodes import ReasonCode

MODE = OADRVersion.OADR_310
PATIENCE_S = 90.0


def mqtt(drive: Drive, facts: dict[str, Any], program: Any, ven: Any) -> None:
    """The library's MQTT client on the bundled broker: as the library logs in, and as the standard wants it."""
    offered, tokens = drive.roles["ven"].notifiers.get_notifiers().mqtt, OAuthTokenManager(login(facts, "c1"))
    by_hand = offered.model_copy(update={"authentication": MqttNotifierAuthenticationOAuth2BearerToken(username="c1")})
    for binding, fault in ((offered, "it forgets the method it was told"), (by_hand, "it ignores the username")):
        client = drive.run(MQTTClient, binding, tokens)
        reason = connected(client, binding)
        said = f"{reason}: the library sends no credentials, {fault} (MQTT password is the token: MQTT-08)"
        drive.claim("MQTTClient: no credentials are refused", said, ok=reason.is_failure)
        client.loop_stop()
    client = drive.run(MQTTClient, offered)
    client.username_pw_set("c1", tokens.get_access_token())
    heard, listening = queue.Queue(), threading.Event()
    client.on_message = lambda _client, _data, message: heard.put(json.loads(message.payload))
    client.on_subscribe = lambda *_: listening.set()
    reason = connected(client, offered)
    drive.claim("MQTTClient: clientID and token are admitted", str(reason), ok=not reason.is_failure)
    client.subscribe(drive.roles["ven"].notifiers.get_event_topics_for_ven(ven.id).topics.all, qos=1)
    listening.wait(PATIENCE_S)
    event = drive.do("bl.events.create_event", NewEvent(program_id=program.id, targets=("west",)))
    told = heard.get(timeout=PATIENCE_S)
    same = told["operation"] == "CREATE" and type(event).model_validate(told["object"]) == event
    drive.claim("MQTTClient: an event is told", str(told)[:300], ok=same)
    client.disconnect()
    client.loop_stop()


def mqtt_by_certificate(drive: Drive, facts: dict[str, Any]) -> None:
    """The library's MQTT client on a broker that knows clients by certificate; it wants them as files."""
    who = {"client_id": "c1", "client_secret": facts["certified_secrets"]["c1"]}
    where = {"vtn_base_url": facts["certified"], "version": MODE}
    notifiers = VirtualEndNodeHttpClientFactory.create_http_ven_client(**where, **who).notifiers
    offered = notifiers.get_notifiers().mqtt
    told = notifiers.session.get(f"{facts['certified']}/notifiers").json()["MQTT"]["authentication"]
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for field, name in (("ca_cert", "caCert"), ("client_cert", "clientCert"), ("client_key", "clientKey")):
            files[field] = str(Path(folder, name))
            Path(files[field]).write_text(told[name])
        by_certificate = MqttNotifierAuthenticationCertificate(**files)
        binding = offered.model_copy(update={"authentication": by_certificate})
        client = drive.run(MQTTClient, binding)
        reason = connected(client, binding)
        drive.claim("MQTTClient: the certificate is admitted", str(reason), ok=not reason.is_failure)
        client.disconnect()
        client.loop_stop()


def connected(client: MQTTClient, binding: MqttNotifierBindingObject) -> ReasonCode:
    """Connect, and return what the broker said to that."""
    said = queue.Queue()
    client.on_connect = lambda _client, _data, _flags, reason, _properties: said.put(reason)
    client.on_disconnect = None
    client.connect(binding.uris[0].host, binding.uris[0].port)
    client.loop_start()
    return said.get(timeout=PATIENCE_S)


def login(facts: dict[str, Any], client_id: str) -> OAuthTokenManagerConfig:
    return OAuthTokenManagerConfig(
        client_id=client_id,
        client_secret=facts["secrets"][client_id],
        token_url=f"{facts['url']}/auth/token",
        scopes=None,
        audience=None,
    )
