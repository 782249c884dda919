"""How fast each car really charges, learned from its own sessions: kW by level, and percent of charge per kWh.

A data sheet says what a car can take at best. What it takes depends on its charging point, its circuit, its age and the
weather; so a departure is planned with what the car has shown (P10), and a set-point with what it usually does (P50).
Of a car that was never seen to charge, the slow side is far below its data sheet: whoever must be ready starts early,
and shows its pace as soon as it charges. Columns by the fleet's rows; no I/O.
"""

import collections
import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ven_adapters.ven.fleet.columns import LEVEL_EDGES, NEVER_S, Bools, Charge, Floats, Ints, Tri, grown
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.fleet.telemetry import TelemetryBatch
from ven_adapters.ven.store.database import PaceRow, RowValues
from vtn.clock import HOUR_S

BINS = len(LEVEL_EDGES) - 1
EDGES: Floats = np.array(LEVEL_EDGES)
MIDDLES: Floats = (EDGES[1:] + EDGES[:-1]) / 2

# Of a car that was never seen: the share of its data-sheet power, and of the energy at its charging point that is kept.
SLOW_SHARE, SLOW_KEPT = 0.5, 0.72
USUAL_SHARE, USUAL_KEPT = 1.0, 0.88
# How much less a battery takes above a level that it was not yet seen at: a line from a knee down to a share at 100 %.
SLOW_TAPER, USUAL_TAPER = (60.0, 0.05), (80.0, 0.2)
MEMORY = 0.15  # the weight of one more reading, once there are some
P10_DEVIATIONS = 1.2816
LEAST_DEVIATION, FIRST_DEVIATION = 0.03, 0.08
LEAST_KW = 0.3
USUAL_ENOUGH = 0.85  # of the usual power: a taper inside a bin makes less of a session's pace than that
LEAST_GAIN_PCT, STEPS_OF_GAIN = 4.0, 2
LONGEST_GAP_S = 1_800.0
# The margin: a quantile of how much later than planned stretches of charging came to their level.
ERRORS_KEPT, ERRORS_ENOUGH = 600, 60
MARGIN_QUANTILE, LEAST_MARGIN_S, MOST_MARGIN_S = 0.98, 1_200.0, 7_200.0


def _taper(knee_and_end: tuple[float, float]) -> Floats:
    """The share of full power per bin, harmonic over the bin because time is what counts."""
    knee, end = knee_and_end
    levels = EDGES[:-1, None] + (EDGES[1:] - EDGES[:-1])[:, None] * np.linspace(0.02, 0.98, 25)
    share = 1.0 - (1.0 - end) * np.clip((levels - knee) / (100.0 - knee), 0.0, 1.0)
    return np.asarray(1.0 / (1.0 / share).mean(axis=1))


_SLOW_TAPER, _USUAL_TAPER = _taper(SLOW_TAPER), _taper(USUAL_TAPER)


