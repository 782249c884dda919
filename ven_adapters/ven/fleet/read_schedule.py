"""Which cars are due for a reading now, within what readings may cost: for backends that push nothing, and lost pushes.

A car is due when its newest reading, and our last look at it, are older than its period, so that a car whose pushes
come is never asked. Every reading counts against the car's own budget of any 24 hours; the nearer a car is to its
share of it, the longer its period grows, and the most urgent looks have the last share to themselves. Vectorised over
the cars; time is an argument, instants are epoch seconds. Knows no backend and does no I/O.
"""

import dataclasses
import enum

import numpy as np
import numpy.typing as npt

from ven_adapters.contract import WAKES_UP_TO_S, ReadingPrice
from ven_adapters.ven.fleet.columns import ALWAYS_S, NEVER_S, Bools, Charge, Floats, Ints, Tri, grown
from vtn.clock import HOUR_S

DAYS_OF_A_MONTH = 31
DAY_S = 24 * HOUR_S
# A car that nothing was ever heard of is left that long to a backend that pushes.
SILENT_FOR_S = 60.0
# A directive that began is looked for after so long: what was told has then had time to be obeyed and told back.
CONFIRM_AFTER_S = 60.0
# A car is read up to this part of its period early, by its own `u`, so that looks spread.
JITTER = 0.2
EASY_SHARE = 0.5
# A car that cannot be read is looked for at least every so many of the longest periods.
LONGEST_RETRY, MOST_DOUBLINGS = 4, 10
# An answer younger than `WAKES_UP_TO_S` is asked for by whoever wants the car woken; who reads by schedule does not.
YOUNGEST_S = WAKES_UP_TO_S + 1.0
_SLOTS = 25  # hours that any 24 hours can touch


class ReadTier(enum.IntEnum):
    """How urgent a reading is, least first."""

    SELDOM = 0
    PLUGGED = 1
    ARRIVING = 2
    BUSY = 3
    CONFIRM = 4


# Which part of a day's readings each tier may use.
SHARES = np.array([0.6, 0.7, 0.85, 0.95, 1.0])


@dataclasses.dataclass(frozen=True, slots=True)
class ReadSettings:
    """Seconds between two readings of a car by its tier, and how many readings a car may have in any 24 hours."""

    often_s: float = 300.0
    arriving_s: float = 420.0
    plugged_s: float = 900.0
    seldom_s: float = 3600.0
    readings_per_day: int = 200

    @property
    def periods_s(self) -> Floats:
        """By tier."""
        return np.array([self.seldom_s, self.plugged_s, self.arriving_s, self.often_s, self.often_s])


