"""How often tokens may be asked for, and how many writes may be refused.

Time is an argument (seconds of a monotonic clock); nothing here knows of HTTP or of secrets.
"""

import ipaddress

from vtn.config import Auth
from vtn.limits import MOST_NAMES, Limit

LONGEST_NAME = 128
PAGE_BYTES = 8_192
IPV6_CUSTOMER_BITS = 64


class RefusalLimit:
    """What refused writes may cost of one client, who is let in until that is used up: then it has to wait.

    A refusal costs one, and one more for every `PAGE_BYTES` of body that had to be judged for it. So thousands of small
    faults are borne, as a conformance test makes them, and few large ones.
    """

    def __init__(self, per_minute: int) -> None:
        self._limit = Limit(per_minute)

    def wait_s(self, client_id: str, now_s: float) -> float:
        """0, or how long this client has to wait with its next write."""
        return max(0.0, self._limit.early_s(client_id, now_s))

    def refused(self, client_id: str, now_s: float, body_bytes: int) -> None:
        """A write of this client was refused."""
        self._limit.take(client_id, now_s, 1 + body_bytes // PAGE_BYTES)


class TokenLimits:
    """The limits of `/auth/token`. Every request counts, whatever its answer.

    A client that has shown its secret from an address has a bucket of its own there, so that strangers who try its
    clientID elsewhere cannot keep it from its tokens.
    """

    def __init__(self, settings: Auth, most_names: int = MOST_NAMES) -> None:
        self._most_names = most_names
        self._clients = Limit(settings.tokens_per_minute, most_names=most_names)
        self._homes = Limit(settings.tokens_per_minute, most_names=most_names)
        self._addresses = Limit(settings.tokens_per_minute_and_address, most_names=most_names)
        self._at_home: dict[str, None] = {}

    def address_wait_s(self, address: str, now_s: float) -> float:
        """0, or how long this address has to wait."""
        return self._addresses.wait_s(address, now_s)

    def client_wait_s(self, client_id: str, address: str, now_s: float) -> float:
        """0, or how long this client has to wait at this address."""
        if self.at_home(client_id, address):
            return self._homes.wait_s(_home(client_id, address), now_s)
        return self._clients.wait_s(client_id[: LONGEST_NAME + 1], now_s)

    def at_home(self, client_id: str, address: str) -> bool:
        """Whether the client has shown its secret from this address before."""
        return _home(client_id, address) in self._at_home

    def proved(self, client_id: str, address: str) -> None:
        """Note that the client has shown its secret from this address; the oldest such notes are forgotten."""
        home = _home(client_id, address)
        self._at_home.pop(home, None)
        self._at_home[home] = None
        if len(self._at_home) > self._most_names:
            del self._at_home[next(iter(self._at_home))]


def _home(client_id: str, address: str) -> str:
    return f"{address} {client_id[: LONGEST_NAME + 1]}"


def address_name(remote: str | None) -> str:
    """Who counts as one address: an IPv4 address, or the /64 that an IPv6 customer has to choose from."""
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return "elsewhere"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, IPV6_CUSTOMER_BITS), strict=False))
    return str(address)
