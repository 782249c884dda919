"""How often something may be done: one bucket for each name, in bounded memory; and the buckets of tokens and writes.

Time is an argument (seconds of a monotonic clock); nothing here knows of HTTP or of secrets.
"""

import ipaddress

from vtn.config import Auth

MOST_NAMES = 10_000
LONGEST_NAME = 128
ROUNDING_S = 1e-6
PAGE_BYTES = 8_192
IPV6_CUSTOMER_BITS = 64


class Limit:
    """`per_minute` at once, and as many again each minute, for each name.

    When there are too many names, those whose bucket is full again are forgotten, and then the fuller half: whoever has
    used up a bucket does not get a fresh one by inventing names.
    """

    def __init__(self, per_minute: int, most_names: int = MOST_NAMES) -> None:
        self._step_s = 60.0 / per_minute
        self._slack_s = 60.0 - self._step_s + ROUNDING_S
        self._most_names = most_names
        self._full_at_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at_s)

    def wait_s(self, name: str, now_s: float) -> float:
        """0 when one was taken from the bucket; otherwise none was, and how many seconds until there is one."""
        early_s = self.early_s(name, now_s)
        if early_s <= 0:
            self.take(name, now_s)
        return max(0.0, early_s)

    def early_s(self, name: str, now_s: float) -> float:
        """How many seconds until there is one in the bucket; 0 or less when there is. None is taken."""
        return self._full_at_s.get(name, now_s) - now_s - self._slack_s

    def take(self, name: str, now_s: float, cost: float = 1.0) -> None:
        """Take what something cost, also when there is less: then it takes longer until there is one again."""
        if name not in self._full_at_s and len(self._full_at_s) >= self._most_names:
            self._make_room(now_s)
        self._full_at_s[name] = max(self._full_at_s.get(name, now_s), now_s) + cost * self._step_s

    def _make_room(self, now_s: float) -> None:
        used = {name: at_s for name, at_s in self._full_at_s.items() if at_s > now_s}
        if len(used) >= self._most_names:
            emptiest = sorted(used, key=used.__getitem__)[self._most_names // 2 :]
            used = {name: used[name] for name in emptiest}
        self._full_at_s = used


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
        self._clients = Limit(settings.tokens_per_minute, most_names)
        self._homes = Limit(settings.tokens_per_minute, most_names)
        self._addresses = Limit(settings.tokens_per_minute_and_address, most_names)
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
