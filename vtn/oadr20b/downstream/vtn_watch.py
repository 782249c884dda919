"""Our VTN as the bridge reads it, and what follows from it for every VEN.

It is read by polling, as Business Logic: unchanged lists cost a 304 each. A VEN with a client of its own in the VTN
has the grants of that client's ven, and one without those that it was provisioned with. An event is laid out once for
all VENs of one nameplate and told to each with its own targets.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pydantic

from vtn.client import Client
from vtn.oadr20b.codec.messages import EiEvent
from vtn.oadr20b.downstream.projection import project
from vtn.oadr20b.downstream.vens import ServedVen, VenRegistry
from vtn.oadr20b.mapping import targets
from vtn.oadr20b.mapping.events_down import ProgramFacts, events_down
from vtn.oadr20b.mapping.reports import STANDING, standing_event
from vtn.oadr20b.store.database import BridgeStore
from vtn.oadr20b.store.tables import PLACES
from vtn.oadr20b.vtn_client import ensure_program, ensure_ven, exists, find_event
from vtn.wire.enumerations import ObjectType
from vtn.wire.event import Event, read_event
from vtn.wire.interval import parse_date_time

KEPT = timedelta(days=1)
PROGRAM = "20b:reports of 2.0b VENs"
AT_ONCE = 200
Json = dict[str, Any]
log = logging.getLogger("vtn.oadr20b.downstream")


@dataclasses.dataclass(frozen=True, slots=True)
class VenGrants:
    """What a VEN may see: its own targets, and those of each of its resources."""

    ven: frozenset[str] = frozenset()
    resources: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def every(self) -> frozenset[str]:
        """All of them."""
        return self.ven.union(*self.resources.values())


@dataclasses.dataclass(frozen=True, slots=True)
class ReadVtn:
    """What the VTN held at one look. `stamp` is the same as long as nothing changed."""

    programs: Mapping[str, ProgramFacts]
    events: tuple[Event, ...]
    grants: Mapping[str, VenGrants]
    stamp: frozenset[tuple[str, str]]


class VtnWatch:
    """Keeps what VENs are told as the VTN has it."""

    def __init__(
        self, vtn: Client, registry: VenRegistry, store: BridgeStore, reports_client_id: str | None = None
    ) -> None:
        self._vtn = vtn
        self._reports_client_id = reports_client_id
        self._registry = registry
        self._store = store
        self._stamp: tuple[frozenset[tuple[str, str]], object] | None = None
        self.standing_id: str | None = None
        self.untold: dict[str, int] = {}
        self.looks = 0

    async def prepare(self, now: datetime, granularity: timedelta, every: timedelta) -> None:
        """Have the standing event, on which 2.0b VENs report, in the VTN; made again when somebody deleted it."""
        row = await self._store.row(PLACES, name=PROGRAM)
        if row is None or not await exists(self._vtn, ObjectType.EVENT, row["object_id"]):
            program_id = await ensure_program(self._vtn, {"programName": PROGRAM, "targets": [PROGRAM]})
            object_id = await find_event(self._vtn, program_id, STANDING)
            if object_id is None:
                asked = (("USAGE", None), ("DEMAND", None), ("OPERATING_STATE", None))
                content = standing_event(program_id, now.replace(microsecond=0), asked, granularity, every)
                object_id = str((await self._vtn.create(ObjectType.EVENT, content))["id"])
            row = {"name": PROGRAM, "object_id": object_id}
            await self._store.write(self._store.put(PLACES, [row]))
        self.standing_id = row["object_id"]

    async def look(self, now: datetime, *, provisions_changed: bool) -> None:
        """Read the VTN, and bring what VENs are told up to date where something changed or a day began."""
        if provisions_changed or not self.looks:
            await self._ensure_vens()
        read = await self._read()
        stamp = (read.stamp, now.date())
        self.looks += 1
        if stamp != self._stamp or provisions_changed:
            await self.tell(read, now)
            self._stamp = stamp

    async def _ensure_vens(self) -> None:
        """Have the clients that report see what they report on: the standing event, and the events of their VENs."""
        shared: set[str] = {PROGRAM}
        for ven in self._registry.vens.values():
            one = ven.provision
            granted = {PROGRAM, *one.targets, *(target for _, every in one.resources for target in every)}
            if one.client_id is None:
                shared |= granted
            else:
                await ensure_ven(self._vtn, one.client_id, one.ven_name, frozenset(granted))
        if self._reports_client_id is not None:
            await ensure_ven(self._vtn, self._reports_client_id, self._reports_client_id, frozenset(shared))

    async def tell(self, read: ReadVtn, now: datetime) -> None:
        """Work out what every VEN is told, and keep what changes."""
        laid_out: dict[tuple[str, float | None], tuple[EiEvent, ...]] = {}
        vens = list(self._registry.vens.values())
        for start in range(0, len(vens), AT_ONCE):  # polls are answered meanwhile
            together = (self._tell_one(ven, read, laid_out, now) for ven in vens[start : start + AT_ONCE])
            counts = await asyncio.gather(*together)
            if changed := sum(counts):
                log.info("%d events of VENs are told anew", changed)

    async def _tell_one(
        self,
        ven: ServedVen,
        read: ReadVtn,
        laid_out: dict[tuple[str, float | None], tuple[EiEvent, ...]],
        now: datetime,
    ) -> int:
        """Work out what one VEN is told, and keep what changes; how many events that is."""
        grants, nameplate_kw = self._grants(ven, read), ven.provision.nameplate_kw
        fresh: dict[str, tuple[str, EiEvent]] = {}
        for event in read.events:
            program = read.programs.get(event.program_id)
            if program is None or not targets.sees(event.targets or (), program.targets, grants.every):
                continue
            if (event.id, nameplate_kw) not in laid_out:
                laid_out[event.id, nameplate_kw] = self._lay_out(event, program, now, nameplate_kw)
            aimed = targets.down(event.targets or (), ven.ven_id, grants.resources)
            for one in laid_out[event.id, nameplate_kw]:
                fresh[one.event_id] = event.id, dataclasses.replace(one, targets=aimed)
        async with ven.lock:
            changes = project(ven.events, fresh, now)
            if changes:
                await self._registry.keep_events((ven, held) for held in changes)
            old = [key for key, held in ven.events.items() if held.ends_at < now - KEPT and key not in fresh]
            if old:
                await self._registry.drop_events(ven, old)
        return len(changes)

    def _lay_out(
        self, event: Event, program: ProgramFacts, now: datetime, nameplate_kw: float | None
    ) -> tuple[EiEvent, ...]:
        # "Now" means when clients read it, which is when it was written last.
        read_at = parse_date_time(event.modification_date_time)
        told = events_down(event, program, (), first_seen=read_at, now=now, nameplate_kw=nameplate_kw)
        for name in told.untold:
            self.untold[name] = self.untold.get(name, 0) + 1
            log.warning("the payload type %s of the event %s has no word in 2.0b and is not told", name, event.id)
        return told.events

    def _grants(self, ven: ServedVen, read: ReadVtn) -> VenGrants:
        provision = ven.provision
        if provision.client_id is not None:
            return read.grants.get(provision.client_id, VenGrants())
        return VenGrants(frozenset(provision.targets), dict(provision.resources))

    async def _read(self) -> ReadVtn:
        programs = await self._vtn.search(ObjectType.PROGRAM)
        raw_events = await self._vtn.search(ObjectType.EVENT, active=True)
        owned = any(one.provision.client_id is not None for one in self._registry.vens.values())
        vens = await self._vtn.search(ObjectType.VEN) if owned else []
        resources = await self._vtn.search(ObjectType.RESOURCE) if owned else []
        every = (*programs, *raw_events, *vens, *resources)
        stamp = frozenset((one["id"], str(one.get("modificationDateTime"))) for one in every)
        return ReadVtn(
            {one["id"]: ProgramFacts.of(one) for one in programs},
            tuple(_events(raw_events)),
            _granted(vens, resources),
            stamp,
        )


def _events(raw: Iterable[Json]) -> Iterable[Event]:
    for one in raw:
        try:
            yield read_event(one)
        except pydantic.ValidationError:
            log.warning("the event %s of the VTN cannot be read and is not told", one["id"])


def _granted(vens: Iterable[Json], resources: Iterable[Json]) -> dict[str, VenGrants]:
    of_ven: dict[str, dict[str, tuple[str, ...]]] = {}
    for one in resources:
        of_ven.setdefault(str(one.get("venID")), {})[str(one.get("resourceName"))] = tuple(one.get("targets") or ())
    return {
        str(one.get("clientID")): VenGrants(frozenset(one.get("targets") or ()), of_ven.get(one["id"], {}))
        for one in vens
    }
