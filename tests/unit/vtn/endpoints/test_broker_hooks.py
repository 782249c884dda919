"""What an external broker is told about sessions whose token has died, and about identifiers that two clients want."""

import base64
import re
import shutil
import types
from pathlib import Path

import pytest

from vtn.bounds import DeliveryBounds
from vtn.config import Mqtt, Server
from vtn.endpoints.broker_hooks import MOST_SESSIONS, REFUSED, BrokerAccess, Connections, broker_hooks
from vtn.errors import Unauthenticated
from vtn.notifiers.broker.secrets import payload_bytes
from vtn.service.identifiers import Identifiers
from vtn.storage.ports import ClientRecord, Role
from vtn.storage.sql import open_store

NOW_S = 1_000.0
CONFIG = Path(__file__).parents[4] / "config"


class Now:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.s = NOW_S

    def __call__(self) -> float:
        return self.s


class FakeHttpContext:
    """What the hooks read of an `HttpContext`: `token-CLIENT` is a token, and expires a minute after the start."""

    def __init__(self, store) -> None:
        self.held = {
            name: ClientRecord(name, role, (), "", "", 0.0) for name, role in (("bl", Role.BL), ("c1", Role.VEN))
        }
        self.vens = {"c1": types.SimpleNamespace(id="V1")}
        self.tokens = types.SimpleNamespace(admit=self.admit)
        self.registry = types.SimpleNamespace(current=self.nothing, standing=self.held.get)
        self.core = types.SimpleNamespace(
            store=store, model=types.SimpleNamespace(current=self.nothing, ven_of=self.vens.get)
        )

    async def nothing(self, *_):
        """Nothing to catch up with."""

    async def admit(self, token):
        name = token.removeprefix("token-")
        if name == token or name not in self.held:
            raise Unauthenticated("no such token")
        return types.SimpleNamespace(client_id=name, expires_at_s=NOW_S + 60)


@pytest.fixture
async def context(migrated_file, tmp_path):
    shutil.copy(migrated_file, tmp_path / "vtn.db")
    store = await open_store(f"sqlite:///{tmp_path / 'vtn.db'}", shared_dir=tmp_path)
    yield FakeHttpContext(store)
    await store.close()


def access_of(context, now, settings):
    """The gatekeeper of a broker with these settings."""
    identifiers = Identifiers(context.core.store, DeliveryBounds(), context.registry.standing, now)
    return BrokerAccess(context, settings, identifiers, now)


@pytest.fixture
def now():
    return Now()


@pytest.fixture
def access(context, now):
    return access_of(context, now, Mqtt(mode="external", url="mqtts://b", username="evtn", password="own"))


def login(name, mqtt_id, token=None):
    return {"username": name, "password": token or f"token-{name}", "clientid": mqtt_id}


async def listens(access, name, mqtt_id, topic="programs/create"):
    return (await access.topic({"username": name, "clientid": mqtt_id, "topic": topic, "acc": "1"})).allowed


async def test_a_session_loses_its_topics_when_its_token_dies(access, now):
    verdict = await access.user(login("c1", "a"))
    assert (verdict.allowed, verdict.until_s) == (True, NOW_S + 60)
    assert await listens(access, "c1", "a")
    now.s += 60
    assert not await listens(access, "c1", "a")


async def test_a_session_that_this_process_never_let_in_is_judged_by_its_client_alone(access, now):
    """After a restart of the VTN, or when another of its processes was asked."""
    now.s += 3600
    assert await listens(access, "c1", "unknown")
    assert not await listens(access, "nobody", "unknown")


async def test_topics_follow_from_what_the_client_is_at_the_time_of_the_question(access, context):
    assert await listens(access, "c1", "a", "vens/V1/events/create")
    assert not await listens(access, "c1", "a", "bl/events/create")
    context.vens.clear()
    assert not await listens(access, "c1", "a", "vens/V1/events/create")
    context.held.clear()
    assert not await listens(access, "c1", "a")


async def test_an_identifier_is_its_clients_for_as_long_as_a_session_may_be_stored(context, access, now):
    assert (await access.user(login("c1", "charger"))).allowed
    other = access_of(context, now, Mqtt(mode="external", url="mqtts://b"))
    for asked in (access, other):
        with pytest.raises(Unauthenticated, match="belongs to another client"):
            await asked.user(login("bl", "charger"))
    assert (await other.user(login("c1", "charger"))).allowed
    now.s += DeliveryBounds().mqtt_session_kept_s
    with pytest.raises(Unauthenticated):
        await access.user(login("bl", "charger"))
    now.s += 2 * 86_400
    assert (await access.user(login("bl", "charger"))).allowed
    with pytest.raises(Unauthenticated):
        await other.user(login("c1", "charger"))


@pytest.mark.parametrize("identifier", ["c1", "c1:meter", "c1/agent/2"])
async def test_an_identifier_with_a_clients_name_is_that_clients_before_it_ever_came(access, identifier):
    with pytest.raises(Unauthenticated, match="names another client"):
        await access.user(login("bl", identifier))
    assert (await access.user(login("c1", identifier))).allowed


