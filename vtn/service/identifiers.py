"""MQTT client identifiers belong to clients: whoever came by one first has it, also while it is away (MQTT-43).

A broker stores a session under its identifier alone, so another client that came by it would read, wipe or block that
session. Clients in use make their identifiers up, so none is prescribed; a register says whose each is, for as long as
a broker may keep a session of that name. One that is a clientID, or begins with one and `:` or `/`, is that client's
from the start, so nobody can take it first. The bundled broker's call-out and the hooks of external ones ask here.
"""

from collections.abc import Callable
from datetime import timedelta

from vtn.bounds import DeliveryBounds
from vtn.errors import Unauthenticated
from vtn.storage.ports import IdentifierClaim, Store

MARKS = frozenset(":/")
FRESH_S = 60.0
SLACK_S = timedelta(days=1).total_seconds()
MOST_KNOWN = 10_000


def named_in(identifier: str) -> list[str]:
    """The clientIDs that an identifier may be of by its name: itself and what stands before a mark, longest first."""
    marks = [place for place, letter in enumerate(identifier) if letter in MARKS]
    return [identifier, *(identifier[:place] for place in reversed(marks) if place)]


class Identifiers:
    """The register as one process uses it; what was looked up lately is not asked again.

    `standing` says whether somebody is a client today, and `now_s` is real Unix time.
    """

    def __init__(
        self,
        store: Store,
        bounds: DeliveryBounds,
        standing: Callable[[str], object | None],
        now_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._standing = standing
        self._kept_s = bounds.mqtt_session_kept_s + SLACK_S
        self._most = bounds.mqtt_identifiers_per_client
        self._now_s = now_s
        self._known: dict[str, tuple[str, float]] = {}

    async def claim(
        self, identifier: str, client_id: str, holds: frozenset[str] = frozenset(), *, comes: bool = True
    ) -> tuple[str, ...]:
        """A client comes (or is still there) by an identifier; Unauthenticated when that belongs to another.

        The answer names what the client lost for it, because it has too many; never what it `holds` at the moment.
        """
        now_s = self._now_s()
        known, at_s = self._known.get(identifier, ("", 0.0))
        if known == client_id and 0 <= now_s - at_s < FRESH_S:
            return ()
        named = [name for name in named_in(identifier) if self._standing(name) is not None]
        if named and named[0] != client_id:
            raise Unauthenticated("the MQTT client identifier names another client")
        asked = IdentifierClaim(identifier, client_id, now_s, now_s - self._kept_s, self._most, holds, comes=comes)
        owner = await self._store.claim_identifier(asked)
        if owner.client_id != client_id:
            raise Unauthenticated("the MQTT client identifier belongs to another client")
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        if owner.uses > 1:  # before that, coming back is news
            self._known[identifier] = client_id, now_s
        for lost in owner.lost:
            self._known.pop(lost, None)
        return owner.lost
