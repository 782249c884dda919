"""The nine program fields that 3.1 turned into attributes (issues 310 and 320), there and back.

An attribute that is none of them, or whose values the field cannot hold, is not shown on 3.0.1 and so survives a
3.0.1 PUT: a client replaces only what it could see.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from vtn.errors import Fault
from vtn.wire.model import DURATION


@dataclasses.dataclass(frozen=True, slots=True)
class AttributeField:
    """A 3.0.1 field and the attribute that carries it; `holds` is its JSON type."""

    name: str
    attribute: str
    holds: type = str
    rule: str = "must be text"

    def admits(self, value: Any) -> bool:
        """Whether the field can hold a value."""
        if self.name == DURATION_FIELD:
            return isinstance(value, str) and DURATION.fullmatch(value) is not None
        return isinstance(value, self.holds)


DURATION_FIELD = "timeZoneOffset"
FIELDS = (
    AttributeField("programLongName", "PROGRAM_LONG_NAME"),
    AttributeField("retailerName", "RETAILER_NAME"),
    AttributeField("retailerLongName", "RETAILER_LONG_NAME"),
    AttributeField("programType", "PROGRAM_TYPE"),
    AttributeField("country", "COUNTRY"),
    AttributeField("principalSubdivision", "PRINCIPAL_SUBDIVISION"),
    AttributeField(DURATION_FIELD, "TIME_ZONE_OFFSET", rule="must be an ISO 8601 duration such as PT1H"),
    AttributeField("bindingEvents", "BINDING_EVENTS", bool, "must be true or false"),
    AttributeField("localPrice", "LOCAL", bool, "must be true or false"),
)
NAMES = frozenset(field.name for field in FIELDS)
BY_ATTRIBUTE = {field.attribute: field for field in FIELDS}


def with_attributes(content: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """A 3.0.1 program with attributes in place of its fields; `attributes` of its own mean nothing on 3.0.1."""
    attributes = []
    for field in FIELDS:
        value = content.get(field.name)
        if value is None:
            continue
        if not field.admits(value):
            faults.append(Fault(f"$.{field.name}", field.rule))
        attributes.append({"type": field.attribute, "values": [value]})
    rest = {key: value for key, value in content.items() if key not in NAMES and key != "attributes"}
    return {**rest, "attributes": attributes} if attributes else rest


def with_fields(content: Mapping[str, Any]) -> dict[str, Any]:
    """A 3.1 program with the fields of 3.0.1 in place of attributes."""
    rest = {key: value for key, value in content.items() if key not in NAMES and key != "attributes"}
    shown = {BY_ATTRIBUTE[one["type"]].name: one["values"][0] for one in _shown(content.get("attributes") or ())}
    return {**rest, **shown}


def _shown(attributes: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """The attributes that 3.0.1 has a field for: one value of the right type, the first of its kind."""
    seen = set()
    for attribute in attributes:
        field = BY_ATTRIBUTE.get(attribute["type"])
        values = attribute["values"]
        if field is not None and field.name not in seen and len(values) == 1 and field.admits(values[0]):
            seen.add(field.name)
            yield attribute


def keeping_unseen(content: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    """A program that a 3.0.1 client replaces, with the held attributes that this client could not see."""
    given = content.get("attributes") or []
    before = held.get("attributes") or []
    shown = [id(attribute) for attribute in _shown(before)]
    replaced = {attribute["type"] for attribute in given}
    unseen = [one for one in before if id(one) not in shown and one["type"] not in replaced]
    return {**content, "attributes": [*given, *unseen]} if given or unseen else dict(content)
