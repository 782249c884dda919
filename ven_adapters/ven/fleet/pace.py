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
MOST_TAPER_IN_BIN = 0.7, 1.4
LEAST_DEVIATION, FIRST_DEVIATION = 0.015, 0.06
TAPERS_BELOW = 0.95  # of its best power: a battery that takes less than that below 80 % is among those that taper early
COVERED = 6  # readings in a bin; of fewer, the rest of the bin may be slower than what was seen of it
LEAST_KW = 0.3
SURE_OF_GAIN = 0.95
MOST_SPENT = 1.6  # of what a kWh adds in charging: what one that is given takes out at most, 1 / (0.75 * 0.85)
USUAL_ENOUGH = 0.85  # of the usual power: a taper inside a bin makes less of a session's pace than that
LEAST_GAIN_PCT, STEPS_OF_GAIN, LEAST_GAIN_KWH = 4.0, 2, 0.5
CHANGE_SEEN_PCT = 0.6  # how far from a change of the told level the reading that shows it may be, at both ends together
WORTH_STORING = 0.005
LONGEST_GAP_S = 1_800.0
RAMP_S = 90.0  # a car that was told to charge takes its full power after so long
# The margin: a quantile of how much later than foretold sessions came to their level.
LEAST_SESSION_PCT = 8.0
PRIOR_ENOUGH, PRIOR_QUANTILE, PRIOR_EVERY = 20, 0.02, 500
TAPER_ENOUGH = 100  # cars that were seen in a bin: of fewer, those that take least there may be missing
FULL_BINS = 4  # bins in which a battery usually takes its full power
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
        self._gain_before: Floats = np.zeros(0)
        self._deviation_before: Floats = np.zeros(0)
        self._taken_pct: Floats = np.zeros(0)
        self._first_pct: Floats = np.zeros(0)
        self._last_pct: Floats = np.zeros(0)
        self._since_step_s: Floats = np.zeros(0)
        self._lasted_s: Floats = np.zeros(0)
        self._foretold: Floats = np.zeros((0, BINS))
        self._unstored: Bools = np.zeros(0, dtype=np.bool_)
        self._slow_share, self._slow_kept, self._slow_taper = SLOW_SHARE, SLOW_KEPT, _SLOW_TAPER
        self._learned = 0
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
        mean_kw, covered = self.mean_kw[rows], self._count[rows] >= COVERED
        slow_kw = np.maximum(mean_kw - P10_DEVIATIONS * self.deviation_kw[rows], 0.2 * mean_kw)
        slow_taper = np.where(_tapers_early(mean_kw, covered)[:, None], _SLOW_TAPER, self._slow_taper)
        slow_kw = _filled(slow_kw, covered, full_kw * self._slow_share, slow_taper)
        usual_taper = np.broadcast_to(_USUAL_TAPER, mean_kw.shape)
        usual_kw = _filled(mean_kw, ~np.isnan(mean_kw), full_kw * USUAL_SHARE, usual_taper)
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
            unsure_pct=self._unsure_pct(rows),
            unseen=np.asarray(self._count[rows].sum(axis=1) == 0),
        )

    def _unsure_pct(self, rows: Ints) -> Floats:
        """How far below the level that it tells a car may be: one step, less what it took since it told this one."""
        step_pct = np.nan_to_num(self._step_pct[rows])
        return np.where(step_pct > 1.0, np.maximum(0.0, step_pct - np.maximum(0.0, self._taken_pct[rows])), 0.0)

    def _learn_priors(self) -> None:
        """What the slowest cars of this fleet show is what is expected of those that showed nothing yet."""
        cars = np.arange(len(self._fleet))
        full_kw, usable_kwh = self._fleet.read("max_charge_kw", cars), self._fleet.read("usable_kwh", cars)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.fmax.reduce(self.mean_kw[: len(cars), :2], axis=1) / full_kw
            kept = self.gain[: len(cars)] * usable_kwh / 100
        for name, seen, least in (("_slow_share", share, SLOW_SHARE), ("_slow_kept", kept, SLOW_KEPT)):
            known = seen[np.isfinite(seen)]
            if len(known) >= PRIOR_ENOUGH:
                setattr(self, name, max(least, float(np.quantile(known, PRIOR_QUANTILE))))
        self._slow_taper = self._seen_taper(cars)
        self.tell(cars)

    def _seen_taper(self, cars: Ints) -> Floats:
        """Per bin the share of their full power that the slowest cars keep; as foretold where few were seen."""
        mean_kw = np.where(self._count[cars] >= COVERED, self.mean_kw[cars], np.nan)
        below_kw = np.fmax.reduce(mean_kw[:, :FULL_BINS], axis=1)
        taper = _SLOW_TAPER.copy()
        with np.errstate(invalid="ignore"):
            for place in range(BINS):
                share = mean_kw[:, place] / below_kw
                known = share[np.isfinite(share)]
                if len(known) >= TAPER_ENOUGH:
                    taper[place] = max(taper[place], min(1.0, float(np.quantile(known, PRIOR_QUANTILE))))
        return taper

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
        moved = ~np.isnan(level) & (level != self._told_pct[rows])
        risen = moved & (level > self._told_pct[rows])
        self._taken_pct[rows[moved]] = np.where(risen[moved], 0.0, -np.inf)
        unseen = ~self._count[rows].any(axis=1)
        # An instant that never was is minus infinity: a sum keeps it so, a difference of two would be no number.
        met = (self._power_at_s[rows] == NEVER_S) | (unseen & (at_s >= fleet.read("plugged_since_s", rows) + RAMP_S))
        started = fleet.read("told_on", rows) & (at_s >= fleet.read("last_toggle_s", rows) + RAMP_S)
        free = charges & fresh & (self._charged[rows] | met | started) & ~capped & ~np.isnan(level)
        self._learn_power(rows[free], level[free], kw[free])
        stepped = charges & ~capped & (level > self._told_pct[rows]) & ~np.isnan(self._told_pct[rows])
        self._learn_gain(rows, level, stepped)
        before_s = self._power_at_s[rows]
        counts = charges & fresh & self._charged[rows] & (before_s > NEVER_S)
        self._measure(rows, level, stepped, np.where(counts, at_s, 0.0) - np.where(counts, before_s, 0.0))
        gone = ~plugged
        self._note_errors(rows[gone & ~np.isnan(self._first_pct[rows])])
        self._stretch_pct[rows[gone]] = np.nan
        self._session[rows[gone]] = 1.0
        self._told_pct[rows] = level
        self._power_kw[rows[fresh]], self._power_at_s[rows[fresh]] = kw[fresh], at_s[fresh]
        self._charged[rows] = charges & ~capped
        self.tell(rows)
        self._learned += int(free.sum())
        if self._learned >= PRIOR_EVERY:
            self._learned = 0
            self._learn_priors()

    def _learn_step(self, rows: Ints, level: Floats) -> None:
        """In steps of how many percent a car tells its level: five until it tells something between."""
        step = np.select([np.isnan(level), level % 5 == 0, level % 1 == 0], [np.inf, 5.0, 1.0], default=0.0)
        held = self._step_pct[rows]
        finer = np.fmin(held, np.where(np.isinf(step), np.nan, step))
        self._step_pct[rows] = finer

    def _count_energy(self, rows: Ints, at_s: Floats, kw: Floats, fresh: Bools) -> None:
        """The energy of the stretch that is under way, integrated between two powers that were told.

        Of what a level told in steps hides, the least that was taken counts and the most that was given.
        """
        before_s, before_kw = self._power_at_s[rows], self._power_kw[rows]
        known = fresh & (before_s > NEVER_S)
        gap_s = np.where(known, at_s, 0.0) - np.where(known, before_s, 0.0)
        self._stretch_kwh[rows] += np.maximum((kw + before_kw) / 2, 0.0) * gap_s / HOUR_S
        least_kw = np.minimum(kw, before_kw)
        pct_per_kwh = np.nan_to_num(self.gain[rows]) * np.where(least_kw > 0, SURE_OF_GAIN, MOST_SPENT)
        taken_pct = self._taken_pct[rows] + least_kw * gap_s / HOUR_S * pct_per_kwh
        self._taken_pct[rows] = np.minimum(taken_pct, np.nan_to_num(self._step_pct[rows]))
        lost = rows[(gap_s > LONGEST_GAP_S) | (kw < 0)]
        self._stretch_pct[lost] = np.nan

    def _learn_power(self, rows: Ints, level: Floats, kw: Floats) -> None:
        place = np.clip(np.searchsorted(EDGES, level, side="right") - 1, 0, BINS - 1)
        mean, deviation, count = self.mean_kw[rows, place], self.deviation_kw[rows, place], self._count[rows, place]
        first = count == 0
        usual = self._fleet.read("usual_kw", rows)[np.arange(len(rows)), place]
        kw = kw * self._to_middle(rows, place, level)
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

    def _to_middle(self, rows: Ints, place: Ints, level: Floats) -> Floats:
        """What a power at a level makes in the middle of its bin: along the taper between the bins that were seen."""
        above, below = np.minimum(place + 1, BINS - 1), np.maximum(place - 1, 0)
        here_kw = self.mean_kw[rows, place]
        with np.errstate(divide="ignore", invalid="ignore"):
            falls_above = (self.mean_kw[rows, above] / here_kw - 1.0) / (MIDDLES[above] - MIDDLES[place])
            falls_below = (1.0 - self.mean_kw[rows, below] / here_kw) / (MIDDLES[place] - MIDDLES[below])
        over_pct = level - MIDDLES[place]
        falls = np.where((over_pct < 0) | np.isnan(falls_above), falls_below, falls_above)
        taper = np.minimum(np.nan_to_num(falls, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
        return np.asarray(np.clip(1.0 - taper * over_pct, *MOST_TAPER_IN_BIN))

    def _learn_gain(self, rows: Ints, level: Floats, stepped: Bools) -> None:
        """Percent per kWh, from the first change of the told level in a stretch to its newest: the longer, the surer.

        What earlier stretches said counts beside it, each by how sure it is.
        """
        begun = ~np.isnan(self._stretch_pct[rows])
        gained_pct = level - self._stretch_pct[rows]
        step_pct = np.nan_to_num(self._step_pct[rows], nan=1.0)
        done = stepped & begun & (gained_pct >= np.maximum(LEAST_GAIN_PCT, STEPS_OF_GAIN * step_pct))
        done &= self._stretch_kwh[rows] > LEAST_GAIN_KWH
        self._note_gain(rows[done], gained_pct[done])
        anew = rows[stepped & ~begun]
        self._stretch_pct[anew], self._stretch_kwh[anew] = level[stepped & ~begun], 0.0
        self._gain_before[anew] = self.gain[anew]
        self._deviation_before[anew] = np.hypot(self.gain_deviation[anew], LEAST_DEVIATION * self.gain[anew])

    def _note_gain(self, rows: Ints, gained_pct: Floats) -> None:
        gain = gained_pct / self._stretch_kwh[rows]
        sureness = (gained_pct / (CHANGE_SEEN_PCT * gain)) ** 2
        before, known = self._gain_before[rows], ~np.isnan(self._gain_before[rows])
        sureness_before = np.where(known, self._deviation_before[rows], np.inf) ** -2.0
        after = (gain * sureness + np.where(known, before, 0.0) * sureness_before) / (sureness + sureness_before)
        held = self.gain[rows]
        self.gain[rows] = after
        self.gain_deviation[rows] = np.maximum((sureness + sureness_before) ** -0.5, LEAST_DEVIATION * after)
        self._unstored[rows[~(np.abs(after - held) <= WORTH_STORING * after)]] = True

    def _measure(self, rows: Ints, level: Floats, stepped: Bools, charging_s: Floats) -> None:
        """Of a session: charging time from one change of the told level to the last, and the pace foretold for it."""
        self._since_step_s[rows] += charging_s
        begins = rows[stepped & np.isnan(self._first_pct[rows])]
        self._first_pct[begins] = self._last_pct[begins] = level[stepped & np.isnan(self._first_pct[rows])]
        self._foretold[begins] = self._fleet.read("slow_pct_per_h", begins)
        self._since_step_s[begins] = 0.0
        on = rows[stepped]
        self._lasted_s[on] += self._since_step_s[on]
        self._last_pct[on], self._since_step_s[on] = level[stepped], 0.0

    def _note_errors(self, rows: Ints) -> None:
        """Sessions that are over: how many hours later (+) than foretold they came to their level."""
        inside = np.minimum(self._last_pct[rows][:, None], EDGES[1:]) - np.maximum(
            self._first_pct[rows][:, None], EDGES[:-1]
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            foretold_h = (np.maximum(inside, 0.0) / self._foretold[rows]).sum(axis=1)
        enough = self._last_pct[rows] - self._first_pct[rows] >= LEAST_SESSION_PCT
        late_h = self._lasted_s[rows] / HOUR_S - foretold_h
        self._errors_h.extend(late_h[enough & np.isfinite(late_h)].tolist())
        self._first_pct[rows], self._lasted_s[rows], self._since_step_s[rows] = np.nan, 0.0, 0.0
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
    "_gain_before": np.nan,
    "_deviation_before": np.nan,
    "_taken_pct": -np.inf,
    "_first_pct": np.nan,
    "_last_pct": np.nan,
    "_since_step_s": 0.0,
    "_lasted_s": 0.0,
    "_foretold": np.nan,
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


def _tapers_early(mean_kw: Floats, covered: Bools) -> Bools:
    """Cars that were seen to take less in a bin below 80 % than in one before it.

    What the slowest of a whole fleet keep says little of them: they are those slowest.
    """
    seen_kw = np.where(covered, mean_kw, np.nan)[:, :FULL_BINS]
    best_kw = np.fmax.accumulate(seen_kw, axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((seen_kw < TAPERS_BELOW * best_kw).any(axis=1))


def _filled(seen_kw: Floats, covered: Bools, prior_kw: Floats, taper: Floats) -> Floats:
    """Power in every bin: what was seen; above it, that less a taper; below it, no less than above.

    `prior_kw` is the power below the taper of a car that was never seen. Of a bin that was not `covered` the slower of
    what was seen and what the bins below foretell counts.
    """
    filled = seen_kw.copy()
    base_kw = np.where(np.isnan(seen_kw).all(axis=1), prior_kw, np.nan)
    for place in range(BINS):
        known = ~np.isnan(seen_kw[:, place])
        foretold_kw = base_kw * taper[:, place]
        partly_kw = np.fmin(seen_kw[:, place], foretold_kw)
        filled[:, place] = np.where(known & covered[:, place], seen_kw[:, place], partly_kw)
        base_kw = np.where(known, seen_kw[:, place] / taper[:, place], base_kw)
    for place in range(BINS - 2, -1, -1):
        filled[:, place] = np.where(np.isnan(filled[:, place]), filled[:, place + 1], filled[:, place])
    return filled


def _plain(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else round(value, 4) for value in values.tolist()]


def _numbers(told: list[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else float(value) for value in told])
