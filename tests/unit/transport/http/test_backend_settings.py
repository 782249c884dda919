import pytest

from ven_adapters import registry
from ven_adapters.contract import BackendError, ErrorCode, VehicleBackend
from ven_adapters.transport.http.settings import backend_settings
from vtn.clock import RealClock, SimulatedClock

GOOD = {"url": "http://127.0.0.1:1", "token": "t"}


def test_a_token_is_enough():
    made = backend_settings(GOOD)
    assert (made.credentials.token, made.webhook, made.clock) == ("t", None, RealClock())


def test_a_printed_clock_is_read():
    made = backend_settings(GOOD | {"clock": "2026-07-01T00:00:00+00:00@1.0*540.0"})
    assert isinstance(made.clock, SimulatedClock)


def test_a_webhook_secret_opens_a_listener_on_loopback():
    webhook = backend_settings(GOOD | {"webhook_secret": "hush", "webhook_port": 9}).webhook
    assert (webhook.host, webhook.port, "hush" in repr(webhook)) == ("127.0.0.1", 9, False)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"url": "ftp://x"}, "settings.url: must begin"),
        ({"url": None}, "settings.url: is required"),
        ({"tokne": "t"}, "settings.tokne: is not a setting"),
        ({"seed": "1"}, "settings.seed: must be a valid integer"),
        ({"webhook_port": True}, "settings.webhook_port: must be a valid integer"),
        ({"token": None}, "settings.token_url: is required"),
        ({"token": None, "token_url": "http://x", "client_id": "me"}, "settings.client_secret: is required"),
        ({"clock": "noon"}, "settings.clock: a clock is"),
    ],
)
def test_a_wrong_setting_is_named(change, complaint):
    with pytest.raises(BackendError, match=complaint) as caught:
        backend_settings(GOOD | change)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("name", ["bmw", "ford", "honda", "nissan"])
async def test_every_brand_is_found_and_makes_a_backend(name):
    made = registry.factory(name)(GOOD)
    assert isinstance(made, VehicleBackend)
    await made.close()


def test_an_unknown_brand_lists_the_known():
    with pytest.raises(registry.UnknownOem, match=r"'trabant' is not .* known are bmw, .*ford, honda, nissan"):
        registry.factory("trabant")


class Point:
    name, value = "acme", "acme.cars:backend"

    def __init__(self, loaded) -> None:
        self._loaded = loaded

    def load(self):
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def finds(loaded):
    def entry_points(group):
        assert group == "ven_adapters.oems"
        return [Point(loaded)]

    return entry_points


@pytest.mark.parametrize(
    ("loaded", "complaint"), [(ImportError("no acme"), "cannot be loaded: no acme"), (7, "is not a factory")]
)
def test_a_broken_third_party_says_what_is_broken(monkeypatch, loaded, complaint):
    monkeypatch.setattr(registry, "entry_points", finds(loaded))
    with pytest.raises(registry.UnknownOem, match=complaint):
        registry.factory("acme")


def test_a_third_party_is_found_by_its_entry_point(monkeypatch):
    monkeypatch.setattr(registry, "entry_points", finds(dict))
    assert registry.factory("acme") is dict
