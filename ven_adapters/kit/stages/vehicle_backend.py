"""A running vehicle backend as a stage: every adapter that speaks the reference HTTP contract is judged on it."""

from ven_adapters.kit.stage import StageFactory


def stage_for(brand: str) -> StageFactory:
    """The stage of an adapter that speaks the vehicle-backend contract."""
    raise LookupError(f"{brand!r} has no stage yet")
