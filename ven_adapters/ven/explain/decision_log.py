"""Why cars were left alone, and what zones were asked, for whoever wants to know later: only changes are kept.

A car that is told something has the reason with its directive. Of all others the plan's reason is followed here as one
number per row of the fleet, so that a look at a hundred thousand cars costs nothing when nothing changed. No I/O.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ven_adapters.ven.directives import history
from ven_adapters.ven.fleet.columns import Ints, grown
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.openadr.zone_requests import GridRequest, RequestSeries, RulingDimension, ZoneRequests
from ven_adapters.ven.planning.discharge_permits import MissingPermit
from ven_adapters.ven.planning.enforcement import DesireKind
from ven_adapters.ven.planning.flexibility.feasible_band import FeasibleBand
from ven_adapters.ven.planning.flexibility.shortfall import Flexibility, is_news
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.planning.limits.report import LimitsReport
from ven_adapters.ven.planning.zone_plan import ZonePlan
from ven_adapters.ven.store.database import RowValues, ZoneRow, document, print_at

REFUSALS = 64
TOLD = -1
FREE = int(Reason.NONE) * REFUSALS
AT_ONCE = 1_000
MOST_TOLD = 20
_ASKS = (
    "dispatch_kw",
    "relative_kw",
    "relative_share",
    "import_cap_kw",
    "export_cap_kw",
    "simple",
    "alert",
    "pre_charge",
)


class DecisionLog:
    """One code per row of the fleet: `Reason` and `MissingPermit` of a car that is told nothing, TOLD for any other."""

    def __init__(self, fleet: FleetColumns) -> None:
        self._fleet = fleet
        self._code: npt.NDArray[np.int16] = np.zeros(0, dtype=np.int16)
        self._new: collections.deque[tuple[float, str, Ints, npt.NDArray[np.int16]]] = collections.deque()
        self._asked: dict[str, str] = {}
        self._able: dict[str, Flexibility] = {}
        self._zones: list[RowValues] = []

    def grow(self, count: int) -> None:
        """Have at least `count` rows."""
        self._code = grown(self._code, count, fill=FREE)

    def take(
        self,
        requests: ZoneRequests,
        plan: ZonePlan,
        now: datetime,
        able: Flexibility | None = None,
        band: FeasibleBand | None = None,
    ) -> None:
        """What a cycle decided for one zone; `able` and `band`: what it can do and lacks, and its coming day."""
        self._take_asks(requests, plan, now, able, band)
        gives = any(
            ask is not None and ask.value < 0
            for ask in (requests.dispatch_kw, requests.relative_kw, requests.relative_share)
        )
        refusal = plan.refusal if gives else np.zeros_like(plan.refusal)
        quiet = (plan.kind == DesireKind.NONE) | ((refusal != MissingPermit.NONE) & (plan.kind != DesireKind.SETPOINT))
        code = np.where(quiet, plan.reason * REFUSALS + refusal, TOLD).astype(np.int16)
        fresh = np.flatnonzero(code != self._code[plan.row])
        rows, codes = plan.row[fresh], code[fresh]
        self._code[rows] = codes
        left = codes != TOLD
        if left.any():
            self._new.append((now.timestamp(), requests.zone, rows[left], codes[left]))

    def note(self, rows: Iterable[RowValues]) -> None:
        """Steps of cars that no plan made."""
        self._zones += rows

    def drain(self, most: int = AT_ONCE) -> Iterator[RowValues]:
        """Rows for the store, some at a time: a plan for a whole fleet must not fill one transaction."""
        while self._new and most > 0:
            at_s, zone, rows, codes = self._new.popleft()
            if len(rows) > most:
                self._new.appendleft((at_s, zone, rows[most:], codes[most:]))
            at = datetime.fromtimestamp(at_s, UTC)
            for row, code in zip(rows[:most].tolist(), codes[:most].tolist(), strict=True):
                yield history.of_car(self._fleet.ref(row), history.LEFT_ALONE, at, {"zone": zone, **reason_of(code)})
            most -= len(rows)
        zones, self._zones = self._zones, []
        yield from zones

    def _take_asks(
        self,
        requests: ZoneRequests,
        plan: ZonePlan,
        now: datetime,
        able: Flexibility | None,
        band: FeasibleBand | None,
    ) -> None:
        """Keep what a zone is asked and can do, when what is asked changes or a shortfall is news."""
        asked = {"ruling": requests.ruling.name, "asks": _asked(requests, now)}
        for name, several in (("not_understood", requests.unknown), ("not_for_these_cars", requests.unused)):
            asked |= {name: [dataclasses.asdict(one) for one in several[:MOST_TOLD]]} if several else {}
        broken = () if plan.limits is None else tuple(one.name for one in plan.limits.broken[:MOST_TOLD])
        known = document(asked | {"broken": broken})
        is_short = able is not None and is_news(self._able.get(requests.zone), able)
        if self._asked.get(requests.zone, _NOTHING_ASKED) == known and not is_short:
            return
        self._asked[requests.zone] = known
        figures: dict[str, Any] = {"asked_kw": plan.asked_kw, "planned_kw": round(plan.planned_kw, 2)}
        if able is not None:
            self._able[requests.zone] = able
            figures |= {"able": plain_flexibility(able)}
        figures |= {} if band is None else {"band": plain_band(band)}
        figures |= {} if plan.limits is None else {"limits": _limits(plan.limits)}
        values = {"zone": requests.zone, "at": print_at(now), "document": document(asked | figures)}
        self._zones.append(RowValues(ZoneRow, values))


def _asked(requests: ZoneRequests, now: datetime) -> list[dict[str, Any]]:
    """Everything that is asked of a zone now, by the events that ask it."""
    found = [_ask(name, ask) for name in _ASKS if (ask := getattr(requests, name)) is not None]
    found += [_ask("charge_state", ask) for ask in requests.charge_states]
    for name in ("price", "ghg"):
        cost: RequestSeries | None = getattr(requests, name)
        ask = None if cost is None else cost.at(now.timestamp())
        found += [] if ask is None else [_ask(name, ask)]
    return found


def plain_flexibility(able: Flexibility) -> dict[str, Any]:
    """What a zone can do now, kW, and with a shortfall what binds."""
    found: dict[str, Any] = {"least_kw": round(able.least_kw, 2), "most_kw": round(able.most_kw, 2)}
    if not able.is_short:
        return found | {"shortfall_kw": 0.0}
    binds = [{"obstacle": one.obstacle.value, "cars": one.cars, "kw": round(one.kw, 2)} for one in able.bindings]
    return found | {"shortfall_kw": round(able.shortfall_kw, 2), "event": able.event_id, "binds": binds}


def plain_limits(report: LimitsReport) -> dict[str, Any]:
    """For a line of progress: how many nodes there are, are full, are broken, and by how much."""
    return {
        "nodes": report.nodes,
        "full": report.full,
        "held_cars": report.held_cars,
        "broken": report.broken_nodes,
        "over_kw": round(report.over_kw, 2),
    }


def plain_band(band: FeasibleBand) -> dict[str, Any]:
    """A zone's coming day in quarter hours."""
    start = print_at(datetime.fromtimestamp(band.start_s, UTC))
    return {"start": start, "least_kw": band.least_kw.round(1).tolist(), "most_kw": band.most_kw.round(1).tolist()}


