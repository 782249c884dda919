"""Whether a request body may become an object: all faults at once, each with its JSON path.

The schema of OpenADR 3.1 decides, and where it contradicts itself the readings do (TR-08, TR-09, TR-25, TR-27, TR-31).
Whether payload values make sense for their type is the clients' affair (GEN-19). What comes back is the client's own
JSON, minus what is not the client's to write; this module knows nothing of storage and of who exists.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from vtn.errors import MOST_FAULTS, Fault, FaultList, Forbidden, Rejected
from vtn.rules import piecewise
from vtn.rules.measures import weight
from vtn.rules.piecewise import PIECE, Location, SchemaProblem
from vtn.settings import LOOPBACK
from vtn.wire.enumerations import ObjectType
from vtn.wire.event import EventRequest
from vtn.wire.model import NOW, NOW_LITERALS, NULL_REFUSED, SPELLS_NOW, WireModel
from vtn.wire.program import ProgramRequest
from vtn.wire.report import ReportRequest
from vtn.wire.resource import BlResourceRequest, VenResourceRequest
from vtn.wire.subscription import SubscriptionRequest
from vtn.wire.ven import BlVenRequest, OwnerlessVenRequest, VenVenRequest

SERVER_OWNED = frozenset({"id", "createdDateTime", "modificationDateTime", "objectType", "clientID"})

SHAPES: Mapping[ObjectType, type[WireModel]] = {
    ObjectType.PROGRAM: ProgramRequest,
    ObjectType.EVENT: EventRequest,
    ObjectType.REPORT: ReportRequest,
    ObjectType.SUBSCRIPTION: SubscriptionRequest,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One of the two request shapes of a ven or resource: its constant, its model, and what it may not carry."""

    constant: str
    model: type[WireModel]
    not_its_own: frozenset[str]


BL_VARIANTS = {
    ObjectType.VEN: Variant("BL_VEN_REQUEST", BlVenRequest, SERVER_OWNED - {"clientID"}),
    ObjectType.RESOURCE: Variant("BL_RESOURCE_REQUEST", BlResourceRequest, SERVER_OWNED - {"clientID"}),
}
OWNERLESS_VARIANTS = {
    ObjectType.VEN: Variant("BL_VEN_REQUEST", OwnerlessVenRequest, SERVER_OWNED - {"clientID"}),
    ObjectType.RESOURCE: BL_VARIANTS[ObjectType.RESOURCE],
}
VEN_VARIANTS = {
    ObjectType.VEN: Variant("VEN_VEN_REQUEST", VenVenRequest, SERVER_OWNED | {"targets"}),
    ObjectType.RESOURCE: Variant("VEN_RESOURCE_REQUEST", VenResourceRequest, SERVER_OWNED | {"targets"}),
}

RULES = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "string_type": "must be text",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_pattern_mismatch": "may hold only letters, digits, '_' and '-'",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Strictness:
    """The switches of the readings that concern request bodies.

    Of OpenADR 3.0.1 alone are `ownerless`, vens of Business Logic without a clientID, and `http_callbacks`. At most
    `most_faults` of one body are told.
    """

    strict_null: bool = False
    lenient_descriptors: bool = False
    allow_loopback_callbacks: bool = False
    ownerless: bool = False
    http_callbacks: bool = False
    most_faults: int = MOST_FAULTS


STANDARD = Strictness()


def admit(
    kind: ObjectType, content: Any, values: int | None = None, *, is_bl: bool, strictness: Strictness = STANDARD
) -> dict[str, Any]:
    """The body as it may be stored; Rejected with every fault, or Forbidden for a shape of the other role.

    `values` is no less than how many JSON values the content holds, if somebody knows: a large one is judged by pieces.
    """
    if not isinstance(content, dict):
        raise Rejected([Fault("$", "must be a JSON object")])
    model, not_its_own = _shape(kind, content, is_bl=is_bl, ownerless=strictness.ownerless)
    if strictness.lenient_descriptors:
        _fill_descriptors(kind, content)
    seen: dict[str, bool] = {}
    large = (weight(content, PIECE) if values is None else values) > PIECE
    problems = piecewise.problems(model, content, seen) if large else piecewise.whole(model, content, seen)
    if problems:
        _refuse(content, problems, strictness)
    if kind is ObjectType.SUBSCRIPTION and (faults := list(_callback_faults(content, strictness))):
        raise Rejected(faults)
    if SPELLS_NOW in seen:
        _spell_now(content)
    return {key: value for key, value in content.items() if key not in not_its_own}


