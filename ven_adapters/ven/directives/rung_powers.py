"""What asked powers became on the way to cars: per rung of the fallback ladder, watts asked and watts to be expected.

A cap of 3.5 kW may become 14 A, or a pause where a car knows nothing finer (reference C.4); this makes it visible.
Counts only; knows no cars.
"""

import collections
import dataclasses

from ven_adapters.contract import DirectiveKind, Rung
from ven_adapters.ven.directives.lifecycle import DirectiveRecord

_POWERED = frozenset({DirectiveKind.CAP, DirectiveKind.SETPOINT})


@dataclasses.dataclass(slots=True)
class RungTally:
    """Directives on one rung; watts asked of them and achieved, magnitudes."""

    directives: int = 0
    asked_w: int = 0
    achieved_w: int = 0


class RungPowers:
    """`take` every directive once, when its backend has taken it."""

    def __init__(self) -> None:
        self._by_rung: collections.defaultdict[Rung, RungTally] = collections.defaultdict(RungTally)

    def take(self, held: DirectiveRecord) -> None:
        """Count a directive that asks for a power; one whose setting is not known is passed over."""
        directive, setting = held.directive, held.setting
        if setting is None or directive.kind not in _POWERED:
            return
        tally = self._by_rung[setting.rung]
        tally.directives += 1
        tally.asked_w += abs(directive.power_w or 0)
        tally.achieved_w += abs(setting.power_w or 0)

    def plain(self) -> dict[str, dict[str, int]]:
        """Everything counted, by the rung's name."""
        return {rung.value: dataclasses.asdict(tally) for rung, tally in self._by_rung.items()}
