"""How fast simulated time may run in a test: slower on a machine that has other things to do.

A test in simulated time claims something about an order of events, and a processor that is away for a second lets
minutes pass in between. The speed is taken once, when a test session begins; what is waited for stays the same.
"""

import os

SLOWEST = 4.0


def paced(speed: float) -> float:
    """The speed on an idle machine, or less: by how many processes want each processor."""
    wanted = os.getloadavg()[0] / (os.cpu_count() or 1)
    return max(speed / min(max(wanted, 1.0), SLOWEST), min(speed, 1.0))
