"""intervalPeriods of both versions: 3.0.1 always has a start, and PT0S stands for an open end where the payload lasts.

3.1 says now with 0001-01-01T00:00:00Z and without end with P9999Y; 3.0.1 clients also write a year 0000 (issue 339)
and expect PT0S. Reports measure what was, so their PT0S stays an instant.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any

from vtn.errors import Fault
from vtn.rules.timeline import PACKED
from vtn.wire.interval import parse_duration
from vtn.wire.model import NOW

Json = dict[str, Any]

ENDLESS = "P9999Y"
OPEN_END = "PT0S"
YEAR_ZERO = "0000-"
INTERVALS, RESOURCES = ("intervals",), ("resources", "intervals")

LASTING = PACKED | {"CONTROL_SETPOINT", "CURVE", "CTA2045_SET_OVERRIDE_STATUS"}
"""Event payload types that say how things are from their start on, so that no length means no end; alerts too."""


def lasts(payload_type: Any) -> bool:
    """Whether a payload of this type without a length has no end, rather than happening at one instant."""
    return isinstance(payload_type, str) and (payload_type in LASTING or payload_type.startswith("ALERT_"))


def print_duration(length: timedelta) -> str:
    """An exact length as an ISO 8601 duration, such as P1DT30M or PT0.25S."""
    sign, length = ("-", -length) if length < timedelta(0) else ("", length)
    minutes, seconds = divmod(length.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{length.microseconds:06}".rstrip("0") if length.microseconds else ""
    parts = [f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M")) if count]
    parts += [f"{seconds}{fraction}S"] if seconds or fraction else []
    days = f"{length.days}D" if length.days else ""
    time = f"T{''.join(parts)}" if parts else ""
    return f"{sign}P{days}{time}" if days or time else OPEN_END


# --- in ------------------------------------------------------------------------------------------------------------


def read_periods(content: Mapping[str, Any], keys: Collection[str], faults: list[Fault]) -> Json:
    """A 3.0.1 object with every start as 3.1 spells it; a period without one is a fault. `keys` lead to its parts."""

    def change(path: str, period: Json) -> Json:
        start = period.get("start")
        if start is None:
            faults.append(Fault(f"{path}.intervalPeriod.start", "is required"))
        return {**period, "start": NOW} if isinstance(start, str) and start.startswith(YEAR_ZERO) else period

    changed: Json = _changed(content, "$", keys, change)
    return changed


def _changed(node: Any, path: str, keys: Collection[str], change: Callable[[str, Json], Json]) -> Any:
    if not isinstance(node, dict):
        return node
    fresh = dict(node)
    period = node.get("intervalPeriod")
    if isinstance(period, dict):
        fresh["intervalPeriod"] = change(path, period)
    for key in keys:
        if isinstance(children := node.get(key), list):
            fresh[key] = [_changed(child, f"{path}.{key}[{at}]", keys, change) for at, child in enumerate(children)]
    return fresh


def open_ends(event: Mapping[str, Any]) -> Json:
    """A 3.0.1 event whose lasting payloads of no length are endless, as 3.1 spells that."""
    intervals = event.get("intervals")
    if not isinstance(intervals, list):
        return dict(event)
    changed = [_open_ended(one, [one]) for one in intervals]
    heirs = [one for one in intervals if not _has_length(one)]
    return {**_open_ended(event, heirs), "intervals": changed}


def _open_ended(holder: Any, heirs: list[Any]) -> Any:
    """The holder of a period, without end when that is what all intervals that take its length mean by none."""
    if not _has_length(holder) or not heirs or not all(_lasting(heir) for heir in heirs):
        return holder
    period = holder["intervalPeriod"]
    return {**holder, "intervalPeriod": {**period, "duration": ENDLESS}} if _is_zero(period["duration"]) else holder


def _has_length(holder: Any) -> bool:
    period = holder.get("intervalPeriod") if isinstance(holder, dict) else None
    return isinstance(period, dict) and period.get("duration") is not None


def _lasting(interval: Any) -> bool:
    payloads = interval.get("payloads") if isinstance(interval, dict) else None
    types = [one.get("type") for one in payloads if isinstance(one, dict)] if isinstance(payloads, list) else []
    return bool(types) and all(lasts(name) for name in types)


def _is_zero(duration: Any) -> bool:
    try:
        return not parse_duration(duration)
    except (TypeError, ValueError):
        return False


# --- out -----------------------------------------------------------------------------------------------------------


def show_periods(content: Mapping[str, Any], keys: Collection[str], default: Mapping[str, Any] | None = None) -> Json:
    """A 3.1 object with a start and a duration in every period: its own, or those of the period around it."""
    fresh = dict(content)
    own = content.get("intervalPeriod")
    around = shown_period(own, default) if own is not None else default
    if own is not None:
        fresh["intervalPeriod"] = around
    for key in keys:
        if isinstance(children := content.get(key), list):
            fresh[key] = [show_periods(child, keys, around) for child in children]
    return fresh


def shown_period(period: Mapping[str, Any], default: Mapping[str, Any] | None) -> Json:
    """One period as 3.0.1 has it; what it leaves open is taken from `default`, which is shown already."""
    around = default or {}
    start = period.get("start") or around.get("start") or NOW
    duration = period.get("duration") or around.get("duration") or OPEN_END
    length = OPEN_END if parse_duration(duration).infinite else duration
    return {**period, "start": start, "duration": length}


def chained(intervals: Collection[Mapping[str, Any]]) -> Iterator[bool]:
    """For each interval after the first, whether its own period starts where the interval before it ends."""
    later = iter(intervals)
    next(later, None)
    return ("start" not in one["intervalPeriod"] for one in later if one.get("intervalPeriod") is not None)
