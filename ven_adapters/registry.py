"""Find automakers' files: entry points of the group `ven_adapters.oems`, ours and anybody else's."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from ven_adapters.contract import ReadingPrice, VehicleBackend
from ven_adapters.transport.consent import ConsentConversation

GROUP = "ven_adapters.oems"
Factory = Callable[[Mapping[str, Any]], VehicleBackend]
ConsentFactory = Callable[[Mapping[str, Any], str], ConsentConversation]


class UnknownOem(LookupError):
    """No installed package brings this automaker, or the one that does cannot be loaded."""


def known() -> tuple[str, ...]:
    """The names of every installed automaker, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def factory(name: str) -> Factory:
    """The factory of one automaker's backend; UnknownOem lists the known names."""
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        raise UnknownOem(f"{name!r} is not an automaker that is installed; known are {', '.join(known()) or 'none'}")
    if len({point.value for point in points}) > 1:
        raise UnknownOem(f"{name!r} is brought by several packages: {', '.join(sorted(p.value for p in points))}")
    return _load(points[0])


def consent(name: str) -> ConsentFactory:
    """How owners let an automaker's file in: its module's `consent`; UnknownOem when it has none or is not known."""
    factory(name)
    point = next(point for point in entry_points(group=GROUP) if point.name == name)
    made = getattr(import_module(point.module), "consent", None)
    if not callable(made):
        raise UnknownOem(f"{name!r} needs no owner's consent: its backend knows its cars")
    return cast("ConsentFactory", made)


def reading_price(name: str) -> ReadingPrice:
    """What one reading of a car costs, as the automaker's file says in `READING_PRICE`; a call when it does not.

    UnknownOem for a price that is none.
    """
    point = next((point for point in entry_points(group=GROUP) if point.name == name), None)
    price = ReadingPrice() if point is None else getattr(import_module(point.module), "READING_PRICE", ReadingPrice())
    if not isinstance(price, ReadingPrice):
        raise UnknownOem(f"{name!r}: READING_PRICE must be a ReadingPrice of ven_adapters.contract")
    return price


def _load(point: EntryPoint) -> Factory:
    try:
        made = point.load()
    except (ImportError, AttributeError) as error:
        raise UnknownOem(f"{point.name!r} ({point.value}) cannot be loaded: {error}") from error
    if not callable(made):
        raise UnknownOem(f"{point.name!r} ({point.value}) is not a factory")
    return cast("Factory", made)
