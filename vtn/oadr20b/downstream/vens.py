"""VENs: what an operator provisions, what registration adds, and what is held of each while it is served.

The operator's command writes `provision`, the server writes `state`, so that neither overwrites the other's word.
"""

import asyncio
import dataclasses
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pydantic

from vtn.errors import Conflict, NotFound
from vtn.oadr20b.codec.messages import EiEvent, EiOpt, MetadataReport, OadrReportRequest
from vtn.oadr20b.store.database import BridgeStore
from vtn.oadr20b.store.tables import VEN_EVENTS, VEN_OPTS, VEN_REPORTS, VEN_REQUESTS, VENS


@dataclasses.dataclass(frozen=True, slots=True)
class VenProvision:
    """What the operator said of a VEN before it came.

    `targets` and `resources` (each with its own targets) are its grants where it has no client of its own in the VTN.
    """

    ven_id: str
    ven_name: str
    fingerprint: str | None = None
    client_id: str | None = None
    client_secret: str | None = dataclasses.field(default=None, repr=False)
    targets: tuple[str, ...] = ()
    resources: tuple[tuple[str, tuple[str, ...]], ...] = ()
    nameplate_kw: float | None = None
    lenient: bool = False
    push: bool = False
    cancelled_at: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class VenRegistration:
    """What a registration added; without a `registration_id` the VEN is not registered."""

    registration_id: str | None = None
    registered_at: datetime | None = None
    xml_signature: bool = False
    report_only: bool = False
    transport_address: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ToldEvent:
    """One event as a VEN is told it. `acked`: the modification number that it answered last; -1 for none."""

    event_id: str
    oa3_id: str
    modification: int
    body_hash: str
    event: EiEvent
    ends_at: datetime
    cancelled: bool = False
    acked: int = -1
    opt: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class HeldReportRequest:
    """A report that a VEN is asked for: ASKED until it said oadrCreatedReport, then CREATED; CANCEL_DUE, CANCELLED."""

    request: OadrReportRequest
    state: str = "ASKED"


@dataclasses.dataclass(slots=True)
class ServedVen:
    """A VEN while it is served. What was sent, and when (monotonic seconds), is forgotten with the process.

    Whoever changes what is held of it has the `lock` from reading until the change is durable.
    """

    provision: VenProvision
    registration: VenRegistration = VenRegistration()
    events: dict[str, ToldEvent] = dataclasses.field(default_factory=dict)
    opts: dict[str, EiOpt] = dataclasses.field(default_factory=dict)
    metadata: dict[str, MetadataReport] = dataclasses.field(default_factory=dict)
    requests: dict[str, HeldReportRequest] = dataclasses.field(default_factory=dict)
    sent: dict[str, tuple[int, float]] = dataclasses.field(default_factory=dict)
    seen_at: datetime | None = None
    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)

    @property
    def ven_id(self) -> str:
        """Its venID."""
        return self.provision.ven_id

    @property
    def registered(self) -> bool:
        """Whether it is registered."""
        return self.registration.registration_id is not None

    @property
    def cancel_due(self) -> bool:
        """Whether the operator cancelled a registration that still stands."""
        at, since = self.provision.cancelled_at, self.registration.registered_at
        return self.registered and at is not None and (since is None or since <= at)


_PROVISION = pydantic.TypeAdapter(VenProvision)
_REGISTRATION = pydantic.TypeAdapter(VenRegistration)
_EVENT = pydantic.TypeAdapter(ToldEvent)
_OPT = pydantic.TypeAdapter(EiOpt)
_METADATA = pydantic.TypeAdapter(MetadataReport)
_REQUEST = pydantic.TypeAdapter(OadrReportRequest)


