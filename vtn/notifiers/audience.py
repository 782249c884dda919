"""Who hears of a change today: changes, subscriptions and clients as the pure rules want them.

Everything is judged at the moment of delivery, with today's grants, roles and subscriptions (NOTIF-08, TR-106). What
has been deleted since is read from the log. This module knows nothing of HTTP and MQTT.
"""

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from vtn.clock import RealClock
from vtn.limits import Recent
from vtn.notifiers.deleted_programs import Departed
from vtn.rules import recipients
from vtn.rules.compat30 import objects, side
from vtn.rules.entries import host_of
from vtn.rules.privacy import EVERYTHING, Lens, Match, Viewer
from vtn.rules.recipients import Happening, ObjectState, SubscriptionView, Telling
from vtn.rules.topics import VenAudience
from vtn.service.bodies import Bodies
from vtn.storage.ports import Change, ClientRecord, Delivery, Record, Role, Store
from vtn.storage.read_model import ReadModel
from vtn.wire import document
from vtn.wire.enumerations import ObjectType, Operation

REMEMBERED_TEXTS = 4_000
REMEMBERED_CHANGES = 500


class Clients(Protocol):
    """The registered clients; `auth.clients.Registry` is one."""

    async def current(self) -> None:
        """Catch up with other processes."""
        ...

    def standing(self, client_id: str | None) -> ClientRecord | None:
        """A client that may act."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What a client is today: Business Logic or a VEN, which ven is its own, and since when it has its secret."""

    is_bl: bool
    ven_id: str | None
    since_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Callback:
    """One call to make: for which entry (its number) of whose subscription, where, with which (sealed) token, what."""

    subscription_id: str
    entry: int
    client_id: str
    url: str
    sealed_token: str | None = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Withdrawn:
    """Why what was owed is owed no more: `subscription`, `client` or `entry` is gone, or it is out of the `sight`."""

    reason: str


class ChangeGone(Exception):
    """What a delivery is to tell of is no longer in the log."""


BodyKey = tuple[int, str, frozenset[str] | None, bool]


