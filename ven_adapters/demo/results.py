"""What was asked, what was delivered, and whether every car was ready: judged by the simulators' ground truth.

Asked is the distance between the unmanaged load (every car charging on plug-in, same physics, same cars) and the
utility's set-points while they held; delivered is the distance between the unmanaged and the measured load. The
tracking error compares the whole portfolio with the sum of its set-points in every five minutes: the sum of absolute
deviations over the sum of what was asked. Drivers who left before the departure that they declared are counted apart.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ven_adapters.demo.utility import AskedSetPoint, Sent

Floats = NDArray[np.float64]
BIN_H = 5 / 60
BIN = timedelta(hours=BIN_H)


@dataclasses.dataclass(frozen=True, slots=True)
class EveningTruth:
    """One automaker's evening: times of the bins (UTC), kW per bin and zone, and the simulator's own counts."""

    oem: str
    at: tuple[datetime, ...]
    zones: tuple[str, ...]
    kw: Floats
    unmanaged_kw: Floats
    soc_quantiles_pct: Floats
    counts: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Tracking:
    """kWh asked and delivered, and the error in percent of what was asked."""

    asked_kwh: float
    delivered_kwh: float
    error_pct: float


def read_truth(folder: Path, oem: str, hours: float = math.inf) -> EveningTruth:
    """The ground truth that a simulator wrote at its end, of the first `hours`."""
    counts = orjson.loads((folder / f"truth-{oem}.json").read_bytes())
    with np.load(folder / f"truth-{oem}.npz") as arrays:
        midnight = datetime.fromisoformat(counts["midnight"])
        bins = arrays["bin_start_s"].size if math.isinf(hours) else round(hours / BIN_H)
        return EveningTruth(
            oem,
            tuple(midnight + timedelta(seconds=float(second)) for second in arrays["bin_start_s"][:bins]),
            tuple(counts["zone_names"]),
            arrays["kw"][:bins],
            arrays["asked_kw"][:bins],
            arrays["soc_quantiles_pct"][:bins],
            counts,
        )


def setpoint_kw(truth: EveningTruth, asks: Sequence[AskedSetPoint]) -> Floats:
    """The set-point per bin and zone, NaN where none held from the bin's beginning to its end."""
    points = np.full(truth.kw.shape, np.nan)
    for column, zone in enumerate(truth.zones):
        for ask in asks:
            if ask.target == f"{truth.oem}-{zone}":
                held = np.array([ask.start <= at and at + BIN <= ask.end for at in truth.at])
                points[held, column] = ask.kw
    return points


def tracking(truths: Sequence[EveningTruth], asks: Sequence[AskedSetPoint]) -> Tracking:
    """How closely these automakers together followed their set-points."""
    points = [setpoint_kw(truth, asks) for truth in truths]
    held = [~np.isnan(point) for point in points]
    pairs = list(zip(truths, points, held, strict=True))
    asked = sum(np.where(h, t.unmanaged_kw - p, 0.0).sum(axis=1) for t, p, h in pairs)
    delivered = sum(np.where(h, t.unmanaged_kw - t.kw, 0.0).sum(axis=1) for t, _, h in pairs)
    whole = float(np.abs(asked).sum())
    error = float(np.abs(np.asarray(asked) - np.asarray(delivered)).sum())
    return Tracking(
        round(float(np.sum(asked)) * BIN_H, 1),
        round(float(np.sum(delivered)) * BIN_H, 1),
        round(100.0 * error / whole, 2) if whole else 0.0,
    )


def rebound_payback_ratio(truths: Sequence[EveningTruth], asks: Sequence[AskedSetPoint]) -> float:
    """The energy above the unmanaged load after the last set-point, to the end of the night, over what was held back.

    By automaker and zone before it is summed.
    """
    end = max(ask.end for ask in asks)
    after = np.array([end <= at for at in truths[0].at])[:, None]
    during = np.array([min(a.start for a in asks) <= at < end for at in truths[0].at])[:, None]
    saved = sum(float((np.clip(t.unmanaged_kw - t.kw, 0.0, None) * during).sum()) for t in truths)
    paid_back = sum(float((np.clip(t.kw - t.unmanaged_kw, 0.0, None) * after).sum()) for t in truths)
    return round(paid_back / saved, 3) if saved else 0.0


def lost_notifications(sent: Sequence[Sent], heard: Mapping[str, Sequence[tuple[str, str]]]) -> int:
    """Writes that an automaker's adapter was entitled to hear of on MQTT and did not, by (event id, operation)."""
    return sum((one.event_id, one.operation) not in set(heard.get(oem, ())) for one in sent for oem in one.oems)


def totals(truths: Sequence[EveningTruth]) -> dict[str, int]:
    """The promises, counted over all automakers."""
    names = {
        "late_departures": "late",
        "feasible_late_departures": "late_though_feasible",
        "left_early": "left_early",
        "left_early_short": "left_early_short",
        "left_early_short_though_feasible": "left_early_short_though_feasible",
        "reserve_violations": "reserve_violations",
        "unauthorised_discharges": "unauthorised_discharges",
        "exports_above_limit": "exports_above_limit",
        "site_export_breaches": "site_export_breaches",
        "cars_discharged": "cars_discharged",
        "away_cars_touched": "away_cars_touched",
        "opt_outs": "opt_outs",
        "opt_outs_honoured": "opt_outs_honoured",
        "departures": "departures",
    }
    return {name: sum(int(truth.counts[count]) for truth in truths) for name, count in names.items()}


def points_short(truths: Sequence[EveningTruth]) -> dict[str, float]:
    """How many percent of charge late cars lacked on average, of those that could have been ready."""
    means = {}
    for mean, count in (
        ("points_short", "late_though_feasible"),
        ("points_short_left_early", "left_early_short_though_feasible"),
    ):
        cars = sum(truth.counts[count] for truth in truths)
        short = sum(truth.counts[mean] * truth.counts[count] for truth in truths)
        means[mean] = round(short / cars, 2) if cars else 0.0
    return means


def true_cars(truths: Sequence[EveningTruth]) -> list[dict[str, Any]]:
    """What the cars of all automakers really were: the parts of the mixture, how many, from what to what they were."""
    merged: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in (row for truth in truths for row in truth.counts["truths"]):
        whole = merged.setdefault((row["topic"], row["part"], row["column"]), row | {"drawn": 0, "of": 0})
        whole["drawn"], whole["of"] = whole["drawn"] + row["drawn"], whole["of"] + row["of"]
        for name, extreme in (("least", min), ("most", max)):
            values = [value for value in (whole[name], row[name]) if value is not None]
            whole[name] = extreme(values, default=None)
    return list(merged.values())
