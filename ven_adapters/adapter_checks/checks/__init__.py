"""All checks of adapters; importing this package registers them."""

from ven_adapters.adapter_checks.checks import (
    budgets,
    discharge,
    endings,
    events,
    fault_calls,
    fault_cars,
    fault_drivers,
    fault_readings,
    leaks,
    orders,
    reads,
    rungs,
)

__all__ = [
    "budgets",
    "discharge",
    "endings",
    "events",
    "fault_calls",
    "fault_cars",
    "fault_drivers",
    "fault_readings",
    "leaks",
    "orders",
    "reads",
    "rungs",
]
