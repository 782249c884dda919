"""How fast simulated time may run in a test: slower on a machine that has other things to do.

A test in simulated time claims something about an order of events, and a processor that is away for a second lets
minutes pass in between. The speed is taken once, when a test session begins; what is waited for stays the same.
"""

import os

import pytest

SLOWEST = 4.0
BUSY = 2.0


def paced(speed: float) -> float:
    """The speed on an idle machine, or less: by how many processes want each processor."""
    return max(speed / min(max(_wanted(), 1.0), SLOWEST), min(speed, 1.0))


def skip_when_busy() -> None:
    """Skip what measures a whole program against fast time, on a machine that has twice as much to do as it can."""
    if (wanted := _wanted()) > BUSY:
        pytest.skip(f"{wanted:.1f} processes want each processor: fast time would measure the machine")


def _wanted() -> float:
    return os.getloadavg()[0] / (os.cpu_count() or 1)
