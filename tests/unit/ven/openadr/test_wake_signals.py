"""What wakes the adapter: hints are counted and never believed, waits are spread, tokens are renewed in time."""

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.config import WakeSettings
from ven_adapters.ven.openadr.notifications import NotOffered, WakeSignal, back_off_s, find_broker, token_expiry_s


def jwt(claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'EdDSA'})}.{part(claims)}.sig"


def test_a_jwt_says_when_it_dies():
    assert token_expiry_s(jwt({"exp": 1795391818, "sub": "x"})) == 1795391818.0


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.!!!.c", jwt({}), jwt({"exp": None}), jwt([1])])
def test_a_token_that_does_not_say_so_has_no_end_that_we_know(token):
    assert token_expiry_s(token) is None


@given(st.integers(1, 2000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_are_bounded_and_are_spread(failures, chance):
    wake = WakeSettings(first_retry_s=0.5, longest_retry_s=60.0)
    wait_s = back_off_s(failures, wake, chance)
    assert 0.25 <= wait_s <= 60.0
    assert back_off_s(failures + 1, wake, chance) >= wait_s


async def test_a_ring_before_the_wait_is_not_lost():
    wake_signal = WakeSignal()
    wake_signal.ring()
    async with asyncio.timeout(1):
        await wake_signal.wait(60.0)
    assert wake_signal.take()
    assert not wake_signal.take()


async def test_a_wait_ends_without_a_ring():
    wake_signal = WakeSignal()
    await wake_signal.wait(0.001)
    assert not wake_signal.take()


def test_a_notification_is_counted_by_object_and_operation():
    wake_signal = WakeSignal()
    told = {"objectType": "EVENT", "operation": "CREATE", "object": {"id": "e-1", "modificationDateTime": "t"}}
    wake_signal.hear(json.dumps(told).encode())
    assert [(one.object_type, one.object_id, one.operation) for one in wake_signal.heard] == [
        ("EVENT", "e-1", "CREATE")
    ]
    assert wake_signal.take()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"objectType":"CAR","operation":"CREATE","object":{}}'])
def test_a_notification_that_cannot_be_read_still_wakes(body):
    wake_signal = WakeSignal()
    wake_signal.hear(body)
    assert (wake_signal.take(), wake_signal.malformed, list(wake_signal.heard)) == (True, 1, [])


class Offer:
    """A VTN's `/notifiers`, as one answer."""

    client_id = "ven-bmw"

    def __init__(self, mqtt) -> None:
        self.mqtt = mqtt

    async def notifiers(self):
        return {"WEBHOOK": True} | ({"MQTT": self.mqtt} if self.mqtt else {})

    async def token(self):
        return jwt({"exp": 100})


def mqtt(uris, **authentication):
    return {"URIS": uris, "serialization": "JSON", "authentication": authentication}


async def test_the_token_is_the_password_and_the_clientid_fills_the_user_name():
    offer = Offer(mqtt(["mqtts://broker"], method="OAUTH2_BEARER_TOKEN", username="{clientID}"))
    broker = await find_broker(offer)
    assert (broker.host, broker.port, broker.encrypted, broker.username) == ("broker", 8883, True, "ven-bmw")
    assert (broker.password, broker.until_s) == (jwt({"exp": 100}), 100.0)
    assert "eyJ" not in repr(broker)


async def test_an_anonymous_broker_gets_no_credentials():
    broker = await find_broker(Offer(mqtt(["ws://x", "mqtt://127.0.0.1:2883"], method="ANONYMOUS")))
    assert (broker.host, broker.port, broker.encrypted, broker.username, broker.password) == (
        "127.0.0.1",
        2883,
        False,
        None,
        None,
    )


@pytest.mark.parametrize(
    "offer", [None, mqtt(["ws://x"], method="ANONYMOUS"), mqtt(["mqtt://x"], method="CERTIFICATE", caCert="")]
)
async def test_what_cannot_be_used_is_left_alone(offer):
    with pytest.raises(NotOffered):
        await find_broker(Offer(offer))
