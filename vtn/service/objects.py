"""Create, read, search, replace and delete, the same for every kind of object.

What differs between kinds is an `ObjectKind`: which fields a writer keeps, which references must hold, and how the
object is shown. Order of refusals: 400, 404, 409 (ERR-14); 401 and 403 came before.
"""

import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial

from vtn.auth.tokens import Principal
from vtn.errors import NotFound
from vtn.rules import privacy
from vtn.rules.admission import admit
from vtn.rules.compat30 import side
from vtn.rules.privacy import Lens
from vtn.service.core import NO_INDEX, Core, Index, Json, new_record, revised_record
from vtn.storage.ports import Create, Delete, Record, Replace
from vtn.storage.read_model import Filter
from vtn.storage.views import ObjectView, ending
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

NAMED_BY_BL = frozenset({ObjectType.VEN, ObjectType.RESOURCE})
NAMES = ("venName", "resourceName")
OWNED = NAMED_BY_BL | {ObjectType.REPORT, ObjectType.SUBSCRIPTION}


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """A write on its way: who writes, what, and what is held already (None on create), with its side data."""

    core: Core
    principal: Principal
    content: Json
    held: Json | None
    beside: str | None = None


async def _nothing(_draft: Write) -> None:
    """Most kinds have no references to check before the write."""


def _as_it_is(_draft_of: Core, _principal: Principal, body: bytes) -> bytes:
    return body


def _unchanged(content: Json, _draft: Write) -> Json:
    return content


def _by_its_own_content(_core: Core, _content: Json) -> Index:
    return NO_INDEX


def _what_still_applies(draft: Write, held: str | None) -> str | None:
    """A 3.1 write keeps the types of targets that stay and what is known of a name that stays; its timing is of 3.1."""
    if held is None:
        return None
    before = side.read(held)
    version = before.version if keeps_name(draft) else None
    return side.write(side.still_applying(dataclasses.replace(before, version=version), draft.content))


def keeps_name(draft: Write) -> bool:
    """Whether a write leaves the name of a ven or resource as it was."""
    held = draft.held or {}
    return any(key in held and held[key] == draft.content.get(key) for key in NAMES)


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectKind:
    """How one kind of object differs from the others.

    `check` refuses a draft whose references do not hold; `prepare` gives the content to store; `keep` names the fields
    that this writer's PUT leaves as they are; `index` adds what the record is found by beside its own content; `show`
    makes stored bytes fit for this client; `follow` carries children. `side` says what is remembered beside the final
    content, given what was remembered before.
    """

    type: ObjectType
    check: Callable[[Write], Awaitable[None]] = _nothing
    prepare: Callable[[Json, Write], Json] = _unchanged
    keep: Callable[[Principal], frozenset[str]] = lambda _principal: frozenset()
    index: Callable[[Core, Json], Index] = _by_its_own_content
    show: Callable[[Core, Principal, bytes], bytes] = _as_it_is
    follow: Callable[[Record, Record], Record] | None = None
    side: Callable[[Write, str | None], str | None] = _what_still_applies


def not_found(kind: ObjectType) -> NotFound:
    """The one answer for an id that is unknown and for one that is hidden (TGT-14, TGT-21)."""
    return NotFound(f"no {kind.value.lower()} with this id")


async def create(core: Core, kind: ObjectKind, principal: Principal, body: bytes) -> bytes:
    """Store a new object and return it; durable when this returns. `body` is the JSON text that the client sent."""
    content = await _admitted(core, kind, principal, body)
    return await answered(core, kind, principal, await added(core, kind, principal, content, len(body)))


async def _admitted(core: Core, kind: ObjectKind, principal: Principal, body: bytes) -> Json:
    judge = partial(admit, kind.type, is_bl=principal.is_bl, strictness=core.strictness)
    return await core.bodies.judged(principal.client_id, body, judge)


async def _shown(core: Core, kind: ObjectKind, principal: Principal, bodies: list[bytes]) -> list[bytes]:
    """Stored bytes as this client may have them."""
    if kind.show is _as_it_is:
        return bodies
    return await core.bodies.all_made((len(body), partial(kind.show, core, principal, body)) for body in bodies)


async def answered(core: Core, kind: ObjectKind, principal: Principal, record: Record) -> bytes:
    """The answer to whoever has just written an object."""
    (body,) = await _shown(core, kind, principal, [record.body])
    return body


