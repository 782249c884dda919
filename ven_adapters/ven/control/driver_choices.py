"""What drivers chose of their cars, which of it is in force, and what binds of what they agreed to.

Whoever tells it (the enrolment API, a backend, a file), the last decision counts, in the order of
`transport.windows.precedence`.
No I/O: what must be stored is handed over as rows.
"""

import collections
import dataclasses
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

from ven_adapters.contract import DriverChoice, DriverChose
from ven_adapters.transport.windows.precedence import LEAVES, decided_at, ended_by_opt_in, is_overtaken, overtakers
from ven_adapters.ven.directives import history
from ven_adapters.ven.fleet.car_faults import CarFaults
from ven_adapters.ven.fleet.fleet import Enrolment, FleetColumns
from ven_adapters.ven.store.database import AdapterRow, ChoiceRow, RowValues, parse_at, print_at

MOST_UNTOLD = 10_000
MOST_EARLY, LONGEST_REF = 50_000, 128
# An opt-in comes first: an opt-out or a boost that stands beside it was chosen after it, or it would have ended them.
_IN_ORDER = (DriverChoice.OPT_IN, DriverChoice.OPT_OUT, DriverChoice.BOOST, DriverChoice.CONSENT_WITHDRAWN)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Effect:
    """What a fact changes: `plan` asks for a new plan soon, `release` names cars to be given back at once."""

    plan: bool = False
    release: tuple[str, ...] = ()


