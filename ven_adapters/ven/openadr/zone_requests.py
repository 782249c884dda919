"""From OpenADR windows to what is asked of one zone: now, and step by step over the horizon.

Reads every event that the zone may see, settles conflicts by priority, and converts units. What it does not understand
is collected in `unknown` and never guessed; where that is a limit, the last one that was understood stays in force.
What asks cars that are in other programs is collected in `unused`. Knows nothing of cars.

Conflicts (User Guide 7.1: 0 is the highest priority, none the lowest). Same dimension: the lower number wins, then the
later created event; between capacities the smaller. Across dimensions: capacities always bind; of alert, dispatch and
SIMPLE the lower number governs, then that order. Charge-state and price asks shape what is left free.
"""

import dataclasses
import enum
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np

from ven_adapters.ven.openadr.grid_limits import GridLimits
from ven_adapters.ven.openadr.grid_requests import GridRequest, HeldEvent, RequestSeries, UnusedPayload
from ven_adapters.ven.openadr.payload_types import (
    LEVEL_SHARE,
    Dimension,
    PayloadContext,
    PayloadValue,
    limit_of,
    meaning,
)
from vtn.rules.timeline import Window, windows
from vtn.wire.interval import parse_date_time

__all__ = [
    "GridRequest",
    "HeldEvent",
    "RequestSeries",
    "RulingDimension",
    "UnusedPayload",
    "ZoneRequests",
    "read_requests",
]

LOOK_BACK = timedelta(hours=6)
HORIZON = timedelta(hours=36)
MOST_WINDOWS = 4096
EMERGENCY_LEVEL = 3
DEFAULT_LIMIT = "default-limit"
"""In place of a program, and of an event's id: a limit that settings name, which holds while the VTN is lost."""


class RulingDimension(enum.IntEnum):
    """The dimension that governs the cycle, in default order of rank."""

    ALERT = 0
    DISPATCH = 1
    SIMPLE = 2
    NOTHING = 9


@dataclasses.dataclass(frozen=True, slots=True)
class ZoneRequests:
    """What one zone is asked at `now_s`. Shares are of the flexible load, 1 = all of it may charge.

    `dispatch_kw` absolute net kW of the zone; `relative_kw` and `relative_share` change against what the zone would
    draw unasked (at most one of the three is set); `import_cap_kw` and `export_cap_kw` always bind; `simple` and
    `alert` carry the level 0..3; `pre_charge`: charge now and do not discharge; `charge_states`: fraction 0..1 to be
    reached by each ask's end; `restriction` (share kept away, 0 to 1), `set_points_kw`, `import_limits_kw`,
    `export_limits_kw`: by time;
    `recovery_from_s`: when the last restriction ended, NaN when none did lately or one is in force; `next_change_s`:
    when anything of this changes, infinite when nothing will; `limits`: every capacity in force, or what stands in for
    one; `loads`: every set-point, level and alert of the horizon, over, in force or to come; `grid`: what holds for the
    nodes below the zone.
    """

    zone: str
    now_s: float
    dispatch_kw: GridRequest | None = None
    relative_kw: GridRequest | None = None
    relative_share: GridRequest | None = None
    import_cap_kw: GridRequest | None = None
    export_cap_kw: GridRequest | None = None
    simple: GridRequest | None = None
    alert: GridRequest | None = None
    pre_charge: GridRequest | None = None
    notices: tuple[GridRequest, ...] = ()
    charge_states: tuple[GridRequest, ...] = ()
    charge_energy_kwh: tuple[GridRequest, ...] = ()
    price: RequestSeries | None = None
    export_price: RequestSeries | None = None
    ghg: RequestSeries | None = None
    restriction: RequestSeries | None = None
    set_points_kw: RequestSeries | None = None
    import_limits_kw: RequestSeries | None = None
    export_limits_kw: RequestSeries | None = None
    ruling: RulingDimension = RulingDimension.NOTHING
    recovery_from_s: float = math.nan
    next_change_s: float = math.inf
    unknown: tuple[UnusedPayload, ...] = ()
    unused: tuple[UnusedPayload, ...] = ()
    limits: tuple[GridRequest, ...] = ()
    loads: tuple[GridRequest, ...] = ()
    grid: GridLimits | None = None

    @property
    def ruling_ask(self) -> GridRequest | None:
        """The set-point, level or alert that governs; None where nothing does."""
        return {
            RulingDimension.ALERT: self.alert or self.pre_charge,
            RulingDimension.DISPATCH: self.dispatch,
            RulingDimension.SIMPLE: self.simple,
        }.get(self.ruling)

    @property
    def dispatch(self) -> GridRequest | None:
        """The set-point in force, absolute or relative; without one no battery gives."""
        return self.dispatch_kw or self.relative_kw or self.relative_share

    @property
    def emergency(self) -> bool:
        """True when what rules is an alert of the highest level: a grid emergency, or a restart of the grid."""
        return self.ruling is RulingDimension.ALERT and self.alert is not None and self.alert.value >= EMERGENCY_LEVEL

    @property
    def quiet(self) -> bool:
        """True when nothing that moves a car is asked now and no restart is under way."""
        asked = (
            self.import_cap_kw,
            self.export_cap_kw,
            self.price,
            self.export_price,
            self.ghg,
            *self.charge_states,
            *self.charge_energy_kwh,
        )
        return self.ruling is RulingDimension.NOTHING and not any(asked) and math.isnan(self.recovery_from_s)


