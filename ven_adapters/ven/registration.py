"""Tell the VTN who we are: one ven, and one resource per zone with what its cars can draw and feed together.

What goes up is a zone's name, two sums in kilowatts and nothing else: no car, no driver, no place.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from vtn.client import Client, VtnRefused
from vtn.wire.enumerations import ObjectType

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """What the cars of one zone can do together, in kW; export is a positive magnitude."""

    max_consumption_kw: float
    max_export_kw: float

    def attributes(self) -> list[Json]:
        """The OpenADR attributes that say so."""
        return [
            {"type": "MAX_POWER_CONSUMPTION", "values": [round(self.max_consumption_kw, 1)]},
            {"type": "MAX_POWER_EXPORT", "values": [round(self.max_export_kw, 1)]},
        ]


@dataclasses.dataclass(frozen=True, slots=True)
class Registered:
    """Our ven as the VTN knows it, the targets it was granted, and those of each resource by its name."""

    ven_id: str
    targets: frozenset[str]
    resource_targets: Mapping[str, frozenset[str]]


def merge_zones(cars: Mapping[str, int], parents: Mapping[str, str | None], smallest: int) -> dict[str, str]:
    """Which group each zone reports in, so that no group has fewer than `smallest` cars; {} when even all are fewer.

    A small group joins its parent zone, or without one the zone with the most cars. Ties go to the first by name.
    """
    if sum(cars.values()) < smallest:
        return {}
    group = {zone: zone for zone in cars}
    while small := _smallest_group(group, cars, smallest):
        into = _join(small, parents, group, cars)
        group = {zone: into if named == small else named for zone, named in group.items()}
    return group


def _sizes(group: Mapping[str, str], cars: Mapping[str, int]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for zone, named in group.items():
        sizes[named] = sizes.get(named, 0) + cars[zone]
    return sizes


def _smallest_group(group: Mapping[str, str], cars: Mapping[str, int], smallest: int) -> str | None:
    sizes = _sizes(group, cars)
    few = sorted((size, named) for named, size in sizes.items() if size < smallest)
    return few[0][1] if few and len(sizes) > 1 else None


def _join(small: str, parents: Mapping[str, str | None], group: Mapping[str, str], cars: Mapping[str, int]) -> str:
    sizes = _sizes(group, cars)
    parent = parents.get(small)
    if parent in sizes and parent != small:
        return parent
    return min((named for named in sizes if named != small), key=lambda named: (-sizes[named], named))


async def register(vtn: Client, ven_name: str, zones: Mapping[str, Capacity]) -> Registered:
    """Find or create our ven and its zones' resources, and bring their attributes up to date.

    Raises VtnRefused or VtnUnreachable; calling again picks up where it stopped.
    """
    ven = await _own_ven(vtn, ven_name)
    known = {found.get("resourceName"): found for found in await vtn.search(ObjectType.RESOURCE, venID=ven["id"])}
    for name, capacity in zones.items():
        known[name] = await _put_resource(vtn, ven["id"], name, capacity, known.get(name))
    return Registered(ven["id"], _targets(ven), {str(name): _targets(found) for name, found in known.items()})


async def _own_ven(vtn: Client, ven_name: str) -> Json:
    """A VEN lists only its own ven; a second one is refused (TR-10), so whoever lost a race finds the winner."""
    for _ in range(2):
        if found := await vtn.search(ObjectType.VEN):
            return found[0]
        try:
            return await vtn.create(ObjectType.VEN, {"objectType": "VEN_VEN_REQUEST", "venName": ven_name})
        except VtnRefused as refused:
            if refused.status != HTTPStatus.CONFLICT:
                raise
    raise VtnRefused(HTTPStatus.CONFLICT, {"title": f"the venName {ven_name!r} belongs to another client"})


async def _put_resource(vtn: Client, ven_id: str, name: str, capacity: Capacity, found: Json | None) -> Json:
    wanted = capacity.attributes()
    if found is not None and _same(found.get("attributes"), wanted):
        return found
    body = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": name, "venID": ven_id, "attributes": wanted}
    if found is None:
        return await vtn.create(ObjectType.RESOURCE, body)
    return await vtn.replace(ObjectType.RESOURCE, found["id"], body)


def _same(found: Any, wanted: Sequence[Json]) -> bool:
    """Whether attributes say what they are to say, in whatever order; what cannot be read does not."""
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        return False
    pairs = [(item.get("type"), item.get("values")) for item in found]
    return len(pairs) == len(wanted) and all((item["type"], item["values"]) in pairs for item in wanted)


def _targets(found: Json) -> frozenset[str]:
    targets = found.get("targets")
    return frozenset(one for one in targets if isinstance(one, str)) if isinstance(targets, list) else frozenset()
