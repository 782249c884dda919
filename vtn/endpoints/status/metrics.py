"""`/metrics` for Prometheus: the counters that are kept anyway, in its words, made when it asks.

By default only insiders may ask (this machine, not through a proxy, and Business Logic): to everybody else there is
nothing here. The names are an interface: dashboards and alerts are built on them.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from http import HTTPStatus

import prometheus_client
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from vtn.endpoints.guard import AiohttpHandler, HttpContext
from vtn.endpoints.openapi.document import AUTH_TOKEN
from vtn.endpoints.problems import refusal
from vtn.endpoints.status.health import NotifierStatus
from vtn.endpoints.status.insiders import Insider
from vtn.endpoints.status.request_counts import BOUNDS_S, Tallies
from vtn.errors import NotFound, Unavailable
from vtn.storage.ports import DeliveryBacklog

ISSUED = (HTTPStatus.OK,)
Encoder = Callable[[Collector], bytes]
REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
STANDING = frozenset({"overdue", "hosts_away"})


class ServerFigures(Collector):
    """What is known at one moment; `backlog` is None when the database could not be asked."""

    def __init__(self, context: HttpContext, notifiers: NotifierStatus, backlog: DeliveryBacklog | None) -> None:
        self._context = context
        self._notifiers = notifiers
        self._backlog = backlog

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        yield from _requests(self._context.tallies)
        yield from _log(self._context)
        yield from _notified(self._notifiers, self._context.core.store.shared_head())
        yield _gauge("evtn_database_up", "1 when the database answers.", float(self._backlog is not None))
        if self._backlog is not None:
            yield from _owed(self._backlog, self._context.core.clock.now())


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _requests(tallies: Tallies) -> Iterator[Metric]:
    count = CounterMetricFamily(
        "evtn_requests", "Requests by operation and status class.", labels=["operation", "class"]
    )
    times = HistogramMetricFamily(
        "evtn_request_duration_seconds", "Time until the answer began, by operation.", labels=["operation"]
    )
    for name, tally in tallies.every():
        classes: dict[str, int] = {}
        for status, number in tally.statuses.items():
            label = f"{status // 100}xx"
            classes[label] = classes.get(label, 0) + number
        for label, number in sorted(classes.items()):
            count.add_metric([name, label], number)
        if classes:
            times.add_metric([name], _buckets(tally.slots), tally.total_s)
    yield count
    yield times
    tokens = CounterMetricFamily("evtn_tokens", "Access tokens asked for.", labels=["outcome"])
    tokens.add_metric(["issued"], tallies.of(AUTH_TOKEN.name).count(*ISSUED))
    tokens.add_metric(["refused"], tallies.of(AUTH_TOKEN.name).count(*REFUSED))
    yield tokens


def _buckets(slots: list[int]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus has them."""
    seen, found = 0, []
    for bound, number in zip((*map(str, BOUNDS_S), "+Inf"), slots, strict=True):
        seen += number
        found.append((bound, float(seen)))
    return found


def _log(context: HttpContext) -> Iterator[Metric]:
    head, seen = context.core.store.shared_head(), context.core.model.seq
    yield _gauge("evtn_change_log_head", "The newest number of the change log.", head)
    yield _gauge("evtn_read_model_lag", "Changes that this process has not applied yet.", max(0, head - seen))


def _notified(notifiers: NotifierStatus, head: int) -> Iterator[Metric]:
    yield CounterMetricFamily("evtn_notifications_published", "Publications on MQTT.", value=notifiers.published)
    attempts = CounterMetricFamily("evtn_webhook_attempts", "Calls of callback URLs.", labels=["outcome"])
    for outcome, number in sorted(notifiers.attempts.items()):
        attempts.add_metric([outcome], number)
    yield attempts
    ends = CounterMetricFamily("evtn_deliveries_untaken", "Deliveries that ended without a receiver.", labels=["why"])
    for why, number in sorted(notifiers.webhooks.items()):
        if why not in STANDING:
            ends.add_metric([why], number)
    yield ends
    yield _gauge("evtn_webhook_hosts_away", "Hosts that cannot be reached.", notifiers.webhooks.get("hosts_away", 0))
    yield _gauge("evtn_webhooks_overdue", "Receivers that wait too long.", notifiers.webhooks.get("overdue", 0))
    yield _gauge("evtn_relaying", "1 in the process that relays.", float(notifiers.positions is not None))
    lag = GaugeMetricFamily("evtn_relay_lag", "Changes that an outlet has not been told of.", labels=["outlet"])
    for outlet, position in sorted((notifiers.positions or {}).items()):
        lag.add_metric([outlet], max(0, head - position))
    yield lag
    if notifiers.broker is not None:
        yield _gauge("evtn_broker_connected", "1 while the VTN can publish.", float(notifiers.broker))
    if notifiers.sessions is not None:
        yield _gauge("evtn_mqtt_sessions", "Clients connected to the bundled broker.", notifiers.sessions)


def _owed(backlog: DeliveryBacklog, now: datetime) -> Iterator[Metric]:
    owed = GaugeMetricFamily("evtn_deliveries", "Webhook deliveries, waiting or given up.", labels=["state"])
    owed.add_metric(["pending"], backlog.pending)
    owed.add_metric(["dead"], backlog.dead)
    yield owed
    yield _gauge("evtn_delivery_oldest_seconds", "Age of the oldest delivery that waits.", backlog.oldest_s(now))


def _encoder(accept: str) -> tuple[Encoder, str]:
    """What renders the metrics, and the media type; the plain text for who asks for a version that is none."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


def metrics(context: HttpContext, notifiers: Callable[[], NotifierStatus], inside: Insider) -> AiohttpHandler:
    """The endpoint; `inside` tells who may ask."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if not await inside(request):
            return refusal(NotFound(f"nothing answers {request.method} here"), media_type=context.problem_media_type)
        try:
            backlog = await context.core.store.backlog()
        except Unavailable:
            backlog = None
        registry = prometheus_client.CollectorRegistry(auto_describe=False)
        prometheus_client.ProcessCollector(registry=registry)
        registry.register(ServerFigures(context, notifiers(), backlog))
        encode, content_type = _encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return handle