def _refuse(content: dict[str, Any], problems: Iterable[SchemaProblem], strictness: Strictness) -> None:
    """Rejected when there are faults; a null that may only be left out is left out instead (TR-31).

    Problems are found as they are asked for, so that the fault that is one too many ends the search.
    """
    faults = FaultList(strictness.most_faults)
    nulls: list[Location] = []
    for problem in problems:
        if problem.kind == NULL_REFUSED and not strictness.strict_null:
            nulls.append(problem.location)
        else:
            faults.append(_fault(content, problem.location, problem.kind, problem.message))
    if faults:
        raise Rejected(faults)
    for location in nulls:
        _remove(content, _steps(content, location))


def _shape(
    kind: ObjectType, content: Mapping[str, Any], *, is_bl: bool, ownerless: bool
) -> tuple[type[WireModel], frozenset[str]]:
    if kind in SHAPES:
        return SHAPES[kind], SERVER_OWNED
    of_bl = OWNERLESS_VARIANTS if ownerless else BL_VARIANTS
    own, other = (of_bl, VEN_VARIANTS) if is_bl else (VEN_VARIANTS, of_bl)
    constant = content.get("objectType")
    if constant == other[kind].constant and not is_bl:
        raise Forbidden(f"a VEN client writes {own[kind].constant}, not {other[kind].constant}")
    if constant != own[kind].constant:
        raise Rejected([Fault("$.objectType", f"must be {own[kind].constant} for this client")])
    return own[kind].model, own[kind].not_its_own


def _steps(content: Any, location: tuple[int | str, ...]) -> list[int | str]:
    """A validator's location without the parts that name a branch of a union instead of a place in the document."""
    steps: list[int | str] = []
    node = content
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(node, dict) and isinstance(part, str) and (part in node or last):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int):
            node = node[part]
        else:
            continue
        steps.append(part)
    return steps


def _remove(content: Any, steps: list[int | str]) -> None:
    for step in steps[:-1]:
        content = content[step]
    content.pop(steps[-1], None)


def _fault(content: Any, location: tuple[int | str, ...], kind: str, message: str) -> Fault:
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        location, kind = (*location, "objectType"), "tag"
        message = "must be EVENT_PAYLOAD_DESCRIPTOR or REPORT_PAYLOAD_DESCRIPTOR"
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in _steps(content, location))
    rule = RULES.get(kind) or message.replace("Input should be", "must be").replace("String should", "text must")
    return Fault(f"${path}", rule)


def _callback_faults(content: Mapping[str, Any], strictness: Strictness) -> Iterable[Fault]:
    """A callback URL is https (SUB-15); http only where the operator opened it: for development, or for old clients."""
    for position, entry in enumerate(content["objectOperations"]):
        path = f"$.objectOperations[{position}].callbackUrl"
        try:
            url = urlsplit(entry["callbackUrl"])
            host, _ = url.hostname, url.port
        except ValueError:
            yield Fault(path, "must be a well-formed URL")
            continue
        plain = strictness.http_callbacks or (strictness.allow_loopback_callbacks and host in LOOPBACK)
        if not host or (url.scheme != "https" and not (url.scheme == "http" and plain)):
            yield Fault(path, "must be an https URL with a host")


def _fill_descriptors(kind: ObjectType, content: Mapping[str, Any]) -> None:
    """Give descriptors without objectType the one that their place implies (TR-25, switch lenient_descriptors)."""
    descriptors = content.get("payloadDescriptors")
    for descriptor in descriptors if isinstance(descriptors, list) else ():
        if isinstance(descriptor, dict) and "objectType" not in descriptor:
            reads = kind is ObjectType.REPORT or descriptor.keys() & {"readingType", "accuracy", "confidence"}
            descriptor["objectType"] = "REPORT_PAYLOAD_DESCRIPTOR" if reads else "EVENT_PAYLOAD_DESCRIPTOR"


def _spell_now(node: Any) -> None:
    """Write every `now` start in the one spelling that is a valid date-time (TR-27)."""
    if isinstance(node, dict):
        period = node.get("intervalPeriod")
        if isinstance(period, dict) and isinstance(start := period.get("start"), str) and start in NOW_LITERALS:
            period["start"] = NOW
        for key in ("intervals", "resources"):
            children = node.get(key)  # a list, or in an object that has no such field anything at all
            for child in children if isinstance(children, list) else ():
                _spell_now(child)
