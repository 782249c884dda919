"""The circuit breaker of callbacks: who has failed too often in a row, and who is therefore not called (HOOK-04).

Whether a callback is broken is judged when a delivery to it is given up, and so at the end of all its tries: it is when
the last so many calls to it, or tries of its host, all failed. Failures in a row are counted in memory (those of the
delivery at hand survive a restart, and count); that a callback is broken stands in the database, because somebody else
mends it: the owner by a PUT, or the operator by a replay.
"""

import logging
from collections.abc import Callable

from vtn.limits import Recent
from vtn.notifiers.audience import Callback
from vtn.service import broken_callbacks
from vtn.service.broken_callbacks import url_digest
from vtn.storage.ports import BrokenCallback, Store

MOST_COUNTED = 100_000
BROKEN = "the callback is marked broken and is not called"

Place = tuple[str, int]

_log = logging.getLogger(__name__)


class Breaker:
    """The breakers of one installation; a place is a subscription and the number of one of its entries."""

    def __init__(self, store: Store, broken_after: int, now_text: Callable[[], str]) -> None:
        self._store = store
        self._broken_after = broken_after
        self._now_text = now_text
        self._broken: dict[Place, str] = {}
        self._counts: Recent[Place, tuple[str, int]] = Recent(MOST_COUNTED, MOST_COUNTED)

    async def load(self) -> None:
        """Read which callbacks are broken."""
        marks = await self._store.broken_callbacks()
        self._broken = {(mark.subscription_id, mark.entry): mark.url_digest for mark in marks}

    async def resume(self) -> None:
        """Read which callbacks are broken, and tell what a crash has kept their owners from hearing."""
        await self.load()
        for mark in await self._store.broken_callbacks():
            await broken_callbacks.tell(self._store, mark)

    def suspects(self, place: Place) -> bool:
        """Whether a place was broken when last heard of; False costs nothing and is sure."""
        return place in self._broken

    async def holds(self, place: Place, url: str) -> bool:
        """Whether this URL may not be called at this place, as the database knows it now."""
        if self.suspects(place):
            await self.load()
        return self._broken.get(place) == url_digest(url)

    def taken(self, callback: Callback) -> None:
        """A call was taken."""
        self._counts.drop((callback.subscription_id, callback.entry))

    def failed(self, callback: Callback, tried: int = 0) -> None:
        """A call failed; `tried` is how often this delivery had failed before, perhaps in another process."""
        place, digest = (callback.subscription_id, callback.entry), url_digest(callback.url)
        counted, failures = self._counts.get(place) or (digest, tried)
        self._counts.keep(place, (digest, failures + 1 if counted == digest else 1), 1)

    async def given_up(self, callback: Callback, failure: str, tries: int = 0) -> bool:
        """A delivery was given up, its host having failed `tries` times in a row; whether the callback is broken."""
        digest = url_digest(callback.url)
        counted, failures = self._counts.get((callback.subscription_id, callback.entry)) or (digest, 0)
        failures = max(failures if counted == digest else 0, tries)
        if failures < self._broken_after:
            return False
        await self._open(callback, digest, failures, failure)
        return True

    async def _open(self, callback: Callback, digest: str, failures: int, failure: str) -> None:
        place = callback.subscription_id, callback.entry
        await broken_callbacks.mark(self._store, BrokenCallback(*place, digest, self._now_text(), failures, failure))
        self._broken[place] = digest
        self._counts.drop(place)
        _log.warning(
            "subscription %s of %s: entry %d is marked broken after %d failures in a row: %s",
            *(*place[:1], callback.client_id, place[1], failures, failure),
        )
