"""Judge enrolled cars again when the rules of programmes have changed.

The rules in force are kept with the instant at which they came, so it can be shown later by which of them a car was in
or out. A car that a rule excludes leaves that programme, and comes back when a later rule allows it, unless its driver
has joined another meanwhile. One that is in none is SUSPENDED: its agreement stays on file and nothing is done to the
car. What happened is in the journal with the reason, and the automaker's app is told. Room (`most_cars`,
`cars_per_account`) is judged at joining and never again. Without any rules nobody is judged.
"""

import dataclasses

import orjson
import sqlalchemy
from sqlmodel import col, select

from ven_adapters.enrolment_api import eligibility
from ven_adapters.enrolment_api.bulk_writes import memberships
from ven_adapters.enrolment_api.models import Agreement, Status
from ven_adapters.enrolment_api.store import CHUNK, EnrolmentWrite
from ven_adapters.enrolment_api.tables import CarRow, EnrolmentChangeRow, MembershipRow, RulesRow
from vtn.databases import print_at


@dataclasses.dataclass(frozen=True, slots=True)
class Reevaluated:
    """How many cars left a programme, how many of them are in none any more, how many are in one again."""

    left: int = 0
    suspended: int = 0
    back: int = 0


async def judge_again(write: EnrolmentWrite, rules: eligibility.Rules) -> Reevaluated | None:
    """Apply the rules to every enrolled car when they are not those that were applied last; None when they are."""
    document = orjson.dumps(
        {name: one.model_dump(mode="json", exclude={"patience"}) for name, one in rules.items()},
        option=orjson.OPT_SORT_KEYS,
    ).decode()
    newest = select(RulesRow).order_by(col(RulesRow.seq).desc()).limit(1)
    last = (await write.session.execute(newest)).scalar_one_or_none()
    if not rules or (last is not None and last.document == document):
        return None
    write.session.add(RulesRow(seq=write.number(), at=print_at(write.now), document=document))
    done, after = Reevaluated(), ""
    while cars := await _page(write, after):
        done, after = await _judge(write, rules, cars, done), cars[-1].vehicle_ref
    return done


async def _page(write: EnrolmentWrite, after: str) -> list[Agreement]:
    """The next cars of any status, by the primary key alone: a condition on the status would scan them all."""
    query = sqlalchemy.select(col(CarRow.document)).where(col(CarRow.vehicle_ref) > after)
    found = await write.session.execute(query.order_by(col(CarRow.vehicle_ref)).limit(CHUNK))
    return [Agreement.model_validate_json(document) for document in found.scalars()]


async def _judge(
    write: EnrolmentWrite, rules: eligibility.Rules, cars: list[Agreement], done: Reevaluated
) -> Reevaluated:
    pairs = [(car, *_still(rules, car)) for car in cars if car.ended_at is None and _joined(car)]
    changed = [(car, after, why) for car, after, why in pairs if after != car]
    refs = [after.vehicle_ref for _, after, _ in changed]
    at = print_at(write.now)
    for table in (MembershipRow, CarRow):
        await write.clear(table, *refs)
    await write.add(CarRow, [write.car_values(after) for _, after, _ in changed])
    await write.add(MembershipRow, [row for _, after, _ in changed for row in memberships(rules, after, at)])
    told = [(after.vehicle_ref, _what(car, after), why) for car, after, why in changed]
    await write.add(EnrolmentChangeRow, [write.change_values(*one) for one in told])
    left = sum(len(after.left_by_rule) > len(car.left_by_rule) for car, after, _ in changed)
    back = sum(len(after.left_by_rule) < len(car.left_by_rule) for car, after, _ in changed)
    return Reevaluated(
        done.left + left, done.suspended + sum(what == "suspended" for _, what, _ in told), done.back + back
    )


def _joined(car: Agreement) -> bool:
    return bool(car.programs or car.left_by_rule)


def _what(car: Agreement, after: Agreement) -> str:
    if car.status is after.status:
        return "rejudged"
    return "suspended" if after.status is Status.SUSPENDED else "resumed"


def _still(rules: eligibility.Rules, car: Agreement) -> tuple[Agreement, str]:
    """The car as the rules leave it, and why: what it left and what it is in again."""
    wanted = (*car.programs, *car.left_by_rule)
    kept, why = eligibility.remaining(rules, wanted, eligibility.question_of(car))
    if kept == wanted and eligibility.discharges(rules, kept) == car.discharge_program and not car.left_by_rule:
        return car, ""
    after = car.model_copy(
        update={
            "programs": kept,
            "left_by_rule": tuple(name for name in wanted if name not in kept),
            "discharge_program": eligibility.discharges(rules, kept),
            "status": Status.ENROLLED if kept else Status.SUSPENDED,
        }
    )
    back = [f"{name}: is allowed again" for name in kept if name not in car.programs]
    return after, " | ".join([*back, *([why] if why else [])])
