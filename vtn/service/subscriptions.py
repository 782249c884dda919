"""Subscriptions: nothing is accepted that will not be delivered, and callback tokens are sealed at rest.

Every new callback URL is challenged before the subscription is stored (SUB-17..21), and one that had been marked broken
is challenged again, which mends it. The owner reads its own tokens; nobody else does (SUB-23).
"""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

from vtn.auth.tokens import Principal
from vtn.bounds import DeliveryBounds
from vtn.errors import Conflict, Fault, Rejected, TooOften
from vtn.limits import Limit
from vtn.rules.compat30 import side
from vtn.rules.compat30.side import Side
from vtn.rules.entries import Numbering, host_of, renumbered
from vtn.service.broken_callbacks import url_digest, without_notice
from vtn.service.core import Core, Json
from vtn.service.objects import ObjectKind, Write
from vtn.storage.ports import BrokenCallback
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

MOST_FAILED_CHALLENGES = 10


def _within_bounds(draft: Write) -> None:
    """Each entry may be owed every event, so one subscription has so many and no more, nor targets to be matched."""
    quotas = draft.core.quotas
    amounts = (("objectOperations", quotas.entries_in_one), ("targets", quotas.targets_in_one))
    faults = [
        Fault(f"$.{name}", f"has {number} items; one subscription may have {most}")
        for name, most in amounts
        if (number := len(draft.content.get(name) or ())) > most
    ]
    if faults:
        raise Rejected(faults)


async def _can_be_delivered(draft: Write) -> None:
    _within_bounds(draft)
    viewer = draft.core.viewer(draft.principal)
    program_id = draft.content.get("programID")
    if program_id is not None and not draft.core.model.visible(ObjectType.PROGRAM, program_id, viewer):
        raise Conflict("$.programID: no program with this id")
    broken = await draft.core.store.broken_callbacks(draft.held["id"]) if draft.held else ()
    proven = _proven(draft.held, broken) if draft.held else set()
    new = {entry["callbackUrl"] for entry in draft.content["objectOperations"]} - proven
    if new:
        draft.core.admit_challenges(draft.principal.client_id, new)
    faults: list[Fault] = []
    for position, entry in enumerate(draft.content["objectOperations"]):
        url = entry["callbackUrl"]
        if url not in proven and len(faults) < MOST_FAILED_CHALLENGES:  # one request must not call thousands of hosts
            reason = await draft.core.challenge(url, entry.get("bearerToken"))
            if reason:
                faults.append(Fault(f"$.objectOperations[{position}].callbackUrl", f"echo challenge failed: {reason}"))
            proven.add(url)
    if faults:
        raise Rejected(faults)
    if draft.held:  # whatever broke meanwhile too: the new content does not say it
        await draft.core.store.mend(draft.held["id"])


def _proven(held: Json, broken: Sequence[BrokenCallback]) -> set[str]:
    """The callback URLs of a stored subscription that need not be challenged again."""
    failed = {callback.url_digest for callback in broken}
    urls = {entry["callbackUrl"] for entry in held["objectOperations"]}
    return {url for url in urls if url_digest(url) not in failed}


def _sealed(content: Json, draft: Write) -> Json:
    own = [without_notice(entry) for entry in content["objectOperations"]]
    return _with_tokens({**content, "objectOperations": own}, draft.core.seal.close)


def _opened(core: Core, principal: Principal, body: bytes) -> bytes:
    """The subscription with its tokens in the clear for its owner; others never get here with tokens in it."""
    if b'"bearerToken"' not in body:
        return body
    content = document.parse(body)
    mine = content["clientID"] == principal.client_id
    return document.render(_with_tokens(content, core.seal.open if mine else lambda _token: None))


def _with_tokens(content: Json, change: Any) -> Json:
    entries = [
        {**entry, "bearerToken": change(entry["bearerToken"])} if entry.get("bearerToken") is not None else entry
        for entry in content["objectOperations"]
    ]
    return {**content, "objectOperations": entries}


def spoken_by(draft: Write, given: Side, held: str | None) -> str | None:
    """A subscriber hears the version that it last wrote in itself; a write of somebody else's does not change that."""
    before = side.read(held)
    mine = draft.held is None or draft.held["clientID"] == draft.principal.client_id
    types = {**before.types, **given.types}
    now = dataclasses.replace(given if mine else before, types=types, entries=_numbered(draft, held))
    return side.write(side.still_applying(now, draft.content))


def _numbered(draft: Write, held: str | None) -> Numbering | None:
    """The numbers of the entries, which what is owed to them goes by."""
    if draft.held is None:
        return None
    before = draft.held["objectOperations"]
    return renumbered(before, side.numbering(held, len(before)), draft.content["objectOperations"])


def _heard_on_31(draft: Write, held: str | None) -> str | None:
    return spoken_by(draft, side.NOTHING, held)


SUBSCRIPTIONS = ObjectKind(
    ObjectType.SUBSCRIPTION, check=_can_be_delivered, prepare=_sealed, show=_opened, side=_heard_on_31
)


class ChallengeLimits:
    """How many callback URLs may be challenged: a challenge is a call that a client has the VTN make where it likes.

    Whether it succeeds says nothing of whether the host wanted it, so all count, and the judgement comes before the
    first call of a request, for all of its URLs. Of one process; `now_s` is monotonic.
    """

    def __init__(self, bounds: DeliveryBounds, now_s: Callable[[], float]) -> None:
        self._most = bounds.challenges_per_request
        self._clients = Limit(bounds.challenges_per_client_and_minute)
        self._hosts = Limit(bounds.challenges_per_host_and_minute)
        self._now_s = now_s

    def admit(self, client_id: str, urls: Collection[str]) -> None:
        """Let a client have these URLs challenged; Rejected for too many at once, TooOften for too many lately."""
        if len(urls) > self._most:
            rule = f"has {len(urls)} new callback URLs; at most {self._most} in one request"
            raise Rejected([Fault("$.objectOperations", rule)])
        now_s = self._now_s()
        for url in urls:
            if wait_s := self._clients.wait_s(client_id, now_s):
                raise TooOften("this client has had too many new callback URLs called lately", wait_s)
            if wait_s := self._hosts.wait_s(host_of(url), now_s):
                raise TooOften(f"too many new callback URLs lead to {host_of(url)}", wait_s)