@pytest.mark.parametrize("identifier", ["c1-meter", "c10", "auto-5F3A", "bl:c1", ":", "/c1"])
async def test_any_other_identifier_is_whoever_comes_first(access, identifier):
    assert (await access.user(login("bl", identifier))).allowed


@pytest.mark.parametrize(
    ("name", "token"), [("c1", "token-bl"), ("", "token-c1"), ("evtn", "guess"), ("evtn", "token-c1")]
)
async def test_a_name_that_is_not_the_tokens_is_refused(access, name, token):
    assert await access.user(login(name, "a", token)) == REFUSED


async def test_a_token_that_is_none_is_an_error_in_words(access):
    with pytest.raises(Unauthenticated):
        await access.user(login("c1", "a", "nonsense"))


async def test_without_a_password_of_its_own_nobody_is_the_vtn(context, now):
    access = access_of(context, now, Mqtt(mode="external", url="mqtts://b", username="evtn"))
    assert await access.user({"username": "evtn", "password": ""}) == REFUSED


async def test_anonymously_everyone_may_listen_to_shared_topics_and_only_the_vtn_publish(context, now):
    settings = Mqtt(mode="external", url="mqtts://b", username="evtn", password="own", authentication="ANONYMOUS")
    access = access_of(context, now, settings)
    assert (await access.user({})).allowed
    assert not (await access.user(login("evtn", "a", "guess"))).allowed
    assert await listens(access, "", "a")
    assert not await listens(access, "bl", "a", "bl/events/create")
    assert not await listens(access, "c1", "a", "vens/V1/events/create")
    assert not (await access.topic({"topic": "programs/create", "action": "publish"})).allowed
    assert (await access.topic({"username": "evtn", "topic": "programs/create", "action": "publish"})).allowed


@pytest.mark.parametrize("acc", ["0", "3", "16", "all", "", "LISTEN"])
async def test_a_question_about_anything_else_is_refused(access, acc):
    for name in ("c1", "evtn"):
        question = {"username": name, "topic": "programs/create", "acc": acc}
        assert await access.topic(question) == REFUSED


def test_what_is_remembered_of_a_client_is_bounded_and_costs_no_other_client():
    known = Connections()
    known.note("c1", "kept", NOW_S)
    for number in range(10 * MOST_SESSIONS):
        known.note("c2", f"id-{number}", NOW_S)
    assert known.expired("c1", "kept", NOW_S)
    assert sum(known.expired("c2", f"id-{number}", NOW_S) for number in range(10 * MOST_SESSIONS)) == MOST_SESSIONS


def test_hooks_exist_only_with_a_password(context):
    assert broker_hooks(context, Mqtt(), DeliveryBounds()) == {}
    assert len(broker_hooks(context, Mqtt(hook_password="word"), DeliveryBounds())) == 5


@pytest.mark.parametrize(("name", "broker"), [("mosquitto.example.conf", "mosquitto"), ("emqx.example.hocon", "emqx")])
def test_the_example_configurations_ask_where_the_vtn_answers(context, name, broker):
    text = (CONFIG / name).read_text()
    answered = broker_hooks(context, Mqtt(hook_password="word"), DeliveryBounds())
    assert set(re.findall(r"/mqtt/[a-z/]+", text)) == {path for path in answered if f"/{broker}/" in path}


def test_the_example_of_emqx_shows_the_password_as_http_basic():
    shown = set(re.findall(r'"Basic ([^"]+)"', (CONFIG / "emqx.example.hocon").read_text()))
    assert {base64.b64decode(one) for one in shown} == {b"broker:HOOK_PASSWORD"}


@pytest.mark.parametrize(
    ("name", "said"), [("mosquitto.example.conf", "max_packet_size 8388608"), ("emqx.example.hocon", "= 8MB")]
)
def test_the_example_configurations_take_the_largest_notification(name, said):
    assert payload_bytes(Server().max_body_bytes) == 8 * 1024 * 1024
    assert said in (CONFIG / name).read_text()


async def test_a_broker_that_tells_no_identifiers_lets_every_client_in(access, now):
    """EMQX sends them only when its settings say so; no identifier is nobody's."""
    for name in ("c1", "bl"):
        assert (await access.user({"username": name, "password": f"token-{name}"})).allowed
        assert (await access.topic({"username": name, "topic": "programs/create", "acc": "1"})).allowed
    now.s += 60
    assert not (await access.topic({"username": "c1", "topic": "programs/create", "acc": "1"})).allowed


async def test_of_sessions_without_identifiers_the_youngest_token_counts():
    connections = Connections()
    connections.note("c1", "", NOW_S + 60)
    connections.note("c1", "", NOW_S + 5)
    assert not connections.expired("c1", "", NOW_S + 10)
    assert connections.expired("c1", "", NOW_S + 60)
