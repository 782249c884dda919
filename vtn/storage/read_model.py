"""Every object but reports, in memory and ready to send, kept current by the change log.

VENs poll and events change rarely, so a read costs dictionary look-ups and a join of bytes: no SQL, no validation, and
no serialisation but once per version and view of an object. A reader calls `current()` first; it compares the number
this process has applied with the number any process on this host has committed, and catches up when they differ.
"""

import asyncio
import bisect
import dataclasses
import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count, islice
from types import MappingProxyType

from vtn.limits import Recent
from vtn.rules import privacy
from vtn.rules.compat30 import side
from vtn.rules.privacy import EVERYTHING, Lens, NamesGrant, Viewer
from vtn.storage.ports import Change, Record, Store
from vtn.storage.views import ObjectView, View, ending, indexed, kinds_to_hear_read, subscribed_kinds
from vtn.wire.enumerations import ObjectType, Operation

Key = tuple[str, str]
UNTARGETED = ""
MOST_VIEWS = 100_000
VIEWS_BYTES = 32 * 1_048_576
TURN_BYTES = 1_048_576


@dataclasses.dataclass(slots=True)
class Entry:
    """One version of one object: its record, what it is found by, a number of its own, and when an event is over."""

    record: Record
    key: Key
    targets: tuple[str, ...]
    cut: bool
    kinds: frozenset[str]
    number: int
    ends: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """What a list request narrows by, beside targets; None means any. `admits` narrows by whatever else there is."""

    program_id: str | None = None
    ven_id: str | None = None
    name: str | None = None
    client_name: str | None = None
    objects: frozenset[str] = frozenset()
    admits: Callable[[Record], bool] | None = None
    active_at: datetime | None = None
    skip: int = 0
    limit: int = 50


