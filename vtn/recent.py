"""What was looked at lately, bounded in number and in bytes, because clients choose how large their objects are."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key; beyond `most` of them, or `most_bytes` in all, the oldest go. The newest always stays."""

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
