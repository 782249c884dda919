"""What the engine is told of a cell's cars before the nights: agreements, data sheets, and OpenADR events."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta

from stress.truth import (
    DAY_S,
    DEAR_FROM_H,
    EVENT_FROM_S,
    EVENT_NIGHT,
    EVENT_TO_S,
    GIVES_TO_S,
    HOUR_S,
    NIGHTS,
    NOON_S,
    TrueCars,
)

from ven_adapters.contract import Capability, DischargeControl
from ven_adapters.ven.fleet.fleet import DischargeBudget, Enrolment, Permission
from ven_adapters.ven.openadr.zone_requests import HeldEvent
from vtn.wire.event import Event

ZONE = "stress"
GIVE_KW_PER_CAR = 2.0
MOST_GIVEN_W = 7_000
CHEAP, DEAR = 0.1, 0.4


def enrolments(cars: TrueCars, refs: Sequence[str]) -> list[Enrolment]:
    """What drivers agreed to: departures by weekday, target and reserve; to discharge where the cell says so."""
    until, gives = datetime.fromtimestamp(NOON_S, UTC) + timedelta(days=30), cars.cell.gives
    clock_s = (cars.declared_s % DAY_S).T.tolist()
    return [
        Enrolment(
            ref,
            zone=ZONE,
            site_id=ref,
            timezone="UTC",
            ready_by=_week(clock_s[place]),
            target_soc_pct=float(cars.target_pct[place]),
            reserve_soc_pct=float(cars.reserve_pct[place]),
            charging_consent=True,
            discharge_consent=gives,
            permission=Permission(ref, MOST_GIVEN_W, until, "UL1741-SB") if gives else None,
            discharge_budget=DischargeBudget(20_000, 900_000, 100.0) if gives else None,
        )
        for place, ref in enumerate(refs)
    ]


def capabilities(cars: TrueCars, refs: Sequence[str]) -> Mapping[str, Capability]:
    """What data sheets say."""
    gives = cars.cell.gives
    control = DischargeControl("EVSE", MOST_GIVEN_W) if gives else None
    sizes = zip(refs, cars.told_kwh.tolist(), cars.sheet_kw.tolist(), strict=True)
    return {
        ref: Capability("stress", round(1000 * kwh), round(1000 * kw), can_set_power=gives, discharge=control)
        for ref, kwh, kw in sizes
    }


def _week(seconds: Sequence[float]) -> tuple[time, ...]:
    """Departures by weekday, Monday first: of the nights on Tuesday and the days that follow, the last one else."""
    times = [time(int(one // HOUR_S), int(one % HOUR_S // 60)) for one in seconds]
    return (times[-1], *times, *[times[-1]] * (6 - len(times)))


def events(cars: TrueCars) -> list[HeldEvent]:
    """What the engine is asked: the tariff, and on top an emergency of the second night or each night's set-point."""
    noons = [NOON_S + DAY_S * night for night in range(NIGHTS)]
    half_day_s = DAY_S / 2
    prices = [(NOON_S - DAY_S, half_day_s, DEAR)]
    for noon_s in (NOON_S - DAY_S, *noons):
        cheap_from_s, dear_from_s = noon_s + half_day_s, noon_s + half_day_s + DEAR_FROM_H * HOUR_S
        prices += [(cheap_from_s, DEAR_FROM_H * HOUR_S, CHEAP), (dear_from_s, DAY_S - DEAR_FROM_H * HOUR_S, DEAR)]
    tariff = _event("tariff", "PRICE", prices)
    if cars.cell.gives:
        kw = -round(GIVE_KW_PER_CAR * len(cars), 1)
        asked = [(noon_s + EVENT_FROM_S, GIVES_TO_S - EVENT_FROM_S, kw) for noon_s in noons]
        return [tariff, *(_event(f"give-{night}", "DISPATCH_SETPOINT", [one]) for night, one in enumerate(asked))]
    emergency = (noons[EVENT_NIGHT] + EVENT_FROM_S, EVENT_TO_S - EVENT_FROM_S, 3)
    return [tariff, _event("emergency", "SIMPLE", [emergency])]


def _event(name: str, payload_type: str, asked: Sequence[tuple[float, float, float]]) -> HeldEvent:
    """An event of (start, seconds, value) intervals, read a day before the first night."""
    made = datetime.fromtimestamp(NOON_S - DAY_S, UTC)
    raw = {
        "id": name,
        "objectType": "EVENT",
        "createdDateTime": made.isoformat(),
        "modificationDateTime": made.isoformat(),
        "programID": "stress",
        "intervals": [
            {
                "id": number,
                "intervalPeriod": {
                    "start": datetime.fromtimestamp(start_s, UTC).isoformat(),
                    "duration": f"PT{lasts_s:.0f}S",
                },
                "payloads": [{"type": payload_type, "values": [value]}],
            }
            for number, (start_s, lasts_s, value) in enumerate(asked)
        ],
    }
    return HeldEvent(Event.model_validate(raw), made)
