"""Wrong passwords at the door: a few at once for one station from one address, then one now and then.

Who has spent his guesses is turned away unheard, with the right password too, until some time has passed. Another
address, and another station behind the same one, are not touched. What is remembered is bounded.
"""

import collections
from datetime import datetime

from ven_adapters.transport.http.retry import Bucket, full_bucket, take

AT_ONCE, EVERY_S = 10.0, 30.0
REMEMBERED = 10_000

Who = tuple[str, str]


class Guesses:
    """The guesses of everybody who guessed wrong. Instants are real time: a guesser does not hurry with a clock."""

    def __init__(self) -> None:
        self._left: collections.OrderedDict[Who, Bucket] = collections.OrderedDict()

    def wait_s(self, who: Who, now: datetime) -> float:
        """How long this one has to wait before he is heard again; 0.0 for most."""
        left = self._left.get(who)
        return 0.0 if left is None else take(left, now)[1]

    def wrong(self, who: Who, now: datetime) -> None:
        """A guess was wrong."""
        left = self._left.pop(who, None) or full_bucket(AT_ONCE, 1.0 / EVERY_S, now)
        self._left[who] = take(left, now)[0]
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
