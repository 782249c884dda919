"""Query parameters as values: every fault at once, unknown parameters ignored (FLT-01..06, PAG-01..08)."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from multidict import MultiMapping

from vtn.errors import Fault, FaultList, Rejected
from vtn.rules.privacy import Lens, Match
from vtn.storage.read_model import Filter
from vtn.wire.enumerations import ObjectType
from vtn.wire.model import INT32_MAX

MAX_LIMIT = 50
LONGEST_NAME = 128
OBJECT_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}", re.ASCII)
INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)
BOOLEANS = {"true": True, "false": False}


@dataclasses.dataclass(frozen=True, slots=True)
class QueryRules:
    """The switches that concern queries."""

    default_limit: int = MAX_LIMIT
    match: Match = Match.ANY
    strict_target_query: bool = False
    split_commas: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ParameterReader:
    """How one parameter is read from its text, and the JSON schema that says so to clients."""

    read: Callable[[str], Any]
    schema: Mapping[str, Any]


def _object_id(text: str) -> str:
    if OBJECT_ID.fullmatch(text) is None:
        raise ValueError("must be 1 to 128 letters, digits, '_' or '-'")
    return text


def _name(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_NAME:
        raise ValueError("must have 1 to 128 characters")
    if "\0" in text:
        raise ValueError("must hold no NUL character")
    return text


def _boolean(text: str) -> bool:
    if text not in BOOLEANS:
        raise ValueError("must be true or false")
    return BOOLEANS[text]


def _kind(text: str) -> str:
    if text not in ObjectType.__members__:
        raise ValueError(f"must be one of {', '.join(ObjectType.__members__)}")
    return text


def _integer(highest: int) -> ParameterReader:
    def read(text: str) -> int:
        if INTEGER.fullmatch(text) is None or not 0 <= int(text) <= highest:
            raise ValueError(f"must be a whole number from 0 to {highest}")
        return int(text)

    return ParameterReader(read, {"type": "integer", "minimum": 0, "maximum": highest})


ID = ParameterReader(
    _object_id, {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": "^[a-zA-Z0-9_-]*$"}
)
NAME = ParameterReader(_name, {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": r"^[^\u0000]*$"})
BOOLEAN = ParameterReader(_boolean, {"type": "boolean"})
KIND = ParameterReader(_kind, {"type": "string", "enum": list(ObjectType.__members__)})
PAGE: Mapping[str, tuple[str, ParameterReader]] = {
    "skip": ("skip", _integer(INT32_MAX)),
    "limit": ("limit", _integer(MAX_LIMIT)),
}
PARAMETERS: Mapping[ObjectType, Mapping[str, tuple[str, ParameterReader]]] = {
    ObjectType.PROGRAM: PAGE,
    ObjectType.EVENT: {**PAGE, "programID": ("program_id", ID), "active": ("active", BOOLEAN)},
    ObjectType.REPORT: {
        **PAGE,
        "programID": ("program_id", ID),
        "eventID": ("event_id", ID),
        "clientName": ("client_name", NAME),
    },
    ObjectType.SUBSCRIPTION: {**PAGE, "programID": ("program_id", ID), "clientName": ("client_name", NAME)},
    ObjectType.VEN: {**PAGE, "venName": ("name", NAME)},
    ObjectType.RESOURCE: {**PAGE, "resourceName": ("name", NAME), "venID": ("ven_id", ID)},
}
WITH_TARGETS = frozenset({ObjectType.PROGRAM, ObjectType.EVENT, ObjectType.VEN, ObjectType.RESOURCE})


def lists(kind: ObjectType) -> Mapping[str, ParameterReader]:
    """The parameters that may be repeated, and how each of their items is read."""
    if kind in WITH_TARGETS:
        return {"targets": NAME}
    return {"objects": KIND} if kind is ObjectType.SUBSCRIPTION else {}


def object_id(text: str) -> str:
    """An id from a path, or Rejected (GEN-24)."""
    try:
        return _object_id(text)
    except ValueError as error:
        raise Rejected([Fault("path.id", str(error))]) from None


def read_query(kind: ObjectType, query: MultiMapping[str], rules: QueryRules) -> tuple[dict[str, Any], Lens]:
    """The known parameters of a list request by column name, and the lens of its targets; Rejected with every fault."""
    faults = FaultList()
    values: dict[str, Any] = {"limit": rules.default_limit}
    for name, (column, reader) in PARAMETERS[kind].items():
        for text in query.getall(name, [])[:1]:
            _take(values, column, reader, text, Faults(faults, name))
    for name, reader in lists(kind).items():
        items: dict[str, Any] = {}
        for position, text in enumerate(_items(query.getall(name, []), rules)):
            _take(items, str(position), reader, text, Faults(faults, f"{name}[{position}]"))
        if items:
            values[name] = frozenset(items.values())
    if faults:
        raise Rejected(faults)
    asked = values.pop("targets", None)
    return values, Lens(asked, rules.match, rules.strict_target_query)


@dataclasses.dataclass(frozen=True, slots=True)
class Faults:
    """Where the faults of one parameter go."""

    all: list[Fault]
    name: str


def _take(values: dict[str, Any], column: str, reader: ParameterReader, text: str, faults: Faults) -> None:
    try:
        values[column] = reader.read(text)
    except ValueError as error:
        faults.all.append(Fault(f"query.{faults.name}", str(error)))


def _items(texts: list[str], rules: QueryRules) -> list[str]:
    return [item for text in texts for item in text.split(",")] if rules.split_commas else texts


def as_filter(values: Mapping[str, Any], now: Callable[[], datetime]) -> Filter:
    """Query values as the read model's filter; `active` becomes the instant at which it is judged."""
    rest = {column: value for column, value in values.items() if column != "active"}
    return Filter(**rest, active_at=now() if values.get("active") else None)