Found = Mapping[Dimension, Sequence[GridRequest]]
Kept = Mapping[tuple[str, Dimension], float]
D = Dimension


@dataclasses.dataclass(frozen=True, slots=True)
class GatheredRequests:
    """Every ask by dimension, and each payload that nobody acts on, once."""

    requests: dict[Dimension, list[GridRequest]]
    unknown: dict[tuple[str, str, str], UnusedPayload] = dataclasses.field(default_factory=dict)
    unused: dict[tuple[str, str, str], UnusedPayload] = dataclasses.field(default_factory=dict)


def read_requests(
    zone: str,
    events: Sequence[HeldEvent],
    *,
    now: datetime,
    seed: str,
    released_at: datetime | None = None,
    kept: Kept | None = None,
) -> ZoneRequests:
    """What the zone's visible events ask at `now` and until `now + HORIZON`.

    `seed` fixes this VEN's randomizeStart; `released_at` is when an event of the zone was last deleted or shortened
    while it restricted load, so that a cancelled event is followed by the same soft restart as one that ran out.
    `kept`: by program ("" for any) and dimension the limit of the whole zone that counts in place of one that is not
    understood; by DEFAULT_LIMIT what holds where none that the VTN sent is in force while it is lost (User Guide
    8.10.1).
    """
    gathered = GatheredRequests({dimension: [] for dimension in Dimension})
    for one in events:
        if one.of_zone:
            _collect(gathered, one, _near(one, now, seed), now, kept or {})
    _add_defaults(gathered.requests, kept or {}, now)
    found, now_s = gathered.requests, now.timestamp()
    load = {dimension: _in_force(found[dimension], now_s) for dimension in _LOAD}
    dispatch = _best(ask for d in _DISPATCH for ask in load[d])
    alert = _best([*load[D.ALERT_LEVEL], *load[D.PRE_CHARGE]])
    simple = _best(load[D.SIMPLE_LEVEL])
    changes = [at for requests in found.values() for ask in requests for at in (ask.start_s, ask.end_s) if at > now_s]
    return ZoneRequests(
        zone,
        now_s,
        **_dispatched(dispatch, load),
        import_cap_kw=_cap(found, now_s, D.IMPORT_LIMIT_KW, D.IMPORT_SUBSCRIPTION_KW, D.IMPORT_RESERVATION_KW),
        export_cap_kw=_cap(found, now_s, D.EXPORT_LIMIT_KW, D.EXPORT_SUBSCRIPTION_KW, D.EXPORT_RESERVATION_KW),
        simple=simple,
        alert=alert if alert in load[D.ALERT_LEVEL] else None,
        pre_charge=alert if alert in load[D.PRE_CHARGE] else None,
        notices=tuple(_in_force(found[D.NOTICE], now_s)),
        charge_states=_deadlines(found[D.CHARGE_STATE], now_s),
        charge_energy_kwh=_deadlines(found[D.CHARGE_ENERGY_KWH], now_s),
        price=_money(found[D.PRICE]),
        export_price=_money(found[D.EXPORT_PRICE]),
        ghg=_money(found[D.GHG_G]),
        restriction=_restriction(found),
        set_points_kw=_painted(found[D.DISPATCH_KW]),
        import_limits_kw=_painted([*found[D.IMPORT_SUBSCRIPTION_KW], *found[D.IMPORT_LIMIT_KW]], tightest=True),
        export_limits_kw=_painted([*found[D.EXPORT_SUBSCRIPTION_KW], *found[D.EXPORT_LIMIT_KW]], tightest=True),
        ruling=_ruling(alert, dispatch, simple),
        recovery_from_s=_recovery_from_s(found, now_s, released_at),
        next_change_s=min(changes, default=math.inf),
        unknown=(*gathered.unknown.values(), *_foreign(found, now_s)),
        unused=tuple(gathered.unused.values()),
        limits=tuple(ask for d in _LIMITS for ask in _in_force(found[d], now_s)),
        loads=tuple(ask for d in _LOAD for ask in found[d] if _asks(d, ask.value)),
    )


