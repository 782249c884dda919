"""Write a fleet's enrolment file: one JSON line per car, as an automaker hands them to its adapter."""

from pathlib import Path
from typing import Any

import orjson

from ven_adapters.simulator.cars.fleets import (
    COMPLETE,
    EXPIRED_PERMISSION,
    NO_BUDGET,
    NO_CONSENT,
    NO_PERMISSION,
    SimulatedFleet,
)

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AGREED_AT = "2026-01-05T10:00:00Z"
VALID_UNTIL = "2030-01-01T00:00:00Z"
LAPSED_AT = "2026-01-31T00:00:00Z"
MAX_EVENT_WH = 12_000
MAX_YEAR_WH = 600_000
MAX_YEAR_CYCLES = 50

_BUDGET = {"max_event_wh": MAX_EVENT_WH, "max_year_wh": MAX_YEAR_WH, "max_year_cycles": MAX_YEAR_CYCLES}
_LACKS = {
    NO_CONSENT: "discharge_consent",
    NO_PERMISSION: "permission",
    EXPIRED_PERMISSION: "permission.valid_until",
    NO_BUDGET: "discharge_budget",
}


def enrolments(fleet: SimulatedFleet) -> list[dict[str, Any]]:
    """One record per car."""
    return [_record(fleet, car) for car in range(len(fleet.refs))]


def write_enrolment(fleet: SimulatedFleet, path: Path) -> None:
    """Write the file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in enrolments(fleet)))
    part.replace(path)


def missing_paper(fleet: SimulatedFleet, car: int) -> str | None:
    """The record that a discharge needs and that is not on file for this car, or None."""
    return _LACKS.get(int(fleet.papers[car]))


def _record(fleet: SimulatedFleet, car: int) -> dict[str, Any]:
    two_way = fleet.max_discharge_w[car] > 0
    papers = int(fleet.papers[car]) if two_way else COMPLETE
    consented = two_way and papers != NO_CONSENT
    return {
        "vehicle_ref": fleet.refs[car],
        "zone": fleet.zones[fleet.zone[car]],
        "site_id": f"home-{fleet.refs[_first_of_home(fleet, car)]}",
        "timezone": fleet.timezone,
        "charging_consent": {"version": "2026-01", "agreed_at": AGREED_AT},
        "discharge_consent": {"version": "2026-01", "agreed_at": AGREED_AT} if consented else None,
        "permission": _permission(fleet, car, papers) if two_way and papers != NO_PERMISSION else None,
        "preferences": {
            "ready_by": {day: _clock_face(fleet.ready_by_s[number, car]) for number, day in enumerate(DAYS)},
            "target_soc_pct": float(fleet.target_pct[car]),
            "reserve_soc_pct": float(fleet.reserve_pct[car]),
        },
        "discharge_budget": dict(_BUDGET) if two_way and papers != NO_BUDGET else None,
        "opted_out": bool(fleet.opted_out[car]),
    }


def _first_of_home(fleet: SimulatedFleet, car: int) -> int:
    """Cars on one circuit are of one home, and that is all that is told of it."""
    other = int(fleet.truth.partner[car])
    return car if other < 0 else min(car, other)


def _permission(fleet: SimulatedFleet, car: int, papers: int) -> dict[str, Any]:
    return {
        "interconnection_id": f"IC-{fleet.refs[car]}",
        "export_limit_w": int(fleet.export_limit_w[car]),
        "valid_until": LAPSED_AT if papers == EXPIRED_PERMISSION else VALID_UNTIL,
        "inverter_listing": "UL1741-SB",
    }


def _clock_face(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
