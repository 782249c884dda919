"""Tries the values of one schema field on a live VTN, one POST for each, with the rest of the body valid.

A `FieldCase` is one row of a table: where the field stands (`FieldPlace`), whether it may be left out or null
(`Presence`), and which values its type takes and refuses (`Rule`). `checks_of` turns rows into checks. What is accepted
must come back the same in the answer, in a read by id and in the list. This module knows no particular object.
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

from vtn.checking.verdict import Cause, Failed, expect
from vtn.conformance.bodies.members import fault_of, missing
from vtn.conformance.check import ConformanceCheck, register
from vtn.conformance.kit import Kit, not_made, refused_reads
from vtn.conformance.parties.exchange import HttpAnswer, Json, Party, Query
from vtn.conformance.requirements import Level
from vtn.wire.interval import parse_duration

Way = tuple[str | int, ...]
LONGEST_SHOWN = 60
MADE = {HTTPStatus.CREATED, HTTPStatus.OK}
INSTANTS = frozenset({"start", "createdDateTime", "modificationDateTime"})
DURATIONS = frozenset({"duration", "randomizeStart"})
DEFAULTS: Mapping[str, Any] = {
    "duration": "PT0S",
    "randomizeStart": "PT0S",
    "aggregate": False,
    "startInterval": -1,
    "numIntervals": -1,
    "historical": True,
    "frequency": -1,
    "repeat": 1,
    "reportIntervals": "INTERVALS",
}
"""What the schema says of members that are left out, and so may be left out of answers (GEN-14)."""
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
    """Whether a field must be there, may be null, or may only be left out.

    A DERIVABLE one may also be filled in by the VTN, from what else the body says. Whether a VTN must do without a
    WANTED one, which the schema does not require, is tried elsewhere, as a reading.
    """

    REQUIRED = "required"
    DERIVABLE = "required, or filled in by the VTN from the rest,"
    NULLABLE = "optional and nullable"
    OMITTABLE = "optional and not nullable"
    WANTED = "not nullable"


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
class FormWriter:
    """Who posts one form during one check, and how to make a fresh valid body."""

    party: Party
    fresh: Callable[[], Json]


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """A request schema: the collection it goes to, the kind that comes back (`PROGRAM` ...), and how to prepare."""

    schema: str
    path: str
    kind: str
    prepare: Callable[[Kit], Awaitable[FormWriter]]


@dataclasses.dataclass(frozen=True, slots=True)
class FieldPlace:
    """Where a field stands: what the body holds besides, and the way from the body to the part that has the field."""

    form: Form
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    way: Way = ()


@dataclasses.dataclass(frozen=True, slots=True)
class FieldCase:
    """One row. `default` is what may be shown when it is left out; `shown` what comes back, when not what was sent."""

    id: str
    schema: str
    name: str
    places: tuple[FieldPlace, ...]
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


def checks_of(fields: Iterable[FieldCase]) -> None:
    """Register one check per row."""
    for field in fields:
        name = f"{field.schema}_{field.name}_follows_its_schema".replace("[]", "").replace(".", "_")
        cited = (field.id, *field.also)
        register(ConformanceCheck(name, field.claim, cited, Level.SHALL, (), functools.partial(obeyed, field)))


async def obeyed(field: FieldCase, kit: Kit) -> None:
    """Try a field at all its places; Failed at the first value that is not treated as the schema has it."""
    for place in field.places:
        trial = Trial(kit, field, place, await place.form.prepare(kit))
        for number, value in enumerate(field.rule.good):
            await trial.accepts(value, listed=number == 0)
        await trial.absent()
        for value in field.rule.bad:
            await trial.refuses(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One field at one place during one check."""

    kit: Kit
    field: FieldCase
    place: FieldPlace
    desk: FormWriter

    async def absent(self) -> None:
        """The field left out, and null, are treated as its presence has it."""
        presence = self.field.presence
        if presence in {Presence.REQUIRED, Presence.DERIVABLE}:
            for nothing in (OMITTED, None):
                await (self.refuses(nothing) if presence is Presence.REQUIRED else self.refuses_or_fills_in(nothing))
            return
        if presence is not Presence.WANTED:
            await self.accepts(OMITTED)
        await (self.accepts(None) if presence is Presence.NULLABLE else self.never_echoes_null())

    async def accepts(self, value: Any, *, listed: bool = False) -> None:
        """A POST with this value creates an object that shows it wherever it is read, which is deleted again."""
        body, answer = await self._post(value)
        if answer.status not in MADE:
            cause = await self._standing() or refused_reads(self.place.form.path, body)
            raise Failed(self._words(value, f"should be accepted, but got {answer.status}"), cause)
        sent = _part(body, self.place.way).get(self.field.name, OMITTED)
        await self._seen_everywhere(sent, answer.object, listed=listed)
        await self._drop(answer)

    async def refuses(self, value: Any) -> None:
        """A POST with this value is answered 400 with a problem document."""
        _, answer = await self._post(value)
        self._expect(answer.status == HTTPStatus.BAD_REQUEST, value, f"should be refused, but got {answer.status}")
        answer.problem(HTTPStatus.BAD_REQUEST)

    async def refuses_or_fills_in(self, nothing: Any) -> None:
        """Without the field, or with null in it (TR-31), a POST is answered 400, or the object has the right value."""
        right = self.desk.fresh()[self.field.name]
        _, answer = await self._post(nothing)
        if answer.status not in MADE:
            self._expect(answer.status == HTTPStatus.BAD_REQUEST, nothing, f"should get 400, but got {answer.status}")
            return
        shown = answer.object.get(self.field.name)
        self._expect(shown == right, nothing, f"is filled in as {_words(shown)}, and not as {_words(right)}")
        await self._drop(answer)

    async def never_echoes_null(self) -> None:
        """A null that may only be left out is refused, or taken as left out (TR-31)."""
        _, answer = await self._post(None)
        if answer.status == HTTPStatus.BAD_REQUEST:
            answer.problem(HTTPStatus.BAD_REQUEST)
            return
        self._expect(answer.status in MADE, None, f"should get 400 or 201, but got {answer.status}")
        await self._seen_everywhere(OMITTED, answer.object, listed=False)
        await self._drop(answer)

    async def _post(self, value: Any) -> tuple[Json, HttpAnswer]:
        body = {**self.desk.fresh(), **copy.deepcopy(dict(self.place.extra))}
        part = _part(body, self.place.way)
        if value is OMITTED:
            part.pop(self.field.name, None)
        elif value is not VALID:
            part[self.field.name] = self._real(value)
        return body, await self.desk.party.post(self.place.form.path, body)

    async def _standing(self) -> Cause | None:
        """The cause when not the value is refused, but the body that it stands in; None when that is taken."""
        body = {**self.desk.fresh(), **copy.deepcopy(dict(self.place.extra))}
        answer = await self.desk.party.post(self.place.form.path, body)
        return None if answer.status in MADE else not_made(self.place.form.path, body, answer)

    async def _seen_everywhere(self, value: Any, made: Json, *, listed: bool) -> None:
        for where, seen in await views(self.desk.party, self.place.form.path, made, listed=listed):
            mine = str(self.place.way[0]) if self.place.way else self.field.name
            if fault := fault_of(self.place.form.kind, seen, mine):
                raise fault
            part = _part(seen, self.place.way, self.place.form.kind)
            self._expect(self._shows(value, part), value, f"comes back as {_words(part.get(self.field.name))} {where}")

    def _shows(self, value: Any, part: Json) -> bool:
        got = part.get(self.field.name)
        if value is not OMITTED and value is not None:
            if got is None and self.field.default is not None and kept(value, self.field.default, self.field.name):
                return True
            return kept(value if self.field.shown is AS_SENT else self.field.shown, got, self.field.name)
        null_shown = self.field.name in part and got is None
        if null_shown:
            return self.field.presence is Presence.NULLABLE
        return got in (None, []) or kept(self.field.default, got, self.field.name)

    async def _drop(self, answer: HttpAnswer) -> None:
        await self.kit.drop(self.desk.party, f"{self.place.form.path}/{answer.object['id']}")

    def _real(self, value: Any) -> Any:
        if isinstance(value, Fresh):
            return self.kit.name("f").ljust(value.length, "x")
        return value

    def _words(self, value: Any, words: str) -> str:
        where = ".".join(map(str, (self.place.form.schema, *self.place.way, self.field.name)))
        return f"{where} {_words(value)} {words}"

    def _expect(self, condition: bool, value: Any, words: str) -> None:  # noqa: FBT001 - the condition is the subject
        expect(condition, self._words(value, words))


