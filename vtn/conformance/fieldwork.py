"""Tries the values of one schema field on a live VTN, one POST for each, with the rest of the body valid.

A `Field` is one row of a table: where the field stands (`Place`), whether it may be left out or null (`Presence`), and
which values its type takes and refuses (`Rule`). `checks_of` turns rows into checks. What is accepted must come back
the same in the answer, in a read by id and in the list. This module knows no particular object.
"""

import copy
import dataclasses
import enum
import functools
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from vtn.conformance.check import Check, Failed, expect, register
from vtn.conformance.exchange import Answer, Json, Party, Query
from vtn.conformance.kit import Kit
from vtn.conformance.requirements import Level

Way = tuple[str | int, ...]
LONGEST_SHOWN = 60
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class _Mark(enum.Enum):
    """Values that are no JSON: the field left out, left as the valid body has it, and shown as it was sent."""

    OMITTED = enum.auto()
    VALID = enum.auto()
    AS_SENT = enum.auto()


OMITTED: Final = _Mark.OMITTED
VALID: Final = _Mark.VALID
AS_SENT: Final = _Mark.AS_SENT


class Presence(enum.StrEnum):
    """Whether a field must be there, may be null, or may only be left out."""

    REQUIRED = "required"
    NULLABLE = "optional and nullable"
    OMITTABLE = "optional and not nullable"


@dataclasses.dataclass(frozen=True, slots=True)
class Fresh:
    """A name that nobody else uses, made for each try; at least `length` characters, and exactly that when it can."""

    length: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What a type takes: `good` values are accepted and kept, `bad` ones are refused with 400."""

    good: tuple[Any, ...]
    bad: tuple[Any, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Desk:
    """Who posts one form during one check, and how to make a fresh valid body."""

    party: Party
    fresh: Callable[[], Json]


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """A request schema: the collection it goes to, the kind that comes back (`PROGRAM` ...), and how to prepare."""

    schema: str
    path: str
    kind: str
    prepare: Callable[[Kit], Awaitable[Desk]]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands: what the body holds besides, and the way from the body to the part that has the field."""

    form: Form
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    way: Way = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One row. `default` is what may be shown when it is left out; `shown` what comes back, when not what was sent."""

    id: str
    schema: str
    name: str
    places: tuple[Place, ...]
    presence: Presence
    rule: Rule
    also: tuple[str, ...] = ()
    default: Any = None
    shown: Any = AS_SENT

    @property
    def claim(self) -> str:
        """The row in a sentence."""
        bad = ", ".join(_words(value) for value in self.rule.bad)
        return f"`{self.schema}.{self.name}` is {self.presence}, keeps what its type allows and refuses {bad}."


def checks_of(fields: Iterable[Field]) -> None:
    """Register one check per row."""
    for field in fields:
        name = f"{field.schema}_{field.name}_follows_its_schema".replace("[]", "").replace(".", "_")
        cited = (field.id, *field.also)
        register(Check(name, field.claim, cited, Level.SHALL, (), functools.partial(obeyed, field)))


async def obeyed(field: Field, kit: Kit) -> None:
    """Try a field at all its places; Failed at the first value that is not treated as the schema has it."""
    for place in field.places:
        trial = Trial(kit, field, place, await place.form.prepare(kit))
        for number, value in enumerate(field.rule.good):
            await trial.accepts(value, listed=number == 0)
        if field.presence is Presence.REQUIRED:
            await trial.refuses(OMITTED)
            await trial.refuses(None)
        else:
            await trial.accepts(OMITTED)
            await (trial.accepts(None) if field.presence is Presence.NULLABLE else trial.never_echoes_null())
        for value in field.rule.bad:
            await trial.refuses(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One field at one place during one check."""

    kit: Kit
    field: Field
    place: Place
    desk: Desk

    async def accepts(self, value: Any, *, listed: bool = False) -> None:
        """A POST with this value creates an object that shows it wherever it is read, which is deleted again."""
        body, answer = await self._post(value)
        self._expect(answer.status == HTTPStatus.CREATED, value, f"should be accepted, but got {answer.status}")
        sent = _part(body, self.place.way).get(self.field.name, OMITTED)
        await self._seen_everywhere(sent, answer.object, listed=listed)
        await self._drop(answer)

    async def refuses(self, value: Any) -> None:
        """A POST with this value is answered 400 with a problem document."""
        _, answer = await self._post(value)
        self._expect(answer.status == HTTPStatus.BAD_REQUEST, value, f"should be refused, but got {answer.status}")
        answer.problem(HTTPStatus.BAD_REQUEST)

    async def never_echoes_null(self) -> None:
        """A null that may only be left out is refused, or taken as left out (TR-31)."""
        _, answer = await self._post(None)
        if answer.status == HTTPStatus.BAD_REQUEST:
            answer.problem(HTTPStatus.BAD_REQUEST)
            return
        self._expect(answer.status == HTTPStatus.CREATED, None, f"should get 400 or 201, but got {answer.status}")
        await self._seen_everywhere(OMITTED, answer.object, listed=False)
        await self._drop(answer)

    async def _post(self, value: Any) -> tuple[Json, Answer]:
        body = {**self.desk.fresh(), **copy.deepcopy(dict(self.place.extra))}
        part = _part(body, self.place.way)
        if value is OMITTED:
            part.pop(self.field.name, None)
        elif value is not VALID:
            part[self.field.name] = self._real(value)
        answer = await self.desk.party.post(self.place.form.path, body)
        self.kit.keep(self.desk.party, self.place.form.path, answer)
        return body, answer

    async def _seen_everywhere(self, value: Any, made: Json, *, listed: bool) -> None:
        for where, seen in await views(self.desk.party, self.place.form.path, made, listed=listed):
            self.kit.valid(self.place.form.kind, seen)
            part = _part(seen, self.place.way)
            self._expect(self._shows(value, part), value, f"comes back as {_words(part.get(self.field.name))} {where}")

    def _shows(self, value: Any, part: Json) -> bool:
        got = part.get(self.field.name)
        if value is not OMITTED and value is not None:
            return kept(value if self.field.shown is AS_SENT else self.field.shown, got, self.field.name)
        null_shown = self.field.name in part and got is None
        if null_shown:
            return self.field.presence is Presence.NULLABLE
        return got in (None, []) or kept(self.field.default, got, self.field.name)

    async def _drop(self, answer: Answer) -> None:
        await self.kit.drop(self.desk.party, f"{self.place.form.path}/{answer.object['id']}")

    def _real(self, value: Any) -> Any:
        if isinstance(value, Fresh):
            return self.kit.name("f").ljust(value.length, "x")
        return value

    def _expect(self, condition: bool, value: Any, words: str) -> None:  # noqa: FBT001 - the condition is the subject
        where = ".".join(map(str, (self.place.form.schema, *self.place.way, self.field.name)))
        expect(condition, f"{where} {_words(value)} {words}")