class DriverChoices:
    """Choices by car and kind, applied to the fleet. `withdrawn`: cars whose backends told of a consent that ended."""

    def __init__(self, fleet: FleetColumns, faults: CarFaults) -> None:
        self._fleet = fleet
        self._faults = faults
        self._held: dict[tuple[str, str], ChoiceRow] = {}
        self._decided: dict[tuple[str, str], datetime] = {}
        self._early: set[str] = set()
        self._rows: list[AdapterRow | RowValues] = []
        self.withdrawn: collections.deque[str] = collections.deque(maxlen=MOST_UNTOLD)

    def drain(self) -> list[AdapterRow | RowValues]:
        """Rows for the store, that somebody waits for: what was chosen since this was last asked."""
        rows, self._rows = self._rows, []
        return rows

    def apply(self, refs: Iterable[str], now: datetime) -> None:
        """Have what these cars' drivers chose count again, after their enrolments were taken up anew."""
        for ref in list(refs):
            for choice in _IN_ORDER:
                if (row := self._held.get((ref, choice.value))) is not None:
                    self._apply(row, now)

    def binding(self, enrolment: Enrolment, zone: str, now: datetime) -> Enrolment:
        """The agreement as it binds: a withdrawal ends every consent given before it, and none given after it.

        A consent that is dated in the future was not given after a withdrawal that we know of.
        """
        row = self._held.get((enrolment.vehicle_ref, DriverChoice.CONSENT_WITHDRAWN.value))
        if row is None:
            return dataclasses.replace(enrolment, zone=zone)
        at_s, now_s = parse_at(row.at).timestamp(), now.timestamp()
        return dataclasses.replace(
            enrolment,
            zone=zone,
            charging_consent=enrolment.charging_consent and at_s < enrolment.consented_s <= now_s,
            discharge_consent=enrolment.discharge_consent and at_s < enrolment.discharge_consented_s <= now_s,
        )

    def restore(self, rows: Iterable[ChoiceRow], now: datetime) -> None:
        """What drivers had chosen; what is over acts no more, and still orders what is told late."""
        in_order = []
        for row in rows:
            with self._faults.only(row.vehicle_ref):
                in_order.append((parse_at(row.at), _IN_ORDER.index(DriverChoice(row.choice)), row))
        for _, _, row in sorted(in_order, key=lambda one: one[:2]):
            with self._faults.only(row.vehicle_ref):
                self._restore_one(row, now)

    def _restore_one(self, row: ChoiceRow, now: datetime) -> None:
        ref, at = row.vehicle_ref, decided_at(parse_at(row.at), now)
        self._decided[(ref, row.choice)] = at
        if row.until is not None and parse_at(row.until) <= max(now, parse_at(row.at)):
            return
        if row.choice == DriverChoice.OPT_IN:
            for ended in self._ended(ref, at, now):
                self._held.pop((ref, ended.value), None)
        held = ChoiceRow(vehicle_ref=ref, choice=row.choice, at=print_at(at), until=row.until)
        self._held[(ref, row.choice)] = held
        self._apply(held, now)

    def take(self, event: DriverChose, now: datetime) -> Effect:
        """A driver's choice; one that a newer word on the same matter has overtaken is recorded and does not act.

        One about a car that is not ours, or not yet, is kept for the day that it is.
        """
        ref = event.vehicle_ref
        if ref not in self._fleet and not self.keeps_early(ref):
            return Effect()
        at, until = decided_at(event.at, now), None if event.until is None else print_at(event.until)
        facts = {"choice": event.choice.value, "until": until}
        if self._overtaken(event, at, now):
            _log.info("a driver's %s came after a newer word on the matter, and does not act", event.choice)
            self._rows.append(history.of_car(ref, history.OVERTAKEN, now, {**facts, "decided_at": print_at(at)}))
            return Effect()
        row = ChoiceRow(vehicle_ref=ref, choice=event.choice.value, at=print_at(at), until=until)
        self._rows += [*self._dated_back(event, at), row]
        if self._held.get((ref, row.choice)) != row:
            self._rows.append(history.of_car(ref, history.CHOICE, at, facts))
        if event.choice is DriverChoice.OPT_IN:
            self._rows += [self._over(ref, ended, at) for ended in self._ended(ref, at, now)]
        self._held[(ref, row.choice)], self._decided[(ref, row.choice)] = row, at
        self._apply(row, now)
        if event.choice is DriverChoice.CONSENT_WITHDRAWN:
            self.withdrawn.append(ref)
        return Effect(plan=True, release=(ref,) if event.choice in LEAVES else ())

    def keeps_early(self, ref: str) -> bool:
        """Whether there is room for a choice about a car that is not ours, under a name that can be stored."""
        if ref in self._early:
            return True
        if not (0 < len(ref) <= LONGEST_REF and ref.isprintable()) or len(self._early) >= MOST_EARLY:
            _log.warning("a driver's choice about a car that is not ours is not kept")
            return False
        self._early.add(ref)
        return True

    def begin(self, fresh: Iterable[Enrolment]) -> None:
        """Cars that become ours: whoever agreed after a choice had not that choice in mind."""
        for one in fresh:
            self._early.discard(one.vehicle_ref)
            for choice in (DriverChoice.OPT_IN, DriverChoice.OPT_OUT, DriverChoice.BOOST):
                row = self._held.get((one.vehicle_ref, choice.value))
                if row is not None and parse_at(row.at).timestamp() < one.consented_s:
                    self._rows.append(self._over(one.vehicle_ref, choice, parse_at(row.at)))

    def _overtaken(self, event: DriverChose, at: datetime, now: datetime) -> bool:
        """Whether a newer word on the same matter is known: pushes may come late and out of order."""
        held = self._fleet.enrolled(event.vehicle_ref)
        if event.choice is DriverChoice.CONSENT_WITHDRAWN and held is not None and held.charging_consent:
            agreed_s = [held.consented_s, *([held.discharge_consented_s] if held.discharge_consent else [])]
            if max(agreed_s) <= now.timestamp() and min(agreed_s) > at.timestamp():
                return True
        rivals = overtakers(event.choice, ends=event.until is not None)
        known = [self._decided.get((event.vehicle_ref, rival.value)) for rival in rivals]
        return is_overtaken(at, known, now, leaves=event.choice in LEAVES)

    def _dated_back(self, event: DriverChose, at: datetime) -> Iterator[ChoiceRow]:
        """Before a choice acts: what was chosen before it, by a clock of ours that was set back since, is older."""
        for rival in overtakers(event.choice, ends=event.until is not None):
            key = event.vehicle_ref, rival.value
            if self._decided.get(key, at) <= at:
                continue
            self._decided[key] = at
            if (row := self._held.get(key)) is not None:
                self._held[key] = ChoiceRow(
                    vehicle_ref=row.vehicle_ref, choice=row.choice, at=print_at(at), until=row.until
                )
                yield self._held[key]

    def _ended(self, ref: str, at: datetime, now: datetime) -> list[DriverChoice]:
        """The choices that stand and that an opt-in made at an instant ends: those that were not made after it.

        One ahead of our clock, which was set back meanwhile, counts as of now.
        """
        held = [row for choice in _IN_ORDER if (row := self._held.get((ref, choice.value))) is not None]
        before = [row for row in held if min(self._decided[(ref, row.choice)], now) <= at]
        choices = [(DriverChoice(row.choice), row.until is not None) for row in before]
        return [choice for choice, ends in choices if ended_by_opt_in(choice, ends=ends)]

    def _over(self, ref: str, choice: DriverChoice, at: datetime) -> ChoiceRow:
        """An earlier choice that another one ended."""
        self._held.pop((ref, choice.value), None)
        if choice is DriverChoice.BOOST:
            self._fleet.choose(ref, choice, until=at)
        return ChoiceRow(vehicle_ref=ref, choice=choice.value, at=print_at(at), until=print_at(at))

    def _apply(self, row: ChoiceRow, now: datetime) -> None:
        choice, held = DriverChoice(row.choice), self._fleet.enrolled(row.vehicle_ref)
        if choice is DriverChoice.CONSENT_WITHDRAWN:
            bound = None if held is None else self.binding(held, held.zone, now)
            if bound is not None and bound != held:
                self._fleet.enrol([bound])
        elif row.vehicle_ref in self._fleet:
            self._fleet.choose(row.vehicle_ref, choice, until=None if row.until is None else parse_at(row.until))
