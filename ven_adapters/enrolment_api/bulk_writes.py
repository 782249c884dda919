"""Many cars in one transaction: what a file hands over, written in batches instead of row by row.

What is done with single cars stands in `operations`; the rules are the same ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ven_adapters.enrolment_api import eligibility
from ven_adapters.enrolment_api.models import Agreement, Kept, Scope
from ven_adapters.enrolment_api.store import EnrolmentWrite, agreement_of
from ven_adapters.enrolment_api.tables import CarRow, ChosenRow, ConsentRow, EnrolmentChangeRow, MembershipRow
from vtn.databases import print_at

KNOWN = ("model", "region", "utility", "tariff", "enrolled_at")


async def take_in(write: EnrolmentWrite, rules: eligibility.Rules, cars: Sequence[Agreement]) -> list[str]:
    """Take up cars from a file; those taken. Whose driver left after agreeing to what the file says stays out."""
    rows = await write.cars([car.vehicle_ref for car in cars])
    before = {ref: agreement_of(row) for ref, row in rows.items()}
    known = ((car, before.get(car.vehicle_ref)) for car in cars)
    taken = [_as_known(rules, car, then) for car, then in known if not _left(then, car)]
    refs = [car.vehicle_ref for car in taken]
    for table in (MembershipRow, CarRow):
        await write.clear(table, *refs)
    await write.add(CarRow, [write.car_values(car) for car in taken])
    await write.add(MembershipRow, [row for car in taken for row in memberships(rules, car, print_at(write.now))])
    await write.add(ConsentRow, [row for car in taken for row in _answers(write, car, before.get(car.vehicle_ref))])
    await write.add(EnrolmentChangeRow, [write.change_values(ref, "imported") for ref in refs])
    return refs


async def opt_out(write: EnrolmentWrite, refs: Sequence[str]) -> None:
    """These cars take no part in any event; those that are out already stay as they are."""
    known = await write.chosen(refs, "OPT_OUT")
    out = [ref for ref in refs if ref not in known]
    await write.forget(out, "OPT_IN")
    at = print_at(write.now)
    choice = {"choice": "OPT_OUT", "event_id": "", "at": at, "until": None}
    await write.add(ChosenRow, [{"vehicle_ref": ref, **choice, "seq": write.number()} for ref in out])
    await write.add(EnrolmentChangeRow, [write.change_values(ref, "opt_out") for ref in out])


def memberships(rules: eligibility.Rules, car: Agreement, since: str) -> list[dict[str, Any]]:
    """A car's rows in the table that keeps it to one programme of a kind."""
    return [
        {"vehicle_ref": car.vehicle_ref, "kind": rules[name].kind, "program": name, "since": since}
        for name in car.programs
    ]


def answer_values(write: EnrolmentWrite, ref: str, scope: Scope, kept: Kept, terms_sha256: str = "") -> dict[str, Any]:
    """One more line of the consent history."""
    return {
        "seq": write.number(),
        "vehicle_ref": ref,
        "scope": scope.value,
        "version": kept.version,
        "agreed": kept.agreed,
        "at": print_at(kept.at),
        "recorded_at": print_at(write.now),
        "terms_sha256": terms_sha256,
        "valid_until": None if kept.valid_until is None else print_at(kept.valid_until),
    }


def _as_known(rules: eligibility.Rules, car: Agreement, before: Agreement | None) -> Agreement:
    """A file does not know a car's model, region or account; what the app said of them stays, and judges the car."""
    if before is None:
        return car
    consents = _consents(before, car)
    if before.ended_at is not None:
        return car.model_copy(update={"consents": consents})
    same = car.model_copy(update={"consents": consents, **{name: getattr(before, name) for name in KNOWN}})
    kept, why = eligibility.remaining(rules, same.programs, eligibility.question_of(same))
    if not why:
        return same
    programs = kept or before.programs
    status = before.status if not kept else same.status
    discharge = eligibility.discharges(rules, programs)
    return same.model_copy(update={"programs": programs, "discharge_program": discharge, "status": status})


def _consents(before: Agreement, car: Agreement) -> dict[str, Kept]:
    """A file's consents, except those that an answer given since, or the end of the enrolment, has overtaken."""
    ended_at = before.ended_at
    fresh = {scope: kept for scope, kept in car.consents.items() if ended_at is None or kept.at > ended_at}
    for scope, known in before.consents.items():
        given = fresh.get(scope)
        if not known.agreed if given is None else known.at >= given.at:
            fresh[scope] = known
    return fresh


def _answers(write: EnrolmentWrite, car: Agreement, before: Agreement | None) -> list[dict[str, Any]]:
    """The consents that are new."""
    old: Mapping[str, Kept] = {} if before is None else before.consents
    return [
        answer_values(write, car.vehicle_ref, Scope(scope), kept)
        for scope, kept in car.consents.items()
        if old.get(scope) != kept
    ]


def _left(before: Agreement | None, car: Agreement) -> bool:
    ended_at = None if before is None else before.ended_at
    return ended_at is not None and all(kept.at <= ended_at for kept in car.consents.values())
