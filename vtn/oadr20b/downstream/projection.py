"""What a VEN is to be told of the VTN's events, and what of it is due. Pure.

A modification number goes up when what the VEN is told changes, and not with every write in the VTN. What the VEN
sees no more is cancelled, unless it ended; a cancelled event is told until it is acknowledged or its old end has
passed.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime

from vtn.oadr20b.codec.messages import EiEvent
from vtn.oadr20b.downstream.vens import ServedVen, ToldEvent
from vtn.oadr20b.mapping.events_down import body_hash, ends_at, present

_ORDER = {"active": 0, "near": 1, "far": 1}


def project(held: Mapping[str, ToldEvent], fresh: Mapping[str, tuple[str, EiEvent]], now: datetime) -> list[ToldEvent]:
    """What changes in what a VEN is told; `fresh` is what it should be told, by eventID, with the id in the VTN."""
    changed = []
    for event_id, (oa3_id, event) in fresh.items():
        known, digest = held.get(event_id), body_hash(event)
        if known is None:
            if ends_at(event) > now:
                changed.append(ToldEvent(event_id, oa3_id, 0, digest, event, ends_at(event)))
        elif known.body_hash != digest or known.cancelled:
            changed.append(
                dataclasses.replace(
                    known,
                    oa3_id=oa3_id,
                    modification=known.modification + 1,
                    body_hash=digest,
                    event=event,
                    ends_at=ends_at(event),
                    cancelled=False,
                )
            )
    for event_id, known in held.items():
        if event_id not in fresh and not known.cancelled and known.ends_at > now:
            changed.append(dataclasses.replace(known, modification=known.modification + 1, cancelled=True))
    return changed


def listed(ven: ServedVen, now: datetime, limit: int | None = None) -> list[EiEvent]:
    """The events of a VEN as they are told now: those that are active first, by priority, then by start.

    Those that ended are left out, and so are cancelled ones that were acknowledged.
    """
    told = [
        present(one.event, one.modification, now, cancelled=one.cancelled)
        for one in ven.events.values()
        if one.ends_at > now and not (one.cancelled and one.acked == one.modification)
    ]
    told.sort(key=lambda one: (_ORDER.get(one.status, 2), one.priority or 2**32, one.start, one.event_id))
    return told if limit is None else told[: max(1, limit)] if told else []


def events_due(ven: ServedVen, now: datetime, loop_s: float, resend_s: float) -> bool:
    """Whether the VEN's list of events is to be sent: something of it is new, or was not acknowledged in time."""
    for one in ven.events.values():
        if one.ends_at <= now or one.acked == one.modification:
            continue
        sent = ven.sent.get(one.event_id)
        if sent is None or sent[0] != one.modification:
            return True
        if one.event.response_required != "never" and loop_s - sent[1] >= resend_s:
            return True
    return False


def mark_sent(ven: ServedVen, events: Iterable[EiEvent], loop_s: float) -> None:
    """Note what was sent, so that the next poll brings something else."""
    for one in events:
        ven.sent[one.event_id] = one.modification, loop_s
