"""AnswerObject of JSON objects: which requirement each belongs to, and objects that say so when a member is missing.

A server that leaves out one member, or spells one wrong, is met by many checks. Here every such fault gets the same
`Cause` wherever it is met, with the requirement that is about the member, so that it is accused once.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic

from vtn.checking.verdict import Cause, Failed
from vtn.conformance.requirements import every
from vtn.wire.event import Event
from vtn.wire.notification import Notification
from vtn.wire.program import Program
from vtn.wire.report import Report
from vtn.wire.resource import Resource
from vtn.wire.subscription import Subscription
from vtn.wire.ven import Ven

Json = dict[str, Any]

MODELS: Mapping[str, type[pydantic.BaseModel]] = {
    "PROGRAM": Program,
    "EVENT": Event,
    "REPORT": Report,
    "SUBSCRIPTION": Subscription,
    "VEN": Ven,
    "RESOURCE": Resource,
    "NOTIFICATION": Notification,
}
KINDS = tuple(kind for kind in MODELS if kind != "NOTIFICATION")
COLLECTIONS: Mapping[str, str] = {f"{kind.lower()}s": kind for kind in KINDS}
"""The kind of object in each of the six collections."""

SCHEMAS: Mapping[str, tuple[str, ...]] = {
    "programRequest": ("PROGRAM",),
    "eventRequest": ("EVENT",),
    "reportRequest": ("REPORT",),
    "report": ("REPORT",),
    "subscriptionRequest": ("SUBSCRIPTION",),
    "subscription": ("SUBSCRIPTION",),
    "BlVenRequest": ("VEN",),
    "BlResourceRequest": ("RESOURCE",),
    "VenVenRequest": ("VEN",),
    "VenResourceRequest": ("RESOURCE",),
    "objectMetadata": KINDS,
    "notification": ("NOTIFICATION",),
}
ROW = re.compile(r"`(?P<schema>[\w.\[\]]+)\.(?P<member>\w+)`: .*?; (?P<presence>required|optional)")
ANY = ""


@functools.cache
def owners() -> Mapping[tuple[str, str], tuple[tuple[str, ...], bool]]:
    """By kind and member: the requirements about it, and whether the schema requires it; kind "" is any schema."""
    found: dict[tuple[str, str], tuple[tuple[str, ...], bool]] = {}
    for row in every().values():
        if match := ROW.match(row.text):
            required = match["presence"] == "required"
            for kind in (*SCHEMAS.get(match["schema"], ()), ANY):
                rows, _ = found.get((kind, match["member"]), ((), False))
                found[kind, match["member"]] = ((*rows, row.id), required)
    for kind in KINDS:  # an answer names its kind, whatever its request was called
        found[kind, "objectType"] = (("GEN-F04",), True)
    return found


def missing(kind: str, member: str) -> Cause:
    """The cause of a check that misses a member; general where the schema requires it."""
    rows, required = owners().get((kind, member)) or (owners().get((ANY, member), ((), False))[0], False)
    return Cause(f"{kind or 'an object'} without {member}", rows, general=required and bool(kind))


def of_members(kind: str, *members: str) -> tuple[str, ...]:
    """The requirements about these members of a kind."""
    return tuple(row for member in members for row in owners().get((kind, member), ((), False))[0])


class AnswerObject(dict[str, Any]):
    """A JSON object that came from the VTN: a member that it lacks is a failure with its cause, never a KeyError."""

    kind: str = ""

    def __missing__(self, member: str) -> Any:
        kind = self.kind or str(self.get("objectType") or "")
        raise Failed(f"the {kind.lower() or 'object'} should have `{member}`", missing(kind, member))


def read_json(text: str | bytes, kind: str = "") -> Any:
    """JSON whose objects are `AnswerObject`, those at the top of this kind; ValueError when it is none."""
    try:
        found = json.loads(text, object_hook=AnswerObject)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    for item in found if isinstance(found, list) else [found]:
        if isinstance(item, AnswerObject):
            item.kind = kind
    return found


def kind_at(path: str) -> str:
    """The kind of object that a path of the API answers; "" where it is none of the six."""
    first, _, rest = path.strip("/").partition("/")
    return "" if "/" in rest else COLLECTIONS.get(first.partition("?")[0], "")


def fault_of(kind: str, content: Any, only: str = "") -> Failed | None:
    """How an object breaks the schema of its kind, with the requirement about the member; None when it does not.

    With `only` a fault of that member counts, and no other.
    """
    try:
        MODELS[kind].model_validate(content)
    except pydantic.ValidationError as error:
        faults = error.errors(include_url=False)
        mine = [one for one in faults if not only or (one["loc"] and one["loc"][0] == only)]
        if not mine:
            return None
        first = mine[0]
        place = ".".join(map(str, first["loc"]))
        member = str(first["loc"][0]) if first["loc"] else ""
        rows = (*of_members(kind, member), "GEN-06")
        cause = missing(kind, member) if first["type"] == "missing" and len(first["loc"]) == 1 else None
        words = f"the {kind.lower()} breaks its schema: {place}: {first['msg']}"
        return Failed(words, cause or Cause(f"{kind}.{member} against its schema", rows, general=True))
    return None


def objects_in(kind: str, content: Any) -> Iterator[Json]:
    """The objects of a kind in an answer: the one, or those of the list; whatever else there is, is none."""
    for item in content if isinstance(content, list) else [content]:
        if isinstance(item, dict) and kind:
            yield item
