"""Chance for faults: every draw follows from the seed, the fault's name, the car and the minute.

So a rerun meets the same. Knows no fault by name but the delays of a command; what a fault does stands with its hook.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Rates = Mapping[str, float]

LATENCY_MEDIAN_S = 20.0
LATENCY_P95_S = 180.0
DELAY_S = (300.0, 900.0)
WAKE_S = (60.0, 300.0)
MINUTE_S = 60.0

_SPREAD = math.log(LATENCY_P95_S / LATENCY_MEDIAN_S) / NormalDist().inv_cdf(0.95)


def draw(seed: int, name: str, what: str) -> float:
    """A number in (0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}/{name}/{what}".encode()).digest()
    return (int.from_bytes(digest[:7], "big") + 0.5) / 2.0**56


def minute_of(ref: str, at_s: float) -> str:
    """A car's minute: what chance that comes and goes is drawn for."""
    return f"{ref}/{at_s // MINUTE_S:.0f}"


@dataclasses.dataclass(frozen=True, slots=True)
class Chance:
    """One backend's seed and the rate of each fault by name; a fault without a rate never happens."""

    seed: int
    rates: Rates

    def rate(self, name: str) -> float:
        """The share of cars, commands or readings that a fault befalls."""
        return self.rates.get(name, 0.0)

    def car(self, name: str, ref: str) -> bool:
        """Whether a fault of cars befalls this one."""
        return self.rate(name) > 0.0 and draw(self.seed, name, ref) < self.rate(name)

    def cars(self, name: str, refs: Sequence[str]) -> NDArray[np.bool_]:
        """Which of these cars a fault befalls."""
        if not self.rate(name):
            return np.zeros(len(refs), bool)
        return np.fromiter((self.car(name, ref) for ref in refs), bool, len(refs))

    def minute(self, name: str, ref: str, at_s: float) -> bool:
        """Whether a fault of commands or readings befalls this car in this minute."""
        return self.rate(name) > 0.0 and draw(self.seed, name, minute_of(ref, at_s)) < self.rate(name)

    def between(self, bounds: tuple[float, float], name: str, what: str) -> float:
        """A value between two bounds."""
        low, high = bounds
        return low + (high - low) * draw(self.seed, f"{name}/value", what)

    def form(self, name: str, what: str, forms: int) -> int:
        """Which of its `forms` a fault takes, from 0."""
        return int(forms * draw(self.seed, f"{name}/form", what))

    def latency_s(self, what: str) -> float:
        """Simulated seconds from the answer to the car's obedience: lognormal, or minutes for a delayed success."""
        if self.delayed(what):
            return self.between(DELAY_S, "delayed", what)
        return LATENCY_MEDIAN_S * math.exp(_SPREAD * NormalDist().inv_cdf(draw(self.seed, "latency", what)))

    def delayed(self, what: str) -> bool:
        """Whether a command is obeyed only minutes later."""
        return draw(self.seed, "delayed", what) < self.rate("delayed")

    def wake_s(self, what: str) -> float:
        """How long a sleeping car takes to be reachable again after a wake."""
        return self.between(WAKE_S, "wake", what)