class Audience:
    """Judges changes against the live read model and the registered clients. `now` is the present of endless events."""

    def __init__(
        self,
        store: Store,
        model: ReadModel,
        clients: Clients,
        match: Match = Match.ANY,
        *,
        now: Callable[[], datetime] | None = None,
        bodies: Bodies | None = None,
    ) -> None:
        self._work = bodies or Bodies()
        most_bytes = self._work.caches.notices_bytes
        self._now = now or RealClock().now
        self._store = store
        self._model = model
        self._clients = clients
        self._match = match
        self._departed = Departed(store)
        self._changes: Recent[int, Change] = Recent(REMEMBERED_CHANGES, most_bytes)
        self._bodies: Recent[BodyKey, bytes] = Recent(REMEMBERED_CHANGES, most_bytes)
        self._parsed: Recent[bytes, dict[str, Any]] = Recent(REMEMBERED_TEXTS, most_bytes)
        self._read_to: tuple[int, int] | None = None
        self._subscribers: Recent[bytes, SubscriptionView] = Recent(REMEMBERED_TEXTS, most_bytes)

    async def current(self) -> None:
        """Know everything that was committed on this host before the call."""
        await self._clients.current()
        await self._model.current(self._store)

    # --- changes ---------------------------------------------------------------------------------------------------

    async def happening(self, change: Change) -> Happening:
        """A change as the rules see it; event programs that are gone are looked up in the log."""
        before = await self._state(change.before, change.seq) if change.before else None
        return Happening(change.operation, await self._state(change.record, change.seq), before)

    async def _state(self, record: Record, seq: int) -> ObjectState:
        program_id = self._program_of(record)
        targets = await self._program_targets(program_id, seq) if record.kind is ObjectType.EVENT else ()
        ven_id = record.id if record.kind is ObjectType.VEN else record.ven_id
        content, owner = await self._read(record), record.client_id
        return ObjectState(record.kind, record.id, content, owner, program_id, ven_id, targets, record.side)

    def _program_of(self, record: Record) -> str | None:
        if record.kind is ObjectType.PROGRAM:
            return record.id
        if record.kind is ObjectType.REPORT and (event := self._model.get(ObjectType.EVENT, record.event_id or "")):
            return event.program_id
        return record.program_id

    async def _program_targets(self, program_id: str | None, seq: int) -> tuple[str, ...] | None:
        record = self._model.get(ObjectType.PROGRAM, program_id or "")
        if record is None and program_id:
            farewell = await self._departed.find(program_id, seq - 1)
            record = farewell.program if farewell else None
        return tuple(self._content(record).get("targets") or ()) if record else None

    # --- webhooks --------------------------------------------------------------------------------------------------

    async def owed(self, change: Change) -> list[Delivery]:
        """What each subscription is owed for a change."""
        self._remember(change)
        leaving = await self._leaving_with(self._program_of(change.record), change.seq)
        subscriptions = [*self._model.every(ObjectType.SUBSCRIPTION), *leaving]
        if not subscriptions:
            return []
        happening = await self.happening(change)
        owed = []
        for record in subscriptions:
            if self._stood(record, change) and (who := self._subscriber(record)):
                entries, numbers = self._content(record)["objectOperations"], self._numbers(record)
                for position, told in recipients.answers(happening, who):
                    host = host_of(entries[position]["callbackUrl"])
                    owed.append(Delivery(record.id, numbers[position], change.seq, told.operation, host=host))
        return owed

    def _stood(self, subscription: Record, change: Change) -> bool:
        """Whether the subscription is as old as the change: by the log, or by its clock for what came before memory."""
        return change.seq >= self._model.subscribed_since(subscription.id) or subscription.created <= change.at

    def unheard_until(self, after: int) -> int:
        """The number up to which nothing after `after` concerns a subscription, as far as memory tells.

        The model counts every change but reports. While that count stands still since the log was last read to its end,
        only reports have come; with no subscription there is nobody to tell of them.
        """
        model = self._model
        nobody = next(model.every(ObjectType.SUBSCRIPTION), None) is None
        if nobody and self._read_to is not None and self._read_to[0] <= after and self._read_to[1] == model.catalogue:
            after = max(after, model.seq)
        if after == model.seq:
            self._read_to = (after, model.catalogue)
        return after

    async def _leaving_with(self, program_id: str | None, seq: int) -> tuple[Record, ...]:
        """Subscriptions deleted with their program by the same command, which shall still hear what went."""
        if program_id is None or self._model.get(ObjectType.PROGRAM, program_id) is not None:
            return ()
        farewell = await self._departed.find(program_id, seq - 1)
        return farewell.subscriptions if farewell and seq >= farewell.first_seq else ()

    def _subscriber(self, record: Record) -> SubscriptionView | None:
        """A subscription with its owner's standing of today; made anew only when one of them has changed."""
        client = self._clients.standing(record.client_id)
        if client is None:
            return None
        viewer = objects.viewer_on(self._model.viewer(client.client_id, is_bl=client.role is Role.BL), record.side)
        held = self._subscribers.get(record.body)
        if held is None or held.viewer != viewer:
            plain = recipients.subscriber(self._content(record), viewer, self._match)
            held = objects.subscriber_on(plain, record.side)
            self._subscribers.keep(record.body, held, len(record.body))
        return held

    def _content(self, record: Record) -> dict[str, Any]:
        content = self._parsed.get(record.body)
        return content if content is not None else self._keep(record, document.parse(record.body))

    async def _read(self, record: Record) -> dict[str, Any]:
        """The same; a large object is parsed beside the event loop."""
        content = self._parsed.get(record.body)
        if content is not None:
            return content
        parsed = await self._work.made(len(record.body), lambda: document.parse(record.body))
        return self._keep(record, parsed)

    def _keep(self, record: Record, content: dict[str, Any]) -> dict[str, Any]:
        self._parsed.keep(record.body, content, len(record.body) + document.footprint(content))
        return content

    async def callback(self, delivery: Delivery) -> Callback | Withdrawn:
        """The call that a delivery means today, or why it means none; ChangeGone when nobody can say."""
        await self.current()
        change = await self._change(delivery.seq)
        if change is None:
            raise ChangeGone(f"change {delivery.seq} is no longer in the log")
        happening = await self.happening(change)
        record = await self._subscription(delivery, happening)
        if record is None:
            return Withdrawn("subscription")
        if self._subscriber(record) is None:
            return Withdrawn("client")
        if delivery.entry not in self._numbers(record):
            return Withdrawn("entry")
        calls = self._calls(record, happening, change.seq, delivery.entry)
        return await anext(calls, Withdrawn("sight"))

    async def _calls(
        self, subscription: Record, happening: Happening, seq: int | None, wanted: int | None = None
    ) -> AsyncIterator[Callback]:
        """What a subscription is told of a happening today; a change has a number, a read has none."""
        who = self._subscriber(subscription)
        if who is None:
            return
        entries, numbers = self._content(subscription)["objectOperations"], self._numbers(subscription)
        on_301 = objects.speaks_301(subscription.side)
        for position, told in recipients.answers(happening, who):
            if wanted not in {None, numbers[position]}:
                continue
            entry = entries[position]
            body = await self.body(seq, told, who.viewer, who.lens, on_301=on_301)
            url, token = entry["callbackUrl"], entry.get("bearerToken")
            yield Callback(subscription.id, numbers[position], who.viewer.client_id, url, token, body)

    def _numbers(self, subscription: Record) -> Sequence[int]:
        """The numbers of a subscription's entries, by position."""
        count = len(self._content(subscription)["objectOperations"])
        return side.numbering(subscription.side, count).numbers if subscription.side else range(count)

    def callback_url(self, subscription_id: str, entry: int) -> str | None:
        """Where an entry of a standing subscription points today."""
        record = self._model.get(ObjectType.SUBSCRIPTION, subscription_id)
        numbers = self._numbers(record) if record else ()
        if record is None or entry not in numbers:
            return None
        url: str = self._content(record)["objectOperations"][numbers.index(entry)]["callbackUrl"]
        return url

    def owner(self, subscription_id: str) -> str:
        """Whose a standing subscription is; empty for one that is gone."""
        record = self._model.get(ObjectType.SUBSCRIPTION, subscription_id)
        return (record.client_id if record else None) or ""

    async def _subscription(self, delivery: Delivery, happening: Happening) -> Record | None:
        living = self._model.get(ObjectType.SUBSCRIPTION, delivery.subscription_id)
        leaving = () if living else await self._leaving_with(happening.after.program_id, delivery.seq)
        return living or next((record for record in leaving if record.id == delivery.subscription_id), None)

    async def _change(self, seq: int) -> Change | None:
        held = self._changes.get(seq)
        if held is None:
            found = await self._store.changes(seq - 1, 1)
            if not found or found[0].seq != seq:
                return None
            held = found[0]
            self._remember(held)
        return held

    def _remember(self, change: Change) -> None:
        before = len(change.before.body) if change.before else 0
        self._changes.keep(change.seq, change, len(change.record.body) + before)

    async def body(
        self, seq: int | None, told: Telling, viewer: Viewer, lens: Lens = EVERYTHING, *, on_301: bool = False
    ) -> bytes:
        """The notification's bytes, rendered once per change, operation, view and face; a read is rendered anew."""
        key = (seq or 0, str(told.operation), recipients.view_key(told.state, viewer, lens), on_301)
        body = self._bodies.get(key) if seq is not None else None
        if body is None:
            size, now = document.heft(told.state.content), self._now()
            body = await self._work.made(
                size, lambda: objects.render_notification(told, viewer, lens, now, on_301=on_301)
            )
            if seq is not None:
                self._bodies.keep(key, body, len(body))
        return body

    # --- reads -----------------------------------------------------------------------------------------------------

    def listeners(self, kind: ObjectType, reader: str) -> list[str]:
        """The subscriptions that may be told of what a client reads of a kind (NOTIF-14)."""
        return [one for one in self._model.read_by.get(kind, ()) if self._listening(one, reader)]

    def _listening(self, subscription_id: str, reader: str) -> Record | None:
        record = self._model.get(ObjectType.SUBSCRIPTION, subscription_id)
        who = self._subscriber(record) if record else None
        return record if who and recipients.hears_reads_of(reader, who) else None

    async def read_calls(self, subscription_id: str, kind: ObjectType, object_id: str, reader: str) -> list[Callback]:
        """The calls by which a subscription hears that a client has read an object, which it is told as it is now."""
        await self.current()
        subscription = self._listening(subscription_id, reader)
        is_report = kind is ObjectType.REPORT
        record = await self._store.report(object_id) if is_report else self._model.get(kind, object_id)
        if subscription is None or record is None:
            return []
        happening = Happening(Operation.READ, await self._state(record, self._model.seq))
        return [call async for call in self._calls(subscription, happening, None)]

    # --- MQTT ------------------------------------------------------------------------------------------------------

    def vens(self, change: Change) -> list[VenAudience]:
        """The vens of standing clients, and the ven of this change when it is gone, to hear of its own end."""
        records = list(self._model.every(ObjectType.VEN))
        audiences = [VenAudience(ven.id, viewer) for ven in records if (viewer := self._ven_viewer(ven.client_id))]
        ven_id = change.record.id if change.record.kind is ObjectType.VEN else change.record.ven_id
        if ven_id and self._model.get(ObjectType.VEN, ven_id) is None:
            viewer = self._ven_viewer(change.record.client_id)
            audiences += [VenAudience(ven_id, viewer)] if viewer else []
        return audiences

    def standing(self, client_id: str) -> Standing | None:
        """What a client is today; None when it is unknown or revoked."""
        client = self._clients.standing(client_id)
        if client is None:
            return None
        ven = self._model.ven_of(client_id)
        return Standing(client.role is Role.BL, ven.id if ven else None, client.valid_from_s)

    def is_ven(self, ven_id: str | None) -> bool:
        """Whether there is a ven of this id."""
        return self._model.get(ObjectType.VEN, ven_id or "") is not None

    def _ven_viewer(self, client_id: str | None) -> Viewer | None:
        client = self._clients.standing(client_id)
        return self._model.viewer(client.client_id, is_bl=False) if client else None
