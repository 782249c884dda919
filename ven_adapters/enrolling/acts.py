"""The table of acts: each with its path, its body, who carries it out, and the words that describe it.

The HTTP API, the signed webhooks and the OpenAPI document are made from this one table.
"""

import dataclasses
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import pydantic

from ven_adapters.enrolling.book import Write
from ven_adapters.enrolling.desk import Desk, enrolled
from ven_adapters.enrolling.models import (
    Agreement,
    Boost,
    Consent,
    Home,
    Model,
    Nothing,
    OptOut,
    Papers,
    Preferences,
    Programs,
)
from ven_adapters.enrolling.problems import faults_of, rejected
from ven_adapters.transport.precedence import is_overtaken

Work = Callable[[Desk, Write, str, Any], Awaitable[Agreement]]


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
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
ACTS: tuple[Act, ...] = (
    Act("consent", "consents", Consent, Desk.consent, "Add a driver's answer to the history", HTTPStatus.CREATED),
    Act(
        "preferences",
        "preferences",
        Preferences,
        Desk.preferences,
        "Replace the driver's week",
        overtakers=("preferences",),
    ),
    Act(
        "permissions",
        "permissions",
        Papers,
        Desk.permissions,
        "Replace the papers that a discharge needs",
        overtakers=("permissions", "home"),
    ),
    Act("programs", "programs", Programs, Desk.change_programs, "Join and leave programmes", overtakers=("programs",)),
    Act("opt_out", "opt-out", OptOut, Desk.opt_out, "Leave one event, or all", overtakers=_OUT_OR_IN, leaves=True),
    Act("opt_in", "opt-in", None, Desk.opt_in, "Take part again", overtakers=_OUT_OR_IN),
    Act("boost", "boost", Boost, Desk.boost, "Charge now", overtakers=("boost",), leaves=True),
    Act(
        "home",
        "home",
        Home,
        Desk.home,
        "Move to another home; the old home's papers lapse",
        erases=True,
        overtakers=("home",),
    ),
    Act(
        "sale",
        "sale",
        None,
        Desk.sale,
        "The car is sold: the enrolment ends, the person is erased",
        erases=True,
        leaves=True,
    ),
    Act(
        "withdrawal",
        "withdrawal",
        None,
        Desk.withdrawal,
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


async def perform(act: Act, desk: Desk, write: Write, ref: str, body: Any) -> Agreement:
    """Carry an act out; one that a newer decision has overtaken, or a newer enrolment, is noted and changes nothing."""
    car = (await enrolled(write, ref))[1]
    overtakers = () if getattr(body, "event_id", None) is not None else act.overtakers  # one event is its own matter
    decided = await write.decisions(ref) if overtakers else {}
    known = [car.enrolled_at, *map(decided.get, overtakers)]
    if is_overtaken(write.decided_at, known, write.now, leaves=act.leaves):
        write.journal(ref, OVERTAKEN, act.name)
        return car
    after = await act.work(desk, write, ref, body)
    if overtakers:
        await write.note_decision(ref, act.name)
    return after
