"""Settings of the broker that contradict each other are refused in words, before anything starts."""

import random

import pydantic
import pytest

from vtn.config import Mqtt
from vtn.errors import CannotStart
from vtn.notifiers.broker.process import BundledBroker
from vtn.notifiers.broker.secrets import payload_bytes

FILES = {"certificate": "server.pem", "private_key": "server.key"}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"authentication": "CERTIFICATE"}, "needs TLS"),
        ({"authentication": "CERTIFICATE", "mode": "external", "url": "mqtts://b", **FILES}, "is for the bundled"),
        ({"certificate": "server.pem"}, "go together"),
        ({"mode": "external"}, "needs url"),
        ({"mode": "external", "url": "mqtt://broker.example"}, "not mqtts://"),
        ({"advertise": ("mqtts://a.example", "mqtt://b.example")}, "clients are told mqtt://b.example"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(settings, reason):
    with pytest.raises(pydantic.ValidationError, match=reason):
        Mqtt(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"authentication": "CERTIFICATE", **FILES},
        {"authentication": "ANONYMOUS"},
        {"mode": "off", "authentication": "CERTIFICATE"},
        {"mode": "external", "url": "mqtt://127.0.0.1:1883", "authentication": "ANONYMOUS"},
        {"mode": "external", "url": "mqtt://inside", "advertise": ("mqtts://b",), "authentication": "ANONYMOUS"},
    ],
)
def test_settings_that_can_are_taken(settings):
    assert Mqtt(**settings).authentication == settings["authentication"]


@pytest.mark.parametrize(
    ("body", "payload"), [(1024, 8192), (1_048_576, 8_388_608), (8_388_608, 67_108_864), (2**30, 67_108_864)]
)
def test_the_brokers_largest_message_follows_the_largest_body(body, payload):
    assert payload_bytes(body) == payload


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 70 + ".example"])
def test_an_address_that_no_broker_can_listen_at_is_said_in_one_sentence(tmp_path, host):
    with pytest.raises(CannotStart, match=rf"the MQTT address {host}:0 cannot be used"):
        BundledBroker(Mqtt(host=host, port=0), tmp_path / "broker", random.Random(1), largest_body_bytes=1024)