def _part(body: Json, way: Way, kind: str = "") -> Json:
    """The part of a body that a way leads to; Failed when it is not there, because of the first member of the way."""
    node: Any = body
    for step in way:
        try:
            node = dict.__getitem__(node, step) if isinstance(node, dict) else node[step]
        except (KeyError, IndexError, TypeError):
            cause = missing(kind, str(way[0])) if kind else None
            raise Failed(f"the object should have {'.'.join(map(str, way))}", cause) from None
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
    """Whether what came back says what was sent.

    Defaults may be added or left out, a date-time and a duration may be spelled otherwise.
    """
    if sent in (None, [], {}):
        return got is None or got == sent or (sent == {} and isinstance(got, dict))
    if got is None:
        return name in DEFAULTS and same_value(sent, DEFAULTS[name], name)
    if isinstance(sent, dict):
        return isinstance(got, dict) and all(kept(value, got.get(key), key) for key, value in sent.items())
    if isinstance(sent, list):
        same = isinstance(got, list) and len(got) == len(sent)
        return same and all(kept(one, other, name) for one, other in zip(sent, got, strict=True))
    return same_value(sent, got, name)


def keeps(sent: Json, got: Json, words: str) -> None:
    """Failed when an object does not say what was sent, because of the first member that it lost or changed."""
    kind = getattr(got, "kind", "") or str(got.get("objectType"))
    for name, value in sent.items():
        if not kept(value, got.get(name), name):
            lost, shown = missing(kind, name), _words(got.get(name))
            cause = lost if name not in got else Cause(f"{kind}.{name} is changed", lost.owners)
            raise Failed(f"{words}: {name} {_words(value)} is {shown}", cause)


def alike(one: Any, other: Any) -> bool:
    """Whether two views of an object say the same, each of which may leave out what has its default."""
    return kept(one, other) and kept(other, one)


def same_value(one: Any, other: Any, name: str) -> bool:
    """Whether two values of a member are the same: instants and durations as such, others as JSON."""
    if name in INSTANTS:
        return same_instant(one, other)
    if name in DURATIONS:
        return same_duration(one, other)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def same_duration(one: Any, other: Any) -> bool:
    """Whether two texts are durations of the same length: PT60M is PT1H, and P7D is P1W, but P1M is not P30D."""
    try:
        return parse_duration(str(one)) == parse_duration(str(other))
    except ValueError:
        return False


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
