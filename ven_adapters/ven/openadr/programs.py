"""Which OpenADR programs the cars take part in, and so which events count for them. Pure.

What says so, the first of these that says anything: the car's enrolment, its zone's settings, the adapter's settings.
A name is a program's id, its programName or one of its targets; `*` is every program. Where nothing says anything, a
program that the VTN shows us because of its targets counts, and of untargeted programs the first that asked a payload
type: a second one that asks the same type is told and not used, until settings say which of them is ours. Alerts count
from every program that we may see: they are about the grid, not about a contract.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ven_adapters.ven.openadr.payload_types import ALERTS, canonical
from vtn.wire.event import Event

ANY = "*"
_LAST = "~"


@dataclasses.dataclass(frozen=True, slots=True)
class ListedProgram:
    """A program as the VTN lists it; `targets` are those that it shows us."""

    program_id: str
    name: str
    targets: frozenset[str] = frozenset()
    created: str = ""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "ListedProgram":
        """From JSON values; what has another shape than the standard's names nothing."""
        targets = raw.get("targets")
        texts = [one for one in targets if isinstance(one, str)] if isinstance(targets, list) else []
        name, created = (str(raw.get(key) or "") for key in ("programName", "createdDateTime"))
        return cls(str(raw["id"]), name, frozenset(texts), created)

    def is_named(self, names: Collection[str]) -> bool:
        """Whether one of these names means this program."""
        return ANY in names or self.program_id in names or self.name in names or not self.targets.isdisjoint(names)

    @property
    def called(self) -> str:
        """As people know it."""
        return f"{self.name!r} ({self.program_id})" if self.name else self.program_id


@dataclasses.dataclass(frozen=True, slots=True)
class ProgramNames:
    """What settings say: `everywhere` for all cars, `zones` for those of a zone, `schemes` for what enrolments name.

    An enrolment names the automaker's own programmes; `schemes` gives the VTN's names of each, its own by default.
    """

    everywhere: frozenset[str] = frozenset()
    zones: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    schemes: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)

    def of_zone(self, zone: str) -> frozenset[str]:
        """The programs of a zone's cars as far as their enrolments say nothing; empty when nothing says anything."""
        return self.zones.get(zone) or self.everywhere

    def of_car(self, zone: str, enrolled: Iterable[str]) -> frozenset[str]:
        """The programs of one car, by its zone and what its enrolment names."""
        own = [self.schemes.get(name) or frozenset({name}) for name in enrolled]
        return frozenset().union(*own) if own else self.of_zone(zone)


class ProgramSelection:
    """The programs of the VTN, and which of them cars act on that nobody enrolled anywhere."""

    def __init__(self) -> None:
        self._listed: dict[str, ListedProgram] = {}
        self._asked: dict[str, frozenset[str]] = {}
        self._judged: dict[tuple[frozenset[str], str, str], dict[str, str]] = {}
        self.first: dict[str, str] = {}

    def restore(self, first: Mapping[str, str]) -> None:
        """By payload type the untargeted program that an earlier run heard first."""
        self.first = dict(first)

    def take(self, programs: Iterable[ListedProgram], events: Iterable[Event]) -> dict[str, str]:
        """Take up what a poll brought; the payload types that now count from another program than before.

        Whoever was first stays first while the program exists, so that no later one takes its place unnoticed.
        """
        self._listed = {one.program_id: one for one in programs}
        asked: dict[str, set[str]] = {}
        for event in events:
            kinds = {canonical(one.type) for interval in event.intervals or () for one in interval.payloads}
            asked.setdefault(event.program_id, set()).update(kinds)
        self._asked = {program_id: frozenset(kinds - ALERTS.keys()) for program_id, kinds in asked.items()}
        fresh: dict[str, str] = {}
        known = self._listed.keys() | self._asked.keys()
        for program_id in sorted(self._asked, key=self._age):
            for kind in self._asked[program_id] if not self._known(program_id).targets else ():
                if self.first.get(kind) not in known and kind not in fresh:
                    fresh[kind] = program_id
        self.first |= fresh
        self._judged.clear()
        return fresh

    def unused(self, names: Collection[str], event: Event) -> Mapping[str, str]:
        """The payload types of an event that do not count for cars with these programs, and why, as they are spelt."""
        key = frozenset(names), event.id, event.modification_date_time
        known = self._judged.get(key)
        if known is None:
            known = self._judged[key] = self._judge(names, event)
        return known

    def _judge(self, names: Collection[str], event: Event) -> dict[str, str]:
        program = self._known(event.program_id)
        kinds = {one.type for interval in event.intervals or () for one in interval.payloads}
        kinds = {kind for kind in kinds if canonical(kind) not in ALERTS}
        if names:
            mine = ", ".join(sorted(names))
            why = f"program {program.called} is none of those that these cars are enrolled in ({mine})"
            return {} if program.is_named(names) else dict.fromkeys(kinds, why)
        return {kind: self._second(program, kind) for kind in kinds if not self._is_first(program, canonical(kind))}

    def takes_part(self, names: Collection[str], program_id: str) -> bool:
        """Whether cars with these programs are in this one, so that reports on its events count them."""
        program, kinds = self._known(program_id), self._asked.get(program_id, frozenset())
        if names:
            return program.is_named(names)
        return not kinds or any(self._is_first(program, kind) for kind in kinds)

    def unmet(self, names: Iterable[str]) -> list[str]:
        """The names that mean no program of the VTN."""
        named = set(names) - {ANY}
        return sorted(name for name in named if not any(one.is_named((name,)) for one in self._listed.values()))

    def _is_first(self, program: ListedProgram, kind: str) -> bool:
        return bool(program.targets) or self.first.get(kind, program.program_id) == program.program_id

    def _second(self, program: ListedProgram, kind: str) -> str:
        first = self._known(self.first[canonical(kind)])
        return f"program {first.called} asks {kind} too and was first; no setting says that {program.called} is ours"

    def _known(self, program_id: str) -> ListedProgram:
        return self._listed.get(program_id) or ListedProgram(program_id, "")

    def _age(self, program_id: str) -> tuple[str, str]:
        return self._known(program_id).created or _LAST, program_id
