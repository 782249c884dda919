"""Bounds that hold in every process: calls in a time, waits that grow with failures, and values that are kept.

Time and chance are arguments; nothing here knows what is called or kept.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

MOST_NAMES = 10_000
MOST_DOUBLINGS = 60
ROUNDING_S = 1e-6

K = TypeVar("K")
V = TypeVar("V")


def doubled_s(failures: int, first_s: float, longest_s: float) -> float:
    """The wait after so many failures in a row (from 1): twice as long each time, `longest_s` at most."""
    return min(longest_s, first_s * 2.0 ** min(failures - 1, MOST_DOUBLINGS))


def half_spread_s(failures: int, first_s: float, longest_s: float, chance: float) -> float:
    """`doubled_s`, spread over its upper half by `chance` in [0, 1) (equal jitter)."""
    return doubled_s(failures, first_s, longest_s) * (0.5 + 0.5 * chance)


class Limit:
    """Token buckets by name: `at_once`, refilled at `per_s` (when None: as many again each minute).

    When there are too many names, those whose bucket is full again are forgotten, and then the fuller half: whoever has
    used up a bucket does not get a fresh one by inventing names. When the clock is set back, a bucket stays as full as
    it was.
    """

    def __init__(self, at_once: float, per_s: float | None = None, most_names: int = MOST_NAMES) -> None:
        self._step_s = 60.0 / at_once if per_s is None else 1.0 / per_s
        self._slack_s = (at_once - 1.0) * self._step_s + ROUNDING_S
        self._most_names = most_names
        self._used: dict[Hashable, tuple[float, float]] = {}  # when it is full again, when that was last looked at

    def __len__(self) -> int:
        return len(self._used)

    def wait_s(self, name: Hashable, now_s: float) -> float:
        """0 when one was taken from the bucket; otherwise none was, and how many seconds until there is one."""
        early_s = self.early_s(name, now_s)
        if early_s <= 0:
            self.take(name, now_s)
        return max(0.0, early_s)

    def early_s(self, name: Hashable, now_s: float) -> float:
        """How many seconds until there is one in the bucket; 0 or less when there is. None is taken."""
        return self._full_at_s(name, now_s) - now_s - self._slack_s

    def take(self, name: Hashable, now_s: float, cost: float = 1.0) -> None:
        """Take what something cost, also when there is less: then it takes longer until there is one again."""
        if name not in self._used and len(self._used) >= self._most_names:
            self._make_room(now_s)
        self._used[name] = max(self._full_at_s(name, now_s), now_s) + cost * self._step_s, now_s

    def _full_at_s(self, name: Hashable, now_s: float) -> float:
        full_at_s, seen_s = self._used.get(name, (now_s, now_s))
        if now_s < seen_s:
            full_at_s -= seen_s - now_s
            self._used[name] = full_at_s, now_s
        return full_at_s

    def _make_room(self, now_s: float) -> None:
        used = {name: held for name, held in self._used.items() if held[0] > now_s}
        if len(used) >= self._most_names:
            emptiest = sorted(used, key=used.__getitem__)[self._most_names // 2 :]
            used = {name: used[name] for name in emptiest}
        self._used = used


class Recent(Generic[K, V]):
    """Values by key; beyond `most` of them, or `most_bytes` in all, the oldest go. The newest always stays.

    Clients choose how large their objects are, so a bound in number alone would be none.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._held: dict[K, tuple[V, int]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K) -> V | None:
        """The value, if it is still held."""
        held = self._held.get(key)
        return held[0] if held else None

    def keep(self, key: K, value: V, size: int) -> None:
        """Remember a value that weighs `size` bytes."""
        self.drop(key)
        while self._held and (len(self._held) >= self._most or self.bytes + size > self._most_bytes):
            self.drop(next(iter(self._held)))
        self._held[key] = (value, size)
        self.bytes += size

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self.bytes = 0

    def drop(self, key: K) -> None:
        """Forget a value, if it is held."""
        held = self._held.pop(key, None)
        if held:
            self.bytes -= held[1]
