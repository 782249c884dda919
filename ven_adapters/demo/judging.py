"""The summary of an evening: from the simulators' ground truth, the adapters' own accounts and the utility's log."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ven_adapters.demo.bill import (
    NightMeters,
    ZoneBill,
    bill_over_optimum_pct,
    least_peak_kw,
    read_meters,
    unavoidable_pct,
    zone_bills,
)
from ven_adapters.demo.figures import (
    INTERVAL_CARS,
    PEAK_CARS,
    NightEvents,
    ZoneNight,
    cap_breach_kwh,
    event_energy_error_pct,
    interval_error_p95_pct,
    rebound_peaks,
    total_ramps,
    worst_of,
    zone_interval_p95_pct,
    zone_nights,
    zone_peaks,
    zone_ramps,
)
from ven_adapters.demo.optimum import NoOptimum
from ven_adapters.demo.report_figures import (
    farthest_from_one,
    nomination_over_delivery,
    shortfall_reported_within_cycles,
)
from ven_adapters.demo.results import (
    EveningTruth,
    lost_notifications,
    points_short,
    rebound_payback_ratio,
    totals,
    tracking,
    true_cars,
)
from ven_adapters.demo.utility import Utility
from ven_adapters.simulator.cars.fleets import SimulatedFleet

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class PlayedEvening:
    """What there is to judge: folder of results, ground truth and cars by automaker, the utility and its events.

    `passed_s`: from a Unix time to simulated seconds since the evening began.
    """

    var: Path
    truths: Sequence[EveningTruth]
    fleets: Mapping[str, SimulatedFleet]
    utility: Utility
    events: NightEvents
    hours: int
    passed_s: Callable[[float], float]
    cycle_s: float
    solves: bool

    def account(self, oem: str) -> Any:
        """What an adapter wrote of itself at its end."""
        return orjson.loads((self.var / oem / "summary.json").read_bytes())


def judge(evening: PlayedEvening) -> Json:
    """Every figure of the evening; those that nothing can tell, because nothing was asked or reported, are left out."""
    truths, utility = evening.truths, evening.utility
    accounts = {truth.oem: evening.account(truth.oem) for truth in truths}
    whole = tracking(truths, utility.asks)
    heard = {oem: [tuple(pair) for pair in account["notifications"]] for oem, account in accounts.items()}
    zones = zone_nights(truths, evening.events)
    bills, bounds = _bounds(evening, zones) if evening.solves else ([], {})
    return {
        "cars": sum(truth.counts["cars"] for truth in truths),
        "adapters": len(truths),
        "events": len({sent.event_id for sent in utility.sent}),
        "asked_kwh": whole.asked_kwh,
        "delivered_kwh": whole.delivered_kwh,
        "tracking_error_pct": whole.error_pct,
        **totals(truths),
        **points_short(truths),
        "directives": sum(sum(account["directives_by_state"].values()) for account in accounts.values()),
        "directives_confirmed": sum(account["directives_confirmed"] for account in accounts.values()),
        **_reaction(accounts, utility, evening.passed_s),
        "notifications_lost": lost_notifications(utility.sent, heard),
        "reports_received": utility.reports_held,
        "rebound_payback_ratio": rebound_payback_ratio(truths, utility.asks),
        **night_figures(zones, evening.events),
        **bounds,
        **report_figures(zones, list(utility.report_versions.values()), evening.cycle_s),
        "by_zone": {zone.name: _zone_row(zone, bills) for zone in zones},
        "true_cars": true_cars(truths),
        "directives_by_state": {oem: account["directives_by_state"] for oem, account in accounts.items()},
        "by_oem": {truth.oem: _row(truth, utility, accounts[truth.oem], bills) for truth in truths},
    }


def night_figures(zones: Sequence[ZoneNight], events: NightEvents) -> Json:
    """Peaks, ramps, errors of the event and breached caps, of the sum and of the worst zone."""
    peaks, ramps = rebound_peaks(zones, events), total_ramps(zones)
    peak_zone = worst_of(zones, PEAK_CARS, lambda zone: zone_peaks(zone).night)
    ramp_zone = worst_of(zones, PEAK_CARS, lambda zone: zone_ramps(zone).unasked_pct)
    asked_ramp_zone = worst_of(zones, PEAK_CARS, lambda zone: zone_ramps(zone).asked_pct)
    interval_zone = worst_of(zones, INTERVAL_CARS, zone_interval_p95_pct)
    breach_kwh = cap_breach_kwh(zones)
    return {
        "rebound_peak_ratio_night": round(peaks.night, 3),
        "rebound_peak_ratio_after_event": round(peaks.after_event, 3),
        **_worst("worst_zone_peak_ratio", peak_zone, 3),
        "max_ramp_pct_5min": round(ramps.unasked_pct, 1),
        "max_ramp_pct_5min_asked": round(ramps.asked_pct, 1),
        **_worst("worst_zone_max_ramp_pct_5min", ramp_zone, 1),
        **_worst("worst_zone_max_ramp_pct_5min_asked", asked_ramp_zone, 1),
        "event_energy_error_pct": _rounded(event_energy_error_pct(zones), 2),
        "interval_error_p95_pct": _rounded(interval_error_p95_pct(zones), 2),
        **_worst("zone_interval_error_p95_pct", interval_zone, 2),
        **({} if breach_kwh is None else {"cap_breach_kwh": round(breach_kwh, 2)}),
    }


def report_figures(zones: Sequence[ZoneNight], reports: Sequence[Json], cycle_s: float) -> Json:
    """What adapters told of shortfalls and nominations against what happened; nothing while no report carries them."""
    found: Json = {}
    cycles = shortfall_reported_within_cycles(zones, reports, cycle_s)
    if cycles is not None:
        found["shortfall_reported_within_cycles"] = max(cycles.values())
        found["shortfall_reported_within_cycles_by_oem"] = cycles
    ratios = nomination_over_delivery(zones, reports)
    if ratios is not None:
        shown = {name: round(ratio, 3) for name, ratio in ratios.items()}
        of_oem = {oem: [shown[z.name] for z in zones if z.oem == oem and z.name in shown] for oem in _oems(zones)}
        found["nomination_over_delivery_ratio"] = farthest_from_one(shown.values())
        found["nomination_over_delivery_ratio_by_oem"] = {o: farthest_from_one(r) for o, r in of_oem.items()}
        found["nomination_over_delivery_ratio_by_zone"] = shown
    return found


def _bounds(evening: PlayedEvening, zones: Sequence[ZoneNight]) -> tuple[list[ZoneBill], Json]:
    """The best possible night and the figures against it; where the solver failed, why, and no figure."""
    meters = _meters(evening, zones)
    try:
        bills = zone_bills(meters)
        return bills, _bill_figures(zones, bills, evening.events, least_peak_kw(meters))
    except NoOptimum as error:
        return [], {"no_optimum": str(error)}


def _meters(evening: PlayedEvening, zones: Sequence[ZoneNight]) -> list[tuple[NightMeters, list[ZoneNight]]]:
    folder = evening.var / "truth"
    return [
        (read_meters(folder, evening.fleets[oem], evening.hours), [zone for zone in zones if zone.oem == oem])
        for oem in _oems(zones)
    ]


def _bill_figures(zones: Sequence[ZoneNight], bills: Sequence[ZoneBill], events: NightEvents, least_kw: float) -> Json:
    by_oem = {oem: bill_over_optimum_pct([bill for bill in bills if bill.oem == oem]) for oem in _oems(zones)}
    worst = max(((pct, oem) for oem, pct in by_oem.items() if pct is not None), default=None)
    peaks = rebound_peaks(zones, events)
    return {
        "bill_usd": round(sum(bill.bill_usd for bill in bills), 2),
        "bill_optimum_usd": round(sum(bill.optimum_usd for bill in bills), 2),
        "bill_over_optimum_pct": _rounded(bill_over_optimum_pct(bills), 2),
        "bill_over_optimum_unavoidable_pct": _rounded(unavoidable_pct(bills), 2),
        **_worst("worst_oem_bill_over_optimum_pct", worst, 2),
        "peak_after_event_kw": round(peaks.peak_kw, 1),
        "unmanaged_peak_kw": round(peaks.unmanaged_peak_kw, 1),
        "least_peak_after_event_kw": round(least_kw, 1),
    }


def _zone_row(zone: ZoneNight, bills: Sequence[ZoneBill]) -> Json:
    peaks, ramps = zone_peaks(zone), zone_ramps(zone)
    row = {
        "cars": zone.cars,
        "unmanaged_peak_kw": round(peaks.unmanaged_peak_kw, 1),
        "peak_after_event_kw": round(peaks.peak_kw, 1),
        "peak_ratio_night": round(peaks.night, 3),
        "peak_ratio_after_event": round(peaks.after_event, 3),
        "max_ramp_pct_5min": round(ramps.unasked_pct, 1),
        "max_ramp_pct_5min_asked": round(ramps.asked_pct, 1),
        "event_energy_error_pct": _rounded(event_energy_error_pct([zone]), 2),
        "interval_error_p95_pct": _rounded(zone_interval_p95_pct(zone), 2),
    }
    for bill in bills:
        if (bill.oem, bill.zone) == (zone.oem, zone.zone):
            row["least_peak_after_event_kw"] = round(bill.least_peak_kw, 1)
            row["bill_over_optimum_pct"] = _rounded(bill_over_optimum_pct([bill]), 2)
            row["bill_over_optimum_unavoidable_pct"] = _rounded(unavoidable_pct([bill]), 2)
    return row


def _row(truth: EveningTruth, utility: Utility, account: Mapping[str, Any], bills: Sequence[ZoneBill]) -> Json:
    one, counts = tracking([truth], utility.asks), truth.counts
    mine = [bill for bill in bills if bill.oem == truth.oem]
    return {
        "cars": counts["cars"],
        "asked_kwh": one.asked_kwh,
        "delivered_kwh": one.delivered_kwh,
        "tracking_error_pct": one.error_pct,
        "exported_kwh": round(sum(zone["discharged_kwh"] for zone in counts["zones"].values()), 1),
        **({"bill_over_optimum_pct": _rounded(bill_over_optimum_pct(mine), 2)} if mine else {}),
        "directives": sum(account["directives_by_state"].values()),
        "confirmed": account["directives_confirmed"],
        "late": counts["late"],
        "late_though_feasible": counts["late_though_feasible"],
        "left_early": counts["left_early"],
        "left_early_short_though_feasible": counts["left_early_short_though_feasible"],
        "opt_outs": counts["opt_outs"],
        "honoured": counts["opt_outs_honoured"],
    }


def _reaction(accounts: Mapping[str, Any], utility: Utility, passed_s: Callable[[float], float]) -> Json:
    """From the unannounced emergency to the first and to the last directive that answered it.

    Real seconds are what programs took; `passed_s` tells from a Unix time how far the evening had come.
    """
    alert = utility.sent[-1]
    times_s: list[float] = []
    for account in accounts.values():
        times_s += account["events"].get(alert.event_id, {}).get("directive_times_s", [])
    found: Json = {}
    for which, extreme in (("first", min), ("last", max)):
        real_s = extreme(times_s) - alert.at_s if times_s else None
        found[f"event_to_{which}_directive_real_s"] = _rounded(real_s, 3)
        found[f"event_to_{which}_directive_simulated_min"] = _rounded(
            None if real_s is None else (passed_s(alert.at_s + real_s) - passed_s(alert.at_s)) / 60.0, 1
        )
    return found


def _oems(zones: Sequence[ZoneNight]) -> list[str]:
    return list(dict.fromkeys(zone.oem for zone in zones))


def _worst(key: str, found: tuple[float, str] | None, digits: int) -> Json:
    """The figure and whose it is; both None when there is nobody to judge."""
    value, name = found if found is not None else (None, None)
    return {key: _rounded(value, digits), f"{key}_of": name}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