def _part(body: Json, way: Way) -> Json:
    """The part of a body that a way leads to; Failed when it is not there."""
    node: Any = body
    for step in way:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            raise Failed(f"the object should have {'.'.join(map(str, way))}") from None
    found: Json = node
    return found


def _words(value: Any) -> str:
    if isinstance(value, _Mark):
        return "left out" if value is OMITTED else "as it should be"
    if isinstance(value, Fresh):
        return f"a new name of {value.length} characters"
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN // 2]}... ({len(text)} characters)"


# --- reading back ---------------------------------------------------------------------------------------------------

BY_OWN_FIELD: Mapping[str, tuple[str, str]] = {
    "/programs": ("targets", "targets"),
    "/events": ("programID", "programID"),
    "/reports": ("eventID", "eventID"),
    "/subscriptions": ("clientName", "clientName"),
    "/vens": ("venName", "venName"),
    "/resources": ("venID", "venID"),
}


async def views(party: Party, path: str, made: Json, *, listed: bool = True) -> list[tuple[str, Json]]:
    """An object in the answer that created it, read by id, and (when asked) in its list; Failed when it is missing."""
    read = (await party.get(f"{path}/{made['id']}")).shows(HTTPStatus.OK).object
    found = [("in the answer to the POST", made), ("when read by id", read)]
    if listed:
        found.append(("in the list", await in_list(party, path, made)))
    return found


async def in_list(party: Party, path: str, made: Json) -> Json:
    """An object as its collection lists it, narrowed by what the object itself says; Failed when it is not there."""
    for item in await party.all(path, *_narrow(path, made)):
        if item.get("id") == made["id"]:
            return item
    raise Failed(f"GET {path} should list {made['id']}")


def _narrow(path: str, made: Json) -> tuple[Query, ...]:
    query, field = BY_OWN_FIELD[path]
    value = made.get(field)
    first = value[0] if isinstance(value, list) and value else value
    return ((query, first),) if isinstance(first, str) else ()


def kept(sent: Any, got: Any, name: str = "") -> bool:
    """Whether what came back says what was sent: defaults may be added, and a start may be spelled otherwise."""
    if sent in (None, [], {}):
        return got is None or got == sent or (sent == {} and isinstance(got, dict))
    if isinstance(sent, dict):
        return isinstance(got, dict) and all(kept(value, got.get(key), key) for key, value in sent.items())
    if isinstance(sent, list):
        same = isinstance(got, list) and len(got) == len(sent)
        return same and all(kept(one, other, name) for one, other in zip(sent, got, strict=True))
    if name == "start":
        return same_instant(sent, got)
    return isinstance(sent, bool) == isinstance(got, bool) and bool(sent == got)


def same_instant(one: Any, other: Any) -> bool:
    """Whether two texts are date-times of the same instant; a start of `now` is one in all its spellings."""
    try:
        first, second = (datetime.fromisoformat(_spelled_out(str(text)).upper()) for text in (one, other))
    except ValueError:
        return False
    return (first.tzinfo is None) == (second.tzinfo is None) and first == second


def _spelled_out(text: str) -> str:
    return "0001-01-01T00:00:00Z" if text in {"0001-01-01", "0001-01-01T00:00:00"} else text


def is_date_time(value: object) -> bool:
    """Whether a value is an RFC 3339 date-time with an offset."""
    if not isinstance(value, str) or RFC_3339.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value.upper())
    except ValueError:
        return False
    return True