class VenRegistry:
    """All VENs, in memory and in the store; a change is in memory once it is durable."""

    def __init__(self, store: BridgeStore) -> None:
        self._store = store
        self.vens: dict[str, ServedVen] = {}
        self._by_fingerprint: dict[str, ServedVen] = {}
        self._by_name: dict[str, ServedVen] = {}

    async def load(self) -> None:
        """Read everything."""
        for row in await self._store.rows(VENS):
            self.vens[row["ven_id"]] = ServedVen(
                _PROVISION.validate_json(row["provision"]), _REGISTRATION.validate_json(row["state"])
            )
        for row in await self._store.rows(VEN_EVENTS):
            if row["ven_id"] in self.vens:
                self.vens[row["ven_id"]].events[row["event_id"]] = _EVENT.validate_json(row["document"])
        for row in await self._store.rows(VEN_OPTS):
            if row["ven_id"] in self.vens:
                self.vens[row["ven_id"]].opts[row["opt_id"]] = _OPT.validate_json(row["document"])
        for row in await self._store.rows(VEN_REPORTS):
            if row["ven_id"] in self.vens:
                self.vens[row["ven_id"]].metadata[row["specifier_id"]] = _METADATA.validate_json(row["document"])
        for row in await self._store.rows(VEN_REQUESTS):
            if row["ven_id"] in self.vens:
                held = HeldReportRequest(_REQUEST.validate_json(row["document"]), row["state"])
                self.vens[row["ven_id"]].requests[row["request_id"]] = held
        self._index()

    async def reload_provisions(self) -> bool:
        """Take what the operator changed meanwhile; whether anything did."""
        rows = {row["ven_id"]: row["provision"] for row in await self._store.rows(VENS)}
        changed = False
        for ven_id, text in rows.items():
            provision = _PROVISION.validate_json(text)
            known = self.vens.get(ven_id)
            if known is None:
                self.vens[ven_id] = ServedVen(provision)
            elif known.provision != provision:
                known.provision = provision
            else:
                continue
            changed = True
        for ven_id in self.vens.keys() - rows.keys():
            del self.vens[ven_id]
            changed = True
        if changed:
            self._index()
        return changed

    def _index(self) -> None:
        every = self.vens.values()
        self._by_fingerprint = {one.provision.fingerprint: one for one in every if one.provision.fingerprint}
        self._by_name = {one.provision.ven_name: one for one in every}

    def of_fingerprint(self, fingerprint: str | None) -> ServedVen | None:
        """The VEN that holds a certificate."""
        return self._by_fingerprint.get(fingerprint or "")

    def of_name(self, ven_name: str) -> ServedVen | None:
        """The VEN of a name."""
        return self._by_name.get(ven_name)

    # --- changes ------------------------------------------------------------------------------------------------------

    async def register(self, ven: ServedVen, registration: VenRegistration) -> None:
        """Keep a registration, or its end; what was sent before is sent anew."""
        text = _REGISTRATION.dump_json(registration).decode()
        await self._store.write(self._store.change(VENS, {"state": text}, ven_id=ven.ven_id))
        ven.registration = registration
        ven.sent.clear()

    async def keep_events(self, changes: Iterable[tuple[ServedVen, ToldEvent]], *also: Any) -> None:
        """Keep events as they are told from now on, with further statements in the same transaction."""
        held = list(changes)
        rows = [_event_row(ven, one) for ven, one in held]
        await self._store.write(*([self._store.put(VEN_EVENTS, rows)] if rows else []), *also)
        for ven, one in held:
            ven.events[one.event_id] = one

    async def drop_events(self, ven: ServedVen, event_ids: Iterable[str]) -> None:
        """Forget events that ended long ago."""
        gone = list(event_ids)
        await self._store.write(self._store.drop(VEN_EVENTS, ven_id=ven.ven_id, event_id=gone))
        for event_id in gone:
            ven.events.pop(event_id, None)
            ven.sent.pop(event_id, None)

    async def keep_opt(self, ven: ServedVen, opt: EiOpt, *also: Any) -> None:
        """Keep an opt."""
        row = {"ven_id": ven.ven_id, "opt_id": opt.opt_id, "document": _OPT.dump_json(opt).decode()}
        await self._store.write(self._store.put(VEN_OPTS, [row]), *also)
        ven.opts[opt.opt_id] = opt

    async def drop_opt(self, ven: ServedVen, opt_id: str, *also: Any) -> None:
        """Forget an opt."""
        await self._store.write(self._store.drop(VEN_OPTS, ven_id=ven.ven_id, opt_id=opt_id), *also)
        ven.opts.pop(opt_id, None)

    async def keep_reports(
        self, ven: ServedVen, metadata: Iterable[MetadataReport], requests: Iterable[HeldReportRequest]
    ) -> None:
        """Keep what a VEN can report and is asked for."""
        reports, asked = list(metadata), list(requests)
        report_rows = [
            {"ven_id": ven.ven_id, "specifier_id": one.specifier_id, "document": _METADATA.dump_json(one).decode()}
            for one in reports
        ]
        request_rows = [
            {
                "ven_id": ven.ven_id,
                "request_id": one.request.request_id,
                "specifier_id": one.request.specifier_id,
                "state": one.state,
                "document": _REQUEST.dump_json(one.request).decode(),
            }
            for one in asked
        ]
        await self._store.write(
            *([self._store.put(VEN_REPORTS, report_rows)] if report_rows else []),
            *([self._store.put(VEN_REQUESTS, request_rows)] if request_rows else []),
        )
        ven.metadata |= {one.specifier_id: one for one in reports}
        ven.requests |= {one.request.request_id: one for one in asked}