class Pace:
    """`take` after the fleet took the same batch; what is known is told to the fleet's columns.

    `mean_kw`, `deviation_kw`: per car and bin of level, NaN where the car was never seen to charge freely. `gain`: the
    percent that a kWh at the charging point adds. `margin_s`: how much earlier than needed a car is to start.
    """

    def __init__(self, fleet: FleetColumns) -> None:
        self._fleet = fleet
        self.mean_kw: Floats = np.zeros((0, BINS))
        self.deviation_kw: Floats = np.zeros((0, BINS))
        self._count: Ints = np.zeros((0, BINS), dtype=np.int64)
        self.gain: Floats = np.zeros(0)
        self.gain_deviation: Floats = np.zeros(0)
        self._session: Floats = np.zeros(0)
        self._step_pct: Floats = np.zeros(0)
        self._told_pct: Floats = np.zeros(0)
        self._power_kw: Floats = np.zeros(0)
        self._power_at_s: Floats = np.zeros(0)
        self._charged: Bools = np.zeros(0, dtype=np.bool_)
        self._stretch_pct: Floats = np.zeros(0)
        self._stretch_kwh: Floats = np.zeros(0)
        self._stretch_from_s: Floats = np.zeros(0)
        self._stretch_hours: Floats = np.zeros(0)
        self._unstored: Bools = np.zeros(0, dtype=np.bool_)
        self._errors_h: collections.deque[float] = collections.deque(maxlen=ERRORS_KEPT)
        self.margin_s = 0.0

    def grow(self, count: int) -> None:
        """Have room for `count` cars."""
        for name, fill in _FILLS.items():
            setattr(self, name, grown(getattr(self, name), count, fill=fill))

    # --- what is known ------------------------------------------------------------------------------------------------

    def tell(self, rows: Ints) -> None:
        """Bring the fleet's columns up to date, for cars whose abilities or paces changed."""
        full_kw = self._fleet.read("max_charge_kw", rows)
        usable_kwh = self._fleet.read("usable_kwh", rows)
        slow_kw = np.maximum(self.mean_kw[rows] - P10_DEVIATIONS * self.deviation_kw[rows], 0.2 * self.mean_kw[rows])
        slow_kw = _filled(slow_kw, full_kw * SLOW_SHARE, _SLOW_TAPER)
        usual_kw = _filled(self.mean_kw[rows], full_kw * USUAL_SHARE, _USUAL_TAPER)
        session = np.minimum(self._session[rows], 1.0)[:, None]
        gain, deviation = self.gain[rows], self.gain_deviation[rows]
        known = ~np.isnan(gain)
        with np.errstate(divide="ignore", invalid="ignore"):
            slow_gain = np.where(
                known, np.maximum(gain - P10_DEVIATIONS * deviation, 0.0), SLOW_KEPT * 100 / usable_kwh
            )
            usual_gain = np.where(known, gain, USUAL_KEPT * 100 / usable_kwh)
        self._fleet.note_pace(
            rows,
            slow_pct_per_h=np.minimum(slow_kw, full_kw[:, None]) * session * slow_gain[:, None],
            usual_kw=np.minimum(usual_kw, full_kw[:, None]),
            usual_pct_per_kwh=usual_gain,
            step_pct=np.nan_to_num(self._step_pct[rows]),
        )

    # --- what is seen -------------------------------------------------------------------------------------------------

    def take(self, batch: TelemetryBatch, capped: Bools) -> None:
        """Learn from a batch. `capped`: cars that are told less than they would take, of which nothing is learned."""
        rows, fleet = batch.rows, self._fleet
        at_s, kw = fleet.read("power_at_s", rows), np.nan_to_num(fleet.read("power_kw", rows))
        state, plugged = fleet.read("charge_state", rows), fleet.read("plugged", rows) == Tri.YES
        level = fleet.read("soc_pct", rows)
        charges = plugged & (state == Charge.CHARGING) & (kw > LEAST_KW)
        fresh = at_s > self._power_at_s[rows]
        self._learn_step(rows, level)
        self._count_energy(rows, at_s, kw, fresh)
        met = self._power_at_s[rows] == NEVER_S
        free = charges & fresh & (self._charged[rows] | met) & ~capped & ~np.isnan(level)
        self._learn_power(rows[free], level[free], kw[free])
        self._learn_gain(rows, level, charges & ~capped, at_s)
        gone = ~plugged
        self._stretch_pct[rows[gone]] = np.nan
        self._session[rows[gone]] = 1.0
        self._told_pct[rows] = level
        self._power_kw[rows[fresh]], self._power_at_s[rows[fresh]] = kw[fresh], at_s[fresh]
        self._charged[rows] = charges & ~capped
        self.tell(rows)

    def _learn_step(self, rows: Ints, level: Floats) -> None:
        """In steps of how many percent a car tells its level: five until it tells something between."""
        step = np.select([np.isnan(level), level % 5 == 0, level % 1 == 0], [np.inf, 5.0, 1.0], default=0.0)
        held = self._step_pct[rows]
        finer = np.fmin(held, np.where(np.isinf(step), np.nan, step))
        self._step_pct[rows] = finer

    def _count_energy(self, rows: Ints, at_s: Floats, kw: Floats, fresh: Bools) -> None:
        """The energy of the stretch that is under way, integrated between two powers that were told."""
        before_s, mean_kw = self._power_at_s[rows], np.maximum((kw + self._power_kw[rows]) / 2, 0.0)
        known = fresh & (before_s > NEVER_S)
        gap_s = np.where(known, at_s, 0.0) - np.where(known, before_s, 0.0)
        self._stretch_kwh[rows] += mean_kw * gap_s / HOUR_S
        lost = rows[(gap_s > LONGEST_GAP_S) | (kw < 0)]
        self._stretch_pct[lost] = np.nan

    def _learn_power(self, rows: Ints, level: Floats, kw: Floats) -> None:
        place = np.clip(np.searchsorted(EDGES, level, side="right") - 1, 0, BINS - 1)
        mean, deviation, count = self.mean_kw[rows, place], self.deviation_kw[rows, place], self._count[rows, place]
        first = count == 0
        usual = self._fleet.read("usual_kw", rows)[np.arange(len(rows)), place]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(usual > 0, kw / usual, 1.0)
        weight = np.maximum(MEMORY, 1.0 / (count + 1))
        shift = np.where(first, 0.0, kw - mean)
        after = np.where(first, kw, mean + weight * shift)
        spread = np.where(first, FIRST_DEVIATION * kw, np.sqrt((1 - weight) * (deviation**2 + weight * shift**2)))
        self.mean_kw[rows, place] = after
        self.deviation_kw[rows, place] = np.maximum(spread, LEAST_DEVIATION * after)
        self._count[rows, place] = count + 1
        self._session[rows] = np.where(
            first, self._session[rows], 0.5 * self._session[rows] + 0.5 * np.minimum(ratio, 1.0)
        )
        self._unstored[rows[first | (np.abs(shift) > LEAST_DEVIATION * kw)]] = True

    def _learn_gain(self, rows: Ints, level: Floats, charges: Bools, at_s: Floats) -> None:
        """Percent per kWh, from one change of the told level to a later one; and how well the pace foretold it."""
        stepped = charges & (level > self._told_pct[rows]) & ~np.isnan(self._told_pct[rows])
        begun = ~np.isnan(self._stretch_pct[rows])
        gained_pct = level - self._stretch_pct[rows]
        step_pct = np.nan_to_num(self._step_pct[rows], nan=1.0)
        done = stepped & begun & (gained_pct >= np.maximum(LEAST_GAIN_PCT, STEPS_OF_GAIN * step_pct))
        chosen, kwh = rows[done], self._stretch_kwh[rows[done]]
        enough = kwh > 0.5  # noqa: PLR2004 - half a kWh: below it a told level says nothing of energy
        self._note_gain(chosen[enough], gained_pct[done][enough] / kwh[enough])
        self._note_errors(chosen, at_s[done])
        anew = rows[done | (stepped & ~begun)]
        self._stretch_pct[anew] = level[done | (stepped & ~begun)]
        self._stretch_kwh[anew] = 0.0
        self._stretch_from_s[anew] = at_s[done | (stepped & ~begun)]
        self._stretch_hours[anew] = self._foretold_h(anew)

    def _note_gain(self, rows: Ints, gain: Floats) -> None:
        held, deviation = self.gain[rows], self.gain_deviation[rows]
        first = np.isnan(held)
        shift = np.where(first, 0.0, gain - held)
        after = np.where(first, gain, held + 2 * MEMORY * shift)
        spread = np.sqrt((1 - 2 * MEMORY) * (np.nan_to_num(deviation) ** 2 + 2 * MEMORY * shift**2))
        self.gain[rows] = after
        self.gain_deviation[rows] = np.maximum(np.where(first, FIRST_DEVIATION * gain, spread), LEAST_DEVIATION * after)
        self._unstored[rows] = True

    def _foretold_h(self, rows: Ints) -> Floats:
        """How long the next few percent would take at the slow pace: what a stretch is measured against."""
        level = self._stretch_pct[rows]
        place = np.clip(np.searchsorted(EDGES, level, side="right") - 1, 0, BINS - 1)
        pct_per_h = self._fleet.read("slow_pct_per_h", rows)[np.arange(len(rows)), place]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(pct_per_h > 0, 1.0 / pct_per_h, np.nan)

    def _note_errors(self, rows: Ints, at_s: Floats) -> None:
        """Hours later (+) than foretold, carried over to a whole session's fifty percent."""
        lasted_h = (at_s - self._stretch_from_s[rows]) / HOUR_S
        gained = self._fleet.read("soc_pct", rows) - self._stretch_pct[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            late_h = (lasted_h / gained - self._stretch_hours[rows]) * _SESSION_PCT
        self._errors_h.extend(late_h[np.isfinite(late_h)].tolist())
        if len(self._errors_h) >= ERRORS_ENOUGH:
            worst_s = float(np.quantile(np.array(self._errors_h), MARGIN_QUANTILE)) * HOUR_S
            self.margin_s = min(max(worst_s, LEAST_MARGIN_S), MOST_MARGIN_S)

    # --- what outlives a restart --------------------------------------------------------------------------------------

    def restore(self, stored: Iterable[PaceRow]) -> None:
        """What an earlier run learned; of cars that are no longer ours, and of other bins, nothing is taken up."""
        found = []
        for known in stored:
            row, told = self._fleet.find(known.vehicle_ref), json.loads(known.document)
            if row is None or told.get("edges") != list(LEVEL_EDGES):
                continue
            self.mean_kw[row] = _numbers(told["mean_kw"])
            self.deviation_kw[row] = _numbers(told["deviation_kw"])
            self._count[row] = told["count"]
            self.gain[row], self.gain_deviation[row] = _numbers([told["gain"], told["gain_deviation"]])
            self._step_pct[row] = _numbers([told["step_pct"]])[0]
            found.append(row)
        self.tell(np.array(found, dtype=np.int64))

    def drain(self, most: int) -> Iterator[RowValues]:
        """Rows for the store: what was learned since, of so many cars at most."""
        rows = np.flatnonzero(self._unstored)[:most]
        self._unstored[rows] = False
        for row in rows.tolist():
            document = {
                "edges": list(LEVEL_EDGES),
                "mean_kw": _plain(self.mean_kw[row]),
                "deviation_kw": _plain(self.deviation_kw[row]),
                "count": self._count[row].tolist(),
                "gain": _plain(self.gain[row : row + 1])[0],
                "gain_deviation": _plain(self.gain_deviation[row : row + 1])[0],
                "step_pct": _plain(self._step_pct[row : row + 1])[0],
            }
            values = {"vehicle_ref": self._fleet.ref(row), "document": json.dumps(document)}
            yield RowValues(PaceRow, values)


_SESSION_PCT = 50.0
_FILLS: dict[str, Any] = {
    "mean_kw": np.nan,
    "deviation_kw": np.nan,
    "_count": 0,
    "gain": np.nan,
    "gain_deviation": np.nan,
    "_session": 1.0,
    "_step_pct": np.nan,
    "_told_pct": np.nan,
    "_power_kw": 0.0,
    "_power_at_s": NEVER_S,
    "_charged": False,
    "_stretch_pct": np.nan,
    "_stretch_kwh": 0.0,
    "_stretch_from_s": 0.0,
    "_stretch_hours": np.nan,
    "_unstored": False,
}


def in_words(document: str) -> str:
    """What a stored pace says, as the end of a sentence that begins with "it was"."""
    told = json.loads(document)
    kw = [value for value in told["mean_kw"] if value is not None]
    if not kw:
        return "never seen to charge freely"
    seen = [place for place, value in enumerate(told["mean_kw"]) if value is not None]
    levels = f"{told['edges'][seen[0]]:g} and {told['edges'][seen[-1] + 1]:g} %"
    gain = "" if told["gain"] is None else f", and to gain {told['gain']:.2f} % of charge per kWh"
    return f"seen to take {max(kw):.1f} kW at most between {levels}, {min(kw):.1f} kW at least{gain}"


def _filled(seen_kw: Floats, prior_kw: Floats, taper: Floats) -> Floats:
    """Power in every bin: what was seen; above it, that less a taper; below it, no less than above.

    `prior_kw` is the power below the taper of a car that was never seen.
    """
    filled = seen_kw.copy()
    base_kw = np.where(np.isnan(seen_kw).all(axis=1), prior_kw, np.nan)
    for place in range(BINS):
        known = ~np.isnan(seen_kw[:, place])
        unseen_kw = base_kw * taper[place]
        filled[:, place] = np.where(known, seen_kw[:, place], unseen_kw)
        base_kw = np.where(known, seen_kw[:, place] / taper[place], base_kw)
    for place in range(BINS - 2, -1, -1):
        filled[:, place] = np.where(np.isnan(filled[:, place]), filled[:, place + 1], filled[:, place])
    return filled


def _plain(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else round(value, 4) for value in values.tolist()]


def _numbers(told: list[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else float(value) for value in told])
