"""How many callback URLs may be challenged: a challenge is a call that a client has the VTN make wherever it likes.

Whether it succeeds says nothing of whether the host wanted it (many pages show what they are asked for), so all count.
The judgement comes before the first call of a request, for all of its URLs together.
"""

from collections.abc import Callable, Collection

from vtn.auth.limits import Limit
from vtn.bounds import DeliveryBounds
from vtn.errors import Fault, Rejected, TooOften
from vtn.rules.entries import host_of


class ChallengeLimits:
    """The limits of one process; `now_s` is monotonic."""

    def __init__(self, bounds: DeliveryBounds, now_s: Callable[[], float]) -> None:
        self._most = bounds.challenges_per_request
        self._clients = Limit(bounds.challenges_per_client_and_minute)
        self._hosts = Limit(bounds.challenges_per_host_and_minute)
        self._now_s = now_s

    def admit(self, client_id: str, urls: Collection[str]) -> None:
        """Let a client have these URLs challenged; Rejected for too many at once, TooOften for too many lately."""
        if len(urls) > self._most:
            rule = f"has {len(urls)} new callback URLs; at most {self._most} in one request"
            raise Rejected([Fault("$.objectOperations", rule)])
        now_s = self._now_s()
        for url in urls:
            if wait_s := self._clients.wait_s(client_id, now_s):
                raise TooOften("this client has had too many new callback URLs called lately", wait_s)
            if wait_s := self._hosts.wait_s(host_of(url), now_s):
                raise TooOften(f"too many new callback URLs lead to {host_of(url)}", wait_s)
