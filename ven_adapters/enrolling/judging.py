"""Judge enrolled cars again when the rules of programmes have changed.

The rules in force are kept with the instant at which they came, so it can be shown later by which of them a car was in
or out. A car that a rule excludes leaves that programme; one that is in none any more is SUSPENDED: its agreement stays
on file, nothing is done to the car, and its driver may join another programme. What happened is in the journal with the
reason, and the automaker's app is told. Room (`most_cars`, `cars_per_account`) is judged at joining and never again.
"""

import dataclasses

import orjson
from sqlmodel import col, select

from ven_adapters.enrolling import eligibility
from ven_adapters.enrolling.book import CHUNK, Write, agreement_of, print_at
from ven_adapters.enrolling.bulk import memberships
from ven_adapters.enrolling.models import Agreement, Status
from ven_adapters.enrolling.tables import CarRow, ChangeRow, MembershipRow, RulesRow


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """How many cars left a programme, and how many of them are in none any more."""

    left: int = 0
    suspended: int = 0


async def judge_again(write: Write, rules: eligibility.Rules) -> Judged | None:
    """Apply the rules to every enrolled car when they are not those that were applied last; None when they are."""
    document = orjson.dumps(
        {name: one.model_dump(mode="json") for name, one in rules.items()}, option=orjson.OPT_SORT_KEYS
    ).decode()
    newest = select(RulesRow).order_by(col(RulesRow.seq).desc()).limit(1)
    last = (await write.session.execute(newest)).scalar_one_or_none()
    if (last is None and not rules) or (last is not None and last.document == document):
        return None
    write.session.add(RulesRow(seq=write.number(), at=print_at(write.now), document=document))
    done, after = Judged(), ""
    while cars := await _page(write, after):
        done, after = await _judge(write, rules, cars, done), cars[-1].vehicle_ref
    return done


async def _page(write: Write, after: str) -> list[Agreement]:
    """The next enrolled cars; read as plain values, for they are written the same way."""
    query = select(CarRow).where(col(CarRow.vehicle_ref) > after, col(CarRow.status) == Status.ENROLLED.value)
    found = await write.session.execute(query.order_by(col(CarRow.vehicle_ref)).limit(CHUNK))
    return [agreement_of(row) for row in found.scalars()]


async def _judge(write: Write, rules: eligibility.Rules, cars: list[Agreement], done: Judged) -> Judged:
    pairs = [(car, *_still(rules, car)) for car in cars if car.programs]
    changed = [(after, why) for car, after, why in pairs if after != car]
    refs = [after.vehicle_ref for after, _ in changed]
    at = print_at(write.now)
    for table in (MembershipRow, CarRow):
        await write.clear(table, *refs)
    await write.add(CarRow, [write.car_values(after) for after, _ in changed])
    await write.add(MembershipRow, [row for after, _ in changed for row in memberships(rules, after, at)])
    told = [(after, why, "suspended" if after.status is Status.SUSPENDED else "rejudged") for after, why in changed]
    await write.add(ChangeRow, [write.change_values(one.vehicle_ref, what, why) for one, why, what in told])
    write.session.expunge_all()
    return Judged(done.left + len(changed), done.suspended + sum(what == "suspended" for *_, what in told))


def _still(rules: eligibility.Rules, car: Agreement) -> tuple[Agreement, str]:
    """The car as the rules leave it, and why it left what it left."""
    kept, why = eligibility.remaining(rules, car.programs, eligibility.question_of(car))
    if kept == car.programs and eligibility.discharges(rules, kept) == car.discharge_program:
        return car, ""
    status = Status.ENROLLED if kept else Status.SUSPENDED
    discharge = eligibility.discharges(rules, kept)
    return car.model_copy(update={"programs": kept, "discharge_program": discharge, "status": status}), why