class ReadModel:
    """The objects of one top node. Only `apply` and `load` change it; both run between two awaits.

    `names` says whose word makes a name a grant; `named_clients` are vens (venName -> clientID) that the settings name.

    `seq` is the newest log number taken, `catalogue` counts the changes that a list could show, and `read_by` names the
    subscriptions that wish to hear of reads, for each kind of object that has any.
    """

    def __init__(
        self,
        *,
        through_programs: bool = True,
        names: NamesGrant = NamesGrant.BUSINESS_LOGIC,
        named_clients: Mapping[str, str] = MappingProxyType({}),
        views_bytes: int = VIEWS_BYTES,
    ) -> None:
        self._through_programs = through_programs
        self._names = names
        self._named_clients = named_clients
        self._views: Recent[View, bytes] = Recent(MOST_VIEWS, views_bytes)
        self._number = count().__next__
        self.seq = 0
        self.catalogue = 0
        self._loaded = 0
        self._empty()

    def _empty(self) -> None:
        self._entries: dict[ObjectType, dict[str, Entry]] = {kind: {} for kind in ObjectType}
        self._order: dict[ObjectType, dict[str, list[Key]]] = {kind: defaultdict(list) for kind in ObjectType}
        self._by_program: dict[str, list[Key]] = defaultdict(list)
        self._all: dict[ObjectType, list[Key]] = {kind: [] for kind in ObjectType}
        self._ven_of_client: dict[str, str] = {}
        self._resources_of_ven: dict[str, set[str]] = defaultdict(set)
        self._grants: dict[str, frozenset[str]] = {}
        self._subscribed: dict[str, int] = {}
        self._endings: dict[str, Entry] = {}
        self.read_by: dict[str, set[str]] = {}

    # --- keeping current -----------------------------------------------------------------------------------------

    async def load(self, store: Store) -> None:
        """Read everything: at start, and when the log no longer holds what this process has missed."""
        self.seq, records = await store.objects()
        self.catalogue += 1
        self._empty()
        self._loaded = self.seq
        for record in sorted(records, key=lambda record: (record.created, record.id)):
            self._insert(record)

    async def current(self, store: Store) -> None:
        """Return once everything that was committed on this host before the call has been applied."""
        while self.seq < store.shared_head():
            changes = await store.changes(self.seq)
            if not changes:
                return
            if changes[0].seq > self.seq + 1:
                await self.load(store)
            await self._apply_in_turns(changes)

    async def _apply_in_turns(self, changes: Sequence[Change]) -> None:
        """Take changes; of large objects a few at a time, so that others are served between them."""
        weight = 0
        for change in changes:
            self.apply((change,))
            weight += len(change.record.body)
            if weight >= TURN_BYTES:
                weight = 0
                await asyncio.sleep(0)

    def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in log order; what was taken already is skipped, and a gap is left for `current` to fill."""
        for change in changes:
            if change.seq == self.seq + 1:
                if change.record.kind is not ObjectType.REPORT:
                    self.catalogue += 1
                    self._remove(change.record.kind, change.record.id)
                    if change.operation is not Operation.DELETE:
                        self._insert(change.record)
                    self._note_subscription(change)
                self.seq = change.seq

    def _note_subscription(self, change: Change) -> None:
        if change.operation is Operation.DELETE:
            self._subscribed.pop(change.record.id, None)
        elif change.record.kind is ObjectType.SUBSCRIPTION and change.operation is Operation.CREATE:
            self._subscribed[change.record.id] = change.seq

    def subscribed_since(self, subscription_id: str) -> int:
        """A log number at which the subscription is known to have stood; unlike its times, no clock can be wrong."""
        return self._subscribed.get(subscription_id, self._loaded)

    def _insert(self, record: Record) -> None:
        content = indexed(record)
        targets = tuple(content.get("targets") or ())
        key = (record.created, record.id)
        cut = any(descriptor.get("targets") for descriptor in privacy.report_requests(record.kind, content))
        entry = Entry(record, key, targets, cut, subscribed_kinds(record, content), self._number())
        self._entries[record.kind][record.id] = entry
        bisect.insort(self._all[record.kind], key)
        for target in set(targets) or {UNTARGETED}:
            bisect.insort(self._order[record.kind][target], key)
        if record.kind is ObjectType.EVENT:
            self._endings[record.id] = entry
            if record.program_id:
                bisect.insort(self._by_program[record.program_id], key)
        if record.kind is ObjectType.SUBSCRIPTION:
            for name in kinds_to_hear_read(content):
                self.read_by.setdefault(name, set()).add(record.id)
        self._index_grants(record, present=True)

    def _remove(self, kind: ObjectType, object_id: str) -> None:
        entry = self._entries[kind].pop(object_id, None)
        if entry is None:
            return
        _discard(self._all[kind], entry.key)
        for target in set(entry.targets) or {UNTARGETED}:
            _discard(self._order[kind][target], entry.key)
        if kind is ObjectType.EVENT:
            self._endings.pop(object_id, None)
            if entry.record.program_id:
                _discard(self._by_program[entry.record.program_id], entry.key)
        if kind is ObjectType.SUBSCRIPTION:
            self.read_by = {name: left for name, ids in self.read_by.items() if (left := ids - {object_id})}
        self._index_grants(entry.record, present=False)

    def _index_grants(self, record: Record, *, present: bool) -> None:
        if record.kind is ObjectType.VEN and record.client_id:
            self._grants.pop(record.client_id, None)
            if present:
                self._ven_of_client[record.client_id] = record.id
            else:
                self._ven_of_client.pop(record.client_id, None)
        elif record.kind is ObjectType.RESOURCE and record.ven_id:
            siblings = self._resources_of_ven[record.ven_id]
            (siblings.add if present else siblings.discard)(record.id)
            if ven := self._entries[ObjectType.VEN].get(record.ven_id):
                self._grants.pop(ven.record.client_id or "", None)

    # --- who may see what ----------------------------------------------------------------------------------------

    def grants(self, client_id: str) -> frozenset[str]:
        """The targets granted to a VEN client: those of its ven and of that ven's resources (TGT-03), and their names.

        Names count as OpenADR 3.0.1 has them (targets of the types VEN_NAME and RESOURCE_NAME), where Business Logic
        gave them on 3.0.1 or the settings say whose they are.
        """
        granted = self._grants.get(client_id)
        if granted is None:
            ven = self.ven_of(client_id)
            granted = frozenset(self._targets_of(ven)) if ven else frozenset()
            self._grants[client_id] = granted
        return granted

    def _targets_of(self, ven: Record) -> Iterator[str]:
        resources = (self._entries[ObjectType.RESOURCE][one] for one in self._resources_of_ven[ven.id])
        for entry in (self._entries[ObjectType.VEN][ven.id], *resources):
            yield from entry.targets
            if entry.record.name and self._grants_its_name(entry.record):
                yield entry.record.name

    def _grants_its_name(self, record: Record) -> bool:
        if self._names is not NamesGrant.BUSINESS_LOGIC:
            return self._names is NamesGrant.ANYBODY
        named = record.kind is ObjectType.VEN and record.client_id is not None
        if named and self._named_clients.get(record.name or "") == record.client_id:
            return True
        return side.read(record.side).version == side.V301

    def viewer(self, client_id: str, *, is_bl: bool) -> Viewer:
        """A client as the privacy rules see it, with today's grants."""
        return Viewer(client_id, is_bl, frozenset() if is_bl else self.grants(client_id), self._through_programs)

    def ven_of(self, client_id: str) -> Record | None:
        """The ven of a client, if it has one."""
        ven_id = self._ven_of_client.get(client_id)
        return self.get(ObjectType.VEN, ven_id) if ven_id else None

    def resources_of(self, ven_id: str) -> list[Record]:
        """The resources of a ven, oldest first, whole."""
        entries = self._entries[ObjectType.RESOURCE]
        mine = (entries[resource_id] for resource_id in self._resources_of_ven.get(ven_id, ()))
        return [entry.record for entry in sorted(mine, key=lambda entry: entry.key)]

    def targets(self, kind: ObjectType, object_id: str) -> tuple[str, ...]:
        """The targets of an object, whole."""
        entry = self._entries[kind].get(object_id)
        return entry.targets if entry else ()

    def visible(self, kind: ObjectType, object_id: str, viewer: Viewer) -> bool:
        """Whether this client may see the object (which must exist to be seen)."""
        entry = self._entries[kind].get(object_id)
        return entry is not None and self._visible(entry, viewer, EVERYTHING)

    def _visible(self, entry: Entry, viewer: Viewer, lens: Lens) -> bool:
        kind = entry.record.kind
        if kind is ObjectType.EVENT:
            program = self._entries[ObjectType.PROGRAM].get(entry.record.program_id or "")
            return privacy.event_visible(entry.targets, program.targets if program else (), viewer, lens)
        if kind is ObjectType.PROGRAM:
            return privacy.targets_visible(entry.targets, viewer, lens)
        return privacy.owned_visible(entry.record.client_id, viewer) and _asked_for(entry.targets, lens)

    # --- reading -------------------------------------------------------------------------------------------------

    def get(self, kind: ObjectType, object_id: str) -> Record | None:
        """An object by id, whole, whoever asks."""
        entry = self._entries[kind].get(object_id)
        return entry.record if entry else None

    def every(self, kind: ObjectType) -> Iterator[Record]:
        """All objects of a kind, oldest first, whole."""
        entries = self._entries[kind]
        return (entries[object_id].record for _, object_id in tuple(self._all[kind]))

    def read(self, kind: ObjectType, object_id: str, viewer: Viewer) -> bytes | None:
        """An object by id as this client may read it; None when hidden or missing, which look the same (TGT-14)."""
        sight = self.sight(kind, object_id, viewer)
        return self.body(sight) if sight else None

    def search(self, kind: ObjectType, viewer: Viewer, lens: Lens, narrow: Filter) -> list[bytes]:
        """A page of what this client may read, oldest first by (created, id); privacy and filters before paging."""
        return [self.body(sight) for sight in self.sights(kind, viewer, lens, narrow)]

    def sight(self, kind: ObjectType, object_id: str, viewer: Viewer) -> ObjectView | None:
        """The same as `read`, before its bytes are made."""
        entry = self._entries[kind].get(object_id)
        if entry is None or not self._visible(entry, viewer, EVERYTHING):
            return None
        return self._sight(entry, viewer, EVERYTHING)

    def sights(self, kind: ObjectType, viewer: Viewer, lens: Lens, narrow: Filter) -> list[ObjectView]:
        """The same as `search`, before their bytes are made."""
        entries = self._entries[kind]
        found = (entries[object_id] for _, object_id in self._candidates(kind, viewer, lens, narrow))
        kept = (e for e in found if self._visible(e, viewer, lens) and self._passes(e, narrow))
        page = islice(kept, narrow.skip, narrow.skip + narrow.limit)
        return [self._sight(entry, viewer, lens) for entry in page]

    def made(self, sight: ObjectView) -> bytes | None:
        """The bytes of a view, if they need not be made any more."""
        return sight.record.body if sight.view is None else self._views.get(sight.view)

    def keep(self, sight: ObjectView, body: bytes) -> None:
        """Remember the bytes of a view, as long as there is room."""
        if sight.view is not None:
            self._views.keep(sight.view, body, sight.weight(body))

    @property
    def views_bytes(self) -> int:
        """What the remembered views weigh."""
        return self._views.bytes

    def body(self, sight: ObjectView) -> bytes:
        """The bytes of a view, made in place when they have to be."""
        body = self.made(sight)
        if body is None:
            body = sight.rendered()
            self.keep(sight, body)
        return body

    def _candidates(self, kind: ObjectType, viewer: Viewer, lens: Lens, narrow: Filter) -> Iterable[Key]:
        """The shortest ordered list of keys that is sure to hold every answer."""
        if kind is ObjectType.EVENT and narrow.program_id is not None:
            return self._by_program.get(narrow.program_id, ())
        if viewer.is_bl and lens.asked is None:
            return self._all[kind]
        if kind not in privacy.TARGETED:
            return self._all[kind] if viewer.is_bl else self._owned(kind, viewer.client_id)
        through = lens.asked if viewer.is_bl and lens.asked is not None else privacy.usable_targets(viewer, lens)
        names = set(through) if lens.asked is not None else {*through, UNTARGETED}
        orders = self._order[kind]
        return _distinct(heapq.merge(*(orders[name] for name in names if name in orders)))

    def _owned(self, kind: ObjectType, client_id: str) -> Iterable[Key]:
        if kind is ObjectType.VEN:
            ven = self.ven_of(client_id)
            return [(ven.created, ven.id)] if ven else []
        if kind is ObjectType.RESOURCE and (ven := self.ven_of(client_id)):
            resources = self._entries[ObjectType.RESOURCE]
            return sorted(resources[resource_id].key for resource_id in self._resources_of_ven[ven.id])
        return self._all[kind]

    def _passes(self, entry: Entry, narrow: Filter) -> bool:
        record = entry.record
        pairs = (
            (narrow.program_id, record.program_id),
            (narrow.ven_id, record.ven_id),
            (narrow.name, record.name),
            (narrow.client_name, record.client_name),
        )
        if any(wanted is not None and wanted != held for wanted, held in pairs):
            return False
        if narrow.admits is not None and not narrow.admits(record):
            return False
        if narrow.active_at is not None and self._transpired(entry, narrow.active_at):
            return False
        return not narrow.objects or narrow.objects <= entry.kinds

    def _transpired(self, entry: Entry, now: datetime) -> bool:
        """Whether an event is over; when that is depends on its content alone and is found out once."""
        if entry.ends is None:
            entry.ends = ending(entry.record)
            self._endings.pop(entry.record.id, None)
        return entry.ends <= now

    def unjudged(self) -> list[Entry]:
        """The events of which nobody has found out when they are over."""
        return list(self._endings.values())

    def judged(self, entry: Entry, ends: datetime) -> None:
        """Remember when an event is over; if it was replaced meanwhile, that says nothing of its successor."""
        entry.ends = ends
        if self._endings.get(entry.record.id) is entry:
            del self._endings[entry.record.id]

    def _sight(self, entry: Entry, viewer: Viewer, lens: Lens) -> ObjectView:
        """What of the object this viewer is shown; its bytes are made once per distinct view and version of it."""
        kind = entry.record.kind
        if kind in privacy.TARGETED and not viewer.is_bl:
            shown = privacy.shown_targets(entry.targets, viewer, lens)
            if not entry.cut and len(shown) == len(set(entry.targets)):
                return ObjectView(entry.record)
            view = privacy.usable_targets(viewer, lens) if entry.cut else shown
            return ObjectView(entry.record, (entry.number, view), viewer, lens)
        if kind is ObjectType.SUBSCRIPTION and entry.record.client_id != viewer.client_id:
            return ObjectView(entry.record, (entry.number, frozenset()), viewer, lens)
        return ObjectView(entry.record)


def _discard(keys: list[Key], key: Key) -> None:
    position = bisect.bisect_left(keys, key)
    if position < len(keys) and keys[position] == key:
        del keys[position]


def _distinct(keys: Iterable[Key]) -> Iterator[Key]:
    previous: Key | None = None
    for key in keys:
        if key != previous:
            yield key
        previous = key


def _asked_for(targets: Sequence[str], lens: Lens) -> bool:
    """The `targets` query on vens and resources: a plain filter on the object's own targets (VEN-22, RES-21)."""
    if lens.asked is None:
        return True
    wanted = lens.asked
    return wanted.issubset(targets) if lens.match is privacy.Match.ALL else not wanted.isdisjoint(targets)