def _limits(report: LimitsReport) -> dict[str, Any]:
    """What the limits of nodes below a zone came to, and by name those that are broken by necessity."""
    broken = [
        {"node": one.name, "kind": one.kind, "limit_kw": round(one.limit_kw, 2), "planned_kw": round(one.planned_kw, 2)}
        for one in report.broken[:MOST_TOLD]
    ]
    return plain_limits(report) | {"broken_nodes": broken}


_NOTHING_ASKED = document({"ruling": RulingDimension.NOTHING.name, "asks": [], "broken": []})


def reason_of(code: int) -> Mapping[str, str]:
    """A code in words: the reason, and what was missing for a discharge."""
    reason, refusal = divmod(code, REFUSALS)
    found = {"reason": Reason(reason).name}
    return found | {"refusal": MissingPermit(refusal).name} if refusal else found


def _ask(name: str, ask: GridRequest) -> dict[str, Any]:
    return {
        "what": name,
        "value": round(ask.value, 3),
        "type": ask.payload_type,
        "program": ask.program_id,
        "event": ask.event_id,
        "interval": ask.interval_id,
        "priority": ask.priority,
        "start": print_at(datetime.fromtimestamp(ask.start_s, UTC)),
        "end": _instant(ask.end_s),
        "currency": ask.currency,
    }


def _instant(at_s: float) -> str | None:
    """None for what does not end."""
    return print_at(datetime.fromtimestamp(at_s, UTC)) if at_s < _LATEST_S else None


_LATEST_S = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
