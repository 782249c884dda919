"""Where the engine learns who agreed to what: the enrolment store, and files beside it, as one flow of facts.

The store wins over a file, also when it says that a driver left. What a car may do can change because time passes (a
paper begins or lapses, another weekday's target counts); such turns come as news at their instant. Nothing personal is
read here.
"""

import asyncio
import dataclasses
import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ven_adapters.config import opening
from ven_adapters.contract import DriverChoice, DriverChose
from ven_adapters.enrolment_api.models import Agreement, Budget, Day, Kept, Permissions, Preferences, Scope, Status
from ven_adapters.enrolment_api.store import Chosen, EnrolmentStore
from ven_adapters.ven.enrolment.files import eligible, read_enrolments
from ven_adapters.ven.fleet.columns import NEVER_S
from ven_adapters.ven.fleet.fleet import DischargeBudget, Enrolment, EventCaps, Permission, next_departure

ALWAYS = datetime(9999, 1, 1, tzinfo=UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class LeftOut:
    """A driver does not take part in one event, which is over at `until`."""

    vehicle_ref: str
    event_id: str
    until: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class AgreementChanges:
    """What changed: cars with what now counts for them, cars that are no longer ours, what drivers chose."""

    changed: tuple[Enrolment, ...] = ()
    gone: tuple[str, ...] = ()
    chose: tuple[DriverChose, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _KnownAgreement:
    """One agreement as the engine uses it: None when the car is not ours; and when time will change it."""

    ref: str
    enrolment: Enrolment | None
    turns_at: datetime | None


class AgreementSource:
    """The store and the files of one adapter; without a store, the files alone.

    `shard`: only the cars of these zones are ours, of all zones when it is empty. A car that moves away has left.
    """

    def __init__(self, files: Sequence[Path], store: EnrolmentStore | None = None, shard: Collection[str] = ()) -> None:
        self._files = files
        self._store = store
        self._shard = frozenset(shard)
        self._seq = 0
        self._turns: list[tuple[float, str]] = []

    @property
    def followed(self) -> bool:
        """Whether news can come."""
        return self._store is not None

    def stamps(self) -> dict[Path, float]:
        """When each file was last written, Unix seconds."""
        return {path: path.stat().st_mtime for path in self._files if path.exists()}

    async def open(self) -> None:
        """Make the store ready."""
        if self._store is not None:
            with opening("enrolling.store_url"):
                await self._store.open()

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            await self._store.close()

    async def read(self, now: datetime) -> tuple[list[Enrolment], AgreementChanges]:
        """Every car that is ours, and the choices that hold. Raises Unreadable for files that cannot be used."""
        listed = await asyncio.to_thread(lambda: eligible(read_enrolments(self._files)))  # seconds for a large fleet
        found = {one.vehicle_ref: one for one in listed if self._ours(one)}
        if self._store is None:
            return list(found.values()), AgreementChanges()
        batch = await self._store.since(0, now, lambda agreement: self._known(agreement, now))
        for known in batch.agreements:
            found.pop(known.ref, None)
            if known.enrolment is not None:
                found[known.ref] = known.enrolment
        self._seq = batch.seq
        self._turns = [(one.turns_at.timestamp(), one.ref) for one in batch.agreements if one.turns_at is not None]
        heapq.heapify(self._turns)
        return list(found.values()), _news((), batch.chosen)

    async def news(self, now: datetime) -> AgreementChanges:
        """What changed since it was last asked, in the store or by the clock."""
        if self._store is None:
            return AgreementChanges()
        batch = await self._store.since(self._seq, now, lambda agreement: self._known(agreement, now))
        due = self._due(now)
        turned = await self._store.some(due) if due else []
        known = {one.ref: one for one in (*batch.agreements, *(self._known(agreement, now) for agreement in turned))}
        self._forget_due(now)
        self._seq = batch.seq
        for one in known.values():
            if one.turns_at is not None:
                heapq.heappush(self._turns, (one.turns_at.timestamp(), one.ref))
        return _news(known.values(), batch.chosen)

    async def tell_lost(self, refs: Sequence[str], now: datetime) -> None:
        """Say in the store that backends told of consents that ended, so that the app can ask those drivers again."""
        if self._store is None:
            return
        async with self._store.write(now) as write:
            for ref, row in (await write.cars(refs)).items():
                if row.status == Status.ENROLLED:
                    write.journal(ref, "consent_lost")

    def _ours(self, enrolment: Enrolment | None) -> bool:
        return enrolment is not None and (not self._shard or enrolment.zone in self._shard)

    def _known(self, agreement: Agreement, now: datetime) -> _KnownAgreement:
        enrolment = enrolment_of(agreement, now)
        ours = self._ours(enrolment)
        turns = turns_at(agreement, now) if ours else None
        return _KnownAgreement(agreement.vehicle_ref, enrolment if ours else None, turns)

    def _due(self, now: datetime) -> list[str]:
        if not self._turns or self._turns[0][0] > now.timestamp():
            return []
        return [ref for at_s, ref in self._turns if at_s <= now.timestamp()]

    def _forget_due(self, now: datetime) -> None:
        while self._turns and self._turns[0][0] <= now.timestamp():
            heapq.heappop(self._turns)


def _news(known: Iterable[_KnownAgreement], chosen: Iterable[Chosen]) -> AgreementChanges:
    given, choices = list(known), list(chosen)
    return AgreementChanges(
        changed=tuple(one.enrolment for one in given if one.enrolment is not None),
        gone=tuple(one.ref for one in given if one.enrolment is None),
        chose=tuple(_chose(one) for one in choices if one.choice.event_id is None),
        left_out=tuple(_left_out(choices)),
    )


def _chose(chosen: Chosen) -> DriverChose:
    choice = chosen.choice
    return DriverChose(chosen.vehicle_ref, DriverChoice(choice.choice), choice.at, choice.until)


def _left_out(chosen: Iterable[Chosen]) -> Iterator[LeftOut]:
    for one in chosen:
        if one.choice.event_id is not None and one.choice.until is not None:
            yield LeftOut(one.vehicle_ref, one.choice.event_id, one.choice.until)


def enrolment_of(agreement: Agreement, now: datetime) -> Enrolment | None:
    """What counts at `now`; None when the car is not, or no longer, ours to touch."""
    week, consents = agreement.preferences, agreement.consents
    if agreement.status is not Status.ENROLLED or week is None or not _holds(consents.get(Scope.CHARGING), now):
        return None
    day, budget = day_of(agreement, week, now), agreement.discharge_budget
    return Enrolment(
        vehicle_ref=agreement.vehicle_ref,
        zone=agreement.zone,
        site_id=agreement.site_id,
        timezone=agreement.timezone,
        ready_by=tuple(one.ready_at() for one in week.week()),
        target_soc_pct=day.target_soc_pct,
        reserve_soc_pct=day.reserve_soc_pct,
        charging_consent=True,
        discharge_consent=agreement.discharge_program and _holds(consents.get(Scope.DISCHARGE), now),
        consented_s=_given_s(consents.get(Scope.CHARGING)),
        discharge_consented_s=_given_s(consents.get(Scope.DISCHARGE)),
        permission=permission_of(agreement.permissions, now),
        discharge_budget=None if budget is None else _budget(budget),
        programs=agreement.programs,
        patience=None if agreement.patience is None else EventCaps(**agreement.patience.model_dump()),
        grid_node=agreement.grid_node,
        site_import_limit_w=agreement.site_import_limit_w,
        site_export_limit_w=agreement.site_export_limit_w,
    )


def _budget(budget: Budget) -> DischargeBudget:
    return DischargeBudget(budget.max_event_wh, budget.max_year_wh, budget.max_year_cycles)


def _holds(consent: Kept | None, now: datetime) -> bool:
    return consent is not None and consent.agreed and (consent.valid_until is None or consent.valid_until > now)


def _given_s(consent: Kept | None) -> float:
    return NEVER_S if consent is None else consent.at.timestamp()


def permission_of(papers: Permissions, now: datetime) -> Permission | None:
    """The papers that have begun; each that is missing is missing, and together they last as long as the shortest."""
    begun = [paper for paper in papers.papers() if paper is not None and paper.valid_from <= now]
    contract, limit, listing = papers.interconnection, papers.export_limit, papers.inverter_listing
    if contract is None or contract not in begun:
        return None
    return Permission(
        interconnection_id=contract.interconnection_id,
        export_limit_w=limit.export_limit_w if limit is not None and limit in begun else 0,
        valid_until=min((paper.valid_until or ALWAYS for paper in begun), default=ALWAYS),
        inverter_listing=listing.inverter_listing if listing is not None and listing in begun else None,
    )


def day_of(agreement: Agreement, week: Preferences, now: datetime) -> Day:
    """The wishes that count: those of the day of the next departure, or today's when there is none."""
    departure = _next_departure(agreement, week, now)
    return week.week()[(departure or now).astimezone(ZoneInfo(agreement.timezone)).weekday()]


def turns_at(agreement: Agreement, now: datetime) -> datetime | None:
    """The first instant after `now` at which something else counts, or None."""
    papers = [paper for paper in agreement.permissions.papers() if paper is not None]
    instants = [paper.valid_from for paper in papers] + [paper.valid_until for paper in papers]
    instants += [consent.valid_until for consent in agreement.consents.values()]
    if agreement.preferences is not None:
        instants.append(_next_wishes_at(agreement, agreement.preferences, now))
    return min((at for at in instants if at is not None and at > now), default=None)


def _next_wishes_at(agreement: Agreement, week: Preferences, now: datetime) -> datetime | None:
    """When another day's wishes may count: at the next departure, or without any at local midnight."""
    if len({(day.target_soc_pct, day.reserve_soc_pct) for day in week.week()}) == 1:
        return None
    departure = _next_departure(agreement, week, now)
    if departure is not None:
        return departure
    zone = ZoneInfo(agreement.timezone)
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).astimezone(UTC)


def _next_departure(agreement: Agreement, week: Preferences, now: datetime) -> datetime | None:
    return next_departure(agreement.timezone, [day.ready_at() for day in week.week()], now)
