"""Vendors' values to a `Snapshot`, each with the instant at which the car saw it, and the newest one of each car.

Sentinels (255 %, 1970, a time in the future) are judged by the codec, as for every other backend.
"""

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from ven_adapters.contract import BackendError, ErrorCode, Known, Reading, Snapshot, Validity
from ven_adapters.transport.http.codec import load
from ven_adapters.transport.readings import vocabulary

EARTH_M = 6_371_000.0
HOME_M = 200.0
MILLI = 1000.0

T = TypeVar("T")

Seen = Mapping[str, tuple[Any, datetime | None]]
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SHORTEST_NAME = 3


def snapshot_of(ref: str, seen: Seen, source: str, now: datetime) -> Snapshot:
    """A snapshot of the values that are there; BACKEND_TRANSIENT when one is of the wrong kind."""
    raw: dict[str, Any] = {"vehicle_ref": ref}
    for name, (value, at) in seen.items():
        if value is not None and at is not None:
            raw[name] = {"value": value, "observed_at": at.isoformat(), "source": source}
    if len(raw) == 1:
        vocabulary.note(source, vocabulary.NOTHING)
    try:
        return load(Snapshot, raw, received_at=now)
    except BackendError as error:
        raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"the vendor's reading: {error.detail}") from None


def aged(snapshot: Snapshot, oldest: datetime) -> Snapshot:
    """The snapshot with every reading from before `oldest` marked STALE."""
    old: dict[str, Any] = {
        field.name: dataclasses.replace(reading, validity=Validity.STALE)
        for field in dataclasses.fields(snapshot)
        if isinstance(reading := getattr(snapshot, field.name), Reading)
        and reading.validity is Validity.OK
        and reading.observed_at < oldest
    }
    return dataclasses.replace(snapshot, **old)


def instant(raw: Any) -> datetime | None:
    """An RFC 3339 text or Unix milliseconds as UTC; None for anything else."""
    try:
        if isinstance(raw, str):
            at = datetime.fromisoformat(raw)
            return None if at.tzinfo is None else at.astimezone(UTC)
        return None if raw is None else datetime.fromtimestamp(raw / MILLI, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def number(raw: Any) -> float | None:
    """A number, or None; true and false are no numbers."""
    return float(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else None


def near(place: tuple[Any, Any], home: tuple[float, float] | None) -> str:
    """Whether a place is within 200 m of home: yes, no, or unknown when either is not known."""
    latitude, longitude = number(place[0]), number(place[1])
    if home is None or latitude is None or longitude is None:
        return Known.UNKNOWN
    north = math.radians(latitude - home[0])
    east = math.radians(longitude - home[1]) * math.cos(math.radians(home[0]))
    return Known.YES if EARTH_M * math.hypot(north, east) <= HOME_M else Known.NO


def age_s(snapshot: Snapshot | None, now: datetime) -> float:
    """How old the charge state of a snapshot is; infinite when there is none."""
    reading = None if snapshot is None else snapshot.charge_state
    return float("inf") if reading is None else (now - reading.seen_at).total_seconds()


def fresher(held: Snapshot | None, found: Snapshot) -> Snapshot:
    """Of two snapshots of a car the one with the newer charge state: what is pushed may come late."""
    now, then = found.charge_state, None if held is None else held.charge_state
    if held is None or then is None or then.validity is not Validity.OK:
        return found
    return held if now is None or now.validity is not Validity.OK or now.seen_at < then.seen_at else found


def member(raw: Any, name: str) -> Mapping[str, Any]:
    """An object among a vendor's readings, empty when it is not there; BACKEND_TRANSIENT when it is something else."""
    found = (raw.get(name) or {}) if isinstance(raw, dict) else None
    if not isinstance(found, dict):
        raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"the vendor's reading: {name} is not of the documented shape")
    return found


def pick(raw: Any, *path: str, code: ErrorCode = ErrorCode.BACKEND_TRANSIENT) -> Any:
    """A member deep in a vendor's answer; BackendError `code` names the path when it is not there."""
    for depth, name in enumerate(path, 1):
        if not isinstance(raw, dict) or name not in raw:
            raise BackendError(code, f"the vendor's answer: {'.'.join(path[:depth])} is missing")
        raw = raw[name]
    return raw


def month_first(text: object) -> datetime | None:
    """Ford's `MM-DD-YYYY HH:MM:SS`, which is UTC; None for anything else."""
    try:
        return datetime.strptime(str(text), "%m-%d-%Y %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def finish_at(day: str, hour: int, minute: int, timezone: str, now: datetime) -> datetime | None:
    """Honda's end of charging: the next such weekday and local time, not more than a week ahead; None when unreadable.

    `day` is an English weekday or its first letters. A time that has just passed today means today, not next week:
    a car that finished five minutes ago has finished. What a clock change skips is read with the offset before it.
    """
    names = [number for number, name in enumerate(DAYS) if name.startswith(day.lower())]
    if len(day) < SHORTEST_NAME or len(names) != 1:
        return None
    zone = ZoneInfo(timezone)
    today = now.astimezone(zone).date()
    date = today + timedelta(days=(names[0] - today.weekday()) % 7)
    try:
        wall = datetime(date.year, date.month, date.day, hour, minute, tzinfo=zone)
    except ValueError:
        return None
    return wall.astimezone(UTC)
