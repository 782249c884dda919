"""What calls cost, and a month's limit on it that a restart does not forget.

Prices are in millionths of a US dollar, so that sums are exact. A vendor that bills each call (Tesla) switches the app
off for every driver when its limit is passed; so each call is paid here first, and refused when the month is spent.
Reads and wakes stop at nine tenths of it, so that what gives cars back to their drivers can still be paid.
"""

from datetime import datetime
from pathlib import Path

import orjson

from ven_adapters.contract import BackendError, ErrorCode
from vtn.privatefiles import write_private

MILLION = 1_000_000
RESERVE = 10


class CallCosts:
    """One month's money; `limit_usd` None counts and never refuses."""

    def __init__(self, limit_usd: float | None, path: Path | None = None) -> None:
        self._limit = None if limit_usd is None else round(limit_usd * MILLION)
        self._path = path
        self._month, self._spent = _read(path)

    def pay(self, price: int, now: datetime, *, command: bool = False) -> None:
        """Book a call before it is sent; QUOTA_EXHAUSTED when the month's money does not cover it."""
        month = f"{now:%Y-%m}"
        spent = self._spent if month == self._month else 0
        limit = None if self._limit is None else self._limit - (0 if command else self._limit // RESERVE)
        if limit is not None and price and spent + price > limit:
            raise BackendError(ErrorCode.QUOTA_EXHAUSTED, f"monthly_usd: {limit / MILLION:g} USD are spent")
        self._month, self._spent = month, spent + price
        if self._path is not None and price:
            write_private(self._path, orjson.dumps({"month": month, "spent_micro_usd": self._spent}))


def _read(path: Path | None) -> tuple[str, int]:
    if path is None or not path.exists():
        return "", 0
    try:
        raw = orjson.loads(path.read_bytes())
        return str(raw["month"]), int(raw["spent_micro_usd"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise BackendError(ErrorCode.INVALID_REQUEST, f"{path.name}: is damaged; what was spent is not known") from None
