"""Automakers' own ways to write instants, as UTC: for whoever translates a car's answers to the contract. Pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SHORTEST_NAME = 3


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
