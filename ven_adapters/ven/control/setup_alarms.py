"""What is missing at an automaker's before its cars can be commanded or read: what stands now, and what is new of it.

Alarms name no car, because the adapter's account names none: they say of how many cars a sentence holds. What is
missing at one car is a step of its history, which `explain` tells.
"""

import collections
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ven_adapters.contract import SetupFault
from ven_adapters.ven.directives.history import SET_UP, of_car
from ven_adapters.ven.store.database import RowValues

MOST_SHOWN = 20


class SetupAlarms:
    """`take` what a backend found missing; `added_to` puts it beside the alarms that stand otherwise."""

    def __init__(self) -> None:
        self._standing: dict[str, tuple[SetupFault, ...]] = {}
        self._of_all: tuple[SetupFault, ...] = ()

    def take(self, found: Iterable[SetupFault], now: datetime) -> tuple[set[str], list[RowValues]]:
        """Everything that is missing now: cars that take commands from now on or no more, and steps of histories."""
        by_car: dict[str, list[SetupFault]] = collections.defaultdict(list)
        for fault in found:
            by_car[fault.vehicle_ref or ""].append(fault)
        self._of_all = tuple(by_car.pop("", ()))
        before, self._standing = self._standing, {ref: tuple(several) for ref, several in by_car.items()}
        changed = {ref for ref in (*before, *self._standing) if before.get(ref) != self._standing.get(ref)}
        steps = [of_car(ref, SET_UP, now, {"missing": self._sentences(ref)}) for ref in sorted(changed)]
        turned = {ref for ref in changed if _blocks(before.get(ref, ())) != _blocks(self._standing.get(ref, ()))}
        return turned, steps

    @property
    def alarms(self) -> list[str]:
        """One sentence for each thing that is missing, and at how many cars."""
        several = collections.Counter(one.sentence for found in self._standing.values() for one in found)
        cars = [f"{count} {'car' if count == 1 else 'cars'}: {sentence}" for sentence, count in several.most_common()]
        return [*(f"every car {one.sentence}" for one in self._of_all), *cars]

    def added_to(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """The adapter's account with these alarms beside its others."""
        mine = self.alarms
        if not mine:
            return dict(told)
        shown = [*told.get("alarms", ()), *mine][:MOST_SHOWN]
        return {**told, "alarms": shown, "alarms_in_all": told.get("alarms_in_all", 0) + len(mine)}

    def _sentences(self, ref: str) -> list[str]:
        return [one.sentence for one in self._standing.get(ref, ())]


def _blocks(found: Iterable[SetupFault]) -> bool:
    return any(one.takes_no_command for one in found)