def readings_within(calls_per_day: int, usd_per_month: float, price: ReadingPrice) -> int:
    """The readings of a day that keep both limits in every month."""
    readings = calls_per_day if calls_per_day <= 0 else max(1, calls_per_day // price.calls)
    return readings if price.usd <= 0 else min(readings, int(usd_per_month / DAYS_OF_A_MONTH / price.usd))


@dataclasses.dataclass(frozen=True, slots=True)
class ReadNeeds:
    """What makes cars more or less urgent, one entry per car.

    `newest_s`: when the car's newest reading was seen. `asked`: whether its zone is asked for something, or soon will
    be. `held`: whether it holds a directive that has begun. `unconfirmed_s`: the start of one that was not seen to be
    followed, ALWAYS_S without any.
    """

    row: Ints
    u: Floats
    plugged: Ints
    charge_state: Ints
    newest_s: Floats
    asked: Bools
    held: Bools
    unconfirmed_s: Floats


@dataclasses.dataclass(frozen=True, slots=True)
class ReadPlan:
    """Rows to be read, the most urgent first, and how old in seconds an answer may be: NaN where any is welcome."""

    row: Ints
    max_age_s: Floats
    tier: Ints


_CAR = np.dtype(
    [
        ("asked_s", np.float64),
        ("wait_until_s", np.float64),
        ("pushed_s", np.float64),
        ("failures", np.int64),
        ("asleep", np.bool_),
    ]
)
_NEW = np.array((NEVER_S, NEVER_S, NEVER_S, 0, False), _CAR)


class ReadSchedule:
    """What was asked of each car, what came of it and what it cost; one row per row of the fleet."""

    def __init__(self) -> None:
        self._cars: npt.NDArray[np.void] = np.zeros(0, _CAR)
        self._readings: npt.NDArray[np.uint16] = np.zeros((0, _SLOTS), np.uint16)
        self._hour = 0
        self._first_s = ALWAYS_S
        self._last_push_s = NEVER_S
        self.asked_in_all = self.failed_in_all = 0

    def grow(self, count: int) -> None:
        """Have at least `count` rows."""
        self._cars = grown(self._cars, count, fill=_NEW)
        self._readings = grown(self._readings, count, fill=0)

    # --- what happened ------------------------------------------------------------------------------------------------

    def note_pushed(self, rows: Ints, now_s: float, asleep: Bools) -> None:
        """A backend told of these cars by itself: of some that they sleep."""
        self._last_push_s = now_s
        self._cars["pushed_s"][rows] = now_s
        self._cars["failures"][rows] = 0
        self._cars["asleep"][rows] = asleep

    def note_asked(self, row: int, now_s: float) -> None:
        """A reading is asked for, and paid."""
        self._turn(now_s)
        self._readings[row, self._hour % _SLOTS] += 1
        self._cars["asked_s"][row] = now_s
        self.asked_in_all += 1

    def note_looks(self, row: int, count: int, now_s: float) -> None:
        """Readings that the backend took by itself, and paid."""
        self._turn(now_s)
        self._readings[row, self._hour % _SLOTS] += count
        self.asked_in_all += count

    def note_answered(self, row: int, *, asleep: bool = False) -> None:
        """A reading came, or the word that the car sleeps: it is then looked for seldom."""
        self._cars["failures"][row] = 0
        self._cars["asleep"][row] = asleep

    def note_failed(self, row: int, now_s: float, *, wait_s: float = 0.0) -> None:
        """No reading came; not again before `wait_s`, and each failure in a row doubles the car's period."""
        self._cars["failures"][row] += 1
        self._cars["wait_until_s"][row] = now_s + wait_s
        self.failed_in_all += 1

    # --- what follows -------------------------------------------------------------------------------------------------

    def readings(self, rows: Ints, now_s: float) -> Ints:
        """How often these cars were read in the last 24 hours, counted by whole hours and rather too high."""
        self._turn(now_s)
        return np.asarray(self._readings[rows].sum(axis=1, dtype=np.int64))

    def due(self, needs: ReadNeeds, now_s: float, settings: ReadSettings) -> ReadPlan:
        """The cars to read now. One whose budget does not cover another reading is left out."""
        self._first_s = min(self._first_s, now_s)
        cars, tier = self._cars[needs.row], self._tiers(needs, now_s, settings)
        most = max(1, settings.readings_per_day)
        used = self.readings(needs.row, now_s)
        affordable = used + 1 <= np.where(settings.readings_per_day > 0, np.maximum(1.0, SHARES[tier] * most), 0.0)
        share = used / (SHARES[tier] * most)
        stretch = np.where(share <= EASY_SHARE, 1.0, EASY_SHARE / np.maximum(1.0 - share, 1e-3))
        period_s = settings.periods_s[tier] * stretch * (1.0 - JITTER * needs.u)
        longest_s = np.maximum(LONGEST_RETRY * settings.seldom_s, period_s)
        retry_s = np.minimum(period_s * 2.0 ** np.minimum(cars["failures"], MOST_DOUBLINGS), longest_s)
        never = (needs.newest_s == NEVER_S) & (cars["asked_s"] == NEVER_S)
        over_s = np.minimum(now_s - needs.newest_s - period_s, now_s - cars["asked_s"] - retry_s)
        over_s = np.where(never, now_s - self._first_s - SILENT_FOR_S * (1.0 + JITTER * needs.u), over_s)
        unseen = np.maximum(cars["asked_s"], needs.newest_s) < needs.unconfirmed_s + CONFIRM_AFTER_S
        confirm_s = needs.unconfirmed_s + CONFIRM_AFTER_S * (1.0 + JITTER * needs.u)
        over_s = np.where((tier == ReadTier.CONFIRM) & unseen, now_s - confirm_s, over_s)
        place = np.flatnonzero(affordable & (over_s >= 0) & (cars["wait_until_s"] <= now_s))
        place = place[np.lexsort((-over_s[place] / period_s[place], -tier[place]))]
        max_age_s = np.where(tier == ReadTier.CONFIRM, 0.0, settings.periods_s[tier] / 2)
        max_age_s = np.where(never, np.nan, np.maximum(max_age_s, YOUNGEST_S))
        return ReadPlan(needs.row[place], max_age_s[place], tier[place])

    def _tiers(self, needs: ReadNeeds, now_s: float, settings: ReadSettings) -> Ints:
        cars = self._cars[needs.row]
        pushes = cars["pushed_s"] > now_s - DAY_S
        pushes &= self._last_push_s > now_s - settings.often_s
        plugged = needs.plugged == Tri.YES
        full = plugged & (needs.charge_state == Charge.COMPLETE)
        away = ~plugged & ~pushes
        begun = needs.unconfirmed_s <= now_s
        resting = cars["asleep"] | full
        return np.select(
            [
                begun & ~(cars["asleep"] & (cars["asked_s"] >= needs.unconfirmed_s)),
                plugged & (needs.asked | needs.held) & ~resting,
                away & needs.asked,
                plugged & ~resting,
            ],
            [int(ReadTier.CONFIRM), int(ReadTier.BUSY), int(ReadTier.ARRIVING), int(ReadTier.PLUGGED)],
            int(ReadTier.SELDOM),
        )

    def _turn(self, now_s: float) -> None:
        """Forget what lies more than a day back; hours are counted in a ring."""
        hour = int(now_s // HOUR_S)
        if hour > self._hour:
            for passed in range(max(self._hour + 1, hour - _SLOTS + 1), hour + 1):
                self._readings[:, passed % _SLOTS] = 0
            self._hour = hour


def ages(newest_s: Floats, now_s: float) -> dict[str, float | int | None]:
    """How old cars' newest readings are: seconds at the median, nine in ten, the oldest; and how many have none."""
    told = newest_s[newest_s > NEVER_S]
    figures: dict[str, float | int | None] = {"cars": len(newest_s), "never": len(newest_s) - len(told)}
    names = ("p50_s", "p90_s", "oldest_s")
    if not len(told):
        return figures | dict.fromkeys(names)
    found = np.percentile(np.maximum(0.0, now_s - told), (50, 90, 100))
    return figures | dict(zip(names, np.round(found, 1).tolist(), strict=True))
