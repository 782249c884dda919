"""Read enrolment files strictly: one car per line, every fault of every line named, nothing taken unless all is right.

A missing permission or budget is a refusal and never a default. Refs are the automaker's pseudonyms; a VIN is refused.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from ven_adapters.ven.fleet.columns import NEVER_S
from ven_adapters.ven.fleet.fleet import DischargeBudget, Enrolment, EventCaps, Permission

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_FAULTS = 50
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}", re.IGNORECASE)
_CLOCK_FACE = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_KEYS = frozenset(
    {
        "vehicle_ref",
        "zone",
        "site_id",
        "timezone",
        "charging_consent",
        "discharge_consent",
        "permission",
        "preferences",
        "discharge_budget",
        "opted_out",
        "programs",
        "patience",
        "grid_node",
        "site_import_limit_w",
        "site_export_limit_w",
    }
)
_CAPS: Mapping[str, tuple[float, type]] = {
    "events_per_day": (48, int),
    "hours_per_week": (168, float),
    "hours_per_season": (4_464, float),
    "consecutive_days": (366, int),
}
"""What an enrolment may say of the driver's patience: the most of each cap, and whether it is counted or measured."""
MOST_PROGRAMS = 8
_SITE_WATTS = "must be a whole number of watts, 0 or more, or null"


class Unreadable(Exception):
    """An enrolment file that cannot be used: every fault, with its line."""

    def __init__(self, faults: Sequence[str]) -> None:
        more = len(faults) - MOST_FAULTS
        super().__init__("\n".join([*faults[:MOST_FAULTS], *([f"... and {more} more"] if more > 0 else [])]))
        self.faults = tuple(faults)


@dataclasses.dataclass(slots=True)
class _EnrolmentLine:
    """One line's values, and the faults found while they are read."""

    place: str
    raw: Mapping[str, Any]
    faults: list[str]

    def fault(self, field: str, rule: str) -> None:
        self.faults.append(f"{self.place}: {field}: {rule}")

    def take(self, field: str, check: Callable[[Any], Any], rule: str) -> Any:
        """The checked value at a dotted path; None after a fault. `check` raises to refuse."""
        value: Any = self.raw
        for part in field.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        try:
            return check(value)
        except (ValueError, TypeError, OverflowError, ZoneInfoNotFoundError, OSError):  # some zones' names are folders
            self.fault(field, rule)
            return None

    def part(self, field: str) -> bool:
        """Whether an optional object is there."""
        value = self.raw.get(field)
        if value is not None and not isinstance(value, Mapping):
            self.fault(field, "must be an object or null")
        return isinstance(value, Mapping)


def read_enrolments(paths: Iterable[Path]) -> list[Enrolment]:
    """Every car of every file, in order; Unreadable lists all faults of all files at once."""
    found: dict[str, Enrolment] = {}
    faults: list[str] = []
    for path in paths:
        for number, text in _lines(path, faults):
            enrolment = parse_line(text, f"{path}:{number}", faults)
            if enrolment is None:
                continue
            if enrolment.vehicle_ref in found:
                faults.append(f"{path}:{number}: vehicle_ref: is enrolled twice")
            found[enrolment.vehicle_ref] = enrolment
    if faults:
        raise Unreadable(faults)
    return list(found.values())


