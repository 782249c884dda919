"""Where a measured stretch of work spends its processor time: functions are wrapped for the length of a block.

Time inside a wrapped function that another wrapped function called counts for the inner one only. Synchronous functions
of one thread; whatever was not wrapped is the rest.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Place = tuple[Any, str]


class Stages:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[float] = []

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its own time booked under a name."""

        @functools.wraps(function)
        def timed(*args: Any, **more: Any) -> Any:
            self._open.append(0.0)
            began = time.thread_time()
            try:
                return function(*args, **more)
            finally:
                spent = time.thread_time() - began
                own = spent - self._open.pop()
                self.seconds[name] = self.seconds.get(name, 0.0) + own
                if self._open:
                    self._open[-1] += spent

        return timed

    @contextlib.contextmanager
    def watching(self, places: Mapping[str, tuple[Place, ...]]) -> Iterator[None]:
        """Book the functions at these places (an object and an attribute of it) for the length of a block."""
        before = [
            (owner, attribute, getattr(owner, attribute)) for found in places.values() for owner, attribute in found
        ]
        for name, found in places.items():
            for owner, attribute in found:
                setattr(owner, attribute, self.wrap(name, getattr(owner, attribute)))
        try:
            yield
        finally:
            for owner, attribute, function in before:
                setattr(owner, attribute, function)

    def shares(self, whole_s: float) -> dict[str, float]:
        """Each stage's share of a whole, and the rest."""
        shares = {name: spent / whole_s for name, spent in self.seconds.items()}
        return shares | {"the rest": max(0.0, 1.0 - sum(shares.values()))}
