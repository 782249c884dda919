"""Energy per zone in buckets of a minute, integrated from cars' own readings, and zone samples over time.

A car's energy counters are used where it has them; without, its last power is held until the next reading. What has
not been read yet is extrapolated from the last power, for an hour at most. Watt-hours inside; no I/O, no clock.
"""

import bisect
import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from ven_adapters.contract import Reading, Snapshot, Validity
from ven_adapters.ven.columns import Floats

BUCKET_S = 60
HOUR_S = 3600
KEPT_BUCKETS = 3 * 24 * 60
LONGEST_HELD_S = 3600.0
MOST_SAMPLES = 20_000


@dataclasses.dataclass(frozen=True, slots=True)
class Energy:
    """What a zone drew and fed over a window, kWh, both zero or more."""

    imported_kwh: float
    exported_kwh: float


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """A zone at an instant (epoch seconds). `cars` counts those with usable readings, out of `members`."""

    at_s: float
    members: int = 0
    cars: int = 0
    plugged: int = 0
    charging: int = 0
    discharging: int = 0
    held_back: int = 0
    opted_out: int = 0
    power_kw: float = 0.0
    stored_kwh: float = 0.0
    usable_kwh: float = 0.0
    max_charge_kw: float = 0.0
    max_discharge_kw: float = 0.0
    asked_kw: float | None = None
    planned_kw: float | None = None
    simple_level: int | None = None


@dataclasses.dataclass(slots=True)
class _Car:
    zone: int
    at_s: float = math.nan
    power_w: float = 0.0
    added_wh: float = math.nan
    exported_wh: float = math.nan


