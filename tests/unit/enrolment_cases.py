"""One line of an enrolment file, and agreements of the enrolment store."""

from datetime import UTC, datetime, timedelta

from ven_adapters.enrolment_api.bulk_writes import take_in
from ven_adapters.enrolment_api.models import (
    Agreement,
    Day,
    ExportLimit,
    Interconnection,
    InverterListing,
    Kept,
    Permissions,
    Preferences,
    Status,
)

CAR = {
    "vehicle_ref": "bmw-0001",
    "zone": "bay",
    "site_id": "home-0001",
    "timezone": "America/Los_Angeles",
    "charging_consent": {"version": "2026-01", "agreed_at": "2026-01-05T10:00:00Z"},
    "discharge_consent": {"version": "2026-01", "agreed_at": "2026-01-05T10:00:00Z"},
    "permission": {
        "interconnection_id": "IC-1",
        "export_limit_w": 7000,
        "valid_until": "2027-01-01T00:00:00Z",
        "inverter_listing": "UL1741-SB",
    },
    "preferences": {"ready_by": {"mon": "07:30", "sun": "09:00"}, "target_soc_pct": 80.0, "reserve_soc_pct": 30},
    "discharge_budget": {"max_event_wh": 12000, "max_year_wh": 600000, "max_year_cycles": 50},
    "opted_out": False,
}


NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday, five in the morning in California
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR = timedelta(hours=1)
PAPERS = {
    "interconnection": Interconnection(interconnection_id="IC-1", valid_from=NOW - HOUR, valid_until=NOW + 9 * HOUR),
    "export_limit": ExportLimit(export_limit_w=7000, valid_from=NOW - HOUR, valid_until=NOW + 5 * HOUR),
    "inverter_listing": InverterListing(inverter_listing="UL1741-SB", valid_from=NOW - HOUR),
}


def kept(**more):
    return Kept(**{"version": "1", "agreed": True, "at": NOW - HOUR, **more})


def week(**days):
    usual = Day(ready_by="07:30", target_soc_pct=80.0, reserve_soc_pct=30.0)
    return Preferences(**(dict.fromkeys(DAYS, usual) | days))


def agreement(ref="car", **more):
    values = {
        "vehicle_ref": ref,
        "status": Status.ENROLLED,
        "model": "i4",
        "region": "CA",
        "zone": "bay",
        "timezone": "America/Los_Angeles",
        "site_id": "site-1",
        "utility": "pge",
        "tariff": "E-1",
        "programs": ("evening",),
        "discharge_program": True,
        "preferences": week(),
        "consents": {"charging": kept(), "discharge": kept()},
        "permissions": Permissions(**PAPERS),
        "discharge_budget": None,
        "enrolled_at": NOW - HOUR,
    }
    return Agreement(**values | more)


async def put(store, *cars, now=NOW):
    async with store.write(now) as write:
        await take_in(write, {}, [car.model_copy(update={"programs": ()}) for car in cars])
