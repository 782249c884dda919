"""The evening as one page that opens offline: figures against goals, kW against target, the peaks of zones."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.subplots import make_subplots

from ven_adapters.demo.figures import ZoneNight, zone_nights
from ven_adapters.demo.goals import BESIDE, FigureGoal, judged
from ven_adapters.demo.judging import PlayedEvening
from ven_adapters.demo.report_figures import band_kw
from ven_adapters.demo.results import EveningTruth, Floats, setpoint_kw
from ven_adapters.demo.scenario import ALERT_AT, ALERT_MINUTES, PACIFIC, STARTS
from ven_adapters.demo.utility import AskedSetPoint
from vtn.pages import rendered

INK, MUTED, ACCENT, GREEN, RED = "#1d2433", "#9aa3b2", "#2563eb", "#0f9d76", "#d9480f"
CARDS = (
    ("cars", "cars of four automakers"),
    ("delivered_kwh", "kWh delivered"),
    ("asked_kwh", "kWh asked"),
    ("tracking_error_pct", "% tracking error"),
    ("feasible_late_departures", "cars late that need not be"),
    ("left_early_short_though_feasible", "left early, short, need not be"),
    ("reserve_violations", "batteries below reserve"),
    ("unauthorised_discharges", "discharges without permission"),
    ("notifications_lost", "notifications lost"),
)
BAND_FILL = "rgba(217,72,15,.13)"


def write_page(path: Path, evening: PlayedEvening, summary: Mapping[str, Any]) -> None:
    """Write the report; the charting library is part of the file, so it needs no network."""
    truths, asks = evening.truths, evening.utility.asks
    zones = zone_nights(truths, evening.events)
    reports = list(evening.utility.report_versions.values())
    charts = [
        ("What was asked, what was drawn", _portfolio(truths, asks, band_kw(zones, reports))),
        ("Each automaker against its set-points", _each(truths, asks, zones, reports)),
        ("The peak of each zone after the event", _zone_peaks(summary)),
        ("Charge levels of plugged cars", _fan(truths)),
        ("Directives by final state", _directives(summary)),
        ("After the event", _rebound(truths, asks)),
    ]
    drawn = []
    for number, (title, figure) in enumerate(charts):
        _plain(figure)
        chart = figure.to_html(full_html=False, include_plotlyjs=number == 0, config={"displaylogo": False})
        drawn.append((title, Markup(chart)))  # noqa: S704 - HTML of the charting library
    by_oem = summary["by_oem"]
    page = rendered(
        "ven_adapters.demo/page.html",
        hours=f"{STARTS:%H:%M} to {STARTS + timedelta(hours=evening.hours):%H:%M} Pacific",
        figures=[
            (goal.key.replace("_", " "), _figure(value), goal.goal, _verdict(goal, value), goal.meaning, goal.window)
            for goal, value in judged(summary)
        ],
        beside=[(key.replace("_", " "), _figure(summary[key])) for key in BESIDE if key in summary],
        zone_columns=[name.replace("_", " ") for name in next(iter(summary["by_zone"].values()))],
        zone_rows=[(name, list(map(_figure, row.values()))) for name, row in summary["by_zone"].items()],
        cards=[(_number(summary[key]), label) for key, label in CARDS],
        columns=[name.replace("_", " ") for name in next(iter(by_oem.values()))],
        rows=[(oem, list(map(_figure, row.values()))) for oem, row in by_oem.items()],
        charts=drawn,
        true_cars=[
            {
                "part": f"{row['topic'].replace('_', ' ')}: {row['part']}",
                "share": f"{100.0 * row['drawn'] / row['of']:.1f} %",
                "drawn": f"{row['drawn']:,}",
                "value": row["column"].replace("_", " "),
                "least": _bound(row["least"]),
                "most": _bound(row["most"]),
            }
            for row in summary["true_cars"]
        ],
    )
    path.write_text(page, encoding="utf-8")


def _number(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _figure(value: object) -> str:
    """A figure with as many digits as the summary has, `-` where there was nothing to judge."""
    return "-" if value is None else f"{value:,}" if isinstance(value, int | float) else str(value)


def _verdict(goal: FigureGoal, value: float | None) -> str:
    return "nothing to judge" if value is None else "met" if goal.met(value) else "missed"


def _bound(value: float | None) -> str:
    return "-" if value is None else f"{value:,g}" if value < 1_000 else f"{value:,.0f}"  # noqa: PLR2004 - digits


def _plain(figure: go.Figure) -> None:
    figure.update_layout(
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "color": INK},
        legend={"orientation": "h", "y": 1.08},
        margin={"l": 50, "r": 20, "t": 30, "b": 40},
    )


def _times(truth: EveningTruth) -> list[Any]:
    return [at.astimezone(PACIFIC).replace(tzinfo=None) for at in truth.at]


Band = tuple[Floats, Floats] | None


def _portfolio(truths: Sequence[EveningTruth], asks: Sequence[AskedSetPoint], band: Band) -> go.Figure:
    times = _times(truths[0])
    unmanaged = np.sum([truth.unmanaged_kw.sum(axis=1) for truth in truths], axis=0)
    kw = np.sum([truth.kw.sum(axis=1) for truth in truths], axis=0)
    points = [setpoint_kw(truth, asks) for truth in truths]
    held = np.any([~np.isnan(point).all(axis=1) for point in points], axis=0)
    target = np.where(held, np.sum([_filled(t, p) for t, p in zip(truths, points, strict=True)], axis=0), np.nan)
    figure = go.Figure()
    _shade(figure, times, band)
    figure.add_scatter(
        x=times, y=unmanaged, name="unmanaged (charging on plug-in)", line={"color": MUTED, "dash": "dot"}
    )
    figure.add_scatter(x=times, y=target, name="sum of set-points", line={"color": RED, "shape": "hv"})
    figure.add_scatter(x=times, y=kw, name="measured", line={"color": ACCENT, "width": 2.5})
    alert = ALERT_AT.replace(tzinfo=None)
    figure.add_vrect(
        x0=alert, x1=_plus_minutes(alert, ALERT_MINUTES), fillcolor=RED, opacity=0.12, line_width=0,
        annotation_text="emergency",
    )  # fmt: skip
    figure.update_yaxes(title="kW (below zero: to the grid)")
    return figure


def _shade(figure: go.Figure, times: list[Any], band: Band, **place: Any) -> None:
    """The band that adapters reported to the utility, behind what was asked and drawn."""
    if band is not None:
        figure.add_scatter(x=times, y=band[1], line={"width": 0}, hoverinfo="skip", **place | {"showlegend": False})
        shown = {"name": "reported band", "fill": "tonexty", "fillcolor": BAND_FILL}
        figure.add_scatter(x=times, y=band[0], line={"width": 0}, **shown, **place)


def _plus_minutes(at: Any, minutes: int) -> Any:
    return at + timedelta(minutes=minutes)


def _filled(truth: EveningTruth, points: Floats) -> Floats:
    """Set-points summed over zones; a zone without one (its event was cancelled) counts with what it drew."""
    return np.asarray(np.where(np.isnan(points), truth.kw, points).sum(axis=1))


def _each(
    truths: Sequence[EveningTruth],
    asks: Sequence[AskedSetPoint],
    zones: Sequence[ZoneNight],
    reports: Sequence[Mapping[str, Any]],
) -> go.Figure:
    figure = make_subplots(rows=2, cols=2, subplot_titles=[truth.oem for truth in truths], shared_xaxes=True)
    for number, truth in enumerate(truths):
        place = {"row": number // 2 + 1, "col": number % 2 + 1}
        points = setpoint_kw(truth, asks)
        target = np.where(np.isnan(points).all(axis=1), np.nan, _filled(truth, points))
        shown = {"showlegend": number == 0}
        band = band_kw([zone for zone in zones if zone.oem == truth.oem], reports)
        _shade(figure, _times(truth), band, legendgroup="band", **shown, **place)
        for name, values, line in (
            ("unmanaged", truth.unmanaged_kw.sum(axis=1), {"color": MUTED, "dash": "dot"}),
            ("set-point", target, {"color": RED, "shape": "hv"}),
            ("measured", truth.kw.sum(axis=1), {"color": ACCENT}),
        ):
            figure.add_scatter(x=_times(truth), y=values, name=name, line=line, legendgroup=name, **shown, **place)
    figure.update_layout(height=560)
    return figure


def _zone_peaks(summary: Mapping[str, Any]) -> go.Figure:
    """Each zone's peak after its event, its unmanaged peak of the night, and the least that it could have been."""
    rows = summary["by_zone"]
    figure = go.Figure()
    for key, name, colour in (
        ("unmanaged_peak_kw", "unmanaged, whole night", MUTED),
        ("peak_after_event_kw", "measured, after the event", ACCENT),
        ("least_peak_after_event_kw", "least possible after the event", GREEN),
    ):
        if all(key in row for row in rows.values()):
            figure.add_bar(x=list(rows), y=[row[key] for row in rows.values()], name=name, marker={"color": colour})
    figure.update_layout(barmode="group")
    figure.update_yaxes(title="kW")
    return figure


