"""Callbacks that kept failing: marked, told to their owner, and mended (HOOK-04).

The mark decides; the owner is told by the subscription itself, whose entry gets the member `brokenSince`, so that it is
read, listed and notified like any change. Who counts failures is not known here.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from vtn.errors import NotFound, OverQuota
from vtn.rules.compat30 import side
from vtn.storage.ports import BrokenCallback, Record, Replace, Store
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

BROKEN_SINCE = "brokenSince"
ACTOR = "vtn"

Entry = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Replayed:
    """What an operator's replay did: deliveries that will be tried again, and callbacks that were mended for it."""

    deliveries: int
    callbacks: int


def url_digest(url: str) -> str:
    """What tells one callback URL from another; a URL may hold a secret, and the mark need not."""
    return hashlib.sha256(url.encode()).hexdigest()


def without_notice(entry: Entry) -> dict[str, Any]:
    """An entry of objectOperations as its owner wrote it."""
    return {name: value for name, value in entry.items() if name != BROKEN_SINCE}


async def mark(store: Store, callback: BrokenCallback) -> None:
    """Mark a callback as broken and tell its owner; nobody is told when the subscription has changed or gone."""
    await store.put_broken(callback)
    await tell(store, callback)


async def tell(store: Store, callback: BrokenCallback) -> None:
    """Tell the owner of a mark; what it was told before is not told again."""

    def noted(number: int, entry: Entry) -> Entry:
        failed = number == callback.entry and url_digest(entry["callbackUrl"]) == callback.url_digest
        return {**entry, BROKEN_SINCE: callback.since} if failed else entry

    await _edit(store, callback.subscription_id, callback.since, noted)


async def replay(store: Store, subscription_id: str | None, at: str) -> Replayed:
    """Have dead deliveries tried again, of one subscription or of all, and mend the callbacks that they go to."""
    broken = await store.broken_callbacks(subscription_id)
    for marked in sorted({callback.subscription_id for callback in broken}):
        await store.mend(marked)
        await _edit(store, marked, at, lambda _number, entry: without_notice(entry))
    return Replayed(await store.replay(subscription_id), len(broken))


async def _edit(store: Store, subscription_id: str, at: str, change: Callable[[int, Entry], Entry]) -> None:
    """Rewrite a subscription's entries by their numbers in the VTN's own name; what changes nothing is not written.

    Nor is what its owner has no room for: then the mark alone tells (`vtn dead-letters broken`).
    """

    def revise(stored: Record) -> Record:
        content = document.parse(stored.body)
        before = content["objectOperations"]
        numbers = side.numbering(stored.side, len(before)).numbers
        entries = [change(number, entry) for number, entry in zip(numbers, before, strict=True)]
        if entries == before:
            raise NotFound("nothing to tell")
        modified = max(at, stored.modified)
        body = document.render({**content, "modificationDateTime": modified, "objectOperations": entries})
        return dataclasses.replace(stored, modified=modified, body=body)

    with contextlib.suppress(NotFound, OverQuota):
        await store.write(Replace(ObjectType.SUBSCRIPTION, subscription_id, revise), at=at, actor=ACTOR)
