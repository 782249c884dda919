"""Opts towards the utility, from what our VENs report: of an event's resources, of whole events, of times to come.

A resource whose newest operating state on an event says that it opted out is opted out of it (oadrCreateOpt); when
the share of such resources reaches the utility's bound, the whole event is (oadrCreatedEvent). Where a resource
reports that nothing can be shed at a time to come, it is opted out over that time, and in again (oadrCancelOpt) when
it says so no more. An optID is written down before it is sent, so that one whose answer was lost is sent again as
itself.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pydantic

from vtn.oadr20b.codec.encode import opt_values
from vtn.oadr20b.codec.messages import Code, EiOpt, EiTarget, OptType, OptWindow
from vtn.oadr20b.mapping.reports import Figure, opted_out, unavailable
from vtn.oadr20b.store.database import BridgeStore
from vtn.oadr20b.store.tables import UP_OPT
from vtn.oadr20b.upstream.event_rules import HeldUpEvent
from vtn.oadr20b.upstream.link import ServiceMissing, UtilityLink

DUE, SENT, CANCEL_DUE = "DUE", "SENT", "CANCEL_DUE"
_OPT = pydantic.TypeAdapter(EiOpt)
log = logging.getLogger("vtn.oadr20b.upstream")


@dataclasses.dataclass(frozen=True, slots=True)
class HeldOpt:
    """One opt, by its `subject`: what it is about. A new opt of the same subject takes its place."""

    subject: str
    opt: EiOpt
    state: str

    @property
    def said(self) -> tuple[Any, ...]:
        """What it says, whatever its id."""
        return self.opt.opt, self.opt.event_id, self.opt.modification, self.opt.windows


def event_subject(event_id: str, resource: str) -> str:
    """The subject of a resource's part in an event."""
    return f"event/{event_id}/{resource}"


def wanted_opts(
    events: Iterable[HeldUpEvent],
    on_event: Mapping[str, Sequence[Figure]],
    standing: Sequence[Figure],
    now: datetime,
    ids: Callable[[], str],
) -> dict[str, EiOpt]:
    """The opts that should stand, by subject. Pure but for the ids of new ones."""
    wanted: dict[str, EiOpt] = {}
    for one in events:
        for resource in sorted(opted_out(on_event.get(one.event_id, ()))):
            wanted[event_subject(one.event_id, resource)] = EiOpt(
                ids(),
                OptType.OUT,
                "overrideStatus",
                now,
                one.event_id,
                one.modification,
                None,
                (),
                (EiTarget("resourceID", resource),),
            )
    for resource, spans in unavailable(standing, now).items():
        windows = tuple(OptWindow(start, end - start) for start, end in spans)
        target = (EiTarget("resourceID", resource),)
        wanted[f"times/{resource}"] = EiOpt(ids(), OptType.OUT, "notParticipating", now, None, 0, None, windows, target)
    return wanted


def whole_opt(figures: Sequence[Figure], above: float) -> str | None:
    """Whether the whole event is opted in or out of by those who report on it; None while nobody does."""
    resources = {one.resource for one in figures if one.payload in {"OPERATING_STATE", "X_20B_OPT"}}
    if not resources:
        return None
    return OptType.OUT if len(opted_out(figures)) / len(resources) >= above else OptType.IN


class UpstreamOpts:
    """The opts of one utility."""

    def __init__(self, link: UtilityLink, store: BridgeStore, ids: Callable[[], str]) -> None:
        self._link = link
        self._store = store
        self._ids = ids
        self.held: dict[str, HeldOpt] = {}
        self.offered = True

    async def load(self) -> None:
        """Read what was held when the process ended."""
        rows = await self._store.rows(UP_OPT, name=self._link.name)
        self.held = {
            row["subject"]: HeldOpt(row["subject"], _OPT.validate_json(row["document"]), row["state"]) for row in rows
        }

    async def want(
        self,
        events: Iterable[HeldUpEvent],
        on_event: Mapping[str, Sequence[Figure]],
        standing: Sequence[Figure],
        now: datetime,
    ) -> None:
        """Write down which opts should stand; `settle` sends what that changes."""
        wanted = wanted_opts(events, on_event, standing, now, self._ids)
        for subject, opt in wanted.items():
            known = self.held.get(subject)
            fresh = HeldOpt(subject, opt, DUE)
            if known is None or (known.state == CANCEL_DUE and known.said == fresh.said):
                await self._keep(fresh if known is None else dataclasses.replace(known, state=DUE))
            elif known.said != fresh.said and known.state == SENT:
                # The new one is made once the old one is cancelled: two opts of one resource contradict each other.
                await self._keep(dataclasses.replace(known, state=CANCEL_DUE))
            elif known.said != fresh.said and known.state == DUE:
                await self._keep(HeldOpt(subject, dataclasses.replace(opt, opt_id=known.opt.opt_id), DUE))
        for subject, known in list(self.held.items()):
            if subject not in wanted and known.state != CANCEL_DUE:
                await self._keep(dataclasses.replace(known, state=CANCEL_DUE))

    async def settle(self, own_ven: str) -> None:
        """Send what the utility does not know yet; nothing, where it has no EiOpt."""
        try:
            await self._settle(own_ven)
        except ServiceMissing as missing:
            if self.offered:
                log.warning("opts of resources and schedules are not told: %s", missing)
            self.offered = False

    async def _settle(self, own_ven: str) -> None:
        for one in list(self.held.values()):
            if one.state == DUE:
                reply = await self._link.exchange(
                    "EiOpt", "oadrCreateOpt", ven_id=own_ven, **opt_values(one.opt, self._ids())
                )
                if reply is None or (reply.response is not None and reply.response.code != Code.OK):
                    log.warning("%s does not take the opt %s", self._link.name, one.subject)
                await self._keep(dataclasses.replace(one, state=SENT))
            elif one.state == CANCEL_DUE:
                await self._link.exchange(
                    "EiOpt", "oadrCancelOpt", ven_id=own_ven, request_id=self._ids(), opt_id=one.opt.opt_id
                )
                await self._store.write(self._store.drop(UP_OPT, name=self._link.name, subject=one.subject))
                del self.held[one.subject]

    async def _keep(self, one: HeldOpt) -> None:
        row = {
            "name": self._link.name,
            "subject": one.subject,
            "opt_id": one.opt.opt_id,
            "state": one.state,
            "document": _OPT.dump_json(one.opt).decode(),
        }
        await self._store.write(self._store.put(UP_OPT, [row]))
        self.held[one.subject] = one
