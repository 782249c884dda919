"""The night plan against the best nights there could have been: random fleets, played to the end, and a table of both.

`python tests/night_judge.py`, or `make judge`. Every fleet of 3 to 10 cars, or 12 to 20 batteries where giving is paid,
lives through a whole night with the planner in a closed loop; beside it stands the exact problem of its every car,
solved by HiGHS (`tests/unit/closed_nights.py`). Bounds are linear, so that no plan beats them, also where cars are only
on or off.
"""

import argparse
import json
import math
import multiprocessing
import sys
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent / "unit"))

import closed_nights as nights

FLEETS = {"tariff": 125, "hourly": 125, "limit": 125, "sale": 125}
BILL_PCT, PEAK_PCT, GAIN_PCT, FED_PCT = 1.0, 3.0, 95.0, 95.0
NOTHING_KWH = 0.01
console = Console()


def judged(job):
    """One fleet: what it is above or short of the best; None where there is no such night."""
    kind, seed = job
    drawn = nights.fleet(kind, seed)
    played, best = nights.play(drawn), nights.least_bill(drawn)
    found = {"kind": kind, "seed": seed, "cars": len(drawn.view), "short_kwh": played.short_kwh}
    found |= {"over_kwh": played.over_kwh, "below_reserve": played.below_reserve, "possible": best is not None}
    if best is None:
        return found
    least_kw = nights.least_peak_kw(drawn, bill=max(played.bill, best))
    found["peak_pct"] = 100 * (played.peak_kw / least_kw - 1) if least_kw and least_kw > 1.0 else None
    if kind == "sale":
        idle = nights.least_bill(nights.without_sale(drawn))
        gain = idle - best
        found["gain_pct"] = 100 * (idle - played.bill) / gain if gain > BILL_PCT / 100 * abs(idle) else None
        found["fed_pct"] = 100 * nights.weakest_share(seed)
    else:
        found["bill_pct"] = 100 * (played.bill / best - 1)
    return found


def summary(found, kind):
    """The line of one kind."""
    mine = [one for one in found if one["kind"] == kind]

    def column(name):
        return np.array([one[name] for one in mine if one.get(name) is not None], dtype=float)

    bill, peak, gain, fed = (column(name) for name in ("bill_pct", "peak_pct", "gain_pct", "fed_pct"))
    possible = [one for one in mine if one["possible"]]
    return {
        "kind": kind,
        "fleets": len(mine),
        "possible": len(possible),
        "bill": _spread(bill, bill <= BILL_PCT),
        "peak": _spread(peak, peak <= PEAK_PCT),
        "gain": _spread(gain, gain >= GAIN_PCT, low=True),
        "fed": _spread(fed, fed >= FED_PCT, low=True),
        "limits kept": sum(one["over_kwh"] <= NOTHING_KWH for one in possible),
        "worst kWh over": max((one["over_kwh"] for one in possible), default=0.0),
        "late": sum(one["short_kwh"] > NOTHING_KWH for one in possible),
        "below reserve": sum(one["below_reserve"] for one in mine),
    }


def _spread(values, good, *, low=False):
    if not len(values):
        return None
    edge = np.percentile(values, 5 if low else 95)
    return {"mean": values.mean(), "edge": edge, "worst": values.min() if low else values.max(), "good": good.mean()}


def table(lines):
    """The figures for a reader."""
    shown = Table(title="Nights as played against the best possible", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in (
        "fleets",
        "n",
        f"bill over %, mean / p95 / worst (<= {BILL_PCT:g} %)",
        f"peak over %, mean / p95 / worst (<= {PEAK_PCT:g} %)",
        f"gain by giving %, mean / p5 / worst (>= {GAIN_PCT:g} %)",
        f"V2G, weakest interval % of the bound (>= {FED_PCT:g} %)",
        "limit kept",
        "late",
        "below reserve",
    ):
        shown.add_column(heading)
    for one in lines:
        kept = f"{one['limits kept']} of {one['possible']}, worst {one['worst kWh over']:.2f} kWh"
        shown.add_row(
            one["kind"],
            str(one["fleets"]),
            *(_print(one[name]) for name in ("bill", "peak", "gain", "fed")),
            kept if one["kind"] == "limit" else "",
            str(one["late"]),
            str(one["below reserve"]),
        )
    return shown


def _print(spread):
    if spread is None:
        return ""
    return f"{spread['mean']:.2f} / {spread['edge']:.2f} / {spread['worst']:.2f} ({spread['good']:.0%})"


def main():
    """Play and judge; 1 when a car was late, below its reserve, or when nothing could be judged."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the 500 fleets (default 1)")
    parser.add_argument("--on-off", type=int, default=0, help="so many fleets of cars that are only on or off")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("var/bench/night_judge.json"))
    options = parser.parse_args()
    counts = {kind: math.ceil(count * options.share) for kind, count in FLEETS.items()} | {"on_off": options.on_off}
    jobs = [(kind, seed) for kind, count in counts.items() for seed in range(count)]
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        found = pool.map(judged, jobs, chunksize=4)
    lines = [summary(found, kind) for kind, count in counts.items() if count]
    console.print(table(lines))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"summary": lines, "fleets": found}, indent=1, default=float))
    return int(any(one["late"] or one["below reserve"] or not one["possible"] for one in lines))


if __name__ == "__main__":
    sys.exit(main())
