"""Take an enrolment file into the enrolment store: the format that automakers hand over in bulk.

A file says nothing of whose car it is, so nothing personal comes in by it. A driver who left is not enrolled again by
an older file. All lines are good, or nothing is taken in.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import orjson

from ven_adapters.enrolment_api import eligibility
from ven_adapters.enrolment_api.bulk_writes import opt_out, take_in
from ven_adapters.enrolment_api.models import (
    UNKNOWN,
    Agreement,
    Budget,
    Day,
    ExportLimit,
    Interconnection,
    InverterListing,
    Kept,
    Patience,
    Permissions,
    Preferences,
    Status,
)
from ven_adapters.enrolment_api.operations import EnrolmentOperations
from ven_adapters.enrolment_api.store import CHUNK, EnrolmentStore
from ven_adapters.ven.enrolment.files import DAYS, Unreadable, read_enrolments
from ven_adapters.ven.fleet.fleet import Enrolment

A_DAY = timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Imported:
    """How many cars were taken in, and how many were not because their drivers left later than the file says."""

    taken: int
    left: int


async def import_file(
    store: EnrolmentStore, operations: EnrolmentOperations, path: Path, programs: Sequence[str], now: datetime
) -> Imported:
    """Take in a file. Raises Unreadable with every fault of every line, or of the programmes named."""
    cars = read_enrolments([path])
    pairs = list(zip(cars, _lines(path), strict=True))
    if faults := [*_faults(operations.programs, programs), *_named_in_lines(path, cars), *_to_come(path, pairs, now)]:
        raise Unreadable(faults)
    taken = 0
    async with store.write(now) as write:
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            refs = await take_in(
                write,
                operations.programs,
                [_agreement(car, line, operations.programs, programs, now) for car, line in chunk],
            )
            await opt_out(write, sorted({car.vehicle_ref for car, _ in chunk if car.opted_out}.intersection(refs)))
            taken += len(refs)
    return Imported(taken, len(pairs) - taken)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]


def _faults(rules: eligibility.Rules, programs: Sequence[str]) -> Iterator[str]:
    if rules and not programs:
        yield "--program: name the programmes that these cars are in"
    for name in programs:
        if name not in rules:
            yield f"--program: {name!r} is not a programme of this adapter"
    kinds = [rules[name].kind for name in programs if name in rules]
    if len(set(kinds)) < len(kinds):
        yield "--program: a car is in one programme of a kind"


def _to_come(path: Path, pairs: Iterable[tuple[Enrolment, Mapping[str, Any]]], now: datetime) -> Iterator[str]:
    """A consent dated in the future would stand before every answer that its driver gives until then."""
    for car, line in pairs:
        for scope, kept in _consents(line).items():
            if kept.at > now:
                yield f"{path}: {car.vehicle_ref}: {scope}_consent.agreed_at: must not lie in the future"


def _named_in_lines(path: Path, cars: Iterable[Enrolment]) -> Iterator[str]:
    """The store knows programmes that have rules; what a line names otherwise would be lost."""
    for car in cars:
        if car.programs:
            yield f"{path}: {car.vehicle_ref}: programs: an import takes them from --program, not from the line"


def _agreement(
    car: Enrolment, line: Mapping[str, Any], rules: eligibility.Rules, programs: Sequence[str], now: datetime
) -> Agreement:
    """A line as an agreement. Where no programme has rules, the discharge consent on file is enough."""
    return Agreement(
        vehicle_ref=car.vehicle_ref,
        status=Status.ENROLLED,
        model=UNKNOWN,
        region=UNKNOWN,
        zone=car.zone,
        timezone=car.timezone,
        site_id=car.site_id,
        utility=UNKNOWN,
        tariff=UNKNOWN,
        programs=tuple(programs),
        discharge_program=not rules or eligibility.discharges(rules, programs),
        preferences=_preferences(car),
        consents=_consents(line),
        permissions=_permissions(car, line),
        discharge_budget=_budget(car),
        patience=None if car.patience is None else Patience(**dataclasses.asdict(car.patience)),
        enrolled_at=now,
        grid_node=car.grid_node,
        site_import_limit_w=car.site_import_limit_w,
        site_export_limit_w=car.site_export_limit_w,
    )


def _preferences(car: Enrolment) -> Preferences:
    days = [_day(at, car.target_soc_pct, car.reserve_soc_pct) for at in car.ready_by]
    return Preferences(**dict(zip(DAYS, days, strict=True)))


@functools.lru_cache(maxsize=4096)
def _day(at: time | None, target_soc_pct: float, reserve_soc_pct: float) -> Day:
    """Many drivers have the same wishes."""
    face = None if at is None else at.strftime("%H:%M")
    return Day(ready_by=face, target_soc_pct=target_soc_pct, reserve_soc_pct=reserve_soc_pct)


def _consents(line: Mapping[str, Any]) -> dict[str, Kept]:
    given = {scope: line.get(f"{scope}_consent") for scope in ("charging", "discharge")}
    return {
        scope: Kept(version=one["version"], agreed=True, at=datetime.fromisoformat(one["agreed_at"]))
        for scope, one in given.items()
        if one is not None
    }


def _permissions(car: Enrolment, line: Mapping[str, Any]) -> Permissions:
    """The file names only an end; the papers began when the driver agreed to discharge, or to charging."""
    paper, consents = car.permission, _consents(line)
    since = consents.get("discharge") or consents.get("charging")
    if paper is None or since is None or paper.inverter_listing is None:
        return Permissions()
    period = {"valid_from": min(since.at, paper.valid_until - A_DAY), "valid_until": paper.valid_until}
    return Permissions(
        interconnection=Interconnection(interconnection_id=paper.interconnection_id, **period),
        export_limit=ExportLimit(export_limit_w=paper.export_limit_w, **period),
        inverter_listing=InverterListing(inverter_listing=paper.inverter_listing, **period),
    )


def _budget(car: Enrolment) -> Budget | None:
    given = car.discharge_budget
    return None if given is None else Budget(**dataclasses.asdict(given))
