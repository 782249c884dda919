"""What a list of events changes, by the rules of the profile. Pure.

The list is all there is: what is missing was cancelled, unless it ended by itself. A higher modification number
replaces what is held, the same one repeats it, a lower one is out of sequence. An event that was cancelled before it
was ever seen is acknowledged and makes nothing.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime

from vtn.oadr20b.codec.messages import Code, EiEvent, EventResponse, OptType
from vtn.oadr20b.mapping.events_down import ends_at
from vtn.oadr20b.mapping.events_up import Unmapped, event_up


@dataclasses.dataclass(frozen=True, slots=True)
class HeldUpEvent:
    """An event of the utility as it is held. `applied`: our VTN has it so; `acked`: the utility has our answer."""

    event_id: str
    modification: int
    ends_at: datetime
    event: EiEvent | None = None
    cancelled: bool = False
    applied: bool = False
    acked: bool = False
    opt: str = OptType.IN
    code: int = Code.OK
    reason: str = "OK"
    oa3_id: str | None = None
    request_id: str = ""

    @property
    def wanted(self) -> bool:
        """Whether our VTN is to have it."""
        return self.event is not None and not self.cancelled and self.code == Code.OK

    @property
    def answered(self) -> bool:
        """Whether the utility wants an answer."""
        return self.event is None or self.event.response_required != "never"


@dataclasses.dataclass(frozen=True, slots=True)
class ListChanges:
    """What a list of events changes in what is held, and what is answered at once without being held."""

    held: tuple[HeldUpEvent, ...]
    refused: tuple[EventResponse, ...] = ()


def take_list(  # noqa: PLR0913 - what a list is judged by
    connection: str,
    held: Mapping[str, HeldUpEvent],
    events: Iterable[EiEvent],
    faults: Iterable[tuple[str, int, str]],
    *,
    request_id: str,
    own_ven: str | None,
    opt: str,
    now: datetime,
) -> ListChanges:
    """Judge a whole oadrDistributeEvent against what is held."""
    changed: dict[str, HeldUpEvent] = {}
    refused: list[EventResponse] = []
    listed: set[str] = set()
    for event_id, modification, why in faults:
        listed.add(event_id)
        refused.append(EventResponse(event_id, modification, OptType.OUT, request_id, Code.INVALID_DATA, why[:200]))
    for event in events:
        listed.add(event.event_id)
        known = held.get(event.event_id)
        if known is not None and event.modification < known.modification:
            late = "an older modification number than the one that is known"
            refused.append(
                EventResponse(event.event_id, event.modification, known.opt, request_id, Code.OUT_OF_SEQUENCE, late)
            )
            continue
        if event.status == "completed" or (event.status != "cancelled" and ends_at(event) <= now):
            continue
        if known is not None and event.modification == known.modification and known.cancelled == _is_off(event):
            changed[event.event_id] = dataclasses.replace(known, acked=not known.answered, request_id=request_id)
            continue
        changed[event.event_id] = _fresh(connection, event, known, request_id=request_id, own_ven=own_ven, opt=opt)
    for event_id, known in held.items():
        if event_id not in listed and not known.cancelled and known.ends_at > now:
            changed[event_id] = dataclasses.replace(known, cancelled=True, applied=known.oa3_id is None, acked=True)
    return ListChanges(tuple(changed.values()), tuple(refused))


def _is_off(event: EiEvent) -> bool:
    return event.status == "cancelled"


def _fresh(
    connection: str, event: EiEvent, known: HeldUpEvent | None, *, request_id: str, own_ven: str | None, opt: str
) -> HeldUpEvent:
    """A version that was not seen before."""
    oa3_id = known.oa3_id if known is not None else None
    made = HeldUpEvent(
        event.event_id,
        event.modification,
        ends_at(event),
        event,
        cancelled=_is_off(event),
        acked=event.response_required == "never",
        opt=opt,
        oa3_id=oa3_id,
        request_id=request_id,
    )
    if made.cancelled:
        return dataclasses.replace(made, applied=known is None or (known.applied and oa3_id is None), opt=OptType.IN)
    try:
        event_up(connection, event, "", own_ven)
    except Unmapped as why:
        return dataclasses.replace(
            made, applied=oa3_id is None, opt=OptType.OUT, code=int(why.code), reason=str(why)[:200]
        )
    return made


def answer_of(one: HeldUpEvent) -> EventResponse:
    """What the utility is answered for an event as it is held."""
    return EventResponse(one.event_id, one.modification, one.opt, one.request_id, one.code, one.reason)
