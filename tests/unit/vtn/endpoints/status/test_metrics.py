"""Metrics: what is counted comes out under its name, and only those who may are told."""

import re
from types import SimpleNamespace

import prometheus_client
import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from vtn.clock import parse_clock
from vtn.endpoints.status.insiders import everyone, nearby
from vtn.endpoints.status.metrics import ServerFigures, metrics
from vtn.endpoints.status.request_counts import BOUNDS_S, OperationCounts, Tallies
from vtn.errors import Unavailable
from vtn.storage.ports import DeliveryBacklog

NOTIFIERS = SimpleNamespace(
    broker=True,
    sessions=3,
    published=7,
    attempts={"taken": 5, "failed": 2},
    positions={"mqtt": 8, "webhooks": 10},
    webhooks={"overdue": 1, "hosts_away": 2, "withdrawn_entry": 3},
)
BACKLOG = DeliveryBacklog(4, 1, "2026-07-15T16:00:00.000000Z")


class Store:
    """A store with a log of ten and a backlog."""

    broken = False

    def shared_head(self):
        return 10

    async def backlog(self):
        if self.broken:
            raise Unavailable("gone")
        return BACKLOG


@pytest.fixture
def context():
    core = SimpleNamespace(store=Store(), model=SimpleNamespace(seq=9), clock=parse_clock("2026-07-15T16:10:00Z@0*1"))
    return SimpleNamespace(core=core, tallies=Tallies(), problem_media_type="application/json")


def scraped(context, notifiers=NOTIFIERS, backlog=BACKLOG):
    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(ServerFigures(context, notifiers, backlog))
    return lambda name, **labels: registry.get_sample_value(name, labels)


def request(remote, **headers):
    asked = make_mocked_request("GET", "/metrics", headers=CIMultiDict(headers))
    return asked.clone(remote=remote)


def test_requests_are_counted_by_operation_and_class_of_status(context):
    for status in (200, 200, 304, 404):
        context.tallies.of("searchAllEvents").note(status, 0.0007)
    value = scraped(context)
    assert value("evtn_requests_total", operation="searchAllEvents", **{"class": "2xx"}) == 2
    assert value("evtn_requests_total", operation="searchAllEvents", **{"class": "3xx"}) == 1
    assert value("evtn_requests_total", operation="searchAllEvents", **{"class": "4xx"}) == 1
    assert value("evtn_request_duration_seconds_count", operation="searchAllEvents") == 4
    assert value("evtn_request_duration_seconds_sum", operation="searchAllEvents") == pytest.approx(0.0028)
    assert value("evtn_request_duration_seconds_bucket", operation="searchAllEvents", le="0.0005") == 0
    assert value("evtn_request_duration_seconds_bucket", operation="searchAllEvents", le="0.001") == 4
    assert value("evtn_request_duration_seconds_bucket", operation="searchAllEvents", le="+Inf") == 4


def test_an_operation_that_nobody_asked_for_is_not_listed(context):
    context.tallies.of("createEvent")
    assert scraped(context)("evtn_request_duration_seconds_count", operation="createEvent") is None


def test_tokens_are_told_apart_from_refusals(context):
    for status in (200, 401, 400, 429, 500):
        context.tallies.of("fetchToken").note(status, 0.01)
    value = scraped(context)
    assert value("evtn_tokens_total", outcome="issued") == 1
    assert value("evtn_tokens_total", outcome="refused") == 3


def test_log_relay_and_notifiers_are_told(context):
    value = scraped(context)
    assert value("evtn_change_log_head") == 10
    assert value("evtn_read_model_lag") == 1
    assert value("evtn_notifications_published_total") == 7
    assert value("evtn_webhook_attempts_total", outcome="failed") == 2
    assert value("evtn_deliveries_untaken_total", why="withdrawn_entry") == 3
    assert value("evtn_deliveries_untaken_total", why="overdue") is None
    assert (value("evtn_webhooks_overdue"), value("evtn_webhook_hosts_away")) == (1, 2)
    assert value("evtn_relaying") == 1
    assert value("evtn_relay_lag", outlet="mqtt") == 2
    assert value("evtn_broker_connected") == 1
    assert value("evtn_mqtt_sessions") == 3
    assert value("evtn_deliveries", state="pending") == 4
    assert value("evtn_deliveries", state="dead") == 1
    assert value("evtn_delivery_oldest_seconds") >= 600
    assert value("evtn_database_up") == 1


def test_what_is_not_known_is_left_out(context):
    unknown = SimpleNamespace(broker=None, sessions=None, published=0, attempts={}, positions=None, webhooks={})
    value = scraped(context, unknown, None)
    assert value("evtn_database_up") == 0
    assert value("evtn_relaying") == 0
    for name in ("evtn_broker_connected", "evtn_mqtt_sessions", "evtn_delivery_oldest_seconds"):
        assert value(name) is None


def test_every_bound_has_its_slot():
    tally = OperationCounts()
    for bound in BOUNDS_S:
        tally.note(200, bound)
    tally.note(200, BOUNDS_S[-1] + 1)
    assert tally.slots == [1] * (len(BOUNDS_S) + 1)


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_nearby(remote):
    assert nearby(request(remote))


@pytest.mark.parametrize("remote", ["10.0.0.1", "8.8.8.8", "2001:db8::1", "::ffff:10.0.0.1", "", "localhost"])
def test_another_machine_is_not(remote):
    assert not nearby(request(remote))


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_who_comes_through_a_proxy_is_not(header):
    assert not nearby(request("127.0.0.1", **{header: "127.0.0.1"}))


async def local(request):
    return nearby(request)


@pytest.mark.parametrize(("who", "status"), [(local, 404), (everyone, 200)])
async def test_who_may_ask_is_decided_elsewhere(context, who, status):
    answer = await metrics(context, lambda: NOTIFIERS, who)(request("10.0.0.1"))
    assert answer.status == status
    assert (b"evtn_" in answer.body) is (status == 200)  # type: ignore[attr-defined]


async def test_the_answer_is_in_the_words_of_prometheus(context):
    answer = await metrics(context, lambda: NOTIFIERS, local)(request("127.0.0.1"))
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    for line in answer.body.decode().splitlines():  # type: ignore[attr-defined]
        assert re.fullmatch(r'#.*|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? \S+', line), line


async def test_a_database_out_of_reach_does_not_silence_the_rest(context):
    context.core.store.broken = True
    answer = await metrics(context, lambda: NOTIFIERS, local)(request("127.0.0.1"))
    assert b"evtn_database_up 0.0" in answer.body  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", ["new", "1..0", "", "1.0.0.0.0", "-1"])
async def test_a_format_that_nobody_knows_is_answered_in_a_known_one(context, version):
    accept = f"application/openmetrics-text;version={version}"
    answer = await metrics(context, lambda: NOTIFIERS, local)(request("127.0.0.1", Accept=accept))
    assert b"evtn_change_log_head" in answer.body  # type: ignore[attr-defined]
