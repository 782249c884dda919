"""The table of acts: each with its path, its body, who carries it out, and the words that describe it.

The HTTP API, the signed webhooks and the OpenAPI document are made from this one table.
"""

import dataclasses
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import pydantic

from ven_adapters.enrolment_api.models import (
    Agreement,
    Boost,
    Consent,
    Home,
    Model,
    Nothing,
    OptOut,
    Papers,
    Patience,
    Preferences,
    Programs,
    Skip,
)
from ven_adapters.enrolment_api.operations import EnrolmentOperations, enrolled
from ven_adapters.enrolment_api.problems import faults_of, rejected
from ven_adapters.enrolment_api.store import EnrolmentWrite
from ven_adapters.transport.windows.precedence import is_overtaken

Work = Callable[[EnrolmentOperations, EnrolmentWrite, str, Any], Awaitable[Agreement]]


@dataclasses.dataclass(frozen=True, slots=True)
class EnrolmentOperation:
    """One thing that an app may do to an enrolled car: POST `/v1/cars/{vehicle_ref}/{path}`.

    `overtakers` are the acts of which a newer one is a newer word on the same matter. A consent brings an instant of
    its own, and an enrolment that has ended is not ended again. `leaves`: the driver takes the car to himself by it.
    """

    name: str
    path: str
    body: type[Model] | None
    work: Work
    summary: str
    status: HTTPStatus = HTTPStatus.OK
    erases: bool = False
    overtakers: tuple[str, ...] = ()
    leaves: bool = False


_OUT_OR_IN = ("opt_out", "opt_in")
ACTS: tuple[EnrolmentOperation, ...] = (
    EnrolmentOperation(
        "consent",
        "consents",
        Consent,
        EnrolmentOperations.consent,
        "Add a driver's answer to the history",
        HTTPStatus.CREATED,
    ),
    EnrolmentOperation(
        "preferences",
        "preferences",
        Preferences,
        EnrolmentOperations.preferences,
        "Replace the driver's week",
        overtakers=("preferences",),
    ),
    EnrolmentOperation(
        "permissions",
        "permissions",
        Papers,
        EnrolmentOperations.permissions,
        "Replace the papers that a discharge needs",
        overtakers=("permissions", "home"),
    ),
    EnrolmentOperation(
        "patience",
        "patience",
        Patience,
        EnrolmentOperations.patience,
        "Replace the car's own caps on how often events may ask it",
        overtakers=("patience",),
    ),
    EnrolmentOperation(
        "programs",
        "programs",
        Programs,
        EnrolmentOperations.change_programs,
        "Join and leave programmes",
        overtakers=("programs",),
    ),
    EnrolmentOperation(
        "opt_out",
        "opt-out",
        OptOut,
        EnrolmentOperations.opt_out,
        "Leave one event, or all",
        overtakers=_OUT_OR_IN,
        leaves=True,
    ),
    EnrolmentOperation(
        "skip",
        "skip",
        Skip,
        EnrolmentOperations.skip,
        "Leave one event with one of the season's tokens",
        leaves=True,
    ),
    EnrolmentOperation("opt_in", "opt-in", None, EnrolmentOperations.opt_in, "Take part again", overtakers=_OUT_OR_IN),
    EnrolmentOperation(
        "boost", "boost", Boost, EnrolmentOperations.boost, "Charge now", overtakers=("boost",), leaves=True
    ),
    EnrolmentOperation(
        "home",
        "home",
        Home,
        EnrolmentOperations.home,
        "Move to another home; the old home's papers lapse",
        erases=True,
        overtakers=("home",),
    ),
    EnrolmentOperation(
        "sale",
        "sale",
        None,
        EnrolmentOperations.sale,
        "The car is sold: the enrolment ends, the person is erased",
        erases=True,
        leaves=True,
    ),
    EnrolmentOperation(
        "withdrawal",
        "withdrawal",
        None,
        EnrolmentOperations.withdrawal,
        "The driver leaves: the person is erased",
        erases=True,
        leaves=True,
    ),
)
BY_NAME = {act.name: act for act in ACTS}
OVERTAKEN = "overtaken"


def parse(model: type[Model] | None, raw: bytes) -> Any:
    """A body as its model; Refused with every fault. An act without a body takes none, or an empty object."""
    try:
        return (model or Nothing).model_validate_json(raw if model is not None or raw else b"{}")
    except pydantic.ValidationError as error:
        raise rejected(faults_of(error)) from None


async def perform(
    act: EnrolmentOperation, operations: EnrolmentOperations, write: EnrolmentWrite, ref: str, body: Any
) -> Agreement:
    """Carry an act out; one that a newer decision has overtaken, or a newer enrolment, is noted and changes nothing."""
    car = (await enrolled(write, ref))[1]
    overtakers = () if getattr(body, "event_id", None) is not None else act.overtakers  # one event is its own matter
    decided = await write.decisions(ref) if overtakers else {}
    known = [car.enrolled_at, *map(decided.get, overtakers)]
    if is_overtaken(write.decided_at, known, write.now, leaves=act.leaves):
        write.journal(ref, OVERTAKEN, act.name)
        return car
    after = await act.work(operations, write, ref, body)
    if overtakers:
        await write.note_decision(ref, act.name)
    return after
