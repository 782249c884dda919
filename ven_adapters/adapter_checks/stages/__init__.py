"""The stages of the shipped adapters, and how an adapter's stage is found by its name."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from pkgutil import resolve_name
from typing import cast

from ven_adapters.adapter_checks.stage import StageFactory

GROUP = "ven_adapters.stages"

# Every adapter that is not named here speaks the vehicle-backend contract, unless its package brings a stage.
SHIPPED: Mapping[str, str] = {
    "enode": "ven_adapters.adapter_checks.stages.public:enode",
    "ocpp": "ven_adapters.adapter_checks.stages.station:ocpp",
    "smartcar": "ven_adapters.adapter_checks.stages.public:smartcar",
    "tesla": "ven_adapters.adapter_checks.stages.public:tesla",
}


def stage_of(name: str) -> StageFactory:
    """The stage on which an adapter is judged: its package's entry point, else ours by name.

    LookupError when its module cannot be loaded.
    """
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    value = points[0].value if points else SHIPPED.get(name)
    if value is None:
        from ven_adapters.adapter_checks.stages.vehicle_backend import stage_for

        return stage_for(name)
    try:
        return cast("StageFactory", resolve_name(value))
    except (ImportError, AttributeError) as error:
        raise LookupError(f"the stage of {name!r} ({value}) cannot be loaded: {error}") from error
