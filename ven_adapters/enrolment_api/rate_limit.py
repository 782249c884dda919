"""How often a caller may ask: one bucket for each, in bounded memory. A flood from one app slows nobody else."""

import collections
from datetime import datetime
from http import HTTPStatus

from ven_adapters.enrolment_api.problems import Refused
from ven_adapters.transport.http.retry import Bucket, full_bucket, take

BURST_S = 10.0
REMEMBERED = 1_000


class RequestPace:
    """At most `per_s` requests a second of each caller, ten seconds' worth at once."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._buckets: collections.OrderedDict[str, Bucket] = collections.OrderedDict()

    def pay(self, caller: str, now: datetime) -> None:
        """Book a request; 429 with the seconds to wait when the caller has none left."""
        bucket = self._buckets.get(caller) or full_bucket(max(1.0, BURST_S * self._per_s), self._per_s, now)
        self._buckets[caller], wait_s = take(bucket, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if wait_s:
            detail = f"requests_per_s: {self._per_s:g} a second are taken of one caller; slow down"
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=wait_s)
