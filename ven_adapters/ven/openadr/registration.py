"""Tell the VTN who we are: one ven, and one resource per zone with what its cars can draw and feed together.

What goes up is a zone's name, two sums in kilowatts and nothing else: no car, no driver, no place.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from ven_adapters.ven.fleet.zones import Capacity, Json
from vtn.client import Client, VtnRefused
from vtn.wire.enumerations import ObjectType


@dataclasses.dataclass(frozen=True, slots=True)
class Registered:
    """Our ven as the VTN knows it, the targets it was granted, and those of each resource by its name."""

    ven_id: str
    targets: frozenset[str]
    resource_targets: Mapping[str, frozenset[str]]


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