def _dispatched(dispatch: GridRequest | None, load: Found) -> dict[str, Any]:
    return {name: dispatch if dispatch in load[d] else None for d, name in _DISPATCH.items()}


def _collect(gathered: GatheredRequests, one: HeldEvent, near: Iterable[Window], now: datetime, kept: Kept) -> None:
    """Sort one event's payloads into what is asked, what is not understood, and what is not for these cars."""
    created_s = parse_date_time(one.event.created_date_time).timestamp()
    described_as: dict[str, PayloadContext] = {}
    for window in near:
        for payload in window.payloads:
            kind = payload.type
            if kind in one.unused:
                _note(gathered.unused, window, kind, one.unused[kind], now)
                continue
            context = described_as.get(kind) or described_as.setdefault(kind, one.described(kind))
            meant = meaning(kind, payload.values, context)
            if isinstance(meant, PayloadValue):
                gathered.requests[meant.dimension].append(_ask(one, window, meant, kind, created_s))
                continue
            dimension = limit_of(kind)
            kw = None if dimension is None else _stand_in_kw(window, dimension, kept)
            if dimension is not None and kw is not None:
                ask = _ask(one, window, PayloadValue(dimension, kw), kind, created_s)
                gathered.requests[dimension].append(dataclasses.replace(ask, stands_in=True))
                meant = f"{meant}; {kw:g} kW, the last that was understood or what is set, stays in force"
            _note(gathered.unknown, window, kind, meant, now)


def _add_defaults(found: dict[Dimension, list[GridRequest]], kept: Kept, now: datetime) -> None:
    """Default limits as subscriptions of lowest rank, unless the VTN announced a subscription."""
    start_s, end_s = now.timestamp(), (now + HORIZON).timestamp()
    for dimension in (D.IMPORT_SUBSCRIPTION_KW, D.EXPORT_SUBSCRIPTION_KW):
        kw = kept.get((DEFAULT_LIMIT, dimension))
        if kw is not None and not _in_force(found[dimension], start_s):
            default = GridRequest(kw, start_s, end_s, "", DEFAULT_LIMIT, 0, whole=kw, stands_in=True)
            found[dimension].append(default)


def _stand_in_kw(window: Window, dimension: Dimension, kept: Kept) -> float | None:
    """The limit that counts in place of one that is not understood: the program's last, or one that settings name."""
    last_kw = kept.get((window.program_id, dimension))
    return kept.get(("", dimension)) if last_kw is None else last_kw


