"""The figures that the demonstration prints beside goals: what each is, its window, and when it is good. Data."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

NIGHT = "from the start of the evening to noon"
AFTER = "from the end of the evening event to noon"
EVENT = "while set-points held"


@dataclasses.dataclass(frozen=True, slots=True)
class FigureGoal:
    """One figure of the summary: its key, its meaning, its window, and the bounds within which it is good."""

    key: str
    meaning: str
    window: str
    most: float
    least: float = -math.inf

    @property
    def goal(self) -> str:
        """The goal in words."""
        return f"at most {self.most:g}" if math.isinf(self.least) else f"{self.least:g} to {self.most:g}"

    def met(self, value: float) -> bool:
        """Whether this value is good."""
        return self.least <= value <= self.most


GOALS = (
    FigureGoal(
        "rebound_peak_ratio_night",
        "peak of all zones after the event over their unmanaged peak of the whole night",
        f"above: {AFTER}; below: {NIGHT}",
        1.0,
    ),
    FigureGoal(
        "worst_zone_peak_ratio",
        "the same of the worst zone with 100 cars or more",
        f"above: {AFTER}, the zone's own; below: {NIGHT}",
        1.0,
    ),
    FigureGoal(
        "max_ramp_pct_5min",
        "greatest unasked change of all zones in 5 min, % of their unmanaged peak",
        f"{NIGHT}, ends of events included",
        5.0,
    ),
    FigureGoal(
        "worst_zone_max_ramp_pct_5min",
        "the same of the worst zone with 100 cars or more",
        f"{NIGHT}, ends of events included",
        5.0,
    ),
    FigureGoal("bill_over_optimum_pct", "cost of all energy above the least cost, %", NIGHT, 1.0),
    FigureGoal("worst_oem_bill_over_optimum_pct", "the same of the worst automaker", NIGHT, 1.0),
    FigureGoal(
        "event_energy_error_pct",
        "energy that zones delivered apart from what they were asked, % of that, no netting of zones",
        EVENT,
        3.0,
    ),
    FigureGoal("interval_error_p95_pct", "error of all zones by quarter of an hour, 95th percentile, %", EVENT, 5.0),
    FigureGoal(
        "zone_interval_error_p95_pct",
        "the same of the worst zone with 250 cars or more, by itself",
        EVENT,
        10.0,
    ),
    FigureGoal(
        "nomination_over_delivery_ratio",
        "nominated over delivered energy of the zone farthest from 1",
        EVENT,
        1.1,
        0.9,
    ),
    FigureGoal(
        "shortfall_reported_within_cycles",
        "planning cycles from the beginning of a shortfall to the report of it, the worst",
        EVENT,
        1.0,
    ),
    FigureGoal("cap_breach_kwh", "energy above capacity limits, summed over zones", "while a limit held", 0.0),
    FigureGoal("site_export_breaches", "homes that fed back more than their connection may", NIGHT, 0.0),
    FigureGoal("exports_above_limit", "cars that fed back more than their own limit", NIGHT, 0.0),
    FigureGoal("caps_of_patience_broken", "caps on what drivers are asked that were broken", NIGHT, 0.0),
)


# Figures without a goal of their own, shown beside those that have one.
BESIDE = (
    "rebound_peak_ratio_after_event",
    "worst_zone_peak_ratio_of",
    "max_ramp_pct_5min_asked",
    "worst_zone_max_ramp_pct_5min_of",
    "worst_zone_max_ramp_pct_5min_asked",
    "zone_interval_error_p95_pct_of",
    "bill_over_optimum_unavoidable_pct",
    "worst_oem_bill_over_optimum_pct_of",
    "rebound_payback_ratio",
    "unmanaged_peak_kw",
    "peak_after_event_kw",
    "least_peak_after_event_kw",
    "bill_usd",
    "bill_optimum_usd",
    "event_to_first_directive_real_s",
    "event_to_first_directive_simulated_min",
    "event_to_last_directive_real_s",
    "event_to_last_directive_simulated_min",
)


def judged(summary: Mapping[str, Any]) -> list[tuple[FigureGoal, float | None]]:
    """The figures that the summary has, each with its value; None where there was nothing to judge."""
    return [(goal, summary[goal.key]) for goal in GOALS if goal.key in summary]
