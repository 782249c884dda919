"""What counted for a car at an instant, from stored facts alone; `narrative` puts it into words. Pure.

Facts come from `store.database.CarFacts`, as the engine wrote them when they happened; nothing is inferred that no row
says.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from ven_adapters.contract import FINAL_STATES, Certainty, DirectiveState, DriverChoice
from ven_adapters.transport.windows.precedence import ended_by_opt_in
from ven_adapters.ven.directives.directive_rows import held_of
from ven_adapters.ven.directives.history import CHOICE, LEFT_ALONE, LEFT_OUT, SET_UP
from ven_adapters.ven.directives.lifecycle import DirectiveRecord
from ven_adapters.ven.fleet.departure_habits import habit_in_words
from ven_adapters.ven.fleet.pace import in_words
from ven_adapters.ven.store.database import CarFacts, HistoryRow, ZoneRow, parse_at

LOOKS_BACK = timedelta(hours=12)


class Unexplained(Exception):
    """Nothing is stored that could explain it; the message says what to ask for instead."""


@dataclasses.dataclass(frozen=True, slots=True)
class HistoryStep:
    """One row of the history, read."""

    at: datetime
    what: str
    state: DirectiveState | None
    certainty: Certainty
    facts: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class DirectiveTrace:
    """One directive: as it is stored now, and its steps, those until the instant and those after it."""

    held: DirectiveRecord
    until: tuple[HistoryStep, ...]
    after: tuple[HistoryStep, ...]

    @property
    def state(self) -> DirectiveState:
        """Where it stood at the instant."""
        return next((one.state for one in reversed(self.until) if one.state is not None), DirectiveState.REQUESTED)

    @property
    def certainty(self) -> Certainty:
        """How sure its effect was at the instant."""
        return self.until[-1].certainty if self.until else Certainty.NONE

    @property
    def live(self) -> bool:
        """Whether it was not over at the instant."""
        return self.state not in FINAL_STATES


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """The facts that count for one car at one instant; `story` the directive that it was under, or was last.

    `set_up`: what was missing at the automaker's for it to be commanded or read. `pace`, `habit`: how fast it was seen
    to charge and when it was seen to leave, by all that is known today.
    """

    ref: str
    at: datetime
    zone: str
    asked: Mapping[str, Any]
    story: DirectiveTrace | None
    left_alone: HistoryStep | None
    choices: tuple[HistoryStep, ...]
    pace: str = ""
    habit: str = ""
    set_up: HistoryStep | None = None


def zone_of(ref: str, facts: CarFacts, at: datetime) -> str:
    """The zone that a car was in; Unexplained when nothing is stored of the car, or nothing as old as that."""
    steps = [_step(row) for row in facts.history]
    if not steps and not facts.directives and facts.enrolment is None:
        raise Unexplained(f"VEHICLE: nothing is stored of {ref!r}; it is named as in the enrolments, never by its VIN")
    oldest = min((step.at for step in steps), default=None)
    if oldest is not None and at < oldest:
        raise Unexplained(f"--at: nothing is stored of this car from before {oldest.isoformat(timespec='seconds')}")
    stories = _stories(facts, at)
    told = [one for one in steps if one.what == LEFT_ALONE and one.at <= at]
    if stories and (not told or stories[-1].until[0].at >= told[-1].at):
        return stories[-1].held.zone
    if told:
        return str(told[-1].facts["zone"])
    return facts.enrolment.zone if facts.enrolment is not None else stories[-1].held.zone if stories else ""


def explanation(ref: str, facts: CarFacts, zones: Sequence[ZoneRow], at: datetime) -> Explanation:
    """What counted at an instant. `zones`: what the car's zone was asked. Raises Unexplained."""
    zone = zone_of(ref, facts, at)
    asked = next((row for row in reversed(zones) if parse_at(row.at) <= at), None)
    stories = _stories(facts, at)
    live = [one for one in stories if one.live]
    begun = [one for one in live if one.held.directive.start <= at]
    lately = [one for one in stories if one.until[-1].at >= at - LOOKS_BACK]
    story = next(iter([*reversed(begun), *reversed(live), *reversed(lately)]), None)
    history = [step for row in facts.history if (step := _step(row)).at <= at]
    left = next((one for one in reversed(history) if one.what == LEFT_ALONE), None)
    set_up = next((one for one in reversed(history) if one.what == SET_UP), None)
    told = {} if asked is None else {"at": asked.at, **orjson.loads(asked.document)}
    pace = "" if facts.pace is None else in_words(facts.pace.document)
    habit = "" if facts.departure is None else habit_in_words(facts.departure.document)
    return Explanation(ref, at, zone, told, story, left, tuple(_in_force(history, at)), pace, habit, set_up)


def _step(row: HistoryRow) -> HistoryStep:
    state = None if row.state is None else DirectiveState(row.state)
    return HistoryStep(parse_at(row.at), row.what, state, Certainty(row.certainty or 0), orjson.loads(row.document))


def _stories(facts: CarFacts, at: datetime) -> list[DirectiveTrace]:
    """Directives of which something was known at the instant, in the order in which they began."""
    steps: dict[str, list[HistoryStep]] = {}
    for row in facts.history:
        if row.directive_id is not None:
            steps.setdefault(row.directive_id, []).append(_step(row))
    found = []
    for stored in facts.directives:
        mine = steps.get(stored.directive_id, [])
        until = tuple(one for one in mine if one.at <= at)
        if until:
            found.append(DirectiveTrace(held_of(stored), until, tuple(one for one in mine if one.at > at)))
    return sorted(found, key=lambda story: story.held.directive.revision)


def _in_force(history: Sequence[HistoryStep], at: datetime) -> Iterator[HistoryStep]:
    """The choices of a driver that held at the instant: the newest of each kind that was neither over nor undone."""
    newest: dict[str, HistoryStep] = {}
    for one in history:
        if one.what == CHOICE:
            newest[one.facts["choice"]] = one
        elif one.what == LEFT_OUT:
            newest[one.facts["event"]] = one
    back = newest.pop(DriverChoice.OPT_IN.value, None)
    for name, one in newest.items():
        until = one.facts.get("until")
        chose = one.what == CHOICE and ended_by_opt_in(DriverChoice(name), ends=until is not None)
        undone = chose and back is not None and back.at >= one.at
        if not undone and (until is None or parse_at(until) > at):
            yield one


def plain(told: Explanation) -> dict[str, Any]:
    """The facts for a program to read."""
    story = told.story
    return {
        "vehicle": told.ref,
        "at": told.at,
        "zone": told.zone,
        "asked": told.asked,
        "choices": [_plain_step(one) for one in told.choices],
        "left_alone": None if told.left_alone is None else _plain_step(told.left_alone),
        "set_up": None if told.set_up is None else _plain_step(told.set_up),
        "directive": None
        if story is None
        else {
            "directive": story.held.directive,
            "why": story.held.why,
            "setting": story.held.setting,
            "state": story.state,
            "certainty": story.certainty.name,
            "live": story.live,
            "steps": [_plain_step(one) for one in story.until],
            "afterwards": [_plain_step(one) for one in story.after],
        },
    }


def _plain_step(one: HistoryStep) -> dict[str, Any]:
    found = {"at": one.at, "what": one.what, "facts": one.facts}
    return found if one.state is None else found | {"state": one.state, "certainty": one.certainty.name}
