"""What must be on file, fresh and not used up before a car may feed the grid: a table with one row per item.

Refused closed: an item that was never given is missing, one that is old or lapsed is missing, and the first missing
one is named (reference B.3). How much may be given is narrowed by the guards. Pure; knows nothing of OpenADR.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ven_adapters.ven.fleet.columns import Bools, Ints, Tri
from ven_adapters.ven.planning.zone_state import ZoneState


class MissingPermit(enum.IntEnum):
    """The item that is missing before a car may discharge; the first missing one is named."""

    NONE = 0
    NOT_BIDIRECTIONAL = 1
    CONSENT = 2
    INTERCONNECTION = 3
    PERMISSION_EXPIRED = 4
    EXPORT_LIMIT = 5
    EVENT_BUDGET = 6
    YEAR_BUDGET = 7
    NOT_PLUGGED = 8
    NOT_AT_HOME = 9
    LEVEL_UNKNOWN = 10
    READING_TOO_OLD = 11
    OPTED_OUT = 12
    RESERVE = 13
    DEPARTURE = 14
    INVERTER_LISTING = 15
    CYCLE_BUDGET = 16
    RESERVE_UNKNOWN = 17
    READY_BY = 18
    EXPORT_UNCOUNTED = 19
    DER_ALARM = 20


WORDS: Mapping[MissingPermit, str] = {
    MissingPermit.NOT_BIDIRECTIONAL: "a car and a charging point that give power",
    MissingPermit.CONSENT: "the driver's consent to discharge, beside the one to charging",
    MissingPermit.INTERCONNECTION: "an interconnection agreement",
    MissingPermit.INVERTER_LISTING: "the listing of the inverter",
    MissingPermit.PERMISSION_EXPIRED: "papers that have not lapsed",
    MissingPermit.EXPORT_LIMIT: "the export limit of the home",
    MissingPermit.EVENT_BUDGET: "energy left in the budget of the event",
    MissingPermit.YEAR_BUDGET: "energy left in the budget of the year",
    MissingPermit.CYCLE_BUDGET: "battery cycles left in the budget of the year",
    MissingPermit.RESERVE_UNKNOWN: "the driver's reserve",
    MissingPermit.READY_BY: "the departure, and the level wanted by then",
    MissingPermit.OPTED_OUT: "a driver who takes part",
    MissingPermit.NOT_PLUGGED: "a cable that is in",
    MissingPermit.NOT_AT_HOME: "a car at its own home",
    MissingPermit.LEVEL_UNKNOWN: "level, battery size and charging power",
    MissingPermit.READING_TOO_OLD: "a fresh reading of level, cable and place",
    MissingPermit.EXPORT_UNCOUNTED: "a fresh count of what was given, or of the power",
    MissingPermit.DER_ALARM: "an inverter without alarm",
    MissingPermit.RESERVE: "charge above the reserve",
    MissingPermit.DEPARTURE: "time to put the charge back before departure",
}
"""What each refusal says is missing, for whoever is to mend it."""


@dataclasses.dataclass(frozen=True, slots=True)
class PermitItem:
    """One thing that a discharge needs: the refusal that names it, and where it is missing."""

    refusal: MissingPermit
    missing: Callable[[ZoneState], Bools]


def _permission_over(at: ZoneState) -> Bools:
    return ~(at.view.permission_until_s > at.now_s)


def _old(at: ZoneState) -> Bools:
    oldest_s = np.minimum(np.minimum(at.view.soc_at_s, at.view.plugged_at_s), at.view.at_home_at_s)
    return ~(at.now_s - oldest_s <= at.settings.reading_age_s)


def _uncounted(at: ZoneState) -> Bools:
    return ~(at.now_s - at.view.exported_at_s <= at.settings.reading_age_s)


def _no_departure(at: ZoneState) -> Bools:
    return ~(np.isfinite(at.view.departure_s) & (at.view.departure_s > at.now_s)) | np.isnan(at.view.target_pct)


ITEMS: tuple[PermitItem, ...] = (
    PermitItem(MissingPermit.NOT_BIDIRECTIONAL, lambda at: ~(at.view.max_discharge_kw > 0)),
    PermitItem(
        MissingPermit.CONSENT, lambda at: ~(at.view.discharge_consent & at.view.charging_consent & at.view.enrolled)
    ),
    PermitItem(MissingPermit.INTERCONNECTION, lambda at: ~at.view.interconnected),
    PermitItem(MissingPermit.INVERTER_LISTING, lambda at: ~at.view.inverter_listed),
    PermitItem(MissingPermit.PERMISSION_EXPIRED, _permission_over),
    PermitItem(MissingPermit.EXPORT_LIMIT, lambda at: ~(at.view.export_limit_kw > 0)),
    PermitItem(MissingPermit.RESERVE_UNKNOWN, lambda at: np.isnan(at.view.reserve_pct)),
    PermitItem(MissingPermit.READY_BY, _no_departure),
    PermitItem(MissingPermit.OPTED_OUT, lambda at: at.out),
    PermitItem(MissingPermit.NOT_PLUGGED, lambda at: at.view.plugged != Tri.YES),
    PermitItem(MissingPermit.NOT_AT_HOME, lambda at: at.view.at_home != Tri.YES),
    PermitItem(MissingPermit.LEVEL_UNKNOWN, lambda at: np.isnan(at.needs.hours)),
    PermitItem(MissingPermit.READING_TOO_OLD, _old),
    PermitItem(MissingPermit.EXPORT_UNCOUNTED, _uncounted),
    PermitItem(MissingPermit.DER_ALARM, lambda at: at.view.der_alarm == Tri.YES),
)
"""Budgets are not among them: one that was never agreed is nought, and `guardrails.budget_is_kept` says so."""


def missing_permits(situation: ZoneState, items: Sequence[PermitItem] | None = None) -> Ints:
    """Per car the first item missing for discharge; NONE where all are there. `items`: all of them when None."""
    items = ITEMS if items is None else items
    missing = [item.missing(situation) for item in items]
    named = [int(item.refusal) for item in items]
    return np.select(missing, named, default=int(MissingPermit.NONE)).astype(np.int64)
