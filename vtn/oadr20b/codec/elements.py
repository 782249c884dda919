"""Elements of a checked tree, read: texts as they stand, instants, durations, numbers, targets and units.

An instant without an offset is UTC, which the profile demands of all. BadMessage names what is missing or wrong.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml import etree

from vtn.oadr20b.codec.messages import ZERO, EiTarget, ItemBase
from vtn.oadr20b.codec.reading import BadMessage
from vtn.wire.interval import BEGINNING, parse_duration

MOST_DURATION = timedelta(days=36_500)
MOST_NUMBER = 2**32
_MRIDS = frozenset({"endDeviceAsset", "meterAsset"})
_ITEMS = ("itemDescription", "itemUnits")
Element = Any
"""An element of lxml, which has no types."""


def instant(text: str) -> datetime:
    """An instant of the profile, UTC; BadMessage when it is none."""
    try:
        at = datetime.fromisoformat(text.strip().upper())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadMessage(f"{text[:40]!r} is no date-time") from None


def duration(text: str) -> timedelta:
    """A duration of the profile, at most a century; BadMessage when it is none. A bare `P` is nothing."""
    text = text.strip().removeprefix("+")
    if text == "P":  # openleadr writes so what has no length
        return ZERO
    try:
        span = parse_duration(text)
    except ValueError:
        raise BadMessage(f"{text[:40]!r} is no duration") from None
    if span.infinite:
        return MOST_DURATION
    length = span.after(BEGINNING.replace(year=2001)) - BEGINNING.replace(year=2001)
    return min(max(length, -MOST_DURATION), MOST_DURATION)


def text_of(element: Element, path: str) -> str | None:
    """The text of a child, or of one further down by names with a slash between."""
    found = element.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    return None if found is None else (found.text or "").strip()


def needed(element: Element, path: str) -> Element:
    """A child, or one further down; BadMessage when it is not there."""
    found = element.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    if found is None:
        raise BadMessage(f"{local_name(element)} has no {path}")
    return found


def required(element: Element, path: str) -> str:
    """The text of a child that must be there."""
    return (needed(element, path).text or "").strip()


def local_name(element: Element) -> str:
    """The name of an element without its namespace."""
    return str(etree.QName(element).localname)


def children(element: Element, name: str) -> Iterator[Element]:
    """All children of a name."""
    yield from element.iterfind(f"{{*}}{name}")


def instant_of(element: Element, path: str) -> datetime | None:
    """The instant in a child, if there is one."""
    text = text_of(element, path)
    return instant(text) if text else None


def duration_of(element: Element, path: str) -> timedelta | None:
    """The duration in a child, if there is one."""
    text = text_of(element, path)
    return duration(text) if text else None


def number_of(text: str | None) -> float:
    """A finite number."""
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadMessage(f"{(text or '')[:40]!r} is no number")
    return number


def whole_of(text: str | None, default: int | None = None) -> int:
    """A whole number that is not negative; `default` where there is no text."""
    if not text and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdigit() or len(text) > len(str(MOST_NUMBER)):
        raise BadMessage(f"{(text or '')[:40]!r} is no whole number")
    return min(int(text), MOST_NUMBER)


def is_true(text: str | None) -> bool:
    """Whether a text is true, as XML Schema writes it."""
    return text in {"true", "1"}


def targets_of(element: Element | None) -> tuple[EiTarget, ...]:
    """The targets in an element, in its order."""
    if element is None:
        return ()
    found = []
    for child in element:
        kind = local_name(child)
        value = text_of(child, "mrid") if kind in _MRIDS else "".join(child.itertext()).strip()
        found.append(EiTarget(kind, value or ""))
    return tuple(found)


def item_of(element: Element) -> ItemBase | None:
    """The unit of a signal or report description, whose element has any of many names."""
    for child in element:
        if child.find("{*}itemUnits") is None:
            continue
        description, unit = (text_of(child, part) or "" for part in _ITEMS)
        attributes = child.find("{*}powerAttributes")
        power = None
        if attributes is not None:
            hertz, voltage = (number_of(text_of(attributes, part)) for part in ("hertz", "voltage"))
            power = hertz, voltage, is_true(text_of(attributes, "ac"))
        return ItemBase(local_name(child), description, unit, text_of(child, "siScaleCode") or "none", power)
    return None
