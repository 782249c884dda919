"""What the notifiers of this process have done and how far they are, as numbers for `/health` and `/metrics`.

The parts that count are the parts themselves with a counter added; nothing here is known to what they do.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from vtn.notifiers.broker.publisher import Publication, Publisher
from vtn.notifiers.relay import Relay
from vtn.notifiers.webhooks.callbacks import NO_HEADERS, Callbacks


@dataclasses.dataclass(frozen=True, slots=True)
class NotifierFigures:
    """At one moment. `broker` says whether the VTN can publish, None without MQTT; `sessions` is None where unknown.

    `positions` gives how far each outlet has read the change log; None while another process relays. `webhooks` counts
    what `Webhooker.figures` names.
    """

    broker: bool | None
    sessions: int | None
    published: int
    attempts: Mapping[str, int]
    positions: Mapping[str, int] | None
    webhooks: Mapping[str, int]


class CountedCallbacks(Callbacks):
    """Callbacks that count how their deliveries ended."""

    taken = 0
    failed = 0

    async def post(
        self, url: str, body: bytes, token: str | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> str | None:
        """See `Callbacks.post`."""
        failure = await super().post(url, body, token, headers)
        if failure is None:
            self.taken += 1
        else:
            self.failed += 1
        return failure


class CountedPublisher(Publisher):
    """A publisher that counts what was acknowledged."""

    published = 0

    @property
    def online(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._ready.is_set()

    async def publish(self, publications: Sequence[Publication]) -> None:
        """See `Publisher.publish`."""
        await super().publish(publications)
        self.published += len(publications)


class MqttFigures(Protocol):
    """The broker that is offered: what publishes on it, and how many clients it has (None where it does not tell)."""

    @property
    def publisher(self) -> CountedPublisher: ...  # noqa: D102 - see above

    @property
    def sessions(self) -> Callable[[], int | None]: ...  # noqa: D102


class NotifierCounters:
    """Gathers the figures of one process's notifiers."""

    def __init__(
        self,
        callbacks: CountedCallbacks,
        mqtt: MqttFigures | None,
        relays: Mapping[str, Relay],
        webhooks: Callable[[], Mapping[str, int]],
    ) -> None:
        self._callbacks = callbacks
        self._mqtt = mqtt
        self._relays = relays
        self._webhooks = webhooks
        self._leading = False

    async def while_leading(self, work: Awaitable[None]) -> None:
        """Do the leader's work, and be known as the leader meanwhile."""
        self._leading = True
        try:
            await work
        finally:
            self._leading = False

    def figures(self) -> NotifierFigures:
        """The numbers of this moment."""
        known = {name: relay.position for name, relay in self._relays.items()}
        mqtt = self._mqtt
        return NotifierFigures(
            mqtt.publisher.online if mqtt else None,
            mqtt.sessions() if mqtt else None,
            mqtt.publisher.published if mqtt else 0,
            {"taken": self._callbacks.taken, "failed": self._callbacks.failed},
            {name: at for name, at in known.items() if at is not None} if self._leading else None,
            self._webhooks(),
        )
