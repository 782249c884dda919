"""How evenly events' burdens lie on cars: the Gini coefficient of kWh borne per car. Pure.

With x_1 <= ... <= x_n kWh borne by n cars: G = sum_i (2 i - n - 1) x_i / (n sum_i x_i). 0: all bear the same;
(n - 1) / n: one car bears everything (Gini 1912, in the form of sorted values).
"""

import numpy as np

from ven_adapters.ven.fleet.columns import Floats
from ven_adapters.ven.fleet.fleet import FleetColumns


def gini(borne_kwh: Floats) -> float:
    """The coefficient of what cars have borne, each 0 or more; 0 where nobody has borne anything."""
    count, total_kwh = len(borne_kwh), float(borne_kwh.sum())
    if total_kwh <= 0:
        return 0.0
    ranks = 2.0 * np.arange(1, count + 1) - count - 1
    return float((ranks * np.sort(borne_kwh)).sum() / (count * total_kwh))


def fairness_of(fleet: FleetColumns) -> dict[str, float | int]:
    """How this season's burden lies on the cars that are ours: how many, kWh in all, and its Gini coefficient."""
    rows = np.arange(len(fleet))
    borne_kwh = fleet.read("burden_kwh", rows)[fleet.read("enrolled", rows)]
    figures = {"borne_kwh": round(float(borne_kwh.sum()), 2), "borne_gini": round(gini(borne_kwh), 4)}
    return {"cars": len(borne_kwh), **figures}
