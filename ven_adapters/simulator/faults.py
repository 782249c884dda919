"""Chance for commands: each draw follows from the seed, the fault's name and the command, so a rerun meets the same.

What drivers and sleeping cars do is drawn with the fleet (`fleets.Fates`); what happens to a command is drawn here.
"""

import hashlib
import math
from statistics import NormalDist

from ven_adapters.simulator.settings import FaultRates

LATENCY_MEDIAN_S = 20.0
LATENCY_P95_S = 180.0
DELAY_S = (300.0, 900.0)
RETRY_AFTER_S = (15.0, 45.0)
WAKE_S = (60.0, 300.0)
SLEEPS_AFTER_S = 1_200.0

_SPREAD = math.log(LATENCY_P95_S / LATENCY_MEDIAN_S) / NormalDist().inv_cdf(0.95)


def draw(seed: int, name: str, what: str) -> float:
    """A number in (0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}/{name}/{what}".encode()).digest()
    return (int.from_bytes(digest[:7], "big") + 0.5) / 2.0**56


def latency_s(seed: int, key: str, rates: FaultRates) -> float:
    """Simulated seconds from the answer to the car's obedience: lognormal, or minutes for a delayed success."""
    if draw(seed, "delayed", key) < rates.delayed:
        return _between(DELAY_S, draw(seed, "delay", key))
    return LATENCY_MEDIAN_S * math.exp(_SPREAD * NormalDist().inv_cdf(draw(seed, "latency", key)))


def rate_limited_s(seed: int, call: str, rates: FaultRates) -> float | None:
    """The seconds to wait when this call is refused with 429, else None."""
    if draw(seed, "rate_limited", call) >= rates.rate_limited:
        return None
    return _between(RETRY_AFTER_S, draw(seed, "retry_after", call))


def wake_s(seed: int, what: str) -> float:
    """How long a sleeping car takes to be reachable again after a wake."""
    return _between(WAKE_S, draw(seed, "wake", what))


def _between(bounds: tuple[float, float], chance: float) -> float:
    low, high = bounds
    return low + (high - low) * chance
