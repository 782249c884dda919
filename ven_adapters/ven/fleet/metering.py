"""Energy per zone in buckets of a minute, integrated from cars' own readings, and zone samples over time.

A car's energy counters are used where it has them; without, its last power is held until the next reading. A counter
that began anew counts from its beginning, so that what is charged between plug-in and first reading is not lost. What
has not been read yet is extrapolated from the last power, for an hour at most; what no reading reaches beyond that is
`Coverage.unread_h`, for whoever estimates it from the power of its peers. Watt-hours inside; no I/O, no clock.
"""

import bisect
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ven_adapters.ven.fleet.columns import Bools, Floats, Ints, grown
from ven_adapters.ven.fleet.telemetry import TelemetryBatch
from vtn.clock import HOUR_S

BUCKET_S = 60
WHOLE_HOUR_S = int(HOUR_S)
KEPT_BUCKETS = 3 * 24 * 60
LONGEST_HELD_S = 3600.0
MOST_SAMPLES = 1_500
TINY = 1e-9
# No charging point draws more, and no counter tells in steps of more than a battery; what leaps further is at fault.
MOST_W = 1_000_000.0
COARSEST_WH = 100_000.0
# What a counter that began anew may have counted since: no home charges faster, and no counter is coarser.
MOST_HOME_W, COARSE_WH = 43_000.0, 1_000.0


@dataclasses.dataclass(frozen=True, slots=True)
class Energy:
    """What a zone drew and fed over a window, kWh, both zero or more."""

    imported_kwh: float
    exported_kwh: float


@dataclasses.dataclass(frozen=True, slots=True)
class Coverage:
    """Car-hours of a window: in all, not covered by a fresh reading, and covered by none that is held."""

    cars_h: float
    late_h: float
    unread_h: float

    @property
    def estimated_share(self) -> float:
        """How much of the window is not measured, 0 to 1."""
        return min(1.0, self.late_h / self.cars_h) if self.cars_h > 0 else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """A zone at an instant (epoch seconds). `cars` counts those with usable readings, out of `members`.

    `power_kw` is that of the `measured` cars: those at a plug whose power was read lately. `unread`: those at a plug of
    which no reading is held any more, and `unread_kw` what they are taken to draw.
    `alarmed`: those at which an alarm of the inverter stands.
    """

    at_s: float
    members: int = 0
    cars: int = 0
    plugged: int = 0
    measured: int = 0
    charging: int = 0
    discharging: int = 0
    held_back: int = 0
    opted_out: int = 0
    alarmed: int = 0
    power_kw: float = 0.0
    stored_kwh: float = 0.0
    usable_kwh: float = 0.0
    max_charge_kw: float = 0.0
    max_discharge_kw: float = 0.0
    asked_kw: float | None = None
    planned_kw: float | None = None
    simple_level: int | None = None
    unread: int = 0
    unread_kw: float = 0.0


_HELD: dict[str, Any] = {"zone": -1, "at_s": np.nan, "power_w": 0.0, "added_wh": np.nan, "exported_wh": np.nan}


@dataclasses.dataclass(frozen=True, slots=True)
class _Stretch:
    """Energies spread evenly over spans of time, one per entry."""

    zone: Ints
    start_s: Floats
    end_s: Floats
    wh: Floats

    def where(self, mask: Bools) -> "_Stretch":
        return _Stretch(self.zone[mask], self.start_s[mask], self.end_s[mask], self.wh[mask])


