"""Targets: an eiTarget is an opaque text in 3.1, `20b:<connection>:<kind>:<value>`, and back.

2.0b means the union of an event's targets. A venID beside finer targets only addresses the message, so the finer ones
count; alone it is the whole enrolment at that utility.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from vtn.oadr20b.codec.messages import EiTarget

LONGEST = 128
KEPT = 95
KINDS: Mapping[str, str] = {
    "groupID": "grp",
    "groupName": "grn",
    "resourceID": "res",
    "partyID": "pty",
    "endDeviceAsset": "dev",
    "meterAsset": "mtr",
}
REFUSED = ("pnode", "aggregatedPnode", "serviceArea", "serviceDeliveryPoint", "serviceLocation", "transportInterface")
"""Kinds of which nobody has enrolment data: answered 462 with optOut."""


class TargetMismatch(ValueError):
    """A target of a kind that nobody can be enrolled by."""


def named(connection: str, kind: str, value: str) -> str:
    """The target of 3.1 for one of 2.0b; what is too long ends in a digest, and stays one."""
    text = f"20b:{connection}:{kind}:{value}"
    return text if len(text) <= LONGEST else f"{text[:KEPT]}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def whole(connection: str) -> str:
    """The target that means everybody who is enrolled at this utility."""
    return f"20b:{connection}:ven"


def up(connection: str, targets: Iterable[EiTarget], own_ven: str | None) -> list[str] | None:
    """The targets of an event of 2.0b in 3.1; None for an event that is for everybody of its program.

    TargetMismatch for a kind that nobody can be enrolled by, and where only another VEN is named.
    """
    found: list[str] = []
    named_vens = []
    for target in targets:
        if target.kind == "venID":
            named_vens.append(target.value)
        elif target.kind in KINDS:
            found.append(named(connection, KINDS[target.kind], target.value))
        else:
            raise TargetMismatch(f"a target of the kind {target.kind} says nothing about any VEN here")
    if found:
        return list(dict.fromkeys(found))
    if named_vens and own_ven is not None and own_ven not in named_vens:
        raise TargetMismatch("the event is for another VEN")
    return [whole(connection)] if named_vens else None


def down(targets: Sequence[str], ven_id: str, resources: Mapping[str, Sequence[str]]) -> tuple[EiTarget, ...]:
    """What a VEN is told of an event's targets: itself, and those of its own resources that they meet.

    `resources` maps each resourceID of the VEN to the targets granted to it. Names of others are not told.
    """
    asked = set(targets)
    own = [name for name, granted in resources.items() if asked & set(granted)] if asked else []
    return (*(EiTarget("resourceID", name) for name in sorted(own)), EiTarget("venID", ven_id))


def sees(event: Iterable[str], program: Iterable[str], granted: frozenset[str]) -> bool:
    """Whether a VEN with these grants sees an event: it and its program are for everybody, or meet a grant."""
    return all(not asked or asked & granted for asked in (frozenset(event), frozenset(program)))