def _event_row(ven: ServedVen, one: ToldEvent) -> dict[str, Any]:
    return {
        "ven_id": ven.ven_id,
        "event_id": one.event_id,
        "oa3_id": one.oa3_id,
        "modification": one.modification,
        "body_hash": one.body_hash,
        "cancelled": one.cancelled,
        "acked": one.acked,
        "opt": one.opt,
        "ends_at": one.ends_at.isoformat(),
        "document": _EVENT.dump_json(one).decode(),
    }


# --- the operator's side ----------------------------------------------------------------------------------------------


async def add_ven(store: BridgeStore, provision: VenProvision) -> None:
    """Provision a VEN; Conflict when its id, name or certificate is another's."""
    for row in await store.rows(VENS):
        known = _PROVISION.validate_json(row["provision"])
        for what in ("ven_id", "ven_name", "fingerprint", "client_id"):
            mine = getattr(provision, what)
            if mine is not None and mine == getattr(known, what):
                raise Conflict(f"{what.replace('_', ' ')} {mine} belongs to {known.ven_name} already")
    row = {
        "ven_id": provision.ven_id,
        "ven_name": provision.ven_name,
        "fingerprint": provision.fingerprint,
        "provision": _PROVISION.dump_json(provision).decode(),
        "state": _REGISTRATION.dump_json(VenRegistration()).decode(),
    }
    await store.write(store.add(VENS, row))


async def provisions(store: BridgeStore) -> list[tuple[VenProvision, VenRegistration]]:
    """Every VEN, by name."""
    rows = await store.rows(VENS, order="ven_name")
    return [(_PROVISION.validate_json(row["provision"]), _REGISTRATION.validate_json(row["state"])) for row in rows]


async def change_ven(store: BridgeStore, ven_name: str, **changes: Any) -> VenProvision:
    """Change what was provisioned; NotFound when there is no such VEN."""
    row = await store.row(VENS, ven_name=ven_name)
    if row is None:
        raise NotFound(f"there is no 2.0b VEN called {ven_name}")
    changed = dataclasses.replace(_PROVISION.validate_json(row["provision"]), **changes)
    values = {"provision": _PROVISION.dump_json(changed).decode(), "fingerprint": changed.fingerprint}
    await store.write(store.change(VENS, values, ven_id=changed.ven_id))
    return changed


async def remove_ven(store: BridgeStore, ven_name: str) -> None:
    """Forget a VEN with all that is held of it; NotFound when there is none."""
    row = await store.row(VENS, ven_name=ven_name)
    if row is None:
        raise NotFound(f"there is no 2.0b VEN called {ven_name}")
    every = (VEN_EVENTS, VEN_OPTS, VEN_REPORTS, VEN_REQUESTS, VENS)
    await store.write(*(store.drop(table, ven_id=row["ven_id"]) for table in every))