async def added(core: Core, kind: ObjectKind, principal: Principal, content: Json, size_bytes: int) -> Record:
    """Store a new object of admitted content, which came in a body of so many bytes."""

    async def attempt() -> Record:
        draft = Write(core, principal, content, None)
        await kind.check(draft)
        at = core.now_text()
        record = await core.bodies.made(size_bytes, lambda: born(kind, draft, at))
        await core.write(Create(record), principal, at)
        return record

    return await core.judged_anew(attempt)


def born(kind: ObjectKind, draft: Write, at: str) -> Record:
    """The record of a new object."""
    core, stored = draft.core, kind.prepare(draft.content, draft)
    owner = _owner(kind, dataclasses.replace(draft, content=stored))
    record = new_record(kind.type, core.new_id(), at, stored, owner, index=kind.index(core, stored))
    return _beside(kind, draft, stored, record)


def _beside(kind: ObjectKind, draft: Write, stored: Json, record: Record) -> Record:
    """A record with what is to be remembered beside its content."""
    beside = kind.side(dataclasses.replace(draft, content=stored), record.side)
    return record if beside == record.side else dataclasses.replace(record, side=beside)


def _owner(kind: ObjectKind, draft: Write) -> str | None:
    """Who owns the object: nobody for programs and events; else as Business Logic says, or the writer itself.

    Only on OpenADR 3.0.1 can Business Logic leave it unsaid: such a ven is nobody's until somebody says.
    """
    if kind.type not in OWNED:
        return None
    if "clientID" in draft.content:
        return str(draft.content["clientID"])
    if draft.held is not None:
        return draft.held.get("clientID")
    return None if draft.principal.is_bl and kind.type in NAMED_BY_BL else draft.principal.client_id


async def replace(core: Core, kind: ObjectKind, principal: Principal, object_id: str, body: bytes) -> bytes:
    """Replace an object whole, but for the fields that this writer may not write, and return it."""
    content = await _admitted(core, kind, principal, body)
    return await answered(core, kind, principal, await exchanged(core, kind, principal, object_id, content, len(body)))


async def exchanged(
    core: Core, kind: ObjectKind, principal: Principal, object_id: str, content: Json, size_bytes: int
) -> Record:
    """Put admitted content, which came in a body of so many bytes, in an object's place.

    What nobody owns is in sight here: a PUT of Business Logic is how it gets an owner.
    """

    async def attempt() -> Record:
        held = await find(dataclasses.replace(core, sees_ownerless=True), kind, principal, object_id)
        before = await core.bodies.made(len(held.body), lambda: document.parse(held.body))
        await kind.check(Write(core, principal, content, before))
        at = core.now_text()
        command = await prepared(core, replacement(core, kind, principal, object_id, content, at), held, size_bytes)
        changes = await core.write(command, principal, at)
        return next(change.record for change in changes if change.record.id == object_id)

    return await core.judged_anew(attempt)


async def prepared(core: Core, command: Replace, held: Record, size_bytes: int) -> Replace:
    """A replacement that is made beforehand if it is large, for a transaction may run in the event loop.

    It is made anew inside the transaction if `held` is not what stands there then.
    """
    if not core.bodies.is_heavy(max(size_bytes, len(held.body))):
        return command
    ready = await core.bodies.off.do(lambda: command.revise(held))
    return dataclasses.replace(command, revise=lambda stored: ready if stored == held else command.revise(stored))


def replacement(core: Core, kind: ObjectKind, principal: Principal, object_id: str, content: Json, at: str) -> Replace:
    """The command that puts admitted content in an object's place."""

    def revise(stored: Record) -> Record:
        _own(kind, principal, stored)
        before = document.parse(stored.body)
        draft = Write(core, principal, content, before, stored.side)
        kept = {key: before[key] for key in kind.keep(principal) if key in before}
        fresh = {**kind.prepare(content, draft), **kept}
        owner = _owner(kind, dataclasses.replace(draft, content=fresh))
        record = revised_record(stored, at, fresh, owner, index=kind.index(core, fresh))
        return _beside(kind, draft, fresh, record)

    return Replace(kind.type, object_id, revise, kind.follow)


async def delete(core: Core, kind: ObjectKind, principal: Principal, object_id: str) -> bytes:
    """Delete an object and what hangs on it, and return what it was."""
    return await answered(core, kind, principal, await deleted(core, kind, principal, object_id))


