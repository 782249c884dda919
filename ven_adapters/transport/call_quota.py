"""A vendor's quota of calls in any 24 hours, kept by us so that it is never overdrawn, and not forgotten by a restart.

Knows no vendor and no calls: it is told when one leaves.
"""

from datetime import datetime, timedelta
from pathlib import Path

import orjson

from ven_adapters.contract import BackendError, ErrorCode
from vtn.privatefiles import write_private

DAY = timedelta(days=1)
AFTER_REFUSAL = timedelta(hours=1)


class DayQuota:
    """So many calls in any 24 hours of one account; `path` None keeps them in memory only."""

    def __init__(self, calls: int, path: Path | None, now: datetime) -> None:
        self._most, self._path = calls, path
        self._calls, self._closed_until = _read(path, calls, now)

    def pay(self, now: datetime) -> None:
        """Book a call before it leaves; QUOTA_EXHAUSTED, with the seconds to wait, when there is none left."""
        self._calls = [at for at in self._calls if abs(now - at) < DAY]
        free_at = self._calls[0] + DAY if len(self._calls) >= self._most else now
        if self._closed_until is not None and self._closed_until > now + AFTER_REFUSAL:  # the clock was set back
            self._closed_until = now + AFTER_REFUSAL
        free_at = max(free_at, self._closed_until or now)
        if free_at > now:
            wait_s = (free_at - now).total_seconds()
            raise BackendError(ErrorCode.QUOTA_EXHAUSTED, "the calls of 24 hours are spent", retry_after_s=wait_s)
        self._calls.append(now)
        self._keep()

    def refused(self, now: datetime) -> None:
        """The vendor says that the quota is spent, by whomever: ask no more for an hour."""
        self._closed_until = now + AFTER_REFUSAL
        self._keep()

    def _keep(self) -> None:
        if self._path is not None:
            told = {"calls": self._calls, "closed_until": self._closed_until}
            write_private(self._path, orjson.dumps(told, option=orjson.OPT_UTC_Z))


def _read(path: Path | None, most: int, now: datetime) -> tuple[list[datetime], datetime | None]:
    """What was booked; a file that cannot be read counts as all of it, spent now."""
    if path is None or not path.exists():
        return [], None
    try:
        raw = orjson.loads(path.read_bytes())
        until = raw["closed_until"]
        calls = sorted(datetime.fromisoformat(at) for at in raw["calls"])
        return calls, None if until is None else datetime.fromisoformat(until)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return [now] * most, None