def _note(
    told: dict[tuple[str, str, str], UnusedPayload], window: Window, payload_type: str, why: str, now: datetime
) -> None:
    """Once per event, type and reason, and not after its end."""
    if window.end > now:
        what = UnusedPayload(window.event_id, window.interval_id, payload_type, why, window.program_id)
        told.setdefault((what.event_id, what.payload_type, what.why), what)


def _near(one: HeldEvent, now: datetime, seed: str) -> Iterator[Window]:
    since, until = now - LOOK_BACK, now + HORIZON
    return islice(windows(one.event, read_at=one.read_at, since=since, until=until, seed=seed), MOST_WINDOWS)


def _ask(one: HeldEvent, window: Window, meant: PayloadValue, payload_type: str, created_s: float) -> GridRequest:
    return GridRequest(
        _part(one, meant),
        window.start.timestamp(),
        window.end.timestamp(),
        window.program_id,
        window.event_id,
        window.interval_id,
        window.priority,
        payload_type,
        created_s,
        meant.currency,
        whole=meant.value,
    )


def _part(one: HeldEvent, meant: PayloadValue) -> float:
    """What of a zone's kW or kWh falls to the cars that are asked; levels, shares and prices are the same for all."""
    dimension, value = meant.dimension, meant.value
    if dimension in _EXPORTS or (dimension is D.DISPATCH_KW and value < 0):
        return value * one.export_share
    return value * one.import_share if dimension in _IMPORTS else value


def _in_force(requests: Iterable[GridRequest], now_s: float) -> list[GridRequest]:
    return [ask for ask in requests if ask.start_s <= now_s < ask.end_s]


def _preference(ask: GridRequest) -> tuple[float, float, float, str, int]:
    return ask.rank, -ask.created_s, ask.value, ask.event_id, ask.interval_id


def _best(requests: Iterable[GridRequest]) -> GridRequest | None:
    return min(requests, key=_preference, default=None)


def _cap(
    found: Found, now_s: float, limit: Dimension, subscription: Dimension, reservation: Dimension
) -> GridRequest | None:
    """The limit in force; without one the subscription, widened by what was reserved (User Guide 8.10)."""
    tightest = {
        dimension: min(_in_force(found[dimension], now_s), key=lambda ask: (ask.rank, ask.value), default=None)
        for dimension in (limit, subscription, reservation)
    }
    base, extra = tightest[subscription], tightest[reservation]
    if tightest[limit] is not None or base is None or extra is None:
        return tightest[limit] or base
    return dataclasses.replace(base, value=base.value + extra.value, end_s=min(base.end_s, extra.end_s))


def _deadlines(requests: Iterable[GridRequest], now_s: float) -> tuple[GridRequest, ...]:
    return tuple(sorted((ask for ask in requests if ask.end_s > now_s), key=lambda ask: (ask.end_s, _preference(ask))))


def _money(requests: Sequence[GridRequest]) -> RequestSeries | None:
    """Steps of a price or of emissions; what is quoted in another currency than the preferred ask's is left out."""
    best = _best(requests)
    if best is None:
        return None
    ranked = sorted((ask for ask in requests if ask.currency == best.currency), key=_preference, reverse=True)
    return _paint([(ask, ask.value) for ask in ranked], best.currency)


def _foreign(found: Found, now_s: float) -> Iterator[UnusedPayload]:
    """The prices that `_money` leaves out."""
    for dimension in (D.PRICE, D.EXPORT_PRICE):
        best = _best(found[dimension])
        for ask in found[dimension]:
            if best is not None and ask.currency != best.currency and ask.end_s > now_s:
                why = f"currency: {ask.currency} is not {best.currency}, that of the preferred event"
                yield UnusedPayload(ask.event_id, ask.interval_id, ask.payload_type, why, ask.program_id)


def _restriction(found: Found) -> RequestSeries | None:
    strokes = [(ask, _restricted(d, ask.value)) for d in _LOAD for ask in found[d]]
    strokes = sorted(((ask, share) for ask, share in strokes if share > 0), key=lambda stroke: stroke[1])
    return _paint(strokes, None) if strokes else None


