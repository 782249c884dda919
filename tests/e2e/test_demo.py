"""The demonstration, small: real programs for one evening, and every promise kept."""

import subprocess
import sys

import numpy as np
import orjson
import pytest

from ven_adapters.demo.goals import GOALS

KEYS = {
    *("cars", "adapters", "events", "asked_kwh", "delivered_kwh", "tracking_error_pct", "late_departures"),
    *("feasible_late_departures", "reserve_violations", "unauthorised_discharges", "opt_outs_honoured", "directives"),
    *("directives_confirmed", "event_to_first_directive_real_s", "event_to_first_directive_simulated_min"),
    *("event_to_last_directive_real_s", "event_to_last_directive_simulated_min", "notifications_lost"),
    *("reports_received", "wall_s", "rebound_peak_ratio_night", "rebound_peak_ratio_after_event"),
    *("worst_zone_peak_ratio", "max_ramp_pct_5min", "max_ramp_pct_5min_asked", "bill_over_optimum_pct"),
    *("event_energy_error_pct", "interval_error_p95_pct", "zone_interval_error_p95_pct", "cap_breach_kwh"),
    *("site_export_breaches", "exports_above_limit", "least_peak_after_event_kw", "by_zone"),
}
BOUND_S = 300


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    var = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "ven_adapters", "demo", "--cars", "400", "--speed", "600", "--var", str(var)]
    command += ["--physics", "mixture"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return var, orjson.loads((var / "summary.json").read_bytes())


def test_the_summary_says_what_was_asked_delivered_and_promised(evening):
    assert evening[1].keys() >= KEYS


def test_no_promise_was_broken(evening):
    summary = evening[1]
    for name in ("feasible_late_departures", "reserve_violations", "unauthorised_discharges", "notifications_lost"):
        assert summary[name] == 0
    assert summary["opt_outs_honoured"] == summary["opt_outs"] > 0


def test_cars_moved(evening):
    summary = evening[1]
    assert summary["delivered_kwh"] > 0.7 * summary["asked_kwh"] > 0
    assert summary["cars_discharged"] > 0
    assert summary["directives_confirmed"] > 100
    assert summary["reports_received"] > 0


def test_the_cars_were_not_what_they_tell_and_the_report_says_what_they_were(evening):
    rows = {(row["topic"], row["column"], row["part"]): row for row in evening[1]["true_cars"]}
    assert sum(row["drawn"] for row in rows.values() if row["column"] == "power_share") == evening[1]["cars"]
    assert rows["power", "power_share", "far below"]["drawn"] > 0.1 * evening[1]["cars"]
    assert "What the cars really were" in (evening[0] / "report.html").read_text()


def test_every_car_left_before_the_night_was_judged(evening):
    with np.load(evening[0] / "truth" / "truth-bmw.npz") as truth:
        bins = truth["bin_start_s"]
        inside = truth["plugs"][:, 2]
        assert bins[251] - bins[0] == 251 * 300.0
        assert inside.sum() == (inside == 0.0).sum() > 0
        assert truth["plugs"][:, 1].max() < bins[251]


def test_no_night_is_better_than_the_best_possible_one(evening):
    summary = evening[1]
    assert summary["bill_over_optimum_pct"] > 0.0
    assert len(summary["by_zone"]) == 8
    for row in [*summary["by_zone"].values(), *summary["by_oem"].values()]:
        assert row["bill_over_optimum_pct"] > 0.0


def test_the_report_opens_offline(evening):
    page = (evening[0] / "report.html").read_text()
    assert "<script src=" not in page
    assert "Plotly.newPlot" in page


def test_the_report_says_window_and_goal_of_each_figure(evening):
    page = (evening[0] / "report.html").read_text()
    for goal in GOALS:
        assert (f"<td>{goal.key.replace('_', ' ')}</td>" in page) == (goal.key in evening[1])
    assert "from the end of the evening event to noon" in page
