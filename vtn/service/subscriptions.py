"""Subscriptions: nothing is accepted that will not be delivered, and callback tokens are sealed at rest.

Every new callback URL is challenged before the subscription is stored (SUB-17..21). The owner reads its own tokens;
nobody else does (SUB-23).
"""

from typing import Any

from vtn.auth.tokens import Principal
from vtn.errors import Conflict, Fault, Rejected
from vtn.service.core import Core, Json
from vtn.service.objects import Draft, Kind
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

MOST_FAILED_CHALLENGES = 10


async def _can_be_delivered(draft: Draft) -> None:
    viewer = draft.core.viewer(draft.principal)
    program_id = draft.content.get("programID")
    if program_id is not None and not draft.core.model.visible(ObjectType.PROGRAM, program_id, viewer):
        raise Conflict("$.programID: no program with this id")
    proven = {entry["callbackUrl"] for entry in draft.held["objectOperations"]} if draft.held else set()
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


def _sealed(content: Json, draft: Draft) -> Json:
    return _with_tokens(content, draft.core.seal.close)


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


SUBSCRIPTIONS = Kind(ObjectType.SUBSCRIPTION, check=_can_be_delivered, prepare=_sealed, show=_opened)