def _painted(requests: Sequence[GridRequest], *, tightest: bool = False) -> RequestSeries | None:
    """A quantity over the horizon, the preferred ask on top, or the tightest of a rank; None without any."""
    order = (lambda ask: (ask.rank, ask.value)) if tightest else _preference
    ranked = sorted(requests, key=order, reverse=True)
    return _paint([(ask, ask.value) for ask in ranked], None) if ranked else None


def _restricted(dimension: Dimension, value: float) -> float:
    """The share of the flexible load that an ask keeps away, as far as it can be known beforehand."""
    if dimension in (D.SIMPLE_LEVEL, D.ALERT_LEVEL):
        return 1 - LEVEL_SHARE[int(value)]
    if dimension is D.RELATIVE_SHARE:
        return min(1.0, max(0.0, -value))
    return float(dimension in (D.DISPATCH_KW, D.RELATIVE_KW) and value <= 0)


def _paint(strokes: Sequence[tuple[GridRequest, float]], currency: str | None) -> RequestSeries:
    """Lay asks over each other, the last on top."""
    edges_s = np.unique([at for ask, _ in strokes for at in (ask.start_s, ask.end_s)])
    values = np.full(len(edges_s) - 1, np.nan)
    top = np.full(len(edges_s) - 1, -1)
    for number, (ask, value) in enumerate(strokes):
        covered = slice(int(np.searchsorted(edges_s, ask.start_s)), int(np.searchsorted(edges_s, ask.end_s)))
        values[covered], top[covered] = value, number
    return RequestSeries(edges_s, values, tuple(strokes[n][0] if n >= 0 else None for n in top.tolist()), currency)


def _ruling(alert: GridRequest | None, dispatch: GridRequest | None, simple: GridRequest | None) -> RulingDimension:
    asked = {RulingDimension.ALERT: alert, RulingDimension.DISPATCH: dispatch, RulingDimension.SIMPLE: simple}
    ranked = [(ask.rank, ruling) for ruling, ask in asked.items() if ask is not None]
    return min(ranked, default=(0, RulingDimension.NOTHING))[1]


def _recovery_from_s(found: Found, now_s: float, released_at: datetime | None) -> float:
    """When load was last set free. Caps and the rest are judged apart, because a cap may be in force for years."""
    load = [ask for d in _LOAD for ask in found[d] if _asks(d, ask.value)]
    families = (load, found[D.IMPORT_LIMIT_KW])
    ends = [released_at.timestamp()] if released_at is not None and not _in_force(families[0], now_s) else []
    for requests in families:
        if not _in_force(requests, now_s):
            ends += [ask.end_s for ask in requests if ask.end_s <= now_s]
    recent = [end_s for end_s in ends if end_s > now_s - LOOK_BACK.total_seconds()]
    return max(recent, default=math.nan)


def _asks(dimension: Dimension, value: float) -> bool:
    """Whether a load ask may keep load away or take energy: cars that are only to be filled are asked for nothing."""
    return dimension is not D.PRE_CHARGE and (dimension, value) != (D.SIMPLE_LEVEL, 0)


_DISPATCH = {D.DISPATCH_KW: "dispatch_kw", D.RELATIVE_KW: "relative_kw", D.RELATIVE_SHARE: "relative_share"}
_LOAD = (*_DISPATCH, D.SIMPLE_LEVEL, D.ALERT_LEVEL, D.PRE_CHARGE)
_EXPORTS = frozenset({D.EXPORT_LIMIT_KW, D.EXPORT_SUBSCRIPTION_KW, D.EXPORT_RESERVATION_KW})
_IMPORTS = frozenset(
    {
        D.DISPATCH_KW,
        D.RELATIVE_KW,
        D.IMPORT_LIMIT_KW,
        D.IMPORT_SUBSCRIPTION_KW,
        D.IMPORT_RESERVATION_KW,
        D.CHARGE_ENERGY_KWH,
    }
)
_LIMITS = (D.IMPORT_LIMIT_KW, D.IMPORT_SUBSCRIPTION_KW, D.EXPORT_LIMIT_KW, D.EXPORT_SUBSCRIPTION_KW)