def _fan(truths: Sequence[EveningTruth]) -> go.Figure:
    figure = make_subplots(rows=2, cols=2, subplot_titles=[truth.oem for truth in truths], shared_xaxes=True)
    for number, truth in enumerate(truths):
        place = {"row": number // 2 + 1, "col": number % 2 + 1, "showlegend": False}
        p5, p25, p50, p75, p95 = truth.soc_quantiles_pct.T
        times = _times(truth)
        for low, high, shade in ((p5, p95, "rgba(15,157,118,.14)"), (p25, p75, "rgba(15,157,118,.28)")):
            figure.add_scatter(x=times, y=high, line={"width": 0}, hoverinfo="skip", **place)
            figure.add_scatter(x=times, y=low, line={"width": 0}, fill="tonexty", fillcolor=shade, **place)
        figure.add_scatter(x=times, y=p50, line={"color": GREEN}, name="median", **place)
    figure.update_yaxes(range=[0, 100], ticksuffix=" %")
    figure.update_layout(height=560)
    return figure


def _directives(summary: Mapping[str, Any]) -> go.Figure:
    figure = go.Figure()
    states = sorted({state for counts in summary["directives_by_state"].values() for state in counts})
    for state in states:
        by_oem = summary["directives_by_state"]
        figure.add_bar(x=list(by_oem), y=[counts.get(state, 0) for counts in by_oem.values()], name=state)
    figure.update_layout(barmode="stack")
    return figure


def _rebound(truths: Sequence[EveningTruth], asks: Sequence[AskedSetPoint]) -> go.Figure:
    end = max(ask.end for ask in asks).astimezone(PACIFIC).replace(tzinfo=None)
    times = _times(truths[0])
    kw = np.sum([truth.kw.sum(axis=1) for truth in truths], axis=0)
    unmanaged = np.sum([truth.unmanaged_kw.sum(axis=1) for truth in truths], axis=0)
    figure = go.Figure()
    figure.add_scatter(
        x=times, y=kw - unmanaged, name="measured minus unmanaged", fill="tozeroy", line={"color": ACCENT}
    )
    figure.add_vline(x=end, line={"color": RED, "dash": "dot"})
    figure.update_yaxes(title="kW")
    return figure