class Meter:
    """Cars in, by their rows in the fleet; zones out."""

    def __init__(self, first_s: float) -> None:
        self._base = int(first_s // BUCKET_S) - 24 * 60
        self._zones: dict[str, int] = {}
        self._wh: Floats = np.zeros((2, 0, 2 * KEPT_BUCKETS))
        self._cars: dict[str, npt.NDArray[Any]] = {name: np.full(0, fill) for name, fill in _HELD.items()}
        self._samples: list[list[Sample]] = []
        self._touched: set[tuple[int, int]] = set()

    def enrol(self, rows: Ints, zones: Sequence[str]) -> None:
        """Which zone each car counts for; cars that are not named count no more."""
        self._cars = {
            name: grown(column, int(rows.max(initial=-1)) + 1, fill=_HELD[name]) for name, column in self._cars.items()
        }
        here = np.zeros(len(self._cars["zone"]), dtype=np.bool_)
        here[rows] = True
        for name, column in self._cars.items():
            column[~here] = _HELD[name]
        self._cars["zone"][rows] = [self._zone(name) for name in zones]

    def amend(self, rows: Ints, zones: Sequence[str], gone: Ints) -> None:
        """Which zone these cars count for from now on; those that are gone count no more, the others as before."""
        for name, column in self._cars.items():
            self._cars[name] = grown(column, int(rows.max(initial=-1)) + 1, fill=_HELD[name])
            self._cars[name][gone] = _HELD[name]
        self._cars["zone"][rows] = [self._zone(name) for name in zones]

    def _zone(self, name: str) -> int:
        if name not in self._zones:
            self._zones[name] = len(self._zones)
            self._wh = np.concatenate([self._wh, np.zeros((2, 1, self._wh.shape[2]))], axis=1)
            self._samples.append([])
        return self._zones[name]

    def fold(self, emptied: str, into: str) -> None:
        """What a zone without cars has drawn and fed counts for another from now on."""
        was, to = self._zone(emptied), self._zone(into)
        told = self._wh[:, was]
        hours = (np.flatnonzero(told.any(axis=0)) + self._base) * BUCKET_S // WHOLE_HOUR_S
        self._touched.update((zone, hour) for hour in set(hours.tolist()) for zone in (was, to))
        self._wh[:, to] += told
        self._wh[:, was] = 0.0

    def take(self, batch: TelemetryBatch) -> None:
        """Take readings; one that is older than the last of its car changes nothing."""
        power_w, at_s, valid = batch.told("power_w")
        newer = valid & (self._cars["zone"][batch.rows] >= 0) & ~(at_s <= self._cars["at_s"][batch.rows])
        added_wh, exported_wh = _counted(batch, "energy_added_wh"), _counted(batch, "energy_exported_wh")
        told = {"at_s": at_s, "power_w": power_w, "added_wh": added_wh, "exported_wh": exported_wh}
        fresh, rows = {name: column[newer] for name, column in told.items()}, batch.rows[newer]
        self._count({name: column[rows] for name, column in self._cars.items()}, fresh)
        for name, column in fresh.items():
            self._cars[name][rows] = column

    def _count(self, held: Mapping[str, Floats], fresh: Mapping[str, Floats]) -> None:
        """Counters tell how much; one that leaps or is missing leaves the power that was held.

        One that was reset tells what was counted since, and the power that was held when that is more.
        """
        known = ~np.isnan(held["at_s"])
        most_wh = COARSEST_WH + MOST_W * (fresh["at_s"] - held["at_s"]) / WHOLE_HOUR_S
        most_home_wh = COARSE_WH + MOST_HOME_W * (fresh["at_s"] - held["at_s"]) / WHOLE_HOUR_S
        held_wh = held["power_w"] * np.minimum(fresh["at_s"] - held["at_s"], LONGEST_HELD_S) / WHOLE_HOUR_S
        for way, (counter, sign) in enumerate((("added_wh", 1.0), ("exported_wh", -1.0))):
            counted_wh = fresh[counter] - held[counter]
            believed = (counted_wh >= 0) & (counted_wh <= most_wh)
            anew = (counted_wh < 0) & (fresh[counter] <= most_home_wh)
            since_wh = np.where(anew, fresh[counter], 0.0)
            wh = np.where(believed, counted_wh, np.maximum(since_wh, sign * held_wh))
            stretch = _Stretch(held["zone"].astype(np.int64), held["at_s"], fresh["at_s"], wh)
            self._spread(way, stretch.where(known & (wh > 0)))

    def _spread(self, way: int, stretch: _Stretch) -> None:
        """Lay each energy over the buckets of its span: the shares of the first and the last, whole ones between."""
        self._make_room(float(stretch.end_s.max(initial=-np.inf)))
        stretch = stretch.where(stretch.start_s // BUCKET_S >= self._base)
        if not len(stretch.wh):
            return
        self._touch(stretch)
        start, end = stretch.start_s / BUCKET_S - self._base, stretch.end_s / BUCKET_S - self._base
        rate = stretch.wh / np.maximum(end - start, TINY)
        low = int(start.min())
        steps = np.zeros((len(self._zones), int(end.max()) - low + 3))
        rests = np.zeros_like(steps)
        for at, sign in ((start, 1.0), (end, -1.0)):
            bucket = at.astype(np.int64)
            place = (stretch.zone, bucket - low)
            np.add.at(rests, place, sign * rate * (bucket + 1 - at))
            np.add.at(steps, (place[0], place[1] + 1), sign * rate)
        laid = np.cumsum(steps, axis=1) + rests
        self._wh[way, :, low : low + laid.shape[1]] += np.maximum(laid, 0.0)[:, : self._wh.shape[2] - low]

    def _touch(self, stretch: _Stretch) -> None:
        first, last = stretch.start_s // WHOLE_HOUR_S, stretch.end_s // WHOLE_HOUR_S
        for hours in range(int((last - first).max()) + 1):
            hit = first + hours <= last
            pairs = np.unique(np.stack([stretch.zone[hit], (first[hit] + hours).astype(np.int64)]), axis=1)
            self._touched.update(zip(*pairs.tolist(), strict=True))

    def _make_room(self, at_s: float) -> None:
        over = at_s // BUCKET_S - self._base - self._wh.shape[2] + 1
        if over > 0:
            shift = max(int(over), KEPT_BUCKETS)
            kept = self._wh[:, :, shift:]
            self._wh = np.concatenate(
                [kept, np.zeros((2, len(self._zones), self._wh.shape[2] - kept.shape[2]))], axis=2
            )
            self._base += shift

    def energy(self, zone: str, start_s: float, end_s: float) -> Energy:
        """What the zone drew and fed in [start_s, end_s), the part not read yet extrapolated from the last powers."""
        number = self._zones[zone]
        imported_wh, exported_wh = (self._booked(self._wh[way, number], start_s, end_s) for way in (0, 1))
        mine = self._known(number)
        at_s, power_w = self._cars["at_s"][mine], self._cars["power_w"][mine]
        missing_s = np.maximum(0.0, np.minimum(end_s, at_s + LONGEST_HELD_S) - np.maximum(start_s, at_s))
        imported_wh += float(np.maximum(power_w, 0.0) @ missing_s) / WHOLE_HOUR_S
        exported_wh += float(np.maximum(-power_w, 0.0) @ missing_s) / WHOLE_HOUR_S
        return Energy(imported_wh / 1000, exported_wh / 1000)

    def coverage(self, rows: Ints, since_s: Floats, span_s: tuple[float, float], fresh_s: float) -> Coverage:
        """How well readings cover a span [start, end) of cars at their plugs, each since an instant of its own.

        A reading is fresh for `fresh_s`.
        """
        known = rows < len(self._cars["at_s"])
        rows, begins_s = rows[known], np.clip(since_s[known], *span_s)
        at_s = np.nan_to_num(self._cars["at_s"][rows], nan=-np.inf)
        late_h, unread_h = (
            float((span_s[1] - np.clip(at_s + held_s, begins_s, span_s[1])).sum()) / WHOLE_HOUR_S
            for held_s in (fresh_s, LONGEST_HELD_S)
        )
        return Coverage(float((span_s[1] - begins_s).sum()) / WHOLE_HOUR_S, late_h, unread_h)

    def unread_kw(self, zone: str, start_s: float, end_s: float) -> float:
        """What a car of which no reading is held drew on the average of a window, by the zone's samples.

        Without any such car in the samples what a measured car drew counts, and 0 without samples.
        """
        kept = self._samples[self._zones[zone]] if zone in self._zones else []
        first = bisect.bisect_left(kept, start_s, key=lambda sample: sample.at_s)
        seen = [one for one in kept[max(0, first - 1) :] if one.at_s < end_s]
        if cars := sum(one.unread for one in seen):
            return sum(one.unread_kw for one in seen) / cars
        cars = sum(one.measured for one in seen)
        return max(0.0, sum(one.power_kw for one in seen if one.measured) / cars) if cars else 0.0

    def _known(self, zone: int) -> Bools:
        return np.asarray((self._cars["zone"] == zone) & ~np.isnan(self._cars["at_s"]))

    def _booked(self, row: Floats, start_s: float, end_s: float) -> float:
        first, last = start_s / BUCKET_S - self._base, end_s / BUCKET_S - self._base
        low, high = max(0, math.floor(first)), min(row.size, math.ceil(last))
        if low >= high:
            return 0.0
        edges = np.arange(low, high)
        share = np.minimum(edges + 1, last) - np.maximum(edges, first)
        return float(row[low:high] @ share)

    def known(self, zone: str) -> int:
        """How many of the zone's cars have ever been read."""
        return int(self._known(self._zones[zone]).sum())

    def note(self, zone: str, sample: Sample) -> None:
        """Keep a sample of a zone; of each minute the first and the last."""
        kept = self._samples[self._zone(zone)]
        if len({one.at_s // BUCKET_S for one in (*kept[-2:], sample)}) < min(len(kept), 2):
            kept.pop()
        kept.append(sample)
        if len(kept) > 2 * MOST_SAMPLES:
            del kept[:MOST_SAMPLES]

    def sample(self, zone: str, at_s: float) -> Sample | None:
        """The last sample at or before an instant; None when there is none of that zone."""
        kept = self._samples[self._zones[zone]] if zone in self._zones else []
        place = bisect.bisect_right(kept, at_s, key=lambda sample: sample.at_s)
        return kept[place - 1] if place else None

    def drain(self) -> list[tuple[str, int, list[float], list[float]]]:
        """Zone, hour (since 1970), imports and exports per minute in Wh, for hours that changed since the last call."""
        names = {number: name for name, number in self._zones.items()}
        touched, self._touched = self._touched, set()
        hours = []
        for zone, hour in sorted(touched):
            first = hour * WHOLE_HOUR_S // BUCKET_S - self._base
            if 0 <= first <= self._wh.shape[2] - WHOLE_HOUR_S // BUCKET_S:
                part = np.round(self._wh[:, zone, first : first + WHOLE_HOUR_S // BUCKET_S], 2)
                hours.append((names[zone], hour, part[0].tolist(), part[1].tolist()))
        return hours

    def restore(self, zone: str, hour: int, imported_wh: list[float], exported_wh: list[float]) -> None:
        """Put back an hour of an earlier run; one that is out of reach is forgotten."""
        first = hour * WHOLE_HOUR_S // BUCKET_S - self._base
        if 0 <= first <= self._wh.shape[2] - len(imported_wh):
            number = self._zone(zone)
            self._wh[0, number, first : first + len(imported_wh)] = imported_wh
            self._wh[1, number, first : first + len(exported_wh)] = exported_wh


def _counted(batch: TelemetryBatch, name: str) -> Floats:
    value, _, valid = batch.told(name)
    return np.where(valid, value, np.nan)
