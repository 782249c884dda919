"""Events with intervals of any timing."""

from datetime import UTC, datetime, timedelta

from vtn.wire.event import Event

DAY = datetime(2026, 7, 15, tzinfo=UTC)
WRITTEN = datetime(2026, 7, 14, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW_START = "0001-01-01T00:00:00Z"


def stamp(at):
    return at.isoformat().replace("+00:00", "Z")


def event(intervals=None, *, period=None, written=WRITTEN, **fields):
    """An event as JSON has it; an interval is a price, or (period, payloads)."""
    body = {
        "id": "e1",
        "createdDateTime": stamp(written),
        "modificationDateTime": stamp(written),
        "programID": "p1",
        **fields,
    }
    if period is not None:
        body["intervalPeriod"] = period
    if intervals is not None:
        body["intervals"] = [interval(i, one) for i, one in enumerate(intervals)]
    return Event.model_validate(body)


def interval(number, one):
    period, payloads = one if isinstance(one, tuple) else (None, [one])
    written = [p if isinstance(p, dict) else {"type": "PRICE", "values": [p]} for p in payloads]
    return {"id": number, "payloads": written} | ({"intervalPeriod": period} if period else {})


AT_DAY = {"start": stamp(DAY), "duration": "PT1H"}
