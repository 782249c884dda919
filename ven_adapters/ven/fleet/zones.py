"""Zones as groups that are large enough to be spoken of, and what the cars of one can do together."""

import dataclasses
from collections.abc import Mapping
from typing import Any

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
class ZonePart:
    """The cars of one group of zones that are in the same OpenADR programs; they are planned together."""

    zone: str
    programs: frozenset[str] = frozenset()

    def named(self, ordinary: frozenset[str]) -> str:
        """The group's own name where cars are in the programs that settings give it, else with the programs."""
        return self.zone if self.programs == ordinary else f"{self.zone} [{', '.join(sorted(self.programs))}]"


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