def _lines(path: Path, faults: list[str]) -> list[tuple[int, bytes]]:
    try:
        text = path.read_bytes()
    except OSError as error:
        faults.append(f"{path}: cannot be read: {error.strerror}")
        return []
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def parse_line(text: bytes, place: str, faults: list[str]) -> Enrolment | None:
    """One line as an enrolment; None after adding at least one fault that begins with `place`."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError:
        raw = None
    if not isinstance(raw, dict):
        faults.append(f"{place}: is not a JSON object")
        return None
    line = _EnrolmentLine(place, raw, [])
    for key in sorted(raw.keys() - _KEYS):
        line.fault(key, "is not known")
    enrolment = _read(line)
    faults += line.faults
    return None if line.faults else enrolment


def _read(line: _EnrolmentLine) -> Enrolment:
    charging_s, discharge_s = _consent(line, "charging_consent"), _consent(line, "discharge_consent")
    return Enrolment(
        vehicle_ref=line.take("vehicle_ref", _pseudonym, "must be a pseudonym of 1 to 128 characters, never a VIN"),
        zone=line.take("zone", _text, "must be a text of 1 to 120 characters"),
        site_id=line.take("site_id", _text, "must be a text of 1 to 120 characters"),
        timezone=line.take("timezone", _timezone, "must be an IANA time zone such as America/Los_Angeles"),
        ready_by=line.take("preferences.ready_by", _ready_by, "must map mon..sun to HH:MM or null"),
        target_soc_pct=line.take("preferences.target_soc_pct", _percent, "must be a number from 0 to 100"),
        reserve_soc_pct=line.take("preferences.reserve_soc_pct", _percent, "must be a number from 0 to 100"),
        charging_consent=charging_s is not None,
        discharge_consent=discharge_s is not None,
        consented_s=NEVER_S if charging_s is None else charging_s,
        discharge_consented_s=NEVER_S if discharge_s is None else discharge_s,
        permission=_permission(line) if line.part("permission") else None,
        discharge_budget=_budget(line) if line.part("discharge_budget") else None,
        opted_out=line.take("opted_out", _truth, "must be true or false"),
        programs=line.take("programs", _programs, "must be a list of 1 to 8 names of 1 to 120 characters, or null"),
        patience=_patience(line) if line.part("patience") else None,
        grid_node=line.take("grid_node", _maybe(_text), "must be a text of 1 to 120 characters, or null"),
        site_import_limit_w=line.take("site_import_limit_w", _maybe(_count), _SITE_WATTS),
        site_export_limit_w=line.take("site_export_limit_w", _maybe(_count), _SITE_WATTS),
    )


def _consent(line: _EnrolmentLine, field: str) -> float | None:
    """When a consent was given; it counts when its version and that instant are on file."""
    if not line.part(field):
        return None
    line.take(f"{field}.version", _text, "must be a text of 1 to 120 characters")
    at = line.take(f"{field}.agreed_at", _instant, "must be a date-time with an offset")
    return NEVER_S if at is None else float(at.timestamp())


def _permission(line: _EnrolmentLine) -> Permission:
    return Permission(
        interconnection_id=line.take("permission.interconnection_id", _text, "must be a text of 1 to 120 characters"),
        export_limit_w=line.take("permission.export_limit_w", _count, "must be a whole number of watts, 0 or more"),
        valid_until=line.take("permission.valid_until", _instant, "must be a date-time with an offset"),
        inverter_listing=line.take("permission.inverter_listing", _text, "must be a text of 1 to 120 characters"),
    )


def _budget(line: _EnrolmentLine) -> DischargeBudget:
    """Without a budget of cycles nothing is discharged, so a file may leave it out."""
    rule = "must be a whole number of watt-hours, 0 or more"
    return DischargeBudget(
        max_event_wh=line.take("discharge_budget.max_event_wh", _count, rule),
        max_year_wh=line.take("discharge_budget.max_year_wh", _count, rule),
        max_year_cycles=line.take("discharge_budget.max_year_cycles", _cycles, "must be a number, 0 or more, or null"),
    )


def _patience(line: _EnrolmentLine) -> EventCaps:
    """Caps that are left out, or null, are the programme's."""
    for key in sorted(line.raw["patience"].keys() - _CAPS.keys()):
        line.fault(f"patience.{key}", "is not known")
    given = {}
    for name, (most, kind) in _CAPS.items():
        what = "a whole number" if kind is int else "a number"
        rule = f"must be {what} from 0 to {most:g}, or null"
        given[name] = line.take(f"patience.{name}", functools.partial(_cap, most=most, kind=kind), rule)
    return EventCaps(**given)


def _cap(value: Any, *, most: float, kind: type) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or (kind is int and type(value) is not int) or not 0 <= value <= most:
        raise ValueError
    return value if kind is int else float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 120:  # noqa: PLR2004 - room for "-export" within 128
        raise ValueError
    if "\0" in value:  # which PostgreSQL does not keep
        raise ValueError
    return value


def _maybe(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _pseudonym(value: Any) -> str:
    if _VIN.fullmatch(_text(value)):
        raise ValueError
    return str(value)


def _timezone(value: Any) -> str:
    return ZoneInfo(_text(value)).key


def _percent(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= value <= 100:  # noqa: PLR2004 - percent
        raise ValueError
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _cycles(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError
    return float(value)


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def _programs(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_PROGRAMS:
        raise ValueError
    return tuple(map(_text, value))


def _instant(value: Any) -> datetime:
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError
    return instant.astimezone(UTC)


def _ready_by(value: Any) -> tuple[time | None, ...]:
    if not isinstance(value, Mapping) or value.keys() - set(DAYS):
        raise ValueError
    return tuple(_clock_face(value.get(day)) for day in DAYS)


def _clock_face(value: Any) -> time | None:
    if value is None:
        return None
    if not _CLOCK_FACE.fullmatch(value):
        raise ValueError
    return time.fromisoformat(value)


def eligible(enrolments: Iterable[Enrolment]) -> list[Enrolment]:
    """The cars whose drivers agreed that their charging is managed; the rest are not ours to count or to touch."""
    return [enrolment for enrolment in enrolments if enrolment.charging_consent]
