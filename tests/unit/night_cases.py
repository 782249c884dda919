"""Small nights for the figures of the demonstration: zones of an automaker from 15:00 to noon, hour by hour."""

from datetime import timedelta

import numpy as np

from ven_adapters.demo.figures import NightEvents, zone_nights
from ven_adapters.demo.results import EveningTruth
from ven_adapters.demo.scenario import STARTS
from ven_adapters.demo.utility import AskedSetPoint

HOURS, BINS = 21, 252
# Unmanaged: 100 kW from 18 to 22 h, 20 kW else, so a peak of 100 in the evening and of 100 after the event, until 22 h.
UNMANAGED = dict.fromkeys(range(18, 22), 100.0)
EVENT = (18, 21)
HELD_KW = 40.0


def clock(hour, minute=0):
    """An instant of the night, hours after midnight being those of the next day."""
    return STARTS + timedelta(hours=(hour - STARTS.hour) % 24, minutes=minute)


def series(by_hour, usual=20.0):
    """(bins) kW that change by the hour."""
    return np.repeat([by_hour.get((STARTS.hour + hour) % 24, usual) for hour in range(HOURS)], 12).astype(float)


def at_bin(kw, hour, minute, value):
    """The same with another value in the five minutes that begin then."""
    changed = kw.copy()
    changed[bin_of(hour, minute)] = value
    return changed


def bin_of(hour, minute=0):
    return int((clock(hour, minute) - STARTS) / timedelta(minutes=5))


def managed(**more):
    """A good night: as unmanaged until 18 h, the set-point until 21 h, then what was held back, flat."""
    held = dict.fromkeys(range(*EVENT), HELD_KW) | {21: 40.0, 22: 40.0, 23: 40.0}
    return series(held | dict.fromkeys(range(8), 40.0) | more.get("changed", {}))


def asks(oem="bmw", zone="bay", kw=HELD_KW, end=EVENT[1]):
    return [AskedSetPoint(f"{oem}-{zone}", clock(EVENT[0]), clock(end), kw)]


def truth(columns, unmanaged=None, oem="bmw", cars=250):
    """An automaker with a zone for each name in `columns`."""
    whole = series(UNMANAGED) if unmanaged is None else unmanaged
    counts = {"zones": {name: {"cars": cars} for name in columns}}
    at = tuple(STARTS + timedelta(minutes=5 * n) for n in range(BINS))
    kw = np.stack(list(columns.values()), axis=1)
    return EveningTruth(
        oem, at, tuple(columns), kw, np.repeat(whole[:, None], kw.shape[1], 1), np.zeros((BINS, 5)), counts
    )


def night(columns, *, events=None, **more):
    """The zones of one automaker, and the events; each zone was asked for the same unless `events` says otherwise."""
    told = events or NightEvents([ask for name in columns for ask in asks(zone=name)])
    return zone_nights([truth(columns, **more)], told), told