class Meter:
    """Cars in, zones out."""

    def __init__(self, first_s: float) -> None:
        self._base = int(first_s // BUCKET_S) - 24 * 60
        self._zones: dict[str, int] = {}
        self._wh: Floats = np.zeros((2, 0, 2 * KEPT_BUCKETS))
        self._cars: dict[str, _Car] = {}
        self._members: list[set[str]] = []
        self._samples: list[list[Sample]] = []
        self._touched: set[tuple[int, int]] = set()

    def enrol(self, zones: Mapping[str, str]) -> None:
        """Which zone each car counts for; cars that are gone count no more."""
        for ref in self._cars.keys() - zones.keys():
            self._members[self._cars.pop(ref).zone].discard(ref)
        for ref, name in zones.items():
            zone = self._zone(name)
            car = self._cars.setdefault(ref, _Car(zone))
            self._members[car.zone].discard(ref)
            self._members[zone].add(ref)
            car.zone = zone

    def _zone(self, name: str) -> int:
        if name not in self._zones:
            self._zones[name] = len(self._zones)
            self._wh = np.concatenate([self._wh, np.zeros((2, 1, self._wh.shape[2]))], axis=1)
            self._members.append(set())
            self._samples.append([])
        return self._zones[name]

    def observe(self, snapshots: Iterable[Snapshot]) -> None:
        """Take readings; one that is older than the last of its car changes nothing."""
        for snapshot in snapshots:
            car = self._cars.get(snapshot.vehicle_ref)
            power = snapshot.power_w
            if car is not None and power is not None and power.validity is Validity.OK:
                self._observe(car, power, snapshot)

    def _observe(self, car: _Car, power: Reading[float], snapshot: Snapshot) -> None:
        at_s = power.observed_at.timestamp()
        if at_s <= car.at_s:
            return
        added_wh, exported_wh = _counted(snapshot.energy_added_wh), _counted(snapshot.energy_exported_wh)
        if not math.isnan(car.at_s):
            self._book(car, at_s, added_wh - car.added_wh, exported_wh - car.exported_wh)
        car.at_s, car.power_w, car.added_wh, car.exported_wh = at_s, power.value, added_wh, exported_wh

    def _book(self, car: _Car, at_s: float, added_wh: float, exported_wh: float) -> None:
        """Counters tell how much; a counter that was reset or is missing leaves the power that was held."""
        held_wh = car.power_w * min(at_s - car.at_s, LONGEST_HELD_S) / HOUR_S
        imported = added_wh if added_wh >= 0 else max(0.0, held_wh)
        exported = exported_wh if exported_wh >= 0 else max(0.0, -held_wh)
        if imported > 0:
            self._spread(0, car.zone, car.at_s, at_s, imported)
        if exported > 0:
            self._spread(1, car.zone, car.at_s, at_s, exported)

    def _spread(self, way: int, zone: int, start_s: float, end_s: float, energy_wh: float) -> None:
        self._make_room(end_s)
        first, last = int(start_s // BUCKET_S) - self._base, int(end_s // BUCKET_S) - self._base
        if first < 0:
            return
        row = self._wh[way, zone]
        self._touched.update((zone, hour) for hour in range(int(start_s // HOUR_S), int(end_s // HOUR_S) + 1))
        if first == last:
            row[first] += energy_wh
            return
        per_s = energy_wh / (end_s - start_s)
        row[first] += per_s * ((first + 1 + self._base) * BUCKET_S - start_s)
        row[first + 1 : last] += per_s * BUCKET_S
        row[last] += per_s * (end_s - (last + self._base) * BUCKET_S)

    def _make_room(self, at_s: float) -> None:
        over = int(at_s // BUCKET_S) - self._base - self._wh.shape[2] + 1
        if over > 0:
            shift = max(over, KEPT_BUCKETS)
            kept = self._wh[:, :, shift:]
            self._wh = np.concatenate(
                [kept, np.zeros((2, len(self._zones), self._wh.shape[2] - kept.shape[2]))], axis=2
            )
            self._base += shift

    def energy(self, zone: str, start_s: float, end_s: float) -> Energy:
        """What the zone drew and fed in [start_s, end_s), the part not read yet extrapolated from the last powers."""
        number = self._zones[zone]
        imported_wh, exported_wh = (self._booked(self._wh[way, number], start_s, end_s) for way in (0, 1))
        for ref in self._members[number]:
            car = self._cars[ref]
            missing_s = min(end_s, car.at_s + LONGEST_HELD_S) - max(start_s, car.at_s)
            if missing_s > 0:
                imported_wh += max(0.0, car.power_w) * missing_s / HOUR_S
                exported_wh += max(0.0, -car.power_w) * missing_s / HOUR_S
        return Energy(imported_wh / 1000, exported_wh / 1000)

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
        return sum(1 for ref in self._members[self._zones[zone]] if not math.isnan(self._cars[ref].at_s))

    def note(self, zone: str, sample: Sample) -> None:
        """Keep a sample of a zone."""
        kept = self._samples[self._zone(zone)]
        kept.append(sample)
        if len(kept) > MOST_SAMPLES:
            del kept[: MOST_SAMPLES // 2]

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
            first = hour * HOUR_S // BUCKET_S - self._base
            if 0 <= first <= self._wh.shape[2] - HOUR_S // BUCKET_S:
                part = np.round(self._wh[:, zone, first : first + HOUR_S // BUCKET_S], 2)
                hours.append((names[zone], hour, part[0].tolist(), part[1].tolist()))
        return hours

    def restore(self, zone: str, hour: int, imported_wh: list[float], exported_wh: list[float]) -> None:
        """Put back an hour of an earlier run; one that is out of reach is forgotten."""
        first = hour * HOUR_S // BUCKET_S - self._base
        if 0 <= first <= self._wh.shape[2] - len(imported_wh):
            number = self._zone(zone)
            self._wh[0, number, first : first + len(imported_wh)] = imported_wh
            self._wh[1, number, first : first + len(exported_wh)] = exported_wh


def _counted(reading: Reading[float] | None) -> float:
    return reading.value if reading is not None and reading.validity is Validity.OK else math.nan
