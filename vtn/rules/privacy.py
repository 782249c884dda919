"""Who may see what: object privacy, target matching and target hiding, decided here and nowhere else.

Reads, lists, webhooks and MQTT all ask this module (Definition, Object Privacy; TGT-01..22; readings TR-01..08, TR-69).
A VEN is never told that something was hidden from it: what it may not see looks like what does not exist.
"""

import dataclasses
import enum
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vtn.wire.enumerations import ObjectType

TARGETED = frozenset({ObjectType.PROGRAM, ObjectType.EVENT})
NO_TARGETS: frozenset[str] = frozenset()


class Match(enum.StrEnum):
    """How many of the targets asked for must be on an object (TR-02)."""

    ANY = "any"
    ALL = "all"


class NamesGrant(enum.StrEnum):
    """Whose word makes the name of a ven or resource a target that is granted to it, as OpenADR 3.0.1 has names.

    A VEN chooses its own name, so its word would let it grant itself what is meant for another.
    """

    BUSINESS_LOGIC = "bl"
    ANYBODY = "all"
    NOBODY = "none"


@dataclasses.dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: Business Logic sees everything; a VEN its own objects and what its grants reach.

    With `through_programs` an event is seen only inside a program that is seen (TR-04). On OpenADR 3.0.1 Business Logic
    `sees_ownerless` vens too, those of no client yet, which 3.1 has no way to show.
    """

    client_id: str
    is_bl: bool
    grants: frozenset[str] = NO_TARGETS
    through_programs: bool = True
    sees_ownerless: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Lens:
    """How targets are matched: what the request asked for (None: nothing), and the two switches of the readings."""

    asked: frozenset[str] | None = None
    match: Match = Match.ANY
    strict_query: bool = False


EVERYTHING = Lens()


def usable_targets(viewer: Viewer, lens: Lens) -> frozenset[str]:
    """The targets through which a VEN may look: its grants, cut to what it asked for (TGT-05, TGT-07)."""
    if lens.asked is None:
        return NO_TARGETS if lens.strict_query else viewer.grants
    return lens.asked & viewer.grants


def targets_visible(targets: Collection[str], viewer: Viewer, lens: Lens = EVERYTHING) -> bool:
    """Whether an object with these targets may be seen (TGT-02, TGT-06, TGT-08..11)."""
    if not targets:
        return lens.asked is None
    if viewer.is_bl and lens.asked is None:
        return True
    through = lens.asked if viewer.is_bl and lens.asked is not None else usable_targets(viewer, lens)
    if lens.match is Match.ALL and lens.asked is not None:
        return bool(through) and through.issubset(targets)
    return not through.isdisjoint(targets)


def owned_visible(client_id: str | None, viewer: Viewer) -> bool:
    """Whether a report, subscription, ven or resource of this owner may be seen (VEN-19, RPT-08, SUB-07, RES-17)."""
    if client_id is None:
        return viewer.is_bl and viewer.sees_ownerless
    return viewer.is_bl or client_id == viewer.client_id


def event_visible(
    event_targets: Collection[str], program_targets: Collection[str], viewer: Viewer, lens: Lens = EVERYTHING
) -> bool:
    """Whether an event may be seen: by its own targets, and only inside a program that is visible too (TR-04)."""
    if not targets_visible(event_targets, viewer, lens):
        return False
    return not viewer.through_programs or targets_visible(program_targets, viewer, Lens(match=lens.match))


def shown_targets(targets: Collection[str], viewer: Viewer, lens: Lens = EVERYTHING) -> frozenset[str]:
    """The targets of a visible program or event that this viewer may know of (TGT-12)."""
    return frozenset(targets) if viewer.is_bl else usable_targets(viewer, lens) & frozenset(targets)


def report_requests(kind: ObjectType, content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The reports that an event asks for; in other objects the same name is somebody's extension and means nothing."""
    return (content.get("reportDescriptors") or ()) if kind is ObjectType.EVENT else ()


def view(kind: ObjectType, content: Mapping[str, Any], viewer: Viewer, lens: Lens = EVERYTHING) -> dict[str, Any]:
    """A visible object as this viewer may read it: targets cut, credentials of others blanked.

    The answer is a new mapping; `content` is the stored object and is not changed.
    """
    seen = dict(content)
    if kind in TARGETED and not viewer.is_bl:
        _cut_targets(seen, shown_targets(content.get("targets") or (), viewer, lens))
        if requests := report_requests(kind, content):
            seen["reportDescriptors"] = _cut_descriptors(requests, usable_targets(viewer, lens))
    if kind is ObjectType.SUBSCRIPTION and content.get("clientID") != viewer.client_id:
        seen["objectOperations"] = [_without_token(entry) for entry in content["objectOperations"]]
    return seen


def _cut_targets(seen: dict[str, Any], shown: frozenset[str]) -> None:
    if seen.get("targets"):
        seen["targets"] = [target for target in seen["targets"] if target in shown]


def _cut_descriptors(descriptors: Sequence[Mapping[str, Any]], through: frozenset[str]) -> list[Mapping[str, Any]]:
    """Report requests, targets cut; one that asks only of targets the viewer does not hold is dropped (EVT-23)."""
    kept = []
    for descriptor in descriptors:
        if not descriptor.get("targets"):
            kept.append(descriptor)
        elif shown := [target for target in descriptor["targets"] if target in through]:
            kept.append({**descriptor, "targets": shown})
    return kept


def _without_token(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "bearerToken": None} if entry.get("bearerToken") is not None else dict(entry)