async def deleted(core: Core, kind: ObjectKind, principal: Principal, object_id: str) -> Record:
    """The same, as a record."""
    await find(core, kind, principal, object_id)
    changes = await core.write(removal(core, kind, principal, object_id), principal, core.now_text())
    return next(change.record for change in changes if change.record.id == object_id)


def removal(core: Core, kind: ObjectKind, principal: Principal, object_id: str) -> Delete:
    """The command that takes an object away."""
    return Delete(kind.type, object_id, lambda stored: _own(kind, principal, stored), core.cascade)


async def find(core: Core, kind: ObjectKind, principal: Principal, object_id: str) -> Record:
    """The stored object, whole, for a client that may see it; NotFound otherwise."""
    if kind.type is ObjectType.REPORT:
        record = await core.store.report(object_id)
        if record is None or not privacy.owned_visible(record.client_id, core.viewer(principal)):
            raise not_found(kind.type)
        return record
    record = core.model.get(kind.type, object_id)
    if record is None or not core.model.visible(kind.type, object_id, core.viewer(principal)):
        raise not_found(kind.type)
    return record


def _own(kind: ObjectKind, principal: Principal, stored: Record) -> None:
    """Judge ownership again inside the transaction: the object may have moved since it was found."""
    if kind.type in OWNED and not principal.is_bl and stored.client_id != principal.client_id:
        raise not_found(kind.type)


async def read(core: Core, kind: ObjectKind, principal: Principal, object_id: str) -> bytes:
    """An object as this client may read it."""
    return (await read_version(core, kind, principal, object_id))[0]


async def read_version(core: Core, kind: ObjectKind, principal: Principal, object_id: str) -> tuple[bytes, Record]:
    """The same, with the record that it is the reading of: by now there may be another."""
    if kind.type is ObjectType.REPORT:
        record = await find(core, kind, principal, object_id)
        body = record.body
    else:
        sight = core.model.sight(kind.type, object_id, core.viewer(principal))
        if sight is None:
            raise not_found(kind.type)
        record = sight.record
        (body,) = await _made(core, [sight])
    core.shown(kind.type, principal, [body])
    (shown,) = await _shown(core, kind, principal, [body])
    return shown, record


async def search(core: Core, kind: ObjectKind, principal: Principal, lens: Lens, narrow: Filter) -> bytes:
    """A page of objects as a JSON list."""
    return json_list((await found(core, kind, principal, lens, narrow))[0])


async def found(
    core: Core, kind: ObjectKind, principal: Principal, lens: Lens, narrow: Filter
) -> tuple[list[bytes], list[Record]]:
    """A page of objects, each as this client may read it, and the records that they are the readings of."""
    if narrow.active_at is not None:
        await _judge_endings(core)
    sights = core.model.sights(kind.type, core.viewer(principal), lens, narrow)
    bodies = await _made(core, sights)
    core.shown(kind.type, principal, bodies)
    return await _shown(core, kind, principal, bodies), [sight.record for sight in sights]


async def _made(core: Core, sights: list[ObjectView]) -> list[bytes]:
    """The bytes of what is shown; those that have to be made are made beside the event loop when they are many."""
    bodies = [core.model.made(sight) for sight in sights]
    missing = [sight for sight, body in zip(sights, bodies, strict=True) if body is None]
    if missing:
        fresh = await core.bodies.all_made((len(sight.record.body), sight.rendered) for sight in missing)
        for sight, body in zip(missing, fresh, strict=True):
            core.model.keep(sight, body)
        made = iter(fresh)
        bodies = [next(made) if body is None else body for body in bodies]
    return [body for body in bodies if body is not None]


async def _judge_endings(core: Core) -> None:
    """Find out when events are over, before `active` is judged by it: each once, and very many beside the loop."""
    waiting = core.model.unjudged()
    if core.bodies.is_heavy(sum(len(entry.record.body) for entry in waiting)):
        makers = ((len(entry.record.body), partial(ending, entry.record)) for entry in waiting)
        for entry, ends in zip(waiting, await core.bodies.all_made(makers), strict=True):
            core.model.judged(entry, ends)


def json_list(bodies: list[bytes]) -> bytes:
    """JSON objects as a JSON list."""
    return b"[" + b",".join(bodies) + b"]"
